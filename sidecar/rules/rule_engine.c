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

#include "sidecar/base/hash_table.h"
#include "sidecar/base/units.h"
#include "sidecar/rules/rule_set.h"
#include "sidecar/rules/rule_window.h"

struct state_key {
	uint64_t rule, flow;
};

struct rule_state {
	UT_hash_handle hh;
	struct state_key key;
	uint64_t used_ns, keep_ns; /* used last, and to be kept for so long */
	uint64_t hold_ns, held_until_ns;
	uint64_t alert_until_ns; /* the alert stands until then */
	uint32_t shape;		 /* of the trigger that the window is of */
	struct rule_window window;
};

struct rule_engine {
	struct rule_state *states; /* by the key */
	size_t sweep_at;	   /* so many: then those too old to matter go */
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

static bool memory_old(const struct rule_state *state, uint64_t now_ns)
{
	return now_ns > state->used_ns && now_ns - state->used_ns > state->keep_ns &&
	       now_ns > state->held_until_ns && now_ns > state->alert_until_ns;
}

/* Those of a chain that is no table any more. */
static void states_free(struct rule_state *state)
{
	for (struct rule_state *next; state != NULL; state = next) {
		next = state->hh.next;
		free(state);
	}
}

/* Drops those that are too old to matter. */
static void states_sweep(struct rule_engine *engine, uint64_t now_ns)
{
	struct rule_state *state, *next, *gone = NULL;

	for (state = engine->states; state != NULL; state = next) {
		next = state->hh.next;
		if (!memory_old(state, now_ns))
			continue;
		HASH_DEL(engine->states, state);
		state->hh.next = gone;
		gone = state;
	}
	states_free(gone);
}

void rule_engine_free(struct rule_engine *engine)
{
	struct rule_state *first;

	if (engine == NULL)
		return;
	first = engine->states;
	HASH_CLEAR(hh, engine->states);
	states_free(first);
	free(engine);
}

size_t rule_engine_windows(const struct rule_engine *engine)
{
	return HASH_COUNT(engine->states);
}

static struct rule_state *memory_find(const struct rule_engine *engine, uint64_t rule,
				      uint64_t flow)
{
	struct state_key key;
	struct rule_state *state;

	memset(&key, 0, sizeof(key)); /* the analyzer does not follow bytes otherwise */
	key.rule = rule;
	key.flow = flow;
	HASH_FIND(hh, engine->states, &key, sizeof(key), state);
	return state;
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

static struct rule_state *state_add(struct rule_engine *engine, const struct compiled_rule *rule,
				    const struct rule_state *before)
{
	struct rule_state *state = calloc(1, state_bytes(&rule->trigger));

	if (state == NULL)
		return NULL;
	memcpy(state, before, sizeof(*state));
	state->window = (struct rule_window){0};
	state->shape = rule_window_shape(&rule->trigger);
	HASH_ADD(hh, engine->states, key, sizeof(state->key), state);
	if (!hash_table_lacks(state))
		return state;
	free(state);
	return NULL;
}

/* Of a rule that had another trigger when the window began: it begins anew; holds and alerts
 * stay. */
static struct rule_state *memory_reshape(struct rule_engine *engine, struct rule_state *state,
					 const struct compiled_rule *rule)
{
	struct rule_state *anew = state_add(engine, rule, state);

	if (anew == NULL)
		return NULL;
	HASH_DEL(engine->states, state);
	free(state);
	return anew;
}

static struct rule_state *memory_begin(struct rule_engine *engine, const struct compiled_rule *rule,
				       uint64_t flow, uint64_t now_ns)
{
	const struct rule_state none = {.key = {rule->name_hash, flow}};

	if (HASH_COUNT(engine->states) >= engine->sweep_at) {
		states_sweep(engine, now_ns);
		engine->sweep_at = 2 * HASH_COUNT(engine->states) + 64;
	}
	return state_add(engine, rule, &none);
}

static struct rule_state *memory_get(struct rule_engine *engine, const struct compiled_rule *rule,
				     uint64_t flow, uint32_t recent, uint64_t now_ns)
{
	struct rule_state *state = memory_find(engine, rule->name_hash, flow);
	bool begins = state == NULL || state->shape != rule_window_shape(&rule->trigger);

	if (state == NULL)
		state = memory_begin(engine, rule, flow, now_ns);
	else if (begins)
		state = memory_reshape(engine, state, rule);
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
