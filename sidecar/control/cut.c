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
#define OVERRUN	       0.9  /* of the rate: less was taken, holds and all */
#define MET_BY_CHANCE  0.55 /* of the rate at which it showed that the bucket is empty */
#define MET_AT_ONCE    1.06 /* of the estimate, past which the climb did not get … */
#define MET_BELOW      0.98 /* … and of the rate it had got to: the limit */
#define MET_RATE       0.67 /* messages a second: below it the rate moves too far from one to the next */
#define PRESSURE_TRIAL 2.2 /* deferrals of late, up to which one more may be risked */

struct measure cut_measure_end(const struct control_step *step)
{
	const struct flow_control *fc = step->fc;
	struct measure seen = {.count = fc->count};
	uint32_t end = stamp_of(step->admitted_ns);
	double sure = seen.count + (noise_known(fc) ? -1 : seen.count < 4 ? 0.5 : 0);
	double held;

	if (!(fc->flags & FLAG_MEASURED)) {
		seen.rate = fmax(sure, 0.1);
		return seen;
	}
	seen.seconds = since(end, fc->mark);
	seen.exact = fc->idle < 0.1 * seen.seconds + 1;
	seen.rate = fmax(sure, 0.1) / fmax(seen.seconds, 1);
	/* A small bucket overflows while the flow is held. */
	held = since(stamp_of(fc->hold_until_ns), fc->mark);
	if (fc->excess_known > 0 && held < seen.seconds)
		seen.rate = fmax(seen.rate,
				 (sure - fc->excess_known - 1) / fmax(seen.seconds - held, 1));
	return seen;
}

/* From now on the next trouble measures: the bucket is empty. */
void cut_measure_begin(struct control_step *step)
{
	struct flow_control *fc = step->fc;

	fc->mark = stamp_of(step->admitted_ns);
	fc->flags |= FLAG_MEASURED;
	fc->count = 0;
	fc->idle = 0;
	noise_learn(fc);
}

/* Messages that the rate has let go since the measurement began, less what chance takes. */
double cut_measure_sent(const struct control_step *step, const struct measure *seen)
{
	const struct flow_control *fc = step->fc;
	double held = since(stamp_of(fc->hold_until_ns), fc->mark);

	return fc->rate * fmax(seen->seconds - held, 0) * (1 - noise_share(fc));
}

/* No measurement: a cut that is meant to be too deep rather than not deep enough. */
static void cut_blindly(struct control_step *step, const struct measure *seen)
{
	double rate = step->fc->rate;

	rate_set(step, seen->exact ? between(seen->rate, 0.4 * rate, 0.75 * rate) : 0.75 * rate);
	rate_set_estimate(step, step->fc->rate / ESTIMATE_SHARE);
	step->fc->mode = MODE_RECOVER;
}

/* The bucket was full when the search began, so nothing is measured yet. Where nothing was paced
 * the rate says nothing, what went of late does. */
static void cut_search(struct control_step *step)
{
	struct flow_control *fc = step->fc;
	double rate = fc->limit_estimate > 0 ? fmin(fc->rate, fc->limit_estimate) : fc->rate;

	rate_set_estimate(step, 0.8 * rate);
	rate_set(step, 0.7 * rate);
	fc->mode = MODE_RECOVER;
	fc->probe_spacing_messages = rate_spacing_min(fc);
	fc->flags |= FLAG_LOW_CONFIDENCE;
}

/* The trial of a suspected rise has failed early, or measured what was known. */
static bool rise_refuted(const struct flow_control *fc, const struct measure *seen)
{
	return fc->flags & FLAG_RISE_SUSPECTED &&
	       (seen->count < 4 || seen->rate < 1.1 * fc->limit_estimate_prev);
}

static void cut_recovering(struct control_step *step, const struct measure *seen)
{
	struct flow_control *fc = step->fc;

	if (seen->count < 8)
		fc->reserve /= 2;
	if (rise_refuted(fc, seen)) {
		/* Nothing has risen, the bucket is larger than thought. */
		rate_track_estimate(step, seen->exact && seen->count >= 30
						  ? seen->rate
						  : fc->limit_estimate_prev);
		fc->excess_known = fmaxf(fc->excess_known, fmaxf(fc->excess, 0.5f));
		fc->probe_spacing_messages = (float)rate_spacing_max(fc);
	} else if (noise_known(fc) && seen->count < 20) {
		rate_set(step, 0.75 * fc->rate);
	} else if (seen->count >= 4 && seen->exact) {
		rate_track_estimate(step, fmin(seen->rate, fc->rate));
		flag_set(fc, FLAG_LOW_CONFIDENCE, seen->count < 20);
	} else {
		cut_blindly(step, seen);
		fc->flags |= FLAG_LOW_CONFIDENCE;
	}
}

/* The limit has risen: measures anew from an empty bucket, at a rate that will meet it. */
static void remeasure(struct control_step *step, double limit_estimate, double rate)
{
	struct flow_control *fc = step->fc;

	fc->limit_estimate_prev = fc->limit_estimate;
	rate_set_estimate(step, limit_estimate);
	rate_set(step, rate);
	fc->mode = MODE_RECOVER;
	fc->probe_spacing_messages = rate_spacing_min(fc);
	fc->flags |= FLAG_LOW_CONFIDENCE;
}

/* Among spurious refusals the end of the last measurement is not certain. What the climb itself
 * took is: past a bucket of about half a minute. */
static void cut_probe_by_chance(struct control_step *step, const struct measure *seen,
				double climbed)
{
	struct flow_control *fc = step->fc;
	double bucket = fmax(fc->excess_known, 3 + 30 * fc->limit_estimate);
	double climb =
		fc->probe_from_count ? (fc->count - fc->probe_from_count - bucket) / climbed : 0;
	double met = fmin(fmax(fmax(seen->rate, climb), MET_BY_CHANCE * fc->rate), fc->rate);

	fc->probe_spacing_messages =
		(float)(met > 1.05 * fc->limit_estimate
				? rate_spacing_min(fc)
				: fmin(fc->probe_spacing_messages * SPACING_GROWTH,
				       2 * rate_spacing_max(fc)));
	rate_track_estimate(step, fmax(fc->limit_estimate, met));
}

/* A probe past the limit estimate has failed, as it should: it says whether the limit is where it
 * was. */
static void cut_probe(struct control_step *step, const struct measure *seen)
{
	struct flow_control *fc = step->fc;
	double climbed = fmax(since(stamp_of(step->admitted_ns), fc->probe_since), 1);
	double excess = fc->probe_from_count
				? fc->count - fc->probe_from_count - fc->limit_estimate * climbed
				: 0;
	bool risen = (excess > 1.5 * fc->excess_known + 0.5 || fc->excess_known == 0) &&
		     fc->rate > 1.06 * fc->limit_estimate &&
		     rate_pressure_now(fc, step->now) <= PRESSURE_TRIAL;

	fc->strikes = 0;
	if (!seen->exact && (!risen || noise_known(fc))) {
		rate_track_estimate(step, fc->limit_estimate);
		fc->probe_spacing_messages = (float)fmin(
			fc->probe_spacing_messages * SPACING_GROWTH, rate_spacing_max(fc));
	} else if (noise_known(fc)) {
		cut_probe_by_chance(step, seen, climbed);
	} else if (risen &&
		   (!(fc->flags & FLAG_LOW_CONFIDENCE) || fc->rate > 1.5 * fc->limit_estimate)) {
		double met = fc->limit_estimate + (excess - fc->excess_known) / climbed;

		met = fc->rate > 1.5 * fc->limit_estimate ? fmin(fc->rate, fmax(seen->rate, met))
							  : (fc->rate + fc->limit_estimate) / 2;
		fc->excess = (float)excess;
		fc->flags |= FLAG_RISE_SUSPECTED;
		remeasure(step, met, ESTIMATE_SHARE * met);
	} else if (fc->flags & FLAG_LOW_CONFIDENCE && seen->exact) {
		rate_track_estimate(step, fmax(fc->limit_estimate, fmin(seen->rate, fc->rate)));
		fc->probe_spacing_messages = rate_spacing_min(fc);
	} else if (seen->rate > 1.015 * fc->limit_estimate + 2 / fmax(seen->seconds, 1)) {
		double met = fmax(seen->rate, 0.8 * fc->rate);

		fc->excess = (float)excess;
		remeasure(step, met, 0.9 * met);
	} else {
		double met = fmax(fc->limit_estimate, fmin(seen->rate, fc->rate));

		/* A bucket would have let it climb further: this is where the limit is. */
		if (fc->probe_from_count && fc->rate >= MET_RATE &&
		    fc->rate <= MET_AT_ONCE * fc->limit_estimate &&
		    fc->probe_spacing_messages > rate_spacing_min(fc))
			met = fmax(met, MET_BELOW * fc->rate);
		fc->probe_spacing_messages =
			(float)fmin(fc->probe_spacing_messages * SPACING_GROWTH,
				    rate_spacing_max(fc) * (1 + fc->backoff_level));
		rate_track_estimate(step, met);
		if (fc->excess_known > 0)
			fc->excess_known = (float)fmax(0.97 * fc->excess_known, 0.6 * excess);
	}
}

/* Whether over many messages less was accepted than the rate would have let go. */
static bool overran(const struct control_step *step, const struct measure *seen)
{
	double sent = cut_measure_sent(step, seen);

	return seen->exact && seen->count >= 40 &&
	       seen->count < 0.975 * sent - 2 * sqrt(noise_share(step->fc) * sent);
}

/* Among spurious refusals a limit shows late, and again and again: holds refill its bucket, so what
 * goes between two of them is no more than the rate, but what was taken over all is. */
static bool overruns_by_chance(const struct control_step *step, const struct measure *seen)
{
	return noise_known(step->fc) && seen->exact && seen->count >= 40 &&
	       seen->rate < OVERRUN * step->fc->rate * (1 - noise_share(step->fc));
}

/* Trouble where there should be none: once is chance, twice is a limit that has fallen, as is once
 * where it costs a message. */
static void cut_ground(struct control_step *step, const struct measure *seen)
{
	struct flow_control *fc = step->fc;
	bool again = fc->strikes > 0;

	fc->reserve /= 2;
	/* A limit that has fallen refuses again soon; chance, where it is known, may refuse later.
	 */
	if (noise_known(fc) && seen->count >= 60 && !overruns_by_chance(step, seen))
		fc->strikes = 0;
	if (overran(step, seen) || (again && overruns_by_chance(step, seen))) {
		rate_track_estimate(step, 0.99 * seen->rate);
		return;
	}
	if (fc->strikes++ == 0 && !step->lost) {
		if (noise_known(fc) && (seen->seconds < 600 || seen->count < 200))
			rate_track_estimate(step, ESTIMATE_SHARE * fc->limit_estimate);
		return;
	}
	fc->strikes = 0;
	fc->probe_spacing_messages = rate_spacing_min(fc);
	if (seen->count >= 4 && seen->exact) {
		rate_track_estimate(step, 0.99 * fmin(seen->rate, fc->limit_estimate));
		if (seen->count < 30)
			fc->mode = MODE_RECOVER;
	} else {
		cut_blindly(step, seen);
	}
}

void cut_to_measured(struct control_step *step, const struct measure *seen)
{
	struct flow_control *fc = step->fc;

	/* While a suspected rise is looked into, what was before it is what to go back to. */
	if (!(fc->flags & FLAG_RISE_SUSPECTED))
		fc->limit_estimate_prev = fc->limit_estimate > 0 ? fc->limit_estimate : fc->rate;
	if (fc->mode == MODE_SEARCH)
		cut_search(step);
	else if (fc->mode == MODE_RECOVER ||
		 (fc->flags & FLAG_RISE_SUSPECTED && rate_below_estimate(fc)))
		cut_recovering(step, seen);
	else if (rate_below_estimate(fc))
		cut_ground(step, seen);
	else
		cut_probe(step, seen);
	if (fc->mode != MODE_KNOWN)
		fc->strikes = 0;
}
