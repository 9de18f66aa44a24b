/* SPDX-License-Identifier: MIT
 *
 * Nodes into structs, by the rows of yaml.h.
 *
 * A struct gets its defaults first, then the pairs of its mapping in the order of the text. All
 * that is loaded hangs on one chain of memory, so that freeing needs no table.
 */
#include "sidecar/base/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/base/yaml_nodes.h"

#define KEY_MAX 96

struct loader {
	const struct yaml_source *source;
	const struct yaml_marks *marks;
	void *loaded;
	struct yaml_error *error;
};

/* A mapping while it is read: of its keys those that begin with the prefix. */
struct binding {
	struct loader *loader;
	const struct yaml_keys *keys;
	const yaml_node_t *node;
	const char *prefix;
	char *base;
};

static int bind_mapping(struct loader *loader, const struct yaml_keys *keys,
			const yaml_node_t *node, void *base);

/* ---- memory ---------------------------------------------------------------------------------- */

/* In front of each piece; that of the struct at the top begins the chain. */
struct piece {
	_Alignas(max_align_t) struct piece *next;
};

static void *resize(const struct yaml_memory *memory, void *old, size_t size)
{
	if (memory && memory->resize)
		return memory->resize(memory->context, old, size);
	if (size)
		return realloc(old, size);
	free(old);
	return NULL;
}

void *yaml_allocate(const struct yaml_memory *memory, void *loaded, size_t size)
{
	struct piece *first = loaded ? (struct piece *)loaded - 1 : NULL;
	struct piece *piece = resize(memory, NULL, sizeof(*piece) + size);

	if (!piece)
		return NULL;
	memset(piece, 0, sizeof(*piece) + size);
	if (first) {
		piece->next = first->next;
		first->next = piece;
	}
	return piece + 1;
}

void yaml_unload(const struct yaml_memory *memory, void *loaded)
{
	struct piece *piece = loaded ? (struct piece *)loaded - 1 : NULL;

	while (piece) {
		struct piece *next = piece->next;

		resize(memory, piece, 0);
		piece = next;
	}
}

static void *allocate(struct loader *loader, size_t size)
{
	void *memory = yaml_allocate(loader->source->memory, loader->loaded, size);

	if (!memory)
		yaml_fail(loader->error, (struct yaml_mark){0, 0}, "out of memory");
	return memory;
}

/* ---- what may have been meant ---------------------------------------------------------------- */

/* How many characters must be put in, taken out or changed to make one word the other; words longer
 * than the row are far from everything. */
static unsigned distance(const char *a, const char *b, size_t width)
{
	unsigned row[48];

	if (width + 1 > YAML_COUNT(row))
		return UINT32_MAX;
	for (unsigned j = 0; j <= width; j++)
		row[j] = j;
	for (unsigned i = 1; *a; a++, i++) {
		unsigned corner = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= width; j++) {
			unsigned best = corner + (*a != b[j - 1]);

			corner = row[j];
			best = best < row[j] + 1 ? best : row[j] + 1;
			row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
		}
	}
	return row[width];
}

/* The name below the prefix up to a further dot; NULL: the row is not below it. */
static const char *name_below(const struct yaml_key *row, const char *prefix, size_t *ret_len)
{
	size_t skip = strlen(prefix);

	if (strncmp(row->name, prefix, skip) != 0)
		return NULL;
	*ret_len = strcspn(row->name + skip, ".");
	return row->name + skip;
}

static int fail_unknown(const struct binding *binding, const yaml_node_t *node, const char *key)
{
	static const char comma[] =
		" (within braces a comma ends a value: write 5_000 or \"5,000\")";
	const char *word = strrchr(key, ' ') ? strrchr(key, ' ') + 1 : key;
	const char *near = NULL;
	size_t near_len = 0;
	unsigned min = 3; /* further than that is another word */

	if (word[0] >= '0' && word[0] <= '9')
		return yaml_fail(binding->loader->error, yaml_node_mark(node),
				 "unknown key: %.120s%s", key, comma);
	for (unsigned i = 0; i < binding->keys->count; i++) {
		size_t len;
		const char *name = name_below(&binding->keys->key[i], binding->prefix, &len);
		unsigned d = name ? distance(word, name, len) : min;

		if (d >= min || d >= len)
			continue;
		min = d;
		near = name;
		near_len = len;
	}
	return yaml_fail(binding->loader->error, yaml_node_mark(node),
			 "unknown key: %.120s%s%.*s%s", key, near ? " (did you mean " : "",
			 (int)near_len, near ? near : "", near ? "?)" : "");
}

/* ---- values ---------------------------------------------------------------------------------- */

static int fail_shape(struct loader *loader, const yaml_node_t *node, yaml_node_type_t wanted)
{
	const char *reason = "must be a single value, not a list";

	if (wanted == YAML_SCALAR_NODE && node->type == YAML_MAPPING_NODE)
		reason = "must be a single value, not a mapping";
	else if (wanted == YAML_SEQUENCE_NODE)
		reason = node->type == YAML_SCALAR_NODE ? "must be a list, such as [a, b]"
							: "must be a list, not a mapping";
	else if (wanted == YAML_MAPPING_NODE)
		reason = node->type == YAML_SCALAR_NODE ? "must be a mapping, such as {key: value}"
							: "must be a mapping, not a list";
	return yaml_fail(loader->error, yaml_node_mark(node), "%s", reason);
}

static int read_text(struct yaml_scalar *scalar, void *ret)
{
	const struct yaml_key *key = scalar->key;
	size_t len = strlen(scalar->text);

	memcpy(ret, &scalar->text, sizeof(scalar->text));
	if (len > 0 && (key->max == 0 || len <= key->max))
		return 0;
	if (len == 0)
		snprintf(scalar->reason, sizeof(scalar->reason),
			 "too short, a value must stand here");
	else
		snprintf(scalar->reason, sizeof(scalar->reason),
			 "too long, more characters than %llu: %.120s",
			 (unsigned long long)key->max, scalar->text);
	return -EINVAL;
}

static int read_word(struct yaml_scalar *scalar, void *ret)
{
	const size_t room = sizeof(scalar->reason);
	size_t used;

	for (const struct yaml_word_value *word = scalar->key->words; word->text; word++) {
		int value = (int)word->value;

		if (strcmp(scalar->text, word->text) != 0)
			continue;
		memcpy(ret, &value, sizeof(value));
		return 0;
	}
	used = (size_t)snprintf(scalar->reason, room, "%.40s: '%.40s' is none of",
				scalar->key->name, scalar->text);
	for (const struct yaml_word_value *word = scalar->key->words; word->text && used < room;
	     word++)
		used += (size_t)snprintf(scalar->reason + used, room - used, "%s %s",
					 word == scalar->key->words ? "" : ",", word->text);
	return -EINVAL;
}

static int read_number(struct yaml_scalar *scalar, void *ret)
{
	uint64_t count;
	uint32_t number;

	if (units_count(scalar->text, &count, NULL) < 0 || count > UINT32_MAX) {
		snprintf(scalar->reason, sizeof(scalar->reason),
			 "not a number from 0 upwards: '%.120s'", scalar->text);
		return -EINVAL;
	}
	number = (uint32_t)count;
	memcpy(ret, &number, sizeof(number));
	return 0;
}

const struct yaml_type yaml_text = {"text", sizeof(char *), read_text, false};
const struct yaml_type yaml_word = {"word", sizeof(int), read_word, false};
const struct yaml_type yaml_number = {"count", sizeof(uint32_t), read_number, false};

static int bind_scalar(struct loader *loader, const struct yaml_key *key, const yaml_node_t *node,
		       void *at)
{
	const struct yaml_problems *problems = loader->source->problems;
	struct yaml_scalar scalar = {.key = key, .mark = yaml_node_mark(node)};
	char *text;

	if (node->type != YAML_SCALAR_NODE)
		return fail_shape(loader, node, YAML_SCALAR_NODE);
	text = allocate(loader, node->data.scalar.length + 1);
	if (!text)
		return -ENOMEM;
	memcpy(text, node->data.scalar.value, node->data.scalar.length);
	scalar.text = text;
	if (key->type->read(&scalar, at) == 0)
		return 0;
	if (!key->type->lenient || !problems)
		return yaml_fail(loader->error, scalar.mark, "%s", scalar.reason);
	problems->add(problems->context, scalar.mark, scalar.reason);
	return 0;
}

/* ---- structs --------------------------------------------------------------------------------- */

/* A default that cannot be read is a fault of the table, which the tests find. */
static void set_defaults(const struct yaml_keys *keys, char *base)
{
	for (unsigned i = 0; i < keys->count; i++) {
		const struct yaml_key *key = &keys->key[i];
		struct yaml_scalar scalar = {.key = key, .text = key->default_text};

		if (key->shape == YAML_MAPPING)
			set_defaults(key->keys, base + key->offset);
		else if (key->default_text)
			key->type->read(&scalar, base + key->offset);
	}
}

static int bind_list(struct loader *loader, const struct yaml_key *key, const yaml_node_t *node,
		     char *base)
{
	const size_t size = key->keys ? key->keys->size : key->type->size;
	const bool one = key->shape == YAML_SOME && node->type == YAML_MAPPING_NODE;
	const int *item = node->data.sequence.items.start;
	uint32_t count;
	char *array;
	int rc = 0;

	if (!one && node->type != YAML_SEQUENCE_NODE)
		return fail_shape(loader, node, YAML_SEQUENCE_NODE);
	count = one ? 1 : (uint32_t)(node->data.sequence.items.top - item);
	if (count < key->entries_min || (key->entries_max && count > key->entries_max))
		return yaml_fail(loader->error, yaml_node_mark(node),
				 count < key->entries_min ? "fewer entries than %u"
							  : "more entries than %u",
				 count < key->entries_min ? key->entries_min : key->entries_max);
	if (count == 0) /* as if it were not written */
		return 0;
	array = allocate(loader, count * size);
	if (!array)
		return -ENOMEM;
	memcpy(base + key->offset, &array, sizeof(array));
	memcpy(base + key->count_offset, &count, sizeof(count));
	for (uint32_t i = 0; i < count && rc == 0; i++) {
		const yaml_node_t *entry = one ? node : yaml_node(loader->marks, item[i]);

		if (key->keys) {
			set_defaults(key->keys, array + i * size);
			rc = bind_mapping(loader, key->keys, entry, array + i * size);
		} else {
			rc = bind_scalar(loader, key, entry, array + i * size);
		}
	}
	return rc;
}

static int bind_pointer(struct loader *loader, const struct yaml_key *key, const yaml_node_t *node,
			char *base)
{
	void *part = allocate(loader, key->keys->size);

	if (!part)
		return -ENOMEM;
	memcpy(base + key->offset, &part, sizeof(part));
	set_defaults(key->keys, part);
	return bind_mapping(loader, key->keys, node, part);
}

static int bind_value(struct loader *loader, const struct yaml_key *key, const yaml_node_t *node,
		      char *base)
{
	switch (key->shape) {
	case YAML_SCALAR: return bind_scalar(loader, key, node, base + key->offset);
	case YAML_PART: set_defaults(key->keys, base + key->offset); /* fall through */
	case YAML_MAPPING: return bind_mapping(loader, key->keys, node, base + key->offset);
	case YAML_POINTER: return bind_pointer(loader, key, node, base);
	case YAML_SCALARS:
	case YAML_LIST:
	case YAML_SOME: return bind_list(loader, key, node, base);
	}
	return 0;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* The row of that full name, or the first of a mapping of that name. A name can stand for both. */
static const struct yaml_key *row_of(const struct yaml_keys *keys, const char *name, bool mapping)
{
	const struct yaml_key *exact = NULL, *group = NULL;
	size_t len = strlen(name);

	for (unsigned i = 0; i < keys->count; i++) {
		const struct yaml_key *row = &keys->key[i];

		if (strncmp(row->name, name, len) != 0)
			continue;
		if (row->name[len] == '\0')
			exact = row;
		else if (row->name[len] == '.' && !group)
			group = row;
	}
	return group && (mapping || !exact) ? group : exact;
}

static int bind_pairs(const struct binding *binding);

static int bind_pair(const struct binding *binding, const yaml_node_pair_t *pair)
{
	const yaml_node_t *key = yaml_node(binding->loader->marks, pair->key);
	const yaml_node_t *value = yaml_node(binding->loader->marks, pair->value);
	const char *text = (const char *)key->data.scalar.value;
	const yaml_node_pair_t *before = yaml_node_pair(binding->loader->marks, binding->node, text,
							key->data.scalar.length, pair);
	const struct yaml_key *row = NULL;
	char name[KEY_MAX];
	size_t len = (size_t)snprintf(name, sizeof(name), "%s%s", binding->prefix, text);

	if (before)
		return yaml_fail(
			binding->loader->error, yaml_node_mark(key),
			"duplicate key, first on line %u",
			yaml_node_mark(yaml_node(binding->loader->marks, before->key)).line);
	if (len + 1 < sizeof(name) && !strchr(text, '.'))
		row = row_of(binding->keys, name, value->type == YAML_MAPPING_NODE);
	if (!row)
		return fail_unknown(binding, key, text);
	if (row->name[len] == '\0')
		return bind_value(binding->loader, row, value, binding->base);
	if (value->type != YAML_MAPPING_NODE)
		return fail_shape(binding->loader, value, YAML_MAPPING_NODE);
	name[len] = '.';
	name[len + 1] = '\0';
	return bind_pairs(
		&(struct binding){binding->loader, binding->keys, value, name, binding->base});
}

static int bind_pairs(const struct binding *binding)
{
	const yaml_node_t *node = binding->node;
	int rc = 0;

	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top && rc == 0; pair++)
		rc = bind_pair(binding, pair);
	for (unsigned i = 0; i < binding->keys->count && rc == 0; i++) {
		const struct yaml_key *row = &binding->keys->key[i];
		size_t len;
		const char *name = name_below(row, binding->prefix, &len);

		if (name && row->needed &&
		    !yaml_node_pair(binding->loader->marks, node, name, len, NULL))
			rc = yaml_fail(binding->loader->error, yaml_node_mark(node),
				       "a key is missing: %.*s", (int)len, name);
	}
	return rc;
}

static int bind_mapping(struct loader *loader, const struct yaml_keys *keys,
			const yaml_node_t *node, void *base)
{
	int rc;

	if (node->type != YAML_MAPPING_NODE)
		return fail_shape(loader, node, YAML_MAPPING_NODE);
	rc = bind_pairs(&(struct binding){loader, keys, node, "", base});
	if (rc == 0 && keys->check && loader->source->problems)
		keys->check(base, loader->source->problems);
	return rc;
}

/* ---- loading --------------------------------------------------------------------------------- */

int yaml_load(const struct yaml_source *source, const struct yaml_keys *keys, void **ret,
	      struct yaml_marks **ret_marks, struct yaml_error *error)
{
	static const yaml_node_t nothing = {.type = YAML_MAPPING_NODE};
	struct loader loader = {.source = source, .error = error};
	struct yaml_marks *marks;
	const yaml_node_t *top;
	int rc = yaml_nodes_read(source->text, source->len, source->name, &marks, error);

	if (rc < 0)
		return rc;
	loader.marks = marks;
	loader.loaded = allocate(&loader, keys->size);
	if (loader.loaded) {
		top = yaml_node(marks, 1);
		set_defaults(keys, loader.loaded);
		rc = bind_mapping(&loader, keys, top ? top : &nothing, loader.loaded);
	} else {
		rc = -ENOMEM;
	}
	if (rc < 0)
		yaml_unload(source->memory, loader.loaded);
	else
		*ret = loader.loaded;
	if (rc == 0 && ret_marks)
		*ret_marks = marks;
	else
		yaml_marks_free(marks);
	return rc;
}
