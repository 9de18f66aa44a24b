/* SPDX-License-Identifier: MIT
 *
 * jemalloc: statistics and arenas. Nothing else includes <jemalloc/jemalloc.h>.
 */
#if !defined(TG_SAN_asan) && !defined(TG_SAN_tsan)

#include "sidecar/base/alloc.h"

#include <errno.h>
#include <jemalloc/jemalloc.h>
#include <stdio.h>
#include <stdlib.h>

struct alloc_arena {
	unsigned index;
	uint64_t bytes;
};

static uint64_t statistic(const char *name)
{
	size_t value = 0, size = sizeof(value);

	return mallctl(name, &value, &size, NULL, 0) == 0 ? value : 0;
}

void alloc_stats(struct alloc_stats *ret)
{
	uint64_t epoch = 1;
	size_t size = sizeof(epoch);

	/* Statistics are as of the last time that the epoch was advanced. */
	mallctl("epoch", &epoch, &size, &epoch, sizeof(epoch));
	*ret = (struct alloc_stats){
		.name = "jemalloc",
		.allocated = statistic("stats.allocated"),
		.active = statistic("stats.active"),
		.resident = statistic("stats.resident"),
		.mapped = statistic("stats.mapped"),
	};
}

int alloc_arena_create(struct alloc_arena **ret)
{
	struct alloc_arena *arena = malloc(sizeof(*arena));
	size_t size = sizeof(arena->index);

	if (arena == NULL)
		return -ENOMEM;
	arena->bytes = 0;
	if (mallctl("arenas.create", &arena->index, &size, NULL, 0) != 0) {
		free(arena);
		return -EAGAIN;
	}
	*ret = arena;
	return 0;
}

void alloc_arena_destroy(struct alloc_arena *arena)
{
	char name[48];

	if (arena == NULL)
		return;
	snprintf(name, sizeof(name), "arena.%u.destroy", arena->index);
	mallctl(name, NULL, NULL, NULL, 0);
	free(arena);
}

void *alloc_arena_resize(void *context, void *old, size_t size)
{
	struct alloc_arena *arena = context;
	/* No thread cache: it would keep memory of an arena that is gone. */
	int flags = MALLOCX_ARENA(arena->index) | MALLOCX_TCACHE_NONE;
	size_t was = old ? sallocx(old, flags) : 0;
	void *now = NULL;

	if (size == 0 && old)
		dallocx(old, flags);
	else if (size)
		now = old ? rallocx(old, size, flags) : mallocx(size, flags);
	if (now || size == 0)
		arena->bytes += (now ? sallocx(now, flags) : 0) - was;
	return now;
}

uint64_t alloc_arena_bytes(const struct alloc_arena *arena)
{
	return arena->bytes;
}

#endif
