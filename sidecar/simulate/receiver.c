/* SPDX-License-Identifier: MIT
 *
 * The order of the checks is the order in which a receiver can know: is it there at all, does it
 * know the address as blocked, is there a place, then the limits from the longest window to the
 * shortest.
 */
#include "sidecar/simulate/receiver.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/simulate/traffic.h"

#define SECOND UINT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)
/* Rounding of the tokens must not refuse a message that came exactly on time. */
#define TOKEN_SLACK 1e-6
/* … nor that of the load. */
#define SOFT_SLACK 1e-9
/* Blocks are "in a row" until a day has passed since the last one ended. */
#define FORGET DAY

static int account_init(struct receiver_account *account, const struct scenario_receiver *truth)
{
	size_t size = truth->penalty.count * sizeof *account->violations;

	account->tokens = truth->accept.burst;
	account->connection_tokens = truth->accept.connection_burst;
	if (!size)
		return 0;
	account->violations = malloc(size);
	if (!account->violations)
		return -ENOMEM;
	/* No strike yet: as if all had been given infinitely long ago. */
	memset(account->violations, 0xff, size);
	return 0;
}

int receiver_init(struct sim_receiver *receiver, const struct scenario *scenario, uint32_t index)
{
	const struct scenario_receiver *truth = &scenario->receivers[index];
	uint32_t count = scenario->source_count;
	uint32_t blocks = truth->block_count;

	*receiver = (struct sim_receiver){
		.truth = truth,
		.accept = truth->accept,
		.duration_ns = scenario->duration_ns,
		.source_count = count,
		.sources = calloc(count, sizeof *receiver->sources),
		.accounts = calloc(count, sizeof *receiver->accounts),
		.block_ends_ns = calloc(blocks ? blocks : 1, sizeof *receiver->block_ends_ns),
	};
	for (uint32_t i = 0; i < count; i++) {
		uint32_t account = scenario_account(scenario, index, i);

		if (!receiver->sources || !receiver->accounts || !receiver->block_ends_ns ||
		    (account == i && account_init(&receiver->accounts[i], truth) != 0)) {
			receiver_free(receiver);
			return -ENOMEM;
		}
		receiver->sources[i].account = &receiver->accounts[account];
	}
	for (uint32_t i = 0; i < blocks; i++)
		receiver->block_ends_ns[i] = truth->blocks[i].at_ns + truth->blocks[i].for_ns;
	return 0;
}

void receiver_free(struct sim_receiver *receiver)
{
	if (receiver->accounts)
		for (size_t i = 0; i < receiver->source_count; i++)
			free(receiver->accounts[i].violations);
	free(receiver->accounts);
	free(receiver->block_ends_ns);
	free(receiver->sources);
	*receiver = (struct sim_receiver){0};
}

/* ---- windows --------------------------------------------------------------------------------- */

/* The windows that begin before the run's midnight are those of the day before: a whole day is
 * added so that their numbers stay positive. */
static uint64_t window_clock(const struct sim_receiver *receiver, uint64_t now_ns)
{
	return now_ns + 2 * DAY - receiver->truth->phase_ns % DAY;
}

static void window_advance(const struct sim_receiver *receiver, struct receiver_window *window,
			   uint64_t length_ns, uint64_t now_ns)
{
	receiver_window_advance(window, length_ns, receiver->truth->sliding,
				window_clock(receiver, now_ns));
}

/* When the window as advanced to now_ns can next have more room. */
static uint64_t window_next(const struct sim_receiver *receiver, uint64_t length_ns,
			    uint64_t now_ns)
{
	return now_ns + receiver_window_left(length_ns, receiver->truth->sliding,
					     window_clock(receiver, now_ns));
}

/* ---- limits ---------------------------------------------------------------------------------- */

static double grown(const struct receiver_account *account, bool grows)
{
	return grows && account->grown > 0 ? account->grown : 1;
}

/* The rate and burst, the hour and the day of an account, as they have grown; infinite: no limit.
 */
static double account_rate(const struct sim_receiver *receiver,
			   const struct receiver_account *account)
{
	return receiver->accept.rate *
	       grown(account, receiver->truth->growth.of == SCENARIO_GROWS_ALL);
}

static double account_burst(const struct sim_receiver *receiver,
			    const struct receiver_account *account)
{
	return receiver->accept.burst *
	       grown(account, receiver->truth->growth.of == SCENARIO_GROWS_ALL);
}

static double account_hour(const struct sim_receiver *receiver,
			   const struct receiver_account *account)
{
	if (!receiver->accept.hour)
		return INFINITY;
	return floor(receiver->accept.hour *
		     grown(account, receiver->truth->growth.of != SCENARIO_GROWS_DAY));
}

static double account_day(const struct sim_receiver *receiver,
			  const struct receiver_account *account)
{
	double earned = receiver_allowance_day(&receiver->truth->allowance, &account->allowance);

	if (!receiver->accept.day)
		return earned;
	return fmin(earned, floor(receiver->accept.day * grown(account, true)));
}

/* What the limits let through in that time. */
static double account_allows(const struct sim_receiver *receiver,
			     const struct receiver_account *account, uint64_t time_ns)
{
	double in_day = account_day(receiver, account) * (double)time_ns / DAY;
	double in_hour = account_hour(receiver, account) * (double)time_ns / HOUR;
	double paced = account_rate(receiver, account) * (double)time_ns / SECOND;

	return fmin(paced, fmin(in_hour, in_day));
}

/* A day has ended: if enough of it was used, the limits grow. A day without mail changes nothing.
 */
static void account_grow(const struct sim_receiver *receiver, struct receiver_account *account,
			 uint64_t day)
{
	const struct scenario_growth *growth = &receiver->truth->growth;
	double allowed = account_allows(receiver, account, DAY), largest = INFINITY;

	if (account->used && account->used >= growth->used * allowed) {
		double times = grown(account, true);

		if (growth->max)
			largest = times * fmax(1, growth->max / allowed);
		account->grown = fmin(times * growth->factor, largest);
	}
	account->growth_day = day;
	account->used = 0;
}

/* The time in which a load is forgotten to a part of 1/e: that in which the rate brings a burst. So
 * a steady stream at the rate is a load of a burst, as is a burst at once. */
static double load_time_ns(const struct sim_receiver *receiver,
			   const struct receiver_account *account)
{
	return account_burst(receiver, account) / account_rate(receiver, account) * SECOND;
}

/* As a part of what the rate brings. */
static double account_load(const struct sim_receiver *receiver,
			   const struct receiver_account *account)
{
	return account->load / account_burst(receiver, account);
}

static bool load_matters(const struct sim_receiver *receiver)
{
	return (receiver->truth->soft.full > 0 || receiver->truth->latency_full_ns) &&
	       isfinite(receiver->accept.rate);
}

static void account_refill(const struct sim_receiver *receiver, struct receiver_account *account,
			   uint64_t now_ns)
{
	uint64_t passed_ns = now_ns - account->tokens_ns;
	double gained = account_rate(receiver, account) * (double)passed_ns / SECOND;

	if (load_matters(receiver))
		account->load *= exp(-(double)passed_ns / load_time_ns(receiver, account));
	account->tokens = fmin(account_burst(receiver, account), account->tokens + gained);
	account->tokens_ns = now_ns;
}

static bool connections_paced(const struct sim_receiver *receiver)
{
	return receiver->accept.connection_rate > 0 && isfinite(receiver->accept.connection_rate);
}

static void connections_refill(const struct sim_receiver *receiver,
			       struct receiver_account *account, uint64_t now_ns)
{
	double gained;

	if (!connections_paced(receiver) || now_ns <= account->connection_tokens_ns)
		return;
	gained = receiver->accept.connection_rate *
		 (double)(now_ns - account->connection_tokens_ns) / SECOND;
	account->connection_tokens =
		fmin(receiver->accept.connection_burst, account->connection_tokens + gained);
	account->connection_tokens_ns = now_ns;
}

static void receiver_advance(const struct sim_receiver *receiver, struct receiver_account *account,
			     uint64_t now_ns)
{
	uint64_t hour = window_clock(receiver, now_ns) / HOUR;
	uint64_t day = window_clock(receiver, now_ns) / DAY;

	if (receiver->truth->growth.factor > 0 && day != account->growth_day)
		account_grow(receiver, account, day);
	if (now_ns > account->tokens_ns)
		account_refill(receiver, account, now_ns);
	receiver_window_advance(&account->minute, MINUTE, true, window_clock(receiver, now_ns));
	receiver_allowance_advance(&account->allowance, day);
	window_advance(receiver, &account->hour, HOUR, now_ns);
	window_advance(receiver, &account->day, DAY, now_ns);
	window_advance(receiver, &account->accepted, HOUR, now_ns);
	if (hour == account->history_hour)
		return;
	if (account->history > account->peak)
		account->peak = account->history;
	account->history_hour = hour;
	account->history = 0;
}

static const struct scenario_outage *receiver_outage(const struct sim_receiver *receiver,
						     uint64_t now_ns)
{
	for (size_t i = 0; i < receiver->truth->outage_count; i++) {
		const struct scenario_outage *outage = &receiver->truth->outages[i];

		if (now_ns >= outage->at_ns && now_ns - outage->at_ns < outage->for_ns)
			return outage;
	}
	return NULL;
}

static bool history_full(const struct sim_receiver *receiver,
			 const struct receiver_account *account)
{
	double factor = receiver->truth->history.factor;

	return factor > 0 && account->accepted.count >=
				     fmax(receiver->truth->history.floor, factor * account->peak);
}

/* So much more time is blocked from some time on, for something done now. */
static void account_blocked(const struct sim_receiver *receiver, struct receiver_account *account,
			    uint64_t from_ns, uint64_t end_ns, uint64_t now_ns)
{
	if (end_ns > receiver->duration_ns)
		end_ns = receiver->duration_ns;
	if (end_ns <= from_ns)
		return;
	account->blocked_ns += end_ns - from_ns;
	if (now_ns >= HOUR)
		account->blocked_late_ns += end_ns - from_ns;
}

static void account_block(const struct sim_receiver *receiver, struct receiver_account *account,
			  double hold_ns, const char *reply, uint64_t now_ns)
{
	uint64_t day = window_clock(receiver, now_ns) / DAY;

	account->blocked_days += account->blocked_day != day;
	account->blocked_day = day;
	account->blocked_reply = reply;
	/* A block that outlasts the run may as well last for ever. */
	account->blocked_until_ns = now_ns + (uint64_t)fmin(hold_ns, (double)SCENARIO_DURATION_MAX);
	account_blocked(receiver, account, now_ns, account->blocked_until_ns, now_ns);
}

static void receiver_block(const struct sim_receiver *receiver, struct receiver_account *account,
			   uint64_t now_ns)
{
	const struct scenario_penalty *penalty = &receiver->truth->penalty;
	double hold_ns;

	if (account->blocks && now_ns - account->blocked_until_ns > FORGET)
		account->blocks = 0;
	hold_ns = (double)penalty->hold_ns * pow(penalty->repeat, account->blocks++);
	account_block(receiver, account, hold_ns, penalty->reply, now_ns);
}

/* A message arrives: is it one too many of the day? */
static bool allowance_punishes(const struct sim_receiver *receiver,
			       struct receiver_account *account, uint64_t now_ns)
{
	const struct scenario_allowance *truth = &receiver->truth->allowance;

	if (++account->allowance.arrived <= receiver_allowance_bound(truth, &account->allowance))
		return false;
	account_block(receiver, account, (double)truth->hold_ns, truth->reply, now_ns);
	return true;
}

/* An attempt while blocked makes it last for so long at least, from now. */
static void receiver_prolong(const struct sim_receiver *receiver, struct receiver_account *account,
			     uint64_t *until_ns, uint64_t by_ns, uint64_t now_ns)
{
	if (now_ns + by_ns <= *until_ns)
		return;
	account_blocked(receiver, account, *until_ns, now_ns + by_ns, now_ns);
	*until_ns = now_ns + by_ns;
}

/* Of the last `count` replies over a limit, this one included, the oldest says whether it was one
 * too many. */
static bool strike_by_count(const struct scenario_penalty *penalty,
			    struct receiver_account *account, uint64_t now_ns)
{
	uint64_t oldest;

	account->violations[account->strike_at] = now_ns;
	account->strike_at = (account->strike_at + 1) % penalty->count;
	oldest = account->violations[account->strike_at];
	if (oldest == UINT64_MAX || now_ns - oldest > penalty->window_ns)
		return false;
	memset(account->violations, 0xff, penalty->count * sizeof *account->violations);
	return true;
}

static bool strike_by_part(const struct sim_receiver *receiver, struct receiver_account *account,
			   uint64_t now_ns)
{
	const struct scenario_penalty *penalty = &receiver->truth->penalty;

	receiver_window_advance(&account->strikes, penalty->window_ns, true,
				window_clock(receiver, now_ns));
	receiver_window_count(&account->strikes);
	if (account->strikes.count <
	    penalty->part * account_allows(receiver, account, penalty->window_ns))
		return false;
	account->strikes = (struct receiver_window){0};
	return true;
}

/* A reply over a limit is given. */
static void receiver_strike(const struct sim_receiver *receiver, struct receiver_account *account,
			    uint64_t now_ns)
{
	const struct scenario_penalty *penalty = &receiver->truth->penalty;

	if (penalty->count ? strike_by_count(penalty, account, now_ns)
			   : penalty->part > 0 && strike_by_part(receiver, account, now_ns))
		receiver_block(receiver, account, now_ns);
}

static enum receiver_cause receiver_over(const struct sim_receiver *receiver,
					 struct receiver_account *account,
					 enum receiver_cause cause, uint64_t now_ns,
					 const char **ret_text)
{
	const struct scenario_receiver *truth = receiver->truth;

	*ret_text = cause == RECEIVER_HISTORY ? truth->history.over
					      : truth->over[cause - RECEIVER_RATE];
	receiver_strike(receiver, account, now_ns);
	return cause;
}

/* The block that a source is in by itself, of those that will have begun; -1: none. */
static int receiver_listed(const struct sim_receiver *receiver, size_t source, uint64_t now_ns)
{
	for (uint32_t i = 0; i < receiver->truth->block_count; i++) {
		const struct scenario_block *block = &receiver->truth->blocks[i];

		if (now_ns >= block->at_ns && now_ns < receiver->block_ends_ns[i] &&
		    (block->source == SCENARIO_NOBODY || block->source == source))
			return (int)i;
	}
	return -1;
}

/* Trouble that has nothing to do with what is attempted: an outage, a block. */
static enum receiver_cause receiver_shut(struct sim_receiver *receiver, size_t source,
					 uint64_t now_ns, const char **ret_text)
{
	const struct scenario_receiver *truth = receiver->truth;
	const struct scenario_outage *outage = receiver_outage(receiver, now_ns);
	struct receiver_account *account = receiver->sources[source].account;
	int listed = receiver_listed(receiver, source, now_ns);

	if (outage) {
		*ret_text = outage->reply;
		return RECEIVER_OUTAGE;
	}
	if (listed >= 0) {
		*ret_text = truth->blocks[listed].reply;
		receiver_prolong(receiver, account, &receiver->block_ends_ns[listed],
				 truth->blocks[listed].prolong_ns, now_ns);
		return RECEIVER_LISTED;
	}
	if (now_ns < account->blocked_until_ns) {
		*ret_text = account->blocked_reply;
		receiver_prolong(receiver, account, &account->blocked_until_ns,
				 truth->penalty.prolong_ns, now_ns);
		return RECEIVER_BLOCKED;
	}
	return RECEIVER_ACCEPTED;
}

/* The chance that the load has a message refused. */
static double soft_chance(const struct sim_receiver *receiver,
			  const struct receiver_account *account)
{
	const struct scenario_soft *soft = &receiver->truth->soft;

	return (account_load(receiver, account) - soft->from) / (soft->full - soft->from);
}

/* luck: a number in [0, 1), for a limit that is not hard. */
static enum receiver_cause receiver_limit(const struct sim_receiver *receiver,
					  const struct receiver_account *account, double luck)
{
	bool hard = receiver->truth->soft.full == 0;

	if (account->day.count >= account_day(receiver, account))
		return RECEIVER_DAY;
	if (account->hour.count >= account_hour(receiver, account))
		return RECEIVER_HOUR;
	if (receiver->accept.minute && account->minute.count >= receiver->accept.minute)
		return RECEIVER_MINUTE;
	if (history_full(receiver, account))
		return RECEIVER_HISTORY;
	if (hard ? account->tokens < 1 - TOKEN_SLACK
		 : luck + SOFT_SLACK < soft_chance(receiver, account))
		return RECEIVER_RATE;
	return RECEIVER_ACCEPTED;
}

/* ---- what arrives ---------------------------------------------------------------------------- */

enum receiver_cause receiver_connect(struct sim_receiver *receiver, size_t index, uint64_t now_ns,
				     const char **ret_text)
{
	struct receiver_source *source = &receiver->sources[index];
	const struct scenario_outage *outage = receiver_outage(receiver, now_ns);

	if (outage) {
		*ret_text = outage->reply;
		return RECEIVER_OUTAGE;
	}
	/* A blocked source may connect, and hears of it at its message. */
	if (now_ns >= source->account->blocked_until_ns && receiver->accept.connections &&
	    source->open >= receiver->accept.connections)
		return receiver_over(receiver, source->account, RECEIVER_CONNECTIONS, now_ns,
				     ret_text);
	connections_refill(receiver, source->account, now_ns);
	if (now_ns >= source->account->blocked_until_ns && connections_paced(receiver)) {
		if (source->account->connection_tokens < 1 - TOKEN_SLACK)
			return receiver_over(receiver, source->account, RECEIVER_CONNECTION_RATE,
					     now_ns, ret_text);
		source->account->connection_tokens -= 1;
	}
	source->open++;
	return RECEIVER_ACCEPTED;
}

void receiver_close(struct sim_receiver *receiver, size_t source)
{
	receiver->sources[source].open--;
}

static const struct scenario_noise *receiver_noise(const struct sim_receiver *receiver,
						   const struct receiver_message *message)
{
	double at[] = {simulate_draw(message->draw), simulate_draw(message->content)};

	for (size_t i = 0; i < receiver->truth->noise_count; i++) {
		const struct scenario_noise *noise = &receiver->truth->noises[i];

		if (noise->customer != SCENARIO_NOBODY && noise->customer != message->customer)
			continue;
		if (at[noise->sticky] < noise->share)
			return noise;
		at[noise->sticky] -= noise->share;
	}
	return NULL;
}

/* A message that the limits have let through. */
static enum receiver_cause receiver_admit(const struct sim_receiver *receiver,
					  struct receiver_account *account,
					  const struct receiver_message *message, uint64_t now_ns,
					  const char **ret_text)
{
	const struct scenario_greylist *greylist = &receiver->truth->greylist;
	const struct scenario_noise *noise = receiver_noise(receiver, message);

	account->tokens -= 1;
	receiver_window_count(&account->minute);
	receiver_window_count(&account->hour);
	receiver_window_count(&account->day);
	account->used++;
	if (noise) {
		*ret_text = noise->reply;
		return RECEIVER_NOISE;
	}
	if (greylist->delay_ns &&
	    (!message->first_seen_ns || now_ns - message->first_seen_ns < greylist->delay_ns)) {
		*ret_text = greylist->reply;
		return RECEIVER_GREYLIST;
	}
	receiver_window_count(&account->accepted);
	account->history++;
	account->allowance.accepted++;
	return RECEIVER_ACCEPTED;
}

enum receiver_cause receiver_take(struct sim_receiver *receiver, size_t source,
				  const struct receiver_message *message, uint64_t now_ns,
				  const char **ret_text)
{
	struct receiver_account *account = receiver->sources[source].account;
	uint32_t places = receiver->accept.per_connection;
	enum receiver_cause cause;

	receiver_advance(receiver, account, now_ns);
	cause = receiver_shut(receiver, source, now_ns, ret_text);
	if (cause)
		return cause;
	if (allowance_punishes(receiver, account, now_ns)) {
		*ret_text = account->blocked_reply;
		return RECEIVER_BLOCKED;
	}
	/* Whether noise meets it is one matter of chance, whether the load does another. */
	cause = places && message->place > places
			? RECEIVER_PER_CONNECTION
			: receiver_limit(receiver, account,
					 simulate_draw(simulate_luck(message->draw, 0, 0)));
	account->load += 1;
	if (cause)
		return receiver_over(receiver, account, cause, now_ns, ret_text);
	return receiver_admit(receiver, account, message, now_ns, ret_text);
}

uint64_t receiver_latency(const struct sim_receiver *receiver, size_t source,
			  enum receiver_cause cause, const char *text)
{
	const struct scenario_receiver *truth = receiver->truth;
	double load = account_load(receiver, receiver->sources[source].account);

	if (text && strcmp(text, SCENARIO_TIMEOUT) == 0)
		return truth->timeout_ns;
	if (cause && truth->latency_refused_ns)
		return truth->latency_refused_ns;
	if (!truth->latency_full_ns || !load_matters(receiver))
		return truth->latency_ns;
	return (uint64_t)fmax(0, (1 - load) * (double)truth->latency_ns +
					 load * (double)truth->latency_full_ns);
}

void receiver_change(struct sim_receiver *receiver, const struct scenario_change *change,
		     uint64_t now_ns)
{
	for (size_t i = 0; i < receiver->source_count; i++) {
		receiver_advance(receiver, &receiver->accounts[i], now_ns);
		connections_refill(receiver, &receiver->accounts[i], now_ns);
	}
	receiver->accept = change->accept;
}

/* ---- for the oracle -------------------------------------------------------------------------- */

/* How long it is until the rate lets the next message through. */
static uint64_t rate_wait(const struct sim_receiver *receiver,
			  const struct receiver_account *account)
{
	double wait = (1 - account->tokens) / account_rate(receiver, account) * SECOND;

	if (receiver->truth->soft.full > 0)
		wait = load_time_ns(receiver, account) *
		       log(account_load(receiver, account) / receiver->truth->soft.from);
	return 1 + (uint64_t)fmin(wait, (double)SCENARIO_DURATION_MAX);
}

uint64_t receiver_connect_earliest(struct sim_receiver *receiver, size_t source, uint64_t now_ns)
{
	struct receiver_account *account = receiver->sources[source].account;
	double wait;

	connections_refill(receiver, account, now_ns);
	if (!connections_paced(receiver) || account->connection_tokens >= 1 - TOKEN_SLACK)
		return now_ns;
	wait = (1 - account->connection_tokens) / receiver->accept.connection_rate * SECOND;
	return now_ns + 1 + (uint64_t)fmin(wait, (double)SCENARIO_DURATION_MAX);
}

uint64_t receiver_earliest(struct sim_receiver *receiver, size_t source, uint64_t now_ns)
{
	struct receiver_account *account = receiver->sources[source].account;
	const struct scenario_outage *outage = receiver_outage(receiver, now_ns);
	int listed = receiver_listed(receiver, source, now_ns);

	if (outage)
		return outage->at_ns + outage->for_ns;
	if (listed >= 0)
		return receiver->block_ends_ns[listed];
	if (now_ns < account->blocked_until_ns)
		return account->blocked_until_ns;
	receiver_advance(receiver, account, now_ns);
	if (account->allowance.arrived + 1 >
	    receiver_allowance_bound(&receiver->truth->allowance, &account->allowance))
		return window_next(receiver, DAY, now_ns);
	switch (receiver_limit(receiver, account, 0)) {
	case RECEIVER_ACCEPTED: return now_ns;
	case RECEIVER_DAY: return window_next(receiver, DAY, now_ns);
	case RECEIVER_RATE: return now_ns + rate_wait(receiver, account);
	case RECEIVER_MINUTE:
		return now_ns + receiver_window_left(MINUTE, true, window_clock(receiver, now_ns));
	default: return window_next(receiver, HOUR, now_ns);
	}
}
