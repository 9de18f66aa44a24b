/* SPDX-License-Identifier: MIT
 *
 * A binary heap with stale entries: setting a slot anew pushes, and what was pushed before is
 * skipped when it comes up, since the slot's word names another time.
 */
#include "sidecar/due.h"

#include <errno.h>
#include <stdlib.h>

struct item {
	uint64_t at_ns;
	uint32_t slot;
};

struct due {
	struct item *heap;
	size_t count, room;
	uint64_t *at; /* of each slot; 0: not due */
};

int due_create(uint32_t slots, struct due **ret)
{
	struct due *due = calloc(1, sizeof(*due));

	if (due)
		due->at = calloc(slots, sizeof(*due->at));
	if (due == NULL || due->at == NULL) {
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
	free(due->at);
	free(due);
}

static int push(struct due *due, struct item item)
{
	size_t at = due->count;

	if (due->count == due->room) {
		size_t room = due->room ? due->room * 2 : 256;
		struct item *more = realloc(due->heap, room * sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		due->heap = more;
		due->room = room;
	}
	due->count++;
	for (; at > 0 && due->heap[(at - 1) / 2].at_ns > item.at_ns; at = (at - 1) / 2)
		due->heap[at] = due->heap[(at - 1) / 2];
	due->heap[at] = item;
	return 0;
}

static void pop(struct due *due)
{
	struct item last = due->heap[--due->count];
	size_t at = 0;

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= due->count)
			break;
		if (child + 1 < due->count && due->heap[child + 1].at_ns < due->heap[child].at_ns)
			child++;
		if (due->heap[child].at_ns >= last.at_ns)
			break;
		due->heap[at] = due->heap[child];
		at = child;
	}
	if (due->count)
		due->heap[at] = last;
}

int due_set(struct due *due, uint32_t slot, uint64_t at_ns)
{
	if (due->at[slot] == at_ns)
		return 0;
	due->at[slot] = at_ns == UINT64_MAX ? 0 : at_ns;
	return at_ns == UINT64_MAX ? 0 : push(due, (struct item){at_ns, slot});
}

uint64_t due_next(struct due *due)
{
	while (due->count && due->at[due->heap[0].slot] != due->heap[0].at_ns)
		pop(due);
	return due->count ? due->heap[0].at_ns : UINT64_MAX;
}

uint32_t due_take(struct due *due, uint64_t now_ns)
{
	uint32_t slot;

	if (due_next(due) > now_ns)
		return UINT32_MAX;
	slot = due->heap[0].slot;
	pop(due);
	due->at[slot] = 0;
	return slot;
}
