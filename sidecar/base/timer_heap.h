/* SPDX-License-Identifier: MIT
 *
 * Which slot is due next: a heap of times, each slot in it at most once, at its latest word.
 */
#ifndef SIDECAR_BASE_TIMER_HEAP_H
#define SIDECAR_BASE_TIMER_HEAP_H

#include <stdint.h>

struct due;

int due_create(uint32_t slots, struct due **ret);
void due_free(struct due *due);

/* A slot is due at at_ns, whatever was said before; UINT64_MAX: not at all. -ENOMEM. */
int due_set(struct due *due, uint32_t slot, uint64_t at_ns);

/* When the next one is due; UINT64_MAX: none. */
uint64_t due_next(const struct due *due);

/* Takes the next slot that is due at now_ns, or UINT32_MAX. */
uint32_t due_take(struct due *due, uint64_t now_ns);

#endif
