/* SPDX-License-Identifier: MIT
 *
 * Entries by number, found by their content: linear probing over the numbers, at most half full.
 */
#include "sidecar/config/limits_set.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct limits_set {
	struct limits_entry *entries;
	uint32_t count, room; /* the first that was never used; entry 0 is the empty one */
	uint32_t used;
	uint32_t *places; /* 2 * room; 0: empty */
};

/* Without what the compiler puts behind the last member. */
#define LIMITS_BYTES (offsetof(struct flow_limits, flags) + sizeof(uint32_t))

static uint32_t hash(const struct flow_limits *limits, uint32_t parents)
{
	const uint32_t *words = (const uint32_t *)limits;
	uint64_t h = parents + 1;

	_Static_assert(LIMITS_BYTES % sizeof(*words) == 0, "no rest");
	for (size_t i = 0; i < LIMITS_BYTES / sizeof(*words); i++)
		h = (h ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(h >> 32);
}

/* The place of these limits, or the empty one where they belong. */
static uint32_t place_of(const struct limits_set *set, const struct flow_limits *limits,
			 uint32_t parents)
{
	uint32_t mask = 2 * set->room - 1, at = hash(limits, parents) & mask;

	for (; set->places[at]; at = (at + 1) & mask) {
		const struct limits_entry *entry = &set->entries[set->places[at]];

		if (entry->parents == parents && memcmp(&entry->limits, limits, LIMITS_BYTES) == 0)
			break;
	}
	return at;
}

static void places_fill(struct limits_set *set)
{
	memset(set->places, 0, 2 * (size_t)set->room * sizeof(*set->places));
	for (uint32_t i = 1; i < set->count; i++)
		if (set->entries[i].uses)
			set->places[place_of(set, &set->entries[i].limits,
					     set->entries[i].parents)] = i;
}

static int grow(struct limits_set *set)
{
	uint32_t room = set->room ? set->room * 2 : 64;
	struct limits_entry *entries = realloc(set->entries, room * sizeof(*entries));
	uint32_t *places;

	if (entries == NULL)
		return -ENOMEM;
	set->entries = entries;
	places = realloc(set->places, 2 * (size_t)room * sizeof(*places));
	if (places == NULL)
		return -ENOMEM;
	set->places = places;
	set->room = room;
	places_fill(set);
	return 0;
}

int limits_set_create(struct limits_set **ret)
{
	struct limits_set *set = calloc(1, sizeof(*set));

	if (set == NULL || grow(set) != 0) {
		limits_set_free(set);
		return -ENOMEM;
	}
	memset(&set->entries[0], 0, sizeof(set->entries[0]));
	set->count = 1;
	*ret = set;
	return 0;
}

void limits_set_free(struct limits_set *set)
{
	if (set == NULL)
		return;
	free(set->entries);
	free(set->places);
	free(set);
}

static uint32_t entry_free(struct limits_set *set)
{
	if (set->used + 1 < set->count)
		for (uint32_t i = 1; i < set->count; i++)
			if (set->entries[i].uses == 0)
				return i;
	return set->count++;
}

int limits_set_add(struct limits_set *set, const struct flow_limits *limits, uint32_t parents)
{
	uint32_t at = place_of(set, limits, parents), number = set->places[at];

	if (number == 0) {
		if (set->used + 1 >= set->room && grow(set) != 0)
			return -ENOMEM;
		number = entry_free(set);
		set->entries[number] = (struct limits_entry){*limits, parents, 0};
		set->places[place_of(set, limits, parents)] = number;
		set->used++;
	}
	set->entries[number].uses++;
	return (int)number;
}

void limits_set_drop(struct limits_set *set, uint32_t number)
{
	if (number == 0 || --set->entries[number].uses > 0)
		return;
	set->used--;
	/* Probing must not end at its place. It is seldom: when a configuration changes. */
	places_fill(set);
}

const struct limits_entry *limits_set_get(const struct limits_set *set, uint32_t number)
{
	return &set->entries[number];
}

uint32_t limits_set_count(const struct limits_set *set)
{
	return set->used;
}
