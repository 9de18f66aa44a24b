/* SPDX-License-Identifier: MIT
 *
 * See engine.h. A flow is looked at when a reply of it comes, when its limits change by themselves
 * (a heap of times), and once a second while mail flows.
 */
#include "sidecar/engine/engine.h"
#include "sidecar/engine/state.h"
#include "sidecar/engine/twice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/destination.h"
#include "shm/window.h"
#include "sidecar/base/log.h"
#include "sidecar/segment/minutes.h"

/* Slots a call: bounds how long the loop is kept from other work, about a millisecond. */
#define PIECE 512
/* Slots that a call of engine_housekeep has looked at, by and by; with more known ones each waits
 * its turn (tollgated(8), BUGS). */
#define TICKS_A_SECOND 262144
#define SECOND_NS      UINT64_C(1000000000)
#define MINUTE_NS      (60 * SECOND_NS)
/* A flow that has been quiet for so long is kept in brief. */
#define QUIET_NS (3900 * SECOND_NS)

static uint32_t count_low(const _Atomic uint64_t *total)
{
	return (uint32_t)atomic_load_explicit(total, memory_order_relaxed);
}

static bool is_flow(const struct engine *e, uint32_t slot)
{
	return segment_kind(e->segment, slot) == SEGMENT_FLOW;
}

const char *engine_destination(const struct engine *e, uint32_t slot, char *text, size_t size)
{
	const struct segment_slot *known = segment_slot(e->segment, slot);

	return segment_name(e->segment, known->kind == SEGMENT_FLOW ? known->destination : slot,
			    text, size);
}

/* ---- what is kept of a flow ------------------------------------------------------------------ */

void engine_shape(struct segment_options *options)
{
	options->shape = (struct segment_shape){
		.engine_bytes = sizeof(struct engine_flow),
		.block_bytes = {[ENGINE_LIFE] = sizeof(struct engine_life),
				[ENGINE_EFFECTS] = CONSTRAINTS * sizeof(struct constraint),
				[ENGINE_REPLIES] = sizeof(struct engine_replies),
				[ENGINE_MINUTES] = minutes_bytes(options->sizes.minutes),
				[ENGINE_WARMUP] = sizeof(struct warmup),
				[ENGINE_SHARED] = sizeof(struct engine_shared)},
	};
}

const struct constraint *engine_effects(const struct engine *e, uint32_t slot)
{
	static const struct constraint none[CONSTRAINTS];
	const struct constraint *constraints = segment_block(e->segment, slot, ENGINE_EFFECTS);

	return constraints ? constraints : none;
}

const struct engine_replies *engine_replies(const struct engine *e, uint32_t slot)
{
	return segment_block(e->segment, slot, ENGINE_REPLIES);
}

struct engine_life engine_life(const struct engine *e, uint32_t slot, uint64_t now_ns)
{
	const struct engine_life *life = segment_block(e->segment, slot, ENGINE_LIFE);
	struct engine_life fresh = {.trouble_ns = 0};
	struct control_bounds bounds;

	if (life)
		return *life;
	effective_bounds(engine_configured(e, slot), e->wall_offset_ns, &bounds);
	control_init(&fresh.control, &bounds, now_ns);
	return fresh;
}

struct engine_life *engine_live(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	struct engine_life *life = segment_block(e->segment, slot, ENGINE_LIFE);
	struct engine_life fresh;

	engine_mark(e, slot);
	if (life)
		return life;
	fresh = engine_life(e, slot, now_ns);
	return segment_block_fill(e->segment, slot, ENGINE_LIFE, &fresh);
}

/* Without constraints that hold, none are kept. */
static void effects_fold(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	const struct constraint *constraints = engine_effects(e, slot);

	for (int i = 0; i < CONSTRAINTS; i++)
		if (constraints[i].kind != CONSTRAINT_NONE && constraints[i].until_ns > now_ns)
			return;
	segment_block_drop(e->segment, slot, ENGINE_EFFECTS);
	engine_mark(e, slot);
}

void engine_effect_add(struct engine *e, uint32_t slot, const struct constraint *constraint,
		       uint64_t now_ns)
{
	struct constraint *constraints = segment_block_take(e->segment, slot, ENGINE_EFFECTS);

	if (constraints)
		constraint_add(constraints, constraint, now_ns);
	engine_mark(e, slot);
}

static int slot_configure(struct engine *e, uint32_t slot);

/* ---- publishing ------------------------------------------------------------------------------ */

/* A controller's limits, where the flow has one. Returns when they change by themselves. */
static uint64_t control_ask(struct engine *e, uint32_t slot, uint64_t now_ns,
			    struct control_limits *ret, struct control_bounds *ret_bounds)
{
	struct engine_life life = engine_life(e, slot, now_ns);
	uint64_t next_ns, shared_ns;

	effective_bounds(engine_configured(e, slot), e->wall_offset_ns, ret_bounds);
	next_ns = control_limits(&life.control, ret_bounds, now_ns, ret);
	shared_ns = engine_sharing_limits(e, slot, now_ns, ret);
	return shared_ns < next_ns ? shared_ns : next_ns;
}

static bool is_settled_flow(struct engine *e, uint32_t slot)
{
	return slot < e->segment->view.slots && is_flow(e, slot) && slot_configure(e, slot) == 0;
}

/* The controller's limits, which change by themselves at next_ns, with what else holds. */
static void effective_of(struct engine *e, uint32_t slot, const struct control_limits *control,
			 uint64_t next_ns, uint64_t now_ns, struct effective *ret)
{
	bool adapts = engine_configured(e, slot)->flags & FLOW_ADAPT;
	uint32_t parents = limits_set_get(e->limits, *engine_configured_at(e, slot))->parents;
	struct warmup_caps caps;

	if (!adapts)
		next_ns = UINT64_MAX;
	if (adapts && engine_sharing_known(e, slot))
		parents |= LAYOUT_DESTINATION;
	effective_merge(engine_configured(e, slot), adapts ? control : NULL,
			engine_effects(e, slot), parents, now_ns, ret);
	engine_history_apply(e, slot, engine_configured(e, slot),
			     segment_block(e->segment, slot, ENGINE_LIFE), now_ns, ret);
	ret->next_ns = next_ns < ret->next_ns ? next_ns : ret->next_ns;
	if (engine_warmup_caps(e, slot, now_ns, &caps, &next_ns))
		effective_warmup(ret, engine_configured(e, slot), &caps);
	effective_share(ret, engine_effects(e, slot), now_ns);
	ret->next_ns = next_ns < ret->next_ns ? next_ns : ret->next_ns;
}

int engine_effective(struct engine *e, uint32_t slot, uint64_t now_ns, struct effective *ret,
		     struct control_limits *ret_control, struct control_bounds *ret_bounds)
{
	uint64_t next_ns;

	if (!is_settled_flow(e, slot))
		return -ENOENT;
	next_ns = control_ask(e, slot, now_ns, ret_control, ret_bounds);
	effective_of(e, slot, ret_control, next_ns, now_ns, ret);
	return 0;
}

/* By the limits that the controller has just returned. */
static void publish_control(struct engine *e, uint32_t slot, const struct control_limits *control,
			    uint64_t next_ns, uint64_t now_ns)
{
	struct effective effective;
	struct publish_limits before;

	engine_warmup_look(e, slot, now_ns);
	effective_of(e, slot, control, next_ns, now_ns, &effective);
	publish_read(e->segment, slot, &before);
	timer_heap_set(e->timers, segment_record(e->segment, slot), effective.next_ns);
	if (!publish_slot(e->segment, slot, &effective.limits, now_ns))
		return;
	e->totals.changes++;
	engine_mark(e, slot);
	engine_watch_change(e, slot, &before, &effective, now_ns);
}

void engine_publish(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	struct control_limits control;
	struct control_bounds bounds;
	uint64_t next_ns;

	if (!is_settled_flow(e, slot))
		return;
	next_ns = control_ask(e, slot, now_ns, &control, &bounds);
	publish_control(e, slot, &control, next_ns, now_ns);
}

static void publish_change(struct engine *e, uint32_t slot, const struct control_change *change,
			   uint64_t now_ns)
{
	/* Its pool may have more to say. */
	if (e->sharings)
		engine_publish(e, slot, now_ns);
	else
		publish_control(e, slot, &change->after, change->next_ns, now_ns);
}

static void publish_nonflow(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	struct publish_limits limits;

	if (e->sharings && segment_kind(e->segment, slot) == SEGMENT_DESTINATION) {
		engine_sharing_destination(e, slot, now_ns);
		return;
	}
	effective_plain(engine_configured(e, slot), &limits);
	e->totals.changes += publish_slot(e->segment, slot, &limits, now_ns);
}

/* ---- the configuration ----------------------------------------------------------------------- */

uint32_t engine_parents_of(const struct engine *e, const uint8_t *source, const char *destination)
{
	struct resolved_limits resolved;
	uint32_t parents = 0;

	limits_resolve_source(e->config, source, &resolved);
	parents |= limits_any(&resolved) ? LAYOUT_SOURCE : 0;
	limits_resolve_destination(e->config, destination, &resolved);
	parents |= limits_any(&resolved) ? LAYOUT_DESTINATION : 0;
	return parents;
}

/* The configuration may be another than the one it was begun under, in this process or a former. */
static void flow_begin(struct engine *e, uint32_t slot)
{
	struct engine_life *life = segment_block(e->segment, slot, ENGINE_LIFE);
	struct control_bounds bounds;

	effective_bounds(engine_configured(e, slot), e->wall_offset_ns, &bounds);
	if (life && control_valid(&life->control))
		control_rebound(&life->control, &bounds);
	else if (life)
		segment_block_drop(e->segment, slot, ENGINE_LIFE);
}

/* -ENOMEM: what was in force stays, or the defaults do. */
static int configured_set(struct engine *e, uint32_t slot, const struct flow_limits *limits,
			  uint32_t parents)
{
	uint32_t *configured = engine_configured_at(e, slot);
	int number = limits_set_add(e->limits, limits, parents);

	if (number < 0)
		return number;
	limits_set_drop(e->limits, *configured);
	*configured = (uint32_t)number;
	return 0;
}

static int slot_reconfigure(struct engine *e, uint32_t slot)
{
	const uint8_t *address = segment_address(e->segment, slot);
	char name[DESTINATION_NAME_MAX + 1];
	struct resolved_limits resolved;
	uint32_t parents = 0;

	engine_destination(e, slot, name, sizeof(name));
	switch (segment_kind(e->segment, slot)) {
	case SEGMENT_FLOW:
		limits_resolve_flow(e->config, address, name, &resolved);
		parents = engine_parents_of(e, address, name);
		break;
	case SEGMENT_SOURCE: limits_resolve_source(e->config, address, &resolved); break;
	case SEGMENT_DESTINATION: limits_resolve_destination(e->config, name, &resolved); break;
	case SEGMENT_STREAM: limits_resolve_stream(e->config, name, &resolved); break;
	default: return -ENOENT;
	}
	return configured_set(e, slot, &resolved.limits, parents);
}

/* Of one that engine_work has yet to reach: what comes about it must not find nothing. */
static int slot_configure(struct engine *e, uint32_t slot)
{
	return *engine_configured_at(e, slot) ? 0 : slot_reconfigure(e, slot);
}

int engine_settled(struct engine *e, uint32_t slot)
{
	return slot_configure(e, slot);
}

/* What the configuration says of a known slot, into `configured`; then into force. */
void engine_slot_fill(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	if (slot_reconfigure(e, slot) != 0)
		return;
	if (!is_flow(e, slot)) {
		publish_nonflow(e, slot, now_ns);
		return;
	}
	flow_begin(e, slot);
	engine_publish(e, slot, now_ns);
}

static void known_take(struct engine *e, uint64_t now_ns);

void engine_settle(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	known_take(e, 0);
	engine_slot_fill(e, slot, now_ns);
}

/* Takes in a slot that has been learned, whoever it was that did. */
static void slot_add(struct engine *e, uint32_t slot)
{
	uint32_t flows = e->segment->header.sizes.flows;

	e->totals.learned++;
	engine_mark(e, slot);
	if (e->count == flows - flows / 10)
		log_warning(
			"directory",
			"%u of %u flows, sources, destinations and streams are known, though those that "
			"are idle are forgotten: raise segment.flows before new ones are refused",
			e->count, flows);
}

/* Those that were learned since, in force. now_ns 0: not yet, engine_work reaches them. */
static void known_take(struct engine *e, uint64_t now_ns)
{
	while (e->count < segment_count(e->segment)) {
		uint32_t slot = segment_nth(e->segment, e->count++);

		slot_add(e, slot);
		if (now_ns)
			engine_slot_fill(e, slot, now_ns);
	}
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
			segment_source(e->segment, address);
		}
	}
}

uint32_t engine_claim(struct engine *e, const uint8_t source[16], const char *destination,
		      uint64_t now_ns)
{
	uint32_t slot = segment_flow(e->segment, source, destination);

	known_take(e, now_ns);
	return slot;
}

void engine_take_in(struct engine *e, uint64_t now_ns)
{
	engine_defaults_publish(e, now_ns);
	pools_claim(e);
	known_take(e, 0);
	e->refill = 0;
}

int engine_configure(struct engine *e, const struct config *config,
		     const struct classifier *classifier, const struct rule_set *rules,
		     uint64_t now_ns)
{
	struct classify_scratch *scratch = NULL;
	struct engine_moves *moves = engine_moves_find(e, config);
	int error = moves ? classify_scratch_create(classifier, &scratch) : -ENOMEM;

	if (!error && e->windows == NULL)
		error = rule_engine_create(e->wall_offset_ns, &e->windows);
	if (!error)
		error = segment_publish_names(e->segment, config->table, config->table_length);
	if (error) {
		classify_scratch_free(scratch);
		engine_moves_free(moves);
		return error;
	}
	classify_scratch_free(e->scratch);
	e->scratch = scratch;
	e->config = config;
	e->classifier = classifier;
	e->rules = rules;
	engine_sharing_free(e);
	engine_take_in(e, now_ns);
	engine_moves_apply(e, moves, now_ns);
	engine_sharing_resume(e, now_ns);
	publish_generation(e->segment);
	return 0;
}

/* ---- replies --------------------------------------------------------------------------------- */

static void reply_remember(struct engine *e, const struct layout_record *r,
			   const struct classification *c, uint64_t now_ns)
{
	struct engine_replies *replies = segment_block_take(e->segment, r->slot, ENGINE_REPLIES);
	struct reply_history *history;

	if (replies == NULL)
		return;
	history = &replies->history[replies->next % REPLY_HISTORY];
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
	replies->next = (replies->next + 1) % REPLY_HISTORY;
}

static void change_log(struct engine *e, uint32_t slot, const struct control_change *change,
		       const struct classification *why)
{
	char source[64], destination[DESTINATION_NAME_MAX + 1];

	if (change->before.phase == change->after.phase)
		return;
	log_info(
		"flow", "%s to %s: %s, was %s (%s, rule %s)",
		destination_address_text(segment_address(e->segment, slot), source, sizeof(source)),
		engine_destination(e, slot, destination, sizeof(destination)),
		control_phase_name(change->after.phase), control_phase_name(change->before.phase),
		reply_class_name(why->class), why->rule);
}

static void reply_control(struct engine *e, uint32_t slot, const struct layout_record *r,
			  const struct classification *c, uint64_t now_ns)
{
	struct engine_life *life = engine_live(e, slot, now_ns);
	struct control_change change;
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

	struct control_state own;
	bool changed;

	if (life == NULL || engine_sharing_observe(e, slot, &seen, now_ns))
		return;
	effective_bounds(engine_configured(e, slot), e->wall_offset_ns, &bounds);
	own = life->control;
	changed = control_observe(&life->control, &bounds, &seen, now_ns, &change);
	engine_sharing_heard(e, slot, &seen, &own, now_ns);
	if (!changed)
		return;
	publish_change(e, slot, &change, now_ns);
	engine_watch_control(e, r, c, &change, now_ns);
	engine_pool_phase(e, slot, change.after.phase, now_ns);
	change_log(e, slot, &change, c);
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
	int error = segment_learn(e->segment, r);

	if (error == -EBADMSG)
		e->totals.unfit++;
	else if (error == -ENOSPC)
		names_full(e);
	known_take(e, now_ns);
}

static void reply_take(struct engine *e, const struct layout_record *r, uint64_t now_ns)
{
	char destination[DESTINATION_NAME_MAX + 1];
	struct classification c = {.class = REPLY_DELIVERED, .rule = "-"};
	unsigned enhanced = (unsigned)r->enhanced[0] << 20 |
			    (unsigned)(r->enhanced[1] & 0x3ff) << 10 | (r->enhanced[2] & 0x3ff);

	if (segment_kind(e->segment, r->slot) == SEGMENT_UNKNOWN)
		slot_register(e, r, now_ns);
	if (!is_flow(e, r->slot) || slot_configure(e, r->slot) != 0)
		return;
	e->reply = r;
	e->classification = &c;
	if (r->code == 0 || r->code >= 300) {
		engine_destination(e, r->slot, destination, sizeof(destination));
		classify(e->classifier, e->scratch, destination,
			 &(struct reply_line){r->code, enhanced, r->text, r->length}, &c);
		/* No reply at all is the network's or the receiver's trouble, whatever the text is.
		 */
		if (r->code == 0 && c.class == REPLY_OTHER)
			c.class = REPLY_INFRASTRUCTURE;
		reply_remember(e, r, &c, now_ns);
		engine_watch_reply(e, r, &c, now_ns);
		engine_rules_reply(e, r, &c, enhanced, now_ns);
		engine_warmup_reply(e, r->slot, &c, now_ns);
	}
	e->totals.replies++;
	e->totals.by_class[c.class]++;
	if (engine_configured(e, r->slot)->flags & FLOW_ADAPT)
		reply_control(e, r->slot, r, &c, now_ns);
	e->reply = NULL;
	e->classification = NULL;
}

void engine_record(struct engine *e, const struct layout_record *r, uint64_t now_ns)
{
	if (r->kind == LAYOUT_RECORD_REPLY)
		reply_take(e, r, now_ns);
	else
		slot_register(e, r, now_ns);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void minutes_count(struct engine *e, uint32_t slot, uint32_t delivered, uint32_t deferred,
			  uint32_t bounced, uint64_t now_ns)
{
	struct minutes *minutes = segment_block_take(e->segment, slot, ENGINE_MINUTES);
	struct minutes_sum more = {delivered, deferred, bounced};

	if (minutes)
		minutes_add(minutes, e->segment->header.sizes.minutes, now_ns / MINUTE_NS, &more);
}

static void life_tick(struct engine *e, uint32_t slot, uint32_t delivered, uint32_t deferred,
		      uint64_t now_ns)
{
	struct engine_life *life = delivered || deferred
					   ? engine_live(e, slot, now_ns)
					   : segment_block(e->segment, slot, ENGINE_LIFE);
	struct control_change change;
	struct control_bounds bounds;

	if (life == NULL)
		return;
	pool_rate_count(&life->pace, delivered, now_ns);
	if (engine_history_count(e, slot, life, delivered, now_ns))
		engine_publish(e, slot, now_ns);
	if (!(engine_configured(e, slot)->flags & FLOW_ADAPT))
		return;
	effective_bounds(engine_configured(e, slot), e->wall_offset_ns, &bounds);
	if (engine_sharing_known(e, slot))
		return;
	if (control_tick(&life->control, &bounds, delivered, now_ns, &change))
		publish_change(e, slot, &change, now_ns);
	if (life->trouble_ns)
		engine_pool_phase(e, slot, change.after.phase, now_ns);
}

/* Totals are workers' to write: a difference that is none counts as nothing. */
static uint32_t count_more(const _Atomic uint64_t *total, uint32_t *before)
{
	uint32_t now = count_low(total), more = now - *before;

	*before = now;
	return more <= INT32_MAX ? more : 0;
}

static void flow_tick(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	struct engine_flow *flow = engine_flow_of(e, slot);
	const struct layout_counters_more *totals = &e->segment->view.counters_more[slot];
	uint32_t delivered, deferred, bounced;

	if (slot_configure(e, slot) != 0)
		return;
	engine_mark(e, slot);
	delivered = count_more(&totals->delivered, &flow->delivered);
	deferred = count_more(&totals->deferred, &flow->deferred);
	bounced = count_more(&totals->bounced, &flow->bounced);

	if (delivered) {
		engine_rules_attempts(e, slot, delivered, now_ns);
		engine_watch_delivered(e, slot, delivered, now_ns);
	}
	if (delivered || deferred || bounced) {
		flow->seen_s = (uint32_t)(now_ns / SECOND_NS);
		minutes_count(e, slot, delivered, deferred, bounced, now_ns);
		engine_warmup_count(e, slot, delivered, deferred, bounced, now_ns);
	}
	life_tick(e, slot, delivered, deferred, now_ns);
}

static void flow_due(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	if (!is_flow(e, slot)) {
		engine_sharing_due(e, slot, now_ns);
		return;
	}
	flow_tick(e, slot, now_ns);
	effects_fold(e, slot, now_ns);
	engine_publish(e, slot, now_ns);
}

/* What need not be kept of a flow that has been quiet for so long that the receiver's hour, and the
 * minutes that are shown, have passed. */
static void flow_fold(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	const struct engine_flow *flow = engine_flow_of(e, slot);
	const struct engine_life *life = segment_block(e->segment, slot, ENGINE_LIFE);
	uint64_t quiet_ns = now_ns - flow->seen_s * SECOND_NS;
	struct control_bounds bounds;

	if (now_ns < flow->seen_s * SECOND_NS)
		return;
	if (flow->blocks[ENGINE_MINUTES] &&
	    quiet_ns > (e->segment->header.sizes.minutes + 1) * UINT64_C(60) * SECOND_NS)
		segment_block_drop(e->segment, slot, ENGINE_MINUTES);
	if (life == NULL || quiet_ns < QUIET_NS || life->trouble_ns || life->warmup_step_back_ns)
		return;
	effective_bounds(engine_configured(e, slot), e->wall_offset_ns, &bounds);
	if (control_plain(&life->control, &bounds, now_ns) &&
	    engine_history_plain(e, slot, life, now_ns))
		segment_block_drop(e->segment, slot, ENGINE_LIFE);
	engine_mark(e, slot);
}

/* The next known slot in turn: what is wrong there is repaired, what a flow did is counted. */
static void slot_housekeep(struct engine *e, uint64_t now_ns)
{
	uint32_t slot = segment_nth(e->segment, e->tick = (e->tick + 1) % e->count);
	const struct layout_counters_more *totals = &e->segment->view.counters_more[slot];
	const struct engine_flow *flow = engine_flow_of(e, slot);
	const struct segment_slot *known = segment_slot(e->segment, slot);
	uint64_t hour = known->hour, day = known->day;

	if (e->tick == 0) {
		e->looked_ns = e->round_ns;
		e->round_ns = now_ns;
	}
	e->totals.repaired += segment_repair(e->segment, slot, 1, now_ns);
	if (known->hour != hour || known->day != day)
		engine_mark(e, slot);
	engine_forget_look(e, slot, now_ns);
	if (!is_flow(e, slot))
		return;
	if (count_low(&totals->delivered) != flow->delivered ||
	    count_low(&totals->deferred) != flow->deferred ||
	    count_low(&totals->bounced) != flow->bounced)
		flow_tick(e, slot, now_ns);
	else if (flow->blocks[ENGINE_LIFE] || flow->blocks[ENGINE_MINUTES])
		flow_fold(e, slot, now_ns);
}

uint64_t engine_work(struct engine *e, uint64_t now_ns)
{
	uint32_t record;
	bool searching;

	for (int i = 0; i < PIECE && (record = timer_heap_take(e->timers, now_ns)) != UINT32_MAX;
	     i++)
		flow_due(e, e->segment->known[record].slot, now_ns);
	for (int i = 0; i < PIECE && e->refill < e->count; i++)
		engine_slot_fill(e, segment_nth(e->segment, e->refill++), now_ns);
	for (int i = 0; i < PIECE && e->looks > 0; i++, e->looks--)
		slot_housekeep(e, now_ns);
	searching = engine_unnamed_work(e, e->unnamed, now_ns);
	known_take(e, now_ns);
	return e->refill < e->count || e->looks > 0 || searching ? now_ns
								 : timer_heap_next(e->timers);
}

/* Of known slots alone: what nobody uses must not be touched, and many take several seconds. */
static void gauges_housekeep(struct engine *e, uint32_t first, uint32_t looks)
{
	uint32_t here = e->count - first < looks ? e->count - first : looks;

	e->totals.repaired += segment_repair_gauges(e->segment, first, here);
	if (here < looks)
		e->totals.repaired += segment_repair_gauges(e->segment, 0, looks - here);
}

void engine_housekeep(struct engine *e, uint64_t now_ns)
{
	uint32_t looks = e->count < TICKS_A_SECOND ? e->count : TICKS_A_SECOND;
	uint32_t first = looks < e->count ? (e->tick + 1) % e->count : 0;

	if (e->tick == 0 && e->looks == 0)
		e->round_ns = now_ns;
	if (e->count == 0)
		e->looked_ns = now_ns;
	e->looks = looks;
	engine_unnamed_second(e->unnamed);
	gauges_housekeep(e, first, looks);
	engine_pools_housekeep(e, now_ns);
}

/* ---- the operator ---------------------------------------------------------------------------- */

int engine_constraint_add(struct engine *e, uint32_t slot, const struct constraint *constraint,
			  uint64_t now_ns)
{
	if (slot >= e->segment->view.slots || !is_flow(e, slot))
		return -ENOENT;
	engine_effect_add(e, slot, constraint, now_ns);
	engine_publish(e, slot, now_ns);
	return 0;
}

int engine_constraint_remove(struct engine *e, uint32_t slot, enum constraint_kind kind,
			     uint64_t now_ns)
{
	struct constraint *constraints;

	if (slot >= e->segment->view.slots || !is_flow(e, slot))
		return -ENOENT;
	constraints = segment_block(e->segment, slot, ENGINE_EFFECTS);
	if (constraints)
		constraint_remove_by_operator(constraints, kind);
	engine_mark(e, slot);
	effects_fold(e, slot, now_ns);
	engine_publish(e, slot, now_ns);
	return 0;
}

int engine_release(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	struct constraint *constraints;
	struct engine_life *life;
	struct control_bounds bounds;

	if (slot >= e->segment->view.slots || !is_flow(e, slot) || slot_configure(e, slot) != 0)
		return -ENOENT;
	constraints = segment_block(e->segment, slot, ENGINE_EFFECTS);
	for (int i = 0; constraints && i < CONSTRAINTS; i++)
		if (constraints[i].kind == CONSTRAINT_HOLD)
			memset(&constraints[i], 0, sizeof(constraints[i]));
	effects_fold(e, slot, now_ns);
	effective_bounds(engine_configured(e, slot), e->wall_offset_ns, &bounds);
	life = segment_block(e->segment, slot, ENGINE_LIFE);
	if (life)
		control_release(&life->control, &bounds, now_ns);
	engine_mark(e, slot);
	engine_publish(e, slot, now_ns);
	return 0;
}

/* What the flow has sent was not learned of the receiver: without it, mail would stand at the floor
 * of a flow that nobody knows. */
int engine_reset(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	const struct engine_life *before;
	struct engine_life *life;
	struct baseline baseline = {.day = 0};

	if (slot >= e->segment->view.slots || !is_flow(e, slot) || slot_configure(e, slot) != 0)
		return -ENOENT;
	before = segment_block(e->segment, slot, ENGINE_LIFE);
	if (before && !engine_history_plain(e, slot, before, now_ns))
		baseline = before->baseline;
	for (uint32_t pool = 0; pool < ENGINE_MINUTES; pool++)
		segment_block_drop(e->segment, slot, pool);
	life = baseline.day ? engine_live(e, slot, now_ns) : NULL;
	if (life)
		life->baseline = baseline;
	engine_mark(e, slot);
	engine_publish(e, slot, now_ns);
	return 0;
}

/* ---- making ---------------------------------------------------------------------------------- */

/* What an earlier sidecar knew of a slot. Where it is lost, what was counted is not news of the next tick: what a
 * flow delivered in months would be taken for one second's mail. */
static void earlier_check(struct engine *e, uint32_t slot)
{
	struct constraint *constraints = segment_block(e->segment, slot, ENGINE_EFFECTS);
	const struct layout_counters_more *totals = &e->segment->view.counters_more[slot];
	struct engine_flow *flow = engine_flow_of(e, slot);

	if (constraints)
		constraints_check(constraints);
	engine_warmup_check(e, slot);
	if (flow->seen_s)
		return;
	flow->delivered = count_low(&totals->delivered);
	flow->deferred = count_low(&totals->deferred);
	flow->bounced = count_low(&totals->bounced);
}

int engine_create(struct segment *segment, struct engine **ret)
{
	uint32_t records = segment->known_room;
	struct engine *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return -ENOMEM;
	e->segment = segment;
	e->configured = calloc(records, sizeof(*e->configured));
	e->heard = calloc(records, sizeof(*e->heard));
	if (e->configured == NULL || e->heard == NULL || limits_set_create(&e->limits) != 0 ||
	    engine_unnamed_create(&e->unnamed) != 0 || twice_create(&e->twice) != 0 ||
	    timer_heap_create(records, &e->timers) != 0) {
		engine_free(e);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < segment_count(segment); i++)
		earlier_check(e, segment_nth(segment, i));
	known_take(e, 0);
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
	free(e->heard);
	limits_set_free(e->limits);
	engine_unnamed_free(e->unnamed);
	engine_moves_free(e->moves);
	engine_sharing_free(e);
	twice_free(e->twice);
	free(e->changed);
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
