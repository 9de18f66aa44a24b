/* SPDX-License-Identifier: MIT
 *
 * See flow_json.h: one flow, and the filter that chooses flows. segment_json.c has the rest.
 */
#include "sidecar/api/flow_json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shm/destination.h"
#include "shm/lease.h"
#include "shm/source.h"
#include "shm/window.h"
#include "sidecar/base/units.h"
#include "sidecar/config/limits.h"
#include "sidecar/engine/engine.h"
#include "sidecar/segment/minutes.h"

#define load(word) \
	atomic_load_explicit(word, memory_order_relaxed) /* each word is valid by itself */

/* ---- values ---------------------------------------------------------------------------------- */

void flow_json_count(struct json_writer *out, const char *key, uint64_t count)
{
	json_put_u64(out, key, count > INT64_MAX ? INT64_MAX : count);
}

void flow_json_in(struct json_writer *out, const char *key, uint64_t at_ns, uint64_t now_ns)
{
	if (at_ns == UINT64_MAX)
		json_put_null(out, key);
	else
		json_put_number(out, key, at_ns > now_ns ? (double)(at_ns - now_ns) / 1e9 : 0, 3);
}

/* Mail is thought of by the minute; what is less than one by the hour or the day. */
const char *flow_json_rate_text(uint64_t interval_ns, char *text, size_t size)
{
	static const struct {
		double seconds, min;
		const char *name;
	} units[] = {{1, 1000, "s"}, {60, 0.9999, "min"}, {3600, 0.9999, "hr"}, {86400, 0, "day"}};
	double per_s = interval_ns ? 1e9 / (double)interval_ns : 0;

	for (size_t i = 0; interval_ns && i < sizeof(units) / sizeof(units[0]); i++) {
		double count = per_s * units[i].seconds;
		char whole[32];

		if (count < units[i].min)
			continue;
		/* Intervals are rounded up by up to 2^-25: 10/min stays 10/min. */
		if (count > 99.95 || count - (double)(uint64_t)(count + 0.005) < 0.005)
			snprintf(text, size, "%s/%s",
				 units_count_text((uint64_t)(count + 0.5), whole, sizeof(whole)),
				 units[i].name);
		else
			snprintf(text, size, "%.1f/%s", count, units[i].name);
		return text;
	}
	snprintf(text, size, "unlimited");
	return text;
}

void flow_json_rate(struct json_writer *out, const char *key, uint64_t interval_ns)
{
	char text[48];

	if (interval_ns == 0) {
		json_put_null(out, key);
		return;
	}
	json_put_object(out, key);
	json_put_text(out, "text", flow_json_rate_text(interval_ns, text, sizeof(text)));
	json_put_number(out, "per_s", 1e9 / (double)interval_ns, 9);
	json_put_end(out);
}

/* ---- the filter ------------------------------------------------------------------------------ */

static int name_match(const struct segment *s, const char *name, char *ret)
{
	uint32_t index = atomic_load_explicit(&s->live->names_index, memory_order_acquire) & 1;
	struct destination_match match;
	int error = destination_match(s->names[index], s->header.sizes.names_bytes, name, &match);

	if (!error)
		snprintf(ret, DESTINATION_NAME_MAX + 1, "%s", match.name);
	return error;
}

int flow_json_filter_read(const struct segment *s, const struct json *request, char *name,
			  struct flow_json_filter *ret, char *reason, size_t size)
{
	const char *source = json_get_text(request, "source", "*");
	const char *destination = json_get_text(request, "destination", "*");
	struct flow_json_filter filter = {0};

	if ((json_get(request, "source") && !json_text(json_get(request, "source"), NULL)) ||
	    (json_get(request, "destination") &&
	     !json_text(json_get(request, "destination"), NULL))) {
		snprintf(reason, size, "source and destination must be strings");
		return -EINVAL;
	}
	if (strcmp(source, "*") != 0) {
		filter.by_source = true;
		if (source_read(source, filter.source) != 0) {
			snprintf(reason, size, "%.64s: not an address, nor a source's name",
				 source);
			return -EINVAL;
		}
	}
	if (strcmp(destination, "*") != 0) {
		if (name_match(s, destination, name) != 0) {
			snprintf(
				reason, size,
				"%.64s: neither a destination's name nor a host's, a domain or an address",
				destination);
			return -EINVAL;
		}
		filter.destination = name;
	}
	*ret = filter;
	return 0;
}

bool flow_json_wanted(const struct segment *s, uint32_t slot, const struct flow_json_filter *filter)
{
	char name[DESTINATION_NAME_MAX + 1];

	if (s->index == NULL || slot >= s->view.slots || segment_kind(s, slot) != SEGMENT_FLOW)
		return false;
	if (filter->by_source && memcmp(filter->source, segment_address(s, slot), 16) != 0)
		return false;
	return filter->destination == NULL ||
	       strcmp(segment_name(s, segment_slot(s, slot)->destination, name, sizeof(name)),
		      filter->destination) == 0;
}

/* ---- a flow ---------------------------------------------------------------------------------- */

struct window_use {
	uint64_t word; /* the count */
	uint32_t period, cap;
	bool capped;
	uint64_t end_ns;
};

static void put_window(struct json_writer *out, const char *key, const struct window_use *window,
		       uint64_t now_ns)
{
	uint64_t word = window->word;

	json_put_object(out, key);
	/* Without a cap nobody counts. */
	if (window->capped) {
		json_put_u64(out, "used",
			     window_period(word) >= window->period ? (uint32_t)word : 0);
		json_put_u64(out, "cap", window->cap);
	} else {
		json_put_null(out, "used");
		json_put_null(out, "cap");
	}
	flow_json_in(out, "ends_s", window->end_ns, now_ns);
	json_put_end(out);
}

static void put_windows(const struct segment *s, uint32_t slot, uint64_t now_ns,
			struct json_writer *out)
{
	const struct layout_limits *limits = &s->view.limits[slot];
	const struct layout_counters *counters = &s->view.counters[slot];
	uint64_t flags = load(&limits->flags);
	const struct layout_calendar *calendar = s->calendar;
	uint32_t hour = window_hour(calendar, flags, now_ns),
		 day = window_day(calendar, flags, now_ns);
	const struct window_use hours = {
		.word = load(&counters->hour),
		.period = hour,
		.cap = load(&limits->hour_cap[TG_TRANSACTIONAL]),
		.capped = flags & LAYOUT_HOUR,
		.end_ns = window_hour_end(calendar, flags, hour),
	};
	const struct window_use days = {
		.word = load(&counters->day),
		.period = day,
		.cap = load(&limits->day_cap[TG_TRANSACTIONAL]),
		.capped = flags & LAYOUT_DAY,
		.end_ns = window_day_end(calendar, flags, day),
	};

	put_window(out, "hour", &hours, now_ns);
	put_window(out, "day", &days, now_ns);
}

static void put_connections(const struct segment *s, uint32_t slot, struct json_writer *out)
{
	uint64_t word = load(&s->more[slot].connections);
	uint32_t cap = (uint32_t)(word >> (16 * TG_TRANSACTIONAL) & 0xffff),
		 each = (uint32_t)(word >> 48);

	json_put_object(out, "connections");
	json_put_u64(out, "open", lease_count(load(&s->view.counters_more[slot].gauge)));
	if (load(&s->view.limits[slot].rate[TG_TRANSACTIONAL]) == 0 || cap == 0xffff)
		json_put_null(out, "cap");
	else
		json_put_u64(out, "cap", cap);
	json_put_end(out);
	if (each)
		json_put_u64(out, "messages_per_connection", each);
	else
		json_put_null(out, "messages_per_connection");
}

/* Of `count` minutes that end with minute `last`, as far as they are kept. */
static struct minutes_sum minutes_of(const struct segment *s, uint32_t slot, uint32_t last,
				     uint32_t count)
{
	const struct minutes *minutes = segment_block(s, slot, ENGINE_MINUTES);

	return minutes ? minutes_sum(minutes, s->header.sizes.minutes, last, count)
		       : (struct minutes_sum){0};
}

static void put_outcomes(struct json_writer *out, const char *key, const struct minutes_sum *o)
{
	json_put_object(out, key);
	flow_json_count(out, "delivered", o->delivered);
	flow_json_count(out, "deferred", o->deferred);
	flow_json_count(out, "bounced", o->bounced);
	json_put_end(out);
}

static uint32_t count_since(uint64_t now, uint32_t then)
{
	uint32_t more = (uint32_t)now - then;

	return more <= INT32_MAX ? more : 0;
}

static void put_all_outcomes(const struct segment *s, uint32_t slot, uint64_t now_ns,
			     struct json_writer *out)
{
	const struct layout_counters_more *totals = &s->view.counters_more[slot];
	struct minutes_sum all = {load(&totals->delivered), load(&totals->deferred),
				  load(&totals->bounced)};
	uint32_t minute = (uint32_t)(now_ns / WINDOW_MINUTE_NS);
	const struct engine_flow *flow;
	struct minutes_sum last = {0}, hour;

	put_outcomes(out, "total", &all);
	/* Minutes stand in `control`, which the sidecar's user alone can read. */
	if (s->index == NULL) {
		json_put_null(out, "last_minute");
		json_put_null(out, "last_hour");
		return;
	}
	flow = segment_engine(s, slot);
	hour = minutes_of(s, slot, minute, 60);
	/* What the sidecar has not counted into its minute yet. */
	hour.delivered += count_since(all.delivered, flow->delivered);
	hour.deferred += count_since(all.deferred, flow->deferred);
	hour.bounced += count_since(all.bounced, flow->bounced);
	/* The minute that is whole; at a ring of one slot there is none. */
	if (minute > 0 && s->header.sizes.minutes > 1)
		last = minutes_of(s, slot, minute - 1, 1);
	put_outcomes(out, "last_minute", &last);
	put_outcomes(out, "last_hour", &hour);
}

void flow_json_put_names(const struct segment *s, uint32_t slot, struct json_writer *out)
{
	char text[DESTINATION_NAME_MAX + 1];

	if (s->index == NULL || segment_kind(s, slot) != SEGMENT_FLOW) {
		json_put_null(out, "source");
		json_put_null(out, "destination");
		return;
	}
	json_put_text(out, "source",
		      destination_address_text(segment_address(s, slot), text, sizeof(text)));
	json_put_text(out, "destination",
		      segment_name(s, segment_slot(s, slot)->destination, text, sizeof(text)));
}

void flow_json_put(const struct segment *s, uint32_t slot, uint64_t now_ns, struct json_writer *out)
{
	const struct layout_limits *limits = &s->view.limits[slot];
	uint64_t rate = load(&limits->rate[TG_TRANSACTIONAL]);
	uint64_t hold = load(&limits->hold_until_ns), lower = load(&s->more[slot].hold_lower_ns);

	flow_json_put_names(s, slot, out);
	json_put_u64(out, "slot", slot);
	json_put_bool(out, "filled", rate != 0);
	flow_json_rate(out, "rate", gcra_interval(rate));
	json_put_u64(out, "burst", rate && gcra_interval(rate) ? gcra_burst(rate) : 0);
	flow_json_in(out, "hold_s", hold, now_ns);
	flow_json_in(out, "hold_lower_s",
		     load(&limits->flags) & LAYOUT_HOLD_LOWER && lower > hold ? lower : hold,
		     now_ns);
	put_windows(s, slot, now_ns, out);
	put_connections(s, slot, out);
	put_all_outcomes(s, slot, now_ns, out);
}

/* ---- what the engine says of it --------------------------------------------------------------- */

const char *flow_json_by(const struct constraint constraints[CONSTRAINTS], enum effective_by by,
			 int constraint)
{
	switch (by) {
	case BY_CONTROL: return "control";
	case BY_OPERATOR: return "operator";
	case BY_BASELINE: return "baseline";
	case BY_WARMUP: return "warm-up";
	case BY_RULE:
		return constraint >= 0 && constraint < CONSTRAINTS ? constraints[constraint].name
								   : "rule";
	default: return "configuration";
	}
}

/* The controller's phase, unless somebody else holds the flow. */
static const char *state_name(const struct effective *effective,
			      const struct control_limits *control, uint64_t now_ns)
{
	const struct publish_limits *limits = &effective->limits;
	bool held = limits->hold_until_ns > now_ns || limits->hold_lower_ns > now_ns;

	return control_phase_name(held && effective->hold_by != BY_CONTROL ? CONTROL_HELD
									   : control->phase);
}

void flow_json_put_state(const struct segment *s, struct engine *engine,
			 const struct config *config, uint32_t slot, uint64_t now_ns,
			 struct json_writer *out)
{
	const struct segment_slot *known = segment_slot(s, slot);
	const struct constraint *constraints = engine_effects(engine, slot);
	char name[DESTINATION_NAME_MAX + 1];
	struct effective effective;
	struct control_limits control;
	struct control_bounds bounds;
	struct resolved_limits resolved;

	if (engine_effective(engine, slot, now_ns, &effective, &control, &bounds) != 0)
		return;
	limits_resolve_flow(config, segment_address(s, slot),
			    segment_name(s, known->destination, name, sizeof(name)), &resolved);
	json_put_text(out, "state", state_name(&effective, &control, now_ns));
	json_put_bool(out, "adapts", resolved.limits.flags & FLOW_ADAPT);
	flow_json_rate(out, "configured_rate", resolved.limits.interval_ns);
	flow_json_rate(out, "ceiling", resolved.limits.ceiling_interval_ns);
	json_put_text(out, "rate_by",
		      flow_json_by(constraints, effective.rate_by, effective.rate_constraint));
	json_put_text(out, "hold_by",
		      flow_json_by(constraints, effective.hold_by, effective.hold_constraint));
}
