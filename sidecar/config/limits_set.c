/* SPDX-License-Identifier: MIT
 *
 * Entries by number, found by their content.
 */
#include "sidecar/config/limits_set.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/hash_table.h"

/* Without what the compiler puts behind the last member. */
#define LIMITS_BYTES (offsetof(struct flow_limits, flags) + sizeof(uint32_t))

struct place {
	UT_hash_handle hh;
	uint32_t number;
	uint8_t key[LIMITS_BYTES + sizeof(uint32_t)];
	struct limits_entry entry;
};

struct limits_set {
	struct place *by_content;
	struct place **by_number; /* NULL: the number is free; 0 is the empty entry's */
	uint32_t count, room;	  /* the first that was never used */
	struct limits_entry none;
};

static void key_make(const struct flow_limits *limits, uint32_t parents,
		     uint8_t ret[LIMITS_BYTES + sizeof(uint32_t)])
{
	memcpy(ret, limits, LIMITS_BYTES);
	memcpy(ret + LIMITS_BYTES, &parents, sizeof(parents));
}

static int grow(struct limits_set *set)
{
	uint32_t room = set->room ? set->room * 2 : 64;
	struct place **by_number = realloc(set->by_number, room * sizeof(struct place *));

	if (by_number == NULL)
		return -ENOMEM;
	set->by_number = by_number;
	set->room = room;
	return 0;
}

int limits_set_create(struct limits_set **ret)
{
	struct limits_set *set = calloc(1, sizeof(*set));

	if (set == NULL || grow(set) != 0) {
		limits_set_free(set);
		return -ENOMEM;
	}
	set->by_number[0] = NULL;
	set->count = 1;
	*ret = set;
	return 0;
}

void limits_set_free(struct limits_set *set)
{
	if (set == NULL)
		return;
	HASH_CLEAR(hh, set->by_content);
	for (uint32_t i = 1; i < set->count; i++)
		free(set->by_number[i]);
	free(set->by_number);
	free(set);
}

static uint32_t number_free(const struct limits_set *set)
{
	if (limits_set_count(set) + 1 < set->count)
		for (uint32_t i = 1; i < set->count; i++)
			if (set->by_number[i] == NULL)
				return i;
	return set->count;
}

static struct place *place_make(struct limits_set *set, const struct flow_limits *limits,
				uint32_t parents)
{
	struct place *made;

	if (set->count == set->room && grow(set) != 0)
		return NULL;
	made = calloc(1, sizeof(*made));
	if (made == NULL)
		return NULL;
	made->entry = (struct limits_entry){*limits, parents, 0};
	made->number = number_free(set);
	key_make(limits, parents, made->key);
	HASH_ADD(hh, set->by_content, key, sizeof(made->key), made);
	if (hash_table_lacks(made)) {
		free(made);
		return NULL;
	}
	set->by_number[made->number] = made;
	if (made->number == set->count)
		set->count++;
	return made;
}

int limits_set_add(struct limits_set *set, const struct flow_limits *limits, uint32_t parents)
{
	uint8_t key[LIMITS_BYTES + sizeof(uint32_t)];
	struct place *place;

	key_make(limits, parents, key);
	HASH_FIND(hh, set->by_content, key, sizeof(key), place);
	if (place == NULL)
		place = place_make(set, limits, parents);
	if (place == NULL)
		return -ENOMEM;
	place->entry.uses++;
	return (int)place->number;
}

void limits_set_drop(struct limits_set *set, uint32_t number)
{
	struct place *place = number ? set->by_number[number] : NULL;

	if (place == NULL || --place->entry.uses > 0)
		return;
	HASH_DEL(set->by_content, place);
	set->by_number[number] = NULL;
	free(place);
}

const struct limits_entry *limits_set_get(const struct limits_set *set, uint32_t number)
{
	return number ? &set->by_number[number]->entry : &set->none;
}

uint32_t limits_set_count(const struct limits_set *set)
{
	return HASH_COUNT(set->by_content);
}
