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

struct intern {
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

int intern_create(struct intern **ret_table)
{
	struct intern *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return -ENOMEM;
	*ret_table = table;
	return 0;
}

void intern_free(struct intern *table)
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
static unsigned slot_find(const struct intern *table, const char *name)
{
	unsigned mask = 2 * table->room - 1, slot = hash(name) & mask;

	while (table->slots[slot] >= 0 && strcasecmp(table->names[table->slots[slot]], name) != 0)
		slot = (slot + 1) & mask;
	return slot;
}

static int grow(struct intern *table)
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

int intern_find(const struct intern *table, const char *name)
{
	return table->count == 0 ? -1 : table->slots[slot_find(table, name)];
}

int intern_add(struct intern *table, const char *name)
{
	int found = intern_find(table, name), err;

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

unsigned intern_count(const struct intern *table)
{
	return table->count;
}

const char *intern_name(const struct intern *table, unsigned number)
{
	return number < table->count ? table->names[number] : NULL;
}
