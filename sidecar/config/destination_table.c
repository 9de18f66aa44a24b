/* SPDX-License-Identifier: MIT
 *
 * The builder: growing arrays in the very form they are published in, put one after the other at
 * the end; prefixes alone are turned into something else, a list of ranges without overlap.
 */
#include "sidecar/config/destination_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shm/destination.h"
#include "sidecar/config/public_suffix.h"

/* A growing array. */
struct array {
	void *items;
	uint32_t count;
	uint32_t room;
	uint32_t size; /* of an item */
};

struct prefix {
	unsigned __int128 first;
	unsigned __int128 last;
	int32_t destination;
	uint32_t bits;
};

struct destination_table {
	struct array slots;
	struct array entries;
	struct array destinations;
	struct array prefixes;
	struct array pools;
	struct array sources;
	struct array text;
	bool list;
};

/* count new items at the end, zeroed; NULL: no memory. */
static void *array_add(struct array *array, uint32_t count)
{
	void *added;

	if (count > UINT32_MAX / 2 - array->count)
		return NULL;
	if (array->count + count > array->room) {
		uint32_t room = array->room ? array->room : 64;
		void *items;

		while (room < array->count + count)
			room *= 2;
		items = reallocarray(array->items, room, array->size);
		if (!items)
			return NULL;
		array->items = items;
		array->room = room;
	}
	added = (char *)array->items + (size_t)array->count * array->size;
	memset(added, 0, (size_t)count * array->size);
	array->count += count;
	return added;
}

int destination_table_new(struct destination_table **ret)
{
	struct destination_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->slots.size = sizeof(struct destination_slot);
	table->entries.size = sizeof(struct destination_entry);
	table->destinations.size = sizeof(struct destination_text);
	table->prefixes.size = sizeof(struct prefix);
	table->pools.size = sizeof(struct destination_pool_entry);
	table->sources.size = 16;
	table->text.size = 1;
	if (!array_add(&table->slots, 256)) {
		destination_table_free(table);
		return -ENOMEM;
	}
	*ret = table;
	return 0;
}

void destination_table_free(struct destination_table *table)
{
	if (!table)
		return;
	free(table->slots.items);
	free(table->entries.items);
	free(table->destinations.items);
	free(table->prefixes.items);
	free(table->pools.items);
	free(table->sources.items);
	free(table->text.items);
	free(table);
}

/* ---- names ----------------------------------------------------------------------------------- */

static int text_add(struct destination_table *table, const char *text, uint32_t length,
		    uint32_t *ret_offset)
{
	uint32_t offset = table->text.count;
	char *copy = array_add(&table->text, length);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, length);
	*ret_offset = offset;
	return 0;
}

static uint32_t name_hash(const char *name, uint32_t length)
{
	uint32_t hash = DESTINATION_HASH;

	while (length-- > 0)
		hash = destination_hash_step(hash, (uint8_t)name[length]);
	return hash;
}

/* The slot of a name, or the free one where it belongs. */
static struct destination_slot *slot_of(const struct destination_table *table, const char *name,
					uint32_t length, uint32_t hash)
{
	const struct destination_entry *entries = table->entries.items;
	struct destination_slot *slots = table->slots.items;
	const char *text = table->text.items;
	uint32_t mask = table->slots.count - 1;
	uint32_t at = destination_place(hash) & mask;

	for (; slots[at].entry; at = (at + 1) & mask) {
		const struct destination_entry *entry = &entries[slots[at].entry - 1];

		if (slots[at].hash == hash && entry->length == length &&
		    memcmp(text + entry->text, name, length) == 0)
			break;
	}
	return &slots[at];
}

static int slots_grow(struct destination_table *table)
{
	const struct destination_entry *entries = table->entries.items;
	struct array grown = {.size = table->slots.size};
	uint32_t mask = table->slots.count * 2 - 1;
	struct destination_slot *slots = array_add(&grown, mask + 1);

	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < table->entries.count; i++) {
		uint32_t at = destination_place(entries[i].hash) & mask;

		while (slots[at].entry)
			at = (at + 1) & mask;
		slots[at] = (struct destination_slot){entries[i].hash, i + 1};
	}
	free(table->slots.items);
	table->slots = grown;
	return 0;
}

/* The entry of a normalised name, made if it is new; NULL: no memory. */
static struct destination_entry *entry_of(struct destination_table *table, const char *name,
					  uint32_t length)
{
	uint32_t hash = name_hash(name, length);
	struct destination_slot *slot;
	struct destination_entry *entry;
	uint32_t offset;

	/* Two thirds full at most: a name that is not there is mostly one line of memory away. */
	if (table->entries.count * 3 >= table->slots.count * 2 && slots_grow(table) < 0)
		return NULL;
	slot = slot_of(table, name, length, hash);
	if (slot->entry)
		return (struct destination_entry *)table->entries.items + slot->entry - 1;
	if (text_add(table, name, length, &offset) < 0)
		return NULL;
	entry = array_add(&table->entries, 1);
	if (!entry)
		return NULL;
	*entry = (struct destination_entry){.hash = hash,
					    .text = offset,
					    .length = (uint16_t)length,
					    .exact = DESTINATION_NONE,
					    .suffix = DESTINATION_NONE,
					    .under = DESTINATION_NONE};
	*slot = (struct destination_slot){hash, table->entries.count};
	return entry;
}

static struct destination_entry *entry_named(struct destination_table *table, const char *name,
					     int *ret_error)
{
	char normal[DESTINATION_NAME_MAX + 1];
	struct destination_entry *entry;
	int length = destination_normalise(name, normal);

	*ret_error = -EINVAL;
	if (length < 0)
		return NULL;
	entry = entry_of(table, normal, (uint32_t)length);
	*ret_error = -ENOMEM;
	return entry;
}

static int claim(int32_t *owner, int32_t index, int32_t *ret_owner)
{
	if (*owner != DESTINATION_NONE && *owner != index) {
		*ret_owner = *owner;
		return -EEXIST;
	}
	*owner = index;
	return 0;
}

int destination_table_add(struct destination_table *table, const char *name)
{
	char normal[DESTINATION_NAME_MAX + 1];
	int length = destination_normalise(name, normal);
	struct destination_text *added;
	uint32_t offset;

	if (length < 0)
		return length;
	if (text_add(table, normal, (uint32_t)length, &offset) < 0)
		return -ENOMEM;
	added = array_add(&table->destinations, 1);
	if (!added)
		return -ENOMEM;
	*added = (struct destination_text){offset, (uint32_t)length};
	return (int)table->destinations.count - 1;
}

int destination_table_exact(struct destination_table *table, const char *name, int32_t index,
			    int32_t *ret_owner)
{
	int error;
	struct destination_entry *entry = entry_named(table, name, &error);

	return entry ? claim(&entry->exact, index, ret_owner) : error;
}

int destination_table_suffix(struct destination_table *table, const char *suffix, int32_t index,
			     int32_t *ret_owner)
{
	bool below = suffix[0] == '.';
	int error;
	struct destination_entry *entry = entry_named(table, suffix + below, &error);

	if (!entry)
		return error;
	error = claim(&entry->suffix, index, ret_owner);
	if (error == 0 && !below)
		entry->rules |= DESTINATION_SELF;
	return error;
}

int destination_table_under(struct destination_table *table, const char *label, int32_t index,
			    int32_t *ret_owner)
{
	int error;
	struct destination_entry *entry = entry_named(table, label, &error);

	return entry ? claim(&entry->under, index, ret_owner) : error;
}

static int take_rule(void *context, const char *name, uint16_t rule)
{
	struct destination_entry *entry = entry_of(context, name, (uint32_t)strlen(name));

	if (!entry)
		return -ENOMEM;
	entry->rules |= rule;
	return 0;
}

int destination_table_list(struct destination_table *table, const char *path)
{
	int rc = public_suffix_read(path, take_rule, table);

	if (rc == 0)
		table->list = true;
	return rc;
}

bool destination_table_public(const struct destination_table *table, const char *name)
{
	const struct destination_entry *entries = table->entries.items;
	char normal[DESTINATION_NAME_MAX + 1];
	int length = destination_normalise(name, normal);
	const struct destination_slot *slot;

	if (length < 0)
		return false;
	slot = slot_of(table, normal, (uint32_t)length, name_hash(normal, (uint32_t)length));
	return slot->entry && (entries[slot->entry - 1].rules &
			       (DESTINATION_RULE_ICANN | DESTINATION_RULE_PRIVATE |
				DESTINATION_STAR_ICANN | DESTINATION_STAR_PRIVATE));
}

/* ---- addresses and pools --------------------------------------------------------------------- */

static unsigned __int128 address_number(const uint8_t address[16])
{
	unsigned __int128 number = 0;

	for (int i = 0; i < 16; i++)
		number = number << 8 | address[i];
	return number;
}

int destination_table_range(struct destination_table *table, const uint8_t address[16],
			    unsigned bits, int32_t index, int32_t *ret_owner)
{
	struct prefix *prefixes = table->prefixes.items;
	unsigned __int128 host;
	struct prefix added = {.destination = index, .bits = bits};
	struct prefix *prefix;

	if (bits > 128)
		return -EINVAL;
	host = bits == 128 ? 0 : ~(unsigned __int128)0 >> bits;
	added.first = address_number(address) & ~host;
	added.last = added.first | host;
	for (uint32_t i = 0; i < table->prefixes.count; i++)
		if (prefixes[i].first == added.first && prefixes[i].bits == bits)
			return claim(&prefixes[i].destination, index, ret_owner);
	prefix = array_add(&table->prefixes, 1);
	if (!prefix)
		return -ENOMEM;
	*prefix = added;
	return 0;
}

static int prefix_order(const void *a, const void *b)
{
	const struct prefix *x = a;
	const struct prefix *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return (int)x->bits - (int)y->bits;
}

/* From first on, destination. A range that begins where the last one did replaces it. */
static int range_emit(struct array *ranges, unsigned __int128 first, int32_t destination)
{
	struct destination_range range = {.destination = destination};
	struct destination_range *place = ranges->items;

	for (int i = 15; i >= 0; i--, first >>= 8)
		range.start[i] = (uint8_t)first;
	if (ranges->count && memcmp(place[ranges->count - 1].start, range.start, 16) == 0)
		place += ranges->count - 1;
	else
		place = array_add(ranges, 1);
	if (!place)
		return -ENOMEM;
	*place = range;
	return 0;
}

/* Closes what is open on the stack of nested prefixes and ends before `next`. */
static int prefixes_close(struct array *ranges, const struct prefix **stack, uint32_t *depth,
			  const struct prefix *next)
{
	while (*depth && (!next || stack[*depth - 1]->last < next->first)) {
		unsigned __int128 end = stack[--*depth]->last + 1;
		int32_t outer = *depth ? stack[*depth - 1]->destination : DESTINATION_NONE;

		if (end != 0 && range_emit(ranges, end, outer) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Prefixes either nest or do not meet, so sorted by start, shorter first, a stack holds those
 * around the current one: at most 129. */
static int prefixes_flatten(const struct array *prefixes, struct array *ranges)
{
	const struct prefix *stack[130];
	struct prefix *items = prefixes->items;
	uint32_t depth = 0;

	if (prefixes->count == 0)
		return 0;
	qsort(items, prefixes->count, sizeof(*items), prefix_order);
	for (uint32_t i = 0; i < prefixes->count; i++) {
		if (prefixes_close(ranges, stack, &depth, &items[i]) < 0 ||
		    range_emit(ranges, items[i].first, items[i].destination) < 0)
			return -ENOMEM;
		stack[depth++] = &items[i];
	}
	return prefixes_close(ranges, stack, &depth, NULL);
}

int destination_table_pool(struct destination_table *table, const char *name)
{
	struct destination_pool_entry *pool;
	size_t length = strlen(name);
	uint32_t offset;

	if (length == 0 || length > DESTINATION_NAME_MAX)
		return -EINVAL;
	if (text_add(table, name, (uint32_t)length, &offset) < 0)
		return -ENOMEM;
	pool = array_add(&table->pools, 1);
	if (!pool)
		return -ENOMEM;
	*pool = (struct destination_pool_entry){
		.text = offset, .length = (uint32_t)length, .first = table->sources.count};
	return 0;
}

int destination_table_source(struct destination_table *table, const uint8_t address[16])
{
	struct destination_pool_entry *pool = table->pools.items;
	uint8_t *source;

	if (table->pools.count == 0)
		return -EINVAL;
	source = array_add(&table->sources, 1);
	if (!source)
		return -ENOMEM;
	memcpy(source, address, 16);
	pool[table->pools.count - 1].count++;
	return 0;
}

static int pool_order(const void *a, const void *b, void *text)
{
	const struct destination_pool_entry *x = a;
	const struct destination_pool_entry *y = b;
	uint32_t min = x->length < y->length ? x->length : y->length;
	int order = memcmp((char *)text + x->text, (char *)text + y->text, min);

	return order ? order : (int)x->length - (int)y->length;
}

/* ---- the block ------------------------------------------------------------------------------- */

struct name_part {
	struct destination_section *section;
	const struct array *array;
};

int destination_table_build(struct destination_table *table, void **ret, size_t *ret_length)
{
	struct destination_header header = {.magic = DESTINATION_MAGIC,
					    .version = DESTINATION_VERSION,
					    .flags = table->list ? 0 : DESTINATION_NO_LIST};
	struct array ranges = {.size = sizeof(struct destination_range)};
	struct name_part parts[] = {
		{&header.slots, &table->slots}, {&header.entries, &table->entries},
		{&header.ranges, &ranges},	{&header.destinations, &table->destinations},
		{&header.pools, &table->pools}, {&header.sources, &table->sources},
		{&header.text, &table->text},
	};
	uint64_t length = sizeof(header);
	char *blob = NULL;
	int rc = prefixes_flatten(&table->prefixes, &ranges);

	if (rc < 0)
		goto out;
	if (table->pools.count)
		qsort_r(table->pools.items, table->pools.count, table->pools.size, pool_order,
			table->text.items);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		length = (length + 7) / 8 * 8;
		*parts[i].section =
			(struct destination_section){(uint32_t)length, parts[i].array->count};
		length += (uint64_t)parts[i].array->count * parts[i].array->size;
	}
	rc = -EFBIG;
	if (length > UINT32_MAX)
		goto out;
	header.length = (uint32_t)length;
	rc = -ENOMEM;
	blob = calloc(1, length);
	if (!blob)
		goto out;
	memcpy(blob, &header, sizeof(header));
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i].array->count)
			memcpy(blob + parts[i].section->offset, parts[i].array->items,
			       (size_t)parts[i].array->count * parts[i].array->size);
	*ret = blob;
	*ret_length = length;
	rc = 0;
out:
	free(ranges.items);
	return rc;
}
