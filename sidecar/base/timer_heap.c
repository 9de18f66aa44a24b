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

struct due {
	struct item *heap;
	uint32_t count, room;
	uint32_t *place; /* of each slot in the heap, from 1; 0: not due */
};

int due_create(uint32_t slots, struct due **ret)
{
	struct due *due = calloc(1, sizeof(*due));

	if (due)
		due->place = calloc(slots, sizeof(*due->place));
	if (due == NULL || due->place == NULL) {
		free(due);
		return -ENOMEM;
	}
	*ret = due;
	return 0;
}

void due_free(struct due *due)
{
	if (due == NULL)
		return;
	free(due->heap);
	free(due->place);
	free(due);
}

static void put(struct due *due, uint32_t at, struct item item)
{
	due->heap[at] = item;
	due->place[item.slot] = at + 1;
}

/* Where an item belongs that may have become earlier or later: up first, then down. */
static void settle(struct due *due, uint32_t at, struct item item)
{
	for (; at > 0 && due->heap[(at - 1) / 2].at_ns > item.at_ns; at = (at - 1) / 2)
		put(due, at, due->heap[(at - 1) / 2]);
	for (;;) {
		uint64_t child = 2 * (uint64_t)at + 1;

		if (child >= due->count)
			break;
		if (child + 1 < due->count && due->heap[child + 1].at_ns < due->heap[child].at_ns)
			child++;
		if (due->heap[child].at_ns >= item.at_ns)
			break;
		put(due, at, due->heap[child]);
		at = (uint32_t)child;
	}
	put(due, at, item);
}

static int room_make(struct due *due)
{
	uint32_t room = due->room ? due->room * 2 : 256;
	struct item *more;

	if (due->count < due->room)
		return 0;
	more = realloc(due->heap, room * sizeof(*more));
	if (more == NULL)
		return -ENOMEM;
	due->heap = more;
	due->room = room;
	return 0;
}

static void take_out(struct due *due, uint32_t slot)
{
	uint32_t at = due->place[slot] - 1;
	struct item last = due->heap[--due->count];

	due->place[slot] = 0;
	if (last.slot != slot)
		settle(due, at, last);
}

int due_set(struct due *due, uint32_t slot, uint64_t at_ns)
{
	uint32_t place = due->place[slot];

	if (at_ns == UINT64_MAX) {
		if (place)
			take_out(due, slot);
		return 0;
	}
	if (place == 0) {
		if (room_make(due) != 0)
			return -ENOMEM;
		place = ++due->count;
	}
	settle(due, place - 1, (struct item){at_ns, slot});
	return 0;
}

uint64_t due_next(const struct due *due)
{
	return due->count ? due->heap[0].at_ns : UINT64_MAX;
}

uint32_t due_take(struct due *due, uint64_t now_ns)
{
	uint32_t slot;

	if (due_next(due) > now_ns || due->count == 0)
		return UINT32_MAX;
	slot = due->heap[0].slot;
	take_out(due, slot);
	return slot;
}
