/* SPDX-License-Identifier: MIT
 *
 * Trouble with the rate: measure, and cut to what was measured.
 *
 * A measurement runs from one rate deferral to the next, in times of admission, so that the round
 * trip does not enter: at both ends the receiver's bucket is empty, so accepted / elapsed is its
 * rate, to one message, whatever its burst. Where the bucket has overflowed meanwhile (the
 * allowance was not used, or the hold was long) it is a lower bound only.
 */
#include "sidecar/control/state.h"

#define SPACING_GROWTH 2.2
#define PRESSURE_TRIAL 2.2 /* deferrals of late, up to which one more may be risked */

struct measure measure_end(const struct turn *turn)
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
		seen.rate = fmax(seen.rate,
				 (sure - life->excess_known - 1) / fmax(seen.seconds - held, 1));
	return seen;
}

/* From now on the next trouble measures: the bucket is empty. */
void measure_begin(struct turn *turn)
{
	struct life *life = turn->life;

	life->mark = stamp_of(turn->admitted_ns);
	life->flags |= FLAG_MEASURED;
	life->count = 0;
	life->idle = 0;
	noise_learn(life);
}

/* Messages that the rate has let go since the measurement began, less what chance takes. */
double measure_sent(const struct turn *turn, const struct measure *seen)
{
	const struct life *life = turn->life;
	double held = since(stamp_of(life->hold_until_ns), life->mark);

	return life->rate * fmax(seen->seconds - held, 0) * (1 - noise_share(life));
}

/* No measurement: a cut that is meant to be too deep rather than not deep enough. */
static void cut_blindly(struct turn *turn, const struct measure *seen)
{
	double rate = turn->life->rate;

	rate_set(turn, seen->exact ? between(seen->rate, 0.4 * rate, 0.75 * rate) : 0.75 * rate);
	rate_trouble_at(turn, turn->life->rate / BACK_OFF);
	turn->life->mode = MODE_RECOVER;
}

/* The bucket was full when the search began, so nothing is measured yet. Where nothing was paced
 * the rate says nothing, what went of late does. */
static void cut_search(struct turn *turn)
{
	struct life *life = turn->life;
	double rate = life->trouble > 0 ? fmin(life->rate, life->trouble) : life->rate;

	rate_trouble_at(turn, 0.8 * rate);
	rate_set(turn, 0.7 * rate);
	life->mode = MODE_RECOVER;
	life->spacing = rate_spacing_least(life);
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
		rate_settle(turn,
			    seen->exact && seen->count >= 30 ? seen->rate : life->trouble_before);
		life->excess_known = fmaxf(life->excess_known, fmaxf(life->excess, 0.5f));
		life->spacing = (float)rate_spacing_most(life);
	} else if (noise_known(life) && seen->count < 20) {
		rate_set(turn, 0.75 * life->rate);
	} else if (seen->count >= 4 && seen->exact) {
		rate_settle(turn, fmin(seen->rate, life->rate));
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
	rate_trouble_at(turn, trouble);
	rate_set(turn, rate);
	life->mode = MODE_RECOVER;
	life->spacing = rate_spacing_least(life);
	life->flags |= FLAG_WEAK;
}

/* Among refusals by chance the end of the last measurement is not certain. What the climb itself
 * took is: past a bucket of about half a minute. */
static void cut_probe_by_chance(struct turn *turn, const struct measure *seen, double climbed)
{
	struct life *life = turn->life;
	double bucket = fmax(life->excess_known, 3 + 30 * life->trouble);
	double climb = life->began_count ? (life->count - life->began_count - bucket) / climbed : 0;
	double met = fmin(fmax(seen->rate, climb), life->rate);

	life->spacing = (float)(met > 1.05 * life->trouble ? rate_spacing_least(life)
							   : fmin(life->spacing * SPACING_GROWTH,
								  2 * rate_spacing_most(life)));
	rate_settle(turn, fmax(life->trouble, met));
}

/* A probe past the trouble rate has failed, as it should: it says whether the limit is where it
 * was. */
static void cut_probe(struct turn *turn, const struct measure *seen)
{
	struct life *life = turn->life;
	double climbed = fmax(since(stamp_of(turn->admitted_ns), life->began), 1);
	double excess =
		life->began_count ? life->count - life->began_count - life->trouble * climbed : 0;
	bool risen = (excess > 1.5 * life->excess_known + 0.5 || life->excess_known == 0) &&
		     life->rate > 1.06 * life->trouble &&
		     pressure_now(life, turn->now) <= PRESSURE_TRIAL;

	life->strikes = 0;
	if (!seen->exact && (!risen || noise_known(life))) {
		rate_settle(turn, life->trouble);
		life->spacing =
			(float)fmin(life->spacing * SPACING_GROWTH, rate_spacing_most(life));
	} else if (noise_known(life)) {
		cut_probe_by_chance(turn, seen, climbed);
	} else if (risen && (!(life->flags & FLAG_WEAK) || life->rate > 1.5 * life->trouble)) {
		double met = life->trouble + (excess - life->excess_known) / climbed;

		met = life->rate > 1.5 * life->trouble ? fmin(life->rate, fmax(seen->rate, met))
						       : (life->rate + life->trouble) / 2;
		life->excess = (float)excess;
		life->flags |= FLAG_ALARM;
		remeasure(turn, met, BACK_OFF * met);
	} else if (life->flags & FLAG_WEAK && seen->exact) {
		rate_settle(turn, fmax(life->trouble, fmin(seen->rate, life->rate)));
		life->spacing = rate_spacing_least(life);
	} else if (seen->rate > 1.015 * life->trouble + 2 / fmax(seen->seconds, 1)) {
		double met = fmax(seen->rate, 0.8 * life->rate);

		life->excess = (float)excess;
		remeasure(turn, met, 0.9 * met);
	} else {
		life->spacing = (float)fmin(life->spacing * SPACING_GROWTH,
					    rate_spacing_most(life) * (1 + life->care));
		rate_settle(turn, fmax(life->trouble, fmin(seen->rate, life->rate)));
		if (life->excess_known > 0)
			life->excess_known = (float)fmax(0.97 * life->excess_known, 0.6 * excess);
	}
}

/* Whether over many messages less was accepted than the rate would have let go. */
static bool overran(const struct turn *turn, const struct measure *seen)
{
	return seen->exact && seen->count >= 40 && seen->count < 0.975 * measure_sent(turn, seen);
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
		rate_settle(turn, 0.99 * seen->rate);
		return;
	}
	if (life->strikes++ == 0) {
		if (noise_known(life) && (seen->seconds < 600 || seen->count < 200))
			rate_settle(turn, BACK_OFF * life->trouble);
		return;
	}
	life->strikes = 0;
	life->spacing = rate_spacing_least(life);
	if (seen->count >= 4 && seen->exact) {
		rate_settle(turn, 0.99 * fmin(seen->rate, life->trouble));
		if (seen->count < 30)
			life->mode = MODE_RECOVER;
	} else {
		cut_blindly(turn, seen);
	}
}

void cut_at_trouble(struct turn *turn, const struct measure *seen)
{
	struct life *life = turn->life;

	/* While an alarm is looked into, what was before it is what to go back to. */
	if (!(life->flags & FLAG_ALARM))
		life->trouble_before = life->trouble > 0 ? life->trouble : life->rate;
	if (life->mode == MODE_SEARCH)
		cut_search(turn);
	else if (life->mode == MODE_RECOVER || (life->flags & FLAG_ALARM && rate_on_ground(life)))
		cut_recovering(turn, seen);
	else if (rate_on_ground(life))
		cut_ground(turn, seen);
	else
		cut_probe(turn, seen);
	if (life->mode != MODE_KNOWN)
		life->strikes = 0;
}
