/* SPDX-License-Identifier: MIT
 *
 * JSON: what is written can be read again, whatever bytes it holds; what is not JSON is refused.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "sidecar/base/json.h"
#include "sidecar/base/random.h"
#include "tests/guard.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))

static const char *terminated(struct json_writer *writer)
{
	json_put_newline(writer);
	writer->text[writer->length - 1] = '\0';
	return writer->text;
}

Test(json_writer, puts_commas_where_they_belong)
{
	struct json_writer w = {0};

	json_put_object(&w, NULL);
	json_put_u64(&w, "most", UINT64_MAX);
	json_put_i64(&w, "least", INT64_MIN);
	json_put_array(&w, "list");
	json_put_object(&w, NULL);
	json_put_end(&w);
	json_put_array(&w, NULL);
	json_put_end(&w);
	json_put_text(&w, NULL, "a");
	json_put_text(&w, NULL, NULL);
	json_put_end(&w);
	json_put_bool(&w, "yes", true);
	json_put_null(&w, "none");
	json_put_format(&w, "format", "%d of %d", 1, 2);
	json_put_end(&w);
	cr_expect_str_eq(terminated(&w),
			 "{\"most\": 18446744073709551615, \"least\": -9223372036854775808, "
			 "\"list\": [{}, [], \"a\", null], \"yes\": true, \"none\": null, "
			 "\"format\": \"1 of 2\"}");
	cr_expect_not(json_failed(&w));
	json_writer_free(&w);
}

Test(json_writer, writes_numbers_without_noise)
{
	static const struct {
		double number;
		int digits;
		const char *text;
	} rows[] = {
		{0, 3, "0"},	  {-0.0001, 3, "0"},	 {1.5, 3, "1.5"},      {100, 0, "100"},
		{100, 3, "100"},  {0.0004, 3, "0"},	 {0.0006, 3, "0.001"}, {-2.25, 1, "-2.2"},
		{NAN, 3, "null"}, {INFINITY, 3, "null"}, {1e300, -1, NULL},
	};

	for (size_t i = 0; i < N(rows); i++) {
		struct json_writer w = {0};

		json_put_number(&w, NULL, rows[i].number, rows[i].digits);
		if (rows[i].text)
			cr_expect_str_eq(terminated(&w), rows[i].text, "%zu: %s", i, w.text);
		else
			cr_expect_eq(w.length, 301);
		json_writer_free(&w);
	}
}

Test(json_writer, escapes_whatever_a_receiver_wrote)
{
	static const struct {
		const char *bytes;
		size_t length;
		const char *text;
	} rows[] = {
		{"a\"b\\c\n\r\t\b\f", 10, "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\""},
		{"\x1f\x7f\v", 3, "\"\\u001f\\u007f\\u000b\""},
		{"a\0b", 3,
		 "\"a\xef\xbf\xbd"
		 "b\""},
		{"\xc2\x9b"
		 "2J",
		 4, "\"\\u009b2J\""},
		{"\xe2\x80\xae\xe2\x80\xa8", 6, "\"\\u202e\\u2028\""},
		{"h\xc3\xa9", 3, "\"h\xc3\xa9\""},
		{"\xc3", 1, "\"\xef\xbf\xbd\""},		 /* cut in the middle */
		{"\xc0\x80", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""}, /* overlong */
		{"\xed\xa0\x80x", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx\""}, /* a surrogate */
		{"\xf4\x90\x80\x80", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xf0\x9f\x9a\xaa", 4, "\"\xf0\x9f\x9a\xaa\""},
		{"", 0, "\"\""},
	};

	for (size_t i = 0; i < N(rows); i++) {
		struct json_writer w = {0};
		char *bytes = guard_copy(rows[i].bytes, rows[i].length);

		json_put_bytes(&w, NULL, bytes, rows[i].length);
		cr_expect_str_eq(terminated(&w), rows[i].text, "%zu: %s", i, w.text);
		json_writer_free(&w);
	}
}

Test(json_writer, survives_any_bytes_read_back)
{
	uint64_t seed = 1;
	char bytes[64];

	for (int round = 0; round < 20000; round++) {
		struct json_writer w = {0};
		char reason[JSON_REASON] = "";
		struct json *json = NULL;

		for (size_t i = 0; i < sizeof(bytes); i++) {
			bytes[i] = (char)(1 + random_below(&seed, 255));
		}
		json_put_object(&w, NULL);
		json_put_bytes(&w, "text", bytes, sizeof(bytes));
		json_put_end(&w);
		cr_assert_eq(json_read(w.text, w.length, &json, reason), 0, "%s: %.*s", reason,
			     (int)w.length, w.text);
		cr_assert_not_null(json_get_text(json, "text", NULL));
		json_release(json);
		json_writer_free(&w);
	}
}

Test(json_writer, remembers_that_it_was_nested_too_deep)
{
	struct json_writer w = {0};

	for (int i = 0; i < JSON_DEPTH_MAX; i++)
		json_put_array(&w, NULL);
	cr_expect(json_failed(&w));
	json_writer_free(&w);
	json_put_end(&w);
	cr_expect(json_failed(&w), "an end without a beginning");
	json_writer_free(&w);
}

Test(json_writer, keeps_a_line_apart_from_the_next)
{
	struct json_writer w = {0};

	for (int i = 0; i < 2; i++) {
		json_put_object(&w, NULL);
		json_put_end(&w);
		json_put_newline(&w);
	}
	cr_expect_eq(w.length, 6);
	cr_expect_eq(memcmp(w.text, "{}\n{}\n", 6), 0);
	json_writer_clear(&w);
	json_put_u64(&w, NULL, 7);
	cr_expect_eq(w.length, 1);
	json_writer_free(&w);
}

Test(json_read, takes_members_by_kind_and_falls_back)
{
	static const char text[] =
		"{\"s\": \"x\", \"n\": 7, \"m\": -1, \"d\": 0.5, \"b\": true, \"a\": [1, 2], \"z\": null}";
	char reason[JSON_REASON];
	struct json *json;

	cr_assert_eq(json_read(guard_copy(text, sizeof(text) - 1), sizeof(text) - 1, &json, reason),
		     0, "%s", reason);
	cr_expect_str_eq(json_get_text(json, "s", "-"), "x");
	cr_expect_str_eq(json_get_text(json, "n", "-"), "-");
	cr_expect_str_eq(json_get_text(json, "none", "-"), "-");
	cr_expect_eq(json_get_u64(json, "n", 9), 7);
	cr_expect_eq(json_get_u64(json, "m", 9), 9);
	cr_expect_eq(json_get_u64(json, "d", 9), 9);
	cr_expect_float_eq(json_get_double(json, "d", 9), 0.5, 1e-12);
	cr_expect_float_eq(json_get_double(json, "n", 9), 7, 1e-12);
	cr_expect(json_get_bool(json, "b", false));
	cr_expect(json_get_bool(json, "s", true));
	cr_expect_eq(json_count(json_get(json, "a")), 2);
	cr_expect_eq(json_u64(json_at(json_get(json, "a"), 1), 0), 2);
	cr_expect_null(json_at(json_get(json, "a"), 2));
	cr_expect_eq(json_kind(json_get(json, "z")), JSON_KIND_NULL);
	cr_expect_eq(json_kind(json_get(json, "none")), JSON_KIND_NONE);
	cr_expect_eq(json_kind(json), JSON_KIND_OBJECT);
	cr_expect_null(json_get(json_get(json, "a"), "x"));
	json_release(json);
}

static int count_until_b(void *arg, const char *key, const struct json *value)
{
	++*(int *)arg;
	return strcmp(key, "b") == 0 ? (int)json_u64(value, 0) : 0;
}

Test(json_read, visits_members_in_order_until_told_to_stop)
{
	static const char text[] = "{\"a\": 1, \"b\": 5, \"c\": 3}";
	char reason[JSON_REASON];
	struct json *json;
	int seen = 0;

	cr_assert_eq(json_read(text, sizeof(text) - 1, &json, reason), 0);
	cr_expect_eq(json_each(json, count_until_b, &seen), 5);
	cr_expect_eq(seen, 2);
	json_release(json);
	cr_expect_eq(json_each(NULL, count_until_b, &seen), 0);
}

Test(json_read, refuses_what_is_not_json_with_a_reason)
{
	static const struct {
		const char *text;
		size_t length;
	} rows[] = {
		{"", 0},	   {"{", 1},
		{"{\"a\":1}x", 8}, {"{\"a\":1,\"a\":2}", 13},
		{"\"\xff\"", 3},   {"\"\\u0000\"", 8},
		{"nul", 3},	   {"\"\\ud800\"", 8},
		{"{'a':1}", 7},	   {"[1,]", 4},
		{"\0", 1},	   {"[99999999999999999999999]", 25},
	};

	for (size_t i = 0; i < N(rows); i++) {
		struct json *json = (struct json *)&rows;
		char reason[JSON_REASON] = "";

		cr_expect_eq(json_read(guard_copy(rows[i].text, rows[i].length), rows[i].length,
				       &json, reason),
			     -EINVAL, "%zu", i);
		cr_expect_eq((void *)json, (void *)&rows, "%zu: touched", i);
		cr_expect_neq(*reason, '\0', "%zu", i);
	}
}

Test(json_read, bounds_the_depth)
{
	static char text[65536];
	char reason[JSON_REASON];
	struct json *json;

	memset(text, '[', sizeof(text));
	cr_expect_eq(json_read(text, sizeof(text), &json, reason), -EINVAL);
}
