/* SPDX-License-Identifier: MIT
 *
 * The engine and the rules: who a flow is to them, and what they ask for put in force.
 */
#include <string.h>

#include "shm/destination.h"
#include "sidecar/base/log.h"
#include "sidecar/base/units.h"
#include "sidecar/engine/engine.h"
#include "sidecar/engine/rule_effect.h"
#include "sidecar/engine/state.h"
#include "sidecar/segment/minutes.h"

/* The texts that name a flow to rules and alerts. */
struct flow_names {
	char source[64];
	char destination[DESTINATION_NAME_MAX + 1];
	struct rule_flow flow;
};

/* What it sent within the last hour, as far as its minutes tell. */
static uint32_t recent_of(const struct engine *e, uint32_t slot, uint64_t now_ns)
{
	const struct minutes *minutes = segment_block(e->segment, slot, ENGINE_MINUTES);
	struct minutes_sum sum = {0};

	if (minutes)
		sum = minutes_sum(minutes, e->segment->header.sizes.minutes,
				  now_ns / UNITS_MINUTE_NS, 60);
	return sum.delivered < RULE_RECENT_UNKNOWN ? (uint32_t)sum.delivered
						   : RULE_RECENT_UNKNOWN - 1;
}

static void names_fill(const struct engine *e, uint32_t slot, uint64_t now_ns,
		       struct flow_names *ret)
{
	const struct segment_slot *known = segment_slot(e->segment, slot);
	const uint8_t *address = segment_address(e->segment, slot);
	const struct config_pool *pool = config_pool_of(e->config, address);

	destination_address_text(address, ret->source, sizeof(ret->source));
	engine_destination(e, slot, ret->destination, sizeof(ret->destination));
	ret->flow = (struct rule_flow){.id = known->key[0],
				       .source = ret->source,
				       .destination = ret->destination,
				       .pool = pool ? pool->name : NULL,
				       .recent = recent_of(e, slot, now_ns),
				       .settled = engine_warmup_line(e, slot) == NULL};
}

static void alerts_raise(struct engine *e, const struct rule_verdict *verdict,
			 const struct flow_names *names, const struct layout_record *r,
			 const struct classification *c)
{
	for (unsigned i = 0; i < verdict->alert_count; i++) {
		const struct rule *rule = rule_set_rule(e->rules, verdict->alert[i]);
		char text[LAYOUT_TEXT + 1];
		struct alert_command_about about = {.rule = rule->name,
						    .source = names->source,
						    .destination = names->destination,
						    .class = reply_class_name(c->class),
						    .reply = text};

		memcpy(text, r->text, r->length);
		text[r->length] = '\0';
		log_warning("alert", "rule %s: %s to %s: %s", rule->name, names->source,
			    names->destination, text);
		if (e->alert)
			e->alert(e->alert_arg, rule, rule_set_plan(e->rules, verdict->alert[i]),
				 &about);
	}
}

void engine_rules_reply(struct engine *e, const struct layout_record *r,
			const struct classification *c, unsigned enhanced, uint64_t now_ns)
{
	struct rule_reply reply = {.classification = c,
				   .code = r->code,
				   .enhanced = enhanced,
				   .classifier = e->classifier,
				   .scratch = e->scratch};
	struct engine_life *life;
	struct control_limits control;
	struct control_bounds bounds;
	struct constraint constraints[RULE_ACTIONS];
	struct effective effective;
	struct rule_verdict verdict;
	struct flow_names names;
	unsigned count;

	names_fill(e, r->slot, now_ns, &names);
	if (rule_engine_evaluate(e->windows, e->rules, &names.flow, &reply, now_ns, &verdict) !=
		    0 ||
	    verdict.fired_count == 0)
		return;
	e->totals.fired += verdict.fired_count;
	engine_effective(e, r->slot, now_ns, &effective, &control, &bounds);
	count = rule_effects(&verdict, &effective.limits, now_ns, constraints);
	for (unsigned i = 0; i < count; i++)
		engine_effect_add(e, r->slot, &constraints[i], now_ns);
	if (verdict.effect[RULE_WARMUP_STEP_BACK].rule && (life = engine_live(e, r->slot, now_ns)))
		life->warmup_step_back_ns = now_ns;
	if (verdict.effect[RULE_WARMUP_STEP_BACK].rule)
		engine_warmup_step_back(
			e, r->slot, (uint32_t)verdict.effect[RULE_WARMUP_STEP_BACK].value, now_ns);
	if (count) {
		log_info("rule", "%s to %s: rule %s", names.source, names.destination,
			 rule_set_rule(e->rules, verdict.fired[0])->name);
		engine_publish(e, r->slot, now_ns);
	}
	engine_watch_rules(e, r, c, &verdict, now_ns);
	alerts_raise(e, &verdict, &names, r, c);
}

int engine_rules_describe(struct engine *e, uint32_t slot, uint64_t now_ns, char *text, size_t size)
{
	struct flow_names names;

	names_fill(e, slot, now_ns, &names);
	return rule_engine_describe(e->windows, e->rules, &names.flow, now_ns, text, size);
}

void engine_rules_attempts(struct engine *e, uint32_t slot, uint32_t attempts, uint64_t now_ns)
{
	struct flow_names names;

	names_fill(e, slot, now_ns, &names);
	/* Without memory a ratio is taken over fewer attempts than there were: too early, not too
	 * late. */
	rule_engine_attempts(e->windows, e->rules, &names.flow, attempts, now_ns);
}
