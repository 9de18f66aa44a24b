/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdint.h>
#include <sys/mman.h>

#include "shm/unmap.h"

#define BYTES (UINT64_C(256) << 20)

static struct mapping mapping_make(uint64_t bytes, bool touched)
{
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert(base != MAP_FAILED);
	for (uint64_t at = 0; touched && at < bytes; at += 4096)
		((char *)base)[at] = 1;
	return (struct mapping){base, bytes};
}

/* What is not mapped any more cannot be advised. */
static bool mapped(void *base, uint64_t at)
{
	return madvise((char *)base + at, 4096, MADV_NORMAL) == 0;
}

Test(unmap, what_nobody_touched_goes_at_once)
{
	struct mapping files[LAYOUT_FILES] = {mapping_make(BYTES, false),
					      mapping_make(4096, false)};
	struct unmapping left = {0};
	void *first = files[0].base, *second = files[1].base;

	unmap_begin(&left, files);
	unmap_rest(&left);
	cr_expect(!mapped(first, 0) && !mapped(first, BYTES - 4096) && !mapped(second, 0));
	cr_expect_null(files[0].base);
	cr_expect(!left.any);
}

Test(unmap, the_rest_goes_piece_by_piece)
{
	struct unmapping left = {.any = true,
				 .files = {mapping_make((UINT64_C(5) << 20) + 4096, true)}};
	void *base = left.files[0].base;

	unmap_more(&left);
	cr_expect(mapped(base, UINT64_C(4) << 20) == false && mapped(base, 4190208));
	unmap_more(&left);
	cr_expect(!mapped(base, UINT64_C(2) << 20) && mapped(base, 2093056));
	unmap_more(&left);
	cr_expect(!mapped(base, 0) && left.any);
	unmap_more(&left);
	cr_expect(!left.any);
}

Test(unmap, a_second_time_gives_back_what_the_first_left)
{
	struct unmapping left = {.any = true, .files = {mapping_make(BYTES, true)}};
	struct mapping files[LAYOUT_FILES] = {mapping_make(4096, true)};
	void *before = left.files[0].base;

	unmap_begin(&left, files);
	cr_expect(!mapped(before, 0) && !mapped(before, BYTES - 4096));
	unmap_rest(&left);
}

Test(unmap, one_thread_at_a_time)
{
	struct unmapping left = {.any = true, .busy = true, .files = {mapping_make(4096, true)}};
	void *base = left.files[0].base;

	unmap_more(&left);
	cr_expect(mapped(base, 0));
	left.busy = false;
	unmap_rest(&left);
	cr_expect(!mapped(base, 0));
}
