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

#define HOUR		3600.0
#define DAY		86400.0
#define DAY_STAMPS	8640000 /* DAY in stamps */
#define TURNED_SECONDS	120	/* a hold that ends this long after a window turned, ended by it */
#define DAY_SECONDS	5400	/* a hold that lasted longer was not for the hour */
#define PHASE_SURE	60	/* seconds: what is known better is known */
#define HOUR_TEST_EVERY 6
#define EVEN		0.98 /* of the cap: messages that are spread evenly over the hour */
#define DAY_TEST_EVERY	3

static double wall_seconds(const struct turn *turn)
{
	return (double)((int64_t)turn->now_ns + turn->bounds->wall_offset_ns) / 1e9;
}

/* Seconds since the last boundary of hours that begin phase seconds after the clock's. */
static double into_hour(const struct turn *turn, double phase)
{
	double seconds = fmod(wall_seconds(turn) - phase, HOUR);

	return seconds < 0 ? seconds + HOUR : seconds;
}

/* Seconds until the receiver's hour turns over, or may have: where its beginning is not known to
 * the minute, half-way through what is possible. While nothing is known, until the clock's hour
 * turns or the minute comes at which the last long hold ended. */
double window_wait(const struct turn *turn)
{
	const struct life *life = turn->life;
	double sure = HOUR - into_hour(turn, life->phase);
	double perhaps = HOUR - into_hour(turn, life->phase - life->phase_gap / 2.0);

	if (!life->hour_seen)
		return fmin(sure, HOUR - into_hour(turn, 0)) + 2;
	return life->phase_gap > PHASE_SURE && perhaps < sure && !(life->flags & FLAG_MISSED)
		       ? perhaps
		       : sure + 2;
}

void window_roll(struct turn *turn)
{
	struct life *life = turn->life;
	uint8_t hour = (uint8_t)(int64_t)floor((wall_seconds(turn) - life->phase) / HOUR);

	if (hour != life->hour_index) {
		life->hour_index = hour;
		if (life->hour_cap && life->hour_count > 1.1 * life->hour_cap) {
			/* It has grown, and may have grown further. */
			life->hour_cap = life->hour_count;
			life->hour_test = HOUR_TEST_EVERY - 2;
		}
		life->flags &= (uint16_t)~FLAG_FRESH;
		life->hour_count = 0;
		life->hour_test = (uint8_t)((life->hour_test + 1) % HOUR_TEST_EVERY);
	}
	if (life->day_seen && since(turn->now, life->day_start) >= DAY) {
		life->day_start += DAY_STAMPS;
		life->day_count = 0;
		life->day_test = (uint8_t)((life->day_test + 1) % DAY_TEST_EVERY);
	}
}

void window_count(struct turn *turn, uint32_t messages)
{
	turn->life->hour_count += messages;
	turn->life->day_count += messages;
}

/* Much too early for a window that has just turned over. */
static void slides(struct life *life)
{
	life->flags = (uint16_t)((life->flags | FLAG_SLIDING) & ~FLAG_NAMED);
	life->hour_seen = 0;
}

static bool near_cap(const struct life *life, double count, double share, double slack)
{
	return life->hour_seen && life->hour_cap &&
	       fabs(count - life->hour_cap) < share * life->hour_cap + slack;
}

/* The text speaks of the hour. True: it is a window whose end is known. */
static bool hour_named(struct life *life)
{
	if (life->flags & FLAG_SLIDING)
		return false;
	life->flags |= FLAG_NAMED;
	if (!life->hour_seen)
		return false;
	if (life->hour_cap && life->hour_count < 0.7 * life->hour_cap) {
		slides(life);
		return false;
	}
	life->hour_cap = life->hour_count;
	life->hour_seen = HOUR_SURE;
	return true;
}

/* Whether this trouble is the hour's cap, so that waiting for the window is all there is to do. */
bool window_hit(struct turn *turn, enum reply_limit limit)
{
	struct life *life = turn->life;

	if (life->flags & FLAG_HELD)
		return life->fails >= 2 && !(life->flags & FLAG_MISSED) &&
		       near_cap(life, life->began_count, 0.1, 0);
	life->flags &= (uint16_t) ~(FLAG_NAMED | FLAG_MISSED);
	if (limit == REPLY_LIMIT_HOUR && hour_named(life))
		return true;
	if (life->flags & FLAG_PATTERN && life->hour_seen)
		return true;
	if (life->hour_seen >= HOUR_SURE && near_cap(life, life->hour_count, 0.02, 2))
		return true;
	/* Where it slides, overrunning it is answered long before the hour ends. */
	if (life->flags & FLAG_SLIDING)
		life->hour_test = 0;
	return false;
}

static void learn_day(struct turn *turn)
{
	struct life *life = turn->life;

	life->day_cap = life->day_count - 1;
	life->day_seen = 1;
	life->day_test = 0;
	life->day_start = turn->now;
	life->day_count = 1;
	life->hour_seen = 0;
}

/* The window's end came, and the probe was refused: if the hour may still turn over, it is later
 * than thought, else this is no window. */
void window_missed(struct turn *turn)
{
	struct life *life = turn->life;
	double left = HOUR - into_hour(turn, life->phase);

	if (left <= life->phase_gap) {
		life->phase_gap = (uint16_t)left;
		return;
	}
	life->flags = (uint16_t)((life->flags | FLAG_MISSED) & ~FLAG_WINDOW);
}

/* The hour began phase seconds after the clock's, or up to gap seconds earlier, and began_count
 * messages were accepted in the last one. */
static void learn_hour(struct turn *turn, double phase, double gap)
{
	struct life *life = turn->life;
	bool same = fmod(phase - life->phase + HOUR, HOUR) < 1 || life->hour_seen;

	if (same && near_cap(life, life->began_count, 0.15, 0)) {
		life->hour_seen = life->hour_seen < 3 ? life->hour_seen + 1 : 3;
		life->hour_cap = life->began_count;
	} else {
		life->hour_seen = 1;
		/* Of an hour that began at another minute than was thought, nobody has counted the
		 * beginning. */
		life->hour_cap = same && !(life->flags & FLAG_PATTERN) ? life->began_count : 0;
	}
	life->phase_gap = (uint16_t)gap;
	if (phase != life->phase) {
		life->phase = (uint16_t)phase;
		window_roll(turn);
		life->hour_count = 1;
		life->flags |= FLAG_FRESH;
	}
}

struct turned {
	bool sure;
	double phase;
	double gap;
};

/* Which window has just turned over. */
static struct turned window_turned(const struct turn *turn)
{
	const struct life *life = turn->life;
	double here = floor(into_hour(turn, 0));
	double early = into_hour(turn, life->phase - life->phase_gap);
	double slack = life->hour_seen ? TURNED_SECONDS : life->gap;

	if ((life->hour_seen || life->phase) && early <= life->phase_gap + slack)
		return early < life->phase_gap
			       ? (struct turned){true, here, early}
			       : (struct turned){true, life->phase, life->phase_gap};
	if (here < TURNED_SECONDS)
		return (struct turned){true, 0, 0};
	/* Perhaps; what comes at the same minute again will tell. */
	return (struct turned){life->flags & FLAG_NAMED, here, fmin(life->gap, HOUR / 2)};
}

/* A hold has ended: was it a window of the receiver's that turned over? Then the rate is as before.
 */
bool window_released(struct turn *turn)
{
	struct life *life = turn->life;
	double age = since(turn->now, life->began);
	struct turned turned = window_turned(turn);

	if (life->flags & FLAG_SLIDING)
		return false;
	if (life->fails >= 2 && life->hour_seen && life->hour_cap &&
	    life->began_count < 0.5 * life->hour_cap) {
		slides(life);
		return false;
	}
	/* A hold that no probe has tested proves nothing about its end. */
	if (age < TURNED_SECONDS || (life->fails < 2 && !(life->flags & FLAG_WINDOW)))
		return false;
	if (turned.sure && age > DAY_SECONDS)
		learn_day(turn);
	else
		learn_hour(turn, turned.phase, turned.gap);
	if (!turned.sure)
		life->hour_seen = 0;
	return turned.sure;
}

/* Whether waiting for the boundary as far as it is known costs nothing of the cap. */
static bool lateness_harmless(const struct life *life)
{
	return life->phase_gap <= PHASE_SURE ||
	       life->hour_cap / life->trouble + life->phase_gap < 0.9 * HOUR;
}

static double with_test(const struct life *life)
{
	return life->hour_cap * (life->hour_test == HOUR_TEST_EVERY - 1 ? 1.25 : 1);
}

/* Messages a second that fill the hour evenly: then it never shuts, whether it slides or not, and
 * urgent mail never waits for its end. */
double window_rate(const struct life *life)
{
	if (!(life->flags & FLAG_SLIDING) || !life->hour_cap)
		return RATE_TOP;
	return EVEN * with_test(life) / HOUR;
}

/* What the receiver is believed to take in an hour and a day; 0: not known. */
uint32_t window_hour_cap(const struct life *life)
{
	if (life->hour_seen < HOUR_SURE || life->flags & FLAG_FRESH || !lateness_harmless(life))
		return 0;
	return (uint32_t)with_test(life);
}

uint32_t window_day_cap(const struct life *life)
{
	if (!life->day_seen)
		return 0;
	return life->day_cap + (life->day_test == DAY_TEST_EVERY - 1 ? life->day_cap / 4 : 0);
}

/* Minutes after the clock's midnight at which the receiver's day begins. */
uint32_t window_day_phase(const struct life *life, const struct control_bounds *bounds,
			  uint64_t now_ns)
{
	double wall = (double)((int64_t)now_ns + bounds->wall_offset_ns) / 1e9;
	double start = wall - since(stamp_of(now_ns), life->day_start);

	return (uint32_t)(fmod(fmod(start, DAY) + DAY, DAY) / 60);
}
