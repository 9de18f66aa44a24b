/* SPDX-License-Identifier: MIT
 *
 * Spurious rate-limit replies, told from those of a limit by their independence of the rate.
 *
 * A limit answers to the rate: once the flow has been cut below it, nothing is refused until the
 * next probe. Where some are refused all the same, far apart, a trial decides: the flow goes so
 * much slower that no limit which refused so few can be met, and what is refused there, as often as
 * before, is chance. A flow that has fallen far since the first of them goes on trial near where it
 * was then: down here a trial would take hours, and up there a limit says so at once. Then so many
 * deferrals as the share explains are passed over; more of them are trouble as ever.
 */
#include "sidecar/control/state.h"

#define NOISE_SEEN	  5.5 /* nats, before deferrals on safe ground are put to the test */
#define NOISE_MAX	  0.1 /* of the messages: more than that is a limit */
#define NOISE_MIN	  0.001
#define NOISE_OF	  1200 /* messages remembered */
#define NOISE_OF_FIRST	  600  /* … while no chance is known */
#define PERIOD		  1000 /* messages, over which the share is measured once it is known */
#define PERIOD_MIN	  30
#define SHARE_GROWS	  1.5  /* of what was known, in one period */
#define TRIAL_RATE	  0.6  /* of the rate */
#define TRIAL_SHARE_MIN	  0.01 /* or it would last too long */
#define TRIAL_ROUGHLY	  0.6 /* of the share that was seen: it was few, and may have been bad luck */
#define TRIAL_FIRST	  1.5 /* nats: the first may have been of a limit that has just fallen */
#define TRIAL_EACH	  2.3 /* … that each of the others tells, at the most */
#define TRIAL_CLOSE	  0.7 /* … and against it */
#define TRIAL_CLOSE_UP	  1.6 /* … where it runs above the estimate: there a limit refuses in a row */
#define TRIAL_CHANCE_AT	  3.5  /* … for the verdict that it is chance */
#define TRIAL_LIMIT_AT	  -3.0 /* … that it is a limit */
#define TRIAL_FALLEN	  4.0 /* times that the flow has fallen since: then the trial is back up there */
#define TRIAL_SECONDS_MAX 6000 /* where it would take longer, it costs more than it may bring */
#define TRIAL_ON_THE_WAY  2.0  /* messages: where more are, none is begun up there … */
#define TRIAL_PRESSURE	  5.0  /* … after so many deferrals of late */
#define NOISE_BACK	  4.0 /* times the estimate, at the most, back to where chance was met first */
#define NOISE_MANY	  5 /* … deferrals that go on all the same */
#define TRIAL_REFUSED	  3
#define TRIAL_REFUSED_MAX 6
#define SPRT_PENDING_MAX  15
#define LIMIT_SHARE	  0.06 /* of the messages that a limit refuses besides, at the least … */
#define LIMIT_TIMES	  1.5  /* … and as a multiple of what chance does */
#define STEEP_SHARE	  0.4  /* … where it is far exceeded */
#define STEEP_ALONE	  2.2  /* refusals in a row that are not enough for that */
#define FALSE_ALARMS	  0.3  /* an hour */
#define UNLEARNED	  6    /* refusals that chance would have brought, and did not */
#define SPRT_UNIT	  1024.0
#define SCORE_UNIT	  1000.0 /* of a nat */

bool noise_known(const struct flow_control *fc)
{
	return fc->flags & FLAG_NOISE;
}

double noise_share(const struct flow_control *fc)
{
	return noise_known(fc) ? between(fc->noise / fmax(fc->noise_of, 1), NOISE_MIN, NOISE_MAX)
			       : 0;
}

bool noise_on_trial(const struct flow_control *fc)
{
	return fc->trial == TRIAL_CHANCE;
}

static void noise_forget(struct flow_control *fc)
{
	fc->flags &= (uint16_t)~FLAG_NOISE;
	fc->noise = 0;
	fc->noise_of = 0;
	fc->noise_from = 0;
}

/* What has become too few to matter, or too much for chance, is not known any more. */
static void noise_judge(struct flow_control *fc)
{
	double share = fc->noise / fmax(fc->noise_of, 1);

	if (share < NOISE_MIN || share > NOISE_MAX)
		fc->flags &= (uint16_t)~FLAG_NOISE;
}

static void noise_count(struct flow_control *fc, unsigned messages, unsigned refused)
{
	fc->noise += (float)refused;
	fc->noise_of = (uint16_t)(fc->noise_of + messages);
	if (fc->noise_of >= (noise_known(fc) ? NOISE_OF : NOISE_OF_FIRST)) {
		fc->noise /= 2;
		fc->noise_of /= 2;
	}
	noise_judge(fc);
}

/* ---- the trial ------------------------------------------------------------------------------- */

/* What was refused of the messages, as far as is known. */
static double share_seen(const struct flow_control *fc)
{
	return between((fc->noise - 1) / fmax(fc->noise_of, 1), TRIAL_SHARE_MIN, NOISE_MAX);
}

/* Slower than now; or, where the flow has fallen far, slower than where it met the first of them. */
static double trial_rate(const struct flow_control *fc)
{
	bool fallen = fc->noise_from > TRIAL_FALLEN * fc->limit_estimate;

	return TRIAL_RATE * (fallen ? fmax(fc->noise_from, fc->rate) : fc->rate);
}

/* For how long a trial would last that finds a limit. */
static double trial_seconds(const struct flow_control *fc)
{
	return -TRIAL_LIMIT_AT / (TRIAL_ROUGHLY * share_seen(fc)) / trial_rate(fc);
}

/* A limit refuses all that is on its way, and so much more may be one refusal too many. The message
 * that ended the hold has shown how long one is on its way. */
static bool trial_hurts(const struct control_step *step)
{
	const struct flow_control *fc = step->fc;
	double seconds = (double)(step->now_ns - step->admitted_ns) / 1e9;

	return trial_rate(fc) > fc->limit_estimate && trial_rate(fc) * seconds > TRIAL_ON_THE_WAY &&
	       rate_pressure_now(fc, step->now) > TRIAL_PRESSURE;
}

static void trial_begin(struct control_step *step)
{
	struct flow_control *fc = step->fc;

	fc->trial = TRIAL_CHANCE;
	fc->sprt_score = 0;
	fc->trial_score = 0;
	fc->trial_refused = 0;
	fc->trial_share = share_of(share_seen(fc));
	rate_set(step, trial_rate(fc));
}

static void trial_found_limit(struct flow_control *fc)
{
	fc->trial = TRIAL_NONE;
	noise_forget(fc);
}

/* What was refused before was chance, too: the flow goes back to where it met it first. */
static void trial_found_chance(struct control_step *step)
{
	struct flow_control *fc = step->fc;

	fc->trial = TRIAL_NONE;
	fc->flags |= FLAG_NOISE;
	/* Few were seen, and too small a share would take the next for a limit's. */
	fc->noise = (float)(fc->noise + sqrt(fc->noise));
	fc->pressure = 0;
	fc->refused = 0;
	fc->refused_of = 0;
	rate_track_estimate(step, fmin(fc->noise_from, NOISE_BACK * fc->limit_estimate));
	fc->probe_spacing_messages = rate_spacing_min(fc);
}

static void trial_add(struct flow_control *fc, double nats)
{
	fc->trial_score =
		(int16_t)between(round(fc->trial_score + SCORE_UNIT * nats), INT16_MIN, INT16_MAX);
}

static void trial_accepted(struct control_step *step)
{
	struct flow_control *fc = step->fc;

	noise_count(fc, 1, 0);
	trial_add(fc, log1p(-TRIAL_ROUGHLY * share(fc->trial_share)));
	if (fc->trial_score >= SCORE_UNIT * TRIAL_LIMIT_AT)
		return;
	trial_found_limit(fc);
	/* Whatever it was is no more. */
	if (fc->rate > fc->limit_estimate)
		rate_track_estimate(step, fc->rate);
}

/* Refused in the trial. Chance does so after any number of messages, a limit that has fallen to
 * somewhere below the rate most likely after few: n or more between two, with the chance 1/(n + 1).
 * True: it is passed over. */
bool noise_trial_refused(struct control_step *step)
{
	struct flow_control *fc = step->fc;
	double n = fc->count;
	double nats = log(share(fc->trial_share) * (n + 1) * (n + 2));

	noise_count(fc, 0, 1);
	trial_add(fc, between(nats, fc->rate > fc->limit_estimate ? -TRIAL_CLOSE_UP : -TRIAL_CLOSE,
			      fc->trial_refused ? TRIAL_EACH : TRIAL_FIRST));
	fc->trial_refused++;
	if (fc->trial_score > SCORE_UNIT * TRIAL_CHANCE_AT && fc->trial_refused >= TRIAL_REFUSED) {
		trial_found_chance(step);
	} else if (fc->trial_score < SCORE_UNIT * TRIAL_LIMIT_AT ||
		   fc->trial_refused >= TRIAL_REFUSED_MAX) {
		trial_found_limit(fc);
		return false;
	}
	rate_pressure_add(step);
	cut_measure_begin(step);
	if (noise_known(fc)) /* What was learned before was learned from chance. */
		fc->count = (uint32_t)rate_probe_after(fc);
	return true;
}

/* ---- what is known --------------------------------------------------------------------------- */

/* Wald's sequential test of a limit against chance: each reply adds the logarithm of how much
 * likelier it is under a limit. One that is only just exceeded shows after many, one that is far
 * exceeded at once. */
static void sprt_add(struct flow_control *fc, bool refused)
{
	double chance = noise_share(fc);
	double limits[] = {fmax(LIMIT_SHARE, LIMIT_TIMES * chance), STEEP_SHARE};
	uint16_t *scores[] = {&fc->sprt_score, &fc->sprt_steep};

	for (int i = 0; i < 2; i++) {
		double nats =
			refused ? log1p(limits[i] / chance) : log1p(-limits[i] / (1 - chance));

		*scores[i] = (uint16_t)between(*scores[i] + nats * SPRT_UNIT, 0, UINT16_MAX);
	}
	if (fc->sprt_score == 0 && fc->sprt_steep == 0)
		fc->sprt_pending = 0;
}

bool noise_suspected(const struct flow_control *fc)
{
	return fc->sprt_pending > 0;
}

/* Ends a period. What the share was at its lowest is chance; whatever else was refused may have
 * been a limit that is only just exceeded, so the share is believed to grow slowly only. */
void noise_learn(struct flow_control *fc)
{
	double known = noise_share(fc);
	double share = fmin(fc->refused / fmax(fc->refused_of, 1), SHARE_GROWS * known);
	double weight = fc->refused_of / (double)(fc->noise_of + fc->refused_of);

	if (noise_known(fc) && fc->refused_of >= PERIOD_MIN) {
		fc->noise_of = (uint16_t)fmin(fc->noise_of + fc->refused_of, NOISE_OF);
		fc->noise = (float)(fc->noise_of * (known + weight * (share - known)));
		noise_judge(fc);
	}
	fc->refused = fc->refused_of = 0;
}

/* Whether more was refused of late than chance explains, though never much at once. */
bool noise_grew(struct flow_control *fc)
{
	double expected = noise_share(fc) * fc->refused_of;

	if (fc->refused_of < PERIOD_MIN || fc->refused < expected + 4.5 * sqrt(expected) + 2)
		return false;
	noise_learn(fc);
	return true;
}

/* A message was accepted; on the ground: where the rate is below the limit estimate. */
void noise_accepted(struct control_step *step, bool ground)
{
	struct flow_control *fc = step->fc;

	if (noise_on_trial(fc)) {
		trial_accepted(step);
		return;
	}
	if (!noise_known(fc)) {
		if (ground)
			noise_count(fc, 1, 0);
		return;
	}
	if (fc->sprt_pending)
		sprt_add(fc, false);
	fc->refused_of++;
	if (fc->refused == 0 && noise_share(fc) * fc->refused_of > UNLEARNED)
		noise_forget(fc);
	else if (fc->refused_of >= PERIOD)
		noise_learn(fc);
}

/* A message was refused where it might be chance, and the next one was accepted. So many were taken
 * before: the more, the less a limit explains it. */
void noise_refused(struct control_step *step)
{
	struct flow_control *fc = step->fc;
	double told;

	if (noise_known(fc) || fc->trial != TRIAL_NONE)
		return;
	/* What was accepted long before says nothing: a limit may have fallen just now. */
	if (fc->noise < 1) {
		fc->noise_of = fc->noise_apart;
		fc->noise_from = 0;
		fc->sprt_score = 0;
	}
	fc->noise_from = fmaxf(fc->noise_from, fc->limit_estimate_prev);
	noise_count(fc, 1, 1);
	told = between(log(fc->noise_apart + 2.0) - 1, 0, TRIAL_EACH);
	fc->sprt_score = (uint16_t)fmin(fc->sprt_score + told * SPRT_UNIT, NOISE_SEEN * SPRT_UNIT);
	if (fc->sprt_score >= (uint16_t)(NOISE_SEEN * SPRT_UNIT) &&
	    (trial_seconds(fc) <= TRIAL_SECONDS_MAX || fc->noise >= NOISE_MANY) &&
	    !trial_hurts(step))
		trial_begin(step);
}

/* Whether chance explains this deferral, so far. */
bool noise_explains(struct flow_control *fc)
{
	double an_hour = noise_share(fc) * fc->rate * 3600;
	double enough = log(fmax(an_hour / FALSE_ALARMS * fmin(1, fc->rate), 30)) * SPRT_UNIT;
	double steep;

	if (!noise_known(fc))
		return false;
	/* One alone tells nothing. */
	steep = fmax(enough, STEEP_ALONE * log1p(STEEP_SHARE / noise_share(fc)) * SPRT_UNIT);
	sprt_add(fc, true);
	if (fc->sprt_score < enough && fc->sprt_steep < steep &&
	    fc->sprt_pending < SPRT_PENDING_MAX) {
		fc->sprt_pending++;
		fc->refused += fc->refused < UINT8_MAX;
		fc->refused_of++;
		return true;
	}
	/* They were the limit's, if one was looked for. */
	if (fc->mode == MODE_KNOWN && !rate_below_estimate(fc))
		fc->refused -= fc->refused < fc->sprt_pending ? fc->refused : fc->sprt_pending;
	fc->sprt_score = fc->sprt_steep = 0;
	fc->sprt_pending = 0;
	return false;
}
