/* SPDX-License-Identifier: MIT
 *
 * Holds: nothing goes until a time, then one message, the probe, whose reply decides.
 *
 * A hold ends by a probe that succeeds, never by a timer alone. A failed probe doubles the wait, up
 * to a bound that grows with the age of the hold; a probe whose reply never came is followed by
 * another.
 */
#include "sidecar/control_state.h"

static double longest_gap(const struct turn *turn)
{
	double age = since(turn->now, turn->life->began);

	if (turn->life->flags & FLAG_OUTAGE)
		return 120;
	return age < 3600 ? 300 : age < 6 * 3600 ? 1800 : 7200;
}

void hold_begin(struct turn *turn, double seconds)
{
	struct life *life = turn->life;
	double pressure = pressure_now(life, turn->now);
	double wait = window_wait(turn);
	double spare;

	life->gap = (uint16_t)between(ceil(seconds), 1, GAP_MOST);
	if (!(life->flags & FLAG_OUTAGE))
		seconds = fmax(seconds, pressure > 8 ? 120 : pressure > 5 ? 30 : 0);
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

void hold_again(struct turn *turn, double least)
{
	struct life *life = turn->life;
	double gap = fmax(fmin(2.0 * life->gap, longest_gap(turn)), least);

	if (life->fails < UINT8_MAX)
		life->fails++;
	if (life->flags & FLAG_WINDOW) {
		life->flags = (uint16_t)((life->flags | FLAG_MISSED) & ~FLAG_WINDOW);
	} else if (window_hit(turn, REPLY_LIMIT_NONE)) {
		gap = window_wait(turn);
		life->flags |= FLAG_WINDOW;
	}
	hold_begin(turn, gap);
}

/* The probe has succeeded. */
void hold_released(struct turn *turn)
{
	struct life *life = turn->life;
	double age = since(turn->now, life->began);
	bool outage = life->flags & FLAG_OUTAGE;

	life->flags &= (uint16_t) ~(FLAG_HELD | FLAG_OUTAGE);
	life->raised = turn->now;
	if (!outage && window_released(turn))
		rate_resume(turn);
	else if (!outage && (life->fails >= 2 || life->flags & FLAG_PATTERN))
		rate_restart(turn, age);
	life->fails = 0;
	life->began_count = 0;
}
