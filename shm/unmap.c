/* SPDX-License-Identifier: MIT
 *
 * Mappings that are given back piece by piece.
 */
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "shm/unmap.h"

#define PIECE_BYTES UINT64_C(2097152) /* a page of page-table entries: a tenth of a millisecond */
#define MOMENT_NS   UINT64_C(300000)

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* From its end, so that what is left still begins where it began. False: nothing is left. */
static bool piece_take(struct unmapping *left)
{
	for (int file = 0; file < LAYOUT_FILES; file++) {
		struct mapping *mapping = &left->files[file];
		uint64_t keep;

		if (mapping->base == NULL)
			continue;
		keep = (mapping->bytes - 1) / PIECE_BYTES * PIECE_BYTES;
		munmap((char *)mapping->base + keep, mapping->bytes - keep);
		mapping->bytes = keep;
		if (keep == 0)
			mapping->base = NULL;
		return true;
	}
	return false;
}

void unmap_piece(struct unmapping *left)
{
	if (atomic_exchange_explicit(&left->busy, true, memory_order_acquire))
		return;
	if (!piece_take(left))
		atomic_store_explicit(&left->any, false, memory_order_relaxed);
	atomic_store_explicit(&left->busy, false, memory_order_release);
}

void unmap_rest(struct unmapping *left)
{
	while (atomic_load_explicit(&left->any, memory_order_relaxed))
		unmap_piece(left);
}

void unmap_begin(struct unmapping *left, struct mapping files[LAYOUT_FILES])
{
	uint64_t begun_ns = now_ns();

	unmap_rest(left);
	memcpy(left->files, files, sizeof(left->files));
	memset(files, 0, sizeof(left->files));
	atomic_store_explicit(&left->any, true, memory_order_relaxed);
	while (atomic_load_explicit(&left->any, memory_order_relaxed) &&
	       now_ns() - begun_ns < MOMENT_NS)
		unmap_piece(left);
}
