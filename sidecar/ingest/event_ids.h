/* SPDX-License-Identifier: MIT
 *
 * Which events were told already: a webhook that was not answered in time delivers them again.
 *
 * The last EVENT_IDS or so are remembered, by a hash of 64 bits in buckets of eight whose oldest
 * goes first. So two ids in 10^14 are taken for one, and memory is a mebibyte.
 */
#ifndef SIDECAR_INGEST_EVENT_IDS_H
#define SIDECAR_INGEST_EVENT_IDS_H

#include <stdbool.h>
#include <stdint.h>

#include "sidecar/ingest/event.h"

#define EVENT_IDS	 131072
#define EVENT_IDS_BUCKET 8

/* A zeroed one is empty. */
struct event_ids {
	uint64_t seen[EVENT_IDS / EVENT_IDS_BUCKET][EVENT_IDS_BUCKET];
	uint8_t next[EVENT_IDS / EVENT_IDS_BUCKET];
};

/* Whether it is told for the first time; it is known from now on. One without an id always is. */
bool event_ids_first(struct event_ids *ids, const struct ingest_text *id);

#endif
