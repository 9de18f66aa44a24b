/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "bench/lib/fixed.h"

#define MINUTE_NS UINT64_C(60000000000)

Test(bench_fixed, no_window_of_a_minute_has_more_than_ten)
{
	static struct fixed fixed;
	uint64_t now_ns = MINUTE_NS, at_ns = 0;

	cr_assert_eq(fixed_init(&fixed, 10, MINUTE_NS), 0);
	for (int i = 0; i < 10; i++)
		cr_expect(fixed_take(&fixed, now_ns + (uint64_t)i, &at_ns));
	cr_expect(!fixed_take(&fixed, now_ns + 10, &at_ns));
	cr_expect_eq(at_ns, 2 * MINUTE_NS);
	cr_expect(!fixed_take(&fixed, at_ns - 1, &at_ns));
	cr_expect(fixed_take(&fixed, at_ns, &at_ns));
	cr_expect(!fixed_take(&fixed, at_ns, &at_ns));
	cr_expect_eq(at_ns, 2 * MINUTE_NS + 1);
}

Test(bench_fixed, refuses_what_it_cannot_hold)
{
	static struct fixed fixed;

	cr_expect_lt(fixed_init(&fixed, 0, MINUTE_NS), 0);
	cr_expect_lt(fixed_init(&fixed, FIXED_MAX + 1, MINUTE_NS), 0);
	cr_expect_lt(fixed_init(&fixed, 1, 0), 0);
}
