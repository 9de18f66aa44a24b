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

int receiver_init(struct sim_receiver *receiver, const struct scenario_receiver *truth,
		  size_t sources, uint64_t duration_ns)
{
	*receiver = (struct sim_receiver){
		.truth = truth,
		.accept = truth->accept,
		.duration_ns = duration_ns,
		.source_count = sources,
		.sources = calloc(sources, sizeof *receiver->sources),
	};
	if (!receiver->sources)
		return -ENOMEM;
	for (size_t i = 0; i < sources; i++) {
		struct receiver_source *source = &receiver->sources[i];

		source->tokens = truth->accept.burst;
		if (!truth->penalty.count)
			continue;
		source->violations = malloc(truth->penalty.count * sizeof *source->violations);
		if (!source->violations) {
			receiver_free(receiver);
			return -ENOMEM;
		}
		/* No strike yet: as if all had been given infinitely long ago. */
		memset(source->violations, 0xff, truth->penalty.count * sizeof *source->violations);
	}
	return 0;
}

void receiver_free(struct sim_receiver *receiver)
{
	if (receiver->sources)
		for (size_t i = 0; i < receiver->source_count; i++)
			free(receiver->sources[i].violations);
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

static void receiver_advance(struct sim_receiver *receiver, struct receiver_source *source,
			     uint64_t now_ns)
{
	const struct scenario_accept *accept = &receiver->accept;
	uint64_t hour = window_clock(receiver, now_ns) / HOUR;

	if (now_ns > source->tokens_ns) {
		double grown = accept->rate * (double)(now_ns - source->tokens_ns) / SECOND;

		source->tokens = fmin(accept->burst, source->tokens + grown);
		source->tokens_ns = now_ns;
	}
	window_advance(receiver, &source->hour, HOUR, now_ns);
	window_advance(receiver, &source->day, DAY, now_ns);
	window_advance(receiver, &source->accepted, HOUR, now_ns);
	if (hour == source->history_hour)
		return;
	if (source->history > source->peak)
		source->peak = source->history;
	source->history_hour = hour;
	source->history = 0;
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

static bool history_full(const struct sim_receiver *receiver, const struct receiver_source *source)
{
	double factor = receiver->truth->history.factor;

	return factor > 0 && source->accepted.count >=
				     fmax(receiver->truth->history.floor, factor * source->peak);
}

static void receiver_block(struct sim_receiver *receiver, struct receiver_source *source,
			   uint64_t now_ns)
{
	const struct scenario_receiver *truth = receiver->truth;
	double hold_ns;
	uint64_t end_ns;

	if (source->blocks && now_ns - source->blocked_until_ns > FORGET)
		source->blocks = 0;
	hold_ns = (double)truth->penalty.hold_ns * pow(truth->penalty.repeat, source->blocks++);
	/* A block that outlasts the run may as well last for ever. */
	end_ns = now_ns + (uint64_t)fmin(hold_ns, (double)SCENARIO_DURATION_MAX);
	source->blocked_until_ns = end_ns;
	if (end_ns > receiver->duration_ns)
		end_ns = receiver->duration_ns;
	source->blocked_ns += end_ns - now_ns;
	if (now_ns >= HOUR)
		source->blocked_late_ns += end_ns - now_ns;
}

/* A reply over a limit is given: of the last `count` ones the oldest says whether it was one too
 * many. */
static void receiver_strike(struct sim_receiver *receiver, struct receiver_source *source,
			    uint64_t now_ns)
{
	uint32_t count = receiver->truth->penalty.count;
	uint64_t oldest;

	if (!count)
		return;
	source->violations[source->strike_at] = now_ns;
	source->strike_at = (source->strike_at + 1) % count;
	oldest = source->violations[source->strike_at];
	if (oldest == UINT64_MAX || now_ns - oldest > receiver->truth->penalty.window_ns)
		return;
	receiver_block(receiver, source, now_ns);
	memset(source->violations, 0xff, count * sizeof *source->violations);
}

static enum receiver_cause receiver_over(struct sim_receiver *receiver,
					 struct receiver_source *source, enum receiver_cause cause,
					 uint64_t now_ns, const char **ret_text)
{
	const struct scenario_receiver *truth = receiver->truth;

	*ret_text = cause == RECEIVER_HISTORY ? truth->history.over
					      : truth->over[cause - RECEIVER_RATE];
	receiver_strike(receiver, source, now_ns);
	return cause;
}

/* Trouble that has nothing to do with what is attempted: an outage, a block. */
static enum receiver_cause receiver_shut(const struct sim_receiver *receiver,
					 const struct receiver_source *source, uint64_t now_ns,
					 const char **ret_text)
{
	const struct scenario_outage *outage = receiver_outage(receiver, now_ns);

	if (outage) {
		*ret_text = outage->reply;
		return RECEIVER_OUTAGE;
	}
	if (now_ns < source->blocked_until_ns) {
		*ret_text = receiver->truth->penalty.reply;
		return RECEIVER_BLOCKED;
	}
	return RECEIVER_ACCEPTED;
}

static enum receiver_cause receiver_limit(const struct sim_receiver *receiver,
					  const struct receiver_source *source)
{
	const struct scenario_accept *accept = &receiver->accept;

	if (accept->day && source->day.count >= accept->day)
		return RECEIVER_DAY;
	if (accept->hour && source->hour.count >= accept->hour)
		return RECEIVER_HOUR;
	if (history_full(receiver, source))
		return RECEIVER_HISTORY;
	if (source->tokens < 1 - TOKEN_SLACK)
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
	if (now_ns >= source->blocked_until_ns && receiver->accept.connections &&
	    source->open >= receiver->accept.connections)
		return receiver_over(receiver, source, RECEIVER_CONNECTIONS, now_ns, ret_text);
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
	struct receiver_source *source = &receiver->sources[index];
	const struct scenario_noise *noise;
	enum receiver_cause cause;

	receiver_advance(receiver, source, now_ns);
	cause = receiver_shut(receiver, source, now_ns, ret_text);
	if (cause)
		return cause;
	cause = receiver->accept.per_connection && message->place > receiver->accept.per_connection
			? RECEIVER_PER_CONNECTION
			: receiver_limit(receiver, source);
	if (cause)
		return receiver_over(receiver, source, cause, now_ns, ret_text);
	source->tokens -= 1;
	window_count(&source->hour);
	window_count(&source->day);
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
	window_count(&source->accepted);
	source->history++;
	return RECEIVER_ACCEPTED;
}

void receiver_change(struct sim_receiver *receiver, const struct scenario_change *change,
		     uint64_t now_ns)
{
	for (size_t i = 0; i < receiver->source_count; i++)
		receiver_advance(receiver, &receiver->sources[i], now_ns);
	receiver->accept = change->accept;
}

/* ---- for the oracle -------------------------------------------------------------------------- */

uint64_t receiver_earliest(struct sim_receiver *receiver, size_t index, uint64_t now_ns)
{
	struct receiver_source *source = &receiver->sources[index];
	const struct scenario_outage *outage = receiver_outage(receiver, now_ns);
	double wait;

	if (outage)
		return outage->at_ns + outage->for_ns;
	if (now_ns < source->blocked_until_ns)
		return source->blocked_until_ns;
	receiver_advance(receiver, source, now_ns);
	switch (receiver_limit(receiver, source)) {
	case RECEIVER_ACCEPTED: return now_ns;
	case RECEIVER_DAY: return window_next(receiver, DAY, now_ns);
	case RECEIVER_RATE:
		wait = (1 - source->tokens) / receiver->accept.rate * SECOND;
		return now_ns + 1 + (uint64_t)fmin(wait, (double)SCENARIO_DURATION_MAX);
	default: return window_next(receiver, HOUR, now_ns);
	}
}
