/* SPDX-License-Identifier: MIT */
#include "sidecar/engine/rule_effect.h"

#include <math.h>
#include <stdio.h>

#define NS_PER_S 1e9

static uint64_t interval_of(double per_second)
{
	return per_second > 0 ? (uint64_t)ceil(NS_PER_S / per_second) : 0;
}

/* The effect's kind and value. CONSTRAINT_NONE: it asks for nothing here. */
static enum constraint_kind translate(enum rule_action_kind action, double value,
				      const struct publish_limits *inforce, uint64_t *ret_value)
{
	*ret_value = value > 0 ? (uint64_t)value : 0;
	switch (action) {
	case RULE_HOLD: return CONSTRAINT_HOLD;
	case RULE_SCALE:
		*ret_value = value > 0 ? (uint64_t)((double)inforce->interval_ns / value) : 0;
		return *ret_value ? CONSTRAINT_INTERVAL : CONSTRAINT_NONE;
	case RULE_RATE:
		*ret_value = interval_of(value);
		return *ret_value ? CONSTRAINT_INTERVAL : CONSTRAINT_NONE;
	case RULE_CONNECTIONS: return CONSTRAINT_CONNECTIONS;
	case RULE_PER_CONNECTION: return CONSTRAINT_PER_CONNECTION;
	default: return CONSTRAINT_NONE;
	}
}

unsigned rule_effects(const struct rule_verdict *verdict, const struct publish_limits *inforce,
		      uint64_t now_ns, struct constraint ret[RULE_ACTIONS])
{
	unsigned count = 0;

	for (int action = 0; action < RULE_ACTIONS; action++) {
		const struct rule_effect *asked = &verdict->effect[action];
		struct constraint constraint = {.from_ns = now_ns, .until_ns = asked->until_ns};

		if (asked->rule == NULL || asked->until_ns <= now_ns)
			continue;
		constraint.kind = translate((enum rule_action_kind)action, asked->value, inforce,
					    &constraint.value);
		if (constraint.kind == CONSTRAINT_NONE)
			continue;
		snprintf(constraint.name, sizeof(constraint.name), "%s", asked->rule->name);
		ret[count++] = constraint;
	}
	return count;
}
