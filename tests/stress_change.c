/* SPDX-License-Identifier: MIT
 *
 * Limits that change while workers race: a cut grants no fresh burst, a raise does not leave the
 * flow blocked, no window holds more than the burst and the fastest rate in force, strict never
 * more than N.
 */
#include "tests/stress_workers.h"

#define WORKERS 7 /* and one that changes the limits */
#define NOW	FIXTURE_NOW
#define MAX	2000000

struct change_run {
	struct segment *segment;
	_Atomic uint64_t clock;
	_Atomic uint32_t stop;
	_Atomic uint32_t count;
	_Atomic uint64_t attempts;
	uint32_t burst;
	uint64_t interval[2];
	uint32_t changes;
	bool frozen;
	_Atomic uint64_t at[MAX];
};

static const struct tg_flow flow = {0, 1, 2, LAYOUT_NONE};
static _Atomic uint64_t *clock_of_run;

static uint64_t fresh(void)
{
	return atomic_load(clock_of_run);
}

static void change(struct change_run *run, uint32_t which)
{
	struct publish_limits limits =
		fixture_rate(run->interval[which], run->burst, run->burst, run->burst);

	publish_slot(run->segment, 0, &limits, atomic_load(&run->clock));
}

static void work(uint32_t index, void *arg)
{
	struct change_run *run = arg;
	uint64_t seed = index + 1;

	if (index == WORKERS) {
		for (uint32_t i = 0; i < run->changes; i++) {
			uint64_t before = atomic_load(&run->attempts);

			change(run, i % 2);
			/* So that each stretch sees some attempts. */
			while (atomic_load(&run->attempts) < before + 5)
				sched_yield();
			if (!run->frozen)
				atomic_fetch_add(&run->clock,
						 random_next(&seed) % (run->interval[1] / 2));
		}
		atomic_store(&run->stop, 1);
		return;
	}
	while (!atomic_load(&run->stop)) {
		uint64_t now = atomic_load(&run->clock);

		if (decide_admit(&run->segment->view, &flow, TG_BULK, 1, now).reason ==
		    TG_ADMITTED) {
			uint32_t noted = atomic_fetch_add(&run->count, 1);

			must(noted < MAX);
			atomic_store(&run->at[noted], now);
		}
		atomic_fetch_add(&run->attempts, 1);
		if (random_next(&seed) % 8 == 0)
			sched_yield();
	}
}

static struct change_run *run_new(uint64_t slow, uint64_t fast, uint32_t burst, uint32_t changes,
				  bool frozen)
{
	struct change_run *run = fixture_shared(sizeof(*run));

	run->segment = fixture_memory(4);
	segment_slot(run->segment, 0)->kind = SEGMENT_FLOW;
	run->interval[0] = slow;
	run->interval[1] = fast;
	run->burst = burst;
	run->changes = changes;
	run->frozen = frozen;
	atomic_store(&run->clock, NOW);
	clock_of_run = &run->clock;
	run->segment->clock = fresh;
	change(run, 1);
	return run;
}

/* The clock stands still: whatever changes, one burst passes, and once it went on all of it is
 * there. */
static void no_fresh_burst(bool processes)
{
	static const uint64_t pairs[][2] = {
		{UINT64_C(8) << 30, UINT64_C(1) << 30}, {HOUR, SECOND}, {MINUTE, MINUTE / 7}};

	for (int i = 0; i < 3; i++) {
		struct change_run *run = run_new(pairs[i][0], pairs[i][1], 1000, 3000, true);
		uint32_t after = 0;

		stress_run(processes, WORKERS + 1, work, run);
		/* However workers and changes are stopped in between: each charge is at the price
		 * of the state's own epoch, so the burst passes, and no more. */
		stress_expect(run->count <= 1000, "pair %d: %u of a burst of 1000", i, run->count);
		change(run, 1);
		segment_repair(run->segment, 0, 1, fresh());
		atomic_fetch_add(&run->clock,
				 1126 * gcra_interval(gcra_rate(pairs[i][1], 1000)) + 62 * SECOND);
		while (decide_admit(&run->segment->view, &flow, TG_BULK, 1, fresh()).reason ==
		       TG_ADMITTED)
			after++;
		stress_expect(after == 1000, "pair %d: after the raise %u", i, after);
		printf("  %s: %u of 1000 under %u changes\n", processes ? "processes" : "threads",
		       run->count, run->changes);
		munmap(run, sizeof(*run));
	}
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void windows_check(struct change_run *run, uint64_t fastest, uint32_t burst,
			  const char *what)
{
	uint32_t count = atomic_load(&run->count);

	qsort((void *)run->at, count, sizeof(run->at[0]), by_time);
	for (uint32_t from = 0; from < count; from++)
		for (uint32_t to = from + burst; to < count && to < from + burst + 300; to++) {
			uint64_t window = run->at[to] - run->at[from] + 1;

			stress_expect(to - from + 1 <= burst + (window + fastest - 1) / fastest - 1,
				      "%s: %u in %.2f intervals, burst %u", what, to - from + 1,
				      (double)window / (double)fastest, burst);
		}
}

static void windows(bool processes)
{
	struct change_run *run = run_new(10 * SECOND, SECOND, 20, 20000, false);

	stress_run(processes, WORKERS + 1, work, run);
	windows_check(run, gcra_interval(gcra_rate(SECOND, 1)), 20, "changing");
	stress_expect(run->count > 500, "%u", run->count);
	printf("  %s: %u over %.0f s\n", processes ? "processes" : "threads", run->count,
	       (double)(fresh() - NOW) / 1e9);
	munmap(run, sizeof(*run));
}

/* N a minute, strict: burst b means the interval minute / (N - b + 1). The burst of two settings is
 * one. */
static void strict(bool processes)
{
	uint64_t fast = (MINUTE + 50) / 51, slow = (MINUTE + 20) / 21;
	struct change_run *run = run_new(slow, fast, 10, 20000, false);
	uint32_t from = 0;

	stress_run(processes, WORKERS + 1, work, run);
	qsort((void *)run->at, run->count, sizeof(run->at[0]), by_time);
	for (uint32_t to = 0; to < run->count; to++) {
		while (run->at[to] - run->at[from] >= MINUTE)
			from++;
		stress_expect(to - from + 1 <= 60, "%u in a minute, not 60", to - from + 1);
	}
	munmap(run, sizeof(*run));
}

int main(void)
{
	for (uint32_t i = 0; i < stress_times(1, 30); i++)
		for (int mode = 0; mode < stress_modes(); mode++) {
			no_fresh_burst(mode);
			windows(mode);
			strict(mode);
		}
	return 0;
}
