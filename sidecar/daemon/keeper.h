/* SPDX-License-Identifier: MIT
 *
 * Between the engine and the store: what changes is written down about once a second, a bounded
 * piece of it a call; what was written down is put back where the segment did not outlive the
 * machine.
 *
 * Without a store, for whatever reason, decisions go on, and keeper_put says why there is none.
 */
#ifndef SIDECAR_DAEMON_KEEPER_H
#define SIDECAR_DAEMON_KEEPER_H

#include "sidecar/base/json.h"
#include "sidecar/engine/engine.h"

struct keeper;

/* Opens the store in a folder (NULL: none); one that cannot be opened is logged. wanted: the
 * configuration names it, so its folder is made. -ENOMEM. */
int keeper_create(struct segment *segment, struct engine *engine, const char *folder, bool wanted,
		  struct keeper **ret);

/* Before workers attach, once a configuration is in force: what an earlier boot knew, into a
 * segment that was made. */
void keeper_restore(struct keeper *keeper, int64_t wall_offset_ns, uint64_t now_ns);

/* From now on it writes. -ENOMEM, -EAGAIN: no thread. */
int keeper_run(struct keeper *keeper, int64_t wall_offset_ns, uint64_t now_ns);

/* Twice a second. valid_ns: all that workers counted before is known. */
void keeper_beat(struct keeper *keeper, int64_t wall_offset_ns, uint64_t valid_ns, uint64_t now_ns);

/* The wall clock was set: usage of a time that is now. */
void keeper_clock_set(struct keeper *keeper, int64_t wall_offset_ns, uint64_t now_ns);

/* Slots have other numbers (engine_renewed). */
void keeper_renewed(struct keeper *keeper);

/* Goes on with what keeper_beat began. True: there is more, call again. */
bool keeper_work(struct keeper *keeper, uint64_t now_ns);

/* Writes the rest, and how it ended. quiet: no worker is attached. NULL is fine. */
void keeper_end(struct keeper *keeper, bool quiet, uint64_t valid_ns, uint64_t now_ns);
void keeper_free(struct keeper *keeper);

/* A member of an object: how the store is. */
void keeper_put(const struct keeper *keeper, struct json_writer *out, const char *key);

#endif
