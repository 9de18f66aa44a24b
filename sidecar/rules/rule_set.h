/* SPDX-License-Identifier: MIT
 *
 * A rule compiled, for rule_engine.c alone; its public side is in rule_engine.h.
 */
#ifndef SIDECAR_RULES_RULE_SET_H
#define SIDECAR_RULES_RULE_SET_H

#include "sidecar/base/address_range.h"
#include "sidecar/rules/rule_types.h"

struct compiled_rule {
	const struct rule *rule;
	uint64_t name_hash;
	uint32_t classes, limits; /* a bit each */
	struct rule_range *codes, *enhanced;
	struct address_range *sources;
	struct rule_trigger trigger;
	struct rule_action plan;
	bool for_warmup; /* it acts on nothing else */
};

struct rule_set {
	unsigned count;
	struct compiled_rule rules[];
};

/* Whether it asks for this source, destination and pool, or for none, and has anything to act on. */
bool rule_subsumes_flow(const struct compiled_rule *rule, const struct rule_flow *flow);

/* Whether it asks for this reply: class, limit, codes and text. */
bool rule_matches_reply(const struct compiled_rule *rule, unsigned index,
			const struct rule_reply *reply);

#endif
