/* SPDX-License-Identifier: MIT
 *
 * Messages of a worker that wait, each for its time: a heap by due time for each queue.
 *
 * A queue is one destination and class. Single-threaded; all memory is taken by outbox_new.
 */
#ifndef BENCH_OUTBOX_H
#define BENCH_OUTBOX_H

#include <stdint.h>

#include "sidecar/base/heap.h"

struct outbox_message {
	uint64_t arrival_ns, due_ns;
	uint32_t number;
	uint32_t attempts;
};

struct outbox {
	struct heap heap;
};

/* Room for that many messages. 0 or -ENOMEM. */
int outbox_new(struct outbox *box, uint32_t room);
void outbox_free(struct outbox *box);

/* Adds a message; there is room for as many as outbox_new was told. */
void outbox_push(struct outbox *box, const struct outbox_message *message);

/* The message that is due first, or NULL. */
const struct outbox_message *outbox_first(const struct outbox *box);

/* Removes and returns the message that is due first; there must be one. */
struct outbox_message outbox_pop(struct outbox *box);

#endif
