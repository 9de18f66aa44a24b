/* SPDX-License-Identifier: MIT
 *
 * Messages that wait for their time, as binary heaps: see outbox.h.
 */
#include "bench/lib/outbox.h"

#include <errno.h>
#include <stdlib.h>

int outbox_new(struct outbox *box, uint32_t room)
{
	box->heap = calloc(room ? room : 1, sizeof(*box->heap));
	box->count = 0;
	box->room = room;
	return box->heap ? 0 : -ENOMEM;
}

void outbox_free(struct outbox *box)
{
	free(box->heap);
	box->heap = NULL;
	box->count = box->room = 0;
}

static int before(const struct outbox_message *a, const struct outbox_message *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->number < b->number;
}

void outbox_push(struct outbox *box, const struct outbox_message *message)
{
	uint32_t at = box->count++;

	while (at > 0 && before(message, &box->heap[(at - 1) / 2])) {
		box->heap[at] = box->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	box->heap[at] = *message;
}

const struct outbox_message *outbox_first(const struct outbox *box)
{
	return box->count ? &box->heap[0] : NULL;
}

struct outbox_message outbox_pop(struct outbox *box)
{
	struct outbox_message first = box->heap[0];
	struct outbox_message last = box->heap[--box->count];
	uint32_t at = 0;

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= box->count)
			break;
		if (child + 1 < box->count && before(&box->heap[child + 1], &box->heap[child]))
			child++;
		if (!before(&box->heap[child], &last))
			break;
		box->heap[at] = box->heap[child];
		at = child;
	}
	box->heap[at] = last;
	return first;
}
