/* SPDX-License-Identifier: MIT
 *
 * What a run is asked for, and what it came to.
 */
#ifndef SIDECAR_SIMULATE_TYPES_H
#define SIDECAR_SIMULATE_TYPES_H

#include "sidecar/simulate/policies.h"
#include "sidecar/simulate/receiver.h"
#include "sidecar/simulate/scenario.h"

#define SIMULATE_SLOTS 480
#define SIMULATE_DAYS  401 /* of the longest run, and the instant at its end */
/* Transactional mail that waits longer than this has missed its purpose. */
#define SIMULATE_LATE_S 60

/* What happened at one receiver over time, for the plot: SIMULATE_SLOTS equal parts of the run. */
struct simulate_series {
	uint32_t accepted[SIMULATE_SLOTS];
	uint32_t deferred[SIMULATE_SLOTS];
	float allowed[SIMULATE_SLOTS]; /* by the policy, messages a second over all sources; 0:
					  unknown */
};

struct simulate_result {
	const char *policy;
	uint64_t arrived;
	uint64_t attempts;
	uint64_t delivered;
	uint64_t deferrals; /* refusals of any kind, those for good included */
	uint64_t avoidable; /* by limits and blocks */
	uint64_t bounced;   /* refused for good */
	uint64_t delayed;   /* messages that were deferred at least once: what a user sees */
	uint64_t causes[RECEIVER_CAUSES];
	uint32_t delivered_by_day[SIMULATE_DAYS];
	uint32_t days;	       /* of the run, rounded up */
	uint32_t blocked_days; /* on which a block began, summed over pairs */
	double blocked_ip_hours;
	double blocked_after_first_hour; /* of blocks that began after the first hour */
	double blocked_share; /* of the hours of all pairs of a source and a receiver with mail */
	double transactional_p50_s; /* NAN: no transactional mail */
	double transactional_p99_s;
	double transactional_late; /* the share that took longer than SIMULATE_LATE_S; NAN: none */
	double bulk_max_s;	   /* the longest that bulk mail took; NAN: no bulk mail */
	double makespan_s; /* time of the last delivery; NAN: not everything was delivered */
	struct simulate_series *series; /* one a receiver; NULL if not asked for */
};

struct simulate_options {
	uint64_t seed;
	bool series; /* wanted in the result */
	FILE *trace; /* NULL, or where the policy tells what it makes of each deferral */
};

#endif
