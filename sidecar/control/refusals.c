/* SPDX-License-Identifier: MIT
 *
 * Refusals in words that do not name a limit: what the receiver does outranks what it says.
 *
 * No refusal is a success, whatever its words. One of a few messages is theirs; a sustained share
 * of all attempts is put to the test: the flow slows, and what is refused then decides. A limit
 * refuses next to nothing below it: then these words are its words from now on. The same share at
 * a lower rate is about the messages: then the flow goes on as before, and that share is no news
 * any more. Where everything is refused there is nothing to measure: one probe, with growing gaps.
 */
#include "sidecar/control/state.h"

#define REMEMBERED	       128 /* attempts, then halved */
#define REFUSED_MIN	       5   /* refusals among them, before anything is put to the test */
#define REFUSED_MESSAGES       8   /* … where the words are about the message */
#define SHARE_MIN	       0.1
#define SHARE_NEWS	       0.06 /* above what is usual … */
#define SHARE_SUDDEN	       0.35 /* … or by so much, of the last few, */
#define SUDDEN_TIMES	       3.0 /* … and so many times what is usual: then a few come together */
#define SHARE_KNOWN	       0.05 /* of those not about the message: usual without a trial, at most */
#define SHARE_SUSPECT	       0.3 /* … or by so much, and the rate is not raised meanwhile */
#define SHARE_SIGMAS	       2.5 /* … by so much more than chance makes of it */
#define RECENT		       8.0 /* attempts that the recent share looks back on */
#define ALL_REFUSED	       10  /* in a row */
#define ALL_MESSAGES	       30  /* … where the words are about the message, … */
#define ALL_MESSAGES_SECONDS   900 /* … and for longer than a greylist lets mail wait */
#define OUTAGE_AGAIN	       3
#define OUTAGE_HOLD_MAX	       600 /* seconds, of a hold that follows another at once */
#define ROW_CHANCE	       1e-4
#define AGAIN		       30 /* attempts after a full refusal, within which another is suspicious */
#define TRIAL_CUT	       0.4 /* of the rate, and less where most is refused */
#define TRIAL_ESTIMATE	       0.9 /* of what was taken: an estimate that is not met at once */
#define USUAL_MAX	       0.5
#define SHARE_MAX	       0.92
#define SHARE_MOST	       0.25 /* from here on a limit may lie far below the rate */
#define ROW		       4
#define ROW_LATELY	       0.85 /* of what so many in a row make of the share of the last few */
#define TRIAL_DEEPER	       0.25 /* a second time, before refusals are believed to be chance */
#define TRIAL_SLOWEST	       (0.5 / 60) /* messages a second: for a trial must end */
#define TRIAL_SLOWEST_MESSAGES (2 / 60.0)
#define TRIAL_SURE	       3.0 /* nats for a verdict */
#define TRIAL_LIMIT	       0.1 /* of the share before: what a limit refuses below it, at most */
#define TRIAL_LESS	       0.5
#define TRIAL_MESSAGES	       0.03 /* … where the words are about the message */
#define TRIAL_ATTEMPTS	       30   /* … and so many must have been accepted */
#define TRIAL_PAUSE	       300  /* seconds after a trial that found chance, doubling */
#define TRIAL_PAUSES	       5
#define DENIED_RATE	       0.6 /* of what was taken, or of where it was refused last: … */
#define DENIED		       3   /* … so often, and the words are not a limit's after all */
#define AGREED		       100 /* taken in a row: that is how a limit refuses */
#define NEVER_EXACT	       1e5f
#define REFUSED_PRESSURE       0.6f /* of a deferral, for each that the trial has cost */
#define SHARE_UNIT	       255.0
#define SCORE_UNIT	       1000.0 /* of a nat */

/* These words are about one message or mailbox, and the receiver has looked at it. */
static bool about_message(enum reply_class class)
{
	return class == REPLY_GREYLIST || class == REPLY_RECIPIENT || class == REPLY_CONTENT ||
	       class == REPLY_UNKNOWN_USER;
}

static uint8_t *refused_by(struct flow_control *fc, enum reply_class class)
{
	return &fc->refused_by[class - REFUSED_FIRST];
}

/* What of these comes at any rate. */
double refusals_usual(const struct flow_control *fc, enum reply_class class)
{
	return class < REFUSED_FIRST ? 0 : fc->usual_share[class - REFUSED_FIRST] / SHARE_UNIT;
}

bool refusals_are_limit(const struct flow_control *fc, enum reply_class class)
{
	return fc->limit_words & 1u << class;
}

bool refusals_on_trial(const struct flow_control *fc)
{
	return fc->trial == TRIAL_SLOWER || fc->trial == TRIAL_DEEPEST;
}

bool refusals_valid(const struct flow_control *fc)
{
	const float *measured[] = {&fc->admission_seconds, &fc->rate_before, &fc->taken_before,
				   &fc->estimate_before};

	for (unsigned i = 0; i < sizeof measured / sizeof *measured; i++)
		if (!(*measured[i] >= 0 && *measured[i] <= 1e6f))
			return false;
	return fc->trial_of < REFUSED_CLASSES && fc->attempts <= REMEMBERED &&
	       !(fc->limit_words >> REPLY_CLASSES) &&
	       (!refusals_on_trial(fc) || fc->trial_share >= share_of(SHARE_MIN));
}

static void forget(struct flow_control *fc)
{
	memset(fc->refused_by, 0, sizeof fc->refused_by);
	fc->attempts = 0;
	fc->refused_row = 0;
}

/* What was refused of the last attempts is known of each class; as it falls, so does what is no
 * news. A small share that goes on and on needs no trial to be none. */
static void attempts_halve(struct flow_control *fc)
{
	for (int i = 0; i < REFUSED_CLASSES; i++) {
		double refused = SHARE_UNIT * fc->refused_by[i];
		double usual = (double)fc->usual_share[i] * fc->attempts;

		if (refused < usual)
			fc->usual_share[i]--;
		else if (refused > usual && fc->usual_share[i] < SHARE_KNOWN * SHARE_UNIT - 1 &&
			 !about_message((enum reply_class)(REFUSED_FIRST + i)))
			fc->usual_share[i]++;
		fc->refused_by[i] /= 2;
	}
	fc->attempts /= 2;
}

static void attempt_count(struct control_step *step, bool refused, bool message)
{
	struct flow_control *fc = step->fc;
	uint32_t admitted = stamp_of(step->admitted_ns);
	double interval = fmin(since(admitted, fc->admitted_last), 600);

	if (fc->attempts >= REMEMBERED)
		attempts_halve(fc);
	if (fc->attempts && interval > 0)
		fc->admission_seconds += (float)((interval - fc->admission_seconds) / RECENT);
	fc->admitted_last = admitted;
	fc->attempts++;
	fc->refused_recent = share_of(share(fc->refused_recent) +
				      (refused - share(fc->refused_recent)) / RECENT);
	fc->refused_lately =
		(uint8_t)(refused && !message
				  ? fc->refused_lately + (UINT8_MAX - fc->refused_lately) / 8
				  : fc->refused_lately - (fc->refused_lately + 7) / 8);
	if (refused && fc->refused_row == 0)
		fc->refused_since = step->now;
	fc->refused_row = !refused ? 0 : fc->refused_row + (fc->refused_row < UINT8_MAX);
}

/* The share of the last few that was refused; where the words are not about the message, those that
 * are do not count: the receiver looked at it. */
static double recently(const struct flow_control *fc, enum reply_class class)
{
	return about_message(class) ? share(fc->refused_recent) : fc->refused_lately / SHARE_UNIT;
}

/* Whether of the refusals in a row so many were of this kind. */
static bool row_of(const struct flow_control *fc, enum reply_class class, double count)
{
	return fc->refused_row >= count &&
	       (about_message(class) ||
		recently(fc, class) >= ROW_LATELY * (1 - pow(1 - 1 / RECENT, count)));
}

/* More than what is usual, and than chance makes of it. */
static bool sustained(const struct flow_control *fc, enum reply_class class)
{
	double known = refusals_usual(fc, class), usual = known + SHARE_NEWS;
	double n = fc->attempts, refused = fc->refused_by[class - REFUSED_FIRST];
	double sudden = usual + SHARE_SUDDEN + SUDDEN_TIMES * fmin(known, SHARE_KNOWN);

	if (about_message(class) && fc->rate * TRIAL_CUT < TRIAL_SLOWEST_MESSAGES)
		return false;
	return refused >= (about_message(class) ? REFUSED_MESSAGES : REFUSED_MIN) &&
	       (refused > n * usual + SHARE_SIGMAS * sqrt(n * usual) ||
		recently(fc, class) > sudden);
}

/* Whether more of the last few is refused than usual: then the rate stays where it is. A share that
 * is small and stays so is no reason. */
bool refusals_suspected(const struct flow_control *fc)
{
	double usual = 0;

	for (int class = REFUSED_FIRST; class < REPLY_CLASSES; class ++)
		if (!refusals_are_limit(fc, class) && !about_message(class))
			usual += fc->usual_share[class - REFUSED_FIRST];
	return refusals_on_trial(fc) || fc->refused_lately > usual + SHARE_SUSPECT * SHARE_UNIT;
}

/* A stage of the trial: what is under way is of the flight before. */
static void trial_stage(struct control_step *step, enum control_trial stage, double rate)
{
	struct flow_control *fc = step->fc;

	fc->trial = stage;
	fc->trial_score = 0;
	fc->trial_accepted = fc->trial_refused = 0;
	fc->hold_until_ns = step->now_ns;
	rate_set(step,
		 fmin(fc->rate, fmax(rate, about_message(trial_class(fc)) ? TRIAL_SLOWEST_MESSAGES
									  : TRIAL_SLOWEST)));
}

/* So many in a row are no longer chance, where a share of them is usual. */
static double row_by_chance(const struct flow_control *fc, enum reply_class class)
{
	double usual = between(refusals_usual(fc, class), 1e-3, 0.7);

	return log(ROW_CHANCE) / log(usual);
}

/* A limit that has just been reached refuses in a row. */
static bool row_tells(const struct flow_control *fc, enum reply_class class)
{
	return row_of(fc, class,
		      refusals_usual(fc, class) == 0 ? ROW
						     : fmax(ROW, ceil(row_by_chance(fc, class))));
}

/* The share that is refused now. */
static double share_now(const struct flow_control *fc, enum reply_class class)
{
	double row = row_tells(fc, class) ? (fc->refused_row + 1.0) / (fc->refused_row + 2) : 0;

	return between(fmax(recently(fc, class), row), SHARE_MIN, SHARE_MAX);
}

static bool trial_allowed(const struct control_step *step)
{
	return (int32_t)(step->now - step->fc->trial_after) >= 0;
}

static void trial_begin(struct control_step *step, enum reply_class class)
{
	struct flow_control *fc = step->fc;
	double now;

	fc->trial_of = (uint8_t)(class - REFUSED_FIRST);
	fc->rate_before = fc->rate;
	if (fc->admission_seconds > 0)
		rate_set(step, fmin(fc->rate, 1 / fc->admission_seconds));
	now = share_now(fc, class);
	/* A few that came close together by chance shall not be compared with. */
	fc->trial_share = share_of(
		between(row_tells(fc, class) ? now : *refused_by(fc, class) / fmax(fc->attempts, 1),
			SHARE_MIN, now));
	fc->trial_share_now = share_of(now);
	fc->taken_before = (float)(fc->rate * (1 - now));
	trial_stage(step, TRIAL_SLOWER, fc->rate * fmin(TRIAL_CUT, 0.6 * (1 - now)));
}

/* Fewer were refused when fewer were sent. */
static void trial_found_limit(struct control_step *step)
{
	struct flow_control *fc = step->fc;
	uint8_t refused = fc->refused_by[fc->trial_of];

	fc->limit_words |= (uint16_t)(1u << trial_class(fc));
	fc->trial = TRIAL_NONE;
	fc->denied = 0;
	fc->estimate_before = fc->mode == MODE_SEARCH ? 0 : fc->limit_estimate;
	if (fc->mode == MODE_SEARCH || fc->taken_before < fc->limit_estimate) {
		rate_set_estimate(step, TRIAL_ESTIMATE * fc->taken_before);
		fc->limit_estimate_prev = fc->limit_estimate;
		fc->mode = MODE_RECOVER;
		flag_set(fc, FLAG_LOW_CONFIDENCE, true);
		flag_set(fc, FLAG_RISE_SUSPECTED, false);
	}
	/* From here on is counted, but the bucket is not empty: no measure is exact. */
	measure_begin(step);
	fc->idle = NEVER_EXACT;
	fc->probe_from_count = 0;
	fc->probe_spacing_messages = rate_spacing_min(fc);
	/* The receiver has counted them, whatever it called them. */
	fc->pressure = fmaxf(fc->pressure, REFUSED_PRESSURE * refused);
	fc->pressure_at = step->now;
	forget(fc);
}

static void trial_found_chance(struct control_step *step, double seen)
{
	struct flow_control *fc = step->fc;

	fc->trial = TRIAL_NONE;
	rate_set(step, fmax(fc->rate, fc->rate_before));
	fc->raised = step->now;
	fc->usual_share[fc->trial_of] = (uint8_t)ceil(
		SHARE_UNIT * between(seen, 0, about_message(trial_class(fc)) ? 1 : USUAL_MAX));
	fc->trial_after = step->now + (uint32_t)(100 * ldexp(TRIAL_PAUSE, fc->trial_pauses));
	fc->trial_pauses += fc->trial_pauses < TRIAL_PAUSES;
	forget(fc);
}

static void refused_fully(struct control_step *step, enum reply_class class, bool again);

/* As often as before. Where most was refused, the rate may have been far above a limit, and still
 * be: only what a second cut does not change is chance. */
static void trial_unchanged(struct control_step *step)
{
	struct flow_control *fc = step->fc;

	if (fc->trial == TRIAL_DEEPEST && fc->trial_accepted == 0 &&
	    !about_message(trial_class(fc))) {
		/* Not a share but all: it will climb back from here, once there is anything taken.
		 */
		fc->trial = TRIAL_NONE;
		refused_fully(step, trial_class(fc), false);
		return;
	}
	if (fc->trial == TRIAL_DEEPEST || share(fc->trial_share_now) < SHARE_MOST) {
		trial_found_chance(step, fmax(share(fc->trial_share),
					      fc->trial_refused / (double)(fc->trial_refused +
									   fc->trial_accepted)));
		return;
	}
	trial_stage(step, TRIAL_DEEPEST, TRIAL_DEEPER * fc->rate);
}

static void score_add(struct flow_control *fc, double nats)
{
	fc->trial_score =
		(int16_t)between(round(fc->trial_score + SCORE_UNIT * nats), INT16_MIN, INT16_MAX);
}

/* Wald's sequential test: each reply adds how much likelier it is below a limit than as noise. */
static void trial_judge(struct control_step *step, bool refused)
{
	struct flow_control *fc = step->fc;
	bool message = about_message(trial_class(fc));
	double chance = fmin(share(fc->trial_share), 0.9);
	double limit = message ? TRIAL_MESSAGES : TRIAL_LIMIT * chance;

	fc->trial_accepted += !refused && fc->trial_accepted < UINT8_MAX;
	/* The share before is known roughly: chance may be less than it seemed. */
	score_add(fc, refused ? log(limit / chance)
			      : log((1 - limit) / (1 - fmax(limit, TRIAL_LESS * chance))));
	fc->trial_refused += refused && fc->trial_refused < UINT8_MAX;
	if (fc->trial_score < -SCORE_UNIT * TRIAL_SURE ||
	    (fc->trial == TRIAL_SLOWER && share(fc->trial_share_now) >= SHARE_MOST &&
	     fc->trial_refused >= REFUSED_MIN))
		trial_unchanged(step);
	/* What was chance before is likely to be chance again. */
	else if (fc->trial_score > SCORE_UNIT * TRIAL_SURE * (1 + fc->trial_pauses) &&
		 (!message || fc->trial_accepted >= TRIAL_ATTEMPTS))
		trial_found_limit(step);
}

/* Everything is refused: what goes on now is wasted, and may be held against us. */
static void refused_fully(struct control_step *step, enum reply_class class, bool again)
{
	struct flow_control *fc = step->fc;

	fc->trial = TRIAL_NONE;
	if (again && trial_allowed(step))
		trial_begin(step, class);
	else if (again)
		rate_set(step, fc->rate / 2);
	forget(fc);
	fc->refused_fully = true;
	fc->probe_failures = 1;
	fc->hold_since = step->now;
	fc->probe_from_count = 0;
	fc->flags |= FLAG_OUTAGE;
	fc->flags &= (uint16_t) ~(FLAG_VOLUME_SPIKE | FLAG_MAYBE_NOISE);
	hold_begin(step, again ? fmin(2.0 * fc->hold_seconds, OUTAGE_HOLD_MAX) : OUTAGE_HOLD);
}

static bool row_full(const struct flow_control *fc, enum reply_class class, uint32_t now)
{
	double few = fc->refused_fully ? OUTAGE_AGAIN : OUTAGE_REPLIES;

	/* Where all mail is new to a greylist, all of it is refused at first. */
	if (about_message(class))
		return fc->refused_row >= ALL_MESSAGES &&
		       since(now, fc->refused_since) >= ALL_MESSAGES_SECONDS;
	return row_of(fc, class,
		      ceil(fmax(class == REPLY_INFRASTRUCTURE ? few : ALL_REFUSED,
				row_by_chance(fc, class))));
}

/* Refused in words that name no limit. */
void refusals_add(struct control_step *step, enum reply_class class)
{
	struct flow_control *fc = step->fc;
	bool again;

	attempt_count(step, true, about_message(class));
	++*refused_by(fc, class);
	again = fc->refused_fully && fc->attempts < AGAIN;
	if (row_full(fc, class, step->now)) {
		refused_fully(step, class, again);
		return;
	}
	if (refusals_on_trial(fc))
		trial_judge(step, true);
	else if (sustained(fc, class) && trial_allowed(step))
		trial_begin(step, class);
}

/* As it was before these words were taken for a limit's. */
static void deny(struct control_step *step, enum reply_class class)
{
	struct flow_control *fc = step->fc;

	fc->limit_words &= (uint16_t) ~(1u << class);
	if (fc->estimate_before > 0)
		rate_track_estimate(step, fc->estimate_before);
	else
		fc->mode = MODE_SEARCH;
	fc->strikes = 0;
	fc->trial_of = (uint8_t)(class - REFUSED_FIRST);
	trial_found_chance(step, share(fc->trial_share));
}

/* The words that were taken for a limit's came again. True: they are not, for they come however
 * slow the flow is. */
bool refusals_limit_denied(struct control_step *step, enum reply_class class)
{
	struct flow_control *fc = step->fc;

	if (fc->count >= AGREED) {
		fc->denied = 0;
		fc->taken_before = fminf(fc->taken_before, fc->limit_estimate);
		return false;
	}
	if (fc->rate >= DENIED_RATE * fc->taken_before)
		return false;
	/* A limit's refusals end somewhere on the way down. */
	fc->taken_before = fc->rate;
	fc->denied += fc->denied < DENIED;
	if (fc->denied < DENIED)
		return false;
	deny(step, class);
	return true;
}

void refusals_accepted(struct control_step *step)
{
	struct flow_control *fc = step->fc;

	attempt_count(step, false, false);
	if (fc->attempts >= AGAIN)
		fc->refused_fully = false;
	if (refusals_on_trial(fc))
		trial_judge(step, false);
}

/* So many were delivered since the last call, and not reported one by one. */
void refusals_delivered(struct control_step *step, uint32_t messages)
{
	for (uint32_t i = 0; i < messages && i < REMEMBERED; i++)
		attempt_count(step, false, false);
}
