/* SPDX-License-Identifier: MIT
 *
 * How much of a flow's reserve transactional mail has used lately, in one u64: pure.
 *
 *     63           24 23     12 11      0
 *     +--------------+---------+---------+
 *     |    start     |  before |   now   |     start in units of 2^22 ns (4.2 ms)
 *     +--------------+---------+---------+
 *
 * Messages are counted in periods of at least `period_ns`; a period begins with the first message
 * that comes after the last one has run out. Since a window of that length touches two periods at
 * most, and the two counts together never pass the reserve, none holds more than the reserve. See
 * shm/decide.h for what it is good for. A whole reserve passes at once, and again after two periods
 * at the latest.
 */
#ifndef TG_HEADROOM_H
#define TG_HEADROOM_H

#include <stdbool.h>
#include <stdint.h>

#define HEADROOM_UNIT_SHIFT 22
#define HEADROOM_COUNT_BITS 12
/* A reserve is counted up to here; what is larger has this much for overtaking. */
#define HEADROOM_COUNT_MAX ((UINT32_C(1) << HEADROOM_COUNT_BITS) - 1)
#define HEADROOM_ANY	   UINT32_MAX

static inline uint64_t headroom_word(uint64_t start, uint32_t before, uint32_t now)
{
	return start << 2 * HEADROOM_COUNT_BITS | (uint64_t)before << HEADROOM_COUNT_BITS | now;
}

static inline uint64_t headroom_units(uint64_t period_ns)
{
	/* One more for each end that is cut. */
	return (period_ns >> HEADROOM_UNIT_SHIFT) + 2;
}

/* What nobody can have left (a start ahead of time) becomes a reserve that has just been used up.
 */
static inline uint64_t headroom_sound(uint64_t word, uint64_t now_ns)
{
	uint64_t now = now_ns >> HEADROOM_UNIT_SHIFT;

	return word >> 2 * HEADROOM_COUNT_BITS > now + 1 ? headroom_word(now, 0, HEADROOM_COUNT_MAX)
							 : word;
}

/* The word after n messages at now_ns, if the reserve has room for them (HEADROOM_ANY: they are
 * counted whatever it has). False: it has not; *ret_at_ns is when it will. */
static inline bool headroom_charge(uint64_t word, uint64_t now_ns, uint64_t period_ns,
				   uint32_t reserve, uint32_t n, uint64_t *ret_word,
				   uint64_t *ret_at_ns)
{
	uint64_t now = now_ns >> HEADROOM_UNIT_SHIFT, units = headroom_units(period_ns);
	uint64_t start = word >> 2 * HEADROOM_COUNT_BITS;
	uint64_t age = now > start ? now - start : 0;
	uint32_t before = (uint32_t)(word >> HEADROOM_COUNT_BITS) & HEADROOM_COUNT_MAX;
	uint32_t current = (uint32_t)word & HEADROOM_COUNT_MAX;

	if (age >= units) {
		before = age >= 2 * units ? 0 : current;
		current = 0;
		start = now;
	}
	if (reserve != HEADROOM_ANY && (uint64_t)before + current + n > reserve) {
		/* The next period forgets the one before, the one after it this one too. */
		uint64_t periods = (uint64_t)current + n > reserve ? 2 : 1;

		*ret_at_ns =
			n > reserve ? UINT64_MAX : (start + periods * units) << HEADROOM_UNIT_SHIFT;
		return false;
	}
	current = (uint64_t)current + n > HEADROOM_COUNT_MAX ? HEADROOM_COUNT_MAX : current + n;
	*ret_word = headroom_word(start, before, current);
	return true;
}

#endif
