/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "sidecar/segment/minutes.h"

#define SLOTS 4

static struct minutes *ring(void)
{
	struct minutes *minutes = calloc(1, minutes_bytes(SLOTS));

	cr_assert_not_null(minutes);
	return minutes;
}

static void add(struct minutes *minutes, uint64_t minute, uint64_t delivered, uint64_t deferred,
		uint64_t bounced)
{
	struct minutes_sum more = {delivered, deferred, bounced};

	minutes_add(minutes, SLOTS, minute, &more);
}

Test(minutes, are_summed_as_far_as_the_ring_reaches)
{
	struct minutes *m = ring();
	static const struct {
		uint64_t last;
		uint32_t count;
		uint64_t delivered;
	} rows[] = {{103, 1, 8},   {103, 2, 12}, {103, 3, 12}, {103, 4, 14}, {103, 60, 14},
		    {104, 60, 14}, {102, 60, 6}, {200, 60, 0}, {0, 60, 0}};

	add(m, 99, 1, 0, 0);
	add(m, 100, 2, 1, 0);
	add(m, 102, 4, 0, 3);
	add(m, 103, 8, 0, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(minutes_sum(m, SLOTS, rows[i].last, rows[i].count).delivered,
			     rows[i].delivered, "row %zu", i);
	cr_expect_eq(minutes_sum(m, SLOTS, 103, 4).deferred, 1);
	cr_expect_eq(minutes_sum(m, SLOTS, 103, 4).bounced, 3);
	free(m);
}

Test(minutes, a_long_silence_empties_all_of_them)
{
	struct minutes *m = ring();

	for (uint64_t minute = 10; minute < 14; minute++)
		add(m, minute, 1, 1, 1);
	add(m, 1000, 5, 0, 0);
	cr_expect_eq(minutes_sum(m, SLOTS, 1000, 60).delivered, 5);
	cr_expect_eq(minutes_sum(m, SLOTS, 1000, 60).deferred, 0);
	free(m);
}

Test(minutes, a_clock_that_goes_back_loses_nothing)
{
	struct minutes *m = ring();

	add(m, 100, 1, 0, 0);
	add(m, 90, 2, 0, 0);
	cr_expect_eq(minutes_sum(m, SLOTS, 100, 1).delivered, 3);
	free(m);
}

Test(minutes, a_full_count_stays_full_and_leaves_its_neighbours_alone)
{
	struct minutes *m = ring();
	struct minutes_sum sum;

	for (int i = 0; i < 2; i++)
		add(m, 7, UINT32_MAX, UINT32_MAX, 0);
	sum = minutes_sum(m, SLOTS, 7, 1);
	cr_expect_eq(sum.delivered, (1 << 28) - 1);
	cr_expect_eq(sum.deferred, (1 << 18) - 1);
	cr_expect_eq(sum.bounced, 0);
	free(m);
}
