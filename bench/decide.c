/* SPDX-License-Identifier: MIT
 *
 * decide: what a decision costs, beside what the machine can do at all.
 *
 *   decide [--json] [--quick] [--repeats N] [--scale] [CASE…]      CASE may end in *
 *
 * Prints a line a case: {"case", "ns", "floor_ns", "bare_ns", "ratio", "mps", "p999_ns"}. ns: a
 * decision, median of repeats that alternate with the floor. mps: millions of decisions a second,
 * all processes together. p999_ns: of single decisions. ratio: what the case's target is about:
 *
 * - hot, refused, hot_windows, three_levels, hot_vdso, keyed_*: ns / floor_ns. The floor is one
 *   uncontended lock cmpxchg and a read of the clock that is used (hot_vdso: the vDSO's).
 * - batch16_*: ns / bare_ns, bare being sixteen random lines fetched, loaded and swapped.
 * - two_distinct: decisions a second of two processes / those of one (floor_ns: one process).
 * - two_same: decisions a second / bare contended swaps of two processes (floor_ns: that).
 *
 * bare_ns of the keyed cases: a random line's load and compare-and-swap. --scale adds what capacity
 * planning asks: flows_1k to flows_10m (one process, random keys), and workers_N_distinct (each its
 * own flow), workers_N_same (all one flow) and workers_N_zipf (1,000 flows by Zipf's law).
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/lib/cases.h"
#include "bench/lib/fixture.h"
#include "bench/lib/measure.h"
#include "shm/gcra.h"

#define ORDER_BITS   21
#define REPEATS_MAX  1000
#define MILLION	     1000000
#define P999_SAMPLES 200000

/* A rate that is never reached, so that each decision is an admission: one message a nanosecond. */
#define RATE_OPEN   gcra_rate(1, UINT32_MAX)
#define RATE_CLOSED gcra_rate(UINT64_C(3600000000000), 1)

struct decide_bench {
	struct cases cases;
	bool scale, failed;
	uint64_t repeats;
	uint64_t count; /* executions a repeat */
};

/* What a run of decisions works on. */
struct subject {
	struct bench_fixture *fixture;
	struct tg_flow flow;
	const uint32_t *order; /* of flows, or of pairs: destination << 16 | source */
	uint32_t mask, at;
	uint64_t refused;
	uint64_t pad[8];
};

struct result {
	const char *name;
	double ns, floor_ns, bare_ns, ratio, mps, p999_ns;
};

static void result_print(const struct decide_bench *bench, const struct result *r)
{
	if (!bench->cases.json) {
		printf("%-24s %8.2f ns  floor %7.2f  ", r->name, r->ns, r->floor_ns);
		if (r->bare_ns > 0)
			printf("bare %7.2f  ", r->bare_ns);
		else
			printf("%14s", "");
		printf("ratio %6.3f  %8.2f M/s  p99.9 %8.0f ns\n", r->ratio, r->mps, r->p999_ns);
	} else {
		printf("{\"case\": \"%s\", \"ns\": %.2f, \"floor_ns\": %.2f, ", r->name, r->ns,
		       r->floor_ns);
		if (r->bare_ns > 0)
			printf("\"bare_ns\": %.2f, ", r->bare_ns);
		printf("\"ratio\": %.3f, \"mps\": %.3f, \"p999_ns\": %.0f}\n", r->ratio, r->mps,
		       r->p999_ns);
	}
	fflush(stdout);
}

/* ---- what is measured ---------------------------------------------------------------------------
 */

static void run_admit(void *context, uint64_t count)
{
	struct subject *s = context;
	struct tg *tg = s->fixture->tg;
	uint64_t refused = 0;

	for (uint64_t i = 0; i < count; i++)
		refused += tg_admit(tg, &s->flow, TG_BULK, 1).reason != TG_ADMITTED;
	s->refused += refused;
}

static uint32_t order_next(struct subject *s)
{
	return s->order[s->at++ & s->mask];
}

static void run_keyed(void *context, uint64_t count)
{
	struct subject *s = context;
	struct bench_fixture *fixture = s->fixture;
	uint64_t refused = 0;

	for (uint64_t i = 0; i < count; i++) {
		uint32_t pair = order_next(s);

		refused += tg_admit_pair(fixture->tg, &fixture->sources[pair & 0xffff],
					 &fixture->destinations[pair >> 16], TG_BULK, 1)
				   .reason != TG_ADMITTED;
	}
	s->refused += refused;
}

static void run_batch(void *context, uint64_t count)
{
	struct subject *s = context;
	struct bench_fixture *fixture = s->fixture;
	struct tg_request requests[16];
	struct tg_verdict verdicts[16];

	for (uint64_t i = 0; i < count; i += 16) {
		for (int j = 0; j < 16; j++) {
			uint32_t pair = order_next(s);

			requests[j] =
				(struct tg_request){&fixture->sources[pair & 0xffff],
						    &fixture->destinations[pair >> 16], TG_BULK, 1};
		}
		tg_admit_batch(fixture->tg, requests, verdicts, 16);
		for (int j = 0; j < 16; j++)
			s->refused += verdicts[j].reason != TG_ADMITTED;
	}
}

/* ---- one flow -----------------------------------------------------------------------------------
 */

struct hot_case {
	const char *name;
	enum tg_clock clock;
	struct bench_limits flow;
	bool parents, refuses;
};

static const struct hot_case *hot_cases(size_t *ret_count)
{
	static struct hot_case cases[5];
	uint64_t open = RATE_OPEN;

	cases[0] = (struct hot_case){"hot", TG_CLOCK_AUTO, {.rate = open}, false, false};
	cases[1] = (struct hot_case){"hot_windows",
				     TG_CLOCK_AUTO,
				     {.rate = open, .hour_cap = INT32_MAX, .day_cap = INT32_MAX},
				     false,
				     false};
	cases[2] = (struct hot_case){"hot_vdso", TG_CLOCK_VDSO, {.rate = open}, false, false};
	cases[3] = (struct hot_case){"refused", TG_CLOCK_AUTO, {.rate = RATE_CLOSED}, false, true};
	cases[4] = (struct hot_case){"three_levels",
				     TG_CLOCK_AUTO,
				     {.rate = open, .flags = LAYOUT_SOURCE | LAYOUT_DESTINATION},
				     true,
				     false};
	*ret_count = 5;
	return cases;
}

static _Atomic uint64_t floor_line[8] __attribute__((aligned(64)));

/* The flow of a hot case, filled. */
static int hot_prepare(const struct hot_case *c, struct bench_fixture *fixture, struct subject *s)
{
	struct bench_limits parent = {.rate = RATE_OPEN};

	if (bench_open(fixture, 1000, c->clock) < 0)
		return -1;
	*s = (struct subject){.fixture = fixture};
	if (bench_flow(fixture, 7, &s->flow) < 0)
		return -1;
	bench_fill(fixture, s->flow.slot, &c->flow);
	if (c->parents) {
		bench_fill(fixture, s->flow.source, &parent);
		bench_fill(fixture, s->flow.destination, &parent);
	}
	if (c->refuses)
		run_admit(s, 1); /* the burst */
	s->refused = 0;
	return 0;
}

static void hot_measure(struct decide_bench *bench, const struct hot_case *c)
{
	struct bench_fixture fixture;
	struct subject s;
	struct result r = {.name = c->name};
	struct measure_pair pairs[2] = {
		{c->clock == TG_CLOCK_VDSO ? floor_vdso : floor_counter, floor_line, 0},
		{run_admit, &s, 0},
	};

	if (hot_prepare(c, &fixture, &s) < 0) {
		bench->failed = true;
		return;
	}
	measure_alternate(pairs, 2, bench->count, bench->repeats);
	r.floor_ns = pairs[0].ns;
	r.ns = pairs[1].ns;
	r.ratio = r.ns / r.floor_ns;
	r.mps = 1e3 / r.ns;
	if ((s.refused != 0) != c->refuses) {
		fprintf(stderr, "decide: %s: %llu refused\n", c->name,
			(unsigned long long)s.refused);
		bench->failed = true;
	}
	r.p999_ns = measure_p999(run_admit, &s, P999_SAMPLES);
	result_print(bench, &r);
	bench_close(&fixture);
}

/* ---- many flows ---------------------------------------------------------------------------------
 */

struct keyed_case {
	const char *name;
	uint32_t flows;
	bool zipf, batch, scale;
};

static const struct keyed_case keyed_cases[] = {
	{"keyed_uniform_1m", MILLION, false, false, false},
	{"keyed_zipf_1m", MILLION, true, false, false},
	{"batch16_uniform_1m", MILLION, false, true, false},
	{"batch16_zipf_1m", MILLION, true, true, false},
	{"flows_1k", 1000, false, false, true},
	{"flows_10k", 10000, false, false, true},
	{"flows_100k", 100000, false, false, true},
	{"flows_1m", MILLION, false, false, true},
	{"flows_10m", 10 * MILLION, false, false, true},
	{"flows_1m_batch16", MILLION, false, true, true},
	{"flows_10m_batch16", 10 * MILLION, false, true, true},
};

/* The same flows as indexes of source and destination: a division in the loop would be measured,
 * too. */
static uint32_t *order_pairs(const uint32_t *order, const struct bench_fixture *fixture)
{
	uint32_t *pairs = malloc(sizeof(*pairs) << ORDER_BITS);

	for (uint32_t i = 0; pairs && i < 1u << ORDER_BITS; i++)
		pairs[i] =
			order[i] / fixture->source_count << 16 | order[i] % fixture->source_count;
	return pairs;
}

static void keyed_run(struct decide_bench *bench, const struct keyed_case *c,
		      struct bench_fixture *fixture, const uint32_t *order, const uint32_t *pairs,
		      char *lines)
{
	uint32_t mask = (1u << ORDER_BITS) - 1;
	struct subject s = {.fixture = fixture, .order = pairs, .mask = mask};
	struct floor_lines bare = {.base = lines, .order = order, .mask = mask};
	struct measure_pair turns[3] = {
		{floor_counter, floor_line, 0},
		{c->batch ? floor_batched : floor_random, &bare, 0},
		{c->batch ? run_batch : run_keyed, &s, 0},
	};
	struct result r = {.name = c->name};

	measure_alternate(turns, 3, bench->count & ~15ull, bench->repeats);
	r.floor_ns = turns[0].ns;
	r.bare_ns = turns[1].ns;
	r.ns = turns[2].ns;
	r.ratio = r.ns / (c->batch ? r.bare_ns : r.floor_ns);
	r.mps = 1e3 / r.ns;
	r.p999_ns = measure_p999(turns[2].run, &s, P999_SAMPLES / 4);
	if (c->batch)
		r.p999_ns /= 16;
	if (s.refused) {
		fprintf(stderr, "decide: %s: %llu refused\n", c->name,
			(unsigned long long)s.refused);
		bench->failed = true;
	}
	result_print(bench, &r);
}

static bool memory_for(uint32_t flows)
{
	char line[128];
	unsigned long long kib = 0;
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib * 1024 > (uint64_t)flows * 512 + (UINT64_C(1) << 30);
}

static void keyed_measure(struct decide_bench *bench, const struct keyed_case *c)
{
	struct bench_limits open = {.rate = RATE_OPEN};
	uint32_t *order, *pairs;
	struct bench_fixture fixture;
	char *lines;

	if (!memory_for(c->flows)) {
		fprintf(stderr, "SKIP: %s: not enough memory available\n", c->name);
		return;
	}
	if (bench_open(&fixture, c->flows, TG_CLOCK_AUTO) < 0) {
		bench->failed = true;
		return;
	}
	lines = measure_lines(c->flows);
	order = measure_order(ORDER_BITS, c->flows, c->zipf, 1);
	pairs = order ? order_pairs(order, &fixture) : NULL;
	if (lines && pairs && bench_fill_all(&fixture, &open) == 0)
		keyed_run(bench, c, &fixture, order, pairs, lines);
	else
		bench->failed = true;
	free(pairs);
	free(order);
	if (lines)
		munmap(lines, (size_t)c->flows * 64);
	bench_close(&fixture);
}

/* ---- several processes --------------------------------------------------------------------------
 */

enum contention { DISTINCT, SAME, ZIPF };

static void run_order(void *context, uint64_t count)
{
	struct subject *s = context;
	struct tg_flow flow;

	for (uint64_t i = 0; i < count; i++) {
		bench_flow(s->fixture, order_next(s), &flow);
		s->refused += tg_admit(s->fixture->tg, &flow, TG_BULK, 1).reason != TG_ADMITTED;
	}
}

/* The workers' subjects; each its own flow, or all one, or 1,000 shared. */
static int together_prepare(struct bench_fixture *fixture, struct subject *subjects,
			    void **contexts, unsigned workers, enum contention contention,
			    const uint32_t *order)
{
	struct bench_limits open = {.rate = RATE_OPEN};

	if (bench_fill_all(fixture, &open) < 0)
		return -1;
	for (unsigned i = 0; i < workers; i++) {
		subjects[i] = (struct subject){.fixture = fixture,
					       .order = order,
					       .mask = (1u << ORDER_BITS) - 1,
					       .at = i * 100003};
		/* Neither source nor destination in common. */
		if (bench_flow(fixture, contention == SAME ? 0 : i * (fixture->source_count + 1),
			       &subjects[i].flow) < 0)
			return -1;
		contexts[i] = &subjects[i];
	}
	return 0;
}

/* Median wall ns a decision of that many processes, and that of the comparison: one process, or the
 * bare contended CAS. */
static void together_run(struct decide_bench *bench, struct result *r, void *const *contexts,
			 unsigned workers, enum contention contention)
{
	measure_fn *run = contention == ZIPF ? run_order : run_admit;
	double values[64], floors[64];
	unsigned repeats = bench->repeats < 64 ? bench->repeats : 64;
	uint64_t count = bench->count;
	void *line = measure_lines(1);
	void *bare[64];

	for (unsigned i = 0; i < 64; i++)
		bare[i] = line;
	for (unsigned i = 0; i < repeats && line; i++) {
		if (contention == SAME)
			floors[i] = measure_together(floor_cas, bare, workers, count, NULL);
		else
			floors[i] = measure_together(run, contexts, 1, count, NULL);
		values[i] = measure_together(run, contexts, workers, count, NULL);
	}
	r->ns = measure_median(values, line ? repeats : 0);
	r->floor_ns = measure_median(floors, line ? repeats : 0);
	measure_together(run, contexts, workers, count / 8, &r->p999_ns);
	r->mps = r->ns > 0 ? 1e3 / r->ns : 0;
	r->ratio = r->ns > 0 ? r->floor_ns / r->ns : 0;
	if (line)
		munmap(line, 64);
}

static void together_measure(struct decide_bench *bench, const char *name, unsigned workers,
			     enum contention contention)
{
	struct subject *subjects = calloc(workers, sizeof(*subjects));
	uint32_t *order = contention == ZIPF ? measure_order(ORDER_BITS, 1000, true, 1) : NULL;
	struct result r = {.name = name};
	void *contexts[64];
	struct bench_fixture fixture;

	if (!subjects || bench_open(&fixture, 1024, TG_CLOCK_AUTO) < 0) {
		bench->failed = true;
		free(order);
		free(subjects);
		return;
	}
	if (together_prepare(&fixture, subjects, contexts, workers, contention, order) == 0)
		together_run(bench, &r, contexts, workers, contention);
	bench->failed |= r.ns <= 0;
	result_print(bench, &r);
	bench_close(&fixture);
	free(order);
	free(subjects);
}

static void scale_workers(struct decide_bench *bench)
{
	static const char *const names[] = {"distinct", "same", "zipf"};
	char name[64];

	for (unsigned workers = 1; workers <= 16; workers *= 2)
		for (int contention = DISTINCT; contention <= ZIPF; contention++) {
			snprintf(name, sizeof(name), "workers_%u_%s", workers, names[contention]);
			if (cases_wanted(&bench->cases, name))
				together_measure(bench, name, workers, contention);
		}
}

/* ---- memory -------------------------------------------------------------------------------------
 */

/* Bytes of the segment a configured flow, all slots filled and used: beyond those of a segment for
 * few. */
static void memory_measure(struct decide_bench *bench)
{
	struct bench_limits limits = {.rate = RATE_OPEN, .hour_cap = 1000000, .day_cap = 1000000};
	uint32_t flows = 200000;
	struct bench_fixture fixture;
	uint64_t before;

	if (bench_open(&fixture, 16, TG_CLOCK_AUTO) < 0) {
		bench->failed = true;
		return;
	}
	before = bench_bytes(&fixture);
	bench_close(&fixture);
	if (bench_open(&fixture, flows, TG_CLOCK_AUTO) < 0) {
		bench->failed = true;
		return;
	}
	if (bench_fill_all(&fixture, &limits) < 0)
		bench->failed = true;
	else
		printf(bench->cases.json ? "{\"case\": \"memory\", \"bytes_per_flow\": %.1f}\n"
					 : "memory %.1f bytes a flow\n",
		       (double)(bench_bytes(&fixture) - before) / flows);
	bench_close(&fixture);
}

static void command_line_read(struct decide_bench *bench, int argc, char **argv)
{
	static const struct cli_option rows[] = {
		CASES_JSON(struct decide_bench),
		CASES_QUICK(struct decide_bench),
		{"scale", 0, NULL, "also what capacity planning asks for", CLI_FLAG,
		 offsetof(struct decide_bench, scale), 0, NULL},
		{"repeats", 0, "N", "measure each N times", CLI_COUNT,
		 offsetof(struct decide_bench, repeats), REPEATS_MAX, NULL},
		{0}};
	static const struct cli_syntax syntax = {
		.program = "decide",
		.arguments = "[CASE...]",
		.max = -1,
		.about = "Measures what a decision costs, beside what the machine can do at all. A "
			 "CASE may end in *. The top of the source describes the cases.",
		.options = rows,
	};

	bench->cases.count = options_read(&syntax, argc, argv, bench, &bench->cases.names);
	bench->count = bench->cases.quick ? 100000 : 400000;
	if (bench->repeats == 0)
		bench->repeats = bench->cases.quick ? 9 : 21;
}

int main(int argc, char **argv)
{
	struct decide_bench bench = {0};
	size_t count;

	command_line_read(&bench, argc, argv);
	const struct hot_case *hot = hot_cases(&count);

	for (size_t i = 0; i < count; i++)
		if (cases_wanted(&bench.cases, hot[i].name))
			hot_measure(&bench, &hot[i]);
	for (size_t i = 0; i < sizeof(keyed_cases) / sizeof(keyed_cases[0]); i++)
		if (cases_wanted(&bench.cases, keyed_cases[i].name) &&
		    (bench.scale || bench.cases.count || !keyed_cases[i].scale))
			keyed_measure(&bench, &keyed_cases[i]);
	if (cases_wanted(&bench.cases, "two_distinct"))
		together_measure(&bench, "two_distinct", 2, DISTINCT);
	if (cases_wanted(&bench.cases, "two_same"))
		together_measure(&bench, "two_same", 2, SAME);
	if (bench.scale || bench.cases.count)
		scale_workers(&bench);
	if (cases_wanted(&bench.cases, "memory"))
		memory_measure(&bench);
	return bench.failed;
}
