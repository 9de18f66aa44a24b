/* SPDX-License-Identifier: MIT
 *
 * Loading by rows: where errors are said to be, what is refused, and that no bytes crash it.
 * Every text ends at a guard page.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "sidecar/base/random.h"
#include "sidecar/base/yaml.h"
#include "tests/guard.h"

struct yaml_part {
	char *name;
	char *rate;
	int mode;
	char **list;
	uint32_t list_count;
	uint32_t number;
	char *must;
};

struct yaml_file {
	char *user;
	struct yaml_part *parts;
	uint32_t parts_count;
	struct yaml_part one;
	struct yaml_part *other;
	char *either, *way;
	uint32_t have;
	struct yaml_part *some;
	uint32_t some_count;
};

static const struct yaml_word_value modes[] = {{"keep", 1}, {"open", 2}, {NULL, 0}};
static const struct yaml_key part_rows[] = {
	YAML_KEY("name", yaml_text, struct yaml_part, name, "", .needed = true, .max = 10),
	YAML_KEY("rate", yaml_text, struct yaml_part, rate, "", .max = 10),
	YAML_KEY("mode", yaml_word, struct yaml_part, mode, "", .words = modes),
	YAML_TEXTS("list", yaml_text, struct yaml_part, list, ""),
	YAML_KEY("deep.number", yaml_number, struct yaml_part, number, "", .default_text = "7"),
	YAML_KEY("deep.must", yaml_text, struct yaml_part, must, "", .needed = false),
};
static const struct yaml_keys part = {part_rows, YAML_COUNT(part_rows), sizeof(struct yaml_part),
				      NULL};
static const struct yaml_key file_rows[] = {
	YAML_KEY("user", yaml_text, struct yaml_file, user, "", .max = 10),
	YAML_MAPPINGS("parts", part, struct yaml_file, parts, ""),
	YAML_KEYS("one", YAML_PART, part, struct yaml_file, one, ""),
	YAML_KEYS("other", YAML_POINTER, part, struct yaml_file, other, ""),
	YAML_KEY("either", yaml_text, struct yaml_file, either, ""),
	YAML_KEY("either.way", yaml_text, struct yaml_file, way, ""),
	YAML_KEY("must.have", yaml_number, struct yaml_file, have, ""),
	YAML_KEYS("some", YAML_SOME, part, struct yaml_file, some, "",
		  .count_offset = offsetof(struct yaml_file, some_count), .entries_max = 2),
};
static const struct yaml_keys keys = {file_rows, YAML_COUNT(file_rows), sizeof(struct yaml_file),
				      NULL};

static int load(const char *text, size_t len, struct yaml_file **ret, struct yaml_error *error)
{
	char *copy = guard_copy(text, len);
	const struct yaml_source source = {.text = copy, .len = len, .name = "t.yaml"};
	int rc = yaml_load(&source, &keys, (void **)ret, NULL, error);

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
	cr_expect_eq(file->parts[0].number, 7, "a default");
	yaml_unload(NULL, file);
	yaml_unload(NULL, NULL);
}

Test(load, takes_each_shape_of_a_key)
{
	static const char text[] = "one: {name: a, deep: {number: 1_000}}\nother: {name: b}\n"
				   "either: {way: x}\nsome: {name: c}\nparts: []\n";
	static const char other[] = "either: y\nsome: [{name: c}, {name: d}]\n";
	struct yaml_error error;
	struct yaml_file *file = NULL;

	cr_assert_eq(load(text, strlen(text), &file, &error), 0, "%s", error.reason);
	cr_expect_eq(file->one.number, 1000);
	cr_assert(file->other);
	cr_expect_str_eq(file->other->name, "b");
	cr_expect_eq(file->other->number, 7, "a part behind a pointer has its defaults");
	cr_expect_null(file->either);
	cr_expect_str_eq(file->way, "x");
	cr_expect_eq(file->some_count, 1, "one mapping is a list of one");
	cr_expect(!file->parts && file->parts_count == 0, "an empty list is none");
	yaml_unload(NULL, file);

	cr_assert_eq(load(other, strlen(other), &file, &error), 0, "%s", error.reason);
	cr_expect_str_eq(file->either, "y");
	cr_expect_eq(file->some_count, 2);
	cr_expect_eq(file->one.number, 0, "what is not written has no defaults");
	cr_expect_null(file->other);
	yaml_unload(NULL, file);
}

Test(load, takes_a_text_without_a_document_as_all_defaults)
{
	static const char *const rows[] = {"", "\n", "# nothing\n", "{}"};

	for (size_t i = 0; i < 4; i++) {
		struct yaml_error error;
		struct yaml_file *file = NULL;

		cr_assert_eq(load(rows[i], strlen(rows[i]), &file, &error), 0, "%s", error.reason);
		cr_expect(file && !file->user && file->parts_count == 0);
		yaml_unload(NULL, file);
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
		{"one: {name: x, name: y}\n", 1, 16, "duplicate key, first on line 1"},
		{"user: a\n\nuser: b\n", 3, 1, "duplicate key, first on line 1"},
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
		{"one: {name: x, deep: 5}\n", 1, 22, "must be a mapping"},
		{"one: {name: x, deep: {nmber: 5}}\n", 1, 23, "nmber (did you mean number?)"},
		{"one: {name: x, deep: {number: -5}}\n", 1, 31,
		 "not a number from 0 upwards: '-5'"},
		{"one: {name: x, deep: {number: 4294967296}}\n", 1, 31, "not a number"},
		{"one: {name: x, deep.number: 5}\n", 1, 16, "unknown key: deep.number"},
		{"one: {name: x, deep: {}, deep: {}}\n", 1, 26, "duplicate key, first on line 1"},
		{"other: {}\n", 1, 8, "a key is missing: name"},
		{"some: [{name: a}, {name: b}, {name: c}]\n", 1, 7, "more entries than 2"},
		{"some: x\n", 1, 7, "must be a list"},
		{"either: [x]\n", 1, 9, "must be a single value, not a list"},
		{"<<: {user: a}\n", 1, 1, "unknown key: <<"},
		{"user: \xff\n", 1, 1, "invalid"},
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

Test(marks, find_values_by_path)
{
	static const char text[] =
		"user: a\nparts:\n  - name: x\n    list: [p, q]\n  - name: y\n    rate:   5/s\n";
	const struct yaml_source source = {.text = text, .len = strlen(text), .name = "t"};
	struct yaml_marks *marks = NULL;
	struct yaml_error error;
	struct yaml_mark mark;
	void *file;

	cr_assert_eq(yaml_load(&source, &keys, &file, &marks, &error), 0, "%s", error.reason);
	yaml_unload(NULL, file);
	cr_expect_eq(yaml_marks_find(marks, "parts[1].rate", &mark), 0);
	cr_expect(mark.line == 6 && mark.column == 13, "%u:%u", mark.line, mark.column);
	cr_expect_eq(yaml_marks_find(marks, "parts[0].list[1]", &mark), 0);
	cr_expect(mark.line == 4 && mark.column == 15, "%u:%u", mark.line, mark.column);
	cr_expect_eq(yaml_marks_find(marks, "", &mark), 0);
	cr_expect_eq(yaml_marks_find(marks, "parts[2]", &mark), -ENOENT);
	cr_expect_eq(yaml_marks_find(marks, "parts.name", &mark), -ENOENT);
	cr_expect_eq(yaml_marks_find(marks, "parts[0", &mark), 0);
	cr_expect_eq(yaml_marks_find(marks, "user[0]", &mark), -ENOENT);
	cr_expect_eq(yaml_marks_find(marks, ".", &mark), -ENOENT);
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
			size_t at = random_below(&seed, sizeof(good) - 1);

			text[at] = (char)random_next(&seed);
		}
		if (load(text, sizeof(good) - 1 - random_below(&seed, 9), &file, &error) == 0) {
			yaml_unload(NULL, file);
			continue;
		}
		refused++;
		cr_assert(error.reason[0] && error.mark.line);
	}
	cr_expect_gt(refused, 1000);
}
