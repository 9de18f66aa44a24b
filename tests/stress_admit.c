/* SPDX-License-Identifier: MIT
 *
 * Eight workers race for N under a frozen clock, with ten times as many attempts: exactly N pass,
 * by rate, hour, day, at a parent, by batch; and where two limits count at once, N less what was
 * forfeited.
 */
#include "tests/stress_workers.h"

#define WORKERS 8
#define N	3000
#define NOW	FIXTURE_NOW
#define T	(UINT64_C(1) << 40) /* 18 minutes */

struct race {
	struct segment *segment;
	struct tg_flow flow[WORKERS];
	const struct fixture *fixture;
	uint32_t traffic_classes; /* by worker, in turn */
	uint32_t max;		  /* messages a request, drawn from 1 */
	_Atomic uint64_t admitted;
	_Atomic uint64_t
		estimates; /* refusals that say that others were faster: each may have forfeited */
};

static void ask(uint32_t index, void *arg)
{
	struct race *race = arg;
	enum tg_class traffic = (enum tg_class)(TG_BULK - index % race->traffic_classes);
	uint64_t seed = index + 1, admitted = 0, estimates = 0;

	for (uint32_t i = 0; i < 10 * N / WORKERS; i++) {
		uint32_t n = race->max > 1 ? (uint32_t)(random_next(&seed) % race->max) + 1 : 1;
		struct tg_verdict verdict =
			decide_admit(&race->segment->view, &race->flow[index], traffic, n, NOW);

		admitted += verdict.reason == TG_ADMITTED ? n : 0;
		estimates += verdict.reason != TG_ADMITTED && (verdict.flags & TG_ESTIMATE) ? n : 0;
	}
	atomic_fetch_add(&race->admitted, admitted);
	atomic_fetch_add(&race->estimates, estimates);
}

/* One flow in slot 0 for all, or slot 8 + i for worker i; parents 1 and 2. */
static struct race *race_new(bool one_flow)
{
	struct race *race = fixture_shared(sizeof(*race));

	race->segment = fixture_memory(32);
	race->traffic_classes = 1;
	race->max = 1;
	for (uint32_t i = 0; i < WORKERS; i++)
		race->flow[i] = (struct tg_flow){one_flow ? 0 : 8 + i, 1, 2, LAYOUT_NONE};
	return race;
}

static void limits_set(struct race *race, uint32_t slot, uint32_t rate, uint32_t hour, uint32_t day,
		       uint32_t flags)
{
	struct publish_limits limits;

	publish_unlimited(&limits);
	if (rate)
		limits = fixture_rate(T, rate, rate, rate);
	for (int c = 0; c < TG_CLASSES; c++) {
		limits.hour_cap[c] = hour ? hour : PUBLISH_NO_CAP;
		limits.day_cap[c] = day ? day : PUBLISH_NO_CAP;
	}
	limits.flags = flags;
	publish_slot(race->segment, slot, &limits, NOW);
}

/* `exact`: one limit closes, or the one that closes is taken last, so nothing of it is forfeited.
 */
static void race_run(struct race *race, bool processes, const char *what, bool exact)
{
	uint64_t admitted, estimates;

	stress_run(processes, WORKERS, ask, race);
	admitted = atomic_load(&race->admitted);
	estimates = atomic_load(&race->estimates);
	stress_expect(admitted <= N, "%s: %lu of %u", what, admitted, N);
	stress_expect(admitted + (exact ? race->max - 1 : race->max - 1 + estimates) >= N,
		      "%s: %lu of %u, %lu estimates", what, admitted, N, estimates);
	/* Now that nobody races, what is left can be had to the last one, and no more. */
	for (uint32_t i = 0; i < N; i++)
		admitted += decide_admit(&race->segment->view, &race->flow[0], TG_BULK, 1, NOW)
				    .reason == TG_ADMITTED;
	stress_expect(admitted <= N && admitted + (exact ? 0 : estimates) >= N,
		      "%s: %lu in the end", what, admitted);
	printf("  %-9s %-36s %lu of %u, %lu estimates\n", processes ? "processes" : "threads", what,
	       admitted, N, estimates);
}

static void one_limit(bool processes)
{
	struct race *race = race_new(true);

	limits_set(race, 0, N, 0, 0, 0);
	race_run(race, processes, "rate", true);
	race = race_new(true);
	race->max = 4;
	limits_set(race, 0, N, 0, 0, 0);
	race_run(race, processes, "rate, one to four at once", true);
	race = race_new(true);
	limits_set(race, 0, 0, N, 0, 0);
	race_run(race, processes, "hour", true);
	race = race_new(true);
	limits_set(race, 0, 0, 0, N, 0);
	race_run(race, processes, "day", true);
	race = race_new(true);
	limits_set(race, 0, 2 * N, 2 * N, N, 0);
	race_run(race, processes, "day, below rate and hour", true);
	race = race_new(true);
	limits_set(race, 0, 2 * N, 0, 0, LAYOUT_SOURCE);
	limits_set(race, 1, N, 0, 0, 0);
	race_run(race, processes, "source, below the flow's rate", true);
	race = race_new(false);
	for (uint32_t i = 0; i < WORKERS; i++)
		limits_set(race, 8 + i, N, 0, 0, LAYOUT_SOURCE | LAYOUT_DESTINATION);
	limits_set(race, 1, 2 * N, 0, 0, 0);
	limits_set(race, 2, 2 * N, N, 0, 0);
	race_run(race, processes, "destination's hour over 8 flows", true);
}

static void two_limits(bool processes)
{
	struct race *race = race_new(true);

	limits_set(race, 0, N, N, 0, 0);
	race_run(race, processes, "rate and hour", false);
	race = race_new(true);
	limits_set(race, 0, N, N, N, 0);
	race_run(race, processes, "rate, hour and day", false);
	race = race_new(true);
	limits_set(race, 0, N, 0, 0, LAYOUT_SOURCE | LAYOUT_DESTINATION);
	limits_set(race, 1, N, 0, 0, 0);
	limits_set(race, 2, N, 0, 0, 0);
	race_run(race, processes, "rates of flow, source, destination", false);
	race = race_new(true);
	race->max = 3;
	limits_set(race, 0, N, N, 0, LAYOUT_SOURCE);
	limits_set(race, 1, N, N, N, 0);
	race_run(race, processes, "rates, hours and a day of two levels", false);
	race = race_new(false);
	for (uint32_t i = 0; i < WORKERS; i++)
		limits_set(race, 8 + i, N / 4, 0, 0, LAYOUT_SOURCE);
	limits_set(race, 1, N, 0, 0, 0);
	race_run(race, processes, "8 flows of a quarter at one source", false);
}

/* ---- by batch, under the real clock: the interval is so long that no more comes in ----------- */

static void ask_batch(uint32_t index, void *arg)
{
	struct race *race = arg;
	struct tg *tg = fixture_attach(race->fixture);
	struct tg_request requests[40];
	struct tg_verdict verdicts[40];
	struct tg_destination destination;
	struct tg_source source;
	uint64_t admitted = 0;

	must(tg_source(tg, "192.0.2.1", &source) == 0 &&
	     tg_destination(tg, "provider", &destination) == 0);
	for (int i = 0; i < 40; i++)
		requests[i] = (struct tg_request){&source, &destination, TG_BULK, 1};
	for (uint32_t done = 0; done < 10 * N / WORKERS;) {
		size_t count = 1 + (index + done) % 40;

		tg_admit_batch(tg, requests, verdicts, count);
		for (size_t i = 0; i < count; i++)
			admitted += verdicts[i].reason == TG_ADMITTED;
		done += (uint32_t)count;
	}
	atomic_fetch_add(&race->admitted, admitted);
	tg_detach(tg);
}

static void batches(bool processes)
{
	struct publish_limits limits = fixture_rate(10 * HOUR, N, N, N);
	struct race *race = race_new(true);
	struct fixture f;

	fixture_open(&f);
	race->fixture = &f;
	fixture_flow(f.segment, "192.0.2.1", "provider", &limits, 0);
	stress_run(processes, WORKERS, ask_batch, race);
	stress_expect(atomic_load(&race->admitted) == N, "%lu by batches",
		      atomic_load(&race->admitted));
	fixture_end(&f);
}

int main(void)
{
	for (uint32_t i = 0; i < stress_times(2, 40); i++)
		for (int mode = 0; mode < stress_modes(); mode++) {
			one_limit(mode);
			two_limits(mode);
			batches(mode);
		}
	return 0;
}
