/* SPDX-License-Identifier: MIT
 *
 * The engine and pools: when a flow gets into trouble its pool is watched at that destination.
 *
 * A pair (pool, destination) is looked at every few seconds while it is watched, by going through
 * the pool's sources; it is forgotten when it has been quiet for a while.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/destination.h"
#include "sidecar/base/log.h"
#include "sidecar/engine/engine.h"
#include "sidecar/engine/state.h"

#define SECOND_NS	UINT64_C(1000000000)
#define LOOK_NS		(5 * SECOND_NS)
#define FORGET_NS	(600 * SECOND_NS)
#define ACTIVE_NS	(3600 * SECOND_NS)
#define POOL_CONSTRAINT "pool-trouble"

struct pool_watch {
	char pool[64];
	uint32_t destination; /* slot */
	struct hash_key key;  /* the same, whatever number slots have */
	struct pool_health state;
	uint64_t look_ns;
	uint64_t quiet_ns; /* since when it has been quiet */
};

static void watch_add(struct engine *e, const char *pool, uint32_t destination, uint64_t now_ns)
{
	struct pool_watch *watch;

	if (strlen(pool) >= sizeof(watch->pool))
		return;
	for (uint32_t i = 0; i < e->pool_count; i++)
		if (e->pools[i].destination == destination && strcmp(e->pools[i].pool, pool) == 0)
			return;
	if (e->pool_count == e->pool_room) {
		uint32_t room = e->pool_room ? e->pool_room * 2 : 16;
		struct pool_watch *more = realloc(e->pools, room * sizeof(*more));

		if (more == NULL)
			return;
		e->pools = more;
		e->pool_room = room;
	}
	watch = &e->pools[e->pool_count++];
	*watch = (struct pool_watch){
		.destination = destination, .look_ns = now_ns + LOOK_NS, .quiet_ns = now_ns};
	memcpy(watch->key.half, segment_slot(e->segment, destination)->key,
	       sizeof(watch->key.half));
	strcpy(watch->pool, pool);
}

static bool in_trouble(enum control_phase phase)
{
	return phase == CONTROL_HELD || phase == CONTROL_PROBING;
}

void engine_pool_phase(struct engine *e, uint32_t slot, enum control_phase phase, uint64_t now_ns)
{
	struct engine_life *life = segment_block(e->segment, slot, ENGINE_LIFE);
	const struct config_pool *pool;

	if (life == NULL)
		return;
	if (phase == CONTROL_OPEN || phase == CONTROL_SLOWED)
		life->trouble_ns = 0;
	if (!in_trouble(phase) || life->trouble_ns)
		return;
	life->trouble_ns = now_ns;
	pool = config_pool_of(e->config, segment_address(e->segment, slot));
	if (pool)
		watch_add(e, pool->name, segment_slot(e->segment, slot)->destination, now_ns);
}

uint32_t engine_pool_flow(const struct engine *e, uint32_t destination,
			  const struct destination_pool *pool, uint32_t i)
{
	uint8_t address[16];
	struct hash_key key;
	uint32_t slot;

	if (destination_pool_source(e->config->table, e->config->table_length, pool, i, address) !=
	    0)
		return LAYOUT_NONE;
	key = hash_flow(address, segment_slot(e->segment, destination)->key,
			e->segment->header.seed);
	slot = segment_find(e->segment, &key, false);
	return slot != LAYOUT_NONE && segment_kind(e->segment, slot) == SEGMENT_FLOW ? slot
										     : LAYOUT_NONE;
}

static enum control_phase phase_of(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	struct control_limits control = {.phase = CONTROL_OPEN};
	struct control_bounds bounds;
	struct effective effective;

	if (engine_configured(e, slot)->flags & FLOW_ADAPT)
		engine_effective(e, slot, now_ns, &effective, &control, &bounds);
	return control.phase;
}

static void flow_freeze(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	struct engine_life life = engine_life(e, slot, now_ns);
	struct constraint *constraints = segment_block(e->segment, slot, ENGINE_EFFECTS);
	struct constraint constraint = {
		.kind = CONSTRAINT_INTERVAL,
		.value = pool_rate_interval(&life.pace,
					    engine_configured(e, slot)->start_interval_ns),
		.from_ns = now_ns,
		.until_ns = now_ns + 3 * LOOK_NS,
		.name = POOL_CONSTRAINT,
		.why = "most of its pool is refused there: it keeps to its pace",
	};

	/* What it was when the trouble began holds; its pace since then was already bounded by it.
	 */
	for (int i = 0; constraints && i < CONSTRAINTS; i++)
		if (constraints[i].kind == CONSTRAINT_INTERVAL &&
		    strcmp(constraints[i].name, POOL_CONSTRAINT) == 0 &&
		    constraints[i].until_ns > now_ns) {
			constraints[i].until_ns = constraint.until_ns;
			engine_publish(e, slot, now_ns);
			return;
		}
	engine_effect_add(e, slot, &constraint, now_ns);
	engine_publish(e, slot, now_ns);
}

static void pool_count(struct engine *e, const struct pool_watch *watch,
		       const struct destination_pool *pool, uint64_t now_ns,
		       struct pool_counts *ret)
{
	*ret = (struct pool_counts){0, 0};
	for (uint32_t i = 0; i < pool->count; i++) {
		uint32_t slot = engine_pool_flow(e, watch->destination, pool, i);
		struct engine_life *life;
		uint64_t seen_ns;

		if (slot == LAYOUT_NONE)
			continue;
		life = segment_block(e->segment, slot, ENGINE_LIFE);
		/* What refuses them then is one limit, and none has a trouble of its own: not one
		 * of before either, when they are parted. */
		if (life && engine_sharing_known(e, slot))
			life->trouble_ns = 0;
		seen_ns = engine_flow_of(e, slot)->seen_s * SECOND_NS;
		/* A reply may have been taken a moment after now_ns was read. */
		if (seen_ns == 0 || now_ns > seen_ns + ACTIVE_NS)
			continue;
		ret->active++;
		ret->troubled += life && life->trouble_ns &&
				 now_ns >= life->trouble_ns + POOL_TROUBLE_DURATION_NS &&
				 in_trouble(phase_of(e, slot, now_ns));
	}
}

static void pool_housekeep(struct engine *e, struct pool_watch *watch, uint64_t now_ns)
{
	char destination[DESTINATION_NAME_MAX + 1];
	struct destination_pool pool;
	struct pool_counts counts;
	enum pool_judgement judgement;

	if (destination_pool(e->config->table, e->config->table_length, watch->pool, &pool) != 0)
		pool.count = 0;
	pool_count(e, watch, &pool, now_ns, &counts);
	judgement = pool_health_judge(&watch->state, &counts, now_ns);
	engine_destination(e, watch->destination, destination, sizeof(destination));
	if (judgement == POOL_BEGINS)
		log_warning(
			"pool-trouble",
			"%u of %u IPs of pool %s are refused by %s at once: the receiver's doing or the pool's, not "
			"one IP's; the others keep to what they sent before",
			counts.troubled, counts.active, watch->pool, destination);
	if (judgement == POOL_ENDS)
		log_notice("pool-trouble",
			   "pool %s is taken by %s again: %u of %u IPs are still refused",
			   watch->pool, destination, counts.troubled, counts.active);
	if (judgement != POOL_QUIET)
		watch->quiet_ns = now_ns;
	for (uint32_t i = 0;
	     i < pool.count && (judgement == POOL_BEGINS || judgement == POOL_STANDS); i++) {
		uint32_t slot = engine_pool_flow(e, watch->destination, &pool, i);

		if (slot != LAYOUT_NONE && !in_trouble(phase_of(e, slot, now_ns)))
			flow_freeze(e, slot, now_ns);
	}
}

void engine_pools_renewed(struct engine *e)
{
	for (uint32_t i = 0; i < e->pool_count;) {
		struct pool_watch *watch = &e->pools[i];

		watch->destination = segment_find(e->segment, &watch->key, false);
		if (watch->destination == LAYOUT_NONE)
			*watch = e->pools[--e->pool_count];
		else
			i++;
	}
}

void engine_pools_housekeep(struct engine *e, uint64_t now_ns)
{
	for (uint32_t i = 0; i < e->pool_count;) {
		struct pool_watch *watch = &e->pools[i];

		if (now_ns >= watch->look_ns) {
			watch->look_ns = now_ns + LOOK_NS;
			pool_housekeep(e, watch, now_ns);
		}
		if (now_ns > watch->quiet_ns + FORGET_NS)
			*watch = e->pools[--e->pool_count];
		else
			i++;
	}
}
