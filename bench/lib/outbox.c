/* SPDX-License-Identifier: MIT
 *
 * Messages that wait for their time: see outbox.h.
 */
#include "bench/lib/outbox.h"

static bool message_before(const void *first, const void *second)
{
	const struct outbox_message *a = first, *b = second;

	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->number < b->number;
}

static const struct heap_kind kind = {sizeof(struct outbox_message), message_before, NULL};

int outbox_new(struct outbox *box, uint32_t room)
{
	*box = (struct outbox){.heap = {.count = 0}};
	return heap_reserve(&box->heap, &kind, room);
}

void outbox_free(struct outbox *box)
{
	free(box->heap.items);
	*box = (struct outbox){.heap = {.count = 0}};
}

void outbox_push(struct outbox *box, const struct outbox_message *message)
{
	heap_add(&box->heap, &kind, message, NULL);
}

const struct outbox_message *outbox_first(const struct outbox *box)
{
	return box->heap.count ? box->heap.items : NULL;
}

struct outbox_message outbox_pop(struct outbox *box)
{
	struct outbox_message first = *outbox_first(box);

	heap_remove(&box->heap, &kind, 0, NULL);
	return first;
}
