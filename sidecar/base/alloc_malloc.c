/* SPDX-License-Identifier: MIT
 *
 * Arenas under a sanitizer: blocks of malloc(3) in a list, so that what outlives its arena is
 * found.
 */
#if defined(TG_SAN_asan) || defined(TG_SAN_tsan)

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "sidecar/base/alloc.h"

struct block {
	struct block *next, *previous;
	size_t size;
	max_align_t bytes[];
};

struct alloc_arena {
	struct block head; /* of a ring */
	uint64_t bytes;
};

static _Atomic uint64_t bytes_of_all; /* relaxed: a sum */

void alloc_stats(struct alloc_stats *ret)
{
	*ret = (struct alloc_stats){
		.name = "the sanitizer's",
		.allocated = atomic_load_explicit(&bytes_of_all, memory_order_relaxed)};
}

int alloc_arena_create(struct alloc_arena **ret)
{
	struct alloc_arena *arena = malloc(sizeof(*arena));

	if (arena == NULL)
		return -ENOMEM;
	arena->head.next = arena->head.previous = &arena->head;
	arena->bytes = 0;
	*ret = arena;
	return 0;
}

void alloc_arena_destroy(struct alloc_arena *arena)
{
	if (arena == NULL)
		return;
	while (arena->head.next != &arena->head)
		alloc_arena_resize(arena, arena->head.next->bytes, 0);
	free(arena);
}

static struct block *block_of(void *bytes)
{
	return bytes ? (struct block *)((char *)bytes - offsetof(struct block, bytes)) : NULL;
}

static void block_unlink(struct alloc_arena *arena, struct block *block)
{
	block->next->previous = block->previous;
	block->previous->next = block->next;
	arena->bytes -= block->size;
	atomic_fetch_sub_explicit(&bytes_of_all, block->size, memory_order_relaxed);
}

static void block_link(struct alloc_arena *arena, struct block *block)
{
	block->next = arena->head.next;
	block->previous = &arena->head;
	block->next->previous = block->previous->next = block;
	arena->bytes += block->size;
	atomic_fetch_add_explicit(&bytes_of_all, block->size, memory_order_relaxed);
}

void *alloc_arena_resize(void *context, void *old, size_t size)
{
	struct alloc_arena *arena = context;
	struct block *block = block_of(old), *now;

	if (size > SIZE_MAX - sizeof(*now))
		return NULL;
	if (block)
		block_unlink(arena, block);
	if (size == 0) {
		free(block);
		return NULL;
	}
	now = realloc(block, sizeof(*now) + size);
	if (now == NULL) {
		if (block)
			block_link(arena, block);
		return NULL;
	}
	now->size = size;
	block_link(arena, now);
	return now->bytes;
}

uint64_t alloc_arena_bytes(const struct alloc_arena *arena)
{
	return arena->bytes;
}

#endif
