/* SPDX-License-Identifier: MIT */
#include "sidecar/engine/change_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/base/units.h"

__attribute__((format(printf, 2, 3))) static void say(struct change_text *w, const char *format,
						      ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(w->what + w->length, sizeof(w->what) - w->length, format, arguments);
	va_end(arguments);
	w->length += length > 0 ? (size_t)length : 0;
	if (w->length >= sizeof(w->what))
		w->length = sizeof(w->what) - 1;
}

static const char *rate_text(uint64_t interval_ns, char *text, size_t size)
{
	if (interval_ns == 0)
		snprintf(text, size, "unlimited");
	else
		snprintf(text, size, "%.3g/min", 60e9 / (double)interval_ns);
	return text;
}

static const char *cap_text(uint32_t cap, uint32_t none, char *text, size_t size)
{
	return cap == none ? strcpy(text, "none") : units_count_text(cap, text, size);
}

static void say_cap(struct change_text *w, const char *name, uint32_t before, uint32_t now,
		    uint32_t none)
{
	char a[32], b[32];

	if (before != now)
		say(w, "%s%s %s, was %s", w->length ? "; " : "", name,
		    cap_text(now, none, b, sizeof(b)), cap_text(before, none, a, sizeof(a)));
}

static void say_hold(struct change_text *w, const char *name, uint64_t before_ns,
		     uint64_t now_until_ns, uint64_t now_ns)
{
	char text[64];
	bool holds = now_until_ns > now_ns;

	if (before_ns == now_until_ns || (before_ns == 0 && !holds))
		return;
	if (!holds)
		say(w, "%s%s ended", w->length ? "; " : "", name);
	else if (now_until_ns == UINT64_MAX)
		say(w, "%s%s until released", w->length ? "; " : "", name);
	else
		say(w, "%s%s for %s", w->length ? "; " : "", name,
		    units_duration_text((now_until_ns - now_ns + UNITS_SECOND_NS / 2) /
						UNITS_SECOND_NS * UNITS_SECOND_NS,
					text, sizeof(text)));
}

/* In the order of importance; the first that changed says who decided. */
static enum effective_by limits_say(const struct engine_change *change, uint64_t now_ns,
				    struct change_text *w, int *ret_constraint)
{
	const struct publish_limits *a = change->before, *b = &change->now->limits;
	const struct effective *e = change->now;
	char before[32], now[32];
	enum effective_by by = BY_CONFIGURATION;
	uint64_t packed_ns = gcra_interval(gcra_rate(b->interval_ns, 1));

#define DECIDED(which)                                           \
	do {                                                     \
		if (w->length && length == 0) {                  \
			by = e->which##_by;                      \
			*ret_constraint = e->which##_constraint; \
		}                                                \
		length = w->length;                              \
	} while (0)
	size_t length = 0;

	say_hold(w, "hold", a->hold_until_ns, b->hold_until_ns, now_ns);
	say_hold(w, "hold of bulk", a->hold_lower_ns, b->hold_lower_ns, now_ns);
	DECIDED(hold);
	if (a->interval_ns != packed_ns)
		say(w, "%srate %s, was %s", w->length ? "; " : "",
		    rate_text(packed_ns, now, sizeof(now)),
		    rate_text(a->interval_ns, before, sizeof(before)));
	DECIDED(rate);
	say_cap(w, "hour", a->hour_cap[TG_TRANSACTIONAL], b->hour_cap[TG_TRANSACTIONAL],
		PUBLISH_NO_CAP);
	DECIDED(hour);
	say_cap(w, "day", a->day_cap[TG_TRANSACTIONAL], b->day_cap[TG_TRANSACTIONAL],
		PUBLISH_NO_CAP);
	DECIDED(day);
	say_cap(w, "connections", a->connections[TG_TRANSACTIONAL],
		b->connections[TG_TRANSACTIONAL], 0);
	DECIDED(connections);
	say_cap(w, "messages_per_connection", a->per_connection, b->per_connection, 0);
	DECIDED(per_connection);
#undef DECIDED
	return by;
}

/* The rule, or the operator's reason. */
static const char *reason_of(const struct engine *e, const struct engine_change *change,
			     enum effective_by by, int constraint)
{
	const struct constraint *effects = engine_effects(e, change->slot);

	if ((by == BY_RULE || by == BY_OPERATOR) && constraint >= 0 && constraint < CONSTRAINTS)
		return by == BY_RULE ? effects[constraint].name : effects[constraint].why;
	return change->classification ? change->classification->rule : NULL;
}

static const char *const deciders[] = {
	[BY_CONFIGURATION] = "configuration", [BY_CONTROL] = "control",	  [BY_RULE] = "rule",
	[BY_OPERATOR] = "operator",	      [BY_BASELINE] = "baseline", [BY_WARMUP] = "warm-up"};

/* A hold stands there until it is taken away, also when its time is over. */
static bool was_held(uint64_t before_ns, uint64_t until_ns, uint64_t now_ns)
{
	return before_ns > now_ns || (before_ns != 0 && before_ns != until_ns);
}

void change_text_make(const struct engine *e, const struct engine_change *change, uint64_t now_ns,
		      struct change_text *ret)
{
	const struct publish_limits *a = change->before, *b = &change->now->limits;
	enum effective_by by;
	int constraint = -1;

	memset(ret, 0, sizeof(*ret));
	by = limits_say(change, now_ns, ret, &constraint);
	ret->decided_by = deciders[by];
	ret->reason = reason_of(e, change, by, constraint);
	ret->was_held = was_held(a->hold_until_ns, b->hold_until_ns, now_ns) ||
			was_held(a->hold_lower_ns, b->hold_lower_ns, now_ns);
	ret->is_held = b->hold_until_ns > now_ns || b->hold_lower_ns > now_ns;
}
