/* SPDX-License-Identifier: MIT
 *
 * Holds: nothing goes until a time, then one message, the probe, whose reply decides.
 *
 * A hold ends by a probe that succeeds, never by a timer alone. A failed probe doubles the wait, up
 * to a bound that grows with the age of the hold; a probe whose reply never came is followed by
 * another.
 */
#include "sidecar/control/state.h"

#define GAP_HOUR    1200 /* seconds between two probes, at the most: in the first hour, … */
#define GAP_QUARTER 1800 /* … in the first six, … */
#define PENANCE_FREE \
	4.2 /* deferrals of late: receivers are known to count to eight in ten minutes */
#define PENANCE	       150 /* seconds for each more */
#define PENANCE_MOST   600
#define PENANCE_FLIGHT 8   /* what the flight of the trouble itself may bring */
#define GAP_OUTAGE     120 /* … while the receiver has trouble of its own */
#define PROBES_CLOSE   2   /* after so many it is not the rate, and the waits grow faster */

static double longest_gap(const struct turn *turn)
{
	double age = since(turn->now, turn->life->began);

	return age < 3600 ? GAP_HOUR : age < 6 * 3600 ? GAP_QUARTER : GAP_MOST;
}

/* Receivers punish a sender for so many refusals in so many minutes: the more there were of late,
 * the longer the wait for the next. */
static double penance(const struct turn *turn)
{
	double over = pressure_now(turn->life, turn->now) - PENANCE_FREE;

	return over > 0 ? fmin(PENANCE * over, PENANCE_MOST) : 0;
}

/* More of the flight that met trouble has been refused: the probe waits until a second flight would
 * not be one too many. */
void hold_extend(struct turn *turn)
{
	struct life *life = turn->life;
	double over = pressure_now(life, turn->now) - PENANCE_FLIGHT;
	uint64_t until_ns = turn->now_ns + seconds_ns(between(PENANCE * over, 0, PENANCE_MOST));

	if (over > 0 && until_ns > life->hold_until_ns)
		life->hold_until_ns = life->due_ns = until_ns;
}

void hold_begin(struct turn *turn, double seconds)
{
	struct life *life = turn->life;
	double wait = window_wait(turn);
	double spare;

	life->gap = (uint16_t)between(ceil(seconds), 1, GAP_MOST);
	if (!(life->flags & FLAG_OUTAGE))
		seconds = fmax(seconds, penance(turn));
	/* The receiver's windows end on the hour: a probe just past it is worth more. */
	if ((seconds >= 60 && wait < seconds) || (seconds >= 120 && wait < 1.5 * seconds))
		seconds = wait;
	life->flags |= FLAG_HELD;
	life->hold_until_ns = turn->now_ns + seconds_ns(seconds);
	life->due_ns = life->hold_until_ns;
	spare = seconds - fmax(16, 6 / life->rate);
	if (spare > 0)
		life->idle += (float)spare;
}

/* The probe has failed. */
void hold_again(struct turn *turn)
{
	struct life *life = turn->life;
	double growth = life->fails < PROBES_CLOSE ? 2 : 3;
	double gap = fmin(growth * life->gap, longest_gap(turn));

	life->flags &= (uint16_t)~FLAG_OUTAGE;
	if (life->fails < UINT8_MAX)
		life->fails++;
	if (life->flags & FLAG_WINDOW)
		window_missed(turn);
	else if (window_hit(turn, REPLY_LIMIT_NONE))
		life->flags |= FLAG_WINDOW;
	hold_begin(turn, life->flags & FLAG_WINDOW ? window_wait(turn) : gap);
}

/* The probe met trouble of the receiver's own, which says nothing about the sender: once is chance.
 */
void hold_outage(struct turn *turn)
{
	struct life *life = turn->life;
	bool again = life->flags & FLAG_OUTAGE;

	life->flags |= FLAG_OUTAGE;
	hold_begin(turn, fmin(again ? 2.0 * life->gap : life->gap, GAP_OUTAGE));
}

/* The probe has succeeded. */
void hold_released(struct turn *turn)
{
	struct life *life = turn->life;
	double age = since(turn->now, life->began);
	bool outage = life->flags & FLAG_OUTAGE;

	if (life->flags & FLAG_CHANCE && life->fails == 1 && !(life->flags & FLAG_WINDOW))
		noise_refused(life);
	life->flags &= (uint16_t) ~(FLAG_HELD | FLAG_OUTAGE | FLAG_CHANCE);
	life->raised = turn->now;
	if (!outage && window_released(turn))
		rate_resume(turn);
	else if (!outage &&
		 (life->fails >= (noise_known(life) ? 3 : 2) || life->flags & FLAG_PATTERN))
		rate_restart(turn, age);
	else if (!outage)
		rate_calm(turn);
	life->fails = 0;
	life->began_count = 0;
}
