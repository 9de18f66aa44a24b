/* SPDX-License-Identifier: MIT
 *
 * What it costs to remember.
 *
 *   restore_1m     a store that holds 1,000,000 flows (2,000 IPs, 500 domains; 1 of 20 has learned
 *                  something, 1 of 10 has a day's cap and has used some of it) is put back into a
 *                  segment that was just made: seconds until workers may attach, and cpu_seconds.
 *   snapshot_10k   10,000 of these flows have changed and are written down: loop_ms is the longest
 *                  that one call kept the loop, the median of several snapshots; cpu_ms is the same
 *                  by the processor's time, which other load on the machine does not count in.
 *
 * --quick has 100,000 flows; their figures are called by the same names.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/cases.h"
#include "bench/lib/measure.h"
#include "bench/lib/now.h"
#include "sidecar/base/log.h"
#include "sidecar/config/generation.h"
#include "sidecar/daemon/keeper.h"
#include "sidecar/engine/saved.h"
#include "sidecar/segment/calendar.h"
#include "sidecar/store/store.h"

#define SOURCES	  2000
#define CHANGED	  10000
#define SNAPSHOTS 9
#define NAMES	  (UINT32_C(1) << 20)

struct bench {
	struct cases cases;
	char path[64], folder[64];
	uint32_t flows;
	struct segment *segment;
	struct generation generation;
	struct engine *engine;
	struct keeper *keeper;
	int64_t wall_offset_ns;
};

static void failed(const char *what, const char *why)
{
	fprintf(stderr, "bench/store: %s: %s\n", what, why);
	exit(1);
}

static void check(const char *what, int error)
{
	if (error)
		failed(what, strerror(-error));
}

/* ---- what an earlier boot left --------------------------------------------------------------- */

static size_t life_make(uint8_t bytes[SAVED_LIFE_BYTES], int64_t wall_offset_ns)
{
	const struct control_bounds bounds = {
		.rate_max = 500, .rate_min = 0.01, .rate_start = 0.5, .burst = {10, 9, 8}};
	struct engine_life life = {.trouble_ns = 0};
	uint64_t now_ns = now_monotonic();

	control_init(&life.control, &bounds, now_ns);
	for (int i = 0; i < 30; i++) {
		struct control_observation seen = {.class = i % 10 ? REPLY_DELIVERED : REPLY_RATE,
						   .stage = TG_STAGE_MESSAGE,
						   .admitted_ns = now_ns};
		struct control_change change;

		control_observe(&life.control, &bounds, &seen, now_ns, &change);
		now_ns += SECOND_NS;
	}
	return saved_life_write(&life, wall_offset_ns, bytes);
}

static void flow_name(uint32_t i, uint8_t source[16], char *name, size_t size)
{
	memset(source, 0, 16);
	source[10] = source[11] = 0xff;
	source[12] = 10;
	source[14] = (uint8_t)(i % SOURCES >> 8);
	source[15] = (uint8_t)(i % SOURCES);
	snprintf(name, size, "recipients-of-%u.example", i / SOURCES);
}

static void flows_write(const struct bench *b, struct db *db, uint32_t layout)
{
	uint8_t life[SAVED_LIFE_BYTES];
	size_t length = life_make(life, b->wall_offset_ns);
	int64_t now_s = ((int64_t)now_monotonic() + b->wall_offset_ns) / (int64_t)SECOND_NS;
	struct db_alive alive = {.at_ns = now_s * (int64_t)SECOND_NS, .boot = "another"};
	char name[64];

	check("begin", db_begin(db));
	for (uint32_t i = 0; i < b->flows; i++) {
		struct db_flow flow = {.kind = SEGMENT_FLOW,
				       .name = name,
				       .seen_s = now_s,
				       .delivered = i,
				       .interval_ns = SECOND_NS,
				       .burst = 10,
				       .hour_cap = UINT32_MAX,
				       .day_cap = i % 10 ? UINT32_MAX : 5000};

		flow_name(i, flow.source, name, sizeof(name));
		flow.name_length = strlen(name);
		if (i % 10 == 0)
			flow.day = (uint64_t)(now_s / 86400) << 32 | 700;
		if (i % 20 == 0) {
			flow.life = life;
			flow.life_length = length;
		}
		check("flow", db_put_flow(db, &flow, layout, now_s / 86400));
	}
	check("alive", db_put_alive(db, &alive));
	check("end", db_end(db, true));
}

static void store_fill(const struct bench *b)
{
	char names[SAVED_NAMES_BYTES], reason[DB_REASON];
	struct store *store;
	uint32_t layout;

	if (store_open(b->folder, saved_names(names), &store, reason) != 0)
		failed("store", reason);
	check("layout", db_layout(store_db(store), names, &layout));
	flows_write(b, store_db(store), layout);
	store_close(store);
}

/* ---- the cases ------------------------------------------------------------------------------- */

static void segment_begin(struct bench *b)
{
	char reason[SEGMENT_REASON] = "";
	struct segment_options options = {.path = b->path,
					  .owner = -1,
					  .group = -1,
					  .reserve_max_ns = 300 * SECOND_NS,
					  .sizes = {.flows = b->flows + 4096,
						    .workers = 16,
						    .ring_records = 1024,
						    .minutes = 60,
						    .leases = 64,
						    .names_bytes = NAMES}};

	engine_shape(&options);
	if (segment_open(&options, &b->segment, reason) != 0)
		failed("segment", reason);
	check("engine", engine_create(b->segment, &b->engine));
	engine_wall_offset(b->engine, b->wall_offset_ns);
	calendar_publish(b->segment, "UTC");
}

static void print(const struct bench *b, const char *name, const char *first, double a,
		  const char *second, double c)
{
	if (b->cases.json)
		printf("{\"case\": \"%s\", \"%s\": %.4f, \"%s\": %.4f}\n", name, first, a, second,
		       c);
	else
		printf("%-14s %s %.4f, %s %.4f\n", name, first, a, second, c);
}

static void restore(struct bench *b)
{
	uint64_t begun_ns = now_monotonic(), cpu_ns = measure_cpu_ns();

	check("keeper", keeper_create(b->segment, b->engine, b->folder, true, &b->keeper));
	check("configuration",
	      engine_configure(b->engine, b->generation.config, b->generation.classifier,
			       b->generation.rules, now_monotonic()));
	keeper_restore(b->keeper, b->wall_offset_ns, now_monotonic());
	begun_ns = now_monotonic() - begun_ns;
	cpu_ns = measure_cpu_ns() - cpu_ns;
	if (segment_count(b->segment) < b->flows)
		failed("restore", "not all flows are there");
	if (cases_wanted(&b->cases, "restore_1m"))
		print(b, "restore_1m", "seconds", (double)begun_ns / 1e9, "cpu_seconds",
		      (double)cpu_ns / 1e9);
}

/* One snapshot, of which the longest call is told. */
static void snapshot(struct bench *b, double *ret_ms, double *ret_cpu_ms)
{
	uint32_t step = segment_count(b->segment) / CHANGED;
	uint64_t now_ns = now_monotonic(), longest_ns = 0, longest_cpu_ns = 0;
	bool more = true;

	for (uint32_t i = 0; i < CHANGED; i++)
		engine_note(b->engine, segment_nth(b->segment, i * step));
	keeper_beat(b->keeper, b->wall_offset_ns, now_ns, now_ns);
	while (more) {
		uint64_t begun_ns = now_monotonic(), cpu_ns = measure_cpu_ns();

		more = keeper_work(b->keeper, now_ns);
		cpu_ns = measure_cpu_ns() - cpu_ns;
		begun_ns = now_monotonic() - begun_ns;
		longest_ns = begun_ns > longest_ns ? begun_ns : longest_ns;
		longest_cpu_ns = cpu_ns > longest_cpu_ns ? cpu_ns : longest_cpu_ns;
	}
	*ret_ms = (double)longest_ns / 1e6;
	*ret_cpu_ms = (double)longest_cpu_ns / 1e6;
}

/* What the restoring changed is written first, so that a snapshot is of what changed since. */
static void snapshots(struct bench *b)
{
	double ms[SNAPSHOTS], cpu_ms[SNAPSHOTS];

	check("run", keeper_run(b->keeper, b->wall_offset_ns, now_monotonic()));
	keeper_end(b->keeper, false, now_monotonic(), now_monotonic());
	for (int i = 0; i < SNAPSHOTS; i++) {
		sleep(1);
		snapshot(b, &ms[i], &cpu_ms[i]);
	}
	print(b, "snapshot_10k", "loop_ms", measure_median(ms, SNAPSHOTS), "cpu_ms",
	      measure_median(cpu_ms, SNAPSHOTS));
}

static void clear(const struct bench *b)
{
	static const char *const files[] = {"tollgate.db", "tollgate.db-wal", "tollgate.db-shm",
					    "lock"};
	char path[128];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", b->folder, files[i]);
		unlink(path);
	}
	rmdir(b->folder);
}

int main(int argc, char **argv)
{
	struct bench b = {.path = "/dev/shm/tollgate-bench-XXXXXX",
			  .folder = "/tmp/tollgate-store-XXXXXX"};
	struct diagnostics report = {0};

	cases_read(&b.cases, "store", argc, argv);
	b.flows = b.cases.quick ? 100000 : 1000000;
	b.wall_offset_ns = calendar_wall_offset();
	log_configure(LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	if (!mkdtemp(b.path) || !mkdtemp(b.folder))
		failed("folder", strerror(errno));
	check("configuration", generation_load(NULL, &b.generation, &report));
	diagnostics_free(&report);
	store_fill(&b);
	segment_begin(&b);
	restore(&b);
	if (cases_wanted(&b.cases, "snapshot_10k"))
		snapshots(&b);
	keeper_free(b.keeper);
	engine_free(b.engine);
	segment_close(b.segment, true);
	generation_free(&b.generation);
	clear(&b);
	return 0;
}
