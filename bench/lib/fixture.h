/* SPDX-License-Identifier: MIT
 *
 * A segment of its own for a measurement, without a sidecar: made, filled, attached to, taken away.
 */
#ifndef BENCH_FIXTURE_H
#define BENCH_FIXTURE_H

#include <stdint.h>

#include "shm/tollgate.h"
#include "sidecar/segment/segment.h"

struct rig {
	struct segment *segment;
	struct tg *tg;
	uint32_t source_count, destination_count; /* flows are their product */
	struct tg_source *sources;
	struct tg_destination *destinations;
	char path[64];
};

/* Limits of a slot: what is 0 is no limit. */
struct rig_limits {
	uint64_t rate; /* gcra_rate, for all classes */
	uint32_t hour_cap, day_cap;
	uint64_t flags; /* enum layout_flag beside those that the caps ask for */
};

/* Makes a segment in /dev/shm for at least that many flows, and attaches to it. 0 or -errno, why is
 * printed. Its clock scale holds for an hour. */
int rig_open(struct rig *rig, uint32_t flows, enum tg_clock clock);

/* The same with rings of that many records (a power of two). */
int rig_open_ring(struct rig *rig, uint32_t flows, enum tg_clock clock, uint32_t ring_records);
void rig_close(struct rig *rig);

void rig_fill(struct rig *rig, uint32_t slot, const struct rig_limits *limits);

/* Claims the flow number i (source i % source_count, destination i / source_count). */
int rig_flow(struct rig *rig, uint32_t i, struct tg_flow *ret);

/* Claims all flows, with limits each. 0 or -errno. */
int rig_fill_all(struct rig *rig, const struct rig_limits *limits);

/* Bytes of RAM that the segment's files hold, without the minute rings. */
uint64_t rig_bytes(const struct rig *rig);

#endif
