/* SPDX-License-Identifier: MIT
 *
 * An engine over a segment of its own, under a clock of its own: a test suite that includes this has
 * it as `world`, made anew for each test.
 */
#ifndef TESTS_ENGINE_WORLD_H
#define TESTS_ENGINE_WORLD_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sidecar/config/generation.h"
#include "sidecar/engine/engine.h"

#define SECOND UINT64_C(1000000000)
#define BEGIN  (86400 * SECOND)

static struct engine_fixture {
	char path[64], file[96];
	struct segment *segment;
	struct engine *engine;
	struct generation generation;
	uint64_t now;
	uint32_t alerts;
} world;

static const char configuration[] =
	"pools:\n"
	"  - {name: shared, sources: [192.0.2.1-192.0.2.4]}\n"
	"destinations:\n"
	"  - {name: example, domains: [example.com], limits: {rate: 600/min, burst: 20}}\n"
	"rules:\n"
	"  - name: shut\n"
	"    match: {class: [blocklist], destination: [example]}\n"
	"    trigger: 2/hr\n"
	"    action: {hold: 30m, hold_max: 2h, alert: {}}\n"
	"  - name: less\n"
	"    match: {code: [452]}\n"
	"    action: {scale: '0.5', connections: 1, for: 20m}\n";

static inline void alert(void *arg, const struct rule *rule, const struct rule_action *plan,
			 const struct alert_command_about *about)
{
	world.alerts++;
}

static inline void setup(void)
{
	char reason[SEGMENT_REASON];
	struct segment_options options = {
		.path = world.path,
		.owner = -1,
		.group = -1,
		.reserve_max_ns = 60 * SECOND,
		/* Many more than are used: none of the others is to be touched. */
		.sizes = {.flows = 500000,
			  .workers = 4,
			  .ring_records = 16,
			  .minutes = 10,
			  .leases = 8,
			  .names_bytes = 1 << 20},
	};
	struct diagnostics report = {0};
	FILE *file;

	engine_shape(&options);

	snprintf(world.path, sizeof(world.path), "/dev/shm/tollgate-engine-%d", (int)getpid());
	snprintf(world.file, sizeof(world.file), "%s.yaml", world.path);
	file = fopen(world.file, "w");
	cr_assert(file != NULL);
	fputs(configuration, file);
	fclose(file);
	cr_assert_eq(segment_open(&options, &world.segment, reason), 0, "%s", reason);
	cr_assert_eq(generation_load(world.file, &world.generation, &report), 0);
	diagnostics_free(&report);
	cr_assert_eq(engine_create(world.segment, &world.engine), 0);
	engine_on_alert(world.engine, alert, NULL);
	engine_wall_offset(world.engine, 0);
	world.now = BEGIN;
	cr_assert_eq(engine_configure(world.engine, world.generation.config,
				      world.generation.classifier, world.generation.rules,
				      world.now),
		     0);
	while (engine_work(world.engine, world.now) <= world.now)
		;
}

/* Another configuration, as a reload brings it. */
static inline void reconfigure(const char *text)
{
	struct generation before = world.generation;
	struct diagnostics report = {0};
	FILE *file = fopen(world.file, "w");

	cr_assert(file != NULL);
	fputs(text, file);
	fclose(file);
	cr_assert_eq(generation_load(world.file, &world.generation, &report), 0);
	diagnostics_free(&report);
	cr_assert_eq(engine_configure(world.engine, world.generation.config,
				      world.generation.classifier, world.generation.rules,
				      world.now),
		     0);
	generation_free(&before);
}

static inline void teardown(void)
{
	engine_free(world.engine);
	generation_free(&world.generation);
	segment_close(world.segment, true);
	unlink(world.file);
}

static inline uint32_t flow(unsigned last)
{
	uint8_t address[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, (uint8_t)last};
	uint32_t slot = engine_claim(world.engine, address, "example", world.now);

	cr_assert_neq(slot, LAYOUT_NONE);
	return slot;
}

static inline void reply_of(uint32_t slot, uint32_t source, uint32_t destination, const char *text)
{
	struct tg_reply parsed = {0};
	struct layout_record record = {.kind = LAYOUT_RECORD_REPLY,
				       .slot = slot,
				       .source = source,
				       .destination = destination,
				       .n = 1,
				       .traffic = TG_BULK,
				       .replied_ns = world.now,
				       .admitted_ns = world.now,
				       .place = 1};

	cr_assert_eq(tg_reply_parse(text, strlen(text), &parsed), 0);
	record.code = parsed.code;
	memcpy(record.enhanced, parsed.enhanced, sizeof(record.enhanced));
	record.length = record.length_original = (uint16_t)strlen(text);
	memcpy(record.text, text, record.length);
	if (parsed.code >= 300)
		atomic_fetch_add(&world.segment->view.counters_more[slot].deferred, 1);
	engine_record(world.engine, &record, world.now);
}

static inline void reply(uint32_t slot, const char *text)
{
	const struct segment_slot *known = segment_slot(world.segment, slot);

	reply_of(slot, known->source, known->destination, text);
}

static inline void pass(unsigned seconds)
{
	while (seconds-- > 0) {
		world.now += SECOND;
		for (int i = 0; i < 10 && engine_work(world.engine, world.now) <= world.now; i++)
			;
		engine_housekeep(world.engine, world.now);
		while (engine_work(world.engine, world.now) <= world.now)
			;
	}
}

static inline struct effective inforce(uint32_t slot)
{
	struct control_limits control;
	struct control_bounds bounds;
	struct effective effective;

	cr_assert_eq(engine_effective(world.engine, slot, world.now, &effective, &control, &bounds),
		     0);
	return effective;
}

/* As a sidecar that starts finds the segment. */
static inline void engine_again(void)
{
	engine_free(world.engine);
	cr_assert_eq(engine_create(world.segment, &world.engine), 0);
	engine_wall_offset(world.engine, 0);
	cr_assert_eq(engine_configure(world.engine, world.generation.config,
				      world.generation.classifier, world.generation.rules,
				      world.now),
		     0);
	while (engine_work(world.engine, world.now) <= world.now)
		;
}

#endif
