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
static void rig_clock(struct rig *rig)
{
	struct layout_live *live = rig->segment->live;
	double ticks = measure_ticks_per_ns();
	struct layout_scale *scale = &live->scale[0];

	atomic_store(&scale->counter_base, clock_counter());
	atomic_store(&scale->ns_base, now_monotonic());
	atomic_store(&scale->mult, (uint64_t)(4294967296.0 / ticks));
	atomic_store(&scale->span, (uint64_t)((double)HOUR_NS * ticks));
	atomic_store(&live->scale_index, 0);
	atomic_store(&live->heartbeat_ns, now_monotonic());
	atomic_store(&live->loss_after_ns, HOUR_NS);
	for (unsigned i = 0; i < LAYOUT_CALENDARS; i++)
		for (uint64_t day = 0; day < LAYOUT_DAYS; day++)
			atomic_store(&rig->segment->calendars[i].day_start_ns[day],
				     day * 24 * HOUR_NS);
}

static int rig_names(struct rig *rig)
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
	error = segment_publish_names(rig->segment, block, length);
	free(block);
	return error;
}

static int rig_parents(struct rig *rig)
{
	char name[32];
	int error = 0;

	rig->sources = calloc(rig->source_count, sizeof(*rig->sources));
	rig->destinations = calloc(rig->destination_count, sizeof(*rig->destinations));
	if (!rig->sources || !rig->destinations)
		return -ENOMEM;
	for (uint32_t i = 0; i < rig->source_count && error == 0; i++) {
		snprintf(name, sizeof(name), "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
		error = tg_source(rig->tg, name, &rig->sources[i]);
	}
	for (uint32_t i = 0; i < rig->destination_count && error == 0; i++) {
		snprintf(name, sizeof(name), "bench%u.example", i);
		error = tg_destination(rig->tg, name, &rig->destinations[i]);
	}
	return error;
}

int rig_open(struct rig *rig, uint32_t flows, enum tg_clock clock)
{
	return rig_open_ring(rig, flows, clock, 1024);
}

static int rig_segment(struct rig *rig, uint32_t ring_records, char *reason)
{
	struct segment_options options = {.path = rig->path,
					  .group = -1,
					  .engine_bytes = 8,
					  .reserve_longest_ns = 60 * SECOND_NS,
					  .sizes = {.workers = 64,
						    .ring_records = ring_records,
						    .minutes = 60,
						    .leases = 256,
						    .names_bytes = 65536}};

	options.sizes.flows = rig->source_count * rig->destination_count + rig->source_count +
			      rig->destination_count;
	return segment_open(&options, &rig->segment, reason);
}

static int rig_attach(struct rig *rig, enum tg_clock clock)
{
	struct tg_options options = {
		.size = sizeof(options), .segment = rig->path, .owner = -1, .clock = clock};

	return tg_attach(&options, &rig->tg);
}

int rig_open_ring(struct rig *rig, uint32_t flows, enum tg_clock clock, uint32_t ring_records)
{
	char reason[SEGMENT_REASON] = "";
	int error;

	memset(rig, 0, sizeof(*rig));
	snprintf(rig->path, sizeof(rig->path), "/dev/shm/tollgate-bench-%d", (int)getpid());
	rig->source_count = (uint32_t)ceil(sqrt(flows));
	rig->destination_count = (flows + rig->source_count - 1) / rig->source_count;
	error = rig_segment(rig, ring_records, reason);
	if (error == 0)
		error = rig_names(rig);
	if (error == 0) {
		rig_clock(rig);
		segment_live(rig->segment);
		error = rig_attach(rig, clock);
	}
	if (error == 0)
		error = rig_parents(rig);
	if (error < 0) {
		fprintf(stderr, "bench: %s: %s %s\n", rig->path, strerror(-error), reason);
		rig_close(rig);
	}
	return error;
}

void rig_close(struct rig *rig)
{
	tg_detach(rig->tg);
	segment_close(rig->segment, true);
	free(rig->sources);
	free(rig->destinations);
	memset(rig, 0, sizeof(*rig));
}

void rig_fill(struct rig *rig, uint32_t slot, const struct rig_limits *limits)
{
	struct layout_limits *to = &rig->segment->limits[slot];
	struct layout_limits_more *more = &rig->segment->more[slot];
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

int rig_flow(struct rig *rig, uint32_t i, struct tg_flow *ret)
{
	return tg_flow(rig->tg, &rig->sources[i % rig->source_count],
		       &rig->destinations[i / rig->source_count % rig->destination_count], ret);
}

int rig_fill_all(struct rig *rig, const struct rig_limits *limits)
{
	struct tg_flow flow;

	for (uint32_t i = 0; i < rig->source_count * rig->destination_count; i++) {
		int error = rig_flow(rig, i, &flow);

		if (error < 0)
			return error;
		rig_fill(rig, flow.slot, limits);
	}
	return 0;
}

uint64_t rig_bytes(const struct rig *rig)
{
	static const char *const files[] = {"limits", "counters"};
	uint64_t bytes = 0;
	char path[128];
	struct stat st;

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", rig->path, files[i]);
		if (stat(path, &st) == 0)
			bytes += (uint64_t)st.st_blocks * 512;
	}
	return bytes;
}
