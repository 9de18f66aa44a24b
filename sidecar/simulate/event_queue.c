/* SPDX-License-Identifier: MIT
 *
 * A heap by (time, order of adding).
 */
#include "sidecar/simulate/event_queue.h"

static bool event_before(const void *first, const void *second)
{
	const struct simulate_event *a = first, *b = second;

	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static const struct heap_kind kind = {sizeof(struct simulate_event), event_before, NULL};

int simulate_events_add(struct simulate_events *events, struct simulate_event event)
{
	event.order = events->added++;
	return heap_add(&events->heap, &kind, &event, NULL);
}

bool simulate_events_take(struct simulate_events *events, struct simulate_event *ret)
{
	if (events->heap.count == 0)
		return false;
	*ret = *(const struct simulate_event *)events->heap.items;
	heap_remove(&events->heap, &kind, 0, NULL);
	return true;
}

uint64_t simulate_events_next(const struct simulate_events *events)
{
	const struct simulate_event *first = events->heap.items;

	return events->heap.count ? first->at_ns : UINT64_MAX;
}

void simulate_events_free(struct simulate_events *events)
{
	free(events->heap.items);
	*events = (struct simulate_events){.added = 0};
}
