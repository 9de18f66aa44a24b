/* SPDX-License-Identifier: MIT
 *
 * A binary heap that knows each slot's place in it: a slot that is set anew moves, so the heap
 * never holds more than the slots that are due, however often they are set.
 */
#include "sidecar/base/timer_heap.h"

#include <errno.h>
#include <stdlib.h>

struct item {
	uint64_t at_ns;
	uint32_t slot;
};

struct timer_heap {
	struct item *heap;
	uint32_t count, room;
	uint32_t *place; /* of each slot in the heap, from 1; 0: not due */
};

int timer_heap_create(uint32_t slots, struct timer_heap **ret)
{
	struct timer_heap *timers = calloc(1, sizeof(*timers));

	if (timers)
		timers->place = calloc(slots, sizeof(*timers->place));
	if (timers == NULL || timers->place == NULL) {
		free(timers);
		return -ENOMEM;
	}
	*ret = timers;
	return 0;
}

void timer_heap_free(struct timer_heap *timers)
{
	if (timers == NULL)
		return;
	free(timers->heap);
	free(timers->place);
	free(timers);
}

static void put(struct timer_heap *timers, uint32_t at, struct item item)
{
	timers->heap[at] = item;
	timers->place[item.slot] = at + 1;
}

/* Where an item belongs that may have become earlier or later: up first, then down. */
static void settle(struct timer_heap *timers, uint32_t at, struct item item)
{
	for (; at > 0 && timers->heap[(at - 1) / 2].at_ns > item.at_ns; at = (at - 1) / 2)
		put(timers, at, timers->heap[(at - 1) / 2]);
	for (;;) {
		uint64_t child = 2 * (uint64_t)at + 1;

		if (child >= timers->count)
			break;
		if (child + 1 < timers->count &&
		    timers->heap[child + 1].at_ns < timers->heap[child].at_ns)
			child++;
		if (timers->heap[child].at_ns >= item.at_ns)
			break;
		put(timers, at, timers->heap[child]);
		at = (uint32_t)child;
	}
	put(timers, at, item);
}

static int room_make(struct timer_heap *timers)
{
	uint32_t room = timers->room ? timers->room * 2 : 256;
	struct item *more;

	if (timers->count < timers->room)
		return 0;
	more = realloc(timers->heap, room * sizeof(*more));
	if (more == NULL)
		return -ENOMEM;
	timers->heap = more;
	timers->room = room;
	return 0;
}

static void take_out(struct timer_heap *timers, uint32_t slot)
{
	uint32_t at = timers->place[slot] - 1;
	struct item last = timers->heap[--timers->count];

	timers->place[slot] = 0;
	if (last.slot != slot)
		settle(timers, at, last);
}

int timer_heap_set(struct timer_heap *timers, uint32_t slot, uint64_t at_ns)
{
	uint32_t place = timers->place[slot];

	if (at_ns == UINT64_MAX) {
		if (place)
			take_out(timers, slot);
		return 0;
	}
	if (place == 0) {
		if (room_make(timers) != 0)
			return -ENOMEM;
		place = ++timers->count;
	}
	settle(timers, place - 1, (struct item){at_ns, slot});
	return 0;
}

uint64_t timer_heap_next(const struct timer_heap *timers)
{
	return timers->count ? timers->heap[0].at_ns : UINT64_MAX;
}

uint32_t timer_heap_take(struct timer_heap *timers, uint64_t now_ns)
{
	uint32_t slot;

	if (timer_heap_next(timers) > now_ns || timers->count == 0)
		return UINT32_MAX;
	slot = timers->heap[0].slot;
	take_out(timers, slot);
	return slot;
}
