/* SPDX-License-Identifier: MIT
 *
 * Ranges of codes, triggers and actions, from the texts of a rule file. Rates and durations are
 * those of the whole configuration (units.h).
 */
#include "sidecar/rules/rule_parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/rules/reply_parse.h"

#define HOLD_MAX_NS	 (7 * UNITS_DAY_NS)
#define UNTIL_DEFAULT_NS UNITS_HOUR_NS
#define ALERT_DEFAULT_NS (10 * UNITS_SECOND_NS)
#define ALERT_MAX_NS	 (10 * UNITS_MINUTE_NS)

static int refuse(const char **ret_reason, const char *reason)
{
	*ret_reason = reason;
	return -EINVAL;
}

/* ---- codes ------------------------------------------------------------------------------------
 */
int rule_parse_code(const char *text, struct rule_range *ret_range, const char **ret_reason)
{
	static const char *const wanted = "a reply code is 200 to 599, 4xx, 45x or 450-452";
	unsigned low = 0, high = 0, digits = 0;
	const char *p = text;

	for (; digits < 3 && (isdigit((unsigned char)*p) || (*p == 'x' && digits > 0));
	     p++, digits++) {
		if (*p != 'x' && digits > 0 && p[-1] == 'x')
			return refuse(ret_reason, wanted);
		low = low * 10 + (*p == 'x' ? 0 : (unsigned)(*p - '0'));
		high = high * 10 + (*p == 'x' ? 9 : (unsigned)(*p - '0'));
	}
	if (digits == 3 && *p == '-' && low == high) {
		char *end;

		high = (unsigned)strtoul(p + 1, &end, 10);
		p = end;
	}
	if (digits != 3 || *p != '\0' || low < 200 || high > 599 || high < low)
		return refuse(ret_reason, wanted);
	*ret_range = (struct rule_range){~0u, low, high};
	return 0;
}

/* One of the three numbers, or x. Returns where it ends, NULL if there is none. */
static const char *part_parse(const char *p, unsigned *ret_low, unsigned *ret_high)
{
	char *end;

	if (*p == 'x') {
		*ret_low = 0, *ret_high = 1023;
		return p + 1;
	}
	if (!isdigit((unsigned char)*p))
		return NULL;
	*ret_low = *ret_high = (unsigned)strtoul(p, &end, 10);
	return *ret_low > 999 ? NULL : end;
}

int rule_parse_enhanced(const char *text, struct rule_range *ret_range, const char **ret_reason)
{
	static const char *const wanted =
		"an enhanced code is 4.7.650, 4.7.500-699, 4.7.x, 4.x.x or x.7.26";
	unsigned low[3], high[3];
	const char *p = text;
	bool any_class = false;

	for (int i = 0; i < 3; i++) {
		if (i > 0 && *p++ != '.')
			return refuse(ret_reason, wanted);
		p = part_parse(p, &low[i], &high[i]);
		if (p == NULL || (i == 2 && low[1] != high[1] && low[2] == high[2]))
			return refuse(ret_reason, wanted);
		if (i == 0 && high[0] == 1023)
			any_class = true;
		else if (i == 0 && low[0] != 2 && low[0] != 4 && low[0] != 5)
			return refuse(ret_reason, "the class of an enhanced code is 2, 4, 5 or x");
	}
	if (*p == '-' && low[2] == high[2])
		p = part_parse(p + 1, &high[2], &high[2]);
	if (p == NULL || *p != '\0' || high[2] < low[2] || (any_class && low[1] != high[1]))
		return refuse(ret_reason, wanted);
	*ret_range =
		any_class ? (struct rule_range){(1u << 20) - 1, REPLY_ENHANCED(0, low[1], low[2]),
						REPLY_ENHANCED(0, high[1], high[2])}
			  : (struct rule_range){~0u, REPLY_ENHANCED(low[0], low[1], low[2]),
						REPLY_ENHANCED(high[0], high[1], high[2])};
	return 0;
}

/* ---- triggers ---------------------------------------------------------------------------------
 */
static const char *const trigger_wanted =
	"a trigger is immediate, 3/hr, \"10% of 50 in 15m\" or \"growth 50% of 200\"";

/* Takes the percentage in front and the sample after "of". Returns what follows, NULL if not so. */
static const char *share_parse(const char *text, struct rule_trigger *trigger)
{
	char *end;
	double share = strtod(text, &end);
	unsigned long sample;

	while (*end == ' ')
		end++;
	if (end == text || *end != '%' || !(share > 0) || share > 1000)
		return NULL;
	end += 1 + strspn(end + 1, " ");
	if (strncmp(end, "of", 2) != 0)
		return NULL;
	end += 2 + strspn(end + 2, " ");
	if (strncmp(end, ">=", 2) == 0)
		end += 2;
	else if (strncmp(end, "\xE2\x89\xA5", 3) == 0)
		end += 3;
	end += strspn(end, " ");
	if (!isdigit((unsigned char)*end))
		return NULL;
	sample = strtoul(end, &end, 10);
	if (sample == 0 || sample > 1000000000)
		return NULL;
	end += strspn(end, " ");
	if (strncmp(end, "attempts", 8) == 0)
		end += 8 + strspn(end + 8, " ");
	trigger->millionths = (uint32_t)(share * 10000 + 0.5);
	trigger->count = (uint32_t)sample;
	return end;
}

static int trigger_share(const char *text, struct rule_trigger *ret_trigger,
			 const char **ret_reason)
{
	bool growth = strncmp(text, "growth ", 7) == 0;
	struct rule_trigger trigger = {.kind = growth ? RULE_GROWTH : RULE_RATIO,
				       .period_ns = UNITS_DAY_NS};
	const char *rest = share_parse(growth ? text + 7 : text, &trigger);

	if (rest == NULL)
		return refuse(ret_reason, trigger_wanted);
	if (growth && *rest != '\0')
		return refuse(ret_reason, "a growth is counted by the day and has no period");
	if (!growth &&
	    (strncmp(rest, "in ", 3) != 0 || units_duration(rest + 3, &trigger.period_ns, NULL)))
		return refuse(ret_reason, trigger_wanted);
	if (!growth && trigger.millionths > 1000000)
		return refuse(ret_reason, "a share is at most 100 %");
	if (trigger.period_ns < UNITS_SECOND_NS || trigger.period_ns > 31 * UNITS_DAY_NS)
		return refuse(ret_reason, "the period of a trigger is a second to 31 days");
	*ret_trigger = trigger;
	return 0;
}

int rule_parse_trigger(const char *text, struct rule_trigger *ret_trigger, const char **ret_reason)
{
	struct units_rate rate;

	if (text == NULL || strcmp(text, "immediate") == 0) {
		*ret_trigger = (struct rule_trigger){.kind = RULE_IMMEDIATE};
		return 0;
	}
	if (strchr(text, '%') != NULL)
		return trigger_share(text, ret_trigger, ret_reason);
	if (units_rate(text, &rate, NULL) != 0 || rate.count == 0 || rate.count > 1000000000)
		return refuse(ret_reason, trigger_wanted);
	if (rate.period_ns < UNITS_SECOND_NS || rate.period_ns > 31 * UNITS_DAY_NS)
		return refuse(ret_reason, "the period of a trigger is a second to 31 days");
	*ret_trigger = (struct rule_trigger){
		.kind = RULE_COUNT, .count = (uint32_t)rate.count, .period_ns = rate.period_ns};
	return 0;
}

const char *rule_trigger_text(const struct rule_trigger *trigger, char *text, unsigned size)
{
	struct units_rate rate = {trigger->count, trigger->period_ns};
	char period[64];

	switch (trigger->kind) {
	case RULE_IMMEDIATE: snprintf(text, size, "immediate"); break;
	case RULE_COUNT: return units_rate_text(&rate, text, size);
	case RULE_RATIO:
		snprintf(text, size, "%g%% of %u in %s", trigger->millionths / 1e4, trigger->count,
			 units_duration_text(trigger->period_ns, period, sizeof(period)));
		break;
	case RULE_GROWTH:
		snprintf(text, size, "growth %g%% of %u", trigger->millionths / 1e4,
			 trigger->count);
		break;
	}
	return text;
}

/* ---- actions ----------------------------------------------------------------------------------
 */
const char *rule_action_name(enum rule_action_kind kind)
{
	static const char *const names[RULE_ACTIONS] = {
		[RULE_HOLD] = "hold",
		[RULE_SCALE] = "scale",
		[RULE_RATE] = "rate",
		[RULE_CONNECTIONS] = "connections",
		[RULE_PER_CONNECTION] = "per_connection",
		[RULE_WARMUP_STEP_BACK] = "warmup_step_back",
		[RULE_ALERT] = "alert",
	};

	return (unsigned)kind < RULE_ACTIONS ? names[kind] : "invalid";
}

static void plan_set(struct rule_action *plan, enum rule_action_kind kind, double value)
{
	plan->does[kind] = true;
	plan->value[kind] = value;
}

static int plan_hold(const struct rule_action_text *action, struct rule_action *plan,
		     const char **ret_key, const char **ret_reason)
{
	uint64_t hold_ns = 0;

	*ret_key = "hold";
	if (action->hold != NULL) {
		if (units_duration(action->hold, &hold_ns, ret_reason) != 0)
			return -EINVAL;
		if (hold_ns < UNITS_SECOND_NS || hold_ns > HOLD_MAX_NS)
			return refuse(ret_reason, "a hold is a second to 7 days");
		plan_set(plan, RULE_HOLD, (double)hold_ns);
	}
	plan->hold_max_ns = hold_ns;
	*ret_key = "hold_max";
	if (action->hold_max != NULL) {
		if (units_duration(action->hold_max, &plan->hold_max_ns, ret_reason) != 0)
			return -EINVAL;
		if (hold_ns == 0 || plan->hold_max_ns < hold_ns || plan->hold_max_ns > HOLD_MAX_NS)
			return refuse(ret_reason, "hold_max lies between hold and 7 days");
	}
	return 0;
}

static int plan_rate(const struct rule_action_text *action, struct rule_action *plan,
		     const char **ret_key, const char **ret_reason)
{
	struct units_rate rate;
	char *end;

	*ret_key = "scale";
	if (action->scale != NULL) {
		double scale = strtod(action->scale, &end);

		if (end == action->scale || *end != '\0' || !(scale > 0) || scale >= 1)
			return refuse(ret_reason, "scale lies between 0 and 1");
		plan_set(plan, RULE_SCALE, scale);
	}
	*ret_key = "rate";
	if (action->rate != NULL) {
		if (units_rate(action->rate, &rate, ret_reason) != 0)
			return -EINVAL;
		if (rate.count == 0)
			return refuse(ret_reason, "an unlimited rate is no action");
		plan_set(plan, RULE_RATE, (double)rate.count * 1e9 / (double)rate.period_ns);
	}
	return 0;
}

static int plan_times(const struct rule_action_text *action, struct rule_action *plan,
		      const char **ret_key, const char **ret_reason)
{
	*ret_key = "for";
	plan->until_ns = UNTIL_DEFAULT_NS;
	if (action->until != NULL &&
	    units_duration(action->until, &plan->until_ns, ret_reason) != 0)
		return -EINVAL;
	if (plan->until_ns < UNITS_SECOND_NS)
		return refuse(ret_reason, "it stands for a second at least");
	*ret_key = "alert.timeout";
	plan->alert_timeout_ns = ALERT_DEFAULT_NS;
	if (action->alert != NULL && action->alert->timeout != NULL &&
	    units_duration(action->alert->timeout, &plan->alert_timeout_ns, ret_reason) != 0)
		return -EINVAL;
	if (plan->alert_timeout_ns < UNITS_SECOND_NS || plan->alert_timeout_ns > ALERT_MAX_NS)
		return refuse(ret_reason, "a command has 1 s to 10 min");
	return 0;
}

int rule_parse_plan(const struct rule_action_text *action, struct rule_action *ret_plan,
		    const char **ret_key, const char **ret_reason)
{
	struct rule_action plan = {.does = {false}};
	bool any = false;

	if (plan_hold(action, &plan, ret_key, ret_reason) != 0 ||
	    plan_rate(action, &plan, ret_key, ret_reason) != 0 ||
	    plan_times(action, &plan, ret_key, ret_reason) != 0)
		return -EINVAL;
	if (action->connections != 0)
		plan_set(&plan, RULE_CONNECTIONS, action->connections);
	if (action->per_connection != 0)
		plan_set(&plan, RULE_PER_CONNECTION, action->per_connection);
	if (action->warmup_step_back != 0)
		plan_set(&plan, RULE_WARMUP_STEP_BACK, action->warmup_step_back);
	if (action->alert != NULL)
		plan_set(&plan, RULE_ALERT, 0);
	for (int i = 0; i < RULE_ACTIONS; i++)
		any |= plan.does[i];
	if (!any) {
		*ret_key = "";
		return refuse(ret_reason, "a rule without an action");
	}
	*ret_plan = plan;
	return 0;
}
