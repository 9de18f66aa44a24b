/* SPDX-License-Identifier: MIT
 *
 * Holds: nothing goes until a time, then one message, the probe, whose reply decides.
 *
 * A hold ends by a probe that succeeds, never by a timer alone. A failed probe doubles the wait, up
 * to a bound that grows with the age of the hold; a probe whose reply never came is followed by
 * another.
 */
#include "sidecar/control/state.h"

#define GAP_HOUR    1200 /* seconds between two probes, at the most: in the first hour, … */
#define GAP_QUARTER 1800 /* … in the first six, … */
#define COOLDOWN_FREE \
	4.2 /* deferrals of late: receivers are known to count to eight in ten minutes */
#define COOLDOWN_SECONDS 150 /* seconds for each more */
#define COOLDOWN_MAX	 600
#define GAP_OUTAGE	 120  /* … while the receiver has trouble of its own, … */
#define GAP_AGE		 20.0 /* … and this part of the time for which nothing was taken at all */
#define PROBES_CLOSE	 2    /* after so many it is not the rate, and the waits grow faster */

static double max_gap(const struct control_step *step)
{
	double age = since(step->now, step->fc->hold_since);

	return age < 3600 ? GAP_HOUR : age < 6 * 3600 ? GAP_QUARTER : GAP_MAX;
}

/* Receivers punish a sender for so many refusals in so many minutes: the more there were of late,
 * the longer the wait for the next. */
static double cooldown(const struct control_step *step)
{
	double over = rate_pressure_now(step->fc, step->now) - COOLDOWN_FREE;

	return over > 0 ? fmin(COOLDOWN_SECONDS * over, COOLDOWN_MAX) : 0;
}

void hold_begin(struct control_step *step, double seconds)
{
	struct flow_control *fc = step->fc;
	double wait = window_wait(step);
	double spare;

	fc->hold_seconds = (uint16_t)between(ceil(seconds), 1, GAP_MAX);
	if (!(fc->flags & FLAG_OUTAGE))
		seconds = fmax(seconds, cooldown(step));
	/* The receiver's windows end on the hour: a probe just past it is worth more. */
	if ((seconds >= 60 && wait < seconds) || (seconds >= 120 && wait < 1.5 * seconds))
		seconds = wait;
	fc->flags |= FLAG_HELD;
	fc->hold_until_ns = step->now_ns + seconds_ns(seconds);
	fc->due_ns = fc->hold_until_ns;
	spare = seconds - fmax(16, 6 / fc->rate);
	if (spare > 0)
		fc->idle += (float)spare;
}

/* The probe has failed. */
void hold_probe_failed(struct control_step *step)
{
	struct flow_control *fc = step->fc;
	double growth = fc->probe_failures < PROBES_CLOSE ? 2 : 3;
	double gap = fmin(growth * fc->hold_seconds, max_gap(step));
	double day_left = fc->probe_failures >= PROBES_CLOSE ? window_day_left(step) : 0;

	fc->flags &= (uint16_t)~FLAG_OUTAGE;
	if (fc->probe_failures < UINT8_MAX)
		fc->probe_failures++;
	if (fc->flags & FLAG_WINDOW)
		window_missed(step);
	else if (window_hit(step, REPLY_LIMIT_NONE))
		fc->flags |= FLAG_WINDOW;
	if (day_left > 0)
		gap = fmin(day_left + 2, GAP_MAX);
	hold_begin(step, fc->flags & FLAG_WINDOW ? window_wait(step) : gap);
}

/* The probe met trouble that is not about a limit: once is chance. What goes on for long in words
 * that nobody knows may be a block. */
void hold_outage(struct control_step *step, enum reply_class class)
{
	struct flow_control *fc = step->fc;
	bool again = fc->flags & FLAG_OUTAGE;
	double age = since(step->now, fc->hold_since);
	double most = class == REPLY_INFRASTRUCTURE ? GAP_OUTAGE : fmax(GAP_OUTAGE, age / GAP_AGE);

	fc->flags |= FLAG_OUTAGE;
	hold_begin(step, fmin(again ? 2.0 * fc->hold_seconds : fc->hold_seconds, most));
}

/* The probe has succeeded: here a hold ends. */
void hold_probe_succeeded(struct control_step *step)
{
	struct flow_control *fc = step->fc;
	double age = since(step->now, fc->hold_since);
	bool outage = fc->flags & FLAG_OUTAGE;
	bool chance = fc->flags & FLAG_MAYBE_NOISE && fc->probe_failures == 1 &&
		      !(fc->flags & (FLAG_WINDOW | FLAG_VOLUME_SPIKE));

	fc->flags &= (uint16_t) ~(FLAG_HELD | FLAG_OUTAGE | FLAG_MAYBE_NOISE);
	fc->raised = step->now;
	if (!outage && window_released(step))
		rate_restore(step);
	else if (!outage &&
		 (fc->probe_failures >= (noise_known(fc) ? 3 : 2) || fc->flags & FLAG_VOLUME_SPIKE))
		rate_backoff(step, age);
	else if (!outage)
		rate_scale_after_flight(step);
	fc->flags &= (uint16_t)~FLAG_DAY;
	fc->probe_failures = 0;
	fc->probe_from_count = 0;
	if (chance)
		noise_refused(step);
}
