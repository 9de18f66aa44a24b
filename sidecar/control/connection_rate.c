/* SPDX-License-Identifier: MIT
 *
 * How many connections are opened in a time: a limit of its own, where the receiver's words name it.
 *
 * It is found as the rate of messages is (rate.c). A refusal means that the receiver's allowance is
 * used up, and what was opened between two of them, over the time, is its rate. The flow stays just
 * below, and tries more after a number of connections, not of minutes, for trying costs a refusal.
 * What no slower pace of connections cures passes to the rate of messages.
 *
 * BUGS: a receiver at which no connections can be saved up is used to 0.86 of its limit: what is
 * opened a moment late is lost, and so the measurement is below the limit.
 */
#include "sidecar/control/state.h"

#define HOUR	       3600.0
#define ENOUGH	       4     /* connections that make a measurement */
#define FIRST_MAX      1.0   /* a second: what is taken for the pace where none was measured … */
#define FIRST_SHARE    0.5   /* … and of which, for the receiver's allowance had been full */
#define LONG_S	       120.0 /* … but matters little in what was opened in so long */
#define BELOW	       0.97  /* of the limit */
#define CUT_MOST       0.5   /* of the pace, at a refusal that was not looked for */
#define CUT_BLIND      0.7   /* … and where nothing was measured */
#define TRIED_SHARE    0.85  /* of the pace tried, which the limit is not below */
#define GROUND	       120   /* connections before more is tried … */
#define STEP_EVERY     10    /* … by a step for so many */
#define STEP	       1.02
#define GUESSED_GROUND 20 /* … and where the pace was guessed */
#define FAR_STEP       1.1
#define USED	       0.5 /* of what is allowed: less says nothing of more */
#define USED_GUESSED   0.25
#define SOON	       0.7 /* of the time between two connections */
#define NONE_DUE       3.0 /* connections that were due when none got in: slower is no cure */

static double per_second(const struct flow_control *fc)
{
	return fc->connection_rate / HOUR;
}

static void pace_set(struct flow_control *fc, double a_second)
{
	double an_hour = ceil(a_second * HOUR - 1e-6);

	/* Faster than can be said is no limit. */
	fc->connection_rate = an_hour > UINT16_MAX ? 0 : (uint16_t)fmax(an_hour, 1);
}

static double first_pace(const struct control_step *step, double opened, double seconds)
{
	double guess = FIRST_SHARE * fmin(step->fc->rate, FIRST_MAX);
	double pace;

	if (opened < ENOUGH || seconds <= 0)
		return guess;
	pace = (seconds < LONG_S ? FIRST_SHARE : BELOW) * opened / seconds;
	/* Of so long a time the flow may have been idle for the most. */
	return seconds > HOUR ? fmax(pace, guess) : pace;
}

static double next_pace(const struct control_step *step, double opened, double seconds)
{
	double pace = per_second(step->fc);
	double measured = seconds > 0 ? opened / seconds : pace;

	if (opened >= GROUND)
		return BELOW * between(measured, TRIED_SHARE * pace, pace);
	if (opened < ENOUGH)
		return (opened > 0 ? CUT_BLIND : CUT_MOST) * pace;
	return BELOW * between(measured, CUT_MOST * pace, pace);
}

bool connection_rate_deferred(struct control_step *step, const struct control_observation *seen)
{
	struct flow_control *fc = step->fc;
	double seconds = since(step->now, fc->connections_at);
	double opened = fc->connections_opened;

	if (seen->limit != REPLY_LIMIT_CONNECTION_RATE)
		return false;
	/* The words are said of messages, too: then it is not the connections that are limited. */
	if (seen->stage == TG_STAGE_MESSAGE && seen->place != 1) {
		if (seen->place > 1)
			fc->connection_rate = 0;
		return false;
	}
	/* Of the same flight. */
	if (fc->connection_rate && (int32_t)(stamp_of(step->admitted_ns) - fc->connections_at) <= 0)
		return true;
	if (fc->connection_rate && opened == 0) {
		double due = seconds * per_second(fc);

		/* It was let go before it was to be slower. */
		if (due < SOON)
			return true;
		if (due > NONE_DUE)
			return false;
	}
	fc->connection_guessed =
		fc->connection_rate == 0 || (fc->connection_guessed && opened < ENOUGH);
	pace_set(fc, fc->connection_rate ? next_pace(step, opened, seconds)
					 : first_pace(step, opened, seconds));
	fc->connections_at = step->now;
	fc->connections_opened = 0;
	return true;
}

/* What is tried after so many connections: more by far where it was guessed, or may have risen. */
static double step_up(const struct flow_control *fc)
{
	uint32_t ground = fc->connection_guessed ? GUESSED_GROUND : GROUND;
	bool far = fc->connection_guessed || fc->connections_opened >= 2 * GROUND;

	if (fc->connections_opened < ground || fc->connections_opened % STEP_EVERY)
		return 1;
	return far ? FAR_STEP : STEP;
}

/* A message was answered, and so its connection is open. */
void connection_rate_opened(struct control_step *step, const struct control_observation *seen)
{
	struct flow_control *fc = step->fc;
	double seconds = since(step->now, fc->connections_at);
	double used = fc->connection_guessed ? USED_GUESSED : USED;
	double up;

	if (seen->place != 1)
		return;
	if (++fc->connections_opened == UINT16_MAX) {
		fc->connections_opened = fc->connection_rate ? 2 * GROUND : 0;
		fc->connections_at = step->now;
	}
	up = step_up(fc);
	if (fc->connection_rate == 0 || up <= 1 ||
	    fc->connections_opened < used * seconds * per_second(fc))
		return;
	pace_set(fc, up * per_second(fc));
	/* It has risen: what was opened before says nothing of what it is by now. */
	if (up >= FAR_STEP && !fc->connection_guessed)
		fc->connections_at = step->now;
}

uint64_t connection_rate_interval_ns(const struct flow_control *fc)
{
	return fc->connection_rate ? seconds_ns(HOUR / fc->connection_rate) : 0;
}
