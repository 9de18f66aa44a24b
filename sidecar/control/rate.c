/* SPDX-License-Identifier: MIT
 *
 * The rate of a flow: how fast it climbs, how far apart it probes, what trouble with it begins.
 */
#include "sidecar/control/state.h"

#define SPACING_LEAST	   60  /* messages between two probes: after a surprise … */
#define SPACING_LEAST_SLOW 360 /* … at low rates, seconds */
#define SPACING_MOST	   400 /* … and when all is as expected, at the least */
#define SPACING_SLOW                                                                   \
	1200 /* at low rates, seconds: for a rise shall be noticed within the hour … \
	      */
#define SPACING_SLOWEST 350
#define SPACING_SECONDS \
	300 /* at high rates probes are this far apart, for penalties count in minutes */
#define DOUBLE_SEARCH  60  /* seconds in which the rate doubles: from nothing known … */
#define DOUBLE_RECOVER 30  /* … back to what was … */
#define DOUBLE_PROBE   120 /* … past it … */
#define DOUBLE_FAR     45  /* … and far past it: the limit has risen */
#define FLIGHT	       3.5 /* deferrals of late, from which on a flight was refused and not a message */
#define RAISE_SECONDS  1  /* between two raises, at the least */
#define UNUSED_MOST    16 /* sixty-fourths: a rate that is not in use is not raised */

void rate_set(struct turn *turn, double rate)
{
	turn->life->rate = (float)between(rate, rate_low(turn->bounds), rate_high(turn->bounds));
}

void rate_init(struct life *life, const struct control_bounds *bounds)
{
	double start = bounds->rate_start > 0 ? bounds->rate_start : rate_high(bounds);

	life->rate = (float)between(start, rate_low(bounds), rate_high(bounds));
	life->spacing = SPACING_LEAST;
	life->reserve = 3 * 16;
	life->mode = MODE_SEARCH;
}

/* Messages that must have been accepted in a row before the next probe. */
double rate_probe_after(const struct life *life)
{
	return fmax(life->spacing, 60 * life->trouble) * (1 + life->care);
}

/* Where chance explains the first deferrals, a probe costs more of them. */
float rate_spacing_least(const struct life *life)
{
	double least = between(SPACING_LEAST_SLOW * life->trouble, 40, SPACING_LEAST);

	return (float)(noise_known(life) ? fmax(3 * least, SPACING_SECONDS * life->trouble)
					 : least);
}

double rate_spacing_most(const struct life *life)
{
	return fmax(between(SPACING_SLOW * life->trouble, SPACING_SLOWEST, SPACING_MOST),
		    SPACING_SECONDS * life->trouble);
}

/* Deferrals of late: each counts 1 and leaks away within five minutes. */
double pressure_now(const struct life *life, uint32_t now)
{
	return fmax(0, life->pressure - since(now, life->pressure_at) / (300.0 * (1 + life->care)));
}

void pressure_add(struct turn *turn)
{
	struct life *life = turn->life;

	life->pressure = (float)pressure_now(life, turn->now) + 1;
	life->pressure_at = turn->now;
}

void rate_trouble_at(struct turn *turn, double trouble)
{
	turn->life->trouble = (float)between(trouble, rate_low(turn->bounds), RATE_TOP);
}

/* Runs just below the trouble rate. */
void rate_settle(struct turn *turn, double trouble)
{
	rate_trouble_at(turn, trouble);
	rate_set(turn, BACK_OFF * turn->life->trouble);
	turn->life->mode = MODE_KNOWN;
	turn->life->flags &= (uint16_t) ~(FLAG_WEAK | FLAG_ALARM);
}

static double first_hold(const struct turn *turn, enum reply_class class)
{
	double rate = turn->life->rate;

	if (class == REPLY_PATTERN || class == REPLY_BLOCKLIST)
		return 300;
	if (turn->life->flags & FLAG_NAMED)
		return 60;
	if (class == REPLY_REPUTATION)
		return between(4 / rate, 8, 60);
	return between(2 / rate, 1, 90);
}

/* Below the trouble rate: here nothing should be refused. */
bool rate_on_ground(const struct life *life)
{
	return life->mode == MODE_KNOWN && life->rate <= life->trouble;
}

/* Is there room up to where a flow runs between two probes? (A float is never quite equal.) */
bool rate_below(const struct life *life)
{
	return life->rate < 0.999 * BACK_OFF * life->trouble;
}

/* Could it be chance? Where a limit is being looked for, one deferral tells nothing; where less was
 * accepted than the rate would have let go, it was the limit that let them go. */
static bool noise_possible(const struct turn *turn, const struct measure *seen)
{
	const struct life *life = turn->life;

	if (noise_known(life))
		return true;
	return !(life->flags & FLAG_ALARM) &&
	       (rate_on_ground(life) || (life->mode == MODE_RECOVER && life->count >= 20)) &&
	       (!seen->exact || rate_below(life) ||
		seen->count >= 0.97 * measure_sent(turn, seen) - 1);
}

void rate_trouble(struct turn *turn, enum reply_class class, enum reply_limit limit)
{
	struct life *life = turn->life;
	struct measure seen;

	if (turn->admitted_ns < life->hold_until_ns) {
		/* Of the same flight as the last trouble: nothing new, but the bucket was still
		 * empty. */
		pressure_add(turn);
		if (life->flags & FLAG_HELD)
			hold_extend(turn);
		if ((int32_t)(stamp_of(turn->admitted_ns) - life->mark) > 0) {
			measure_begin(turn);
			/* A climb under way was counted from the mark before. */
			if (!(life->flags & FLAG_HELD))
				life->began_count = 0;
		}
		return;
	}
	life->outages = 0;
	seen = measure_end(turn);
	if (life->flags & FLAG_HELD) {
		pressure_add(turn);
		measure_begin(turn);
		hold_again(turn);
		return;
	}
	flag_set(life, FLAG_CHANCE, noise_possible(turn, &seen));
	if (life->flags & FLAG_CHANCE && noise_explains(life)) {
		if (noise_grew(life) && rate_on_ground(life))
			rate_settle(turn, BACK_OFF * life->trouble);
		return;
	}
	pressure_add(turn);
	flag_set(life, FLAG_PATTERN, class == REPLY_PATTERN || class == REPLY_BLOCKLIST);
	cut_at_trouble(turn, &seen);
	measure_begin(turn);
	life->fails = 1;
	life->began = turn->now;
	life->began_count = life->hour_count;
	flag_set(life, FLAG_WINDOW, window_hit(turn, limit));
	hold_begin(turn, life->flags & FLAG_WINDOW ? window_wait(turn) : first_hold(turn, class));
}

/* How fast the rate may double now: seconds, 0 for not at all. */
static double doubling(struct turn *turn)
{
	struct life *life = turn->life;

	switch (life->mode) {
	case MODE_SEARCH: return DOUBLE_SEARCH;
	case MODE_RECOVER:
		if (rate_below(life))
			return DOUBLE_RECOVER;
		if (life->count >= rate_probe_after(life)) {
			life->mode = MODE_KNOWN;
			life->strikes = 0;
		}
		return 0;
	default:
		if (life->count >= rate_probe_after(life) && pressure_now(life, turn->now) < 1) {
			if (!life->began_count) {
				life->began_count = life->count;
				life->began = stamp_of(turn->admitted_ns);
			}
			return life->rate > 1.5 * life->trouble ? DOUBLE_FAR : DOUBLE_PROBE;
		}
		return rate_below(life) ? DOUBLE_RECOVER : 0;
	}
}

/* The highest rate that the mode may climb to. */
static double ceiling(const struct life *life)
{
	double climbed;

	if (life->mode == MODE_SEARCH)
		return RATE_TOP;
	if (!life->began_count || life->mode == MODE_RECOVER)
		return BACK_OFF * life->trouble;
	climbed = life->count - life->began_count;
	return life->trouble * (1.25 + climbed / fmax(40, 60 * life->trouble));
}

/* A message was accepted, and no hold ended by it. */
void rate_accepted(struct turn *turn)
{
	struct life *life = turn->life;
	double passed = since(turn->now, life->raised);
	double twice;
	double raised;

	noise_accepted(life, rate_on_ground(life));
	if (life->unused >= UNUSED_MOST || noise_suspected(life)) {
		life->raised = turn->now;
		return;
	}
	if (passed < RAISE_SECONDS)
		return;
	twice = doubling(turn);
	life->raised = turn->now;
	if (twice == 0)
		return;
	passed = fmin(passed, fmax(RAISE_SECONDS, 2 / life->rate));
	raised = life->rate * fmin(exp2(passed / twice), twice == DOUBLE_PROBE ? 1.1 : 1.3);
	rate_set(turn, fmax(life->rate, fmin(raised, ceiling(life))));
}

/* Mail goes as fast as the bounds allow, and so many were delivered since the last call. */
void rate_used(struct turn *turn, uint32_t delivered)
{
	struct life *life = turn->life;
	double seconds = since(turn->now, life->raised);

	if (seconds < RAISE_SECONDS)
		return;
	life->trouble += (float)((delivered / seconds - life->trouble) * fmin(seconds / 30, 1));
	life->raised = turn->now;
}

/* A window of the receiver's has turned over: the rate is what it was. */
void rate_resume(struct turn *turn)
{
	struct life *life = turn->life;

	rate_settle(turn, fmin(life->trouble_before, 2 * life->trouble));
	life->flags &= (uint16_t)~FLAG_MEASURED;
	life->count = 0;
	life->idle = 0;
	life->strikes = 0;
}

/* A short hold has ended. A whole flight was refused: the rate was far above what is taken, and
 * another such flight would be one too many. */
void rate_calm(struct turn *turn)
{
	struct life *life = turn->life;
	double pressure = pressure_now(life, turn->now);

	if (life->mode != MODE_RECOVER || life->flags & FLAG_ALARM || pressure <= FLIGHT)
		return;
	rate_trouble_at(turn, life->trouble * FLIGHT / pressure);
	rate_set(turn, life->rate * FLIGHT / pressure);
}

/* A long hold has ended: carefully back to what was. */
void rate_restart(struct turn *turn, double held_seconds)
{
	struct life *life = turn->life;

	rate_set(turn, between(1.5 / life->gap, 0.1 * life->rate, 0.75 * life->rate));
	life->trouble = life->trouble_before;
	life->mode = MODE_RECOVER;
	flag_set(life, FLAG_ALARM, false);
	flag_set(life, FLAG_WEAK, true);
	if (held_seconds > 900 && life->care < 3)
		life->care++;
}
