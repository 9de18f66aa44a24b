/* SPDX-License-Identifier: MIT
 *
 * Lines that tell what was sent before: read, refused with a reason, added up, written.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/feeds/history.h"
#include "tests/guard.h"

static enum history_line read_text(const char *text, struct history_row *row, const char **why)
{
	struct ingest_line line = {.bytes = guard_copy(text, strlen(text)), .length = strlen(text)};

	return history_read(&line, row, why);
}

Test(history, a_line_is_a_day_of_a_flow)
{
	static const struct {
		const char *text;
		int64_t day;
		uint8_t last; /* byte of the address */
		const char *destination;
		uint64_t delivered, minute, hour;
	} rows[] = {
		{"1970-01-02,192.0.2.1,google,9000", 1, 1, "google", 9000, 0, 0},
		{"2026-11-02,192.0.2.7,gmail.com,9000,25", 20759, 7, "gmail.com", 9000, 25, 0},
		{"2026-11-02,192.0.2.7,google,9000,25,1100\r", 20759, 7, "google", 9000, 25, 1100},
		{"2024-02-29 ,\"192.0.2.9\", google,0,,", 19782, 9, "google", 0, 0, 0},
		{"{\"day\":\"2026-11-02\",\"source\":\"192.0.2.7\",\"destination\":\"yahoo\","
		 "\"delivered\":12,\"hour\":11}",
		 20759, 7, "yahoo", 12, 0, 11},
		{"  {\"day\":\"2026-11-02\",\"source\":\"192.0.2.7\",\"destination\":\"yahoo\","
		 "\"delivered\":\"12\"}",
		 20759, 7, "yahoo", 12, 0, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct history_row row;
		const char *why = "";

		cr_assert_eq(read_text(rows[i].text, &row, &why), HISTORY_ROW, "%s: %s",
			     rows[i].text, why);
		cr_expect_eq(row.day, rows[i].day, "%s: %ld", rows[i].text, (long)row.day);
		cr_expect_eq(row.source[15], rows[i].last);
		cr_expect_str_eq(row.destination, rows[i].destination);
		cr_expect_eq(row.delivered, rows[i].delivered, "%s", rows[i].text);
		cr_expect_eq(row.minute, rows[i].minute, "%s", rows[i].text);
		cr_expect_eq(row.hour, rows[i].hour, "%s", rows[i].text);
	}
}

Test(history, headings_remarks_and_empty_lines_are_none)
{
	static const char *const texts[] = {
		"", "   ", "\r", "# a remark", HISTORY_HEADING, "day,source,destination,delivered"};
	struct history_row row;
	const char *why;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		cr_expect_eq(read_text(texts[i], &row, &why), HISTORY_REMARK, "%s", texts[i]);
}

Test(history, what_is_malformed_is_told)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"2026-02-30,192.0.2.1,google,9", "day"},
		{"2026-13-01,192.0.2.1,google,9", "day"},
		{"26-11-02,192.0.2.1,google,9", "day"},
		{"1969-12-31,192.0.2.1,google,9", "day"},
		{"2026-11-02,192.0.2.256,google,9", "source"},
		{"2026-11-02,,google,9", "source"},
		{"2026-11-02,192.0.2.1,,9", "destination"},
		{"2026-11-02,192.0.2.1,google,", "messages"},
		{"2026-11-02,192.0.2.1,google,-9", "messages"},
		{"2026-11-02,192.0.2.1,google,9e3", "messages"},
		{"2026-11-02,192.0.2.1,google,1000000001", "messages"},
		{"2026-11-02,192.0.2.1,google,99999999999999999999999", "messages"},
		{"2026-11-02,192.0.2.1,google,9,x", "minute"},
		{"2026-11-02,192.0.2.1,google,9,1,x", "hour"},
		{"2026-11-02,192.0.2.1,google,9,10", "more than"},
		{"2026-11-02,192.0.2.1,google,9,5,4", "more than"},
		{"2026-11-02,192.0.2.1,google", "fewer"},
		{"2026-11-02,192.0.2.1,google,9,1,1,1", "more than six"},
		{"2026-11-02,\"192.0.2.1,google,9", "quote"},
		{"{\"day\":\"2026-11-02\"", "JSON"},
		{"{\"day\":\"2026-11-02\",\"source\":\"192.0.2.1\",\"destination\":\"a\"}",
		 "messages"},
		{"{\"day\":\"2026-11-02\",\"source\":\"192.0.2.1\",\"destination\":\"a\","
		 "\"delivered\":-1}",
		 "messages"},
		{"{\"day\":\"2026-11-02\",\"source\":\"192.0.2.1\",\"destination\":\"a\","
		 "\"delivered\":1.5}",
		 "messages"},
		{"nonsense", "fewer"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct history_row row;
		const char *why = NULL;

		cr_expect_eq(read_text(rows[i].text, &row, &why), HISTORY_BAD, "%s", rows[i].text);
		cr_expect(why && strstr(why, rows[i].why), "%s: %s", rows[i].text,
			  why ? why : "nothing");
	}
}

Test(history, a_day_that_comes_twice_is_added_up)
{
	struct history_rows rows = {.rows = NULL};
	struct history_row row = {.day = 7, .destination = "google", .delivered = 10, .minute = 3};

	cr_assert_eq(history_add(&rows, &row), 0);
	row.day = 6;
	cr_assert_eq(history_add(&rows, &row), 0);
	row = (struct history_row){.day = 7, .destination = "google", .delivered = 5, .minute = 4};
	cr_assert_eq(history_add(&rows, &row), 0);
	row.source[15] = 1;
	cr_assert_eq(history_add(&rows, &row), 0);
	history_fold(&rows);
	cr_assert_eq(rows.count, 3);
	cr_expect_eq(rows.rows[0].day, 6);
	cr_expect_eq(rows.rows[1].delivered, 15);
	cr_expect_eq(rows.rows[1].minute, 4);
	cr_expect_eq(rows.rows[2].delivered, 5);
	history_free(&rows);
	history_fold(&rows);
}

Test(history, what_is_written_is_read_again)
{
	struct history_row row = {.day = 20759,
				  .source = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1},
				  .destination = "google",
				  .delivered = 9000,
				  .minute = 25,
				  .hour = 1100},
			   again;
	char text[128] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");
	const char *why;

	history_write(out, &row);
	fclose(out);
	text[strcspn(text, "\n")] = '\0';
	cr_assert_eq(read_text(text, &again, &why), HISTORY_ROW, "%s", text);
	cr_expect_eq(again.day, row.day);
	cr_expect_eq(memcmp(again.source, row.source, 16), 0);
	cr_expect_eq(again.hour, row.hour);
}
