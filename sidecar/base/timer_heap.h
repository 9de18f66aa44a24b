/* SPDX-License-Identifier: MIT
 *
 * Which slot is due next: a heap of times, each slot in it at most once, at its latest word.
 */
#ifndef SIDECAR_BASE_TIMER_HEAP_H
#define SIDECAR_BASE_TIMER_HEAP_H

#include <stdint.h>

struct timer_heap;

int timer_heap_create(uint32_t slots, struct timer_heap **ret);
void timer_heap_free(struct timer_heap *timers);

/* A slot is due at at_ns, whatever was said before; UINT64_MAX: not at all. -ENOMEM. */
int timer_heap_set(struct timer_heap *timers, uint32_t slot, uint64_t at_ns);

/* When the next one is due; UINT64_MAX: none. */
uint64_t timer_heap_next(const struct timer_heap *timers);

/* Takes the next slot that is due at now_ns, or UINT32_MAX. */
uint32_t timer_heap_take(struct timer_heap *timers, uint64_t now_ns);

#endif
