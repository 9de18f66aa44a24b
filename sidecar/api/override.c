/* SPDX-License-Identifier: MIT
 *
 * hold, release, set, reset: what an operator changes by hand, a line for each flow that was
 * changed.
 *
 * A request names a flow; or, with "*" for its source or destination (or both), every flow that is
 * known by now. What is set by hand is one more limit: the strictest of all holds, so it can slow a
 * flow down but not push it past its configuration.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/destination.h"
#include "sidecar/api/api.h"
#include "sidecar/base/log.h"
#include "sidecar/base/units.h"

#define KINDS_MAX 8
/* 400 days: longer is "until it is taken away". */
#define FOR_MAX_NS (400 * UNITS_DAY_NS)

struct change {
	struct constraint
		constraints[KINDS_MAX]; /* until_ns is worked out for each flow's turn alike */
	bool drop[KINDS_MAX];		/* take away what was set of that kind */
	int count;
};

typedef int change_flow(struct api_context *s, uint32_t slot, const struct change *change,
			uint64_t now_ns);

/* ---- reading a request ----------------------------------------------------------------------- */

static int refuse(struct control_call *call, const char *what, const char *why)
{
	snprintf(call->reason, sizeof(call->reason), "%.100s: %.100s", what, why);
	return -EINVAL;
}

/* "for" and "reason", which every effect of the request has. */
static int common_read(struct control_call *call, struct constraint *ret, uint64_t now_ns)
{
	const char *text = json_get_text(call->request, "for", NULL);
	const char *why = json_get_text(call->request, "reason", "");
	const char *reason;
	uint64_t for_ns = 0;

	if (text && units_duration(text, &for_ns, &reason) != 0)
		return refuse(call, text, reason);
	if (text && (for_ns == 0 || for_ns > FOR_MAX_NS))
		return refuse(call, text, "must be above 0, and at most 400 days");
	*ret = (struct constraint){.by_operator = 1,
				   .from_ns = now_ns,
				   .until_ns = text ? now_ns + for_ns : UINT64_MAX,
				   .name = "operator"};
	snprintf(ret->why, sizeof(ret->why), "%s", why);
	return 0;
}

static int rate_read(const char *text, uint64_t *ret, const char **reason)
{
	struct units_rate rate;

	if (units_rate(text, &rate, reason) != 0)
		return -EINVAL;
	if (rate.count == 0) {
		*reason =
			"set by hand a rate can only be lowered: give a number, or \"none\" to take it away";
		return -EINVAL;
	}
	/* Rounded up: never more than was said. */
	*ret = (rate.period_ns + rate.count - 1) / rate.count;
	return 0;
}

static int number_read(const char *text, uint64_t *ret, const char **reason)
{
	uint64_t number;

	if (units_count(text, &number, reason) != 0)
		return -EINVAL;
	if (number == 0 || number > 1000000000) {
		*reason = number ? "too large" : "must be above 0; to stop a flow hold it";
		return -EINVAL;
	}
	*ret = number;
	return 0;
}

static const struct settable {
	const char *name;
	enum constraint_kind kind;
	int (*read)(const char *text, uint64_t *ret, const char **reason);
} settables[] = {
	{"rate", CONSTRAINT_INTERVAL, rate_read},
	{"connections", CONSTRAINT_CONNECTIONS, number_read},
	{"messages_per_connection", CONSTRAINT_PER_CONNECTION, number_read},
	{"hour", CONSTRAINT_HOUR, number_read},
	{"day", CONSTRAINT_DAY, number_read},
};

struct members {
	struct control_call *call;
	bool limits; /* of which those that can be set are allowed */
	bool makes;  /* a flow that nobody knows yet, if "new" says so */
};

static int member_check(void *arg, const char *key, const struct json *value)
{
	static const char *const known[] = {"command", "source", "destination", "for", "reason"};
	const struct members *members = arg;
	bool found = false;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		found |= strcmp(key, known[i]) == 0;
	for (size_t i = 0; members->limits && i < sizeof(settables) / sizeof(settables[0]); i++)
		found |= strcmp(key, settables[i].name) == 0;
	if (members->makes && strcmp(key, "new") == 0)
		return json_kind(value) == JSON_KIND_BOOL
			       ? 0
			       : refuse(members->call, key, "must be true or false");
	if (!found)
		return refuse(members->call, key, "no such member of this command");
	if (json_kind(value) != JSON_KIND_TEXT)
		return refuse(members->call, key, "must be a string");
	return 0;
}

/* What is misspelt or of another type must not become "all of them" or "for ever". */
static int members_check(struct control_call *call, bool limits, bool makes)
{
	struct members members = {call, limits, makes};
	int error = json_each(call->request, member_check, &members);

	if (error)
		return error;
	if (json_get(call->request, "source") == NULL ||
	    json_get(call->request, "destination") == NULL)
		return refuse(call, json_get_text(call->request, "command", ""),
			      "name a source and a destination, or \"*\" for all that are known");
	return 0;
}

static int change_read(struct control_call *call, struct change *ret, uint64_t now_ns)
{
	struct change change = {0};
	struct constraint common;
	int error = common_read(call, &common, now_ns);

	for (size_t i = 0; i < sizeof(settables) / sizeof(settables[0]) && !error; i++) {
		const char *text = json_get_text(call->request, settables[i].name, NULL),
			   *reason = NULL;
		struct constraint *constraint = &change.constraints[change.count];

		if (text == NULL)
			continue;
		*constraint = common;
		constraint->kind = settables[i].kind;
		change.drop[change.count] = strcmp(text, "none") == 0;
		if (!change.drop[change.count] &&
		    settables[i].read(text, &constraint->value, &reason) != 0)
			return refuse(call, text, reason);
		change.count++;
	}
	if (!error && change.count == 0)
		return refuse(
			call, "set",
			"name a limit: rate, connections, messages_per_connection, hour or day");
	if (!error)
		*ret = change;
	return error;
}

/* ---- flow by flow ---------------------------------------------------------------------------- */

static void put_flow(struct api_context *s, uint32_t slot, struct json_writer *out)
{
	json_put_object(out, NULL);
	flow_json_put_names(s->segment, slot, out);
	json_put_end(out);
	json_put_newline(out);
}

static int one_run(struct api_context *s, struct control_call *call, const struct change *change,
		   change_flow *run)
{
	/* What was set cannot be taken away from a flow that nobody knows. */
	uint32_t slot = api_flow(s, call, change != NULL);
	int error = slot == LAYOUT_NONE ? -EINVAL : run(s, slot, change, loop_now());

	if (!error)
		put_flow(s, slot, call->answer);
	return error;
}

struct override_visit {
	const struct change *change;
	change_flow *run;
};

static void visit(struct api_context *s, struct control_call *call, uint32_t slot, void *arg)
{
	const struct override_visit *what = arg;

	what->run(s, slot, what->change, loop_now());
	put_flow(s, slot, call->answer);
}

static int flows_run(struct api_context *s, struct control_call *call, const struct change *change,
		     change_flow *run)
{
	struct override_visit what = {change, run};
	char name[DESTINATION_NAME_MAX + 1];
	struct flow_json_filter filter;

	if (flow_json_filter_read(s->segment, call->request, name, &filter, call->reason,
				  sizeof(call->reason)) == 0 &&
	    filter.by_source && filter.destination)
		return one_run(s, call, change, run);
	return api_each_flow(s, call, visit, &what);
}

/* ---- what is done ---------------------------------------------------------------------------- */

static int set_flow(struct api_context *s, uint32_t slot, const struct change *change,
		    uint64_t now_ns)
{
	int error = 0;

	for (int i = 0; i < change->count && !error; i++)
		error = change->drop[i]
				? engine_constraint_remove(s->engine, slot,
							   change->constraints[i].kind, now_ns)
				: engine_constraint_add(s->engine, slot, &change->constraints[i],
							now_ns);
	return error;
}

static int release_flow(struct api_context *s, uint32_t slot, const struct change *change,
			uint64_t now_ns)
{
	return engine_release(s->engine, slot, now_ns);
}

static int reset_flow(struct api_context *s, uint32_t slot, const struct change *change,
		      uint64_t now_ns)
{
	return engine_reset(s->engine, slot, now_ns);
}

/* "set 192.0.2.1 at google: rate=10/min day=none for 2h: they asked for it". */
static void log_change(const struct control_call *call, const char *what)
{
	const char *duration = json_get_text(call->request, "for", NULL),
		   *why = json_get_text(call->request, "reason", NULL);
	char values[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < sizeof(settables) / sizeof(settables[0]); i++) {
		const char *value = json_get_text(call->request, settables[i].name, NULL);

		if (value && used < sizeof(values))
			used += (size_t)snprintf(values + used, sizeof(values) - used, " %s=%.32s",
						 settables[i].name, value);
	}
	log_notice("operator", "uid %u: %s %.64s at %.255s%s%s%s%.40s%s%.64s", (unsigned)call->uid,
		   what, json_get_text(call->request, "source", "*"),
		   json_get_text(call->request, "destination", "*"), used ? ":" : "", values,
		   duration ? " for " : "", duration ? duration : "", why ? ": " : "",
		   why ? why : "");
}

/* Told once a request, and only if it was done. */
static int told_run(struct api_context *s, struct control_call *call, const char *what,
		    const struct change *change, change_flow *run)
{
	bool first = call->cursor == 0;
	int status = flows_run(s, call, change, run);

	if (first && status >= 0)
		log_change(call, what);
	return status;
}

int api_set(void *arg, struct control_call *call)
{
	struct change change;
	int error = members_check(call, true, true);

	if (error)
		return error;
	/* The end of what is set is the same for all flows of a request, however long it takes. */
	if (call->data == NULL) {
		error = change_read(call, &change, loop_now());
		call->data = error ? NULL : malloc(sizeof(change));
		if (error || call->data == NULL)
			return error ? error : -ENOMEM;
		memcpy(call->data, &change, sizeof(change));
	}
	return told_run(arg, call, "set", call->data, set_flow);
}

int api_hold(void *arg, struct control_call *call)
{
	int error = members_check(call, false, true);

	if (error)
		return error;
	if (call->data == NULL) {
		struct change *change = calloc(1, sizeof(*change));

		error = change ? common_read(call, &change->constraints[0], loop_now()) : -ENOMEM;
		if (error) {
			free(change);
			return error;
		}
		change->constraints[0].kind = CONSTRAINT_HOLD;
		change->count = 1;
		call->data = change;
	}
	return told_run(arg, call, "hold", call->data, set_flow);
}

int api_release(void *arg, struct control_call *call)
{
	int error = members_check(call, false, false);

	if (error)
		return error;
	return told_run(arg, call, "release", NULL, release_flow);
}

int api_reset(void *arg, struct control_call *call)
{
	int error = members_check(call, false, false);

	if (error)
		return error;
	return told_run(arg, call, "reset", NULL, reset_flow);
}
