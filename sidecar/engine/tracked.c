/* SPDX-License-Identifier: MIT
 *
 * The engine and the store: which slots have changed since they were last kept, and what an earlier
 * boot of the machine knew, put back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/engine/engine.h"
#include "sidecar/engine/state.h"

#define SECOND_NS UINT64_C(1000000000)
#define WORD_BITS 64

/* ---- what has changed ------------------------------------------------------------------------ */

int engine_track(struct engine *e)
{
	uint32_t words = e->segment->known_room / WORD_BITS + 1;
	uint64_t *changed = calloc(words, sizeof(*changed));

	if (changed == NULL)
		return -ENOMEM;
	free(e->changed);
	e->changed = changed;
	for (uint32_t i = 0; i < segment_count(e->segment); i++)
		engine_mark(e, segment_nth(e->segment, i));
	return 0;
}

uint32_t engine_changed(struct engine *e, uint32_t *cursor)
{
	/* The i-th that is known has record i + 1. */
	for (uint32_t record = *cursor + 1; record <= segment_count(e->segment);) {
		uint64_t *word = &e->changed[record / WORD_BITS];
		uint64_t left = *word >> record % WORD_BITS;

		if (left == 0) {
			record = (record / WORD_BITS + 1) * WORD_BITS;
			continue;
		}
		record += (uint32_t)__builtin_ctzll(left);
		*word &= ~(UINT64_C(1) << record % WORD_BITS);
		*cursor = record;
		return record <= segment_count(e->segment) ? segment_nth(e->segment, record - 1)
							   : LAYOUT_NONE;
	}
	return LAYOUT_NONE;
}

void engine_note(struct engine *e, uint32_t slot)
{
	engine_mark(e, slot);
}

uint64_t engine_looked_ns(const struct engine *e)
{
	return e->looked_ns;
}

/* ---- what was known -------------------------------------------------------------------------- */

static void totals_set(struct engine *e, uint32_t slot, const struct engine_restored *from)
{
	struct layout_counters_more *totals = &e->segment->view.counters_more[slot];
	struct engine_flow *flow = engine_flow_of(e, slot);

	/* Relaxed: workers are not there yet. */
	atomic_store_explicit(&totals->delivered, from->delivered, memory_order_relaxed);
	atomic_store_explicit(&totals->deferred, from->deferred, memory_order_relaxed);
	atomic_store_explicit(&totals->bounced, from->bounced, memory_order_relaxed);
	flow->delivered = (uint32_t)from->delivered;
	flow->deferred = (uint32_t)from->deferred;
	flow->bounced = (uint32_t)from->bounced;
	flow->seen_s = (uint32_t)(from->seen_ns / SECOND_NS);
}

void engine_restore_warmup(struct engine *e, uint32_t slot, const struct warmup *warmup)
{
	segment_block_drop(e->segment, slot, ENGINE_WARMUP);
	segment_block_fill(e->segment, slot, ENGINE_WARMUP, warmup);
}

int engine_restore(struct engine *e, uint32_t slot, const struct engine_restored *from)
{
	if (slot >= e->segment->view.slots || segment_kind(e->segment, slot) != SEGMENT_FLOW)
		return -ENOENT;
	totals_set(e, slot, from);
	/* Again, where a sidecar died in the middle of this. */
	segment_block_drop(e->segment, slot, ENGINE_LIFE);
	segment_block_drop(e->segment, slot, ENGINE_EFFECTS);
	segment_block_drop(e->segment, slot, ENGINE_SHARED);
	if (from->life)
		segment_block_fill(e->segment, slot, ENGINE_LIFE, from->life);
	if (from->effects)
		segment_block_fill(e->segment, slot, ENGINE_EFFECTS, from->effects);
	if (from->shared)
		segment_block_fill(e->segment, slot, ENGINE_SHARED, from->shared);
	return 0;
}
