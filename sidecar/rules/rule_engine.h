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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/rules/classify.h"
#include "sidecar/rules/rule_parse.h"

struct rule_set;
struct rule_engine;

/* -ENOMEM. The classifier must outlive the set. */
int rule_set_create(const struct classifier *classifier, struct rule_set **ret_set);
void rule_set_free(struct rule_set *set);
unsigned rule_set_count(const struct rule_set *set);
const struct rule *rule_set_rule(const struct rule_set *set, unsigned rule);
const struct rule_action *rule_set_plan(const struct rule_set *set, unsigned rule);

/* Windows; for one thread. wall_offset_ns is wall clock minus the clock of now_ns, for days; it may
 * be said anew when it has changed. -ENOMEM. */
int rule_engine_create(int64_t wall_offset_ns, struct rule_engine **ret_engine);
void rule_engine_wall_offset(struct rule_engine *engine, int64_t wall_offset_ns);
void rule_engine_free(struct rule_engine *engine);
size_t rule_engine_windows(const struct rule_engine *engine);

/* Names may be NULL where not known: a rule that asks for one then does not match. */
struct rule_flow {
	uint64_t id; /* whatever names the flow: its key's hash */
	const char *source, *destination, *pool;
	uint32_t recent; /* attempts of the last hour before these: what a window begins with */
};

/* Nobody knows: every attempt is remembered from the first on. */
#define RULE_RECENT_UNKNOWN UINT32_MAX

struct rule_reply {
	const struct classification *classification;
	unsigned code, enhanced;
	/* Of the classification: the texts that rules ask for. NULL: it had none. */
	const struct classifier *classifier;
	const struct classify_scratch *scratch;
};

#define RULE_FIRED_MAX 16u

struct rule_effect {
	const struct rule *rule; /* the one that won; NULL: no rule asks for this */
	double value;		 /* as in rule_plan */
	uint64_t until_ns;	 /* hold, rate, scale, caps: until then */
};

struct rule_verdict {
	struct rule_effect effect[RULE_ACTIONS];
	unsigned fired_count;		/* all that fired ... */
	unsigned fired[RULE_FIRED_MAX]; /* ... the first of them, as indexes of the set */
	unsigned alert_count; /* alerts that begin: once until the rule has been quiet for its "for"
			       */
	unsigned alert[RULE_FIRED_MAX];
};

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
