/* SPDX-License-Identifier: MIT
 *
 * How fast a count has grown lately: noted now and then, told over the last ten seconds.
 */
#ifndef SIDECAR_BASE_RATE_METER_H
#define SIDECAR_BASE_RATE_METER_H

#include <stdint.h>

#define RECENT_NS      UINT64_C(10000000000)
#define RECENT_NOTE_NS UINT64_C(500000000) /* between two notes, at the least */
#define RECENT_NOTES   (RECENT_NS / RECENT_NOTE_NS + 2)

/* Zeroed, it knows nothing. */
struct rate_meter {
	struct {
		uint64_t at_ns, count;
	} notes[RECENT_NOTES];
	uint32_t noted; /* in all; the last RECENT_NOTES are kept */
};

void rate_meter_add(struct rate_meter *meter, uint64_t count, uint64_t now_ns);

/* A second, since the earliest note of the last RECENT_NS; 0 where there is none. `count` is the
 * count now. */
double rate_meter_per_s(const struct rate_meter *meter, uint64_t count, uint64_t now_ns);

#endif
