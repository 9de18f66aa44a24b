/* SPDX-License-Identifier: MIT
 *
 * The receiver's hour and day: recognised by when a hold ends, learned by what was accepted before
 * it.
 *
 * A hold that ends just past a full hour, or at the same minute as another before it, or that began
 * with a text about the hour, was a window that turned over; what was accepted in it is its cap. A
 * cap is acted upon once two hours have agreed. A part of it is kept for transactional mail, less as
 * the window goes by. At its end now and then it is overrun by a quarter to see whether it grew:
 * there a refusal costs least. A window that slides lets go little by little instead: it is a rate, and
 * measured as one.
 */
#include "sidecar/control/state.h"

#define HOUR		  3600.0
#define DAY		  86400.0
#define DAY_STAMPS	  8640000 /* DAY in stamps */
#define TURNED_SECONDS	  120	/* a hold that ends this long after a window turned, ended by it */
#define DAY_SECONDS	  5400	/* a hold that lasted longer was not for the hour */
#define DAY_BLOCK_SECONDS 21600 /* a block that lasted longer was for the day */
#define DAY_PHASE_SLACK	  900
#define GROWN		  1.1 /* of the cap: taken, so it is no longer the cap */
#define PHASE_SURE	  60  /* seconds: what is known better is known */
#define HOUR_TEST_EVERY	  6
#define EVEN		  0.98 /* of the cap: messages that are spread evenly over the hour */
#define EARLY		  0.7  /* of the cap: before so much there should be no trouble … */
#define FALLS		  0.9  /* a cap that is refused though it was filled evenly */
#define SLIDING_SECONDS	  1200 /* … that a full hour's mail explains; a block lasts longer */
#define SLIDING_PRESSURE  2.2  /* deferrals of late */
#define DAY_TEST_EVERY	  3
#define RESERVE_LEAST	  0.05 /* of a learned cap, for transactional mail … */
#define RESERVE_MOST	  0.2
#define SEEN_UNIT	  65536.0
#define SEEN_SHIFT	  8  /* messages that the share of transactional mail looks back on: 2^8 */
#define RESERVE_SIGMAS	  3  /* what comes by chance beside what is usual */
#define STEPS		  16 /* the reserve goes down each time a part of what is left is over … */
#define STEP_SECONDS	  5.0 /* … at the end in steps of */
#define CATCH_UP	  0.9 /* of the rate, at which the others take what is left of it … */
#define NO_RESERVE_S	  45.0 /* … and so long before the end all: who waits now waits no longer */
#define TEST_SECONDS	  60.0	/* before the end the cap is overrun, for so long … */
#define TEST_MESSAGES	  6	/* … or that many */
#define TEST_TAKEN	  1.005 /* of the cap: taken in such a test, it is to be tested further */
#define TEST_TAKEN_MORE	  2	/* … and that many */
#define TEST_DAY	  0.125 /* of a day, before its end: mail may be spread over the day */

static double wall_at(const struct control_bounds *bounds, uint64_t now_ns)
{
	return (double)((int64_t)now_ns + bounds->wall_offset_ns) / 1e9;
}

static double wall_seconds(const struct control_step *step)
{
	return wall_at(step->bounds, step->now_ns);
}

/* Seconds since the last boundary of hours that begin phase seconds after the clock's. */
static double into_hour(const struct control_step *step, double phase)
{
	double seconds = fmod(wall_seconds(step) - phase, HOUR);

	return seconds < 0 ? seconds + HOUR : seconds;
}

/* Seconds until the receiver's day turns over, which it does at a full hour of ours, at midnight
 * rather than at another: where more is not known, until the next, later every other one. */
static double day_wait(const struct control_step *step)
{
	const struct flow_control *fc = step->fc;
	double passed = since(step->now, fc->day_start);
	double waited = since(step->now, fc->hold_since);
	double midnight = DAY - fmod(wall_seconds(step), DAY);

	if (fc->day_seen && passed < DAY)
		return DAY - passed + 2;
	return fmin(HOUR - into_hour(step, 0) + (waited > HOUR ? HOUR : 0), midnight) + 2;
}

/* Seconds until the receiver's hour turns over, or may have: where its beginning is not known to
 * the minute, half-way through what is possible. While nothing is known, until the clock's hour
 * turns or the minute comes at which the last long hold ended. */
double window_wait(const struct control_step *step)
{
	const struct flow_control *fc = step->fc;
	double sure = HOUR - into_hour(step, fc->phase);
	double perhaps = HOUR - into_hour(step, fc->phase - fc->phase_gap / 2.0);

	if (fc->flags & FLAG_DAY)
		return day_wait(step);
	if (!fc->hour_seen)
		return fmin(sure, HOUR - into_hour(step, 0)) + 2;
	return fc->phase_gap > PHASE_SURE && perhaps < sure && !(fc->flags & FLAG_MISSED)
		       ? perhaps
		       : sure + 2;
}

void window_roll(struct control_step *step)
{
	struct flow_control *fc = step->fc;
	uint8_t hour = (uint8_t)(int64_t)floor((wall_seconds(step) - fc->phase) / HOUR);
	bool tested = fc->hour_test == HOUR_TEST_EVERY - 1 && !(fc->flags & FLAG_HELD);

	if (hour != fc->hour_index) {
		fc->hour_index = hour;
		fc->hour_test = (uint8_t)((fc->hour_test + 1) % HOUR_TEST_EVERY);
		if (fc->hour_cap && fc->hour_count > GROWN * fc->hour_cap) {
			/* It has grown, and may have grown further. */
			fc->hour_cap = fc->hour_count;
			fc->hour_test = HOUR_TEST_EVERY;
		} else if (fc->hour_seen >= HOUR_SURE && tested &&
			   fc->hour_count > TEST_TAKEN * fc->hour_cap + TEST_TAKEN_MORE) {
			fc->hour_test = HOUR_TEST_EVERY;
		}
		fc->flags &= (uint16_t)~FLAG_FRESH;
		fc->hour_count = 0;
	}
	/* What was taken before a hold is known until it ends. */
	if (fc->day_seen && !(fc->flags & FLAG_HELD) && since(step->now, fc->day_start) >= DAY) {
		fc->day_start += DAY_STAMPS;
		fc->day_count = 0;
		fc->day_test = (uint8_t)((fc->day_test + 1) % DAY_TEST_EVERY);
	}
}

void window_count(struct control_step *step, uint32_t messages)
{
	struct flow_control *fc = step->fc;

	fc->hour_count += messages;
	fc->day_count += messages;
	if (!fc->day_seen || fc->day_count <= GROWN * fc->day_cap)
		return;
	/* It has grown: how far, the next refusal will tell. */
	fc->day_seen = 0;
}

/* Much too early for a window that has just turned over. */
static void window_mark_sliding(struct flow_control *fc)
{
	fc->flags = (uint16_t)((fc->flags | FLAG_SLIDING) & ~FLAG_NAMED);
	fc->hour_seen = 0;
}

static bool cap_matches(const struct flow_control *fc, double count, double share, double slack)
{
	return fc->hour_seen && fc->hour_cap &&
	       fabs(count - fc->hour_cap) < share * fc->hour_cap + slack;
}

/* The text speaks of the hour. True: it is a window whose end is known. Else a probe shall say
 * whether there is one. */
static bool hour_named(struct flow_control *fc)
{
	if (fc->flags & (FLAG_SLIDING | FLAG_MISNAMED))
		return false;
	fc->flags |= FLAG_NAMED;
	if (!fc->hour_seen)
		return false;
	if (fc->hour_cap && fc->hour_count < EARLY * fc->hour_cap) {
		window_mark_sliding(fc);
		return false;
	}
	fc->hour_cap = fc->hour_count;
	fc->hour_seen = HOUR_SURE;
	return true;
}

/* A day that is full so early slides: its slots become free one by one. */
static bool day_early(const struct flow_control *fc)
{
	return fc->day_cap && fc->day_count < EARLY * fc->day_cap;
}

/* … of the day. */
static bool day_named(struct flow_control *fc)
{
	if (fc->flags & FLAG_MISNAMED)
		return false;
	fc->flags |= FLAG_NAMED | FLAG_DAY;
	if (day_early(fc))
		fc->day_seen = 0;
	if (fc->day_seen)
		fc->day_cap = fc->day_count;
	return fc->day_seen;
}

static double with_test(const struct flow_control *fc)
{
	return fc->hour_cap * (fc->hour_test >= HOUR_TEST_EVERY - 1 ? 1.25 : 1);
}

/* Messages a second that fill the hour evenly: then it never shuts, whether it slides or not, and
 * urgent mail never waits for its end. */
double window_rate(const struct flow_control *fc)
{
	if (!(fc->flags & FLAG_SLIDING) || !fc->hour_cap)
		return RATE_TOP;
	return EVEN * with_test(fc) / HOUR;
}

/* Where it slides, overrunning it is answered long before the hour ends. What was taken since says
 * little: the hour before was not filled evenly. If it was, and no test has overrun it, the cap
 * has fallen. */
static void sliding_hit(struct control_step *step)
{
	struct flow_control *fc = step->fc;
	double quiet = ((double)step->now_ns - (double)fc->hold_until_ns) / 1e9;
	double even;

	if (quiet > HOUR && fc->hour_test >= 2 && fc->hour_test < HOUR_TEST_EVERY - 1)
		fc->hour_cap = (uint32_t)(FALLS * fc->hour_cap);
	fc->hour_test = 0;
	even = window_rate(fc);
	/* Trouble that comes again and again at that rate is not the hour's. */
	if (even >= RATE_TOP || fc->limit_estimate >= even ||
	    pressure_now(fc, step->now) > SLIDING_PRESSURE)
		return;
	rate_track_estimate(step, even);
}

/* Whether this trouble is the hour's cap, so that waiting for the window is all there is to do. */
bool window_hit(struct control_step *step, enum reply_limit limit)
{
	struct flow_control *fc = step->fc;

	if (fc->flags & FLAG_HELD)
		return fc->probe_failures >= 2 && !(fc->flags & FLAG_MISSED) &&
		       (fc->flags & FLAG_NAMED || cap_matches(fc, fc->hold_hour_count, 0.1, 0));
	fc->flags &= (uint16_t) ~(FLAG_NAMED | FLAG_DAY | FLAG_MISSED);
	if ((limit == REPLY_LIMIT_HOUR && hour_named(fc)) ||
	    (limit == REPLY_LIMIT_DAY && day_named(fc)))
		return true;
	if (fc->flags & FLAG_VOLUME_SPIKE && fc->hour_seen)
		return true;
	if (fc->hour_seen >= HOUR_SURE && cap_matches(fc, fc->hour_count, 0.02, 2))
		return true;
	if (fc->flags & FLAG_SLIDING)
		sliding_hit(step);
	return false;
}

/* Seconds by which the day's beginning has passed, as far as it is known; below 0: lies ahead. */
static double into_day(const struct control_step *step)
{
	return fmod(since(step->now, step->fc->day_start) + DAY / 2, DAY) - DAY / 2;
}

static bool day_turned(const struct control_step *step)
{
	return step->fc->day_cap && fabs(into_day(step)) < DAY_PHASE_SLACK;
}

/* Seconds until the day turns over, where what was taken in it is what a day takes; else 0. */
double window_day_left(const struct control_step *step)
{
	const struct flow_control *fc = step->fc;
	double passed = since(step->now, fc->day_start);

	if (!fc->day_cap || passed > DAY || fc->day_count < 0.95 * fc->day_cap - 2)
		return 0;
	return DAY - passed;
}

/* One block of hours is no cap: complaints have such, too. One that lasts for most of a day is, and
 * one whose words named the day, and one that ended at the same time as another before it, after no
 * fewer messages. */
static bool day_believed(const struct control_step *step, double age)
{
	const struct flow_control *fc = step->fc;

	return age >= (fc->flags & FLAG_DAY ? HOUR : DAY_BLOCK_SECONDS) ||
	       (day_turned(step) && fc->day_count > 0.85 * fc->day_cap);
}

static void learn_day(struct control_step *step, double age)
{
	struct flow_control *fc = step->fc;
	bool grew = fc->day_cap && fc->day_count > GROWN * fc->day_cap;
	bool known = fc->day_cap && !grew;
	double late = day_turned(step) ? fmax(into_day(step), 0) : 0;

	fc->day_seen = day_believed(step, age);
	fc->day_cap = fc->day_count - 1;
	fc->day_test = grew ? DAY_TEST_EVERY : known ? 0 : DAY_TEST_EVERY - 1;
	fc->day_start = step->now - (uint32_t)(100 * late);
	fc->day_count = 1;
	if (!(fc->flags & FLAG_DAY))
		fc->hour_seen = 0;
}

/* The window's end came, and the probe was refused: if the hour may still turn over, it is later
 * than thought, else this is no window. */
void window_missed(struct control_step *step)
{
	struct flow_control *fc = step->fc;
	double left = HOUR - into_hour(step, fc->phase);

	if (fc->flags & FLAG_DAY)
		return;
	if (left <= fc->phase_gap) {
		fc->phase_gap = (uint16_t)left;
		return;
	}
	fc->flags = (uint16_t)((fc->flags | FLAG_MISSED) & ~FLAG_WINDOW);
}

/* The hour began phase seconds after the clock's, or up to gap seconds earlier, and hold_hour_count
 * messages were accepted in the last one. */
static void learn_hour(struct control_step *step, double phase, double gap)
{
	struct flow_control *fc = step->fc;
	bool same = fmod(phase - fc->phase + HOUR, HOUR) < 1 || fc->hour_seen;

	if (same && cap_matches(fc, fc->hold_hour_count, 0.15, 0)) {
		fc->hour_seen = fc->hour_seen < 3 ? fc->hour_seen + 1 : 3;
		fc->hour_cap = fc->hold_hour_count;
		fc->flags &= (uint16_t)~FLAG_MISNAMED;
	} else {
		fc->hour_seen = 1;
		/* Of an hour that began at another minute than was thought, nobody has counted the
		 * beginning. */
		fc->hour_cap = same && !(fc->flags & FLAG_VOLUME_SPIKE) ? fc->hold_hour_count : 0;
	}
	fc->phase_gap = (uint16_t)gap;
	if (phase != fc->phase) {
		fc->phase = (uint16_t)phase;
		window_roll(step);
		fc->hour_count = 1;
		fc->flags |= FLAG_FRESH;
	}
}

struct turned {
	bool sure;
	double phase;
	double gap;
};

/* Which window has just turned over. */
static struct turned window_turned(const struct control_step *step)
{
	const struct flow_control *fc = step->fc;
	double here = floor(into_hour(step, 0));
	double early = into_hour(step, fc->phase - fc->phase_gap);
	double slack = fc->hour_seen ? TURNED_SECONDS : fc->hold_seconds;

	if ((fc->hour_seen || fc->phase) && early <= fc->phase_gap + slack)
		return early < fc->phase_gap ? (struct turned){true, here, early}
					     : (struct turned){true, fc->phase, fc->phase_gap};
	if (here < TURNED_SECONDS)
		return (struct turned){true, 0, 0};
	/* Perhaps; what comes at the same minute again will tell. */
	return (struct turned){fc->flags & FLAG_NAMED, here, fmin(fc->hold_seconds, HOUR / 2)};
}

/* The words that began the hold have named a window; if the first probe got through, and none has
 * turned over meanwhile, it was not full. */
static void name_tested(struct control_step *step)
{
	struct flow_control *fc = step->fc;

	if (fc->flags & FLAG_NAMED && fc->probe_failures < 2 && !(fc->flags & FLAG_WINDOW) &&
	    into_hour(step, 0) >= TURNED_SECONDS)
		fc->flags |= FLAG_MISNAMED;
}

/* Trouble that lasts, though the cap is far, or ends long before the hour does: slots do not become
 * free all at once. */
static bool is_sliding(const struct flow_control *fc, double age, bool sure)
{
	return fc->probe_failures >= 2 && age < SLIDING_SECONDS && fc->hour_seen && fc->hour_cap &&
	       (fc->hold_hour_count < EARLY * fc->hour_cap ||
		(fc->hour_seen >= HOUR_SURE && !sure));
}

/* A hold has ended: was it a window of the receiver's that turned over? Then the rate is as before.
 */
bool window_released(struct control_step *step)
{
	struct flow_control *fc = step->fc;
	double age = since(step->now, fc->hold_since);
	struct turned turned = window_turned(step);
	bool day = fc->flags & FLAG_DAY;

	name_tested(step);
	if (fc->flags & FLAG_SLIDING && !day)
		return false;
	if (!day && is_sliding(fc, age, turned.sure)) {
		window_mark_sliding(fc);
		return false;
	}
	/* A hold that no probe has tested proves nothing about its end. */
	if (age < TURNED_SECONDS || (fc->probe_failures < 2 && !(fc->flags & FLAG_WINDOW)))
		return false;
	if (day && day_early(fc))
		return true;
	if (day || (turned.sure && age > DAY_SECONDS) || day_turned(step))
		learn_day(step, age);
	else
		learn_hour(step, turned.phase, turned.gap);
	if (!turned.sure && !day)
		fc->hour_seen = 0;
	return turned.sure || day;
}

/* Whether waiting for the boundary as far as it is known costs nothing of the cap. */
static bool phase_error_tolerable(const struct flow_control *fc)
{
	return fc->phase_gap <= PHASE_SURE ||
	       fc->hour_cap / fc->limit_estimate + fc->phase_gap < 0.9 * HOUR;
}

/* Keeps count of how much of the mail is transactional. */
void window_seen(struct flow_control *fc, enum tg_class traffic)
{
	fc->transactional =
		(uint16_t)(traffic == TG_TRANSACTIONAL
				   ? fc->transactional +
					     ((UINT16_MAX - fc->transactional) >> SEEN_SHIFT)
				   : fc->transactional - (fc->transactional >> SEEN_SHIFT));
}

/* What is looked at of a window of the receiver's. */
struct window {
	double seconds;
	double left; /* of them */
	double cap;
	double test_s; /* before its end, in which a test overruns the cap */
	unsigned test, every;
};

/* A cap that has just grown is likely to have grown on: then all of the window tests it, else its
 * end. */
static double cap_factor(const struct window *window, double left)
{
	if (window->test == window->every)
		return 2;
	return window->test == window->every - 1 && left <= window->test_s ? 1.25 : 1;
}

/* What is left is looked at in steps, or each moment would be a change: the end of the step before. */
static double step_begin(const struct window *window, double left, double *ret_next)
{
	double shrinks = 1 - 1.0 / STEPS, begin;

	if (left <= STEPS * STEP_SECONDS) {
		begin = ceil(left / STEP_SECONDS) * STEP_SECONDS;
		*ret_next = begin - STEP_SECONDS;
	} else {
		begin = window->seconds *
			pow(shrinks, floor(log(left / window->seconds) / log(shrinks) + 1e-9));
		*ret_next = fmax(begin * shrinks, STEPS * STEP_SECONDS);
	}
	return begin;
}

/* Of the cap, what is likely to come yet of transactional mail; but never so much that the others
 * could not take it before the window ends. */
static double reserve_of(const struct flow_control *fc, const struct window *window, double left)
{
	double share = between(fc->transactional / SEEN_UNIT, RESERVE_LEAST, RESERVE_MOST);
	double usual = share * window->cap * left / window->seconds;

	return fmax(fmin(usual + RESERVE_SIGMAS * sqrt(usual),
			 CATCH_UP * fc->rate * (left - NO_RESERVE_S)),
		    0);
}

static struct window_cap cap_of(const struct flow_control *fc, const struct window *window)
{
	double next, left = step_begin(window, window->left, &next);
	bool test = window->test == window->every - 1 && window->test_s < window->left;
	double factor = cap_factor(window, window->left);

	return (struct window_cap){
		.cap = (uint32_t)fmin(window->cap * factor, UINT32_MAX - 1.0),
		.reserve = factor > 1
				   ? 0
				   : (uint32_t)fmin(reserve_of(fc, window, left), window->cap / 2),
		.changes_in = window->left - (test ? fmax(next, window->test_s) : fmax(next, 0)),
	};
}

/* What the receiver is believed to take in an hour and a day; 0: not known. */
struct window_cap window_hour(const struct flow_control *fc, const struct control_bounds *bounds,
			      uint64_t now_ns)
{
	double passed = fmod(wall_at(bounds, now_ns) - fc->phase, HOUR);
	struct window window = {
		.seconds = HOUR,
		.left = passed < 0 ? -passed : HOUR - passed,
		.cap = fc->hour_cap,
		.test_s = fmax(TEST_SECONDS, TEST_MESSAGES / (double)fc->rate) + fc->phase_gap,
		.test = fc->hour_test,
		.every = HOUR_TEST_EVERY,
	};

	if (fc->hour_seen < HOUR_SURE || fc->flags & FLAG_FRESH || !phase_error_tolerable(fc))
		return (struct window_cap){0};
	return cap_of(fc, &window);
}

struct window_cap window_day(const struct flow_control *fc, uint64_t now_ns)
{
	struct window window = {
		.seconds = DAY,
		.left = DAY - fmod(since(stamp_of(now_ns), fc->day_start), DAY),
		.cap = fc->day_cap,
		.test_s = TEST_DAY * DAY,
		.test = fc->day_test,
		.every = DAY_TEST_EVERY,
	};

	if (!fc->day_seen)
		return (struct window_cap){0};
	return cap_of(fc, &window);
}

/* Minutes after the clock's midnight at which the receiver's day begins. */
uint32_t window_day_phase(const struct flow_control *fc, const struct control_bounds *bounds,
			  uint64_t now_ns)
{
	double start = wall_at(bounds, now_ns) - since(stamp_of(now_ns), fc->day_start);

	return (uint32_t)(fmod(fmod(start, DAY) + DAY, DAY) / 60);
}
