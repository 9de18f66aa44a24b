/* SPDX-License-Identifier: MIT
 *
 * Waiters leave one by one: racing reservations have slots of their own, evenly apart; and with all
 * classes reserving, asking and cancelling while time goes on, no window ever holds more than the
 * rate allows.
 */
#include "tests/stress_workers.h"

#define WORKERS 8
#define NOW	FIXTURE_NOW
#define T	(UINT64_C(1) << 28) /* about 0.27 s */
#define BURST	5
#define MAX	400000

struct reserve_departure {
	_Atomic uint64_t at;
	_Atomic uint32_t cancelled;
};

struct reserve_run {
	struct segment *segment;
	_Atomic uint64_t clock;
	_Atomic uint32_t count;
	_Atomic uint32_t refused;
	struct reserve_departure list[MAX];
};

static const struct tg_flow flow = {0, 1, 2, LAYOUT_NONE};

static uint32_t note(struct reserve_run *run, uint64_t at)
{
	uint32_t index = atomic_fetch_add(&run->count, 1);

	must(index < MAX);
	atomic_store(&run->list[index].at, at);
	return index;
}

static void reserve_all(uint32_t index, void *arg)
{
	struct reserve_run *run = arg;
	struct decide_taken left;

	for (;;) {
		struct tg_verdict verdict = decide_reserve(&run->segment->view, &flow, TG_BULK, 1,
							   NOW, NOW + MINUTE, &left);

		if (verdict.reason == TG_ADMITTED)
			note(run, verdict.at_ns);
		else if (!(verdict.flags & TG_ESTIMATE))
			return;
	}
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = ((const struct reserve_departure *)a)->at,
		 y = ((const struct reserve_departure *)b)->at;

	return (x > y) - (x < y);
}

static struct reserve_run *run_new(uint32_t transactional, uint32_t engaged, uint32_t bulk)
{
	struct reserve_run *run = fixture_shared(sizeof(*run));
	struct publish_limits limits = fixture_rate(T, transactional, engaged, bulk);

	run->segment = fixture_memory(4);
	atomic_store(&run->clock, NOW);
	publish_slot(run->segment, 0, &limits, NOW);
	return run;
}

static void one_by_one(bool processes)
{
	struct reserve_run *run = run_new(BURST, BURST, BURST);
	uint32_t expected = BURST + (uint32_t)(MINUTE / T);

	stress_run(processes, WORKERS, reserve_all, run);
	stress_expect(atomic_load(&run->count) == expected, "%u slots, not %u", run->count,
		      expected);
	qsort(run->list, expected, sizeof(run->list[0]), by_time);
	for (uint32_t i = 0; i < expected; i++)
		stress_expect(run->list[i].at == (i < BURST ? NOW : NOW + (i - BURST + 1) * T),
			      "slot %u at %lu", i, run->list[i].at - NOW);
}

static void mix(uint32_t index, void *arg)
{
	struct reserve_run *run = arg;
	uint64_t seed = index * 77 + 1;

	for (uint32_t i = 0; i < 12000; i++) {
		uint64_t now = atomic_load(&run->clock);
		struct decide_taken left = {0};
		enum tg_class traffic = (enum tg_class)(random_next(&seed) % TG_CLASSES);
		bool ask = random_next(&seed) % 2;
		struct tg_verdict verdict =
			ask ? decide_admit(&run->segment->view, &flow, traffic, 1, now)
			    : decide_reserve(&run->segment->view, &flow, traffic, 1, now,
					     now + random_next(&seed) % MINUTE, &left);

		if (verdict.reason == TG_ADMITTED) {
			uint32_t noted = note(run, verdict.at_ns);

			if (!ask && verdict.at_ns > now && random_next(&seed) % 8 == 0) {
				atomic_store(&run->list[noted].cancelled, 1);
				decide_cancel(&run->segment->view, &flow, traffic, 1, verdict.at_ns,
					      &left);
			}
		} else
			atomic_fetch_add(&run->refused, 1);
		if (random_next(&seed) % 4 == 0)
			atomic_fetch_add(&run->clock, random_next(&seed) % T);
		if (random_next(&seed) % 4000 == 0)
			atomic_fetch_add(&run->clock, 2 * MINUTE);
	}
}

static void windows_check(struct reserve_run *run, uint32_t burst)
{
	uint32_t count = atomic_load(&run->count), kept = 0;

	for (uint32_t i = 0; i < count; i++)
		if (!run->list[i].cancelled)
			atomic_store(&run->list[kept++].at, run->list[i].at);
	qsort(run->list, kept, sizeof(run->list[0]), by_time);
	for (uint32_t from = 0; from < kept; from++)
		for (uint32_t to = from + burst; to < kept && to < from + 600; to++) {
			uint64_t window = run->list[to].at - run->list[from].at + 1;

			stress_expect(to - from + 1 <= burst + (window + T - 1) / T - 1,
				      "%u in %.1f intervals, burst %u", to - from + 1,
				      (double)window / (double)T, burst);
		}
	printf("  %u left, %u refused\n", kept, run->refused);
}

static void mixed(bool processes)
{
	static const uint32_t bursts[][3] = {{12, 7, 3}, {5, 5, 5}, {20, 2, 1}};

	for (int i = 0; i < 3; i++) {
		struct reserve_run *run = run_new(bursts[i][0], bursts[i][1], bursts[i][2]);

		stress_run(processes, WORKERS, mix, run);
		windows_check(run, bursts[i][0]);
		munmap(run, sizeof(*run));
	}
}

int main(void)
{
	for (uint32_t i = 0; i < stress_times(stress_modes() == 1 ? 2 : 6, 200); i++)
		for (int mode = 0; mode < stress_modes(); mode++) {
			one_by_one(mode);
			mixed(mode);
		}
	return 0;
}
