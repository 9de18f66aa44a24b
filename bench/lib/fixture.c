/* SPDX-License-Identifier: MIT
 *
 * A segment of its own for a measurement: see fixture.h.
 */
#include "bench/lib/fixture.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/lib/measure.h"
#include "bench/lib/now.h"
#include "shm/clock.h"
#include "sidecar/config/destination_table.h"

#define HOUR_NS (3600 * SECOND_NS)

/* Ticks to nanoseconds from now on, as the sidecar publishes it every second. */
static void bench_clock(struct bench_fixture *fixture)
{
	struct layout_live *live = fixture->segment->live;
	double ticks = measure_ticks_per_ns();
	struct layout_scale *scale = &live->scale[0];

	atomic_store(&scale->counter_base, clock_counter());
	atomic_store(&scale->ns_base, now_monotonic());
	atomic_store(&scale->mult, (uint64_t)(4294967296.0 / ticks));
	atomic_store(&scale->span, (uint64_t)((double)HOUR_NS * ticks));
	atomic_store(&live->scale_index, 0);
	atomic_store(&live->heartbeat_ns, now_monotonic());
	atomic_store(&live->down_after_ns, HOUR_NS);
	for (uint64_t day = 0; day < LAYOUT_DAYS; day++)
		atomic_store(&fixture->segment->calendar->day_start_ns[day], day * 24 * HOUR_NS);
}

static int bench_names(struct bench_fixture *fixture)
{
	struct destination_table *table;
	void *block;
	size_t length;
	int error = destination_table_new(&table);

	if (error < 0)
		return error;
	error = destination_table_build(table, &block, &length);
	destination_table_free(table);
	if (error < 0)
		return error;
	error = segment_publish_names(fixture->segment, block, length);
	free(block);
	return error;
}

static int bench_parents(struct bench_fixture *fixture)
{
	char name[32];
	int error = 0;

	fixture->sources = calloc(fixture->source_count, sizeof(*fixture->sources));
	fixture->destinations = calloc(fixture->destination_count, sizeof(*fixture->destinations));
	if (!fixture->sources || !fixture->destinations)
		return -ENOMEM;
	for (uint32_t i = 0; i < fixture->source_count && error == 0; i++) {
		snprintf(name, sizeof(name), "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
		error = tg_source(fixture->tg, name, &fixture->sources[i]);
	}
	for (uint32_t i = 0; i < fixture->destination_count && error == 0; i++) {
		snprintf(name, sizeof(name), "bench%u.example", i);
		error = tg_destination(fixture->tg, name, &fixture->destinations[i]);
	}
	return error;
}

int bench_open(struct bench_fixture *fixture, uint32_t flows, enum tg_clock clock)
{
	return bench_open_ring(fixture, flows, clock, 1024);
}

static int bench_segment(struct bench_fixture *fixture, uint32_t ring_records, char *reason)
{
	struct segment_options options = {.path = fixture->path,
					  .group = -1,
					  .shape.engine_bytes = 8,
					  .reserve_max_ns = 60 * SECOND_NS,
					  .sizes = {.workers = 64,
						    .ring_records = ring_records,
						    .minutes = 60,
						    .leases = 256,
						    .names_bytes = 65536}};

	options.sizes.flows = fixture->source_count * fixture->destination_count +
			      fixture->source_count + fixture->destination_count;
	return segment_open(&options, &fixture->segment, reason);
}

static int bench_attach(struct bench_fixture *fixture, enum tg_clock clock)
{
	struct tg_options options = {
		.size = sizeof(options), .segment = fixture->path, .owner = -1, .clock = clock};

	return tg_attach(&options, &fixture->tg);
}

int bench_open_ring(struct bench_fixture *fixture, uint32_t flows, enum tg_clock clock,
		    uint32_t ring_records)
{
	char reason[SEGMENT_REASON] = "";
	int error;

	memset(fixture, 0, sizeof(*fixture));
	snprintf(fixture->path, sizeof(fixture->path), "/dev/shm/tollgate-bench-%d", (int)getpid());
	fixture->source_count = (uint32_t)ceil(sqrt(flows));
	fixture->destination_count = (flows + fixture->source_count - 1) / fixture->source_count;
	error = bench_segment(fixture, ring_records, reason);
	if (error == 0)
		error = bench_names(fixture);
	if (error == 0) {
		bench_clock(fixture);
		segment_live(fixture->segment);
		error = bench_attach(fixture, clock);
	}
	if (error == 0)
		error = bench_parents(fixture);
	if (error < 0) {
		fprintf(stderr, "bench: %s: %s %s\n", fixture->path, strerror(-error), reason);
		bench_close(fixture);
	}
	return error;
}

void bench_close(struct bench_fixture *fixture)
{
	tg_detach(fixture->tg);
	segment_close(fixture->segment, true);
	free(fixture->sources);
	free(fixture->destinations);
	memset(fixture, 0, sizeof(*fixture));
}

void bench_fill(struct bench_fixture *fixture, uint32_t slot, const struct bench_limits *limits)
{
	struct layout_limits *to = &fixture->segment->limits[slot];
	struct layout_limits_more *more = &fixture->segment->more[slot];
	uint64_t flags = limits->flags;

	for (int class = 0; class < TG_CLASSES; class ++) {
		atomic_store(&to->hour_cap[class], limits->hour_cap);
		atomic_store(&to->day_cap[class], limits->day_cap);
	}
	if (limits->hour_cap)
		flags |= LAYOUT_HOUR;
	if (limits->day_cap)
		flags |= LAYOUT_DAY;
	atomic_store(&to->flags, flags);
	atomic_store(&more->connection_rate, GCRA_UNLIMITED);
	atomic_store(&more->connections, UINT64_C(0x0000ffffffffffff));
	for (int class = 0; class < TG_CLASSES; class ++)
		atomic_store(&to->rate[class], limits->rate ? limits->rate : GCRA_UNLIMITED);
}

int bench_flow(struct bench_fixture *fixture, uint32_t i, struct tg_flow *ret)
{
	return tg_flow(
		fixture->tg, &fixture->sources[i % fixture->source_count],
		&fixture->destinations[i / fixture->source_count % fixture->destination_count],
		ret);
}

int bench_fill_all(struct bench_fixture *fixture, const struct bench_limits *limits)
{
	struct tg_flow flow;

	for (uint32_t i = 0; i < fixture->source_count * fixture->destination_count; i++) {
		int error = bench_flow(fixture, i, &flow);

		if (error < 0)
			return error;
		bench_fill(fixture, flow.slot, limits);
	}
	return 0;
}

uint64_t bench_bytes(const struct bench_fixture *fixture)
{
	static const char *const files[] = {"limits", "counters"};
	uint64_t bytes = 0;
	char path[128];
	struct stat st;

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", fixture->path, files[i]);
		if (stat(path, &st) == 0)
			bytes += (uint64_t)st.st_blocks * 512;
	}
	return bytes;
}
