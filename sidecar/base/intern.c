/* SPDX-License-Identifier: MIT
 *
 * Names as small numbers, found without regard to case.
 */
#include <stdint.h>
#include <strings.h>

static unsigned name_hash(const char *name, size_t length)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < length; i++)
		h = (h ^ ((unsigned char)name[i] | 0x20u)) * 16777619u;
	return h ^ h >> 15;
}

#define HASH_FUNCTION(name, length, hash) ((hash) = name_hash((const char *)(name), length))
#define HASH_KEYCMP(a, b, length)	  strncasecmp((const char *)(a), (const char *)(b), length)

#include "sidecar/base/intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/hash_table.h"

struct interned {
	UT_hash_handle hh;
	unsigned number;
	char name[];
};

struct intern {
	struct interned *by_name;
	struct interned **all;
	unsigned room;
};

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
	unsigned count = table ? intern_count(table) : 0;

	if (table == NULL)
		return;
	HASH_CLEAR(hh, table->by_name);
	for (unsigned i = 0; i < count; i++)
		free(table->all[i]);
	free(table->all);
	free(table);
}

static int grow(struct intern *table)
{
	unsigned room = table->room ? table->room * 2 : 32;
	struct interned **all = realloc(table->all, room * sizeof(struct interned *));

	if (all == NULL)
		return -ENOMEM;
	table->all = all;
	table->room = room;
	return 0;
}

int intern_find(const struct intern *table, const char *name)
{
	struct interned *found;

	HASH_FIND_STR(table->by_name, name, found);
	return found ? (int)found->number : -1;
}

int intern_add(struct intern *table, const char *name)
{
	size_t length = strlen(name);
	int found = intern_find(table, name);
	struct interned *made;

	if (found >= 0)
		return found;
	if (intern_count(table) == table->room && grow(table) != 0)
		return -ENOMEM;
	made = malloc(sizeof(*made) + length + 1);
	if (made == NULL)
		return -ENOMEM;
	made->number = intern_count(table);
	memcpy(made->name, name, length + 1);
	HASH_ADD_KEYPTR(hh, table->by_name, made->name, length, made);
	if (hash_table_lacks(made)) {
		free(made);
		return -ENOMEM;
	}
	table->all[made->number] = made;
	return (int)made->number;
}

unsigned intern_count(const struct intern *table)
{
	return HASH_COUNT(table->by_name);
}

const char *intern_name(const struct intern *table, unsigned number)
{
	return number < intern_count(table) ? table->all[number]->name : NULL;
}
