/* SPDX-License-Identifier: MIT
 *
 * The rate arithmetic: what passes, when, and never more than burst + w / T in a window of length
 * w.
 */
#include <criterion/criterion.h>

#include "shm/gcra.h"
#include "tests/segment_fixture.h"

/* One limiter over plain numbers: what a worker does, without the compare-and-swap. */
static bool gcra_try(uint64_t *tat, uint64_t rate, uint32_t n, uint64_t now)
{
	if (n > gcra_burst(rate) ||
	    gcra_earliest(*tat, gcra_interval(rate), gcra_burst(rate), n) > now)
		return false;
	*tat = gcra_charge(*tat, now, gcra_interval(rate), n);
	return true;
}

Test(gcra, passes_exactly_the_burst_at_one_instant)
{
	static const uint32_t bursts[] = {1, 2, 3, 10, 1000};

	for (size_t i = 0; i < sizeof(bursts) / sizeof(bursts[0]); i++) {
		uint64_t rate = gcra_rate(6 * SECOND, bursts[i]), tat = 0;
		uint32_t passed = 0;

		for (uint32_t k = 0; k < 3 * bursts[i]; k++)
			passed += gcra_try(&tat, rate, 1, FIXTURE_NOW);
		cr_expect_eq(passed, bursts[i]);
	}
}

Test(gcra, says_the_exact_time_of_the_next_one)
{
	uint64_t rate = gcra_rate(6 * SECOND, 5), tat = 0;

	while (gcra_try(&tat, rate, 1, FIXTURE_NOW))
		;
	for (int i = 0; i < 100; i++) {
		uint64_t at = gcra_earliest(tat, gcra_interval(rate), 5, 1);

		cr_assert_eq(at, FIXTURE_NOW + (uint64_t)(i + 1) * gcra_interval(rate));
		cr_assert(!gcra_try(&tat, rate, 1, at - 1));
		cr_assert(gcra_try(&tat, rate, 1, at));
	}
}

Test(gcra, packs_an_interval_rounded_up_and_never_by_much)
{
	uint64_t seed = 1;

	for (int i = 0; i < 200000; i++) {
		uint64_t wanted =
			(random_next(&seed) >> (random_next(&seed) % 60)) % GCRA_SPAN_MAX + 1;
		uint32_t burst = (uint32_t)(random_next(&seed) >> (32 + random_next(&seed) % 32));
		uint64_t rate = gcra_rate(wanted, burst);
		uint64_t got = gcra_interval(rate);

		cr_assert(got >= wanted && got - wanted <= wanted >> 25, "%lu as %lu", wanted, got);
		cr_assert(gcra_burst(rate) <= burst);
		cr_assert((unsigned __int128)gcra_burst(rate) * got <= GCRA_SPAN_MAX);
		cr_assert(gcra_burst(rate) == burst || burst > GCRA_BURST_MAX ||
			  (unsigned __int128)burst * got > GCRA_SPAN_MAX);
	}
}

Test(gcra, packs_the_edges)
{
	static const struct {
		uint64_t interval, expect;
	} rows[] = {
		{1, 1},
		{(1 << 26) - 1, (1 << 26) - 1},
		{1 << 26, 1 << 26},
		{(1 << 26) + 1, (1 << 26) + 2},
		{(UINT64_C(1) << 27) - 1, UINT64_C(1) << 27},
		{GCRA_SPAN_MAX, GCRA_SPAN_MAX},
		{UINT64_MAX, GCRA_SPAN_MAX},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(gcra_interval(gcra_rate(rows[i].interval, 1)), rows[i].expect,
			     "row %zu", i);
	cr_expect_eq(gcra_interval(gcra_rate(0, 7)), 0);
	cr_expect_neq(gcra_rate(0, 7), 0, "unlimited is not \"never set\"");
	cr_expect_neq(gcra_rate(GCRA_SPAN_MAX, 0), 0);
}

/* How many of `count` sorted times lie in the fullest half-open window of that length. */
static uint32_t fullest(const uint64_t *times, uint32_t count, uint64_t window)
{
	uint32_t max = 0;

	for (uint32_t from = 0, to = 0; from < count; from++) {
		while (to < count && times[to] - times[from] < window)
			to++;
		max = to - from > max ? to - from : max;
	}
	return max;
}

Test(gcra, never_holds_more_than_the_bound_in_any_window)
{
	uint64_t seed = 7;

	for (int run = 0; run < 300; run++) {
		static uint64_t times[20000];
		uint64_t interval = random_next(&seed) % (10 * SECOND) + 1;
		uint32_t burst = (uint32_t)(random_next(&seed) % 40 + 1), count = 0;
		uint64_t rate = gcra_rate(interval, burst), now = FIXTURE_NOW, tat = 0;

		interval = gcra_interval(rate);
		for (int i = 0; i < 2000; i++) {
			uint32_t n = (uint32_t)(random_next(&seed) % 3 + 1);

			/* Mostly in a hurry, now and then a pause that lets the bucket fill. */
			now += random_next(&seed) % (i % 50 ? interval : interval * burst * 2);
			for (uint32_t k = 0; gcra_try(&tat, rate, n, now) && k < 1; k++)
				for (uint32_t m = 0; m < n && count < 20000; m++)
					times[count++] = now;
		}
		for (int i = 0; i < 20; i++) {
			uint64_t window = random_next(&seed) % (interval * 100) + 1;
			uint64_t bound = burst + (window + interval - 1) / interval - 1;

			cr_assert(fullest(times, count, window) <= bound);
		}
	}
}

Test(gcra, strict_never_holds_more_than_n_in_any_period)
{
	uint64_t seed = 3;

	for (int run = 0; run < 300; run++) {
		static uint64_t times[20000];
		uint32_t max = (uint32_t)(random_next(&seed) % 50 + 1), count = 0;
		uint32_t burst = (uint32_t)(random_next(&seed) % max + 1);
		uint64_t period = MINUTE, now = FIXTURE_NOW, tat = 0;
		uint64_t rate = gcra_rate((period + max - burst) / (max - burst + 1), burst);

		for (int i = 0; i < 5000; i++) {
			now += random_next(&seed) % (i % 20 ? SECOND / 2 : 2 * period);
			while (gcra_try(&tat, rate, 1, now) && count < 20000)
				times[count++] = now;
		}
		cr_assert(fullest(times, count, period) <= max, "N %u, burst %u", max, burst);
	}
}

Test(gcra, a_clock_that_goes_backwards_grants_nothing)
{
	uint64_t rate = gcra_rate(SECOND, 4), tat = 0;
	uint32_t passed = 0;

	for (uint64_t i = 0; i < 1000; i++)
		passed += gcra_try(&tat, rate, 1, FIXTURE_NOW - i * SECOND);
	cr_expect(passed >= 1 && passed <= 4);
}

Test(gcra, survives_the_largest_states)
{
	static const uint64_t states[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63,
					  (UINT64_C(1) << 62) + GCRA_SPAN_MAX};
	uint64_t rate = gcra_rate(GCRA_SPAN_MAX, 1);

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		uint64_t tat = states[i];

		cr_expect(!gcra_try(&tat, rate, 1, FIXTURE_NOW));
		cr_expect_eq(gcra_clamp(states[i], FIXTURE_NOW, MINUTE), FIXTURE_NOW + MINUTE);
	}
	/* The largest sum that can be: a clock of 146 years, the longest debt. */
	cr_expect_eq(gcra_charge(UINT64_C(1) << 62, 0, GCRA_SPAN_MAX, 1),
		     (UINT64_C(1) << 62) + GCRA_SPAN_MAX);
	cr_expect_eq(gcra_clamp(FIXTURE_NOW - 5, FIXTURE_NOW, MINUTE), FIXTURE_NOW - 5);
	cr_expect_eq(gcra_clamp(FIXTURE_NOW + MINUTE, FIXTURE_NOW, MINUTE), FIXTURE_NOW + MINUTE);
}

Test(gcra, rescaling_keeps_the_debt_in_messages_and_rounds_up)
{
	uint64_t seed = 5;

	for (int i = 0; i < 100000; i++) {
		uint64_t from = random_next(&seed) % HOUR + 1, to = random_next(&seed) % HOUR + 1;
		uint64_t messages = random_next(&seed) % 1000;
		uint64_t tat = FIXTURE_NOW + messages * from;
		uint64_t next = gcra_rescale(tat, FIXTURE_NOW, from, to);

		cr_assert_eq(next, FIXTURE_NOW + messages * to);
		tat += random_next(&seed) % from;
		next = gcra_rescale(tat, FIXTURE_NOW, from, to);
		cr_assert((unsigned __int128)(next - FIXTURE_NOW) * from >=
			  (unsigned __int128)(tat - FIXTURE_NOW) * to);
		cr_assert(next - FIXTURE_NOW <= (messages + 1) * to);
	}
	cr_expect_eq(gcra_rescale(FIXTURE_NOW - 1, FIXTURE_NOW, 1, 1000), FIXTURE_NOW - 1,
		     "an idle state stays idle");
	cr_expect_eq(gcra_rescale(FIXTURE_NOW + MINUTE, FIXTURE_NOW, SECOND, 0), FIXTURE_NOW,
		     "unlimited owes nothing");
	cr_expect_eq(gcra_rescale(UINT64_MAX, FIXTURE_NOW, 1, GCRA_SPAN_MAX),
		     FIXTURE_NOW + GCRA_SPAN_MAX);
}
