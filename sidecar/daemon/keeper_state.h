/* SPDX-License-Identifier: MIT
 *
 * The keeper's own state, for keeper*.c alone.
 */
#ifndef SIDECAR_DAEMON_KEEPER_STATE_H
#define SIDECAR_DAEMON_KEEPER_STATE_H

#include "sidecar/daemon/usage.h"
#include "sidecar/engine/engine.h"
#include "sidecar/store/store.h"

/* Usage of a period that has yet to come, by a clock that was set back. */
struct keeper_ahead {
	uint32_t slot;
	uint64_t hour, day; /* words; 0: none */
};

struct keeper {
	struct segment *segment;
	struct engine *engine;
	struct store *store; /* NULL: none */
	char folder[256];
	char reason[DB_REASON]; /* why there is none */
	int64_t wall_offset_ns;
	struct store_batch *batch; /* that is being filled */
	uint32_t cursor, flows, changes;
	bool walking;
	bool whole; /* the last walk came to its end */
	bool quiet; /* and no worker was attached, nor will be */
	uint64_t walk_valid_ns;
	uint64_t put_ns; /* when the last was handed over */
	struct db_alive alive;
	uint64_t changes_lost;
	int error; /* of the store, as last told */
	uint64_t restored, unfit;
	struct keeper_ahead *ahead;
	uint32_t ahead_count, ahead_room;
};

/* To the journal: an engine_watcher's. */
void keeper_change(void *keeper, const struct engine_change *change, uint64_t now_ns);

#endif
