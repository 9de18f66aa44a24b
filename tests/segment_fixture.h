/* SPDX-License-Identifier: MIT
 *
 * Segments for tests: one in a private folder of /dev/shm, or one in this process's memory alone.
 *
 * The folder is removed even when the test crashes: a guardian process, forked first, waits for the
 * end of a pipe whose other end the test and all its children hold, and clears away what is left.
 *
 * The segment in memory (fixture_memory) has no files and no clock: for decisions through
 * shm/decide.h and publish_slot with time as an argument. It is shared with forked children.
 */
#ifndef TESTS_SEGMENT_FIXTURE_H
#define TESTS_SEGMENT_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/address.h"
#include "shm/destination.h"
#include "shm/handle.h"
#include "shm/window.h"
#include "sidecar/base/random.h"
#include "sidecar/config/destination_table.h"
#include "sidecar/segment/publish.h"
#include "sidecar/segment/segment.h"

#define SECOND WINDOW_SECOND_NS
#define MINUTE WINDOW_MINUTE_NS
#define HOUR   WINDOW_HOUR_NS
#define DAY    WINDOW_DAY_NS

/* A time far from 0, as a machine that has run for three days has it. */
#define FIXTURE_NOW (UINT64_C(260000) * WINDOW_SECOND_NS)

#define must(condition)                                                                          \
	do {                                                                                     \
		if (!(condition)) {                                                              \
			fprintf(stderr, "%s:%d: %s: errno %d\n", __FILE__, __LINE__, #condition, \
				errno);                                                          \
			abort();                                                                 \
		}                                                                                \
	} while (0)

struct fixture {
	char path[64];
	struct segment_options options;
	struct segment *segment;
};

/* Removes a folder, and the segment's folder in it. */
static inline void fixture_clear(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	char *below;

	while (folder && (entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		must(asprintf(&below, "%s/%s", path, entry->d_name) > 0);
		if (unlink(below) != 0 && errno == EISDIR)
			fixture_clear(below);
		free(below);
	}
	if (folder)
		closedir(folder);
	rmdir(path);
}

static inline void fixture_guard(const char *path)
{
	int ends[2];
	pid_t guardian;
	char byte;

	must(pipe(ends) == 0);
	guardian = fork();
	must(guardian >= 0);
	if (guardian == 0) {
		setsid();
		if (fork() != 0)
			_exit(0);
		dup2(ends[0], 0);
		close_range(1, ~0U, 0);
		while (read(0, &byte, 1) < 0 && errno == EINTR)
			;
		fixture_clear(path);
		_exit(0);
	}
	close(ends[0]);
	fcntl(ends[1], F_SETFD, FD_CLOEXEC);
	waitpid(guardian, NULL, 0);
}

/* A folder and options for a small segment; nothing is opened yet. */
static inline void fixture_begin(struct fixture *f)
{
	*f = (struct fixture){.path = "/dev/shm/tg-test-XXXXXX"};
	must(mkdtemp(f->path) != NULL);
	fixture_guard(f->path);
	f->options = (struct segment_options){
		.path = f->path,
		.owner = -1,
		.group = -1,
		.shape.engine_bytes = 64,
		.reserve_max_ns = 60 * SECOND,
		.sizes = {.flows = 500,
			  .workers = 8,
			  .ring_records = 64,
			  .minutes = 60,
			  .leases = 16,
			  .names_bytes = 65536},
	};
}

static inline void fixture_reopen(struct fixture *f)
{
	char reason[SEGMENT_REASON];
	int error = segment_open(&f->options, &f->segment, reason);

	if (error) {
		fprintf(stderr, "segment_open: %d: %s\n", error, reason);
		abort();
	}
}

/* A destination table of one destination, "provider" (all below provider.test), and one pool,
 * "pool", of `sources` addresses from 192.0.2.1 on. */
static inline void fixture_names(struct segment *s, uint32_t sources)
{
	struct destination_table *table;
	void *blob;
	size_t length;

	must(destination_table_new(&table) == 0);
	must(destination_table_add(table, "provider") == 0);
	must(destination_table_suffix(table, "provider.test", 0, NULL) == 0);
	must(destination_table_pool(table, "pool") >= 0);
	for (uint32_t i = 1; i <= sources; i++) {
		uint8_t address[16] = {
			[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = (uint8_t)i};

		must(destination_table_source(table, address) >= 0);
	}
	must(destination_table_build(table, &blob, &length) == 0);
	must(segment_publish_names(s, blob, length) == 0);
	free(blob);
	destination_table_free(table);
}

static inline void fixture_open(struct fixture *f)
{
	fixture_begin(f);
	fixture_reopen(f);
	fixture_names(f->segment, 4);
	segment_live(f->segment);
}

static inline void fixture_end(struct fixture *f)
{
	segment_close(f->segment, true);
	fixture_clear(f->path);
}

static inline int fixture_try(const struct fixture *f, struct tg **ret)
{
	struct tg_options options = {.size = sizeof(options), .segment = f->path, .owner = -1};

	return tg_attach(&options, ret);
}

static inline struct tg *fixture_attach(const struct fixture *f)
{
	struct tg *tg = NULL;
	int error = fixture_try(f, &tg);

	if (error) {
		fprintf(stderr, "tg_attach: %d\n", error);
		abort();
	}
	return tg;
}

static inline void fixture_address(const char *text, uint8_t ret[16])
{
	must(address_from_text(text, ret) == 0);
}

/* A rate alone: burst for transactional, engaged, bulk. */
static inline struct publish_limits fixture_rate(uint64_t interval_ns, uint32_t transactional,
						 uint32_t engaged, uint32_t bulk)
{
	struct publish_limits limits;

	publish_unlimited(&limits);
	limits.interval_ns = interval_ns;
	limits.burst[TG_TRANSACTIONAL] = transactional;
	limits.burst[TG_ENGAGED] = engaged;
	limits.burst[TG_BULK] = bulk;
	return limits;
}

/* A named flow with limits: usable through tg_admit by the handle returned. */
static inline struct tg_flow fixture_flow(struct segment *s, const char *address,
					  const char *destination,
					  const struct publish_limits *limits, uint64_t now_ns)
{
	uint8_t bytes[16];
	struct tg_flow flow = {.stream = LAYOUT_NONE};

	fixture_address(address, bytes);
	flow.slot = segment_flow(s, bytes, destination);
	must(flow.slot != LAYOUT_NONE);
	flow.source = segment_slot(s, flow.slot)->source;
	flow.destination = segment_slot(s, flow.slot)->destination;
	publish_slot(s, flow.slot, limits, now_ns);
	return flow;
}

static inline void *fixture_shared(size_t bytes)
{
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(base != MAP_FAILED);
	return base;
}

/* A segment without files. Slots are used by number; the calendar has its hours and days begin at
 * multiples of 3,600 and 86,400 s of the clock. */
static inline struct segment *fixture_memory(uint32_t slots)
{
	struct segment *s = fixture_shared(sizeof(*s));

	s->limits = fixture_shared(slots * sizeof(*s->limits));
	s->more = fixture_shared(slots * sizeof(*s->more));
	s->defaults = fixture_shared(LAYOUT_DEFAULTS * sizeof(*s->defaults));
	s->calendar = fixture_shared(sizeof(*s->calendar));
	/* All slots are known, as something or other. */
	s->index = fixture_shared(slots * sizeof(*s->index));
	s->known = fixture_shared((slots + 1) * sizeof(*s->known));
	s->known_room = slots + 1;
	s->strings = fixture_shared(sizeof(*s->strings));
	for (uint32_t slot = 0; slot < slots; slot++) {
		s->index[slot] = slot + 1;
		s->known[slot + 1].slot = slot;
	}
	s->live = fixture_shared(LAYOUT_PAGE);
	s->header.reserve_max_ns = 60 * SECOND;
	s->header.sizes = (struct layout_sizes){.flows = slots,
						.slots = slots,
						.workers = 16,
						.leases = 64,
						.minutes = 60,
						.ring_records = 64};
	s->leases = fixture_shared((size_t)16 * 64 * sizeof(*s->leases));
	s->workers = fixture_shared(16 * sizeof(*s->workers));
	s->view = (struct view){
		.limits = s->limits,
		.more = s->more,
		.defaults = s->defaults,
		.calendar = s->calendar,
		.counters = fixture_shared(slots * sizeof(*s->view.counters)),
		.counters_more = fixture_shared(slots * sizeof(*s->view.counters_more)),
		.slots = slots,
		.reserve_max_ns = s->header.reserve_max_ns,
	};
	return s;
}

/* The flow of slot 0 with parents 1 and 2, and stream 3 if asked. */
static inline struct tg_flow fixture_plain(bool stream)
{
	return (struct tg_flow){0, 1, 2, stream ? 3 : LAYOUT_NONE};
}

#endif
