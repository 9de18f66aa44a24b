/* SPDX-License-Identifier: MIT
 *
 * What a flow has sent before: remembered, forgotten, multiplied; by numbers of minutes, hours and
 * days.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "sidecar/base/random.h"
#include "sidecar/engine/baseline.h"

#define DAY_MINUTES 1440

static const struct baseline_policy twice = {.factor = 2000, .floor = {20, 500, 2000}};

static struct baseline_when at(uint32_t day, uint32_t minute)
{
	return (struct baseline_when){
		.minute = day * DAY_MINUTES + minute, .hour = day * 24 + minute / 60, .day = day};
}

/* So many messages in each of some minutes. */
static void send(struct baseline *b, uint32_t day, uint32_t from, uint32_t minutes, uint32_t count,
		 bool paced)
{
	for (uint32_t i = 0; i < minutes; i++) {
		struct baseline_when when = at(day, from + i);

		baseline_count(b, &when, count, paced);
	}
}

static bool near(double a, double b)
{
	return fabs(a - b) <= 0.002 * fmax(fabs(b), 1);
}

static void expect_peaks(const struct baseline *b, uint32_t day, double minute, double hour,
			 double whole)
{
	const struct baseline_when when = at(day, 0);
	const double wanted[] = {minute, hour, whole};

	for (int span = 0; span < BASELINE_SPANS; span++) {
		double peak = baseline_peak(b, (enum baseline_span)span, &when);

		cr_expect(near(peak, wanted[span]), "span %d: %g, wanted %g", span, peak,
			  wanted[span]);
	}
}

static void expect_caps(const struct baseline *b, uint32_t day, uint32_t minute, uint32_t hour,
			uint32_t whole)
{
	const struct baseline_when when = at(day, 0);
	const uint32_t wanted[] = {minute, hour, whole};
	uint32_t caps[BASELINE_SPANS];

	cr_assert(baseline_caps(b, &twice, &when, caps));
	for (int span = 0; span < BASELINE_SPANS; span++)
		cr_expect(near(caps[span], wanted[span]), "span %d: %u, wanted %u", span,
			  caps[span], wanted[span]);
}

Test(baseline, of_a_flow_without_history_is_the_floor)
{
	struct baseline b = {.day = 0};

	expect_caps(NULL, 20000, 20, 500, 2000);
	expect_caps(&b, 20000, 20, 500, 2000);
}

Test(baseline, that_is_off_caps_nothing)
{
	const struct baseline_policy off = {.factor = 0, .floor = {20, 500, 2000}};
	const struct baseline_when when = at(20000, 0);
	uint32_t caps[BASELINE_SPANS] = {1, 2, 3};

	cr_expect_not(baseline_caps(NULL, &off, &when, caps));
	cr_expect_eq(caps[BASELINE_DAY], 3, "and says nothing");
}

Test(baseline, takes_today_in_when_it_is_over)
{
	struct baseline b = {.day = 0};
	struct baseline_when tomorrow = at(20001, 0);

	send(&b, 20000, 600, 60, 100, false);
	expect_caps(&b, 20000, 20, 500, 2000);
	expect_peaks(&b, 20001, 100, 6000, 6000);
	expect_caps(&b, 20001, 200, 12000, 12000);
	cr_expect(baseline_count(&b, &tomorrow, 1, false), "a new day is told");
	cr_expect_not(baseline_count(&b, &tomorrow, 1, false), "once");
	expect_peaks(&b, 20001, 100, 6000, 6000);
}

Test(baseline, forgets_half_in_thirty_days)
{
	struct baseline b = {.day = 0};

	send(&b, 20000, 600, 60, 100, false);
	expect_peaks(&b, 20031, 50, 3000, 3000);
	expect_caps(&b, 20031, 100, 6000, 6000);
	expect_caps(&b, 20400, 20, 500, 2000);
}

Test(baseline, never_holds_back_who_sends_the_same_once_a_month)
{
	struct baseline b = {.day = 0};
	uint32_t caps[BASELINE_SPANS];

	send(&b, 20000, 0, 500, 40, false);
	for (uint32_t month = 1; month < 24; month++) {
		const struct baseline_when when = at(20000 + 30 * month, 0);

		baseline_caps(&b, &twice, &when, caps);
		cr_expect_geq(caps[BASELINE_DAY], 20000, "month %u", month);
		cr_expect_geq(caps[BASELINE_MINUTE], 40, "month %u", month);
		send(&b, when.day, 0, 500, 40, false);
	}
}

Test(baseline, fades_alike_day_by_day_and_at_once)
{
	struct baseline daily = {.day = 0}, idle;

	send(&daily, 20000, 600, 60, 1000, false);
	idle = daily;
	for (uint32_t day = 20001; day < 20060; day++)
		send(&daily, day, 0, 1, 1, false);
	for (int span = 0; span < BASELINE_SPANS; span++) {
		const struct baseline_when when = at(20060, 0);
		double a = baseline_peak(&daily, (enum baseline_span)span, &when),
		       b = baseline_peak(&idle, (enum baseline_span)span, &when);

		cr_expect(fabs(a - b) < 0.02 * b, "span %d: %g and %g", span, a, b);
	}
}

Test(baseline, does_not_grow_by_minutes_that_were_paced)
{
	struct baseline b = {.day = 0};

	send(&b, 20000, 0, 1, 18, false);
	send(&b, 20000, 60, 60, 40, true);
	expect_peaks(&b, 20001, 18, 18, 2418);
	/* The day's mail may be sent in eight hours. */
	expect_caps(&b, 20001, 36, 605, 4836);
}

Test(baseline, of_a_queue_that_is_always_full_grows_by_the_factor_a_day)
{
	struct baseline b = {.day = 0};
	uint32_t caps[BASELINE_SPANS], before = 0;

	for (uint32_t day = 20000; day < 20006; day++) {
		const struct baseline_when when = at(day, 0);
		struct baseline_when evening = at(day, 1400);

		baseline_caps(&b, &twice, &when, caps);
		if (before)
			cr_expect(near(caps[BASELINE_DAY], 2.0 * before), "day %u: %u after %u",
				  day, caps[BASELINE_DAY], before);
		before = caps[BASELINE_DAY];
		baseline_count(&b, &evening, before, true);
	}
	cr_expect_eq(before, 64000);
}

Test(baseline, of_the_same_batch_again_and_again_stays_where_it_is)
{
	struct baseline b = {.day = 0};
	struct baseline_when when = at(20000, 0);
	uint32_t caps[BASELINE_SPANS];

	baseline_raise(&b, &when, (double[]){0, 0, 9000});
	for (uint32_t day = 20000; day < 20060; day += 2) {
		uint32_t left = 9000, minute = 540;

		when = at(day, 0);
		baseline_caps(&b, &twice, &when, caps);
		cr_expect_leq(caps[BASELINE_MINUTE], 38, "day %u: %u", day, caps[BASELINE_MINUTE]);
		for (; left >= caps[BASELINE_MINUTE]; left -= caps[BASELINE_MINUTE])
			send(&b, day, minute++, 1, caps[BASELINE_MINUTE], true);
		send(&b, day, minute, 1, left, false);
		cr_expect_lt(minute, 1440, "it is through on its day");
	}
}

Test(baseline, is_raised_by_what_somebody_says_and_never_lowered)
{
	struct baseline b = {.day = 0};
	const struct baseline_when when = at(20000, 0);

	baseline_raise(&b, &when, (double[]){30, 1000, 9000});
	expect_peaks(&b, 20000, 30, 1000, 9000);
	baseline_raise(&b, &when, (double[]){10, 2000, 0});
	expect_peaks(&b, 20000, 30, 2000, 9000);
	expect_caps(&b, 20000, 60, 4000, 18000);
}

Test(baseline, of_two_flows_is_the_larger_of_each)
{
	struct baseline a = {.day = 0}, b = {.day = 0};
	const struct baseline_when early = at(20000, 0), late = at(20030, 0);

	baseline_raise(&a, &early, (double[]){100, 1000, 40000});
	baseline_raise(&b, &late, (double[]){80, 300, 9000});
	send(&b, 20030, 0, 1, 7, false);
	baseline_merge(&a, &b, &late);
	expect_peaks(&a, 20030, 80, 500, 20000);
	cr_expect_eq(a.count[BASELINE_DAY], 7, "today's count goes with it");
}

Test(baseline, survives_a_clock_that_is_set_back)
{
	struct baseline b = {.day = 0};

	send(&b, 20000, 0, 10, 50, false);
	send(&b, 20010, 0, 10, 50, false);
	send(&b, 20005, 0, 10, 1, false);
	expect_peaks(&b, 20005, 40.6, 406, 406);
	cr_expect_eq(b.count[BASELINE_DAY], 10, "what belongs to no day is dropped");
	expect_peaks(&b, 20006, 39.7, 397, 397);
}

static bool within(double value, double most)
{
	return value <= most * 1.002 && value >= most * 0.9; /* 8 bits are kept of each */
}

Test(baseline, is_there_again_when_a_clock_that_jumped_comes_back)
{
	static const struct {
		uint32_t ahead, days; /* how far, and for how many days it stays so */
		uint32_t lost;	      /* by how many days it comes back beside where it was */
	} rows[] = {{3, 1, 0},	 {30, 1, 0},   {30, 3, 1},   {126, 1, 2},  {127, 1, 0},
		    {365, 1, 0}, {365, 20, 3}, {4000, 2, 0}, {30000, 1, 0}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct baseline b = {.day = 0};
		struct baseline_when when;
		uint32_t caps[BASELINE_SPANS];

		send(&b, 20000, 0, 60, 1000, false);
		send(&b, 20001, 0, 1, 1, false);
		for (uint32_t day = 0; day < rows[i].days; day++)
			send(&b, 20001 + rows[i].ahead + day, 0, 1, 1, false);
		when = at(20001 + rows[i].ahead + rows[i].days, 0);
		baseline_caps(&b, &twice, &when, caps);
		if (rows[i].ahead >= 365)
			cr_expect_eq(caps[BASELINE_DAY], twice.floor[BASELINE_DAY],
				     "meanwhile it is careful");
		send(&b, 20001 + rows[i].lost, 60, 1, 1, false);
		when = at(20001 + rows[i].lost, 61);
		cr_expect(within(baseline_peak(&b, BASELINE_MINUTE, &when), 1000), "row %zu: %g", i,
			  baseline_peak(&b, BASELINE_MINUTE, &when));
		cr_expect(within(baseline_peak(&b, BASELINE_DAY, &when), 60000), "row %zu: %g", i,
			  baseline_peak(&b, BASELINE_DAY, &when));
	}
}

Test(baseline, does_not_fade_when_a_clock_that_was_set_back_is_put_right)
{
	static const uint32_t back[] = {3, 10, 126, 127, 365, 20000};

	for (size_t i = 0; i < sizeof(back) / sizeof(back[0]); i++) {
		struct baseline b = {.day = 0};

		send(&b, 20000, 0, 60, 1000, false);
		send(&b, 20001, 0, 1, 1, false);
		send(&b, 20001 - back[i], 0, 1, 1, false);
		send(&b, 20001, 0, 1, 1, false);
		expect_peaks(&b, 20001, 1000, 60000, 60000);
		/* And from then on as ever. */
		send(&b, 20031, 0, 1, 1, false);
		expect_peaks(&b, 20031, 500, 30000, 30000);
	}
}

Test(baseline, of_a_clock_that_came_back_in_part_stays_faded)
{
	struct baseline b = {.day = 0};

	send(&b, 20000, 0, 60, 1000, false);
	send(&b, 20061, 0, 1, 1, false);
	send(&b, 20041, 0, 1, 1, false);
	expect_peaks(&b, 20041, 250, 15000, 15000);
	send(&b, 20001, 0, 1, 1, false);
	const struct baseline_when when = at(20001, 1);

	cr_expect(within(baseline_peak(&b, BASELINE_MINUTE, &when), 1000));
}

Test(baseline, counts_up_to_the_largest_number_and_caps_below_it)
{
	struct baseline b = {.day = 0};
	struct baseline_when when = at(20000, 0);
	uint32_t caps[BASELINE_SPANS];

	baseline_count(&b, &when, UINT32_MAX - 1, false);
	baseline_count(&b, &when, UINT32_MAX - 1, false);
	cr_expect_eq(b.count[BASELINE_DAY], UINT32_MAX);
	when = at(20001, 0);
	baseline_caps(&b, &twice, &when, caps);
	cr_expect_eq(caps[BASELINE_DAY], UINT32_MAX - 2, "the largest number means no cap");
}

Test(baseline, that_says_no_more_than_the_floor_need_not_be_kept)
{
	static const struct {
		double peaks[BASELINE_SPANS];
		uint32_t today;
		bool plain;
	} rows[] = {
		{{0, 0, 0}, 0, true},	 {{10, 250, 1000}, 0, true}, {{10.2, 0, 0}, 0, false},
		{{0, 252, 0}, 0, false}, {{0, 0, 1004}, 0, false},   {{0, 0, 0}, 9, true},
		{{0, 0, 0}, 42, false}, /* 24 of these a day are more than half the floor */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct baseline b = {.day = 0};
		struct baseline_when when = at(20000, 0);

		baseline_raise(&b, &when, rows[i].peaks);
		if (rows[i].today)
			baseline_count(&b, &when, rows[i].today, true);
		when = at(20000, 70);
		cr_expect_eq(baseline_plain(&b, &twice, &when), rows[i].plain, "row %zu", i);
	}
}

Test(baseline, of_any_bytes_is_one)
{
	uint32_t caps[BASELINE_SPANS];
	uint64_t seed = 1;
	struct baseline b;

	for (int round = 0; round < 2000; round++) {
		struct baseline_when when;
		uint32_t words[8];

		for (int i = 0; i < 8; i++)
			words[i] = (uint32_t)random_next(&seed);
		memcpy(&b, words, sizeof(b));
		when = (struct baseline_when){words[1] >> 3, words[2] >> 3, words[3] >> 3};
		cr_assert(baseline_caps(&b, &twice, &when, caps));
		for (int span = 0; span < BASELINE_SPANS; span++)
			cr_assert(caps[span] >= twice.floor[span] && caps[span] < UINT32_MAX - 1);
		baseline_count(&b, &when, words[4], words[5] & 1);
	}
}
