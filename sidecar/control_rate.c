/* SPDX-License-Identifier: MIT
 *
 * The rate of a flow: cut to what was measured, climb, probe.
 *
 * A measurement runs from one rate deferral to the next, in times of admission, so that the round
 * trip does not enter: at both ends the receiver's bucket is empty, so accepted / elapsed is its
 * rate, to one message, whatever its burst. Where the bucket has overflowed meanwhile (the
 * allowance was not used, or the hold was long) it is a lower bound only.
 */
#include "sidecar/control_state.h"

#define BACK_OFF	   0.97 /* of the trouble rate: where a flow runs between two probes */
#define SPACING_LEAST	   60	/* messages between two probes: after a surprise … */
#define SPACING_LEAST_SLOW 360	/* … at low rates, seconds */
#define SPACING_MOST	   400	/* … and when all is as expected, at the least */
#define SPACING_SLOW                                                                   \
	1200 /* at low rates, seconds: for a rise shall be noticed within the hour … \
	      */
#define SPACING_SLOWEST 350
#define SPACING_GROWTH 2.2
#define SPACING_SECONDS \
	300 /* at high rates probes are this far apart, for penalties count in minutes */
#define DOUBLE_SEARCH  60  /* seconds in which the rate doubles: from nothing known … */
#define DOUBLE_RECOVER 30  /* … back to what was … */
#define DOUBLE_PROBE   120 /* … past it … */
#define DOUBLE_FAR     45  /* … and far past it: the limit has risen */
#define FLIGHT	       3.5 /* deferrals of late, from which on a flight was refused and not a message */
#define RAISE_SECONDS  1   /* between two raises, at the least */
#define PRESSURE_TRIAL 2.2 /* deferrals of late, up to which one more may be risked */
#define UNUSED_MOST    16  /* sixty-fourths: a rate that is not in use is not raised */

struct measure {
	double count;
	double seconds;
	double rate;
	bool exact; /* the bucket did not overflow meanwhile */
};

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
static float spacing_least(const struct life *life)
{
	double least = between(SPACING_LEAST_SLOW * life->trouble, 40, SPACING_LEAST);

	return (float)(noise_known(life) ? fmax(3 * least, SPACING_SECONDS * life->trouble)
					 : least);
}

static double spacing_most(const struct life *life)
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

static struct measure measure(const struct turn *turn)
{
	const struct life *life = turn->life;
	struct measure seen = {.count = life->count};
	uint32_t end = stamp_of(turn->admitted_ns);
	double sure = seen.count + (noise_known(life) ? -1 : seen.count < 4 ? 0.5 : 0);
	double held;

	if (!(life->flags & FLAG_MEASURED)) {
		seen.rate = fmax(sure, 0.1);
		return seen;
	}
	seen.seconds = since(end, life->mark);
	seen.exact = life->idle < 0.1 * seen.seconds + 1;
	seen.rate = fmax(sure, 0.1) / fmax(seen.seconds, 1);
	/* A small bucket overflows while the flow is held. */
	held = since(stamp_of(life->hold_until_ns), life->mark);
	if (life->excess_known > 0 && held < seen.seconds)
		seen.rate = fmax(seen.rate, (sure - life->excess_known - 1) / fmax(seen.seconds - held, 1));
	return seen;
}

/* From now on the next trouble measures: the bucket is empty. */
static void measure_begin(struct turn *turn)
{
	struct life *life = turn->life;

	life->mark = stamp_of(turn->admitted_ns);
	life->flags |= FLAG_MEASURED;
	life->count = 0;
	life->idle = 0;
	noise_learn(life);
}

static void trouble_at(struct turn *turn, double trouble)
{
	turn->life->trouble = (float)between(trouble, rate_low(turn->bounds), RATE_TOP);
}

/* Runs just below the trouble rate. */
static void settle(struct turn *turn, double trouble)
{
	trouble_at(turn, trouble);
	rate_set(turn, BACK_OFF * turn->life->trouble);
	turn->life->mode = MODE_KNOWN;
	turn->life->flags &= (uint16_t) ~(FLAG_WEAK | FLAG_ALARM);
}

/* No measurement: a cut that is meant to be too deep rather than not deep enough. */
static void cut_blindly(struct turn *turn, const struct measure *seen)
{
	double rate = turn->life->rate;

	rate_set(turn, seen->exact ? between(seen->rate, 0.4 * rate, 0.75 * rate) : 0.75 * rate);
	trouble_at(turn, turn->life->rate / BACK_OFF);
	turn->life->mode = MODE_RECOVER;
}

/* The bucket was full when the search began, so nothing is measured yet. Where nothing was paced
 * the rate says nothing, what went of late does. */
static void cut_search(struct turn *turn)
{
	struct life *life = turn->life;
	double rate = life->trouble > 0 ? fmin(life->rate, life->trouble) : life->rate;

	trouble_at(turn, 0.8 * rate);
	rate_set(turn, 0.7 * rate);
	life->mode = MODE_RECOVER;
	life->spacing = spacing_least(life);
	life->flags |= FLAG_WEAK;
}

/* The trial of an alarm has failed early, or measured what was known. */
static bool alarm_false(const struct life *life, const struct measure *seen)
{
	return life->flags & FLAG_ALARM &&
	       (seen->count < 4 || seen->rate < 1.1 * life->trouble_before);
}

static void cut_recovering(struct turn *turn, const struct measure *seen)
{
	struct life *life = turn->life;

	if (seen->count < 8)
		life->reserve /= 2;
	if (alarm_false(life, seen)) {
		/* Nothing has risen, the bucket is larger than thought. */
		settle(turn, seen->exact && seen->count >= 30 ? seen->rate : life->trouble_before);
		life->excess_known = fmaxf(life->excess_known, fmaxf(life->excess, 0.5f));
		life->spacing = (float)spacing_most(life);
	} else if (noise_known(life) && seen->count < 20) {
		rate_set(turn, 0.75 * life->rate);
	} else if (seen->count >= 4 && seen->exact) {
		settle(turn, fmin(seen->rate, life->rate));
		flag_set(life, FLAG_WEAK, seen->count < 20);
	} else {
		cut_blindly(turn, seen);
		life->flags |= FLAG_WEAK;
	}
}

/* The limit has risen: measures anew from an empty bucket, at a rate that will meet it. */
static void remeasure(struct turn *turn, double trouble, double rate)
{
	struct life *life = turn->life;

	life->trouble_before = life->trouble;
	trouble_at(turn, trouble);
	rate_set(turn, rate);
	life->mode = MODE_RECOVER;
	life->spacing = spacing_least(life);
	life->flags |= FLAG_WEAK;
}

/* A probe past the trouble rate has failed, as it should: it says whether the limit is where it
 * was. */
static void cut_probe(struct turn *turn, struct measure *seen)
{
	struct life *life = turn->life;
	double climbed = fmax(since(stamp_of(turn->admitted_ns), life->began), 1);
	double excess =
		life->began_count ? life->count - life->began_count - life->trouble * climbed : 0;
	bool risen = (excess > 1.5 * life->excess_known + 0.5 || life->excess_known == 0) && life->rate > 1.06 * life->trouble &&
		     pressure_now(life, turn->now) <= PRESSURE_TRIAL;

	life->strikes = 0;
	if (!seen->exact && (!risen || noise_known(life))) {
		settle(turn, life->trouble);
		life->spacing = (float)fmin(life->spacing * SPACING_GROWTH, spacing_most(life));
	} else if (noise_known(life)) {
		double bucket = fmax(life->excess_known, 3 + 30 * life->trouble);
		double climb = life->began_count ? (life->count - life->began_count - bucket) / climbed : 0;

		seen->rate = fmax(seen->rate, climb);
		life->spacing = (float)(seen->rate > 1.05 * life->trouble
						? spacing_least(life)
						: fmin(life->spacing * SPACING_GROWTH, 2 * spacing_most(life)));
		settle(turn, fmax(life->trouble, fmin(seen->rate, life->rate)));
	} else if (risen && (!(life->flags & FLAG_WEAK) || life->rate > 1.5 * life->trouble)) {
		double met = life->trouble + (excess - life->excess_known) / climbed;

		met = life->rate > 1.5 * life->trouble ? fmin(life->rate, fmax(seen->rate, met)) : life->rate;
		life->excess = (float)excess;
		life->flags |= FLAG_ALARM;
		remeasure(turn, met, BACK_OFF * met);
	} else if (life->flags & FLAG_WEAK && seen->exact) {
		settle(turn, fmax(life->trouble, fmin(seen->rate, life->rate)));
		life->spacing = spacing_least(life);
	} else if (seen->rate > 1.015 * life->trouble + 2 / fmax(seen->seconds, 1)) {
		double met = fmax(seen->rate, 0.8 * life->rate);

		life->excess = (float)excess;
		remeasure(turn, met, 0.9 * met);
	} else {
		life->spacing = (float)fmin(life->spacing * SPACING_GROWTH,
					    spacing_most(life) * (1 + life->care));
		settle(turn, fmax(life->trouble, fmin(seen->rate, life->rate)));
		if (life->excess_known > 0)
			life->excess_known = (float)fmax(0.97 * life->excess_known, 0.6 * excess);
	}
}

/* Messages that the rate has let go since the measurement began, less what chance takes. */
static double sent(const struct turn *turn, const struct measure *seen)
{
	const struct life *life = turn->life;
	double held = since(stamp_of(life->hold_until_ns), life->mark);

	return life->rate * fmax(seen->seconds - held, 0) * (1 - noise_share(life));
}

/* Whether over many messages less was accepted than the rate would have let go. */
static bool overran(const struct turn *turn, const struct measure *seen)
{
	return seen->exact && seen->count >= 40 && seen->count < 0.975 * sent(turn, seen);
}

/* Trouble where there should be none: once is chance, twice is a limit that has fallen. */
static void cut_ground(struct turn *turn, const struct measure *seen)
{
	struct life *life = turn->life;

	life->reserve /= 2;
	/* A limit that has fallen refuses again soon; chance, where it is known, may refuse later.
	 */
	if (noise_known(life) && seen->count >= 60)
		life->strikes = 0;
	if (overran(turn, seen)) {
		settle(turn, 0.99 * seen->rate);
		return;
	}
	if (life->strikes++ == 0) {
		if (noise_known(life) && (seen->seconds < 600 || seen->count < 200))
			settle(turn, BACK_OFF * life->trouble);
		return;
	}
	life->strikes = 0;
	life->spacing = spacing_least(life);
	if (seen->count >= 4 && seen->exact) {
		settle(turn, 0.99 * fmin(seen->rate, life->trouble));
		if (seen->count < 30)
			life->mode = MODE_RECOVER;
	} else {
		cut_blindly(turn, seen);
	}
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
static bool on_ground(const struct life *life)
{
	return life->mode == MODE_KNOWN && life->rate <= life->trouble;
}

/* Is there room up to where a flow runs between two probes? (A float is never quite equal.) */
static bool below(const struct life *life)
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
	       (on_ground(life) || (life->mode == MODE_RECOVER && life->count >= 20)) &&
	       (!seen->exact || below(life) || seen->count >= 0.97 * sent(turn, seen) - 1);
}

static void cut(struct turn *turn, struct measure *seen)
{
	struct life *life = turn->life;

	/* While an alarm is looked into, what was before it is what to go back to. */
	if (!(life->flags & FLAG_ALARM))
		life->trouble_before = life->trouble > 0 ? life->trouble : life->rate;
	if (life->mode == MODE_SEARCH)
		cut_search(turn);
	else if (life->mode == MODE_RECOVER || (life->flags & FLAG_ALARM && on_ground(life)))
		cut_recovering(turn, seen);
	else if (on_ground(life))
		cut_ground(turn, seen);
	else
		cut_probe(turn, seen);
	if (life->mode != MODE_KNOWN)
		life->strikes = 0;
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
		if (stamp_of(turn->admitted_ns) > life->mark) {
			measure_begin(turn);
			/* A climb under way was counted from the mark before. */
			if (!(life->flags & FLAG_HELD))
				life->began_count = 0;
		}
		return;
	}
	life->outages = 0;
	seen = measure(turn);
	if (life->flags & FLAG_HELD) {
		pressure_add(turn);
		measure_begin(turn);
		hold_again(turn);
		return;
	}
	flag_set(life, FLAG_CHANCE, noise_possible(turn, &seen));
	if (life->flags & FLAG_CHANCE && noise_explains(life)) {
		if (noise_grew(life) && on_ground(life))
			settle(turn, BACK_OFF * life->trouble);
		return;
	}
	pressure_add(turn);
	flag_set(life, FLAG_PATTERN, class == REPLY_PATTERN || class == REPLY_BLOCKLIST);
	cut(turn, &seen);
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
		if (below(life))
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
		return below(life) ? DOUBLE_RECOVER : 0;
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

	noise_accepted(life, on_ground(life));
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

	settle(turn, fmin(life->trouble_before, 2 * life->trouble));
	life->flags &= (uint16_t)~FLAG_MEASURED;
	life->count = 0;
	life->idle = 0;
	life->strikes = 0;
}

/* A short hold has ended. A whole flight was refused: the rate was far above what is taken, and another
 * such flight would be one too many. */
void rate_calm(struct turn *turn)
{
	struct life *life = turn->life;
	double pressure = pressure_now(life, turn->now);

	if (life->mode != MODE_RECOVER || life->flags & FLAG_ALARM || pressure <= FLIGHT)
		return;
	trouble_at(turn, life->trouble * FLIGHT / pressure);
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
