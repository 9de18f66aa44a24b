/* SPDX-License-Identifier: MIT
 *
 * What several hear counts once, in whatever order they tell it.
 */
#include <criterion/criterion.h>

#include "sidecar/engine/twice.h"

#define S    UINT64_C(1000000000)
#define FROM (1000 * S)

enum { LOG, FILTER, KERNEL };

static struct heard_twice *twice;

static void begin(void)
{
	cr_assert_eq(twice_create(&twice), 0);
}

static void end(void)
{
	twice_free(twice);
}

TestSuite(twice, .init = begin, .fini = end);

Test(twice, takes_each_of_one_way_however_alike)
{
	for (int i = 0; i < 1000; i++)
		cr_assert(twice_first(twice, 7, LOG, FROM + (uint64_t)i * S / 100));
}

Test(twice, takes_one_of_two_ways_in_any_order)
{
	/* A letter is a way, in the order in which they tell: of three, each tells the same four. */
	static const char *const orders[] = {"lfklfklfklfk", "llllffffkkkk", "fffflkkllkkl",
					     "kfllfkkfllfk"};

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		unsigned first = 0;

		for (const char *at = orders[i]; *at; at++)
			first += twice_first(twice, 100 + i,
					     *at == 'l'	  ? LOG
					     : *at == 'f' ? FILTER
							  : KERNEL,
					     FROM);
		cr_expect_eq(first, 4, "%s: %u", orders[i], first);
	}
}

Test(twice, knows_a_way_whose_stamps_are_whole_seconds)
{
	/* 4.99 s by one is 4 s by the other, in the span before; and one may tell it later. */
	for (uint64_t ms = 0; ms < 20000; ms += 990) {
		uint64_t at = FROM + ms * 1000000;

		cr_expect(twice_first(twice, 7, FILTER, at), "at %lu ms", ms);
		cr_expect_not(twice_first(twice, 7, LOG, at / S * S), "at %lu ms", ms);
	}
}

Test(twice, takes_what_one_way_alone_has_heard)
{
	unsigned first = 0;

	for (int i = 0; i < 100; i++) {
		first += twice_first(twice, 7, LOG, FROM + (uint64_t)i * S / 10);
		if (i % 3 == 0) /* that one misses most */
			first += twice_first(twice, 7, FILTER, FROM + (uint64_t)i * S / 10);
	}
	cr_expect_eq(first, 100);
}

Test(twice, goes_on_soon_with_one_way_when_the_other_ends)
{
	unsigned first = 0;

	/* The log is read from the middle on; then the filter ends. */
	for (int i = 0; i < 100; i++) {
		first += twice_first(twice, 7, FILTER, FROM + (uint64_t)i * S / 10);
		if (i >= 50)
			first += twice_first(twice, 7, LOG, FROM + (uint64_t)i * S / 10);
	}
	cr_expect_eq(first, 100);
	first = 0;
	for (int i = 0; i < 100; i++)
		first += twice_first(twice, 7, LOG, FROM + 30 * S + (uint64_t)i * S / 10);
	cr_expect_eq(first, 100, "half a minute later nothing is owed");
}

Test(twice, keeps_kinds_apart_and_forgets_the_oldest)
{
	for (uint64_t kind = 0; kind < 200000; kind++)
		cr_assert(twice_first(twice, kind, LOG, FROM + kind * S / 1000));
	for (uint64_t kind = 199900; kind < 200000; kind++)
		cr_expect_not(twice_first(twice, kind, FILTER, FROM + kind * S / 1000));
}
