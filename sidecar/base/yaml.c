/* SPDX-License-Identifier: MIT
 *
 * Loading a text by schema: the pass for marks first (yaml_marks.c), then libcyaml.
 *
 * What libcyaml finds wrong it tells to a log: a first line with the reason, then a backtrace from
 * the innermost field outward. The places in that backtrace are those of what was read last, not of
 * what is wrong, so we take its names alone, put the path together, and look the place up in our
 * own marks.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/yaml.h"

#define TRACE_MAX (2 * YAML_DEPTH_MAX)

struct log {
	char reason[192];
	char trace[TRACE_MAX][72]; /* innermost first: ".key", "[index]" or "" */
	unsigned count;
};

/* How libcyaml puts it, and how we do. The text after the prefix is kept. */
static const struct {
	const char *theirs;
	const char *ours;
} phrases[] = {
	{"Load: Unexpected key: ", "unknown key: "},
	{"Load: Missing required mapping field: ", "a key is missing: "},
	{"Load: Expecting SEQUENCE, got event: MAPPING_START", "must be a list, not a mapping"},
	{"Load: Expecting SEQUENCE, got event: SCALAR", "must be a list, such as [a, b]"},
	{"Load: Expecting MAPPING, got event: SEQUENCE_START", "must be a mapping, not a list"},
	{"Load: Expecting MAPPING, got event: SCALAR", "must be a mapping, such as {key: value}"},
	{"Load: Expecting STRING, got event: ", "must be a single value, got "},
	{"Load: Expecting ", "must be a single value of type "},
	{"Load: Invalid ENUM value: ", "not one of the words allowed here: "},
	{"Load: STRING length < ", "too short, fewer characters than "},
	{"Load: STRING length > ", "too long, more characters than "},
	{"Load: Invalid INT value: ", "not a number: "},
	{"Load: Invalid UINT value: ", "not a number from 0 upwards: "},
	{"Load: Invalid FLOAT value: ", "not a number: "},
	{"Load: Invalid BOOL value: ", "neither true nor false: "},
	{"Load: ", ""},
};

/* libcyaml calls this once a line; the text ends with a line feed. */
static void log_line(cyaml_log_t level, void *context, const char *format, va_list args)
{
	struct log *log = context;
	char line[256];
	char *step;
	unsigned index;

	if (level < CYAML_LOG_ERROR)
		return;
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	if (!log->reason[0]) {
		snprintf(log->reason, sizeof(log->reason), "%.*s", (int)sizeof(log->reason) - 1,
			 line);
		return;
	}
	if (log->count == TRACE_MAX || strncmp(line, "  in ", 5) != 0)
		return;
	step = log->trace[log->count++];
	if (sscanf(line, "  in sequence entry '%u'", &index) == 1)
		snprintf(step, sizeof(log->trace[0]), "[%u]", index - 1);
	else if (sscanf(line, "  in mapping field '%70[^']'", step + 1) == 1)
		step[0] = '.';
}

static void reason_put(const struct log *log, cyaml_err_t err, struct yaml_error *error)
{
	const char *reason = log->reason[0] ? log->reason : cyaml_strerror(err);

	for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
		size_t len = strlen(phrases[i].theirs);

		if (strncmp(reason, phrases[i].theirs, len) != 0)
			continue;
		snprintf(error->reason, sizeof(error->reason), "%s%s", phrases[i].ours,
			 reason + len);
		return;
	}
	snprintf(error->reason, sizeof(error->reason), "%s", reason);
}

/* ---- what may have been meant ---------------------------------------------------------------- */

/* The schema of what the log's trace leads to, but for its innermost steps; NULL: none. */
static const cyaml_schema_value_t *schema_at(const cyaml_schema_value_t *schema,
					     const struct log *log, unsigned skip)
{
	for (unsigned i = log->count; i > skip && schema; i--) {
		const char *step = log->trace[i - 1];
		const cyaml_schema_field_t *field;

		if (step[0] == '[') {
			schema = schema->type == CYAML_SEQUENCE ? schema->sequence.entry : NULL;
			continue;
		}
		if (step[0] != '.' || schema->type != CYAML_MAPPING)
			return NULL;
		for (field = schema->mapping.fields; field->key; field++)
			if (strcmp(field->key, step + 1) == 0)
				break;
		schema = field->key ? &field->value : NULL;
	}
	return schema;
}

/* How many characters must be put in, taken out or changed to make one word the other; words longer
 * than the row are far from everything. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[48];
	size_t width = strlen(b);

	if (width + 1 > sizeof(row) / sizeof(row[0]))
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

/* Adds to "unknown key: ..." what was probably meant. */
static void hint_put(const struct log *log, const cyaml_schema_value_t *schema,
		     struct yaml_error *error)
{
	const char *key = strrchr(error->reason, ' ') + 1;
	size_t used = strlen(error->reason);
	const char *near = NULL;
	unsigned min = 3; /* further than that is another word */

	if (key[0] >= '0' && key[0] <= '9') {
		snprintf(error->reason + used, sizeof(error->reason) - used,
			 " (within braces a comma ends a value: write 5_000 or \"5,000\")");
		return;
	}
	schema = schema_at(schema, log, 1);
	if (!schema || schema->type != CYAML_MAPPING)
		return;
	for (const cyaml_schema_field_t *f = schema->mapping.fields; f->key; f++) {
		unsigned d = distance(key, f->key);

		if (d >= min || d >= strlen(f->key))
			continue;
		min = d;
		near = f->key;
	}
	if (near)
		snprintf(error->reason + used, sizeof(error->reason) - used, " (did you mean %s?)",
			 near);
}

/* Where a word of a list was asked for (libcyaml, which takes a number for one, speaks of that):
 * "class: 'rat' is none of delivered, rate, ...". */
static void words_put(const struct log *log, const cyaml_schema_value_t *schema,
		      struct yaml_error *error)
{
	const cyaml_schema_value_t *value = schema_at(schema, log, 0);
	const char *got = strstr(log->reason, "value: "), *key = "";
	const size_t room = sizeof(error->reason);
	size_t used;

	if (!value || value->type != CYAML_ENUM || !got)
		return;
	for (unsigned i = 0; i < log->count && !key[0]; i++)
		if (log->trace[i][0] == '.')
			key = log->trace[i] + 1;
	got += strlen("value: ");
	got += *got == '\'';
	used = (size_t)snprintf(error->reason, room, "%.40s: '%.*s' is none of", key,
				(int)(strcspn(got, "'") < 40 ? strcspn(got, "'") : 40), got);
	for (uint32_t i = 0; i < value->enumeration.count && used < room; i++)
		used += (size_t)snprintf(error->reason + used, room - used, "%s %s", i ? "," : "",
					 value->enumeration.strings[i].str);
}

/* ---- loading --------------------------------------------------------------------------------- */

/* The place of what the log speaks of. */
static struct yaml_mark place(const struct log *log, cyaml_err_t err,
			      const struct yaml_marks *marks)
{
	static const char unexpected[] = "Load: Unexpected key: ";
	struct yaml_mark mark = {1, 1};
	char path[TRACE_MAX * 72 + sizeof(log->reason)] = "";
	size_t used = 0;
	/* The innermost field is what was read before in the mapping that has the unknown or lacks
	 * the missing key. */
	unsigned skip = err == CYAML_ERR_INVALID_KEY || err == CYAML_ERR_MAPPING_FIELD_MISSING;

	for (unsigned i = log->count; i > skip; i--)
		used += (size_t)snprintf(path + used, sizeof(path) - used, "%s",
					 log->trace[i - 1] +
						 (used == 0 && log->trace[i - 1][0] == '.'));
	if (err == CYAML_ERR_INVALID_KEY &&
	    strncmp(log->reason, unexpected, sizeof(unexpected) - 1) == 0)
		snprintf(path + used, sizeof(path) - used, "%s%s", used ? "." : "",
			 log->reason + sizeof(unexpected) - 1);
	if (err == CYAML_ERR_INVALID_KEY && yaml_marks_key(marks, path, &mark) == 0)
		return mark;
	while (yaml_marks_find(marks, path, &mark) < 0 && used > 0)
		path[--used] = '\0';
	return mark;
}

static void *from_malloc(void *context, void *old, size_t size)
{
	if (size)
		return realloc(old, size);
	free(old);
	return NULL;
}

static cyaml_config_t loader(const struct yaml_memory *memory, struct log *log)
{
	return (cyaml_config_t){
		.log_fn = log ? log_line : NULL,
		.log_ctx = log,
		.mem_fn = memory ? memory->resize : from_malloc,
		.mem_ctx = memory ? memory->context : NULL,
		.log_level = CYAML_LOG_ERROR,
		.flags = CYAML_CFG_NO_ALIAS,
	};
}

int yaml_load_marked(const char *text, size_t len, const char *name,
		     const cyaml_schema_value_t *schema, const struct yaml_memory *memory,
		     void **ret, struct yaml_marks **ret_marks, struct yaml_error *error)
{
	struct log log = {.count = 0};
	cyaml_config_t config = loader(memory, &log);
	struct yaml_marks *marks = NULL;
	struct yaml_mark top;
	void *loaded = NULL;
	cyaml_err_t err;
	int rc;

	rc = yaml_marks_read(text, len, name, &marks, error);
	if (rc < 0)
		return rc;
	if (yaml_marks_find(marks, "", &top) < 0) { /* nothing but comments: all defaults */
		text = "{}";
		len = 2;
	}
	err = cyaml_load_data((const uint8_t *)text, len, &config, schema, &loaded, NULL);
	if (err == CYAML_OK && loaded) {
		*ret = loaded;
		if (ret_marks)
			*ret_marks = marks;
		else
			yaml_marks_free(marks);
		return 0;
	}
	reason_put(&log, err, error);
	error->mark = place(&log, err, marks);
	if (err == CYAML_ERR_INVALID_KEY)
		hint_put(&log, schema, error);
	else if (err == CYAML_ERR_INVALID_VALUE)
		words_put(&log, schema, error);
	yaml_marks_free(marks);
	return err == CYAML_ERR_OOM ? -ENOMEM : -EINVAL;
}

int yaml_load(const char *text, size_t len, const char *name, const cyaml_schema_value_t *schema,
	      void **ret, struct yaml_error *error)
{
	return yaml_load_marked(text, len, name, schema, NULL, ret, NULL, error);
}

void yaml_unload(const cyaml_schema_value_t *schema, const struct yaml_memory *memory, void *loaded)
{
	cyaml_config_t config = loader(memory, NULL);

	cyaml_free(&config, schema, loaded, 0);
}
