/* SPDX-License-Identifier: MIT */
#include "sidecar/segment/minutes.h"

#define OTHER_BITS     18
#define OTHER_MAX      ((UINT64_C(1) << OTHER_BITS) - 1)
#define DELIVERED_MAX  ((UINT64_C(1) << (64 - 2 * OTHER_BITS)) - 1)
#define DEFERRED_SHIFT OTHER_BITS

static struct minutes_sum unpack(uint64_t word)
{
	return (struct minutes_sum){word >> 2 * OTHER_BITS, word >> DEFERRED_SHIFT & OTHER_MAX,
				    word & OTHER_MAX};
}

static uint64_t bounded(uint64_t a, uint64_t b, uint64_t max)
{
	return b > max || a > max - b ? max : a + b;
}

void minutes_add(struct minutes *m, uint32_t slots, uint64_t minute, const struct minutes_sum *more)
{
	struct minutes_sum sum;

	/* A ring without slots keeps nothing. */
	if (slots == 0)
		return;
	/* A clock that goes back goes on with the newest minute. */
	if (minute < m->last)
		minute = m->last;
	if (minute - m->last >= slots)
		m->last = minute - slots;
	while (m->last < minute)
		m->counts[++m->last % slots] = 0;
	sum = unpack(m->counts[minute % slots]);
	m->counts[minute % slots] =
		bounded(sum.delivered, more->delivered, DELIVERED_MAX) << 2 * OTHER_BITS |
		bounded(sum.deferred, more->deferred, OTHER_MAX) << DEFERRED_SHIFT |
		bounded(sum.bounced, more->bounced, OTHER_MAX);
}

struct minutes_sum minutes_sum(const struct minutes *m, uint32_t slots, uint64_t last,
			       uint32_t count)
{
	struct minutes_sum sum = {0};

	for (uint32_t i = 0; i < count && i <= last; i++) {
		struct minutes_sum one;

		/* What the ring has no slot of: later than its newest, or overwritten. */
		if (last - i > m->last || m->last - (last - i) >= slots)
			continue;
		one = unpack(m->counts[(last - i) % slots]);
		sum.delivered += one.delivered;
		sum.deferred += one.deferred;
		sum.bounced += one.bounced;
	}
	return sum;
}
