/* SPDX-License-Identifier: MIT
 *
 * Memory of a segment that is about to be filled, asked for at once: each page by itself costs a
 * fault, and each line by itself the way to memory. No more than a hint.
 */
#include <sys/mman.h>

#include "sidecar/segment/segment.h"

static void ask(const void *array, uint64_t bytes)
{
	uintptr_t begin = (uintptr_t)array / LAYOUT_PAGE * LAYOUT_PAGE;

	if (bytes)
		madvise((void *)begin, (uintptr_t)array + bytes - begin, MADV_POPULATE_WRITE);
}

void segment_expect_slots(struct segment *s)
{
	uint64_t slots = s->view.slots;

	ask(s->view.counters, slots * sizeof(*s->view.counters));
	ask(s->view.counters_more, slots * sizeof(*s->view.counters_more));
	ask(s->limits, slots * sizeof(*s->limits));
	ask(s->more, slots * sizeof(*s->more));
	ask(s->index, slots * sizeof(*s->index));
}

void segment_expect_records(struct segment *s, uint32_t count)
{
	uint64_t first = s->strings->records;

	if (first + count > s->known_room)
		count = (uint32_t)(s->known_room - first);
	ask(s->known + first, count * sizeof(*s->known));
	ask(s->engine + first * s->shape.engine_bytes, (uint64_t)count * s->shape.engine_bytes);
}

void segment_expect_slot(const struct segment *s, uint32_t slot)
{
	__builtin_prefetch(&s->view.counters[slot], 1);
	__builtin_prefetch(&s->view.counters_more[slot], 1);
	__builtin_prefetch(&s->index[slot], 1);
	__builtin_prefetch(&s->limits[slot], 1);
	__builtin_prefetch(&s->more[slot], 1);
}
