/* SPDX-License-Identifier: MIT
 *
 * Arenas: what is allocated in one stays as it was, and goes with it.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "sidecar/base/alloc.h"

Test(arena, keeps_what_was_written_when_resized)
{
	struct alloc_arena *arena;
	char *bytes, *more;

	cr_assert_eq(alloc_arena_create(&arena), 0);
	bytes = alloc_arena_resize(arena, NULL, 5);
	memcpy(bytes, "abcd", 5);
	more = alloc_arena_resize(arena, NULL, 100000);
	memset(more, 7, 100000);
	bytes = alloc_arena_resize(arena, bytes, 50000);
	cr_expect_str_eq(bytes, "abcd");
	cr_expect_geq(alloc_arena_bytes(arena), 150000);
	cr_expect_null(alloc_arena_resize(arena, bytes, 0));
	cr_expect_geq(alloc_arena_bytes(arena), 100000);
	cr_expect_lt(alloc_arena_bytes(arena), 150000);
	cr_expect_null(alloc_arena_resize(arena, NULL, 0));
	alloc_arena_destroy(arena);
	alloc_arena_destroy(NULL);
}

/* A leak would show here as growth; what is there while it is there shows that it would. */
Test(arena, gives_back_everything_when_it_goes)
{
	struct alloc_stats before = {0}, within, after;

	for (int round = 0; round < 200; round++) {
		struct alloc_arena *arena;

		cr_assert_eq(alloc_arena_create(&arena), 0);
		for (int i = 0; i < 100; i++)
			cr_assert_not_null(
				memset(alloc_arena_resize(arena, NULL, 10000), 1, 10000));
		alloc_stats(&within);
		alloc_arena_destroy(arena);
		if (round == 20)
			alloc_stats(&before);
	}
	alloc_stats(&after);
	cr_expect_geq(within.allocated, after.allocated + 1000000, "%lu, %lu", within.allocated,
		      after.allocated);
	cr_expect_lt(after.allocated, before.allocated + 1000000, "%lu, %lu", before.allocated,
		     after.allocated);
}

#if !defined(TG_SAN_asan) && !defined(TG_SAN_tsan)
Test(statistics, follow_what_is_allocated)
{
	struct alloc_stats before, after;
	char *volatile bytes;

	alloc_stats(&before);
	bytes = malloc(8 << 20);
	memset(bytes, 1, 8 << 20);
	alloc_stats(&after);
	cr_expect_str_eq(after.name, "jemalloc");
	cr_expect_geq(after.allocated, before.allocated + (8 << 20));
	cr_expect_geq(after.resident, after.allocated);
	free(bytes);
}
#else
Test(statistics, follow_what_arenas_hold)
{
	struct alloc_stats before, after;
	struct alloc_arena *arena;

	cr_assert_eq(alloc_arena_create(&arena), 0);
	alloc_stats(&before);
	cr_assert_not_null(alloc_arena_resize(arena, NULL, 8 << 20));
	alloc_stats(&after);
	cr_expect_eq(after.allocated, before.allocated + (8 << 20));
	alloc_arena_destroy(arena);
	alloc_stats(&after);
	cr_expect_eq(after.allocated, before.allocated);
}
#endif
