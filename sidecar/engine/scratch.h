/* SPDX-License-Identifier: MIT
 *
 * An engine over a segment of its own, under somebody else's clock: what runs in production, for
 * the simulator and for replay.
 *
 * Its owner puts records in (engine_record, engine_heard), says when something was counted, and
 * calls it when it wants to be called, as the sidecar's loop does. Times are of a clock that begins
 * at SCRATCH_EPOCH_NS, as a machine's has run for some time since its boot: a whole number of days,
 * so that a calendar of zeroes has its hours and days begin with those of the run.
 */
#ifndef SIDECAR_ENGINE_SCRATCH_H
#define SIDECAR_ENGINE_SCRATCH_H

#include "sidecar/engine/engine.h"

#define SCRATCH_EPOCH_NS UINT64_C(86400000000000)

struct scratch {
	struct segment *segment;
	struct engine *engine; /* NULL: it has ended, and nobody took its place */
	uint64_t work_ns;      /* when the engine wants to be called */
	uint64_t second_ns;    /* of its last look at the counts */
	bool counted;	       /* whether there is anything new to look at */
};

/* What is in force in it, which must outlive it; how many flows it has room for; the wall clock
 * minus its own. */
struct scratch_setup {
	const struct config *config;
	const struct classifier *classifier;
	const struct rule_set *rules;
	uint32_t flows;
	int64_t wall_offset_ns;
};

/* Nothing is left behind in the file system, however the process ends. 0 or -errno, what is wrong
 * with the segment being logged; *ret is for scratch_close in either case. */
int scratch_open(const struct scratch_setup *setup, struct scratch *ret);
void scratch_close(struct scratch *scratch); /* a zeroed one is fine */

/* The engine ends, as where a sidecar dies: the segment stays as it is, and workers go on by what
 * stands in it. Until scratch_adopt there is no engine, and nothing is due. */
void scratch_end(struct scratch *scratch);

/* A new engine finds the segment as the one before left it. 0 or -errno. */
int scratch_adopt(struct scratch *scratch, const struct scratch_setup *setup, uint64_t now_ns);

/* When scratch_run is to be called next; UINT64_MAX: not by itself. */
uint64_t scratch_wake(const struct scratch *scratch);

/* What is due: the look at the counts, a second after the last at the earliest, and the engine's
 * work. */
void scratch_run(struct scratch *scratch, uint64_t now_ns);

/* The engine's work alone, after a record. */
void scratch_work(struct scratch *scratch, uint64_t now_ns);

#endif
