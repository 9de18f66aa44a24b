/* SPDX-License-Identifier: MIT
 *
 * explain: one flow, whole: what is in force and who decided it, what is configured and where it is
 * written, the state in words, what rules and the operator set, the last replies, and when what
 * will change.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shm/destination.h"
#include "sidecar/api/api.h"
#include "sidecar/base/units.h"

#define DESCRIPTION 1024

/* ---- what is configured ---------------------------------------------------------------------- */

static void put_policy(struct json_writer *out, const char *key,
		       const struct resolved_limits *resolved, int keys)
{
	json_put_array(out, key);
	for (int limit = 0; limit < keys; limit++) {
		char value[128], origin[256];

		limits_value_text(resolved, (enum config_limit)limit, value, sizeof(value));
		if (strcmp(value, "-") == 0)
			continue;
		json_put_object(out, NULL);
		json_put_text(out, "limit", config_limit_name((enum config_limit)limit));
		json_put_text(out, "value", value);
		json_put_text(out, "origin",
			      limits_origin_text(resolved, (enum config_limit)limit, origin,
						 sizeof(origin)));
		json_put_end(out);
	}
	json_put_end(out);
}

static void put_configured(struct api_context *s, const uint8_t source[16], const char *destination,
			   struct json_writer *out)
{
	const struct config *config = s->generation->config;
	const struct config_pool *pool = config_pool_of(config, source);
	struct resolved_limits resolved;

	json_put_text(out, "pool", pool ? pool->name : NULL);
	limits_resolve_flow(config, source, destination, &resolved);
	put_policy(out, "configured", &resolved, LIMIT_KEYS);
	limits_resolve_source(config, source, &resolved);
	if (limits_any(&resolved))
		put_policy(out, "source_total", &resolved, LIMIT_TOTAL_KEYS);
	limits_resolve_destination(config, destination, &resolved);
	if (limits_any(&resolved))
		put_policy(out, "destination_total", &resolved, LIMIT_TOTAL_KEYS);
}

/* ---- what is in force ------------------------------------------------------------------------ */

static void put_in_force(struct json_writer *out, const char *limit, const char *value,
			 const char *by)
{
	json_put_object(out, NULL);
	json_put_text(out, "limit", limit);
	json_put_text(out, "value", value);
	json_put_text(out, "decided_by", by);
	json_put_end(out);
}

static const char *cap_text(const uint32_t cap[TG_CLASSES], uint32_t none, char text[96])
{
	return cap[0] == none ? "unlimited" : limits_classes_text(cap, text, 96);
}

/* As exact as somebody who reads it can use. */
static uint64_t rounded(uint64_t ns)
{
	uint64_t step = ns < 10 * UNITS_SECOND_NS ? UNITS_SECOND_NS / 10 : UNITS_SECOND_NS;

	return (ns + step - 1) / step * step;
}

static void put_hold(struct json_writer *out, const struct constraint constraints[CONSTRAINTS],
		     const struct effective *e, uint64_t now_ns)
{
	const struct publish_limits *l = &e->limits;
	uint64_t until_ns =
		l->hold_until_ns > l->hold_lower_ns ? l->hold_until_ns : l->hold_lower_ns;
	char text[96], left[64];

	if (until_ns <= now_ns)
		return;
	if (until_ns == UINT64_MAX)
		snprintf(text, sizeof(text), "until it is released");
	else
		snprintf(text, sizeof(text), "for another %s%s",
			 units_duration_text(rounded(until_ns - now_ns), left, sizeof(left)),
			 l->hold_until_ns <= now_ns ? ", all but transactional" : "");
	put_in_force(out, "hold", text, flow_json_by(constraints, e->hold_by, e->hold_constraint));
}

static void put_effective(struct json_writer *out, const struct constraint constraints[CONSTRAINTS],
			  const struct effective *e, uint64_t now_ns)
{
	const struct publish_limits *l = &e->limits;
	char text[64], count[96];

	json_put_array(out, "in_force");
	put_hold(out, constraints, e, now_ns);
	put_in_force(out, "rate", flow_json_rate_text(l->interval_ns, text, sizeof(text)),
		     flow_json_by(constraints, e->rate_by, e->rate_constraint));
	if (l->interval_ns)
		put_in_force(out, "burst", limits_classes_text(l->burst, count, sizeof(count)),
			     flow_json_by(constraints, e->rate_by, e->rate_constraint));
	put_in_force(out, "hour", cap_text(l->hour_cap, PUBLISH_NO_CAP, count),
		     flow_json_by(constraints, e->hour_by, e->hour_constraint));
	put_in_force(out, "day", cap_text(l->day_cap, PUBLISH_NO_CAP, count),
		     flow_json_by(constraints, e->day_by, e->day_constraint));
	put_in_force(out, "connections", cap_text(l->connections, 0, count),
		     flow_json_by(constraints, e->connections_by, e->connections_constraint));
	put_in_force(out, "messages_per_connection",
		     l->per_connection ? units_count_text(l->per_connection, count, sizeof(count))
				       : "unlimited",
		     flow_json_by(constraints, e->per_connection_by, e->per_connection_constraint));
	json_put_end(out);
}

/* What the flow had sent before, and what that allows; null: the baseline is off. */
static void put_baseline(struct api_context *s, uint32_t slot, uint64_t now_ns,
			 struct json_writer *out)
{
	static const char *const spans[] = {"minute", "hour", "day"};
	double peaks[BASELINE_SPANS];
	uint32_t caps[BASELINE_SPANS];

	if (!engine_history(s->engine, slot, now_ns, peaks, caps)) {
		json_put_null(out, "baseline");
		return;
	}
	json_put_object(out, "baseline");
	for (int span = 0; span < BASELINE_SPANS; span++) {
		json_put_object(out, spans[span]);
		json_put_number(out, "before", peaks[span], 0);
		json_put_u64(out, "allowed", caps[span]);
		json_put_end(out);
	}
	json_put_end(out);
}

/* ---- what rules and the operator set --------------------------------------------------------- */

static const char *constraint_text(const struct constraint *constraint, uint64_t now_ns, char *text,
				   size_t size)
{
	char value[32];

	switch (constraint->kind) {
	case CONSTRAINT_HOLD: snprintf(text, size, "hold"); break;
	case CONSTRAINT_INTERVAL:
		flow_json_rate_text(constraint->value, value, sizeof(value));
		snprintf(text, size, "rate %s", value);
		break;
	case CONSTRAINT_CONNECTIONS:
		snprintf(text, size, "connections %llu", (unsigned long long)constraint->value);
		break;
	case CONSTRAINT_PER_CONNECTION:
		snprintf(text, size, "messages_per_connection %llu",
			 (unsigned long long)constraint->value);
		break;
	case CONSTRAINT_HOUR:
		snprintf(text, size, "hour %llu", (unsigned long long)constraint->value);
		break;
	case CONSTRAINT_DAY:
		snprintf(text, size, "day %llu", (unsigned long long)constraint->value);
		break;
	case CONSTRAINT_SHARE:
		snprintf(text, size, "scaled to %.0f %%",
			 100 * effective_constraint_share(constraint, now_ns));
		break;
	default: snprintf(text, size, "unknown"); break;
	}
	return text;
}

static bool wins(const struct effective *e, int i)
{
	return e->rate_constraint == i || e->hold_constraint == i || e->hour_constraint == i ||
	       e->day_constraint == i || e->connections_constraint == i ||
	       e->per_connection_constraint == i;
}

static void put_effects(struct json_writer *out, const struct constraint constraints[CONSTRAINTS],
			const struct effective *e, uint64_t now_ns)
{
	json_put_array(out, "constraints");
	for (int i = 0; i < CONSTRAINTS; i++) {
		const struct constraint *constraint = &constraints[i];
		char text[64];

		if (constraint->kind == CONSTRAINT_NONE || constraint->until_ns <= now_ns)
			continue;
		json_put_object(out, NULL);
		json_put_text(out, "limit",
			      constraint_text(constraint, now_ns, text, sizeof(text)));
		json_put_text(out, "decided_by",
			      constraint->by_operator ? "operator" : constraint->name);
		json_put_text(out, "reason", *constraint->why ? constraint->why : NULL);
		json_put_number(out, "since_s",
				now_ns > constraint->from_ns
					? (double)(now_ns - constraint->from_ns) / 1e9
					: 0,
				1);
		flow_json_in(out, "ends_s", constraint->until_ns, now_ns);
		json_put_bool(out, "in_force", wins(e, i));
		json_put_end(out);
	}
	json_put_end(out);
}

/* ---- what happened --------------------------------------------------------------------------- */

static void put_reply(struct json_writer *out, const struct reply_history *history, uint64_t now_ns)
{
	static const char *const stages[] = {"message", "greeting", "connect"};
	static const char *const traffics[] = {"transactional", "engaged", "bulk"};
	size_t length = history->length < REPLY_HISTORY_TEXT ? history->length : REPLY_HISTORY_TEXT;

	json_put_object(out, NULL);
	json_put_number(out, "ago_s",
			now_ns > history->at_ns ? (double)(now_ns - history->at_ns) / 1e9 : 0, 1);
	json_put_u64(out, "code", history->code);
	if (history->enhanced[0])
		json_put_format(out, "enhanced", "%u.%u.%u", history->enhanced[0],
				history->enhanced[1], history->enhanced[2]);
	else
		json_put_null(out, "enhanced");
	json_put_text(out, "class",
		      history->class < REPLY_CLASSES ? reply_class_name(history->class)
						     : "invalid");
	json_put_text(out, "limit",
		      history->limit < REPLY_LIMITS ? reply_limit_name(history->limit) : "invalid");
	json_put_bytes(out, "rule", history->rule, strnlen(history->rule, sizeof(history->rule)));
	json_put_text(out, "stage",
		      history->stage < TG_STAGES ? stages[history->stage] : "invalid");
	json_put_text(out, "traffic",
		      history->traffic < TG_CLASSES ? traffics[history->traffic] : "invalid");
	json_put_bytes(out, "text", history->text, length);
	json_put_end(out);
}

/* The latest first. */
static void put_replies(struct json_writer *out, const struct engine_replies *replies,
			uint64_t now_ns)
{
	json_put_array(out, "replies");
	for (uint32_t i = 1; replies && i <= REPLY_HISTORY; i++) {
		const struct reply_history *history =
			&replies->history[(replies->next % REPLY_HISTORY + REPLY_HISTORY - i) %
					  REPLY_HISTORY];

		if (history->at_ns)
			put_reply(out, history, now_ns);
	}
	json_put_end(out);
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void put_flow(struct api_context *s, uint32_t slot, const struct effective *e,
		     uint64_t now_ns, struct json_writer *out)
{
	const struct segment_slot *known = segment_slot(s->segment, slot);
	const struct constraint *constraints = engine_effects(s->engine, slot);
	struct engine_life life = engine_life(s->engine, slot, now_ns);
	char name[DESTINATION_NAME_MAX + 1], words[DESCRIPTION] = "";
	struct engine_warmup warmup;

	flow_json_put(s->segment, slot, now_ns, out);
	flow_json_put_state(s->segment, s->engine, s->generation->config, slot, now_ns, out);
	engine_describe(s->engine, slot, now_ns, words, sizeof(words));
	json_put_text(out, "summary", words);
	if (engine_rules_describe(s->engine, slot, now_ns, words, sizeof(words)) > 0)
		json_put_text(out, "rules", words);
	else
		json_put_null(out, "rules");
	put_effective(out, constraints, e, now_ns);
	put_baseline(s, slot, now_ns, out);
	put_effects(out, constraints, e, now_ns);
	put_replies(out, engine_replies(s->engine, slot), now_ns);
	put_configured(s, segment_address(s->segment, slot),
		       segment_name(s->segment, known->destination, name, sizeof(name)), out);
	if (engine_warmup(s->engine, slot, now_ns, &warmup) == 0) {
		json_put_object(out, "warmup");
		warmup_json_put(out, &warmup);
		json_put_end(out);
	}
	flow_json_in(out, "next_change_s", e->next_ns, now_ns);
	if (life.warmup_step_back_ns)
		json_put_number(out, "warmup_step_back_ago_s",
				(double)(now_ns - life.warmup_step_back_ns) / 1e9, 1);
}

int api_explain(void *arg, struct control_call *call)
{
	struct api_context *s = arg;
	uint64_t now_ns = loop_now();
	struct effective effective;
	struct control_limits control;
	struct control_bounds bounds;
	uint32_t slot = api_flow(s, call, false);

	if (slot == LAYOUT_NONE)
		return -ENOENT;
	if (engine_effective(s->engine, slot, now_ns, &effective, &control, &bounds) != 0)
		return -ENOENT;
	json_put_object(call->answer, NULL);
	put_flow(s, slot, &effective, now_ns, call->answer);
	json_put_end(call->answer);
	json_put_newline(call->answer);
	return SERVER_DONE;
}
