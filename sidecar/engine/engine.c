/* SPDX-License-Identifier: MIT
 *
 * See engine.h. A flow is looked at when a reply of it comes, when its limits change by themselves
 * (a heap of times), and once a second while mail flows.
 */
#include "sidecar/engine/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/destination.h"
#include "shm/window.h"
#include "sidecar/base/log.h"

/* Slots a call: bounds how long the loop is kept from other work, about a millisecond. */
#define PIECE 512
/* Slots that a call of engine_housekeep has looked at, by and by; with more known ones each waits
 * its turn (tollgated(8), BUGS). */
#define TICKS_A_SECOND 262144

static bool is_flow(const struct engine *e, uint32_t slot)
{
	return e->segment->slots[slot].kind == SEGMENT_FLOW;
}

struct engine_flow *engine_flow_of(struct engine *e, uint32_t slot)
{
	return segment_engine(e->segment, slot);
}

const char *engine_destination(const struct engine *e, uint32_t slot, char *text, size_t size)
{
	const struct segment_slot *known = &e->segment->slots[slot];

	return segment_name(e->segment, known->kind == SEGMENT_FLOW ? known->destination : slot,
			    text, size);
}

/* ---- publishing ------------------------------------------------------------------------------ */

/* A controller's limits, where the flow has one. Returns when they change by themselves. */
static uint64_t control_ask(struct engine *e, uint32_t slot, uint64_t now_ns,
			    struct control_limits *ret, struct control_bounds *ret_bounds)
{
	effective_bounds(&e->configured[slot], e->wall_offset_ns, ret_bounds);
	return control_limits(&engine_flow_of(e, slot)->control, ret_bounds, now_ns, ret);
}

int engine_effective(struct engine *e, uint32_t slot, uint64_t now_ns, struct effective *ret,
		     struct control_limits *ret_control, struct control_bounds *ret_bounds)
{
	bool adapts;
	uint64_t next_ns;

	if (slot >= e->segment->view.slots || !is_flow(e, slot))
		return -ENOENT;
	adapts = e->configured[slot].flags & FLOW_ADAPT;
	next_ns = control_ask(e, slot, now_ns, ret_control, ret_bounds);
	if (!adapts)
		next_ns = UINT64_MAX;
	effective_merge(&e->configured[slot], adapts ? ret_control : NULL,
			engine_flow_of(e, slot)->constraints, e->parents[slot], now_ns, ret);
	ret->next_ns = next_ns < ret->next_ns ? next_ns : ret->next_ns;
	return 0;
}

void engine_publish(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	struct control_limits control;
	struct control_bounds bounds;
	struct effective effective;

	if (engine_effective(e, slot, now_ns, &effective, &control, &bounds) != 0)
		return;
	e->totals.changes += publish_slot(e->segment, slot, &effective.limits, now_ns);
	timer_heap_set(e->timers, slot, effective.next_ns);
}

static void publish_nonflow(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	struct publish_limits limits;

	effective_plain(&e->configured[slot], &limits);
	e->totals.changes += publish_slot(e->segment, slot, &limits, now_ns);
}

/* ---- the configuration ----------------------------------------------------------------------- */

static uint32_t parents_of(const struct engine *e, const uint8_t *source, const char *destination)
{
	struct resolved_limits resolved;
	uint32_t parents = 0;

	limits_resolve_source(e->config, source, &resolved);
	parents |= limits_any(&resolved) ? LAYOUT_SOURCE : 0;
	limits_resolve_destination(e->config, destination, &resolved);
	parents |= limits_any(&resolved) ? LAYOUT_DESTINATION : 0;
	return parents;
}

static void flow_begin(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	struct engine_flow *flow = engine_flow_of(e, slot);
	const struct layout_counters_more *totals = &e->segment->view.counters_more[slot];
	struct control_bounds bounds;

	effective_bounds(&e->configured[slot], e->wall_offset_ns, &bounds);
	constraints_check(flow->constraints);
	if (flow->begun == 1 && control_valid(&flow->control)) {
		control_rebound(&flow->control, &bounds);
		return;
	}
	memset(flow, 0, sizeof(*flow));
	/* What came before is not news of the next tick. */
	flow->delivered = atomic_load_explicit(&totals->delivered, memory_order_relaxed);
	flow->deferred = atomic_load_explicit(&totals->deferred, memory_order_relaxed);
	control_init(&flow->control, &bounds, now_ns);
	flow->begun = 1;
}

/* What the configuration says of a known slot, into `configured`; then into force. */
static void slot_fill(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	const struct segment_slot *known = &e->segment->slots[slot];
	char name[DESTINATION_NAME_MAX + 1];
	struct resolved_limits resolved;

	engine_destination(e, slot, name, sizeof(name));
	switch (known->kind) {
	case SEGMENT_FLOW:
		limits_resolve_flow(e->config, known->address, name, &resolved);
		e->configured[slot] = resolved.limits;
		e->parents[slot] = parents_of(e, known->address, name);
		flow_begin(e, slot, now_ns);
		engine_publish(e, slot, now_ns);
		return;
	case SEGMENT_SOURCE: limits_resolve_source(e->config, known->address, &resolved); break;
	case SEGMENT_DESTINATION: limits_resolve_destination(e->config, name, &resolved); break;
	case SEGMENT_STREAM: limits_resolve_stream(e->config, name, &resolved); break;
	default: return;
	}
	e->configured[slot] = resolved.limits;
	publish_nonflow(e, slot, now_ns);
}

static void default_publish(struct engine *e, uint32_t index,
			    const struct resolved_limits *resolved, uint32_t parents)
{
	struct publish_limits limits;

	effective_plain(&resolved->limits, &limits);
	limits.flags |= parents;
	publish_default(e->segment, index, &limits);
}

/* As a flow begins: one that adapts has what its controller gives it at first, so that a new one
 * takes no burst that it has to be forbidden a moment later. Who is still under these limits tells
 * all replies, since its announcement may have been lost: the first reply that arrives makes it
 * known. */
static void default_publish_flow(struct engine *e, uint32_t index,
				 const struct resolved_limits *resolved, uint32_t parents,
				 uint64_t now_ns)
{
	bool adapts = resolved->limits.flags & FLOW_ADAPT;
	struct control_bounds bounds;
	struct control_limits limits;
	struct control_state fresh;
	struct effective effective;

	effective_bounds(&resolved->limits, e->wall_offset_ns, &bounds);
	control_init(&fresh, &bounds, now_ns);
	control_limits(&fresh, &bounds, now_ns, &limits);
	effective_merge(&resolved->limits, adapts ? &limits : NULL, NULL, parents, now_ns,
			&effective);
	effective.limits.flags |= LAYOUT_REPORT_DELIVERED;
	publish_default(e->segment, index, &effective.limits);
}

/* Until a slot is filled these hold; parents that only some sources have are asked for all. */
static void defaults_publish(struct engine *e, uint64_t now_ns)
{
	struct resolved_limits resolved;
	uint32_t parents;

	limits_resolve_source(e->config, NULL, &resolved);
	parents = limits_any(&resolved) || e->config->sources_count || e->config->pools_count
			  ? LAYOUT_SOURCE
			  : 0;
	default_publish(e, LAYOUT_DEFAULT_SOURCE, &resolved, 0);
	limits_resolve_destination(e->config, "", &resolved);
	default_publish(e, LAYOUT_DEFAULT_DESTINATION, &resolved, 0);
	limits_resolve_stream(e->config, "", &resolved);
	default_publish(e, LAYOUT_DEFAULT_STREAM, &resolved, 0);
	limits_resolve_flow(e->config, NULL, "", &resolved);
	default_publish_flow(e, LAYOUT_DEFAULT_FLOW, &resolved, parents, now_ns);
	for (uint32_t i = 0; i < e->config->effective_count; i++) {
		const char *name = e->config->effective[i]->name;

		limits_resolve_flow(e->config, NULL, name, &resolved);
		default_publish_flow(e, LAYOUT_DEFAULT_FIRST + i, &resolved,
				     parents | parents_of(e, NULL, name), now_ns);
	}
}

static void slot_add(struct engine *e, uint32_t slot)
{
	uint32_t flows = e->segment->header.sizes.flows;

	if (e->count == e->room) {
		uint32_t room = e->room ? e->room * 2 : 1024;
		uint32_t *more = realloc(e->slots, room * sizeof(*more));

		if (more == NULL)
			return;
		e->slots = more;
		e->room = room;
	}
	e->slots[e->count++] = slot;
	e->totals.learned++;
	if (e->count == flows - flows / 10)
		log_warning(
			"directory",
			"%u of %u flows, sources, destinations and streams are known, and none is "
			"forgotten: raise segment.flows before new ones are refused",
			e->count, flows);
}

/* Claims what the configuration names, so that it is there before the first worker asks. */
static uint32_t destination_claim(struct engine *e, const char *name)
{
	struct hash_key key =
		hash_bytes(HASH_DESTINATION, name, strlen(name), e->segment->header.seed);
	uint32_t slot = segment_find(e->segment, &key, false);
	bool known = slot != LAYOUT_NONE && e->segment->slots[slot].kind != SEGMENT_UNKNOWN;

	slot = segment_destination(e->segment, name);
	if (slot != LAYOUT_NONE && !known)
		slot_add(e, slot);
	return slot;
}

static void destinations_index(struct engine *e)
{
	/* A destination that is no longer configured falls back to the general defaults. */
	for (uint32_t i = 0; i < e->count; i++)
		if (e->segment->slots[e->slots[i]].kind == SEGMENT_DESTINATION)
			publish_default_index(e->segment, e->slots[i], 0);
	for (uint32_t i = 0; i < e->config->effective_count; i++) {
		uint32_t slot = destination_claim(e, e->config->effective[i]->name);

		if (slot != LAYOUT_NONE)
			publish_default_index(e->segment, slot, LAYOUT_DEFAULT_FIRST + i);
	}
}

static uint32_t source_claim(struct engine *e, const uint8_t address[16])
{
	struct hash_key key = hash_bytes(HASH_SOURCE, address, 16, e->segment->header.seed);
	uint32_t slot = segment_find(e->segment, &key, false);

	if (slot != LAYOUT_NONE && e->segment->slots[slot].kind != SEGMENT_UNKNOWN)
		return slot;
	slot = segment_source(e->segment, address);
	if (slot != LAYOUT_NONE)
		slot_add(e, slot);
	return slot;
}

static void pools_claim(struct engine *e)
{
	for (uint32_t p = 0; p < e->config->pools_count; p++) {
		struct destination_pool pool;
		uint8_t address[16];

		if (destination_pool(e->config->table, e->config->table_length,
				     e->config->pools[p].name, &pool) != 0)
			continue;
		for (uint32_t i = 0; i < pool.count; i++) {
			if (destination_pool_source(e->config->table, e->config->table_length,
						    &pool, i, address) != 0)
				break;
			source_claim(e, address);
		}
	}
}

uint32_t engine_claim(struct engine *e, const uint8_t source[16], const char *destination,
		      uint64_t now_ns)
{
	uint32_t first = e->count, to = destination_claim(e, destination);
	struct hash_key key;
	uint32_t slot;

	if (to == LAYOUT_NONE || source_claim(e, source) == LAYOUT_NONE)
		return LAYOUT_NONE;
	key = hash_flow(source, e->segment->slots[to].key, e->segment->header.seed);
	slot = segment_find(e->segment, &key, false);
	if (slot == LAYOUT_NONE || e->segment->slots[slot].kind != SEGMENT_FLOW) {
		slot = segment_flow(e->segment, source, destination);
		if (slot == LAYOUT_NONE)
			return LAYOUT_NONE;
		slot_add(e, slot);
	}
	while (first < e->count)
		slot_fill(e, e->slots[first++], now_ns);
	return slot;
}

int engine_configure(struct engine *e, const struct config *config,
		     const struct classifier *classifier, const struct rule_set *rules,
		     uint64_t now_ns)
{
	struct classify_scratch *scratch = NULL;
	int error = classify_scratch_create(classifier, &scratch);

	if (!error && e->windows == NULL)
		error = rule_engine_create(e->wall_offset_ns, &e->windows);
	if (!error)
		error = segment_publish_names(e->segment, config->table, config->table_length);
	if (error) {
		classify_scratch_free(scratch);
		return error;
	}
	classify_scratch_free(e->scratch);
	e->scratch = scratch;
	e->config = config;
	e->classifier = classifier;
	e->rules = rules;
	defaults_publish(e, now_ns);
	destinations_index(e);
	pools_claim(e);
	e->refill = 0;
	publish_generation(e->segment);
	return 0;
}

/* ---- replies --------------------------------------------------------------------------------- */

static void reply_remember(struct engine_flow *flow, const struct layout_record *r,
			   const struct classification *c, uint64_t now_ns)
{
	struct reply_history *history = &flow->history[flow->history_next % REPLY_HISTORY];

	*history = (struct reply_history){
		.at_ns = now_ns,
		.code = r->code,
		.enhanced = {r->enhanced[0], r->enhanced[1], r->enhanced[2]},
		.class = (uint8_t)c->class,
		.limit = (uint8_t)c->limit,
		.traffic = r->traffic,
		.stage = r->stage,
		.length = r->length < REPLY_HISTORY_TEXT ? r->length : REPLY_HISTORY_TEXT,
	};
	snprintf(history->rule, sizeof(history->rule), "%s", c->rule);
	memcpy(history->text, r->text, history->length);
	flow->history_next = (flow->history_next + 1) % REPLY_HISTORY;
}

static void change_log(struct engine *e, uint32_t slot, enum control_phase before,
		       const struct control_limits *now, const struct classification *why)
{
	char source[64], destination[DESTINATION_NAME_MAX + 1];

	if (before == now->phase)
		return;
	log_info("flow", "%s to %s: %s, was %s (%s, rule %s)",
		 destination_address_text(e->segment->slots[slot].address, source, sizeof(source)),
		 engine_destination(e, slot, destination, sizeof(destination)),
		 control_phase_name(now->phase), control_phase_name(before),
		 reply_class_name(why->class), why->rule);
}

static void reply_control(struct engine *e, uint32_t slot, const struct layout_record *r,
			  const struct classification *c, uint64_t now_ns)
{
	struct engine_flow *flow = engine_flow_of(e, slot);
	struct control_limits before, after;
	struct control_bounds bounds;
	struct control_observation seen = {
		.class = classification_control(c),
		.limit = c->limit,
		.traffic = (enum tg_class)r->traffic,
		.stage = (enum tg_stage)r->stage,
		.place = r->place,
		/* Its own connection is one of those that are open, unless it never came about. */
		.open_connections = r->stage != TG_STAGE_CONNECT && r->open ? r->open - 1 : r->open,
		.admitted_ns = r->admitted_ns,
		.permanent = r->code >= 500,
	};

	control_ask(e, slot, now_ns, &before, &bounds);
	if (!control_observe(&flow->control, &bounds, &seen, now_ns))
		return;
	control_ask(e, slot, now_ns, &after, &bounds);
	engine_publish(e, slot, now_ns);
	engine_pool_phase(e, slot, after.phase, now_ns);
	change_log(e, slot, before.phase, &after, c);
}

/* Said once: workers announce a name until it is known, so with each decision. */
static void names_full(struct engine *e)
{
	if (!e->names_full)
		log_warning(
			"directory",
			"no room for more names of destinations and streams: raise segment.flows");
	e->names_full = true;
}

static void slot_register(struct engine *e, const struct layout_record *r, uint64_t now_ns)
{
	uint32_t first = e->count;
	int error = segment_learn(e->segment, r);

	if (error == 0) {
		slot_add(e, r->slot);
		/* Its source's own announcement may have been lost. */
		if (r->kind == LAYOUT_RECORD_FLOW)
			source_claim(e, e->segment->slots[r->slot].address);
		while (first < e->count)
			slot_fill(e, e->slots[first++], now_ns);
	} else if (error == -EBADMSG)
		e->totals.unfit++;
	else if (error == -ENOSPC)
		names_full(e);
}

static void reply_take(struct engine *e, const struct layout_record *r, uint64_t now_ns)
{
	char destination[DESTINATION_NAME_MAX + 1];
	struct classification c = {.class = REPLY_DELIVERED, .rule = "-"};
	unsigned enhanced = (unsigned)r->enhanced[0] << 20 |
			    (unsigned)(r->enhanced[1] & 0x3ff) << 10 | (r->enhanced[2] & 0x3ff);

	if (e->segment->slots[r->slot].kind == SEGMENT_UNKNOWN)
		slot_register(e, r, now_ns);
	if (!is_flow(e, r->slot))
		return;
	if (r->code == 0 || r->code >= 300) {
		engine_destination(e, r->slot, destination, sizeof(destination));
		classify(e->classifier, e->scratch, destination, r->code, enhanced, r->text,
			 r->length, &c);
		/* No reply at all is the network's or the receiver's trouble, whatever the text is.
		 */
		if (r->code == 0 && c.class == REPLY_OTHER)
			c.class = REPLY_INFRASTRUCTURE;
		reply_remember(engine_flow_of(e, r->slot), r, &c, now_ns);
		engine_rules_reply(e, r, &c, enhanced, now_ns);
	}
	e->totals.replies++;
	e->totals.by_class[c.class]++;
	if (e->configured[r->slot].flags & FLOW_ADAPT)
		reply_control(e, r->slot, r, &c, now_ns);
}

void engine_record(struct engine *e, const struct layout_record *r, uint64_t now_ns)
{
	if (r->kind == LAYOUT_RECORD_REPLY)
		reply_take(e, r, now_ns);
	else
		slot_register(e, r, now_ns);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void flow_tick(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	struct engine_flow *flow = engine_flow_of(e, slot);
	const struct layout_counters_more *totals = &e->segment->view.counters_more[slot];
	uint64_t delivered = atomic_load_explicit(&totals->delivered, memory_order_relaxed);
	uint64_t deferred = atomic_load_explicit(&totals->deferred, memory_order_relaxed);
	/* Totals are workers' to write: a difference that is none counts as nothing. */
	uint64_t more = delivered - flow->delivered, less = deferred - flow->deferred;
	struct control_bounds bounds;

	flow->delivered = delivered;
	flow->deferred = deferred;
	if (more || less)
		flow->seen_ns = now_ns;
	pool_pace_count(&flow->pace, more <= UINT32_MAX ? (uint32_t)more : 0, now_ns);
	if (more > 0 && more <= UINT32_MAX)
		engine_rules_attempts(e, slot, (uint32_t)more, now_ns);
	if (!(e->configured[slot].flags & FLOW_ADAPT))
		return;
	effective_bounds(&e->configured[slot], e->wall_offset_ns, &bounds);
	if (control_tick(&flow->control, &bounds, more <= UINT32_MAX ? (uint32_t)more : 0,
			 less <= UINT32_MAX ? (uint32_t)less : 0, now_ns))
		engine_publish(e, slot, now_ns);
	if (flow->trouble_ns) {
		struct control_limits control;

		control_ask(e, slot, now_ns, &control, &bounds);
		engine_pool_phase(e, slot, control.phase, now_ns);
	}
}

static void flow_due(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	if (!is_flow(e, slot))
		return;
	flow_tick(e, slot, now_ns);
	engine_publish(e, slot, now_ns);
}

/* The next known slot in turn: what is wrong there is repaired, what a flow did is counted. */
static void slot_housekeep(struct engine *e, uint64_t now_ns)
{
	uint32_t slot = e->slots[e->tick = (e->tick + 1) % e->count];
	const struct layout_counters_more *totals = &e->segment->view.counters_more[slot];
	const struct engine_flow *flow = engine_flow_of(e, slot);

	e->totals.repaired += segment_repair(e->segment, slot, 1, now_ns);
	if (is_flow(e, slot) &&
	    (atomic_load_explicit(&totals->delivered, memory_order_relaxed) != flow->delivered ||
	     atomic_load_explicit(&totals->deferred, memory_order_relaxed) != flow->deferred))
		flow_tick(e, slot, now_ns);
}

uint64_t engine_work(struct engine *e, uint64_t now_ns)
{
	uint32_t slot;

	for (int i = 0; i < PIECE && (slot = timer_heap_take(e->timers, now_ns)) != UINT32_MAX; i++)
		flow_due(e, slot, now_ns);
	for (int i = 0; i < PIECE && e->refill < e->count; i++)
		slot_fill(e, e->slots[e->refill++], now_ns);
	for (int i = 0; i < PIECE && e->looks > 0; i++, e->looks--)
		slot_housekeep(e, now_ns);
	return e->refill < e->count || e->looks > 0 ? now_ns : timer_heap_next(e->timers);
}

/* Of known slots alone: what nobody uses must not be touched, and many take several seconds. */
static void gauges_housekeep(struct engine *e, uint32_t first, uint32_t looks)
{
	uint32_t here = e->count - first < looks ? e->count - first : looks;

	e->totals.repaired += segment_repair_gauges(e->segment, e->slots + first, here);
	if (here < looks)
		e->totals.repaired += segment_repair_gauges(e->segment, e->slots, looks - here);
}

void engine_housekeep(struct engine *e, uint64_t now_ns)
{
	uint32_t looks = e->count < TICKS_A_SECOND ? e->count : TICKS_A_SECOND;
	uint32_t first = looks < e->count ? (e->tick + 1) % e->count : 0;

	e->looks = looks;
	gauges_housekeep(e, first, looks);
	engine_pools_housekeep(e, now_ns);
}

/* ---- the operator ---------------------------------------------------------------------------- */

int engine_constraint_add(struct engine *e, uint32_t slot, const struct constraint *constraint,
			  uint64_t now_ns)
{
	if (slot >= e->segment->view.slots || !is_flow(e, slot))
		return -ENOENT;
	constraint_add(engine_flow_of(e, slot)->constraints, constraint, now_ns);
	engine_publish(e, slot, now_ns);
	return 0;
}

int engine_constraint_remove(struct engine *e, uint32_t slot, enum constraint_kind kind,
			     uint64_t now_ns)
{
	if (slot >= e->segment->view.slots || !is_flow(e, slot))
		return -ENOENT;
	constraint_remove_by_operator(engine_flow_of(e, slot)->constraints, kind);
	engine_publish(e, slot, now_ns);
	return 0;
}

int engine_release(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	struct engine_flow *flow;
	struct control_bounds bounds;

	if (slot >= e->segment->view.slots || !is_flow(e, slot))
		return -ENOENT;
	flow = engine_flow_of(e, slot);
	for (int i = 0; i < CONSTRAINTS; i++)
		if (flow->constraints[i].kind == CONSTRAINT_HOLD)
			memset(&flow->constraints[i], 0, sizeof(flow->constraints[i]));
	effective_bounds(&e->configured[slot], e->wall_offset_ns, &bounds);
	control_release(&flow->control, &bounds, now_ns);
	engine_publish(e, slot, now_ns);
	return 0;
}

int engine_reset(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	if (slot >= e->segment->view.slots || !is_flow(e, slot))
		return -ENOENT;
	engine_flow_of(e, slot)->begun = 0;
	flow_begin(e, slot, now_ns);
	engine_publish(e, slot, now_ns);
	return 0;
}

/* ---- making ---------------------------------------------------------------------------------- */

int engine_create(struct segment *segment, struct engine **ret)
{
	uint32_t slots = segment->view.slots;
	struct engine *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return -ENOMEM;
	e->segment = segment;
	e->configured = calloc(slots, sizeof(*e->configured));
	e->parents = calloc(slots, sizeof(*e->parents));
	if (e->configured == NULL || e->parents == NULL ||
	    timer_heap_create(slots, &e->timers) != 0) {
		engine_free(e);
		return -ENOMEM;
	}
	/* What an earlier sidecar knew. */
	for (uint32_t slot = 0, end = 0;
	     segment_resident_slots(segment, LAYOUT_CONTROL, segment->slots,
				    sizeof(*segment->slots), end, &slot, &end);)
		for (; slot < end; slot++)
			if (segment->slots[slot].kind != SEGMENT_UNKNOWN)
				slot_add(e, slot);
	*ret = e;
	return 0;
}

void engine_free(struct engine *e)
{
	if (e == NULL)
		return;
	classify_scratch_free(e->scratch);
	rule_engine_free(e->windows);
	timer_heap_free(e->timers);
	free(e->configured);
	free(e->parents);
	free(e->slots);
	free(e->pools);
	free(e);
}

void engine_on_alert(struct engine *e, engine_alert *alert, void *arg)
{
	e->alert = alert;
	e->alert_arg = arg;
}

void engine_wall_offset(struct engine *e, int64_t offset_ns)
{
	e->wall_offset_ns = offset_ns;
	if (e->windows)
		rule_engine_wall_offset(e->windows, offset_ns);
}

const struct engine_totals *engine_totals(const struct engine *e)
{
	return &e->totals;
}

const uint32_t *engine_slots(const struct engine *e, uint32_t *ret_count)
{
	*ret_count = e->count;
	return e->slots;
}
