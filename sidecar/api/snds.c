/* SPDX-License-Identifier: MIT
 *
 * snds: what Microsoft says of our addresses: {"rows": [{"source": ..., "status": "red", "at": seconds
 * since 1970; without it the present}, ...]}, an address's rows in the order of time. A line for each flow
 * whose share has changed, and for each row that was not taken.
 *
 * What follows stands with the flow as a constraint of the name "snds": so it is explained, moved,
 * kept over a reboot and forgotten in time as any other. Its value holds the share, and the time of
 * what was last taken.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shm/destination.h"
#include "shm/source.h"
#include "sidecar/api/api.h"
#include "sidecar/base/log.h"
#include "sidecar/feeds/snds.h"

#define ROWS_A_CALL 32
#define NAME	    "snds"
#define SECOND_NS   UINT64_C(1000000000)
#define SHARE_MASK  ((1u << CONSTRAINT_SHARE_BITS) - 1)
_Static_assert(SNDS_WHOLE == CONSTRAINT_SHARE_ONE && SNDS_WHOLE <= SHARE_MASK, "shares are alike");

struct told {
	uint8_t source[16];
	const char *source_text;
	enum snds_status status;
	int64_t at_s, now_s;
	uint64_t now_ns;
};

static void put_line(struct control_call *call, const struct told *told, const char *destination,
		     const char *key, const char *text)
{
	json_put_object(call->answer, NULL);
	json_put_text(call->answer, "source", told->source_text);
	json_put_text(call->answer, "destination", destination);
	json_put_text(call->answer, key, text);
	json_put_end(call->answer);
	json_put_newline(call->answer);
}

static struct snds_state state_of(const struct api_context *s, uint32_t slot, uint64_t now_ns)
{
	const struct constraint *constraints = engine_effects(s->engine, slot);
	struct snds_state none = {.at_s = 0};

	for (int i = 0; i < CONSTRAINTS; i++)
		if (constraints[i].kind == CONSTRAINT_SHARE && constraints[i].until_ns > now_ns &&
		    strcmp(constraints[i].name, NAME) == 0)
			return (struct snds_state){
				(int64_t)(constraints[i].value >> CONSTRAINT_SHARE_BITS),
				(uint32_t)(constraints[i].value & SHARE_MASK)};
	return none;
}

static void constraint_fill(const struct told *told, const struct snds_state *state,
			    uint64_t until_ns, struct constraint *ret)
{
	time_t at = (time_t)state->at_s;
	char day[16];
	struct tm tm;

	gmtime_r(&at, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	*ret = (struct constraint){
		.kind = CONSTRAINT_SHARE,
		.value = (uint64_t)state->at_s << CONSTRAINT_SHARE_BITS | state->share,
		.from_ns = told->now_ns,
		.until_ns = until_ns,
		.name = NAME,
	};
	snprintf(ret->why, sizeof(ret->why), "SNDS: %s on %s", snds_status_name(told->status), day);
}

/* NULL: it was taken, and its line written; else why it was not. */
static const char *flow_take(struct api_context *s, struct control_call *call,
			     const struct told *told, uint32_t slot, const char *destination)
{
	const struct config_snds *snds = &s->generation->config->snds;
	const struct snds_policy policy = {(uint32_t)snds->yellow.value, (uint32_t)snds->red.value};
	struct snds_state state = state_of(s, slot, told->now_ns);
	struct constraint constraint;
	uint64_t age_ns =
		told->now_s > told->at_s ? (uint64_t)(told->now_s - told->at_s) * SECOND_NS : 0;
	char text[32];

	if (age_ns >= snds->expires.value)
		return "stale";
	if (!snds_take(&state, &policy, told->status, told->at_s))
		return "nothing new";
	constraint_fill(told, &state, told->now_ns + snds->expires.value - age_ns, &constraint);
	if (engine_constraint_add(s->engine, slot, &constraint, told->now_ns) != 0)
		return "no room";
	snprintf(text, sizeof(text), "%.4g%%", state.share / 10000.0);
	put_line(call, told, destination, "share", text);
	return NULL;
}

/* Ours are those that the configuration lists, and those that send. */
static uint32_t flow_of(struct api_context *s, const struct told *told, const char *destination)
{
	const struct config *config = s->generation->config;
	struct flow_json_filter filter = {.by_source = true, .destination = destination};
	uint32_t slot;

	memcpy(filter.source, told->source, sizeof(filter.source));
	slot = api_flow_find(s->segment, &filter);
	if (slot == LAYOUT_NONE &&
	    (config_pool_of(config, told->source) || config_source_of(config, told->source)))
		slot = engine_claim(s->engine, told->source, destination, told->now_ns);
	return slot;
}

static void row_take(struct api_context *s, struct control_call *call, const struct told *told)
{
	const struct config *config = s->generation->config;

	for (uint32_t i = 0; i < config->snds.destinations_count; i++) {
		struct destination_match match;
		const char *why = "not ours";
		uint32_t slot;

		if (destination_match(config->table, config->table_length,
				      config->snds.destinations[i], &match) != 0)
			continue;
		slot = flow_of(s, told, match.name);
		if (slot != LAYOUT_NONE)
			why = flow_take(s, call, told, slot, match.name);
		if (why)
			put_line(call, told, match.name, "skipped", why);
	}
}

static int row_read(struct control_call *call, const struct json *row, struct told *ret)
{
	const char *source = json_get_text(row, "source", "");
	uint64_t at_s = json_get_u64(row, "at", 0);

	*ret = (struct told){.source_text = source,
			     .status = snds_status_named(json_get_text(row, "status", "")),
			     .now_s = time(NULL),
			     .now_ns = loop_now()};
	if (source_read(source, ret->source) != 0 || ret->status == SNDS_NOTHING ||
	    at_s > UINT32_MAX) {
		snprintf(call->reason, sizeof(call->reason),
			 "a row has a source, a status (green, yellow or red), and a time or none");
		return -EINVAL;
	}
	/* A clock elsewhere is ahead of ours by a little, a day that is not over by a day. */
	ret->at_s = at_s && (int64_t)at_s < ret->now_s ? (int64_t)at_s : ret->now_s;
	return 0;
}

int api_snds(void *arg, struct control_call *call)
{
	const struct json *rows = json_get(call->request, "rows");
	struct told told;

	if (json_kind(rows) != JSON_KIND_ARRAY) {
		snprintf(call->reason, sizeof(call->reason), "rows: must be a list");
		return -EINVAL;
	}
	if (call->cursor == 0)
		log_notice("operator", "uid %u: snds: %zu rows", (unsigned)call->uid,
			   json_count(rows));
	for (int i = 0; i < ROWS_A_CALL && call->cursor < json_count(rows); i++) {
		int error = row_read(call, json_at(rows, call->cursor++), &told);

		if (error)
			return error;
		row_take(arg, call, &told);
	}
	return call->cursor < json_count(rows) ? SERVER_MORE : SERVER_DONE;
}
