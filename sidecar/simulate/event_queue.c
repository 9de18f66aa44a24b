/* SPDX-License-Identifier: MIT
 *
 * A binary heap by (time, order of adding).
 */
#include "sidecar/simulate/event_queue.h"

#include <errno.h>
#include <stdlib.h>

static bool earlier(const struct simulate_event *a, const struct simulate_event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

int simulate_events_add(struct simulate_events *events, struct simulate_event event)
{
	size_t at = events->count;

	if (events->count == events->room) {
		size_t room = events->room ? events->room * 2 : 1024;
		void *heap = reallocarray(events->heap, room, sizeof *events->heap);

		if (!heap)
			return -ENOMEM;
		events->heap = heap;
		events->room = room;
	}
	event.order = events->added++;
	while (at > 0 && earlier(&event, &events->heap[(at - 1) / 2])) {
		events->heap[at] = events->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	events->heap[at] = event;
	events->count++;
	return 0;
}

bool simulate_events_take(struct simulate_events *events, struct simulate_event *ret)
{
	struct simulate_event last;
	size_t at = 0;

	if (events->count == 0)
		return false;
	*ret = events->heap[0];
	last = events->heap[--events->count];
	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= events->count)
			break;
		if (child + 1 < events->count &&
		    earlier(&events->heap[child + 1], &events->heap[child]))
			child++;
		if (!earlier(&events->heap[child], &last))
			break;
		events->heap[at] = events->heap[child];
		at = child;
	}
	events->heap[at] = last;
	return true;
}

uint64_t simulate_events_next(const struct simulate_events *events)
{
	return events->count ? events->heap[0].at_ns : UINT64_MAX;
}

void simulate_events_free(struct simulate_events *events)
{
	free(events->heap);
	*events = (struct simulate_events){0};
}
