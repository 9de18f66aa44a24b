/* SPDX-License-Identifier: MIT
 *
 * The simulator's future: events in the order of their time, those of one instant in the order in
 * which they were added, so that a run can be repeated exactly.
 */
#ifndef SIDECAR_SIMULATE_EVENT_QUEUE_H
#define SIDECAR_SIMULATE_EVENT_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "sidecar/base/heap.h"

struct simulate_event {
	uint64_t at_ns;
	uint32_t order; /* of adding; set by simulate_events_add */
	uint16_t kind;	/* the owner's */
	uint16_t part;	/* the owner's */
	uint32_t id;	/* the owner's */
};

struct simulate_events {
	struct heap heap;
	uint32_t added;
};

/* 0, or -ENOMEM. A zeroed struct simulate_events is empty and ready. */
int simulate_events_add(struct simulate_events *events, struct simulate_event event);

/* Takes the next event away. False: there is none. */
bool simulate_events_take(struct simulate_events *events, struct simulate_event *ret);

/* When the next event is due; UINT64_MAX: there is none. */
uint64_t simulate_events_next(const struct simulate_events *events);

void simulate_events_free(struct simulate_events *events);

#endif
