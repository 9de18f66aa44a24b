/* SPDX-License-Identifier: MIT
 *
 * Which hour and which day it is for a flow, and when the next begins: pure arithmetic over a
 * published calendar.
 *
 * Hours are numbered from the calendar's offset. Days have 23, 24 or 25 hours; the sidecar
 * publishes where the coming ones begin, in monotonic time, and a worker looks them up by a first
 * guess that is off by one at most. Where no entry is to be trusted (the sidecar has been gone for
 * longer than the table reaches, or is about to write one) days of 24 hours are assumed, so a
 * worker goes on by itself for ever. Every word is valid by itself; a number may seem to go back by
 * one while they change, so who counts keeps the larger number (shm/decide.h).
 */
#ifndef TG_WINDOW_H
#define TG_WINDOW_H

#include <stdbool.h>

#include "shm/layout.h"

#define WINDOW_SECOND_NS UINT64_C(1000000000)
#define WINDOW_MINUTE_NS (60 * WINDOW_SECOND_NS)
#define WINDOW_HOUR_NS	 (3600 * WINDOW_SECOND_NS)
#define WINDOW_DAY_NS	 (86400 * WINDOW_SECOND_NS)
/* No zone has moved its clock further at once in living memory (Lord Howe 30 min, Troll 2 h). */
#define WINDOW_DST_MAX_NS (3 * WINDOW_HOUR_NS)

static inline uint64_t window_load(const _Atomic uint64_t *word)
{
	/* Relaxed: each word is valid by itself. */
	return atomic_load_explicit(word, memory_order_relaxed);
}

/* A count's word is the number of its period, then the count. Do n more stay within the cap? Here
 * the hour cap and the day cap are enforced. */
static inline uint32_t window_period(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static inline bool window_fits(uint32_t count, uint32_t cap, uint32_t n)
{
	return (uint64_t)count + n <= cap;
}

static inline uint64_t window_hour_phase(uint64_t flags)
{
	return (flags >> LAYOUT_HOUR_PHASE_SHIFT & 0xffff) * WINDOW_SECOND_NS;
}

static inline uint64_t window_day_phase(uint64_t flags)
{
	return (flags >> LAYOUT_DAY_PHASE_SHIFT & 0xffff) * WINDOW_MINUTE_NS;
}

static inline uint32_t window_hour(const struct layout_calendar *calendar, uint64_t flags,
				   uint64_t now_ns)
{
	return (uint32_t)((now_ns + window_load(&calendar->hour_offset_ns) -
			   window_hour_phase(flags)) /
			  WINDOW_HOUR_NS);
}

/* When hour `number` ends. */
static inline uint64_t window_hour_end(const struct layout_calendar *calendar, uint64_t flags,
				       uint32_t number)
{
	return ((uint64_t)number + 1) * WINDOW_HOUR_NS - window_load(&calendar->hour_offset_ns) +
	       window_hour_phase(flags);
}

static inline int64_t window_day_start(const struct layout_calendar *calendar, uint64_t number)
{
	uint64_t plain = number * WINDOW_DAY_NS - window_load(&calendar->day_offset_ns);
	uint64_t entry = window_load(&calendar->day_start_ns[number % LAYOUT_DAYS]);

	/* The second is |entry - plain| <= most in one comparison. */
	if (entry != 0 && entry - plain + WINDOW_DST_MAX_NS <= 2 * WINDOW_DST_MAX_NS)
		return (int64_t)entry;
	return (int64_t)plain;
}

static inline uint32_t window_day(const struct layout_calendar *calendar, uint64_t flags,
				  uint64_t now_ns)
{
	int64_t time = (int64_t)(now_ns - window_day_phase(flags));
	uint64_t number = ((uint64_t)time + window_load(&calendar->day_offset_ns)) / WINDOW_DAY_NS;

	if (time < window_day_start(calendar, number))
		return (uint32_t)(number - 1);
	if (time >= window_day_start(calendar, number + 1))
		return (uint32_t)(number + 1);
	return (uint32_t)number;
}

/* When day `number` ends. */
static inline uint64_t window_day_end(const struct layout_calendar *calendar, uint64_t flags,
				      uint32_t number)
{
	return (uint64_t)window_day_start(calendar, (uint64_t)number + 1) + window_day_phase(flags);
}

#endif
