/* SPDX-License-Identifier: MIT
 *
 * The receiver's hour and day: recognised by when a hold ends, learned by what was accepted before
 * it.
 */
#include "sidecar/control_state.h"

static double wall_seconds(const struct turn *turn)
{
	return (double)((int64_t)turn->now_ns + turn->bounds->wall_offset_ns) / 1e9;
}

double window_wait(const struct turn *turn)
{
	double wall = wall_seconds(turn);

	return (floor(wall / 3600) + 1) * 3600 + 2 - wall;
}

void window_roll(struct turn *turn)
{
	struct life *life = turn->life;
	uint8_t hour = (uint8_t)(int64_t)floor(wall_seconds(turn) / 3600);

	if (hour != life->hour_index) {
		life->hour_index = hour;
		life->hour_count = 0;
		life->hour_test = (life->hour_test + 1) & 3;
	}
	if (life->day_seen && since(turn->now, life->day_start) >= 86400) {
		life->day_start += 8640000;
		life->day_count = 0;
		life->day_test = (life->day_test + 1) % 3;
	}
}

void window_count(struct turn *turn, uint32_t messages)
{
	turn->life->hour_count += messages;
	turn->life->day_count += messages;
}

static bool near_cap(const struct life *life, double count, double share, double slack)
{
	return life->hour_seen && life->hour_cap &&
	       fabs(count - life->hour_cap) < share * life->hour_cap + slack;
}

/* Whether this trouble is the hour's cap: the text says so, or the count does. */
bool window_hit(struct turn *turn, enum reply_limit limit)
{
	struct life *life = turn->life;

	if (limit == REPLY_LIMIT_HOUR) {
		life->hour_cap = life->hour_count;
		life->hour_seen = HOUR_SURE;
		return true;
	}
	if (life->flags & FLAG_HELD)
		return life->fails >= 2 && near_cap(life, life->held_count, 0.1, 0);
	return near_cap(life, life->hour_count, 0.02, 2);
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

static void learn_hour(struct life *life)
{
	if (near_cap(life, life->held_count, 0.15, 0))
		life->hour_seen = life->hour_seen < 3 ? life->hour_seen + 1 : 3;
	else
		life->hour_seen = 1;
	life->hour_cap = life->held_count;
}

/* A hold has ended: was it a window of the receiver's that turned over? Then the rate is as before.
 */
bool window_released(struct turn *turn)
{
	struct life *life = turn->life;
	double age = since(turn->now, life->held);

	if (fmod(wall_seconds(turn), 3600) >= 120 || age < 120)
		return false;
	if (age > 5400)
		learn_day(turn);
	else if (!(life->flags & FLAG_PATTERN))
		learn_hour(life);
	life->trouble = life->trouble_before;
	rate_set(turn, 0.97 * life->trouble);
	life->mode = MODE_KNOWN;
	life->flags &= (uint8_t)~FLAG_MEASURED;
	life->count = 0;
	life->climb_from = 0;
	life->idle = 0;
	life->strikes = 0;
	return true;
}

/* Minutes after the clock's midnight at which the receiver's day begins. */
uint32_t window_day_phase(const struct life *life, const struct control_bounds *bounds,
			  uint64_t now_ns)
{
	double wall = (double)((int64_t)now_ns + bounds->wall_offset_ns) / 1e9;
	double start = wall - since(stamp_of(now_ns), life->day_start);

	return (uint32_t)(fmod(fmod(start, 86400) + 86400, 86400) / 60);
}
