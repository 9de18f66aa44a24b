/* SPDX-License-Identifier: MIT
 *
 * Who watches is told of each reply, and of what rules and the controller did about it.
 */
#include <errno.h>

#include "sidecar/engine/engine.h"
#include "sidecar/engine/state.h"

/* The controller's name among rules. */
static const struct rule controller = {.name = (char *)"controller"};

int engine_watch(struct engine *e, const struct engine_watcher *watcher)
{
	if (e->watcher_count == ENGINE_WATCHERS)
		return -ENOSPC;
	e->watchers[e->watcher_count++] = *watcher;
	return 0;
}

void engine_unwatch(struct engine *e, const void *arg)
{
	for (uint32_t i = 0; i < e->watcher_count; i++) {
		if (e->watchers[i].arg != arg)
			continue;
		e->watchers[i] = e->watchers[--e->watcher_count];
		return;
	}
}

void engine_watch_reply(struct engine *e, const struct layout_record *r,
			const struct classification *c, uint64_t now_ns)
{
	for (uint32_t i = 0; i < e->watcher_count; i++)
		if (e->watchers[i].reply)
			e->watchers[i].reply(e->watchers[i].arg, r, c, now_ns);
}

void engine_watch_delivered(struct engine *e, uint32_t slot, uint32_t messages, uint64_t now_ns)
{
	for (uint32_t i = 0; i < e->watcher_count; i++)
		if (e->watchers[i].delivered)
			e->watchers[i].delivered(e->watchers[i].arg, slot, messages, now_ns);
}

static void action_tell(struct engine *e, const struct layout_record *r,
			const struct classification *c, enum rule_action_kind kind,
			const struct rule_effect *effect, uint64_t now_ns)
{
	const struct engine_action action = {r, c, kind, effect};

	for (uint32_t i = 0; i < e->watcher_count; i++)
		if (e->watchers[i].action)
			e->watchers[i].action(e->watchers[i].arg, &action, now_ns);
}

void engine_watch_rules(struct engine *e, const struct layout_record *r,
			const struct classification *c, const struct rule_verdict *verdict,
			uint64_t now_ns)
{
	for (int kind = 0; e->watcher_count && kind < RULE_ACTIONS; kind++)
		if (verdict->effect[kind].rule)
			action_tell(e, r, c, (enum rule_action_kind)kind, &verdict->effect[kind],
				    now_ns);
}

static uint64_t hold_left(uint64_t until_ns, uint64_t now_ns)
{
	return until_ns > now_ns ? until_ns : 0;
}

/* One that has come to its end by time has changed, too. */
static bool hold_differs(uint64_t before_ns, uint64_t until_ns, uint64_t now_ns)
{
	return before_ns != until_ns && before_ns != hold_left(until_ns, now_ns);
}

/* What people call a change: not what is reported, or from when on an hour counts. `b` has yet to
 * be rounded as `a` was when it was packed. */
static bool differs(const struct publish_limits *a, const struct publish_limits *b, uint64_t now_ns)
{
	return a->interval_ns != gcra_interval(gcra_rate(b->interval_ns, 1)) ||
	       hold_differs(a->hold_until_ns, b->hold_until_ns, now_ns) ||
	       hold_differs(a->hold_lower_ns, b->hold_lower_ns, now_ns) ||
	       a->hour_cap[TG_TRANSACTIONAL] != b->hour_cap[TG_TRANSACTIONAL] ||
	       a->day_cap[TG_TRANSACTIONAL] != b->day_cap[TG_TRANSACTIONAL] ||
	       a->connections[TG_TRANSACTIONAL] != b->connections[TG_TRANSACTIONAL] ||
	       a->per_connection != b->per_connection;
}

void engine_watch_change(struct engine *e, uint32_t slot, const struct publish_limits *before,
			 const struct effective *now, uint64_t now_ns)
{
	const struct engine_change change = {slot, before, now, e->reply, e->classification};

	if (e->watcher_count == 0 || !differs(before, &now->limits, now_ns))
		return;
	for (uint32_t i = 0; i < e->watcher_count; i++)
		if (e->watchers[i].change)
			e->watchers[i].change(e->watchers[i].arg, &change, now_ns);
}

static uint64_t held_until(const struct control_limits *limits)
{
	uint64_t all = limits->hold_until_ns[TG_TRANSACTIONAL],
		 bulk = limits->hold_until_ns[TG_BULK];

	return bulk > all ? bulk : all;
}

static bool suspended(const struct control_limits *limits)
{
	return limits->phase == CONTROL_HELD || limits->phase == CONTROL_PROBING;
}

void engine_watch_control(struct engine *e, const struct layout_record *r,
			  const struct classification *c, const struct control_change *change,
			  uint64_t now_ns)
{
	const struct control_limits *before = &change->before, *after = &change->after;
	uint64_t until_ns = held_until(after);
	struct rule_effect hold = {&controller, (double)(until_ns - now_ns), until_ns};
	struct rule_effect rate = {&controller, 1e9 / (double)after->interval_ns, change->next_ns};

	if (e->watcher_count == 0)
		return;
	if (until_ns > now_ns && until_ns > held_until(before))
		action_tell(e, r, c, RULE_HOLD, &hold, now_ns);
	else if (!suspended(before) && !suspended(after) &&
		 after->interval_ns > before->interval_ns)
		action_tell(e, r, c, RULE_RATE, &rate, now_ns);
}
