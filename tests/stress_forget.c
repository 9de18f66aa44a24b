/* SPDX-License-Identifier: MIT
 *
 * Ten generations of domains, four times as many pairs as the directory has room for: what is idle
 * is forgotten in time, so none is ever refused; what was learned, what is held and what was used
 * within its hour stays. make soak has 1,000,000 pairs at a directory of 262,144.
 */
#include "shm/lease.h"
#include "sidecar/base/log.h"
#include "sidecar/config/generation.h"
#include "sidecar/engine/engine.h"
#include "tests/stress_workers.h"

#define GENERATIONS 10
#define SOURCES	    100
#define KEPT	    20 /* of each kind, of the first generation */
#define HOUR_CAP    10

struct world {
	char file[96];
	struct fixture f;
	struct generation generation;
	struct engine *engine;
	uint64_t now;
	uint32_t renewals;
};

static const char configuration[] =
	"limits: {rate: 600/min, burst: 20, ceiling: 6000/min, floor: 6/hr, adapt: true, hour: 10}\n"
	"builtin: false\n";

static bool keeps(void *arg, uint32_t slot)
{
	const struct world *w = arg;

	return engine_keeps(w->engine, slot, w->now);
}

static void work(struct world *w)
{
	while (engine_work(w->engine, w->now) <= w->now)
		;
}

static void begin(struct world *w, uint32_t flows)
{
	struct diagnostics report = {0};
	FILE *file;

	fixture_begin(&w->f);
	snprintf(w->file, sizeof(w->file), "%s/tollgate.yaml", w->f.path);
	file = fopen(w->file, "w");
	must(file && fputs(configuration, file) >= 0 && fclose(file) == 0);
	w->f.options.sizes.flows = flows;
	w->f.options.sizes.names_bytes = 1 << 20;
	engine_shape(&w->f.options);
	fixture_reopen(&w->f);
	w->f.segment->clock = NULL;
	must(generation_load(w->file, &w->generation, &report) == 0);
	diagnostics_free(&report);
	must(engine_create(w->f.segment, &w->engine) == 0);
	w->now = FIXTURE_NOW;
	engine_wall_offset(w->engine, 0);
	must(engine_configure(w->engine, w->generation.config, w->generation.classifier,
			      w->generation.rules, w->now) == 0);
	work(w);
	segment_live(w->f.segment);
}

static void end(struct world *w)
{
	engine_free(w->engine);
	generation_free(&w->generation);
	unlink(w->file);
	fixture_end(&w->f);
}

static void renew(struct world *w)
{
	uint32_t before = segment_count(w->f.segment);
	char reason[SEGMENT_REASON] = "";

	stress_expect(segment_renew(w->f.segment, &w->f.options, keeps, w, w->now, reason) == 0,
		      "segment_renew: %s", reason);
	stress_expect(engine_renewed(w->engine, w->now) == 0, "engine_renewed");
	work(w);
	w->renewals++;
	stress_expect(segment_count(w->f.segment) < before, "%u of %u are left",
		      segment_count(w->f.segment), before);
}

static void second(struct world *w)
{
	w->now += SECOND;
	engine_housekeep(w->engine, w->now);
	work(w);
	if (engine_forgets(w->engine, false, w->now))
		renew(w);
}

static uint32_t pair(struct world *w, uint32_t age, uint32_t i, uint32_t *ret_source,
		     uint32_t *ret_destination)
{
	uint8_t address[16] = {[10] = 0xff, [11] = 0xff, 10, 0, 0, (uint8_t)(i % SOURCES)};
	char name[64];
	uint32_t slot;

	snprintf(name, sizeof(name), "d%u.age%u.example", i / SOURCES, age);
	slot = engine_claim(w->engine, address, name, w->now);
	stress_expect(slot != LAYOUT_NONE, "pair %u of generation %u was refused", i, age);
	*ret_source = segment_slot(w->f.segment, slot)->source;
	*ret_destination = segment_slot(w->f.segment, slot)->destination;
	return slot;
}

static bool admit(struct world *w, uint32_t age, uint32_t i)
{
	struct tg_flow flow = {.stream = LAYOUT_NONE};

	flow.slot = pair(w, age, i, &flow.source, &flow.destination);
	return decide_admit(&w->f.segment->view, &flow, TG_TRANSACTIONAL, 1, w->now).reason ==
	       TG_ADMITTED;
}

static void refuse(struct world *w, uint32_t age, uint32_t i)
{
	static const char text[] = "4.7.650 temporarily rate limited due to IP reputation";
	struct layout_record record = {.kind = LAYOUT_RECORD_REPLY,
				       .n = 1,
				       .code = 451,
				       .enhanced = {4, 7, 650},
				       .traffic = TG_BULK,
				       .replied_ns = w->now,
				       .admitted_ns = w->now,
				       .length = sizeof(text) - 1,
				       .length_original = sizeof(text) - 1};

	memcpy(record.text, text, sizeof(text) - 1);
	record.slot = pair(w, age, i, &record.source, &record.destination);
	engine_record(w->engine, &record, w->now);
}

/* Kept of the first generation: i < KEPT met trouble, the next KEPT are held by hand. */
static void kept_make(struct world *w)
{
	struct constraint hold = {.kind = CONSTRAINT_HOLD,
				  .by_operator = 1,
				  .from_ns = w->now,
				  .until_ns = UINT64_MAX,
				  .name = "operator"};
	uint32_t source, destination;

	for (uint32_t i = 0; i < KEPT; i++)
		refuse(w, 0, i);
	for (uint32_t i = KEPT; i < 2 * KEPT; i++)
		must(engine_constraint_add(w->engine, pair(w, 0, i, &source, &destination), &hold,
					   w->now) == 0);
}

static void kept_expect(struct world *w)
{
	uint32_t known = segment_count(w->f.segment), source, destination;

	for (uint32_t i = 0; i < 2 * KEPT; i++) {
		uint32_t slot = pair(w, 0, i, &source, &destination);
		const struct layout_limits *limits = &w->f.segment->limits[slot];

		if (i < KEPT)
			stress_expect(segment_block(w->f.segment, slot, ENGINE_LIFE) != NULL,
				      "what was learned of pair %u is forgotten", i);
		else
			stress_expect(atomic_load(&limits->hold_until_ns) == UINT64_MAX,
				      "pair %u is not held any more", i);
	}
	stress_expect(segment_count(w->f.segment) == known, "some of them had to be claimed anew");
}

static void generation_send(struct world *w, uint32_t age, uint32_t pairs)
{
	for (uint32_t i = age ? 0 : 2 * KEPT; i < pairs; i++) {
		stress_expect(admit(w, age, i), "pair %u of generation %u may not send", i, age);
		if (i % 4096 == 0)
			second(w);
	}
}

/* A replacement in the middle of an hour grants none of it anew. */
static void hour_expect(struct world *w, uint32_t age, uint32_t i)
{
	uint32_t sum = 1; /* as the generation was sent */

	for (int turn = 0; turn < 4 * HOUR_CAP; turn++) {
		w->now += SECOND;
		sum += admit(w, age, i);
		if (turn == HOUR_CAP / 2)
			renew(w);
	}
	stress_expect(sum == HOUR_CAP, "%u in an hour of %d", sum, HOUR_CAP);
}

int main(void)
{
	struct world w = {.renewals = 0};
	uint32_t pairs = (uint32_t)stress_times(10000, 100000);

	log_configure(LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	begin(&w, (uint32_t)((uint64_t)pairs * 262144 / 100000));
	kept_make(&w);
	for (uint32_t age = 0; age < GENERATIONS; age++) {
		generation_send(&w, age, pairs);
		kept_expect(&w);
		w.now += 2 * HOUR;
		for (int i = 0; i < 3; i++)
			second(&w);
	}
	stress_expect(w.renewals >= 3, "forgot %u times only", w.renewals);
	w.now = (w.now / HOUR + 1) * HOUR + SECOND;
	generation_send(&w, GENERATIONS, 200);
	hour_expect(&w, GENERATIONS, 7);
	kept_expect(&w);
	printf("  %u pairs in a directory of %u, which was cleared %u times\n", GENERATIONS * pairs,
	       w.f.segment->header.sizes.flows, w.renewals);
	end(&w);
	return 0;
}
