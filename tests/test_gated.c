/* SPDX-License-Identifier: MIT
 *
 * Which flows the gate paces, and whose limits have changed.
 */
#include <criterion/criterion.h>

#include "sidecar/gate/gated.h"

#define S UINT64_C(1000000000)

Test(gated, knows_what_it_saw_for_some_seconds)
{
	struct gated *gated = gated_create(100);

	cr_expect_not(gated_has(gated, 7, 0), "never seen, and the clock at its beginning");
	gated_see(gated, 7, 70, 5 * S);
	cr_expect(gated_has(gated, 7, 5 * S));
	cr_expect(gated_has(gated, 7, 15 * S));
	cr_expect_not(gated_has(gated, 7, 17 * S));
	cr_expect_not(gated_has(gated, 8, 5 * S));
	gated_see(gated, 100, 1, 5 * S); /* beyond: nothing is written */
	cr_expect_not(gated_has(gated, 100, 5 * S));
	gated_free(gated);
	cr_expect_not(gated_has(NULL, 7, 5 * S), "without memory nothing is gated");
	gated_see(NULL, 7, 70, 5 * S);
	gated_free(NULL);
}

Test(gated, tells_each_change_once_and_no_more_than_it_has_room_for)
{
	struct gated *gated = gated_create(1000);
	uint32_t slot, told = 0;

	cr_expect_not(gated_change(gated, 3, S), "it is not gated");
	for (uint32_t i = 0; i < 1000; i++)
		gated_see(gated, i, i + 10000, S);
	cr_expect(gated_change(gated, 3, S));
	cr_expect(gated_change(gated, 3, S));
	cr_assert(gated_next(gated, &slot));
	cr_expect_eq(slot, 10003);
	cr_expect_not(gated_next(gated, &slot), "once");
	for (uint32_t i = 0; i < 1000; i++)
		told += gated_change(gated, i, S);
	cr_expect_eq(told, 256);
	for (told = 0; gated_next(gated, &slot);)
		told++;
	cr_expect_eq(told, 256);
	gated_free(gated);
}
