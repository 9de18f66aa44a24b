/* SPDX-License-Identifier: MIT
 *
 * Names whose announcement found the ring full: kept until it has room, since nothing else tells
 * the sidecar what a source, a destination or a stream is called. (Flows it finds by itself, from
 * what they are made of.)
 *
 * All but unsaid_any is called under the mutex of the ring.
 */
#ifndef TG_UNSAID_H
#define TG_UNSAID_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct unsaid_name {
	struct unsaid_name *next;
	uint32_t slot;
	uint16_t kind; /* enum layout_record_kind */
	uint16_t length;
	char text[];
};

struct unsaid {
	struct unsaid_name **chains; /* by slot; NULL: nothing was ever kept */
	_Atomic uint32_t count;
};

/* Keeps a name, once. Without memory it is lost until it is resolved again. */
void unsaid_keep(struct unsaid *unsaid, uint16_t kind, uint32_t slot, const void *text,
		 size_t length);

/* Takes any one; NULL: there is none. The caller frees it, or gives it back by unsaid_return. */
struct unsaid_name *unsaid_take(struct unsaid *unsaid);
void unsaid_return(struct unsaid *unsaid, struct unsaid_name *name);

void unsaid_free(struct unsaid *unsaid);

/* Relaxed: who misses one sees it at the next call. */
static inline bool unsaid_any(const struct unsaid *unsaid)
{
	return atomic_load_explicit(&unsaid->count, memory_order_relaxed) != 0;
}

#endif
