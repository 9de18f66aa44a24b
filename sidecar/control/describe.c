/* SPDX-License-Identifier: MIT
 *
 * The state in words, for `tollgate explain`: what it is, why, and when what will change.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "sidecar/control/state.h"

const char *control_phase_name(enum control_phase phase)
{
	static const char *const names[] = {
		[CONTROL_OPEN] = "open",
		[CONTROL_SLOWED] = "slowed",
		[CONTROL_HELD] = "held",
		[CONTROL_PROBING] = "probing",
		[CONTROL_RECOVERING] = "recovering",
	};

	return (unsigned)phase < sizeof(names) / sizeof(names[0]) ? names[phase] : "invalid";
}

struct words {
	char *text;
	unsigned size;
	unsigned length; /* of the whole, as if there were room */
};

__attribute__((format(printf, 2, 3))) static void say(struct words *words, const char *format, ...)
{
	bool room = words->length < words->size;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(room ? words->text + words->length : NULL,
			   room ? words->size - words->length : 0, format, arguments);
	va_end(arguments);
	if (length > 0)
		words->length += (unsigned)length;
}

/* A rate in the unit in which it is easiest to read. */
static void say_rate(struct words *words, double rate)
{
	if (rate >= RATE_TOP)
		say(words, "unlimited");
	else if (rate * 60 >= 1)
		say(words, "%.4g/min", rate * 60);
	else
		say(words, "%.3g/hr", rate * 3600);
}

static void say_hold(struct words *words, const struct life *life, uint64_t now_ns)
{
	const char *why = life->flags & FLAG_OUTAGE    ? "the receiver has trouble of its own"
			  : life->flags & FLAG_PATTERN ? "volume above what the receiver is used to"
						       : "the receiver refuses";

	if (now_ns < life->hold_until_ns)
		say(words, "held (%s): one probe in %.0f s, transactional first", why,
		    (double)(life->hold_until_ns - now_ns) / 1e9);
	else
		say(words, "probing (%s): the next reply decides", why);
	say(words, "; held for %.0f s so far", since(stamp_of(now_ns), life->began));
	if (life->fails > 1)
		say(words, ", %u probes failed", life->fails - 1);
	say(words, "; a failed probe is followed by a longer wait, a good one ends the hold at ");
	say_rate(words, life->rate);
}

static void say_next(struct words *words, const struct life *life)
{
	double left = rate_probe_after(life) - life->count;

	if (life->mode == MODE_RECOVER) {
		say(words, "climbs back to ");
		say_rate(words, life->trouble);
		return;
	}
	if (left > 0)
		say(words, "tries more after %.0f more accepted messages", left);
	else if (life->began_count)
		say(words, "trying whether more is taken by now");
	else
		say(words, "tries more as soon as the recent trouble is forgotten");
}

static void say_rates(struct words *words, const struct life *life,
		      const struct control_bounds *bounds)
{
	if (life->mode == MODE_SEARCH && life->rate >= rate_high(bounds)) {
		say(words, "open as configured: no trouble seen");
		return;
	}
	if (life->mode == MODE_SEARCH) {
		say(words, "open at ");
		say_rate(words, life->rate);
		say(words,
		    ", nothing known of the receiver yet; doubles each minute while it is used, "
		    "until trouble comes");
		return;
	}
	say(words, "%s ", life->mode == MODE_RECOVER ? "recovering, at" : "slowed to");
	say_rate(words, life->rate);
	say(words, "; trouble comes at %s", life->flags & FLAG_WEAK ? "about " : "");
	say_rate(words, life->trouble);
	say(words, "; ");
	say_next(words, life);
	if (life->strikes)
		say(words, "; %u unexpected deferrals of late", life->strikes);
}

static void say_windows(struct words *words, const struct life *life)
{
	if (life->hour_seen >= HOUR_SURE)
		say(words, "; the receiver takes %" PRIu32 " an hour", life->hour_cap);
	else if (life->hour_seen)
		say(words, "; the receiver may have a cap of %" PRIu32 " an hour", life->hour_cap);
	if (life->day_seen)
		say(words, "; it takes %" PRIu32 " a day", life->day_cap);
}

int control_describe(const struct control_state *state, const struct control_bounds *bounds,
		     uint64_t now_ns, char *text, unsigned size)
{
	const struct life *life = (const struct life *)state;
	struct words words = {.text = text, .size = size};

	if (life->flags & FLAG_HELD)
		say_hold(&words, life, now_ns);
	else
		say_rates(&words, life, bounds);
	say_windows(&words, life);
	if (life->flags & FLAG_CONNECTIONS)
		say(&words, "; at most %u connections: more met trouble", life->connections);
	return (int)words.length;
}
