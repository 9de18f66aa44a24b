/* SPDX-License-Identifier: MIT
 *
 * The short texts of a rule file as numbers: ranges of codes, triggers, actions.
 *
 * Pure. Each returns 0, or -EINVAL with *ret_reason set to a constant sentence and the output
 * untouched.
 */
#ifndef SIDECAR_RULES_RULE_PARSE_H
#define SIDECAR_RULES_RULE_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "sidecar/rules/rule_file.h"

/* Codes from low to high, both included, compared under the mask. */
struct rule_range {
	unsigned mask, low, high;
};

/* "451", "450-452", "4xx", "45x". */
int rule_parse_code(const char *text, struct rule_range *ret_range, const char **ret_reason);

/* "4.7.650", "4.7.500-699", "4.7.x", "x.7.26" (4 or 5), "4.x.x"; numbers as REPLY_ENHANCED. */
int rule_parse_enhanced(const char *text, struct rule_range *ret_range, const char **ret_reason);

static inline bool rule_range_has(const struct rule_range *range, unsigned number)
{
	return (number & range->mask) >= range->low && (number & range->mask) <= range->high;
}

enum rule_trigger_kind {
	RULE_IMMEDIATE, /* each reply that matches */
	RULE_COUNT,	/* so many of them within the period, wherever it begins */
	RULE_RATIO,  /* so large a share of the attempts within the period, of so many at least */
	RULE_GROWTH, /* the share of a day above the share of the day before by so much, likewise */
};

struct rule_trigger {
	enum rule_trigger_kind kind;
	uint32_t count;	     /* COUNT: replies; RATIO, GROWTH: the smallest sample, in attempts */
	uint32_t millionths; /* RATIO: the share; GROWTH: by what part of yesterday's share it grew
			      */
	uint64_t period_ns;  /* COUNT, RATIO; GROWTH: a day */
};

/* "immediate"; "3/hr", "5/30min"; "10% of 50 in 15m" (also "10 % of >= 50 attempts in 15 min");
 * "growth 50% of 200". */
int rule_parse_trigger(const char *text, struct rule_trigger *ret_trigger, const char **ret_reason);

/* The trigger in words. Returns text. */
const char *rule_trigger_text(const struct rule_trigger *trigger, char *text, unsigned size);

enum rule_action_kind {
	RULE_HOLD,	       /* ns */
	RULE_SCALE,	       /* the factor, 0 to 1 */
	RULE_RATE,	       /* messages a second */
	RULE_CONNECTIONS,      /* at once */
	RULE_PER_CONNECTION,   /* messages */
	RULE_WARMUP_STEP_BACK, /* days of warm-up */
	RULE_ALERT,	       /* no value */
	RULE_ACTIONS
};

const char *rule_action_name(enum rule_action_kind kind);

/* A rule's actions. */
struct rule_action {
	bool does[RULE_ACTIONS];
	double value[RULE_ACTIONS];
	uint64_t hold_max_ns;	   /* how far a repeated hold doubles */
	uint64_t until_ns;	   /* how long rate, scale and caps stand */
	uint64_t alert_timeout_ns; /* of the command */
};

/* *ret_key names the key at fault, for its place in the file. */
int rule_parse_plan(const struct rule_action_text *action, struct rule_action *ret_plan,
		    const char **ret_key, const char **ret_reason);

#endif
