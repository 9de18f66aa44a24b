/* SPDX-License-Identifier: MIT
 *
 * Names as small numbers: linear probing, at most half full.
 */
#include "sidecar/base/intern.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct name_table {
	char **names;
	unsigned count, room;
	int *slots; /* 2 * room, -1 where empty */
};

static uint32_t hash(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name != '\0'; name++)
		h = (h ^ ((unsigned char)*name | 0x20u)) * 16777619u;
	return h ^ h >> 15;
}

int name_table_create(struct name_table **ret_table)
{
	struct name_table *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return -ENOMEM;
	*ret_table = table;
	return 0;
}

void name_table_free(struct name_table *table)
{
	if (table == NULL)
		return;
	for (unsigned i = 0; i < table->count; i++)
		free(table->names[i]);
	free(table->names);
	free(table->slots);
	free(table);
}

/* The slot of the name, or the empty one where it belongs. */
static unsigned slot_find(const struct name_table *table, const char *name)
{
	unsigned mask = 2 * table->room - 1, slot = hash(name) & mask;

	while (table->slots[slot] >= 0 && strcasecmp(table->names[table->slots[slot]], name) != 0)
		slot = (slot + 1) & mask;
	return slot;
}

static int grow(struct name_table *table)
{
	unsigned room = table->room ? table->room * 2 : 32;
	char **names = realloc(table->names, room * sizeof(*names));
	int *slots;

	if (names == NULL)
		return -ENOMEM;
	table->names = names;
	slots = malloc(2 * (size_t)room * sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	free(table->slots);
	table->slots = slots;
	table->room = room;
	memset(slots, 0xFF, 2 * (size_t)room * sizeof(*slots));
	for (unsigned i = 0; i < table->count; i++)
		slots[slot_find(table, names[i])] = (int)i;
	return 0;
}

int name_table_find(const struct name_table *table, const char *name)
{
	return table->count == 0 ? -1 : table->slots[slot_find(table, name)];
}

int name_table_add(struct name_table *table, const char *name)
{
	int found = name_table_find(table, name), err;

	if (found >= 0)
		return found;
	if (table->count == table->room && (err = grow(table)) != 0)
		return err;
	table->names[table->count] = strdup(name);
	if (table->names[table->count] == NULL)
		return -ENOMEM;
	table->slots[slot_find(table, name)] = (int)table->count;
	return (int)table->count++;
}

unsigned name_table_count(const struct name_table *table)
{
	return table->count;
}

const char *name_table_name(const struct name_table *table, unsigned number)
{
	return number < table->count ? table->names[number] : NULL;
}
