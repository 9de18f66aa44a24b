/* SPDX-License-Identifier: MIT
 *
 * The sidecar's allocator as seen from the sidecar: what it holds, and arenas that go as a whole.
 *
 * malloc(3) is jemalloc's in tollgated. An arena is a set of allocations freed at once: each
 * generation of the configuration has its own and goes with it. Under a sanitizer (alloc_malloc.c)
 * malloc is the sanitizer's, arenas are lists, and the statistics are what arenas hold.
 */
#ifndef SIDECAR_BASE_ALLOC_H
#define SIDECAR_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

struct alloc_stats {
	const char *name;   /* of the allocator */
	uint64_t allocated; /* bytes handed out; 0: not known */
	uint64_t active;    /* bytes of pages that hold some of them */
	uint64_t resident;  /* bytes of memory in use for them and for itself */
	uint64_t mapped;
};

/* May take some 10 us: gathers the counts of all threads. */
void alloc_stats(struct alloc_stats *ret);

struct alloc_arena;

/* -ENOMEM, -EAGAIN: the allocator has no further arena. */
int alloc_arena_create(struct alloc_arena **ret);

/* Frees everything that was allocated in it. NULL is fine. */
void alloc_arena_destroy(struct alloc_arena *arena);

/* As realloc(3) in that arena (a struct alloc_arena *); size 0 frees. It fits struct yaml_memory.
 */
void *alloc_arena_resize(void *arena, void *old, size_t size);

/* Bytes handed out in it; 0 where not known. */
uint64_t alloc_arena_bytes(const struct alloc_arena *arena);

#endif
