/* SPDX-License-Identifier: MIT */
#include "sidecar/rules/rule_subsume.h"

#include <string.h>
#include <strings.h>

#include "sidecar/rules/rule_parse.h"

/* Every name of `narrow` is in `wide`; an empty list stands for all names. */
static bool names_subsume(char *const *wide, unsigned wide_count, char *const *narrow,
			  unsigned narrow_count)
{
	if (wide_count == 0)
		return true;
	for (unsigned i = 0; i < narrow_count; i++) {
		unsigned k = 0;

		while (k < wide_count && strcasecmp(wide[k], narrow[i]) != 0)
			k++;
		if (k == wide_count)
			return false;
	}
	return narrow_count > 0;
}

static bool range_within(const struct rule_range *narrow, const struct rule_range *wide)
{
	if (wide->mask != narrow->mask && narrow->mask != ~0u)
		return false;
	return (narrow->low & wide->mask) >= wide->low &&
	       (narrow->high & wide->mask) <= wide->high &&
	       (wide->mask == ~0u || narrow->low >> 20 == narrow->high >> 20);
}

static bool
ranges_cover(int (*parse)(const char *text, struct rule_range *ret, const char **reason),
	     char *const *wide, unsigned wide_count, char *const *narrow, unsigned narrow_count)
{
	struct rule_range a, b;
	const char *reason;

	if (wide_count == 0)
		return true;
	for (unsigned i = 0; i < narrow_count; i++) {
		bool within = false;

		if (parse(narrow[i], &b, &reason) != 0)
			return false;
		for (unsigned k = 0; k < wide_count && !within; k++)
			within = parse(wide[k], &a, &reason) == 0 && range_within(&b, &a);
		if (!within)
			return false;
	}
	return narrow_count > 0;
}

static bool numbers_cover(const unsigned *wide, unsigned wide_count, const unsigned *narrow,
			  unsigned narrow_count)
{
	if (wide_count == 0)
		return true;
	for (unsigned i = 0; i < narrow_count; i++) {
		unsigned k = 0;

		while (k < wide_count && wide[k] != narrow[i])
			k++;
		if (k == wide_count)
			return false;
	}
	return narrow_count > 0;
}

bool rule_match_covers(const struct rule_match *wide, const struct rule_match *narrow)
{
	return numbers_cover(wide->class, wide->class_count, narrow->class, narrow->class_count) &&
	       numbers_cover(wide->limit, wide->limit_count, narrow->limit, narrow->limit_count) &&
	       ranges_cover(rule_parse_code, wide->code, wide->code_count, narrow->code,
			    narrow->code_count) &&
	       ranges_cover(rule_parse_enhanced, wide->enhanced, wide->enhanced_count,
			    narrow->enhanced, narrow->enhanced_count) &&
	       names_subsume(wide->text, wide->text_count, narrow->text, narrow->text_count) &&
	       (wide->not_text_count == 0 ||
		(narrow->not_text_count > 0 &&
		 names_subsume(narrow->not_text, narrow->not_text_count, wide->not_text,
			       wide->not_text_count))) &&
	       names_subsume(wide->destination, wide->destination_count, narrow->destination,
			     narrow->destination_count) &&
	       names_subsume(wide->source, wide->source_count, narrow->source,
			     narrow->source_count) &&
	       names_subsume(wide->pool, wide->pool_count, narrow->pool, narrow->pool_count) &&
	       (wide->lowers_cap == RULE_DEFAULT || wide->lowers_cap == narrow->lowers_cap);
}

/* Whether a fires no later than b, given that it counts at least what b counts. */
static bool trigger_covers(const struct rule_trigger *a, const struct rule_trigger *b)
{
	if (a->kind == RULE_IMMEDIATE)
		return true;
	if (a->kind == RULE_COUNT && b->kind == RULE_COUNT)
		return a->count <= b->count && a->period_ns >= b->period_ns;
	return a->kind == b->kind && a->count == b->count && a->period_ns == b->period_ns &&
	       a->millionths == b->millionths;
}

static bool action_covers(enum rule_action_kind kind, const struct rule_action *a,
			  const struct rule_action *b)
{
	if (!b->does[kind])
		return true;
	if (!a->does[kind])
		return false;
	switch (kind) {
	case RULE_HOLD: return a->value[kind] >= b->value[kind] && a->hold_max_ns >= b->hold_max_ns;
	case RULE_WARMUP_STEP_BACK: return a->value[kind] >= b->value[kind];
	case RULE_ALERT: return false; /* each alert is its own */
	default: return a->value[kind] <= b->value[kind] && a->until_ns >= b->until_ns;
	}
}

bool rule_subsumes(const struct rule *a, const struct rule *b)
{
	struct rule_trigger trigger_a, trigger_b;
	struct rule_action plan_a, plan_b;
	const char *reason, *key;

	if (!rule_match_covers(&a->match, &b->match) ||
	    rule_parse_trigger(a->trigger, &trigger_a, &reason) != 0 ||
	    rule_parse_trigger(b->trigger, &trigger_b, &reason) != 0 ||
	    !trigger_covers(&trigger_a, &trigger_b) ||
	    rule_parse_plan(&a->action, &plan_a, &key, &reason) != 0 ||
	    rule_parse_plan(&b->action, &plan_b, &key, &reason) != 0)
		return false;
	for (int kind = 0; kind < RULE_ACTIONS; kind++)
		if (!action_covers(kind, &plan_a, &plan_b))
			return false;
	return true;
}
