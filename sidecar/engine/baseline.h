/* SPDX-License-Identifier: MIT
 *
 * What a flow has sent before, and how much more than that it may send: receivers punish change
 * itself, so a sudden burst is paced into the growth that its own history allows.
 *
 * Of each flow the largest minute, hour and day of the past are remembered, and forgotten by half in
 * BASELINE_HALF_DAYS: with a factor of 2, whoever sends once a month is never held back. Today adds
 * to it when it is over. What was paced is no evidence of a larger minute or hour: it says how much
 * waited, not what the receiver is used to. So these grow by what nothing held back, or with the
 * day: a day's mail may always be sent in BASELINE_DAY_HOURS. A queue that is always full therefore
 * grows by the factor a day, not by the factor a minute.
 *
 * A clock that jumps is not time that passes: what a jump of several days made fade is remembered
 * until then, and is there again when the clock comes back to before it. One that is set back and
 * put right makes nothing fade.
 *
 * Pure: counts, numbers of periods and a policy in, caps out. It stands in `control` and in the
 * store: fixed width, no pointers; any bytes are a baseline. Only messages that were delivered
 * count: hammering against a block must not raise it.
 */
#ifndef SIDECAR_ENGINE_BASELINE_H
#define SIDECAR_ENGINE_BASELINE_H

#include <stdbool.h>
#include <stdint.h>

#define BASELINE_HALF_DAYS 30
#define BASELINE_DAY_HOURS 8

enum baseline_span { BASELINE_MINUTE, BASELINE_HOUR, BASELINE_DAY, BASELINE_SPANS };

struct baseline {
	uint32_t count[BASELINE_SPANS]; /* of the minute, the hour and the day under way */
	uint16_t peak[BASELINE_SPANS];	/* of earlier days, packed, as of the day under way */
	uint16_t
		best[BASELINE_DAY]; /* today's largest minute and hour that nothing paced, packed */
	/* Which are under way: the low bits of their numbers. Between them, what the clock's last jump
	 * ahead took away: the peaks before it, packed to 8 bits. */
	uint16_t minute;
	uint8_t hour, minute_before;
	uint16_t day;
	uint8_t paced; /* bits by enum baseline_span: of those under way */
	uint8_t hour_before;
	int8_t ahead; /* days since that jump's begin; negative: that the clock was set back */
	uint8_t day_before;
};
_Static_assert(sizeof(struct baseline) == 32, "a million of them count");

/* Which minute, hour and day it is: numbers that count up. Hours and days are those of the caps. */
struct baseline_when {
	uint32_t minute, hour, day;
};

struct baseline_policy {
	uint32_t factor; /* thousandths; 0: off */
	uint32_t floor[BASELINE_SPANS];
};

/* Messages were delivered; paced: something holds the flow back just now. True: a new day has begun,
 * so the caps may be others. */
bool baseline_count(struct baseline *baseline, const struct baseline_when *when, uint32_t messages,
		    bool paced);

/* The largest of earlier days, as it is remembered on that day. */
double baseline_peak(const struct baseline *baseline, enum baseline_span span,
		     const struct baseline_when *when);

/* The most messages that a minute, an hour and a day may have. NULL: a flow without history. False:
 * the policy is off. */
bool baseline_caps(const struct baseline *baseline, const struct baseline_policy *policy,
		   const struct baseline_when *when, uint32_t ret[BASELINE_SPANS]);

/* What somebody says was sent before, or another flow's history: the larger stays. */
void baseline_raise(struct baseline *baseline, const struct baseline_when *when,
		    const double peaks[BASELINE_SPANS]);
void baseline_merge(struct baseline *baseline, const struct baseline *other,
		    const struct baseline_when *when);

/* Whether a flow that has been quiet for more than an hour has nothing to remember: its caps are the
 * floors, and would be if a day had as many such pieces as fit into it. */
bool baseline_plain(const struct baseline *baseline, const struct baseline_policy *policy,
		    const struct baseline_when *when);

/* What is left of a peak so many days later. */
double baseline_faded(double peak, double days);

#endif
