/* SPDX-License-Identifier: MIT
 *
 * The engine: a table of what each rule remembers of each flow, and the verdict on a reply.
 *
 * A hold that fires again within a day of its last end doubles, up to the rule's hold_max; replies
 * that come while it stands were on their way already, and change nothing. Memories that can no
 * longer matter are dropped when the table would otherwise grow, so it is bounded by the flows of
 * the last day (or of the longest period that a rule asks for).
 */
#include "sidecar/rules/rule_engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/rules/rule_set.h"
#include "sidecar/rules/rule_window.h"

struct rule_state {
	uint64_t rule, flow;	   /* the key */
	uint64_t used_ns, keep_ns; /* used last, and to be kept for so long */
	uint64_t hold_ns, held_until_ns;
	uint64_t alert_until_ns; /* the alert stands until then */
	uint32_t shape;		 /* of the trigger that the window is of */
	struct rule_window window;
};

struct rule_engine {
	/* Linear probing, at most half full; not by uthash, whose handle would be half of a state. */
	struct rule_state **slots;
	size_t count, room;
	int64_t wall_offset_ns;
};

int rule_engine_create(int64_t wall_offset_ns, struct rule_engine **ret_engine)
{
	struct rule_engine *engine = calloc(1, sizeof(*engine));

	if (engine == NULL)
		return -ENOMEM;
	engine->wall_offset_ns = wall_offset_ns;
	*ret_engine = engine;
	return 0;
}

void rule_engine_wall_offset(struct rule_engine *engine, int64_t wall_offset_ns)
{
	engine->wall_offset_ns = wall_offset_ns;
}

void rule_engine_free(struct rule_engine *engine)
{
	if (engine == NULL)
		return;
	for (size_t i = 0; i < engine->room; i++)
		free(engine->slots[i]);
	free(engine->slots);
	free(engine);
}

size_t rule_engine_windows(const struct rule_engine *engine)
{
	return engine->count;
}

static size_t slot_find(struct rule_state *const *slots, size_t room, uint64_t rule, uint64_t flow)
{
	uint64_t h = (rule ^ (flow << 32 | flow >> 32)) * UINT64_C(0x9E3779B97F4A7C15);
	size_t slot = (size_t)(h >> 20) & (room - 1);

	while (slots[slot] != NULL && (slots[slot]->rule != rule || slots[slot]->flow != flow))
		slot = (slot + 1) & (room - 1);
	return slot;
}

static bool memory_old(const struct rule_state *state, uint64_t now_ns)
{
	return now_ns > state->used_ns && now_ns - state->used_ns > state->keep_ns &&
	       now_ns > state->held_until_ns && now_ns > state->alert_until_ns;
}

/* Into a table of a fitting size, without what is too old to matter. */
static int engine_rebuild(struct rule_engine *engine, uint64_t now_ns)
{
	size_t kept = 0, room = 64;
	struct rule_state **slots;

	for (size_t i = 0; i < engine->room; i++)
		kept += engine->slots[i] != NULL && !memory_old(engine->slots[i], now_ns);
	while (room < 4 * (kept + 1))
		room *= 2;
	slots = calloc(room, sizeof(struct rule_state *));
	if (slots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < engine->room; i++) {
		struct rule_state *state = engine->slots[i];

		if (state == NULL)
			continue;
		if (memory_old(state, now_ns))
			free(state);
		else
			slots[slot_find(slots, room, state->rule, state->flow)] = state;
	}
	free(engine->slots);
	engine->slots = slots;
	engine->room = room;
	engine->count = kept;
	return 0;
}

static struct rule_state *memory_find(const struct rule_engine *engine, uint64_t rule,
				      uint64_t flow)
{
	return engine->room == 0
		       ? NULL
		       : engine->slots[slot_find(engine->slots, engine->room, rule, flow)];
}

static bool counts_attempts(const struct compiled_rule *rule)
{
	return rule->trigger.kind == RULE_RATIO || rule->trigger.kind == RULE_GROWTH;
}

/* Days begin at the wall clock's midnight (UTC); all else runs on the clock that is given. */
static uint64_t window_time(const struct rule_engine *engine, const struct compiled_rule *rule,
			    uint64_t now_ns)
{
	return rule->trigger.kind == RULE_GROWTH ? now_ns + (uint64_t)engine->wall_offset_ns
						 : now_ns;
}

/* What came before a rule began to remember. Of more than its period it counts as much as there
 * would be in one at the same pace. */
static void window_begin(const struct rule_engine *engine, const struct compiled_rule *rule,
			 struct rule_state *state, uint32_t recent, uint64_t now_ns)
{
	double share = (double)rule->trigger.period_ns / (double)UNITS_HOUR_NS;

	if (!counts_attempts(rule) || recent == 0 || recent == RULE_RECENT_UNKNOWN)
		return;
	rule_window_add(&state->window, &rule->trigger,
			share < 1 ? (uint32_t)(recent * share) : recent, 0,
			window_time(engine, rule, now_ns));
}

static size_t state_bytes(const struct rule_trigger *trigger)
{
	return sizeof(struct rule_state) + rule_window_words(trigger) * sizeof(uint32_t);
}

/* Of a rule that had another trigger when the window began: it begins anew; holds and alerts
 * stay. */
static struct rule_state *memory_reshape(struct rule_state **at, const struct compiled_rule *rule)
{
	size_t bytes = state_bytes(&rule->trigger), window = offsetof(struct rule_state, window);
	struct rule_state *state = realloc(*at, bytes);

	if (state == NULL)
		return NULL;
	memset((char *)state + window, 0, bytes - window);
	state->shape = rule_window_shape(&rule->trigger);
	*at = state;
	return state;
}

static struct rule_state *memory_begin(struct rule_engine *engine, const struct compiled_rule *rule,
				       uint64_t flow, uint64_t now_ns)
{
	struct rule_state *state;

	if (2 * (engine->count + 1) > engine->room && engine_rebuild(engine, now_ns) != 0)
		return NULL;
	state = calloc(1, state_bytes(&rule->trigger));
	if (state == NULL)
		return NULL;
	state->rule = rule->name_hash;
	state->flow = flow;
	state->shape = rule_window_shape(&rule->trigger);
	engine->slots[slot_find(engine->slots, engine->room, state->rule, flow)] = state;
	engine->count++;
	return state;
}

static struct rule_state *memory_get(struct rule_engine *engine, const struct compiled_rule *rule,
				     uint64_t flow, uint32_t recent, uint64_t now_ns)
{
	struct rule_state *state = memory_find(engine, rule->name_hash, flow);
	bool begins = state == NULL || state->shape != rule_window_shape(&rule->trigger);

	if (state == NULL)
		state = memory_begin(engine, rule, flow, now_ns);
	else if (begins)
		state = memory_reshape(&engine->slots[slot_find(engine->slots, engine->room,
								rule->name_hash, flow)],
				       rule);
	if (state == NULL)
		return NULL;
	if (begins)
		window_begin(engine, rule, state, recent, now_ns);
	if (now_ns > state->used_ns)
		state->used_ns = now_ns;
	state->keep_ns = 2 * (rule->trigger.period_ns > UNITS_DAY_NS ? rule->trigger.period_ns
								     : UNITS_DAY_NS);
	return state;
}

/* ---- verdict ----------------------------------------------------------------------------------
 */
static bool stricter(enum rule_action_kind kind, double value, double than)
{
	return kind == RULE_HOLD || kind == RULE_WARMUP_STEP_BACK ? value > than : value < than;
}

/* How long to hold now: doubled if the last hold ended less than a day ago. */
static double hold_next(struct rule_state *state, const struct rule_action *plan, uint64_t now_ns)
{
	uint64_t hold_ns = (uint64_t)plan->value[RULE_HOLD];

	if (state->hold_ns != 0 && now_ns < state->held_until_ns + UNITS_DAY_NS)
		hold_ns = state->hold_ns > plan->hold_max_ns / 2 ? plan->hold_max_ns
								 : 2 * state->hold_ns;
	if (hold_ns < (uint64_t)plan->value[RULE_HOLD])
		hold_ns = (uint64_t)plan->value[RULE_HOLD];
	state->hold_ns = hold_ns;
	state->held_until_ns = now_ns + hold_ns;
	return (double)hold_ns;
}

static void effect_take(struct rule_verdict *verdict, enum rule_action_kind kind,
			const struct rule *rule, double value, uint64_t until_ns)
{
	struct rule_effect *effect = &verdict->effect[kind];

	if (effect->rule == NULL || stricter(kind, value, effect->value))
		*effect = (struct rule_effect){rule, value, until_ns};
}

static void rule_fires(const struct compiled_rule *rule, unsigned index, struct rule_state *state,
		       uint64_t now_ns, struct rule_verdict *verdict)
{
	const struct rule_action *plan = &rule->plan;

	if (verdict->fired_count++ < RULE_FIRED_MAX)
		verdict->fired[verdict->fired_count - 1] = index;
	for (int kind = 0; kind < RULE_ACTIONS; kind++) {
		double value = plan->value[kind];
		uint64_t until_ns = now_ns + plan->until_ns;

		if (!plan->does[kind] || kind == RULE_ALERT)
			continue;
		if (kind == RULE_HOLD) {
			value = hold_next(state, plan, now_ns);
			until_ns = state->held_until_ns;
		}
		effect_take(verdict, kind, rule->rule, value, until_ns);
	}
	if (plan->does[RULE_ALERT]) {
		if (now_ns >= state->alert_until_ns && verdict->alert_count < RULE_FIRED_MAX) {
			verdict->alert[verdict->alert_count++] = index;
			effect_take(verdict, RULE_ALERT, rule->rule, 0, now_ns + plan->until_ns);
		}
		state->alert_until_ns = now_ns + plan->until_ns;
	}
}

/* Whether attempts alone are remembered: of a flow that sends so much that the rule may come to
 * have those it asks for. One that does not needs no memory before a reply of it matches: what it
 * sent is known without. */
static bool remembered(const struct rule_engine *engine, const struct compiled_rule *rule,
		       const struct rule_flow *flow, uint32_t attempts)
{
	double hours = (double)rule->trigger.period_ns / (double)UNITS_HOUR_NS;

	return (double)flow->recent + attempts >= rule->trigger.count / (hours > 1 ? hours : 1) ||
	       memory_find(engine, rule->name_hash, flow->id) != NULL;
}

int rule_engine_evaluate(struct rule_engine *engine, const struct rule_set *set,
			 const struct rule_flow *flow, const struct rule_reply *reply,
			 uint64_t now_ns, struct rule_verdict *ret_verdict)
{
	*ret_verdict = (struct rule_verdict){.fired_count = 0};
	for (unsigned i = 0; i < set->count; i++) {
		const struct compiled_rule *rule = &set->rules[i];
		bool hit = rule_matches_reply(rule, i, reply);
		struct rule_state *state;

		if ((!hit && !counts_attempts(rule)) || !rule_subsumes_flow(rule, flow))
			continue;
		if (!hit && !remembered(engine, rule, flow, 1))
			continue;
		state = memory_get(engine, rule, flow->id, flow->recent, now_ns);
		if (state == NULL) {
			*ret_verdict = (struct rule_verdict){.fired_count = 0};
			return -ENOMEM;
		}
		if (hit && rule->plan.does[RULE_HOLD] && now_ns < state->held_until_ns)
			continue;
		if (rule_window_add(&state->window, &rule->trigger, 1, hit,
				    window_time(engine, rule, now_ns)))
			rule_fires(rule, i, state, now_ns, ret_verdict);
	}
	return 0;
}

int rule_engine_attempts(struct rule_engine *engine, const struct rule_set *set,
			 const struct rule_flow *flow, uint32_t attempts, uint64_t now_ns)
{
	for (unsigned i = 0; i < set->count; i++) {
		const struct compiled_rule *rule = &set->rules[i];
		struct rule_state *state;

		if (!counts_attempts(rule) || !rule_subsumes_flow(rule, flow))
			continue;
		if (!remembered(engine, rule, flow, attempts))
			continue;
		state = memory_get(engine, rule, flow->id, flow->recent, now_ns);
		if (state == NULL)
			return -ENOMEM;
		rule_window_add(&state->window, &rule->trigger, attempts, 0,
				window_time(engine, rule, now_ns));
	}
	return 0;
}

/* ---- in words ---------------------------------------------------------------------------------
 */
static int describe_rule(const struct rule_engine *engine, const struct compiled_rule *rule,
			 const struct rule_state *state, uint64_t now_ns, char *text, size_t size)
{
	char trigger[64], left[64] = "";
	uint32_t attempts, hits = 0;

	if (state->shape == rule_window_shape(&rule->trigger))
		rule_window_sum(&state->window, &rule->trigger, window_time(engine, rule, now_ns),
				&attempts, &hits);
	rule_trigger_text(&rule->trigger, trigger, sizeof(trigger));
	if (state->held_until_ns > now_ns)
		units_duration_text((state->held_until_ns - now_ns) / UNITS_SECOND_NS *
					    UNITS_SECOND_NS,
				    left, sizeof(left));
	return snprintf(text, size, "%s (%s): %u replies%s%s%s\n", rule->rule->name, trigger, hits,
			left[0] ? "; held for another " : "", left,
			state->alert_until_ns > now_ns ? "; alert stands" : "");
}

int rule_engine_describe(const struct rule_engine *engine, const struct rule_set *set,
			 const struct rule_flow *flow, uint64_t now_ns, char *text, size_t size)
{
	int len = 0;

	if (size > 0)
		text[0] = '\0';
	for (unsigned i = 0; i < set->count; i++) {
		const struct rule_state *state =
			memory_find(engine, set->rules[i].name_hash, flow->id);
		size_t at = (size_t)len < size ? (size_t)len : size;

		if (state != NULL && rule_subsumes_flow(&set->rules[i], flow))
			len += describe_rule(engine, &set->rules[i], state, now_ns, text + at,
					     size - at);
	}
	return len;
}
