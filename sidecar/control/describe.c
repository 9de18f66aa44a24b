/* SPDX-License-Identifier: MIT
 *
 * The state in words, for `tollgate explain`: what it is, why, and when what will change.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "sidecar/control/control.h"
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

static void say_hold(struct words *words, const struct flow_control *fc, uint64_t now_ns)
{
	const char *why = fc->flags & FLAG_OUTAGE && fc->refused_fully
				  ? "everything is refused, in words that name no limit"
			  : fc->flags & FLAG_OUTAGE ? "the receiver has trouble of its own"
			  : fc->flags & FLAG_VOLUME_SPIKE
				  ? "volume above what the receiver is used to"
			  : fc->flags & FLAG_DAY ? "the day is full, as its words say"
						 : "the receiver refuses";

	if (now_ns < fc->hold_until_ns)
		say(words, "held (%s): one probe in %.0f s, transactional first", why,
		    (double)(fc->hold_until_ns - now_ns) / 1e9);
	else
		say(words, "probing (%s): the next reply decides", why);
	say(words, "; held for %.0f s so far", since(stamp_of(now_ns), fc->hold_since));
	if (fc->probe_failures > 1)
		say(words, ", %u probes failed", fc->probe_failures - 1);
	say(words, "; a failed probe is followed by a longer wait, a good one ends the hold at ");
	say_rate(words, fc->rate);
}

static void say_next(struct words *words, const struct flow_control *fc)
{
	double left = rate_probe_after(fc) - fc->count;

	if (fc->mode == MODE_RECOVER) {
		say(words, "climbs back to ");
		say_rate(words, fc->limit_estimate);
		return;
	}
	if (left > 0)
		say(words, "tries more after %.0f more accepted messages", left);
	else if (fc->probe_from_count)
		say(words, "trying whether more is taken by now");
	else
		say(words, "tries more as soon as the recent trouble is forgotten");
}

static void say_rates(struct words *words, const struct flow_control *fc,
		      const struct control_bounds *bounds)
{
	if (fc->mode == MODE_SEARCH && fc->rate >= rate_high(bounds)) {
		say(words, "open as configured: no trouble seen");
		return;
	}
	if (fc->mode == MODE_SEARCH) {
		say(words, "open at ");
		say_rate(words, fc->rate);
		say(words,
		    ", nothing known of the receiver yet; doubles each minute while it is used, "
		    "until trouble comes");
		return;
	}
	say(words, "%s ", fc->mode == MODE_RECOVER ? "recovering, at" : "slowed to");
	say_rate(words, fc->rate);
	say(words, "; trouble comes at %s", fc->flags & FLAG_LOW_CONFIDENCE ? "about " : "");
	say_rate(words, fc->limit_estimate);
	say(words, "; ");
	say_next(words, fc);
	if (rate_fallen(fc)) {
		say(words, "; it was ");
		say_rate(words, fc->limit_best);
		say(words, " before it fell, so more is tried every few minutes");
	}
	if (fc->strikes)
		say(words, "; %u unexpected deferrals of late", fc->strikes);
}

static unsigned percent(double share)
{
	return (unsigned)(100 * share + 0.5);
}

/* What was made of refusals that name no limit. */
static void say_refusals(struct words *words, const struct flow_control *fc)
{
	if (noise_on_trial(fc))
		say(words, "; slower for a trial: are the refusals a limit's, or spurious?");
	if (noise_known(fc))
		say(words,
		    "; %.2g%% of the replies are spurious rate-limit replies and are ignored",
		    100 * noise_share(fc));
	if (refusals_on_trial(fc))
		say(words,
		    "; slower for a trial: does the share of %s replies, %u%%, fall with the rate?",
		    reply_class_name(trial_class(fc)), percent(share(fc->trial_share)));
	for (int class = 0; class < REPLY_CLASSES; class ++) {
		if (refusals_are_limit(fc, class))
			say(words, "; %s replies are a limit's here: they fell with the rate",
			    reply_class_name(class));
		else if (refusals_usual(fc, class) > 0)
			say(words, "; up to %u%% %s replies come at any rate",
			    percent(refusals_usual(fc, class)), reply_class_name(class));
	}
}

/* What is kept of a learned cap, and whether it is put to the test. */
static void say_cap(struct words *words, const struct window_cap *cap, uint32_t known)
{
	if (cap->reserve)
		say(words, ", %" PRIu32 " of them kept for transactional mail by now",
		    cap->reserve);
	if (cap->cap > known)
		say(words, " or more: it is tried now");
}

static void say_windows(struct words *words, const struct flow_control *fc,
			const struct control_bounds *bounds, uint64_t now_ns)
{
	struct window_cap hour = window_hour(fc, bounds, now_ns);
	struct window_cap day = window_day(fc, now_ns);

	if (window_rate(fc) < RATE_TOP)
		say(words,
		    "; the receiver's hour slides, so its %" PRIu32 " an hour are filled evenly",
		    fc->hour_cap);
	if (fc->hour_seen >= HOUR_SURE)
		say(words, "; the receiver takes %" PRIu32 " an hour", fc->hour_cap);
	else if (fc->hour_seen)
		say(words, "; the receiver may have a cap of %" PRIu32 " an hour", fc->hour_cap);
	say_cap(words, &hour, fc->hour_cap);
	if (fc->day_seen)
		say(words, "; it takes %" PRIu32 " a day", fc->day_cap);
	say_cap(words, &day, fc->day_cap);
}

int control_describe(const struct control_state *state, const struct control_bounds *bounds,
		     uint64_t now_ns, char *text, unsigned size)
{
	const struct flow_control *fc = &state->flow;
	struct words words = {.text = text, .size = size};

	if (fc->flags & FLAG_HELD)
		say_hold(&words, fc, now_ns);
	else
		say_rates(&words, fc, bounds);
	say_windows(&words, fc, bounds, now_ns);
	say_refusals(&words, fc);
	if (fc->flags & FLAG_CONNECTIONS)
		say(&words, "; at most %u connections: more met trouble", fc->connections);
	if (fc->connection_rate)
		say(&words, "; a new connection each %.3g s at the most: more often met trouble",
		    3600.0 / fc->connection_rate);
	return (int)words.length;
}
