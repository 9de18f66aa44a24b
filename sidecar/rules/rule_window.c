/* SPDX-License-Identifier: MIT */
#include "sidecar/rules/rule_window.h"

#include <string.h>

#define MS_NS	    UINT64_C(1000000)
#define GROWTH_DAYS 2u /* today and the day before */

_Static_assert(RULE_WINDOW_EXACT <= RULE_WINDOW_WORDS, "room for the exact ones");

static bool exact(const struct rule_trigger *trigger)
{
	return trigger->kind == RULE_COUNT && trigger->count <= RULE_WINDOW_EXACT;
}

static uint32_t slots_of(const struct rule_trigger *trigger)
{
	return trigger->kind == RULE_GROWTH ? GROWTH_DAYS : RULE_WINDOW_SLOTS;
}

uint32_t rule_window_words(const struct rule_trigger *trigger)
{
	if (trigger->kind == RULE_IMMEDIATE)
		return 0;
	return exact(trigger) ? trigger->count : 2 * slots_of(trigger);
}

uint32_t rule_window_shape(const struct rule_trigger *trigger)
{
	uint64_t h = trigger->period_ns;

	h = (h ^ (h >> 31)) * UINT64_C(0x9E3779B97F4A7C15) + exact(trigger);
	h = (h ^ (h >> 31)) * UINT64_C(0x9E3779B97F4A7C15) + rule_window_words(trigger);
	return (uint32_t)(h >> 32) ^ (uint32_t)h;
}

static uint32_t *attempts_at(struct rule_window *window, unsigned slot)
{
	return &window->words[2 * (size_t)slot];
}

static uint32_t *hits_at(struct rule_window *window, unsigned slot)
{
	return &window->words[2 * (size_t)slot + 1];
}

static void window_clear(struct rule_window *window, const struct rule_trigger *trigger)
{
	memset(window, 0, sizeof(*window) + rule_window_words(trigger) * sizeof(window->words[0]));
}

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
		window->words[window->mark++ % trigger->count] = now_ms;
	if (trigger->count == 0 || window->mark < trigger->count)
		return false;
	first = window->words[window->mark % trigger->count];
	if ((uint64_t)(now_ms - first) * MS_NS >= trigger->period_ns)
		return false;
	window_clear(window, trigger);
	window->last_ns = now_ns;
	return true;
}

static uint64_t slot_width(const struct rule_trigger *trigger)
{
	uint64_t slots = trigger->kind == RULE_GROWTH ? 1 : RULE_WINDOW_SLOTS;

	return trigger->period_ns / slots > 0 ? trigger->period_ns / slots : 1;
}

/* Empties the slots between the newest one and that of now. */
static unsigned slots_turn(struct rule_window *window, const struct rule_trigger *trigger,
			   uint64_t now_ns)
{
	uint32_t slots = slots_of(trigger);
	uint64_t slot = now_ns / slot_width(trigger);

	if (slot > window->mark) {
		uint64_t passed = slot - window->mark;

		for (uint64_t i = 0; i < passed && i < slots; i++) {
			unsigned at = (unsigned)((slot - i) % slots);

			*attempts_at(window, at) = *hits_at(window, at) = 0;
		}
		window->mark = slot;
	}
	return (unsigned)(window->mark % slots);
}

static void slots_sum(struct rule_window *window, uint32_t *ret_attempts, uint32_t *ret_hits)
{
	*ret_attempts = *ret_hits = 0;
	for (unsigned i = 0; i < RULE_WINDOW_SLOTS; i++) {
		*ret_attempts = add_capped(*ret_attempts, *attempts_at(window, i));
		*ret_hits = add_capped(*ret_hits, *hits_at(window, i));
	}
}

/* The share of today against that of yesterday, both of enough attempts. */
static bool growth_fires(struct rule_window *window, const struct rule_trigger *trigger)
{
	unsigned today = (unsigned)(window->mark % GROWTH_DAYS), before = !today;
	double now, then;

	if (*attempts_at(window, today) < trigger->count ||
	    *attempts_at(window, before) < trigger->count)
		return false;
	now = (double)*hits_at(window, today) / *attempts_at(window, today);
	then = (double)*hits_at(window, before) / *attempts_at(window, before);
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

/* What fired starts anew; a growth keeps today, and is quiet for what is left of it. */
static void slots_restart(struct rule_window *window, const struct rule_trigger *trigger)
{
	unsigned today = (unsigned)(window->mark % slots_of(trigger));

	for (unsigned i = 0; i < slots_of(trigger); i++)
		if (trigger->kind != RULE_GROWTH || i != today)
			*attempts_at(window, i) = *hits_at(window, i) = 0;
}

bool rule_window_add(struct rule_window *window, const struct rule_trigger *trigger,
		     uint32_t attempts, uint32_t hits, uint64_t now_ns)
{
	unsigned at;

	if (trigger->kind == RULE_IMMEDIATE)
		return hits > 0;
	if (now_ns < window->last_ns)
		now_ns = window->last_ns;
	if (exact(trigger)) {
		if (now_ns - window->last_ns >= trigger->period_ns)
			window_clear(window, trigger);
		window->last_ns = now_ns;
		return hits > 0 && count_exact(window, trigger, hits, now_ns);
	}
	window->last_ns = now_ns;
	at = slots_turn(window, trigger, now_ns);
	*attempts_at(window, at) = add_capped(*attempts_at(window, at), attempts);
	*hits_at(window, at) = add_capped(*hits_at(window, at), hits);
	if (hits == 0 || !slots_fire(window, trigger))
		return false;
	slots_restart(window, trigger);
	return true;
}

static uint32_t exact_sum(const struct rule_window *window, const struct rule_trigger *trigger,
			  uint64_t now_ns)
{
	uint32_t now_ms = (uint32_t)(now_ns / MS_NS), hits = 0;
	uint64_t kept = window->mark < trigger->count ? window->mark : trigger->count;

	if (now_ns - window->last_ns >= trigger->period_ns)
		return 0;
	for (uint64_t i = 0; i < kept; i++)
		hits += (uint64_t)(now_ms - window->words[i]) * MS_NS < trigger->period_ns;
	return hits;
}

void rule_window_sum(const struct rule_window *window, const struct rule_trigger *trigger,
		     uint64_t now_ns, uint32_t *ret_attempts, uint32_t *ret_hits)
{
	_Alignas(struct rule_window) char bytes[sizeof(*window) + RULE_WINDOW_WORDS * 4];
	struct rule_window *copy = (struct rule_window *)bytes;
	unsigned at;

	*ret_attempts = *ret_hits = 0;
	if (trigger->kind == RULE_IMMEDIATE)
		return;
	if (now_ns < window->last_ns)
		now_ns = window->last_ns;
	if (exact(trigger)) {
		*ret_hits = exact_sum(window, trigger, now_ns);
		return;
	}
	memcpy(bytes, window, sizeof(*window) + rule_window_words(trigger) * 4);
	at = slots_turn(copy, trigger, now_ns);
	if (trigger->kind == RULE_GROWTH)
		*ret_attempts = *attempts_at(copy, at), *ret_hits = *hits_at(copy, at);
	else
		slots_sum(copy, ret_attempts, ret_hits);
}
