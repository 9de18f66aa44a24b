/* SPDX-License-Identifier: MIT
 *
 * A segment of its own for a measurement, without a sidecar: made, filled, attached to, taken away.
 */
#ifndef BENCH_FIXTURE_H
#define BENCH_FIXTURE_H

#include <stdint.h>

#include "shm/tollgate.h"
#include "sidecar/segment/segment.h"

struct bench_fixture {
	struct segment *segment;
	struct tg *tg;
	uint32_t source_count, destination_count; /* flows are their product */
	struct tg_source *sources;
	struct tg_destination *destinations;
	char path[64];
};

/* Limits of a slot: what is 0 is no limit. */
struct bench_limits {
	uint64_t rate; /* gcra_rate, for all classes */
	uint32_t hour_cap, day_cap;
	uint64_t flags; /* enum layout_flag beside those that the caps ask for */
};

/* Makes a segment in /dev/shm for at least that many flows, and attaches to it. 0 or -errno, why is
 * printed. Its clock scale holds for an hour. */
int bench_open(struct bench_fixture *fixture, uint32_t flows, enum tg_clock clock);

/* The same with rings of that many records (a power of two). */
int bench_open_ring(struct bench_fixture *fixture, uint32_t flows, enum tg_clock clock,
		    uint32_t ring_records);
void bench_close(struct bench_fixture *fixture);

void bench_fill(struct bench_fixture *fixture, uint32_t slot, const struct bench_limits *limits);

/* Claims the flow number i (source i % source_count, destination i / source_count). */
int bench_flow(struct bench_fixture *fixture, uint32_t i, struct tg_flow *ret);

/* Claims all flows, with limits each. 0 or -errno. */
int bench_fill_all(struct bench_fixture *fixture, const struct bench_limits *limits);

/* Bytes of RAM that the segment's files hold, without the minute rings. */
uint64_t bench_bytes(const struct bench_fixture *fixture);

#endif
