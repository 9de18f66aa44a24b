/* SPDX-License-Identifier: MIT
 *
 * How fast a count has grown lately: what came before the last ten seconds is forgotten.
 */
#include <criterion/criterion.h>

#include "sidecar/base/rate_meter.h"

#define BEAT   RECENT_NOTE_NS
#define SECOND UINT64_C(1000000000)

static void beats(struct rate_meter *meter, uint64_t *now_ns, uint64_t *count, int beats,
		  uint64_t a_beat)
{
	for (int i = 0; i < beats; i++) {
		*now_ns += BEAT;
		*count += a_beat;
		rate_meter_add(meter, *count, *now_ns);
	}
}

Test(meter, knows_nothing_before_the_first_note)
{
	struct rate_meter meter = {0};

	cr_expect_eq(rate_meter_per_s(&meter, 77, SECOND), 0);
	rate_meter_add(&meter, 77, SECOND);
	cr_expect_eq(rate_meter_per_s(&meter, 78, SECOND), 0, "no time has gone by");
	cr_expect_eq(rate_meter_per_s(&meter, 78, SECOND + BEAT), 2);
}

Test(meter, forgets_what_is_older_than_ten_seconds)
{
	uint64_t now_ns = 1000 * SECOND, count = UINT64_MAX - 5;
	struct rate_meter meter = {0};

	beats(&meter, &now_ns, &count, 500, 50);
	cr_expect_float_eq(rate_meter_per_s(&meter, count, now_ns), 100, 1e-9);
	/* Half of the window is quiet, then all of it. */
	beats(&meter, &now_ns, &count, 10, 0);
	cr_expect_float_eq(rate_meter_per_s(&meter, count, now_ns), 50, 1e-9);
	beats(&meter, &now_ns, &count, 10, 0);
	cr_expect_eq(rate_meter_per_s(&meter, count, now_ns), 0);
	/* A burst between two notes counts at once. */
	cr_expect_float_eq(rate_meter_per_s(&meter, count + 1000, now_ns + 1), 1000 / 9.500000001,
			   1e-6);
}

Test(meter, tells_nothing_of_a_time_without_notes)
{
	uint64_t now_ns = 1000 * SECOND, count = 0;
	struct rate_meter meter = {0};

	beats(&meter, &now_ns, &count, 30, 50);
	cr_expect_eq(rate_meter_per_s(&meter, count + 50, now_ns + 11 * SECOND), 0);
	now_ns += 11 * SECOND;
	beats(&meter, &now_ns, &count, 1, 0);
	beats(&meter, &now_ns, &count, 2, 100);
	cr_expect_float_eq(rate_meter_per_s(&meter, count, now_ns), 200, 1e-9);
}
