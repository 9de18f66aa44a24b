/* SPDX-License-Identifier: MIT
 *
 * The pass before libcyaml's: is the text one well-formed document within our bounds, and where
 * does each key and value stand?
 *
 * libcyaml gives no place for a semantic error found after loading, so libyaml's events are turned
 * into a table from the hash of a value's path ("destinations[3].limits.rate") to its marks. The
 * hash of a path grows with its steps, so no path is ever put together here. What is refused here
 * never reaches libcyaml: aliases, deep nesting, a NUL within a string, a key twice. The walk is a
 * loop over events with a stack of YAML_DEPTH_MAX frames: no recursion that a text could drive.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "sidecar/base/yaml.h"

struct mark_entry {
	uint64_t path; /* hash; 0 where the slot is free */
	struct yaml_mark key;
	struct yaml_mark value;
};

struct yaml_marks {
	struct mark_entry *entries;
	size_t slots; /* a power of two */
	size_t count;
};

/* An open mapping or sequence. */
struct frame {
	uint64_t path;
	uint64_t member; /* path of the value whose key was read */
	struct yaml_mark key;
	uint32_t index; /* of the next value in a sequence */
	bool sequence;
	bool have_key;
};

struct walk {
	struct yaml_marks *marks;
	struct yaml_error *error;
	struct frame stack[YAML_DEPTH_MAX];
	uint32_t depth;
	uint32_t documents;
};

/* FNV-1a, 64 bits: a step of a path at a time. */
#define PATH_TOP UINT64_C(0xcbf29ce484222325)

static uint64_t path_step(uint64_t path, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		path = (path ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
	return path ? path : 1;
}

static uint64_t path_member(uint64_t path, const char *key, size_t len)
{
	return path_step(path == PATH_TOP ? path : path_step(path, ".", 1), key, len);
}

static uint64_t path_index(uint64_t path, uint32_t index)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "[%u]", index);

	return path_step(path, text, (size_t)len);
}

static struct yaml_mark mark_of(yaml_mark_t mark)
{
	return (struct yaml_mark){(uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

__attribute__((format(printf, 3, 4))) static int
fail(struct yaml_error *error, struct yaml_mark mark, const char *format, ...)
{
	va_list args;

	error->mark = mark;
	va_start(args, format);
	vsnprintf(error->reason, sizeof(error->reason), format, args);
	va_end(args);
	return -EINVAL;
}

static struct mark_entry *entry_of(const struct yaml_marks *marks, uint64_t path)
{
	size_t i = path & (marks->slots - 1);

	while (marks->entries[i].path && marks->entries[i].path != path)
		i = (i + 1) & (marks->slots - 1);
	return &marks->entries[i];
}

static int marks_grow(struct yaml_marks *marks)
{
	struct yaml_marks grown = {.slots = marks->slots ? marks->slots * 2 : 64};

	grown.entries = calloc(grown.slots, sizeof(*grown.entries));
	if (!grown.entries)
		return -ENOMEM;
	grown.count = marks->count;
	for (size_t i = 0; i < marks->slots; i++)
		if (marks->entries[i].path)
			*entry_of(&grown, marks->entries[i].path) = marks->entries[i];
	free(marks->entries);
	*marks = grown;
	return 0;
}

static int marks_add(struct walk *walk, uint64_t path, struct yaml_mark key, struct yaml_mark value)
{
	struct yaml_marks *marks = walk->marks;
	struct mark_entry *entry;

	if (marks->count >= YAML_NODES_MAX)
		return fail(walk->error, value, "more than %u values", YAML_NODES_MAX);
	if (marks->count * 2 >= marks->slots && marks_grow(marks) < 0) {
		fail(walk->error, value, "out of memory");
		return -ENOMEM;
	}
	entry = entry_of(marks, path);
	if (entry->path)
		return fail(walk->error, key, "this key stands here twice, first on line %u",
			    entry->key.line);
	*entry = (struct mark_entry){path, key, value};
	marks->count++;
	return 0;
}

/* A value begins at mark: notes it, and returns its path in *ret. */
static int walk_value(struct walk *walk, struct yaml_mark mark, uint64_t *ret)
{
	struct frame *frame = walk->depth ? &walk->stack[walk->depth - 1] : NULL;

	if (!frame) {
		*ret = PATH_TOP;
		return marks_add(walk, PATH_TOP, mark, mark);
	}
	if (frame->sequence) {
		*ret = path_index(frame->path, frame->index++);
		return marks_add(walk, *ret, mark, mark);
	}
	if (!frame->have_key)
		return fail(walk->error, mark, "a key must be a plain word");
	frame->have_key = false;
	*ret = frame->member;
	return marks_add(walk, *ret, frame->key, mark);
}

static int walk_scalar(struct walk *walk, const yaml_event_t *event)
{
	struct frame *frame = walk->depth ? &walk->stack[walk->depth - 1] : NULL;
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	struct yaml_mark mark = mark_of(event->start_mark);
	uint64_t path;

	if (event->data.scalar.anchor)
		return fail(walk->error, mark, "anchors and aliases are not allowed");
	if (memchr(text, 0, len))
		return fail(walk->error, mark, "a NUL character within a text");
	if (!frame || frame->sequence || frame->have_key)
		return walk_value(walk, mark, &path);
	if (len == 0)
		return fail(walk->error, mark, "a key must be a plain word");
	frame->key = mark;
	frame->member = path_member(frame->path, text, len);
	frame->have_key = true;
	return 0;
}

static int walk_open(struct walk *walk, const yaml_event_t *event)
{
	bool sequence = event->type == YAML_SEQUENCE_START_EVENT;
	const yaml_char_t *anchor =
		sequence ? event->data.sequence_start.anchor : event->data.mapping_start.anchor;
	struct yaml_mark mark = mark_of(event->start_mark);
	uint64_t path;
	int rc;

	if (anchor)
		return fail(walk->error, mark, "anchors and aliases are not allowed");
	if (walk->depth == YAML_DEPTH_MAX)
		return fail(walk->error, mark, "nested deeper than %u levels", YAML_DEPTH_MAX);
	rc = walk_value(walk, mark, &path);
	if (rc < 0)
		return rc;
	walk->stack[walk->depth++] = (struct frame){.path = path, .sequence = sequence};
	return 0;
}

static int walk_event(struct walk *walk, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT: return walk_scalar(walk, event);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT: return walk_open(walk, event);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT: walk->depth--; return 0;
	case YAML_ALIAS_EVENT:
		return fail(walk->error, mark_of(event->start_mark),
			    "anchors and aliases are not allowed");
	case YAML_DOCUMENT_START_EVENT:
		if (walk->documents++)
			return fail(walk->error, mark_of(event->start_mark),
				    "a second document begins here; one file holds one");
		return 0;
	default: return 0;
	}
}

static int fail_parser(struct yaml_error *error, const yaml_parser_t *parser)
{
	struct yaml_mark mark = mark_of(parser->problem_mark);

	if (parser->error == YAML_MEMORY_ERROR) {
		fail(error, mark, "out of memory");
		return -ENOMEM;
	}
	if (parser->error ==
	    YAML_READER_ERROR) /* has no mark, but the reader's own place is near */
		mark = mark_of(parser->mark);
	if (parser->context)
		return fail(error, mark, "%s, %s (which begins on line %zu)",
			    parser->problem ? parser->problem : "not YAML", parser->context,
			    parser->context_mark.line + 1);
	return fail(error, mark, "%s", parser->problem ? parser->problem : "not YAML");
}

static int walk_parse(struct walk *walk, yaml_parser_t *parser)
{
	yaml_event_t event;
	bool end = false;
	int rc = 0;

	while (!end && rc == 0) {
		if (!yaml_parser_parse(parser, &event))
			return fail_parser(walk->error, parser);
		end = event.type == YAML_STREAM_END_EVENT;
		rc = walk_event(walk, &event);
		yaml_event_delete(&event);
	}
	return rc;
}

int yaml_marks_read(const char *text, size_t len, const char *name, struct yaml_marks **ret,
		    struct yaml_error *error)
{
	struct walk walk = {.error = error};
	yaml_parser_t parser;
	int rc;

	error->name = name;
	if (len > YAML_TEXT_MAX)
		return fail(error, (struct yaml_mark){0, 0}, "longer than %u bytes", YAML_TEXT_MAX);
	walk.marks = calloc(1, sizeof(*walk.marks));
	if (!walk.marks || marks_grow(walk.marks) < 0 || !yaml_parser_initialize(&parser)) {
		yaml_marks_free(walk.marks);
		fail(error, (struct yaml_mark){0, 0}, "out of memory");
		return -ENOMEM;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	rc = walk_parse(&walk, &parser);
	yaml_parser_delete(&parser);
	if (rc < 0) {
		yaml_marks_free(walk.marks);
		return rc;
	}
	*ret = walk.marks;
	return 0;
}

void yaml_marks_free(struct yaml_marks *marks)
{
	if (!marks)
		return;
	free(marks->entries);
	free(marks);
}

static const struct mark_entry *marks_lookup(const struct yaml_marks *marks, const char *path)
{
	const struct mark_entry *entry = entry_of(marks, path_step(PATH_TOP, path, strlen(path)));

	return entry->path ? entry : NULL;
}

int yaml_marks_find(const struct yaml_marks *marks, const char *path, struct yaml_mark *ret)
{
	const struct mark_entry *entry = marks_lookup(marks, path);

	if (!entry)
		return -ENOENT;
	*ret = entry->value;
	return 0;
}

int yaml_marks_key(const struct yaml_marks *marks, const char *path, struct yaml_mark *ret)
{
	const struct mark_entry *entry = marks_lookup(marks, path);

	if (!entry)
		return -ENOENT;
	*ret = entry->key;
	return 0;
}
