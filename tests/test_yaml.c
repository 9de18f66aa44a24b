/* SPDX-License-Identifier: MIT
 *
 * Loading by schema: where errors are said to be, what is refused, and that no bytes crash it.
 * Every text ends at a guard page.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "sidecar/base/yaml.h"
#include "tests/guard.h"

struct yaml_part {
	char *name;
	char *rate;
	int mode;
	char **list;
	uint32_t list_count;
};

struct yaml_file {
	char *user;
	struct yaml_part *parts;
	uint32_t parts_count;
	struct yaml_part one;
};

static const cyaml_schema_value_t text_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, CYAML_UNLIMITED)};
static const cyaml_strval_t modes[] = {{"keep", 1}, {"open", 2}};
static const cyaml_schema_field_t part_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct yaml_part, name, 1, 10),
	CYAML_FIELD_STRING_PTR("rate", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct yaml_part,
			       rate, 1, 10),
	CYAML_FIELD_ENUM("mode", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct yaml_part, mode,
			 modes, 2),
	CYAML_FIELD_SEQUENCE("list", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct yaml_part,
			     list, &text_schema, 0, CYAML_UNLIMITED),
	CYAML_FIELD_END};
static const cyaml_schema_value_t part_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct yaml_part, part_fields)};
static const cyaml_schema_field_t file_fields[] = {
	CYAML_FIELD_STRING_PTR("user", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct yaml_file,
			       user, 1, 10),
	CYAML_FIELD_SEQUENCE("parts", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct yaml_file,
			     parts, &part_schema, 0, CYAML_UNLIMITED),
	CYAML_FIELD_MAPPING("one", CYAML_FLAG_OPTIONAL, struct yaml_file, one, part_fields),
	CYAML_FIELD_END};
static const cyaml_schema_value_t schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct yaml_file, file_fields)};

static int load(const char *text, size_t len, struct yaml_file **ret, struct yaml_error *error)
{
	char *copy = guard_copy(text, len);
	int rc = yaml_load(copy, len, "t.yaml", &schema, (void **)ret, error);

	guard_free(copy, len);
	return rc;
}

Test(load, fills_the_struct)
{
	static const char text[] = "user: root\nparts:\n- name: a\n  list: [x, y]\n- {name: b, "
				   "rate: 10/min, mode: open}\n";
	struct yaml_error error;
	struct yaml_file *file = NULL;

	cr_assert_eq(load(text, strlen(text), &file, &error), 0, "%s", error.reason);
	cr_expect_str_eq(file->user, "root");
	cr_assert_eq(file->parts_count, 2);
	cr_expect_str_eq(file->parts[0].list[1], "y");
	cr_expect_str_eq(file->parts[1].rate, "10/min");
	cr_expect_eq(file->parts[1].mode, 2);
	yaml_unload(&schema, NULL, file);
	yaml_unload(&schema, NULL, NULL);
}

Test(load, takes_a_text_without_a_document_as_all_defaults)
{
	static const char *const rows[] = {"", "\n", "# nothing\n", "{}"};

	for (size_t i = 0; i < 4; i++) {
		struct yaml_error error;
		struct yaml_file *file = NULL;

		cr_assert_eq(load(rows[i], strlen(rows[i]), &file, &error), 0, "%s", error.reason);
		cr_expect(file && !file->user && file->parts_count == 0);
		yaml_unload(&schema, NULL, file);
	}
}

Test(error, says_line_column_and_reason)
{
	static const struct {
		const char *text;
		uint32_t line, column;
		const char *reason;
	} rows[] = {
		{"user: root\nfoo: bar\n", 2, 1, "unknown key: foo"},
		{"parts:\n  - name: a\n    rat: 1\n", 3, 5, "unknown key: rat"},
		{"parts:\n  - name: a\n  - name: b\n    one: {}\n", 4, 5, "unknown key: one"},
		{"parts:\n  - name: a\n    mode: shut\n", 3, 11,
		 "mode: 'shut' is none of keep, open"},
		{"parts:\n  - name: a\n  - rate: b\n", 3, 5, "a key is missing: name"},
		{"one: {name: a, rate: 5,000}\n", 1, 24, "unknown key: 000 (within braces"},
		{"usr: a\n", 1, 1, "unknown key: usr (did you mean user?)"},
		{"zzz: a\n", 1, 1, "unknown key: zzz"},
		{"user: [1]\n", 1, 7, "must be a single value"},
		{"user:\n", 1, 6, "too short"},
		{"one: x\n", 1, 6, "must be a mapping"},
		{"user: aaaaaaaaaaaaaaaa\n", 1, 7, "too long"},
		{"parts: x\n", 1, 8, "must be a list"},
		{"parts:\n- name: x\n  list: [a, {b: c}]\n", 3, 13, "must be a single value"},
		{"one: {name: x, name: y}\n", 1, 16, "twice, first on line 1"},
		{"user: a\n\nuser: b\n", 3, 1, "twice, first on line 1"},
		{"user: a\n---\nuser: b\n", 2, 1, "second document"},
		{"user: &a b\n", 1, 7, "anchors"},
		{"user: *a\n", 1, 7, "aliases"},
		{"user: \"a\\0b\"\n", 1, 7, "NUL"},
		{"[a]: b\n", 1, 1, "a key must be a plain word"},
		{"user: [a\n", 2, 1, ""},
		{"user: 'a\n", 2, 1, ""},
		{"\tuser: a\n", 1, 1, ""},
		{"user: \x01\n", 1, 1, "control characters"},
		{"[]\n", 1, 1, "must be a mapping"},
		{"text\n", 1, 1, "must be a mapping"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct yaml_error error = {0};
		struct yaml_file *file = (void *)&error;
		int rc = load(rows[i].text, strlen(rows[i].text), &file, &error);

		cr_expect_eq(rc, -EINVAL, "%s", rows[i].text);
		cr_expect_eq((void *)file, (void *)&error, "written on failure: %s", rows[i].text);
		cr_expect_str_eq(error.name, "t.yaml");
		cr_expect(error.mark.line == rows[i].line && error.mark.column == rows[i].column,
			  "%s: %u:%u %s", rows[i].text, error.mark.line, error.mark.column,
			  error.reason);
		cr_expect(strstr(error.reason, rows[i].reason) && error.reason[0], "%s: %s",
			  rows[i].text, error.reason);
	}
}

Test(marks, find_values_and_keys_by_path)
{
	static const char text[] =
		"user: a\nparts:\n  - name: x\n    list: [p, q]\n  - name: y\n    rate:   5/s\n";
	struct yaml_marks *marks = NULL;
	struct yaml_error error;
	struct yaml_mark mark;

	cr_assert_eq(yaml_marks_read(text, strlen(text), "t", &marks, &error), 0);
	cr_expect_eq(yaml_marks_find(marks, "parts[1].rate", &mark), 0);
	cr_expect(mark.line == 6 && mark.column == 13, "%u:%u", mark.line, mark.column);
	cr_expect_eq(yaml_marks_key(marks, "parts[1].rate", &mark), 0);
	cr_expect(mark.line == 6 && mark.column == 5, "%u:%u", mark.line, mark.column);
	cr_expect_eq(yaml_marks_find(marks, "parts[0].list[1]", &mark), 0);
	cr_expect(mark.line == 4 && mark.column == 15, "%u:%u", mark.line, mark.column);
	cr_expect_eq(yaml_marks_find(marks, "", &mark), 0);
	cr_expect_eq(yaml_marks_find(marks, "parts[2]", &mark), -ENOENT);
	cr_expect_eq(yaml_marks_find(marks, "parts.name", &mark), -ENOENT);
	yaml_marks_free(marks);
	yaml_marks_free(NULL);
}

Test(bounds, refuse_what_is_too_deep_or_too_much)
{
	size_t len = 3u << 20;
	char *text = malloc(YAML_TEXT_MAX + 1);
	struct yaml_error error = {0};
	struct yaml_file *file;

	memset(text, '[', 100000);
	cr_expect_eq(load(text, 100000, &file, &error), -EINVAL);
	cr_expect(strstr(error.reason, "deeper"), "%s", error.reason);
	memcpy(text, "[", 1);
	for (size_t i = 1; i + 1 < len; i += 2)
		memcpy(text + i, "a,", 2);
	cr_expect_eq(load(text, len, &file, &error), -EINVAL);
	cr_expect(strstr(error.reason, "more than"), "%s", error.reason);
	memset(text, ' ', YAML_TEXT_MAX + 1);
	cr_expect_eq(load(text, YAML_TEXT_MAX + 1, &file, &error), -EINVAL);
	cr_expect(strstr(error.reason, "longer than"), "%s", error.reason);
	free(text);
}

/* A good text with bytes changed at random: never a crash, and always a reason. */
Test(bytes, at_random_do_no_harm)
{
	static const char good[] = "user: root\nparts:\n  - name: a\n    list: [x, \"y\"]\n  - "
				   "{name: b, mode: open}\none:\n  name: |\n    t\n";
	uint64_t seed = 7;
	unsigned refused = 0;

	for (int round = 0; round < 20000; round++) {
		char text[sizeof(good)];
		struct yaml_error error = {0};
		struct yaml_file *file = NULL;

		memcpy(text, good, sizeof(good));
		for (int i = 0; i < 3; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			text[(seed >> 33) % (sizeof(good) - 1)] = (char)(seed >> 56);
		}
		if (yaml_load(text, sizeof(good) - 1 - (seed >> 20) % 9, "t", &schema,
			      (void **)&file, &error) == 0) {
			yaml_unload(&schema, NULL, file);
			continue;
		}
		refused++;
		cr_assert(error.reason[0] && error.mark.line);
	}
	cr_expect_gt(refused, 1000);
}
