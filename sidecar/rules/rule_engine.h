/* SPDX-License-Identifier: MIT
 *
 * Rules: which replies, how often, and what then.
 *
 * A rule set is compiled from the files of a classifier and immutable. The engine holds what each
 * rule remembers of each flow (rule_window.h), found by the rule's name and the flow, so that it
 * outlives a reload of the rules. Evaluating yields what the rules ask for; applying it is for
 * others. Time is an argument; nothing here reads a clock, writes to the segment or starts a
 * program.
 *
 * Several rules may fire at once. Of each kind of action the strictest stands: the longest hold,
 * the smallest scale, rate and caps, the most days back; of equals the first. The verdict names it.
 */
#ifndef SIDECAR_RULES_RULE_ENGINE_H
#define SIDECAR_RULES_RULE_ENGINE_H

#include "sidecar/rules/rule_types.h"

/* Windows; for one thread. wall_offset_ns is wall clock minus the clock of now_ns, for days; it may
 * be said anew when it has changed. -ENOMEM. */
int rule_engine_create(int64_t wall_offset_ns, struct rule_engine **ret_engine);
void rule_engine_wall_offset(struct rule_engine *engine, int64_t wall_offset_ns);
void rule_engine_free(struct rule_engine *engine);
size_t rule_engine_windows(const struct rule_engine *engine);

/* Takes a reply in, as one attempt. -ENOMEM: the verdict is empty, nothing was counted for the
 * rules after the one that found no memory. */
int rule_engine_evaluate(struct rule_engine *engine, const struct rule_set *set,
			 const struct rule_flow *flow, const struct rule_reply *reply,
			 uint64_t now_ns, struct rule_verdict *ret_verdict);

/* Attempts of the flow that no rule_engine_evaluate has seen: deliveries, for ratios. -ENOMEM. */
int rule_engine_attempts(struct rule_engine *engine, const struct rule_set *set,
			 const struct rule_flow *flow, uint32_t attempts, uint64_t now_ns);

/* What the rules remember of the flow, a line each ("blocklisted: 2 of 3 in 1h; held until ..."),
 * for `explain`. Returns the length as snprintf does. */
int rule_engine_describe(const struct rule_engine *engine, const struct rule_set *set,
			 const struct rule_flow *flow, uint64_t now_ns, char *text, size_t size);

#endif
