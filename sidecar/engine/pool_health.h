/* SPDX-License-Identifier: MIT
 *
 * Many IPs of a pool in trouble at one destination at once: the receiver's doing, or the pool's,
 * but not one IP's. It is said so, and the flood is not moved to the last healthy IP: those that
 * are still well keep to what they sent before.
 *
 * Pure: counts and time in, a judgement out.
 */
#ifndef SIDECAR_ENGINE_POOL_HEALTH_H
#define SIDECAR_ENGINE_POOL_HEALTH_H

#include <stdint.h>

/* A hold that the first probe ends is a flow finding its rate; trouble has lasted this long. */
#define POOL_TROUBLE_DURATION_NS UINT64_C(20000000000)

struct pool_counts {
	uint32_t active;   /* flows of the pool to the destination that sent within the last hour */
	uint32_t troubled; /* of these, held or probing for longer than POOL_TROUBLE_DURATION_NS */
};

struct pool_health {
	uint64_t since_ns; /* 0: none */
};

enum pool_judgement {
	POOL_QUIET,
	POOL_BEGINS,
	POOL_STANDS,
	POOL_ENDS,
};

/* Begins when two thirds of the active IPs, two at least, are in trouble; ends when fewer than a
 * third are, so that it does not flap. */
enum pool_judgement pool_health_judge(struct pool_health *state, const struct pool_counts *counts,
				      uint64_t now_ns);

/* What a flow delivered a minute of late: the highest count of a minute, which fades by a tenth
 * with each further one. */
struct pool_rate {
	uint64_t minute_ns; /* when the minute under way began */
	uint32_t count;	    /* in it */
	uint32_t peak;
};

void pool_rate_count(struct pool_rate *pace, uint32_t delivered, uint64_t now_ns);

/* The interval that keeps a flow to a tenth above what it delivered; start_ns (0: unlimited, then
 * one a second) where it has delivered nothing of late. */
uint64_t pool_rate_interval(const struct pool_rate *pace, uint64_t start_ns);

#endif
