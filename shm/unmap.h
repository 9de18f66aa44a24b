/* SPDX-License-Identifier: MIT
 *
 * The mappings of a segment that was replaced, given back piece by piece.
 *
 * Unmapping all that a worker has touched of a segment of a million flows takes tens of
 * milliseconds, in which its next message would wait. So tg_renew gives back for a moment only, and
 * each later call of tg_flow and tg_report a piece more. A worker that makes neither call again
 * has touched little, and that goes in the first moment.
 */
#ifndef TG_UNMAP_H
#define TG_UNMAP_H

#include "shm/handle.h"

/* Takes over the mappings of files; what was left from an earlier time is given back whole. */
void unmap_begin(struct unmapping *left, struct mapping files[LAYOUT_FILES]);

/* Gives back one piece. Any thread: where another one is at it, nothing is done. */
void unmap_piece(struct unmapping *left);

/* Gives back all that is left. */
void unmap_rest(struct unmapping *left);

static inline void unmap_more(struct unmapping *left)
{
	if (__builtin_expect(atomic_load_explicit(&left->any, memory_order_relaxed), 0))
		unmap_piece(left);
}

#endif
