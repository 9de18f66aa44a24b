/* SPDX-License-Identifier: MIT
 *
 * Rules compiled: what of a reply and a flow each asks for.
 */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "shm/destination.h"
#include "shm/source.h"
#include "sidecar/rules/rule_set.h"

static bool names_have(char *const *names, unsigned count, const char *name)
{
	if (count == 0)
		return true;
	for (unsigned i = 0; name != NULL && i < count; i++)
		if (strcasecmp(names[i], name) == 0)
			return true;
	return false;
}

/* An address in one of the ranges that the rule asks for. */
static bool sources_have(const struct compiled_rule *rule, const char *source)
{
	uint8_t address[16];

	if (rule->rule->match.source_count == 0)
		return true;
	if (source == NULL || source_read(source, address) != 0)
		return false;
	for (unsigned i = 0; i < rule->rule->match.source_count; i++)
		if (address_range_has(&rule->sources[i], address))
			return true;
	return false;
}

static bool acts_on_warmup_alone(const struct rule_action *plan)
{
	for (int kind = 0; kind < RULE_ACTIONS; kind++)
		if (plan->does[kind] && kind != RULE_WARMUP_STEP_BACK)
			return false;
	return plan->does[RULE_WARMUP_STEP_BACK];
}

bool rule_subsumes_flow(const struct compiled_rule *rule, const struct rule_flow *flow)
{
	const struct rule_match *match = &rule->rule->match;

	return !(rule->for_warmup && flow->settled) &&
	       names_have(match->destination, match->destination_count, flow->destination) &&
	       names_have(match->pool, match->pool_count, flow->pool) &&
	       sources_have(rule, flow->source);
}

static bool ranges_have(const struct rule_range *ranges, unsigned count, unsigned number)
{
	if (count == 0)
		return true;
	for (unsigned i = 0; number != 0 && i < count; i++)
		if (rule_range_has(&ranges[i], number))
			return true;
	return false;
}

bool rule_matches_reply(const struct compiled_rule *rule, unsigned index,
			const struct rule_reply *reply)
{
	const struct rule_match *match = &rule->rule->match;

	if (!(rule->classes >> reply->classification->class & 1) ||
	    !(rule->limits >> reply->classification->limit & 1) ||
	    !ranges_have(rule->codes, match->code_count, reply->code) ||
	    !ranges_have(rule->enhanced, match->enhanced_count, reply->enhanced))
		return false;
	if (match->lowers_cap != RULE_DEFAULT &&
	    (match->lowers_cap == RULE_YES) != reply->classification->lowers_cap)
		return false;
	if (reply->scratch == NULL)
		return match->text_count == 0;
	return classify_rule_text(reply->classifier, reply->scratch, index);
}

/* FNV-1a, 64 bits: what a window is found by has to be the same after a reload. */
static uint64_t name_hash(const char *name)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (; *name != '\0'; name++)
		h = (h ^ (unsigned char)*name) * UINT64_C(1099511628211);
	return h;
}

/* Without a class asked for, every reply but a delivery. */
static uint32_t class_mask(const struct rule_match *match)
{
	uint32_t mask = 0;

	if (match->class_count == 0)
		return ((1u << REPLY_CLASSES) - 1) & ~(1u << REPLY_DELIVERED);
	for (unsigned i = 0; i < match->class_count; i++)
		mask |= 1u << match->class[i];
	return mask;
}

static int rule_compile(struct compiled_rule *rule, const struct rule *from)
{
	const struct rule_match *match = &from->match;
	const char *reason, *key;
	int err = 0;

	rule->rule = from;
	rule->name_hash = name_hash(from->name);
	rule->classes = class_mask(match);
	rule->limits = match->limit_count == 0 ? ~0u : 0;
	for (unsigned i = 0; i < match->limit_count; i++)
		rule->limits |= 1u << match->limit[i];
	rule->codes = calloc(match->code_count + 1, sizeof(*rule->codes));
	rule->enhanced = calloc(match->enhanced_count + 1, sizeof(*rule->enhanced));
	rule->sources = calloc(match->source_count + 1, sizeof(*rule->sources));
	if (rule->codes == NULL || rule->enhanced == NULL || rule->sources == NULL)
		return -ENOMEM;
	for (unsigned i = 0; err == 0 && i < match->code_count; i++)
		err = rule_parse_code(match->code[i], &rule->codes[i], &reason);
	for (unsigned i = 0; err == 0 && i < match->enhanced_count; i++)
		err = rule_parse_enhanced(match->enhanced[i], &rule->enhanced[i], &reason);
	for (unsigned i = 0; err == 0 && i < match->source_count; i++)
		err = address_range_read(match->source[i], &rule->sources[i], &reason);
	if (err == 0)
		err = rule_parse_trigger(from->trigger, &rule->trigger, &reason);
	if (err == 0)
		err = rule_parse_plan(&from->action, &rule->plan, &key, &reason);
	rule->for_warmup = err == 0 && acts_on_warmup_alone(&rule->plan);
	return err;
}

int rule_set_create(const struct classifier *classifier, struct rule_set **ret_set)
{
	unsigned count = classifier_rules(classifier);
	struct rule_set *set = calloc(1, sizeof(*set) + count * sizeof(struct compiled_rule));
	int err = 0;

	if (set == NULL)
		return -ENOMEM;
	set->count = count;
	for (unsigned i = 0; err == 0 && i < count; i++)
		err = rule_compile(&set->rules[i], classifier_rule(classifier, i));
	if (err != 0) {
		rule_set_free(set);
		return err;
	}
	*ret_set = set;
	return 0;
}

void rule_set_free(struct rule_set *set)
{
	if (set == NULL)
		return;
	for (unsigned i = 0; i < set->count; i++) {
		free(set->rules[i].codes);
		free(set->rules[i].enhanced);
		free(set->rules[i].sources);
	}
	free(set);
}

const struct rule *rule_set_rule(const struct rule_set *set, unsigned rule)
{
	return set->rules[rule].rule;
}

const struct rule_action *rule_set_plan(const struct rule_set *set, unsigned rule)
{
	return &set->rules[rule].plan;
}
