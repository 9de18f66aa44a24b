/* SPDX-License-Identifier: MIT */
#include "sidecar/rules/rule_window.h"

#include <string.h>

#define MS_NS UINT64_C(1000000)

static uint32_t add_capped(uint32_t a, uint32_t b)
{
	return b > UINT32_MAX - a ? UINT32_MAX : a + b;
}

/* The last `count` times, as milliseconds that wrap after 49 days: periods are at most 31. */
static bool count_exact(struct rule_window *window, const struct rule_trigger *trigger,
			uint32_t hits, uint64_t now_ns)
{
	uint32_t now_ms = (uint32_t)(now_ns / MS_NS), first;

	for (uint32_t i = 0; i < hits && i < trigger->count; i++)
		window->at_ms[window->mark++ % trigger->count] = now_ms;
	if (trigger->count == 0 || window->mark < trigger->count)
		return false;
	first = window->at_ms[window->mark % trigger->count];
	if ((uint64_t)(now_ms - first) * MS_NS >= trigger->period_ns)
		return false;
	*window = (struct rule_window){.last_ns = now_ns};
	return true;
}

/* Empties the slots between the newest one and that of now. */
static unsigned slots_turn(struct rule_window *window, uint64_t width_ns, uint64_t now_ns)
{
	uint64_t slot = now_ns / width_ns;

	if (slot > window->mark) {
		uint64_t passed = slot - window->mark;

		for (uint64_t i = 0; i < passed && i < RULE_WINDOW_SLOTS; i++) {
			unsigned at = (unsigned)((slot - i) % RULE_WINDOW_SLOTS);

			window->attempts[at] = window->hits[at] = 0;
		}
		window->mark = slot;
	}
	return (unsigned)(window->mark % RULE_WINDOW_SLOTS);
}

static uint64_t slot_width(const struct rule_trigger *trigger)
{
	uint64_t slots = trigger->kind == RULE_GROWTH ? 1 : RULE_WINDOW_SLOTS;

	return trigger->period_ns / slots > 0 ? trigger->period_ns / slots : 1;
}

static void slots_sum(const struct rule_window *window, uint32_t *ret_attempts, uint32_t *ret_hits)
{
	*ret_attempts = *ret_hits = 0;
	for (unsigned i = 0; i < RULE_WINDOW_SLOTS; i++) {
		*ret_attempts = add_capped(*ret_attempts, window->attempts[i]);
		*ret_hits = add_capped(*ret_hits, window->hits[i]);
	}
}

/* The share of today against that of yesterday, both of enough attempts. */
static bool growth_fires(const struct rule_window *window, const struct rule_trigger *trigger)
{
	unsigned today = (unsigned)(window->mark % RULE_WINDOW_SLOTS);
	unsigned before = (unsigned)((window->mark + RULE_WINDOW_SLOTS - 1) % RULE_WINDOW_SLOTS);
	double now, then;

	if (window->attempts[today] < trigger->count || window->attempts[before] < trigger->count)
		return false;
	now = (double)window->hits[today] / window->attempts[today];
	then = (double)window->hits[before] / window->attempts[before];
	return now > 0 && now >= then * (1 + trigger->millionths / 1e6);
}

static bool slots_fire(struct rule_window *window, const struct rule_trigger *trigger)
{
	uint32_t attempts, hits;

	if (trigger->kind == RULE_GROWTH)
		return growth_fires(window, trigger);
	slots_sum(window, &attempts, &hits);
	if (trigger->kind == RULE_COUNT)
		return hits >= trigger->count;
	return attempts >= trigger->count &&
	       (uint64_t)hits * 1000000 >= (uint64_t)attempts * trigger->millionths;
}

/* What fired starts anew; a growth keeps its days, and is quiet for what is left of this one. */
static void slots_restart(struct rule_window *window, const struct rule_trigger *trigger)
{
	unsigned today = (unsigned)(window->mark % RULE_WINDOW_SLOTS);

	if (trigger->kind != RULE_GROWTH) {
		memset(window->attempts, 0, sizeof(window->attempts));
		memset(window->hits, 0, sizeof(window->hits));
		return;
	}
	for (unsigned i = 0; i < RULE_WINDOW_SLOTS; i++)
		if (i != today)
			window->attempts[i] = window->hits[i] = 0;
}

bool rule_window_add(struct rule_window *window, const struct rule_trigger *trigger,
		     uint32_t attempts, uint32_t hits, uint64_t now_ns)
{
	unsigned at;

	if (trigger->kind == RULE_IMMEDIATE)
		return hits > 0;
	if (now_ns < window->last_ns)
		now_ns = window->last_ns;
	if (trigger->kind == RULE_COUNT && trigger->count <= RULE_WINDOW_EXACT) {
		if (now_ns - window->last_ns >= trigger->period_ns)
			*window = (struct rule_window){0};
		window->last_ns = now_ns;
		return hits > 0 && count_exact(window, trigger, hits, now_ns);
	}
	window->last_ns = now_ns;
	at = slots_turn(window, slot_width(trigger), now_ns);
	window->attempts[at] = add_capped(window->attempts[at], attempts);
	window->hits[at] = add_capped(window->hits[at], hits);
	if (hits == 0 || !slots_fire(window, trigger))
		return false;
	slots_restart(window, trigger);
	return true;
}

void rule_window_sum(const struct rule_window *window, const struct rule_trigger *trigger,
		     uint64_t now_ns, uint32_t *ret_attempts, uint32_t *ret_hits)
{
	struct rule_window copy = *window;
	unsigned at;

	*ret_attempts = *ret_hits = 0;
	if (now_ns < copy.last_ns)
		now_ns = copy.last_ns;
	if (trigger->kind == RULE_COUNT && trigger->count <= RULE_WINDOW_EXACT) {
		uint32_t now_ms = (uint32_t)(now_ns / MS_NS);
		uint64_t kept = copy.mark < trigger->count ? copy.mark : trigger->count;

		if (now_ns - copy.last_ns >= trigger->period_ns)
			return;
		for (uint64_t i = 0; i < kept; i++)
			*ret_hits +=
				(uint64_t)(now_ms - copy.at_ms[i]) * MS_NS < trigger->period_ns;
		return;
	}
	if (trigger->kind == RULE_IMMEDIATE)
		return;
	at = slots_turn(&copy, slot_width(trigger), now_ns);
	if (trigger->kind == RULE_GROWTH)
		*ret_attempts = copy.attempts[at], *ret_hits = copy.hits[at];
	else
		slots_sum(&copy, ret_attempts, ret_hits);
}
