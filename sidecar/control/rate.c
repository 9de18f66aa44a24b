/* SPDX-License-Identifier: MIT
 *
 * The rate of a flow: how fast it climbs, how far apart it probes, what trouble with it begins.
 */
#include "sidecar/control/state.h"

/* Messages between two probes: after a surprise, and the most when all is as expected. At low rates
 * fewer, so that a rise is noticed within the hour: as many as come in so many seconds. At high
 * rates probes are so many seconds apart, since penalties count in minutes. */
#define SPACING_MIN	 60
#define SPACING_MIN_SLOW 360 /* seconds */
#define SPACING_MAX	 400
#define SPACING_SLOW	 1200 /* seconds */
#define SPACING_SLOWEST	 350
#define SPACING_SECONDS	 300

#define DOUBLE_SEARCH  60  /* seconds in which the rate doubles: from nothing known … */
#define DOUBLE_RECOVER 30  /* … back to what was … */
#define DOUBLE_PROBE   120 /* … past it … */
#define DOUBLE_SLOW    360 /* … where it may be the bucket that takes more … */
#define SMALL_BUCKET   4   /* messages */
#define DOUBLE_FAR     45  /* … and far past it: the limit has risen */
/* Deferrals of late, from which on a flight was refused and not a message. */
#define IN_FLIGHT_DEFERRALS 3.5
#define FLIGHT		    2	/* replies */
#define FLIGHT_OF_PROBE	    3	/* … of a probe: the limit may have fallen just then, … */
#define AFTER_FLIGHT	    0.3 /* … and the way back to the estimate begins at so much of it */
#define ON_THE_WAY	    2.0 /* messages: more of them slow a climb … */
#define SLOWLY_MOST	    4.0 /* … up to so many times … */
#define SLOWLY_AGAIN	    4.0 /* … or, after a flight that was refused, so many times */
#define NOISE_APART	    8	/* messages between two refusals that may be chance */
#define FALLEN_FLIGHT	    0.5 /* of the rate at which a flight was refused on the ground */
#define FLIGHT_CUT	    0.5 /* of it, at the least: slow replies make a flight large, too */

#define FALLEN		   8.0	/* times that the estimate was higher */
#define FALLEN_FAR	   24.0 /* … from where on the trials are as close together as they get */
#define FALLEN_PART	   8.0	/* of the time for which it has been down, between two trials */
#define FALLEN_SECONDS_MIN 120
#define FALLEN_SECONDS_MAX 900
#define FALLEN_FORGET	   (48 * 3600.0)
#define HOUR_SECONDS	   3600.0
#define HOUR_WORTH	   60  /* messages: of fewer in an hour there is little to come back to */
#define FALLEN_STEP	   2.0 /* a message, back up to where it was */
#define RAISE_SECONDS	   1   /* between two raises, at the least */
#define IDLE_SHARE_MAX	   16  /* sixty-fourths: a rate that is not in use is not raised */

void rate_set(struct control_step *step, double rate)
{
	step->fc->rate = (float)between(rate, rate_low(step->bounds), rate_high(step->bounds));
}

void rate_init(struct flow_control *fc, const struct control_bounds *bounds)
{
	double start = bounds->rate_start > 0 ? bounds->rate_start : rate_high(bounds);

	fc->rate = (float)between(start, rate_low(bounds), rate_high(bounds));
	fc->probe_spacing_messages = SPACING_MIN;
	fc->reserve = 3 * 16;
	fc->mode = MODE_SEARCH;
}

/* Far below where it was: then much is at stake, and the probes are spaced in time. */
bool rate_fallen(const struct flow_control *fc)
{
	return fc->mode != MODE_SEARCH && fc->limit_best > FALLEN * fc->limit_estimate;
}

/* Keeps the estimate that has proved itself, until the receiver has gone without it for long. Before
 * anything was refused there is none: then what was taken in an hour. */
void rate_remember(struct control_step *step)
{
	struct flow_control *fc = step->fc;
	bool sure = fc->mode == MODE_KNOWN && fc->count >= SPACING_MIN &&
		    !(fc->flags & (FLAG_LOW_CONFIDENCE | FLAG_RISE_SUSPECTED | FLAG_HELD));

	if (fc->mode == MODE_SEARCH && !(fc->flags & FLAG_HELD) && fc->hour_count >= HOUR_WORTH)
		fc->limit_best = (float)fmax(fc->limit_best,
					     fmin(fc->hour_count / HOUR_SECONDS, (double)fc->rate));
	if (!rate_fallen(fc))
		fc->fell_at = step->now;
	if (sure && (fc->limit_estimate > fc->limit_best / FALLEN ||
		     since(step->now, fc->fell_at) > FALLEN_FORGET))
		fc->limit_best = fc->limit_estimate;
}

/* The longer it has been down, the longer the next trial may wait; the less there is to win, too.
 */
static double fallen_seconds(const struct flow_control *fc)
{
	double age = since(fc->raised, fc->fell_at);

	return between(age / FALLEN_PART, FALLEN_SECONDS_MIN, FALLEN_SECONDS_MAX) *
	       fmax(1, FALLEN_FAR * fc->limit_estimate / fc->limit_best);
}

/* Nothing was refused since: what counts refusals, counts them over minutes. */
static bool fallen_long(const struct control_step *step)
{
	return rate_fallen(step->fc) &&
	       since(step->now, step->fc->pressure_at) >= fallen_seconds(step->fc);
}

/* Messages that must have been accepted in a row before the next probe. */
double rate_probe_after(const struct flow_control *fc)
{
	double spacing =
		fmax(fc->probe_spacing_messages, 60 * fc->limit_estimate) * (1 + fc->backoff_level);

	return rate_fallen(fc) ? fmin(spacing, floor(fc->limit_estimate * fallen_seconds(fc)))
			       : spacing;
}

/* Where chance explains the first deferrals, a probe costs more of them. */
float rate_spacing_min(const struct flow_control *fc)
{
	double min = between(SPACING_MIN_SLOW * fc->limit_estimate, 40, SPACING_MIN);

	return (float)(noise_known(fc) ? fmax(3 * min, SPACING_SECONDS * fc->limit_estimate) : min);
}

double rate_spacing_max(const struct flow_control *fc)
{
	return fmax(between(SPACING_SLOW * fc->limit_estimate, SPACING_SLOWEST, SPACING_MAX),
		    SPACING_SECONDS * fc->limit_estimate);
}

/* Deferrals of late: each counts 1 and leaks away within five minutes. */
double rate_pressure_now(const struct flow_control *fc, uint32_t now)
{
	return fmax(0,
		    fc->pressure - since(now, fc->pressure_at) / (300.0 * (1 + fc->backoff_level)));
}

void rate_pressure_add(struct control_step *step)
{
	struct flow_control *fc = step->fc;

	fc->pressure = (float)rate_pressure_now(fc, step->now) + 1;
	fc->pressure_at = step->now;
}

void rate_set_estimate(struct control_step *step, double limit_estimate)
{
	step->fc->limit_estimate = (float)between(limit_estimate, rate_low(step->bounds), RATE_TOP);
}

/* Runs just below the limit estimate. */
void rate_track_estimate(struct control_step *step, double limit_estimate)
{
	rate_set_estimate(step, limit_estimate);
	rate_set(step, ESTIMATE_SHARE * step->fc->limit_estimate);
	step->fc->mode = MODE_KNOWN;
	step->fc->flags &= (uint16_t) ~(FLAG_LOW_CONFIDENCE | FLAG_RISE_SUSPECTED);
}

static double first_hold(const struct control_step *step, enum reply_class class)
{
	double rate = step->fc->rate;

	if (class == REPLY_VOLUME_SPIKE || class == REPLY_BLOCKLIST)
		return 300;
	if (step->fc->flags & FLAG_NAMED)
		return 60;
	if (class == REPLY_REPUTATION)
		return between(4 / rate, 8, 60);
	return between(2 / rate, 1, 90);
}

/* Below the limit estimate: here nothing should be refused. */
bool rate_below_estimate(const struct flow_control *fc)
{
	return fc->mode == MODE_KNOWN && fc->rate <= fc->limit_estimate;
}

/* Is there room up to where a flow runs between two probes? (A float is never quite equal.) */
bool rate_below(const struct flow_control *fc)
{
	return fc->rate < 0.999 * ESTIMATE_SHARE * fc->limit_estimate;
}

/* Could it be chance? Not where each costs a message. Where a limit is being looked for, one
 * deferral tells nothing; where less was accepted than the rate would have let go, it was the limit
 * that let them go. */
static bool noise_possible(const struct control_step *step, const struct measure *seen)
{
	const struct flow_control *fc = step->fc;

	if (step->lost)
		return false;
	if (noise_known(fc))
		return true;
	return !(fc->flags & FLAG_RISE_SUSPECTED) &&
	       (rate_below_estimate(fc) || fc->mode == MODE_RECOVER) && fc->count >= NOISE_APART &&
	       (!seen->exact || rate_below(fc) ||
		seen->count >= 0.97 * cut_measure_sent(step, seen) - 1);
}

void rate_deferred(struct control_step *step, enum reply_class class, enum reply_limit limit)
{
	struct flow_control *fc = step->fc;
	struct measure seen;

	if (step->admitted_ns < fc->hold_until_ns) {
		/* Of the same flight as the last trouble: nothing new, but the bucket was still
		 * empty. */
		rate_pressure_add(step);
		fc->flight_refused += fc->flight_refused < UINT8_MAX;
		if ((int32_t)(stamp_of(step->admitted_ns) - fc->mark) > 0) {
			cut_measure_begin(step);
			/* A climb under way was counted from the mark before. */
			if (!(fc->flags & FLAG_HELD))
				fc->probe_from_count = 0;
		}
		return;
	}
	seen = cut_measure_end(step);
	if (fc->flags & FLAG_HELD) {
		rate_pressure_add(step);
		cut_measure_begin(step);
		hold_probe_failed(step);
		return;
	}
	if (noise_on_trial(fc) && !step->lost && !refusals_are_limit(fc, class) &&
	    limit != REPLY_LIMIT_HOUR && limit != REPLY_LIMIT_DAY && class != REPLY_VOLUME_SPIKE &&
	    class != REPLY_BLOCKLIST && noise_trial_refused(step))
		return;
	/* Of words that an experiment has shown to be a limit's one need not ask again. */
	flag_set(fc, FLAG_MAYBE_NOISE,
		 noise_possible(step, &seen) &&
			 (noise_known(fc) || !refusals_are_limit(fc, class)));
	if (fc->flags & FLAG_MAYBE_NOISE && noise_explains(fc)) {
		if (noise_grew(fc) && rate_below_estimate(fc))
			rate_track_estimate(step, ESTIMATE_SHARE * fc->limit_estimate);
		return;
	}
	fc->noise_apart = (uint8_t)fmin(seen.count, UINT8_MAX);
	rate_pressure_add(step);
	flag_set(fc, FLAG_VOLUME_SPIKE, class == REPLY_VOLUME_SPIKE || class == REPLY_BLOCKLIST);
	cut_to_measured(step, &seen);
	cut_measure_begin(step);
	fc->probe_failures = 1;
	fc->flight_refused = 1;
	fc->hold_since = step->now;
	fc->hold_hour_count = fc->hour_count;
	flag_set(fc, FLAG_WINDOW, window_hit(step, limit));
	hold_begin(step, fc->flags & FLAG_WINDOW ? window_wait(step) : first_hold(step, class));
}

/* A small bucket explains what the climb has taken so far, and so would a limit that lies higher.
 * The slower the climb, the sooner they differ: a bucket gives no more than it holds. */
static bool small_bucket_explains(const struct control_step *step)
{
	const struct flow_control *fc = step->fc;
	double climbed = since(stamp_of(step->admitted_ns), fc->probe_since);
	double taken = fc->count - fc->probe_from_count - fc->limit_estimate * climbed;

	return fc->excess_known > 0 && fc->excess_known < SMALL_BUCKET &&
	       taken < 1.5 * fc->excess_known + 0.5;
}

/* How fast the rate may double now: seconds, 0 for not at all. */
static double doubling(struct control_step *step)
{
	struct flow_control *fc = step->fc;

	switch (fc->mode) {
	case MODE_SEARCH: return DOUBLE_SEARCH;
	case MODE_RECOVER:
		if (rate_below(fc))
			return DOUBLE_RECOVER;
		if (fc->count >= rate_probe_after(fc)) {
			fc->mode = MODE_KNOWN;
			fc->strikes = 0;
		}
		return 0;
	default:
		if (fc->count >= rate_probe_after(fc) &&
		    (rate_pressure_now(fc, step->now) < 1 || fallen_long(step))) {
			if (!fc->probe_from_count) {
				fc->probe_from_count = fc->count;
				fc->probe_since = stamp_of(step->admitted_ns);
			}
			if (rate_fallen(fc) ||
			    (fc->rate > 1.5 * fc->limit_estimate && !noise_known(fc)))
				return DOUBLE_FAR;
			return small_bucket_explains(step) ? DOUBLE_SLOW : DOUBLE_PROBE;
		}
		return rate_below(fc) ? DOUBLE_RECOVER : 0;
	}
}

/* The highest rate that the mode may climb to. */
static double ceiling(const struct flow_control *fc)
{
	double climbed;

	if (fc->mode == MODE_SEARCH)
		return RATE_TOP;
	if (!fc->probe_from_count || fc->mode == MODE_RECOVER)
		return ESTIMATE_SHARE * fc->limit_estimate;
	climbed = fc->count - fc->probe_from_count;
	climbed = fc->limit_estimate * (1.25 + climbed / fmax(40, 60 * fc->limit_estimate));
	return rate_fallen(fc) ? fmax(climbed, ESTIMATE_SHARE * fc->limit_best) : climbed;
}

/* What is on its way when the limit is met is refused, too: the more that is, the slower the climb.
 * So is the climb after such a flight while another would be one too many. */
static double slowly(const struct control_step *step)
{
	const struct flow_control *fc = step->fc;
	double on_the_way = fc->rate * (double)(step->now_ns - step->admitted_ns) / 1e9;

	if (fc->mode == MODE_RECOVER)
		return fc->flight_refused >= FLIGHT &&
				       rate_pressure_now(fc, step->now) > IN_FLIGHT_DEFERRALS
			       ? SLOWLY_AGAIN
			       : 1;
	return fc->mode == MODE_KNOWN ? between(on_the_way / ON_THE_WAY, 1, SLOWLY_MOST) : 1;
}

/* A message was accepted, and no hold ended by it. */
void rate_accepted(struct control_step *step)
{
	struct flow_control *fc = step->fc;
	double passed = since(step->now, fc->raised);
	double twice, step_max;
	double raised;

	noise_accepted(step, rate_below_estimate(fc));
	if (fc->idle_share >= IDLE_SHARE_MAX || noise_suspected(fc) || noise_on_trial(fc) ||
	    refusals_suspected(fc)) {
		fc->raised = step->now;
		return;
	}
	if (passed < RAISE_SECONDS)
		return;
	twice = doubling(step);
	fc->raised = step->now;
	if (twice == 0)
		return;
	passed = fmin(passed, fmax(RAISE_SECONDS, 2 / fc->rate)) / slowly(step);
	step_max = rate_fallen(fc) && fc->mode == MODE_KNOWN ? FALLEN_STEP
		   : twice == DOUBLE_PROBE		     ? 1.1
							     : 1.3;
	raised = fc->rate * fmin(exp2(passed / twice), step_max);
	rate_set(step, fmax(fc->rate, fmin(raised, ceiling(fc))));
}

/* Mail goes as fast as the bounds allow, and so many were delivered since the last call. */
void rate_used(struct control_step *step, uint32_t delivered)
{
	struct flow_control *fc = step->fc;
	double seconds = since(step->now, fc->raised);

	if (seconds < RAISE_SECONDS)
		return;
	fc->limit_estimate +=
		(float)((delivered / seconds - fc->limit_estimate) * fmin(seconds / 30, 1));
	fc->raised = step->now;
}

/* A window of the receiver's has turned over: the rate is what it was. */
void rate_restore(struct control_step *step)
{
	struct flow_control *fc = step->fc;

	rate_track_estimate(step, fmin(fc->limit_estimate_prev, 2 * fc->limit_estimate));
	fc->flags &= (uint16_t)~FLAG_MEASURED;
	fc->count = 0;
	fc->idle = 0;
	fc->strikes = 0;
}

/* A short hold has ended. A whole flight was refused: the rate was far above what is taken, and
 * another such flight would be one too many. On the ground it is no chance then, but a limit that
 * has fallen. */
void rate_scale_after_flight(struct control_step *step)
{
	struct flow_control *fc = step->fc;
	double pressure = rate_pressure_now(fc, step->now);
	double few = fc->strikes ? FLIGHT : IN_FLIGHT_DEFERRALS;
	double part;

	if (fc->flags & FLAG_RISE_SUSPECTED || pressure <= few)
		return;
	if (fc->mode == MODE_KNOWN && fc->strikes && fc->flight_refused >= FLIGHT) {
		fc->mode = MODE_RECOVER;
		fc->strikes = 0;
		fc->flags |= FLAG_LOW_CONFIDENCE;
		fc->probe_spacing_messages = rate_spacing_min(fc);
		rate_set_estimate(step, FALLEN_FLIGHT * fc->limit_estimate);
		rate_set(step, AFTER_FLIGHT * fc->rate);
	}
	if (fc->mode == MODE_KNOWN && fc->flight_refused >= FLIGHT_OF_PROBE) {
		fc->mode = MODE_RECOVER;
		rate_set(step, AFTER_FLIGHT * fc->rate);
		return;
	}
	if (fc->mode != MODE_RECOVER)
		return;
	part = between(IN_FLIGHT_DEFERRALS / pressure, FLIGHT_CUT, 1);
	rate_set_estimate(step, fc->limit_estimate * part);
	rate_set(step, fc->rate * part);
}

/* A long hold has ended: carefully back to what was. */
void rate_backoff(struct control_step *step, double held_seconds)
{
	struct flow_control *fc = step->fc;
	float before = fc->rate;

	rate_set(step, between(1.5 / fc->hold_seconds, 0.1 * fc->rate, 0.75 * fc->rate));
	/* A hold that no rate brought about may have begun before there was an estimate. */
	fc->limit_estimate = fc->limit_estimate_prev > 0 ? fc->limit_estimate_prev : before;
	fc->mode = MODE_RECOVER;
	flag_set(fc, FLAG_RISE_SUSPECTED, false);
	flag_set(fc, FLAG_LOW_CONFIDENCE, true);
	if (held_seconds > 900 && fc->backoff_level < 3)
		fc->backoff_level++;
}
