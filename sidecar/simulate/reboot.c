/* SPDX-License-Identifier: MIT */
#include "sidecar/simulate/reboot.h"

#include <errno.h>
#include <stdatomic.h>

#include "sidecar/base/units.h"
#include "sidecar/engine/saved.h"

static uint64_t load(const _Atomic uint64_t *word)
{
	/* Relaxed: nobody else is there. */
	return atomic_load_explicit(word, memory_order_relaxed);
}

void reboot_usage(const struct segment *before, uint32_t from, struct scratch *after, uint32_t to)
{
	const struct layout_counters *old = &before->view.counters[from];
	struct layout_counters *now = &after->segment->view.counters[to];
	struct segment_slot *known = segment_slot(after->segment, to);

	known->hour = load(&old->hour);
	known->day = load(&old->day);
	atomic_store_explicit(&now->hour, known->hour, memory_order_relaxed);
	atomic_store_explicit(&now->day, known->day, memory_order_relaxed);
}

static bool life_read(const struct engine_life *life, int64_t wall_offset_ns,
		      struct engine_life *ret)
{
	char names[SAVED_NAMES_BYTES];
	uint8_t bytes[SAVED_LIFE_BYTES];
	struct saved_map map;
	size_t length = saved_life_write(life, wall_offset_ns, bytes);

	return saved_map_read(saved_names(names), &map) == 0 &&
	       saved_life_read(bytes, length, &map, wall_offset_ns, ret);
}

static bool effects_read(const struct constraint *effects, int64_t wall_offset_ns, uint64_t now_ns,
			 struct constraint ret[CONSTRAINTS])
{
	uint8_t bytes[SAVED_EFFECT_BYTES];
	size_t length = saved_effects_write(effects, wall_offset_ns, now_ns, bytes);

	return length == 0 || saved_effects_read(bytes, length, wall_offset_ns, ret);
}

static bool shared_read(const struct engine_shared *shared, int64_t wall_offset_ns,
			struct engine_shared *ret)
{
	char names[SAVED_NAMES_BYTES];
	uint8_t bytes[SAVED_SHARED_BYTES];
	struct saved_map map;
	size_t length = saved_shared_write(shared, wall_offset_ns, bytes);

	return saved_map_read(saved_names(names), &map) == 0 &&
	       saved_shared_read(bytes, length, &map, wall_offset_ns, ret);
}

static bool warmup_read(const struct warmup *warmup, struct warmup *ret)
{
	uint8_t bytes[SAVED_WARMUP_BYTES];

	return saved_warmup_read(bytes, saved_warmup_write(warmup, bytes), ret);
}

int reboot_flow(const struct segment *before, uint32_t from, struct scratch *after, uint32_t to,
		int64_t wall_offset_ns, uint64_t now_ns)
{
	const struct engine_life *life = segment_block(before, from, ENGINE_LIFE);
	const struct constraint *effects = segment_block(before, from, ENGINE_EFFECTS);
	const struct engine_shared *shared = segment_block(before, from, ENGINE_SHARED);
	const struct warmup *warmup = segment_block(before, from, ENGINE_WARMUP);
	const struct engine_flow *flow = segment_engine(before, from);
	const struct layout_counters_more *totals = &before->view.counters_more[from];
	struct engine_life life_kept = {.trouble_ns = 0};
	struct constraint effects_kept[CONSTRAINTS] = {{.kind = CONSTRAINT_NONE}};
	struct engine_shared shared_kept = {.pool = 0};
	struct warmup warmup_kept;
	const struct engine_restored restored = {
		.life = life ? &life_kept : NULL,
		.effects = effects ? effects_kept : NULL,
		.shared = shared ? &shared_kept : NULL,
		.seen_ns = flow->seen_s * UNITS_SECOND_NS,
		.delivered = load(&totals->delivered),
		.deferred = load(&totals->deferred),
		.bounced = load(&totals->bounced),
	};

	if ((life && !life_read(life, wall_offset_ns, &life_kept)) ||
	    (effects && !effects_read(effects, wall_offset_ns, now_ns, effects_kept)) ||
	    (shared && !shared_read(shared, wall_offset_ns, &shared_kept)) ||
	    (warmup && !warmup_read(warmup, &warmup_kept)))
		return -EBADMSG;
	engine_restore(after->engine, to, &restored);
	if (warmup)
		engine_restore_warmup(after->engine, to, &warmup_kept);
	engine_settle(after->engine, to, now_ns);
	reboot_usage(before, from, after, to);
	return 0;
}
