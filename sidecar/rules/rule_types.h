/* SPDX-License-Identifier: MIT
 *
 * What a rule is asked, and what it answers.
 */
#ifndef SIDECAR_RULES_RULE_TYPES_H
#define SIDECAR_RULES_RULE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/rules/classify.h"
#include "sidecar/rules/rule_parse.h"

struct rule_set;
struct rule_engine;

/* Names may be NULL where not known: a rule that asks for one then does not match. */
struct rule_flow {
	uint64_t id; /* whatever names the flow: its key's hash */
	const char *source, *destination, *pool;
	uint32_t recent; /* attempts of the last hour before these: what a window begins with */
	bool settled;	 /* it does not warm up: a rule that acts on that alone remembers nothing */
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

/* -ENOMEM. The classifier must outlive the set. */
int rule_set_create(const struct classifier *classifier, struct rule_set **ret_set);
void rule_set_free(struct rule_set *set);
const struct rule *rule_set_rule(const struct rule_set *set, unsigned rule);
const struct rule_action *rule_set_plan(const struct rule_set *set, unsigned rule);

#endif
