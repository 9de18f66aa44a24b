/* SPDX-License-Identifier: MIT
 *
 * From a text to nodes with their places, within our bounds.
 *
 * The document is put together from libyaml's events and not by yaml_parser_load(), which would
 * follow aliases (a bomb of them needs ten lines) and build all of a text that is too much before
 * anyone could count. The walk is a loop with a stack of YAML_DEPTH_MAX numbers: no recursion that
 * a text could drive.
 */
#include "sidecar/base/yaml_nodes.h"
#include "sidecar/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/base/yaml_types.h"

struct composer {
	yaml_document_t *document;
	struct yaml_error *error;
	/* The mappings and lists that are open, and of a mapping the key whose value comes next. */
	int open[YAML_DEPTH_MAX];
	int key[YAML_DEPTH_MAX];
	uint32_t depth;
	uint32_t values;
	uint32_t documents;
};

int yaml_fail(struct yaml_error *error, struct yaml_mark mark, const char *format, ...)
{
	va_list args;

	error->mark = mark;
	va_start(args, format);
	vsnprintf(error->reason, sizeof(error->reason), format, args);
	va_end(args);
	return -EINVAL;
}

static int fail_memory(struct yaml_error *error)
{
	yaml_fail(error, (struct yaml_mark){0, 0}, "out of memory");
	return -ENOMEM;
}

static struct yaml_mark mark_of(yaml_mark_t mark)
{
	return (struct yaml_mark){(uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

struct yaml_mark yaml_node_mark(const yaml_node_t *node)
{
	return mark_of(node->start_mark);
}

/* ---- composing ------------------------------------------------------------------------------- */

static int add_key(struct composer *composer, int number, const yaml_event_t *event)
{
	if (event->type != YAML_SCALAR_EVENT || event->data.scalar.length == 0)
		return yaml_fail(composer->error, mark_of(event->start_mark),
				 "a key must be a plain word");
	composer->key[composer->depth - 1] = number;
	return 0;
}

/* Puts a new node where it belongs: at the top, into a list, or into a mapping. */
static int add_node(struct composer *composer, int number, const yaml_event_t *event)
{
	yaml_node_t *node = yaml_document_get_node(composer->document, number);
	yaml_node_t *parent;
	uint32_t last = composer->depth - 1;
	int rc;

	if (!node)
		return fail_memory(composer->error);
	node->start_mark = event->start_mark;
	if (composer->depth == 0)
		return 0;
	parent = yaml_document_get_node(composer->document, composer->open[last]);
	if (parent->type == YAML_MAPPING_NODE && composer->key[last] == 0)
		return add_key(composer, number, event);
	if (++composer->values > YAML_NODES_MAX)
		return yaml_fail(composer->error, mark_of(event->start_mark), "more than %u values",
				 YAML_NODES_MAX);
	if (parent->type == YAML_SEQUENCE_NODE)
		rc = yaml_document_append_sequence_item(composer->document, composer->open[last],
							number);
	else
		rc = yaml_document_append_mapping_pair(composer->document, composer->open[last],
						       composer->key[last], number);
	composer->key[last] = 0;
	return rc ? 0 : fail_memory(composer->error);
}

static int add_scalar(struct composer *composer, const yaml_event_t *event)
{
	const yaml_char_t *text = event->data.scalar.value;
	size_t len = event->data.scalar.length;

	if (memchr(text, 0, len))
		return yaml_fail(composer->error, mark_of(event->start_mark),
				 "a NUL character within a text");
	return add_node(composer,
			yaml_document_add_scalar(composer->document, NULL, text, (int)len,
						 event->data.scalar.style),
			event);
}

static int open_node(struct composer *composer, const yaml_event_t *event)
{
	int number, rc;

	if (composer->depth == YAML_DEPTH_MAX)
		return yaml_fail(composer->error, mark_of(event->start_mark),
				 "nested deeper than %u levels", YAML_DEPTH_MAX);
	if (event->type == YAML_SEQUENCE_START_EVENT)
		number = yaml_document_add_sequence(composer->document, NULL,
						    YAML_ANY_SEQUENCE_STYLE);
	else
		number =
			yaml_document_add_mapping(composer->document, NULL, YAML_ANY_MAPPING_STYLE);
	rc = add_node(composer, number, event);
	composer->open[composer->depth] = number;
	composer->key[composer->depth++] = 0;
	return rc;
}

static bool anchored(const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_ALIAS_EVENT: return true;
	case YAML_SCALAR_EVENT: return event->data.scalar.anchor;
	case YAML_SEQUENCE_START_EVENT: return event->data.sequence_start.anchor;
	case YAML_MAPPING_START_EVENT: return event->data.mapping_start.anchor;
	default: return false;
	}
}

static int take_event(struct composer *composer, const yaml_event_t *event)
{
	struct yaml_mark mark = mark_of(event->start_mark);

	if (anchored(event))
		return yaml_fail(composer->error, mark, "anchors and aliases are not allowed");
	switch (event->type) {
	case YAML_SCALAR_EVENT: return add_scalar(composer, event);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT: return open_node(composer, event);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT: composer->depth--; return 0;
	case YAML_DOCUMENT_START_EVENT:
		if (composer->documents++)
			return yaml_fail(composer->error, mark,
					 "a second document begins here; one file holds one");
		return 0;
	default: return 0;
	}
}

static int fail_parser(struct yaml_error *error, const yaml_parser_t *parser)
{
	struct yaml_mark mark = mark_of(parser->problem_mark);

	if (parser->error == YAML_MEMORY_ERROR)
		return fail_memory(error);
	if (parser->error ==
	    YAML_READER_ERROR) /* has no mark, but the reader's own place is near */
		mark = mark_of(parser->mark);
	if (parser->context)
		return yaml_fail(error, mark, "%s, %s (which begins on line %zu)",
				 parser->problem ? parser->problem : "not YAML", parser->context,
				 parser->context_mark.line + 1);
	return yaml_fail(error, mark, "%s", parser->problem ? parser->problem : "not YAML");
}

static int compose(struct composer *composer, yaml_parser_t *parser)
{
	yaml_event_t event;
	bool end = false;
	int rc = 0;

	while (!end && rc == 0) {
		if (!yaml_parser_parse(parser, &event))
			return fail_parser(composer->error, parser);
		end = event.type == YAML_STREAM_END_EVENT;
		rc = take_event(composer, &event);
		yaml_event_delete(&event);
	}
	return rc;
}

int yaml_nodes_read(const char *text, size_t len, const char *name, struct yaml_marks **ret,
		    struct yaml_error *error)
{
	struct composer composer = {.error = error};
	struct yaml_marks *marks;
	yaml_parser_t parser;
	int rc;

	error->name = name;
	if (len > YAML_TEXT_MAX)
		return yaml_fail(error, (struct yaml_mark){0, 0}, "longer than %u bytes",
				 YAML_TEXT_MAX);
	marks = calloc(1, sizeof(*marks));
	if (!marks || !yaml_document_initialize(&marks->document, NULL, NULL, NULL, 1, 1)) {
		free(marks);
		return fail_memory(error);
	}
	composer.document = &marks->document;
	rc = yaml_parser_initialize(&parser) ? 0 : fail_memory(error);
	if (rc == 0) {
		yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
		yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
		rc = compose(&composer, &parser);
		yaml_parser_delete(&parser);
	}
	if (rc < 0)
		yaml_marks_free(marks);
	else
		*ret = marks;
	return rc;
}

void yaml_marks_free(struct yaml_marks *marks)
{
	if (!marks)
		return;
	yaml_document_delete(&marks->document);
	free(marks);
}

int yaml_read(const char *path, char **ret, size_t *ret_len)
{
	/* One byte more than it may have is an error, which says so. */
	return file_read(path, YAML_TEXT_MAX + 1, ret, ret_len);
}

/* ---- finding --------------------------------------------------------------------------------- */

const yaml_node_t *yaml_node(const struct yaml_marks *marks, int number)
{
	const yaml_node_t *first = marks->document.nodes.start;

	if (number < 1 || number > marks->document.nodes.top - first)
		return NULL;
	return first + number - 1;
}

const yaml_node_pair_t *yaml_node_pair(const struct yaml_marks *marks, const yaml_node_t *mapping,
				       const char *key, size_t len, const yaml_node_pair_t *end)
{
	if (!end)
		end = mapping->data.mapping.pairs.top;
	for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < end; pair++) {
		const yaml_node_t *node = yaml_node(marks, pair->key);

		if (node->data.scalar.length == len &&
		    memcmp(node->data.scalar.value, key, len) == 0)
			return pair;
	}
	return NULL;
}

/* The node that the first step of *path leads to; *path goes on behind it. */
static const yaml_node_t *step(const struct yaml_marks *marks, const yaml_node_t *node,
			       const char **path)
{
	const yaml_node_pair_t *pair;
	const char *key = *path + (**path == '.');
	size_t len = strcspn(key, ".[");
	char *end;

	if (**path == '[') {
		unsigned long index = strtoul(*path + 1, &end, 10);

		*path = end + (*end == ']');
		if (node->type != YAML_SEQUENCE_NODE ||
		    index >= (size_t)(node->data.sequence.items.top -
				      node->data.sequence.items.start))
			return NULL;
		return yaml_node(marks, node->data.sequence.items.start[index]);
	}
	*path = key + len;
	if (node->type != YAML_MAPPING_NODE || len == 0)
		return NULL;
	pair = yaml_node_pair(marks, node, key, len, NULL);
	return pair ? yaml_node(marks, pair->value) : NULL;
}

int yaml_marks_find(const struct yaml_marks *marks, const char *path, struct yaml_mark *ret)
{
	const yaml_node_t *node = yaml_node(marks, 1);

	while (node && *path)
		node = step(marks, node, &path);
	if (!node)
		return -ENOENT;
	*ret = yaml_node_mark(node);
	return 0;
}
