/* SPDX-License-Identifier: MIT
 *
 * A binary heap in an array: which of its owner's items comes first. The owner says what an item is
 * and which of two comes first; one that wants to find items again is told where each goes.
 *
 * All of it is inline and the kind a constant where it is used, so that the compiler writes what one
 * would write by hand for that item.
 */
#ifndef SIDECAR_BASE_HEAP_H
#define SIDECAR_BASE_HEAP_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define HEAP_INLINE static inline __attribute__((always_inline))

/* Zeroed it is empty. free(items) at the end. */
struct heap {
	void *items; /* the first one first */
	size_t count, room;
};

struct heap_kind {
	size_t bytes; /* of an item */
	bool (*before)(const void *a, const void *b);
	/* An item stands at `at` now. NULL: nobody looks for them. */
	void (*placed)(void *owner, const void *item, size_t at);
};

HEAP_INLINE void *heap_at(const struct heap *heap, const struct heap_kind *kind, size_t at)
{
	return (char *)heap->items + at * kind->bytes;
}

HEAP_INLINE void heap_put(struct heap *heap, const struct heap_kind *kind, size_t at,
			  const void *item, void *owner)
{
	memcpy(heap_at(heap, kind, at), item, kind->bytes);
	if (kind->placed)
		kind->placed(owner, item, at);
}

/* Puts an item that is not in the heap in the place of the one at `at`: up first, then down. */
HEAP_INLINE void heap_replace(struct heap *heap, const struct heap_kind *kind, size_t at,
			      const void *item, void *owner)
{
	for (; at > 0 && kind->before(item, heap_at(heap, kind, (at - 1) / 2)); at = (at - 1) / 2)
		heap_put(heap, kind, at, heap_at(heap, kind, (at - 1) / 2), owner);
	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= heap->count)
			break;
		if (child + 1 < heap->count &&
		    kind->before(heap_at(heap, kind, child + 1), heap_at(heap, kind, child)))
			child++;
		if (!kind->before(heap_at(heap, kind, child), item))
			break;
		heap_put(heap, kind, at, heap_at(heap, kind, child), owner);
		at = child;
	}
	heap_put(heap, kind, at, item, owner);
}

/* Memory for so many items. 0, or -ENOMEM. */
HEAP_INLINE int heap_reserve(struct heap *heap, const struct heap_kind *kind, size_t room)
{
	void *items;

	if (room <= heap->room)
		return 0;
	items = reallocarray(heap->items, room, kind->bytes);
	if (items == NULL)
		return -ENOMEM;
	heap->items = items;
	heap->room = room;
	return 0;
}

/* 0, or -ENOMEM where none is reserved. */
HEAP_INLINE int heap_add(struct heap *heap, const struct heap_kind *kind, const void *item,
			 void *owner)
{
	if (heap->count == heap->room &&
	    heap_reserve(heap, kind, heap->room ? heap->room * 2 : 256) != 0)
		return -ENOMEM;
	heap->count++;
	heap_replace(heap, kind, heap->count - 1, item, owner);
	return 0;
}

/* The last item takes the place of the one that goes. It is read where it stood, past the end. */
HEAP_INLINE void heap_remove(struct heap *heap, const struct heap_kind *kind, size_t at,
			     void *owner)
{
	heap->count--;
	if (at < heap->count)
		heap_replace(heap, kind, at, heap_at(heap, kind, heap->count), owner);
}

#endif
