/* SPDX-License-Identifier: MIT
 *
 * The receiver's hour and day: recognised by when a hold ends, learned by what was accepted before
 * it.
 *
 * A hold that ends just past a full hour, or at the same minute as another before it, or that began
 * with a text about the hour, was a window that turned over; what was accepted in it is its cap. A
 * cap is acted upon once two hours have agreed, and overrun by a quarter now and then to see
 * whether it grew. A window that slides lets go little by little instead: it is a rate, and
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
#define DAY_GROWN	  1.1 /* of the cap: taken, so it is no longer the cap */
#define PHASE_SURE	  60  /* seconds: what is known better is known */
#define HOUR_TEST_EVERY	  6
#define EVEN		  0.98 /* of the cap: messages that are spread evenly over the hour */
#define DAY_TEST_EVERY	  3

static double wall_seconds(const struct control_step *step)
{
	return (double)((int64_t)step->now_ns + step->bounds->wall_offset_ns) / 1e9;
}

/* Seconds since the last boundary of hours that begin phase seconds after the clock's. */
static double into_hour(const struct control_step *step, double phase)
{
	double seconds = fmod(wall_seconds(step) - phase, HOUR);

	return seconds < 0 ? seconds + HOUR : seconds;
}

/* Seconds until the receiver's hour turns over, or may have: where its beginning is not known to
 * the minute, half-way through what is possible. While nothing is known, until the clock's hour
 * turns or the minute comes at which the last long hold ended. */
double window_wait(const struct control_step *step)
{
	const struct flow_control *fc = step->fc;
	double sure = HOUR - into_hour(step, fc->phase);
	double perhaps = HOUR - into_hour(step, fc->phase - fc->phase_gap / 2.0);

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

	if (hour != fc->hour_index) {
		fc->hour_index = hour;
		if (fc->hour_cap && fc->hour_count > 1.1 * fc->hour_cap) {
			/* It has grown, and may have grown further. */
			fc->hour_cap = fc->hour_count;
			fc->hour_test = HOUR_TEST_EVERY - 2;
		}
		fc->flags &= (uint16_t)~FLAG_FRESH;
		fc->hour_count = 0;
		fc->hour_test = (uint8_t)((fc->hour_test + 1) % HOUR_TEST_EVERY);
	}
	if (fc->day_seen && since(step->now, fc->day_start) >= DAY) {
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
	if (!fc->day_seen || fc->day_count <= DAY_GROWN * fc->day_cap)
		return;
	/* It has grown: how far, the next refusal will tell. */
	fc->day_seen = 0;
	fc->day_grew = 1;
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

/* The text speaks of the hour. True: it is a window whose end is known. */
static bool hour_named(struct flow_control *fc)
{
	if (fc->flags & FLAG_SLIDING)
		return false;
	fc->flags |= FLAG_NAMED;
	if (!fc->hour_seen)
		return false;
	if (fc->hour_cap && fc->hour_count < 0.7 * fc->hour_cap) {
		window_mark_sliding(fc);
		return false;
	}
	fc->hour_cap = fc->hour_count;
	fc->hour_seen = HOUR_SURE;
	return true;
}

/* Whether this trouble is the hour's cap, so that waiting for the window is all there is to do. */
bool window_hit(struct control_step *step, enum reply_limit limit)
{
	struct flow_control *fc = step->fc;

	if (fc->flags & FLAG_HELD)
		return fc->probe_failures >= 2 && !(fc->flags & FLAG_MISSED) &&
		       cap_matches(fc, fc->hold_hour_count, 0.1, 0);
	fc->flags &= (uint16_t) ~(FLAG_NAMED | FLAG_MISSED);
	if (limit == REPLY_LIMIT_HOUR && hour_named(fc))
		return true;
	if (fc->flags & FLAG_VOLUME_SPIKE && fc->hour_seen)
		return true;
	if (fc->hour_seen >= HOUR_SURE && cap_matches(fc, fc->hour_count, 0.02, 2))
		return true;
	/* Where it slides, overrunning it is answered long before the hour ends. */
	if (fc->flags & FLAG_SLIDING)
		fc->hour_test = 0;
	return false;
}

/* One block of hours is no cap: complaints have such, too. One that lasts for most of a day is, and
 * one that ended at the same time as another before it, after about as many messages. */
static bool day_believed(const struct control_step *step, double age)
{
	const struct flow_control *fc = step->fc;
	double off = fmod(since(step->now, fc->day_start) + DAY / 2, DAY) - DAY / 2;

	return age >= DAY_BLOCK_SECONDS ||
	       (fc->day_cap && fabs(off) < DAY_PHASE_SLACK &&
		fabs((double)fc->day_count - fc->day_cap) < 0.15 * fc->day_cap);
}

static void learn_day(struct control_step *step, double age)
{
	struct flow_control *fc = step->fc;

	fc->day_seen = day_believed(step, age);
	fc->day_cap = fc->day_count - 1;
	fc->day_test = fc->day_grew ? DAY_TEST_EVERY - 2 : 0;
	fc->day_grew = 0;
	fc->day_start = step->now;
	fc->day_count = 1;
	fc->hour_seen = 0;
}

/* The window's end came, and the probe was refused: if the hour may still turn over, it is later
 * than thought, else this is no window. */
void window_missed(struct control_step *step)
{
	struct flow_control *fc = step->fc;
	double left = HOUR - into_hour(step, fc->phase);

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

/* A hold has ended: was it a window of the receiver's that turned over? Then the rate is as before.
 */
bool window_released(struct control_step *step)
{
	struct flow_control *fc = step->fc;
	double age = since(step->now, fc->hold_since);
	struct turned turned = window_turned(step);

	if (fc->flags & FLAG_SLIDING)
		return false;
	if (fc->probe_failures >= 2 && fc->hour_seen && fc->hour_cap &&
	    fc->hold_hour_count < 0.5 * fc->hour_cap) {
		window_mark_sliding(fc);
		return false;
	}
	/* A hold that no probe has tested proves nothing about its end. */
	if (age < TURNED_SECONDS || (fc->probe_failures < 2 && !(fc->flags & FLAG_WINDOW)))
		return false;
	if (turned.sure && age > DAY_SECONDS)
		learn_day(step, age);
	else
		learn_hour(step, turned.phase, turned.gap);
	if (!turned.sure)
		fc->hour_seen = 0;
	return turned.sure;
}

/* Whether waiting for the boundary as far as it is known costs nothing of the cap. */
static bool phase_error_tolerable(const struct flow_control *fc)
{
	return fc->phase_gap <= PHASE_SURE ||
	       fc->hour_cap / fc->limit_estimate + fc->phase_gap < 0.9 * HOUR;
}

static double with_test(const struct flow_control *fc)
{
	return fc->hour_cap * (fc->hour_test == HOUR_TEST_EVERY - 1 ? 1.25 : 1);
}

/* Messages a second that fill the hour evenly: then it never shuts, whether it slides or not, and
 * urgent mail never waits for its end. */
double window_rate(const struct flow_control *fc)
{
	if (!(fc->flags & FLAG_SLIDING) || !fc->hour_cap)
		return RATE_TOP;
	return EVEN * with_test(fc) / HOUR;
}

/* What the receiver is believed to take in an hour and a day; 0: not known. */
uint32_t window_hour_cap(const struct flow_control *fc)
{
	if (fc->hour_seen < HOUR_SURE || fc->flags & FLAG_FRESH || !phase_error_tolerable(fc))
		return 0;
	return (uint32_t)with_test(fc);
}

uint32_t window_day_cap(const struct flow_control *fc)
{
	if (!fc->day_seen)
		return 0;
	return fc->day_cap + (fc->day_test == DAY_TEST_EVERY - 1 ? fc->day_cap / 4 : 0);
}

/* Minutes after the clock's midnight at which the receiver's day begins. */
uint32_t window_day_phase(const struct flow_control *fc, const struct control_bounds *bounds,
			  uint64_t now_ns)
{
	double wall = (double)((int64_t)now_ns + bounds->wall_offset_ns) / 1e9;
	double start = wall - since(stamp_of(now_ns), fc->day_start);

	return (uint32_t)(fmod(fmod(start, DAY) + DAY, DAY) / 60);
}
