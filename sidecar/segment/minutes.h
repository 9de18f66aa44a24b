/* SPDX-License-Identifier: MIT
 *
 * What a flow did in each of the last minutes: a ring, kept of flows that were active of late.
 * Fixed width, no pointers: it stands in `control`. Time is an argument.
 */
#ifndef SIDECAR_SEGMENT_MINUTES_H
#define SIDECAR_SEGMENT_MINUTES_H

#include <stdint.h>

struct minutes {
	uint64_t last;	   /* the newest minute there is a slot of */
	uint64_t counts[]; /* of minute m at m % slots: 28 bits delivered, 18 deferred, 18 bounced;
			      a count that is full stays so (4,369 deferrals a second) */
};

struct minutes_sum {
	uint64_t delivered, deferred, bounced;
};

static inline uint32_t minutes_bytes(uint32_t slots)
{
	return (uint32_t)(sizeof(struct minutes) + slots * sizeof(uint64_t));
}

void minutes_add(struct minutes *minutes, uint32_t slots, uint64_t minute,
		 const struct minutes_sum *more);

/* Of `count` minutes that end with minute `last`, as far as the ring reaches. */
struct minutes_sum minutes_sum(const struct minutes *minutes, uint32_t slots, uint64_t last,
			       uint32_t count);

#endif
