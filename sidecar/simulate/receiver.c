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

#define SECOND UINT64_C(1000000000)
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)
/* Rounding of the tokens must not refuse a message that came exactly on time. */
#define TOKEN_SLACK 1e-6
/* Blocks are "in a row" until a day has passed since the last one ended. */
#define FORGET DAY

static int account_init(struct receiver_account *account, const struct scenario_receiver *truth)
{
	size_t size = truth->penalty.count * sizeof *account->violations;

	account->tokens = truth->accept.burst;
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

	*receiver = (struct sim_receiver){
		.truth = truth,
		.accept = truth->accept,
		.duration_ns = scenario->duration_ns,
		.source_count = count,
		.sources = calloc(count, sizeof *receiver->sources),
		.accounts = calloc(count, sizeof *receiver->accounts),
	};
	for (uint32_t i = 0; i < count; i++) {
		uint32_t account = scenario_account(scenario, index, i);

		if (!receiver->sources || !receiver->accounts ||
		    (account == i && account_init(&receiver->accounts[i], truth) != 0)) {
			receiver_free(receiver);
			return -ENOMEM;
		}
		receiver->sources[i].account = &receiver->accounts[account];
	}
	return 0;
}

void receiver_free(struct sim_receiver *receiver)
{
	if (receiver->accounts)
		for (size_t i = 0; i < receiver->source_count; i++)
			free(receiver->accounts[i].violations);
	free(receiver->accounts);
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
	uint64_t step = receiver->truth->sliding ? length_ns / RECEIVER_SLOTS : length_ns;
	uint64_t period = window_clock(receiver, now_ns) / step;

	if (!receiver->truth->sliding || period - window->period >= RECEIVER_SLOTS) {
		if (period != window->period)
			*window = (struct receiver_window){.period = period};
		return;
	}
	while (window->period < period) {
		uint32_t *slot = &window->slots[++window->period % RECEIVER_SLOTS];

		window->count -= *slot;
		*slot = 0;
	}
}

static void window_count(struct receiver_window *window)
{
	window->count++;
	window->slots[window->period % RECEIVER_SLOTS]++;
}

/* When the window as advanced to now_ns can next have more room. */
static uint64_t window_next(const struct sim_receiver *receiver, uint64_t length_ns,
			    uint64_t now_ns)
{
	uint64_t step = receiver->truth->sliding ? length_ns / RECEIVER_SLOTS : length_ns;

	return now_ns + step - window_clock(receiver, now_ns) % step;
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void receiver_advance(struct sim_receiver *receiver, struct receiver_account *account,
			     uint64_t now_ns)
{
	const struct scenario_accept *accept = &receiver->accept;
	uint64_t hour = window_clock(receiver, now_ns) / HOUR;

	if (now_ns > account->tokens_ns) {
		double grown = accept->rate * (double)(now_ns - account->tokens_ns) / SECOND;

		account->tokens = fmin(accept->burst, account->tokens + grown);
		account->tokens_ns = now_ns;
	}
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

static void receiver_block(struct sim_receiver *receiver, struct receiver_account *account,
			   uint64_t now_ns)
{
	const struct scenario_receiver *truth = receiver->truth;
	double hold_ns;
	uint64_t end_ns;

	if (account->blocks && now_ns - account->blocked_until_ns > FORGET)
		account->blocks = 0;
	hold_ns = (double)truth->penalty.hold_ns * pow(truth->penalty.repeat, account->blocks++);
	/* A block that outlasts the run may as well last for ever. */
	end_ns = now_ns + (uint64_t)fmin(hold_ns, (double)SCENARIO_DURATION_MAX);
	account->blocked_until_ns = end_ns;
	if (end_ns > receiver->duration_ns)
		end_ns = receiver->duration_ns;
	account->blocked_ns += end_ns - now_ns;
	if (now_ns >= HOUR)
		account->blocked_late_ns += end_ns - now_ns;
}

/* A reply over a limit is given: of the last `count` ones the oldest says whether it was one too
 * many. */
static void receiver_strike(struct sim_receiver *receiver, struct receiver_account *account,
			    uint64_t now_ns)
{
	uint32_t count = receiver->truth->penalty.count;
	uint64_t oldest;

	if (!count)
		return;
	account->violations[account->strike_at] = now_ns;
	account->strike_at = (account->strike_at + 1) % count;
	oldest = account->violations[account->strike_at];
	if (oldest == UINT64_MAX || now_ns - oldest > receiver->truth->penalty.window_ns)
		return;
	receiver_block(receiver, account, now_ns);
	memset(account->violations, 0xff, count * sizeof *account->violations);
}

static enum receiver_cause receiver_over(struct sim_receiver *receiver,
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

/* Trouble that has nothing to do with what is attempted: an outage, a block. */
static enum receiver_cause receiver_shut(const struct sim_receiver *receiver,
					 const struct receiver_account *account, uint64_t now_ns,
					 const char **ret_text)
{
	const struct scenario_outage *outage = receiver_outage(receiver, now_ns);

	if (outage) {
		*ret_text = outage->reply;
		return RECEIVER_OUTAGE;
	}
	if (now_ns < account->blocked_until_ns) {
		*ret_text = receiver->truth->penalty.reply;
		return RECEIVER_BLOCKED;
	}
	return RECEIVER_ACCEPTED;
}

static enum receiver_cause receiver_limit(const struct sim_receiver *receiver,
					  const struct receiver_account *account)
{
	const struct scenario_accept *accept = &receiver->accept;

	if (accept->day && account->day.count >= accept->day)
		return RECEIVER_DAY;
	if (accept->hour && account->hour.count >= accept->hour)
		return RECEIVER_HOUR;
	if (history_full(receiver, account))
		return RECEIVER_HISTORY;
	if (account->tokens < 1 - TOKEN_SLACK)
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
	source->open++;
	return RECEIVER_ACCEPTED;
}

void receiver_close(struct sim_receiver *receiver, size_t source)
{
	receiver->sources[source].open--;
}

static const struct scenario_noise *receiver_noise(const struct sim_receiver *receiver,
						   uint64_t draw)
{
	double at = (double)(draw >> 11) * 0x1p-53;

	for (size_t i = 0; i < receiver->truth->noise_count; i++) {
		if (at < receiver->truth->noises[i].share)
			return &receiver->truth->noises[i];
		at -= receiver->truth->noises[i].share;
	}
	return NULL;
}

enum receiver_cause receiver_take(struct sim_receiver *receiver, size_t index,
				  const struct receiver_message *message, uint64_t now_ns,
				  const char **ret_text)
{
	const struct scenario_receiver *truth = receiver->truth;
	struct receiver_account *account = receiver->sources[index].account;
	const struct scenario_noise *noise;
	enum receiver_cause cause;

	receiver_advance(receiver, account, now_ns);
	cause = receiver_shut(receiver, account, now_ns, ret_text);
	if (cause)
		return cause;
	cause = receiver->accept.per_connection && message->place > receiver->accept.per_connection
			? RECEIVER_PER_CONNECTION
			: receiver_limit(receiver, account);
	if (cause)
		return receiver_over(receiver, account, cause, now_ns, ret_text);
	account->tokens -= 1;
	window_count(&account->hour);
	window_count(&account->day);
	noise = receiver_noise(receiver, message->draw);
	if (noise) {
		*ret_text = noise->reply;
		return RECEIVER_NOISE;
	}
	if (truth->greylist.delay_ns &&
	    (!message->first_seen_ns ||
	     now_ns - message->first_seen_ns < truth->greylist.delay_ns)) {
		*ret_text = truth->greylist.reply;
		return RECEIVER_GREYLIST;
	}
	window_count(&account->accepted);
	account->history++;
	return RECEIVER_ACCEPTED;
}

void receiver_change(struct sim_receiver *receiver, const struct scenario_change *change,
		     uint64_t now_ns)
{
	for (size_t i = 0; i < receiver->source_count; i++)
		receiver_advance(receiver, &receiver->accounts[i], now_ns);
	receiver->accept = change->accept;
}

/* ---- for the oracle -------------------------------------------------------------------------- */

uint64_t receiver_earliest(struct sim_receiver *receiver, size_t index, uint64_t now_ns)
{
	struct receiver_account *account = receiver->sources[index].account;
	const struct scenario_outage *outage = receiver_outage(receiver, now_ns);
	double wait;

	if (outage)
		return outage->at_ns + outage->for_ns;
	if (now_ns < account->blocked_until_ns)
		return account->blocked_until_ns;
	receiver_advance(receiver, account, now_ns);
	switch (receiver_limit(receiver, account)) {
	case RECEIVER_ACCEPTED: return now_ns;
	case RECEIVER_DAY: return window_next(receiver, DAY, now_ns);
	case RECEIVER_RATE:
		wait = (1 - account->tokens) / receiver->accept.rate * SECOND;
		return now_ns + 1 + (uint64_t)fmin(wait, (double)SCENARIO_DURATION_MAX);
	default: return window_next(receiver, HOUR, now_ns);
	}
}
