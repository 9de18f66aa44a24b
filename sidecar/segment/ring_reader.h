/* SPDX-License-Identifier: MIT
 *
 * Taking what workers put on their rings.
 */
#ifndef SIDECAR_SEGMENT_RING_READER_H
#define SIDECAR_SEGMENT_RING_READER_H

#include "sidecar/segment/segment.h"

struct ring_reader_totals {
	uint64_t records;
	uint64_t damaged; /* records, and rings, that cannot be */
};

/* A record, copied and checked: every index, enum and length is in its range, times are not in the
 * future. */
typedef void ring_reader_record(void *arg, const struct layout_record *record, uint32_t worker);

struct ring_reader_sink {
	ring_reader_record *take;
	void *arg;
	struct ring_reader_totals *totals;
};

/* Takes up to `max` records of one worker. Returns how many it took. */
uint32_t ring_reader_drain(struct segment *segment, uint32_t worker, uint32_t max, uint64_t now_ns,
			   const struct ring_reader_sink *sink);

/* Whether a worker's ring has something. */
bool ring_reader_waiting(const struct segment *segment, uint32_t worker);

/* Checks what came from a ring, in place. False: it cannot be. */
bool record_validate(struct layout_record *record, uint32_t slots, uint64_t sequence,
		     uint64_t now_ns);

#endif
