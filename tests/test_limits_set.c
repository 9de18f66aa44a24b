/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "sidecar/config/limits_set.h"

Test(limits_set, equal_limits_are_kept_once_and_go_with_their_last_user)
{
	struct limits_set *set = NULL;
	struct flow_limits limits = {.interval_ns = 7};
	int first;

	cr_assert_eq(limits_set_create(&set), 0);
	first = limits_set_add(set, &limits, 4);
	cr_expect_gt(first, 0);
	cr_expect_eq(limits_set_add(set, &limits, 4), first);
	cr_expect_neq(limits_set_add(set, &limits, 8), first, "other parents");
	cr_expect_eq(limits_set_count(set), 2);
	limits_set_drop(set, (uint32_t)first);
	cr_expect_eq(limits_set_get(set, (uint32_t)first)->limits.interval_ns, 7);
	limits_set_drop(set, (uint32_t)first);
	cr_expect_eq(limits_set_count(set), 1);
	limits_set_drop(set, 0);
	cr_expect_eq(limits_set_count(set), 1, "nobody drops what everybody has");
	limits_set_free(set);
}

Test(limits_set, many_come_and_go_and_each_is_found)
{
	struct limits_set *set = NULL;
	int numbers[1000];

	cr_assert_eq(limits_set_create(&set), 0);
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 1000; i++) {
			struct flow_limits limits = {.interval_ns = i + (uint32_t)round * 500,
						     .flags = i % 3};

			numbers[i] = limits_set_add(set, &limits, i % 5);
			cr_assert_gt(numbers[i], 0);
		}
		cr_expect_eq(limits_set_count(set), 1000);
		for (uint32_t i = 0; i < 1000; i++) {
			const struct limits_entry *entry =
				limits_set_get(set, (uint32_t)numbers[i]);

			cr_expect(entry->limits.interval_ns == i + (uint32_t)round * 500 &&
				  entry->parents == i % 5);
		}
		for (uint32_t i = 0; i < 1000; i++)
			limits_set_drop(set, (uint32_t)numbers[i]);
		cr_expect_eq(limits_set_count(set), 0);
	}
	limits_set_free(set);
}
