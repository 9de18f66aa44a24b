/* SPDX-License-Identifier: MIT
 *
 * A binary heap that knows each slot's place in it: a slot that is set anew moves, so the heap
 * never holds more than the slots that are due, however often they are set.
 */
#include "sidecar/base/timer_heap.h"

#include "sidecar/base/heap.h"

struct item {
	uint64_t at_ns;
	uint32_t slot;
};

struct timer_heap {
	struct heap heap; /* of items */
	uint32_t *place;  /* of each slot in the heap, from 1; 0: not due */
};

static bool item_before(const void *a, const void *b)
{
	return ((const struct item *)a)->at_ns < ((const struct item *)b)->at_ns;
}

static void item_placed(void *owner, const void *item, size_t at)
{
	((struct timer_heap *)owner)->place[((const struct item *)item)->slot] = (uint32_t)at + 1;
}

static const struct heap_kind kind = {sizeof(struct item), item_before, item_placed};

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
	free(timers->heap.items);
	free(timers->place);
	free(timers);
}

static void take_out(struct timer_heap *timers, uint32_t slot)
{
	uint32_t at = timers->place[slot] - 1;

	timers->place[slot] = 0;
	heap_remove(&timers->heap, &kind, at, timers);
}

int timer_heap_set(struct timer_heap *timers, uint32_t slot, uint64_t at_ns)
{
	struct item item = {at_ns, slot};
	uint32_t place = timers->place[slot];

	if (at_ns == UINT64_MAX) {
		if (place)
			take_out(timers, slot);
		return 0;
	}
	if (place == 0)
		return heap_add(&timers->heap, &kind, &item, timers);
	heap_replace(&timers->heap, &kind, place - 1, &item, timers);
	return 0;
}

static const struct item *first(const struct timer_heap *timers)
{
	return timers->heap.count ? timers->heap.items : NULL;
}

uint64_t timer_heap_next(const struct timer_heap *timers)
{
	const struct item *due = first(timers);

	return due ? due->at_ns : UINT64_MAX;
}

uint32_t timer_heap_take(struct timer_heap *timers, uint64_t now_ns)
{
	const struct item *due = first(timers);
	uint32_t slot;

	if (due == NULL || due->at_ns > now_ns)
		return UINT32_MAX;
	slot = due->slot;
	take_out(timers, slot);
	return slot;
}
