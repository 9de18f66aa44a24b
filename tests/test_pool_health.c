/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "sidecar/engine/pool_health.h"

#define SECOND UINT64_C(1000000000)
#define MINUTE (60 * SECOND)

Test(pool_health, begins_at_two_thirds_and_ends_below_one)
{
	static const struct {
		uint32_t active, troubled;
		enum pool_judgement wanted;
	} rows[] = {
		{4, 0, POOL_QUIET},  {1, 1, POOL_QUIET},  {4, 2, POOL_QUIET},  {3, 2, POOL_BEGINS},
		{3, 2, POOL_STANDS}, {6, 2, POOL_STANDS}, {7, 2, POOL_ENDS},   {7, 2, POOL_QUIET},
		{6, 4, POOL_BEGINS}, {0, 0, POOL_ENDS},	  {2, 2, POOL_BEGINS}, {2, 1, POOL_STANDS},
		{2, 0, POOL_ENDS},
	};
	struct pool_health state = {0};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pool_counts counts = {rows[i].active, rows[i].troubled};

		cr_expect_eq(pool_health_judge(&state, &counts, i * SECOND), rows[i].wanted,
			     "row %zu", i);
	}
}

Test(pool_health, a_pace_is_the_highest_minute_of_late)
{
	struct pool_rate pace = {0};
	uint64_t now = 5 * MINUTE;

	for (int second = 0; second < 60; second++)
		pool_rate_count(&pace, 2, now + (uint64_t)second * SECOND);
	cr_expect_eq(pace.count, 120);
	pool_rate_count(&pace, 1, now + MINUTE);
	cr_expect_eq(pace.peak, 120, "a minute that has just ended has not faded");
	cr_expect_eq(pool_rate_interval(&pace, 0), MINUTE * 10 / (120 * 11));
	pool_rate_count(&pace, 0, now + 3 * MINUTE);
	cr_expect_lt(pace.peak, 120);
	pool_rate_count(&pace, 0, now + 400 * MINUTE);
	cr_expect_eq(pace.peak, 0);
	cr_expect_eq(pool_rate_interval(&pace, 3 * SECOND), 3 * SECOND,
		     "nothing of late: as a new flow");
	cr_expect_eq(pool_rate_interval(&pace, 0), SECOND);
}

Test(pool_health, a_clock_that_goes_backwards_and_full_counts_do_no_harm)
{
	struct pool_rate pace = {0};

	pool_rate_count(&pace, UINT32_MAX, MINUTE * 10);
	pool_rate_count(&pace, 5, MINUTE);
	cr_expect_eq(pace.count, UINT32_MAX);
	pool_rate_count(&pace, 1, MINUTE * 11);
	cr_expect_eq(pace.peak, UINT32_MAX);
	cr_expect_gt(pool_rate_interval(&pace, 0), 0);
}
