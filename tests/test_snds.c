/* SPDX-License-Identifier: MIT
 *
 * What SNDS says: lines in their forms, what is malformed, and how much of its limits an address has
 * left, day by day.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/feeds/snds.h"
#include "tests/guard.h"

#define DAY	 86400
#define NOVEMBER INT64_C(1793577600) /* 2026-11-02 */

static enum snds_line read_text(const char *text, struct snds_row *row, const char **why)
{
	struct ingest_line line = {.bytes = guard_copy(text, strlen(text)), .length = strlen(text)};

	return snds_read(&line, row, why);
}

#define TAIL ",mail.example.com,<news@example.com>,"

Test(snds, a_line_tells_of_an_address)
{
	static const struct {
		const char *text;
		enum snds_status status;
		int64_t at_s;
		uint8_t first, last;
	} rows[] = {
		{"192.0.2.7,11/1/2026 12:00 AM,11/2/2026 12:00 AM,900,880,880,GREEN,< "
		 "0.1%,11/1/2026 3:00 AM,11/1/2026 4:00 AM,2" TAIL,
		 SNDS_GREEN, NOVEMBER, 7, 7},
		{"192.0.2.7,11/1/2026 12:00 AM,11/2/2026 1:30 PM,900,880,880,YELLOW,0.4%,,," TAIL,
		 SNDS_YELLOW, NOVEMBER + 13 * 3600 + 1800, 7, 7},
		{"192.0.2.7,2026-11-01 00:00,2026-11-02T00:00:00Z,900,880,880,red,> 1%" TAIL "\r",
		 SNDS_RED, NOVEMBER, 7, 7},
		/* Missing is not zero. */
		{"192.0.2.7,11/1/2026,11/2/2026,,,,,,,,,,,", SNDS_NOTHING, NOVEMBER, 7, 7},
		{"192.0.2.7,192.0.2.9,Yes,\"Blocked due to user complaints, or other evidence\"",
		 SNDS_RED, 0, 7, 9},
		{"192.0.2.7,192.0.2.7,No,Junked due to user complaints", SNDS_YELLOW, 0, 7, 7},
		{"192.0.2.7,192.0.2.7,No,", SNDS_NOTHING, 0, 7, 7},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct snds_row row;
		const char *why = "";

		cr_assert_eq(read_text(rows[i].text, &row, &why), SNDS_ROW, "%s: %s", rows[i].text,
			     why);
		cr_expect_eq(row.status, rows[i].status, "%s: %d", rows[i].text, row.status);
		cr_expect_eq(row.at_s, rows[i].at_s, "%s: %ld", rows[i].text, (long)row.at_s);
		cr_expect(row.first[15] == rows[i].first && row.last[15] == rows[i].last, "%s",
			  rows[i].text);
	}
}

Test(snds, what_is_malformed_is_told)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"192.0.2.7", "fields"},
		{"192.0.2.7,a,b,c,d", "fields"},
		{"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o", "more than 14"},
		{"192.0.2.700,11/1/2026,11/2/2026,,,,,,,,,,,", "address"},
		{"192.0.2.7,13/1/2026,11/2/2026,,,,,,,,,,,", "no time"},
		{"192.0.2.7,11/1/2026,2/30/2026 1:00 AM,,,,,,,,,,,", "no time"},
		{"192.0.2.7,11/1/2026,,,,,,,,,,,,", "no time"},
		{"192.0.2.7,11/3/2026,11/2/2026,,,,,,,,,,,", "ends before"},
		{"192.0.2.7,11/1/2026,11/2/2026,-1,,,,,,,,,,", "no number"},
		{"192.0.2.7,11/1/2026,11/2/2026,1,1,1,BLUE,,,,,,,", "GREEN"},
		{"192.0.2.7,192.0.2.6,Yes,x", "before the first"},
		{"192.0.2.7,192.0.2.8,Perhaps,x", "Yes nor No"},
		{"192.0.2.7,192.0.2.8,Yes,\"x", "quote"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct snds_row row;
		const char *why = NULL;

		cr_expect_eq(read_text(rows[i].text, &row, &why), SNDS_BAD, "%s", rows[i].text);
		cr_expect(why && strstr(why, rows[i].why), "%s: %s", rows[i].text,
			  why ? why : "nothing");
	}
	cr_expect_eq(read_text("  \r", &(struct snds_row){.at_s = 0}, &(const char *){NULL}),
		     SNDS_EMPTY);
}

Test(snds, cuts_at_once_and_restores_in_steps)
{
	static const struct snds_policy policy = {.yellow = 500000, .red = 100000};
	static const struct {
		enum snds_status status;
		int64_t at_s;
		bool taken;
		uint32_t share;
	} rows[] = {
		{SNDS_NOTHING, 1 * DAY, false, 0},	{SNDS_GREEN, 1 * DAY, true, 1000000},
		{SNDS_RED, 2 * DAY, true, 100000},	{SNDS_RED, 2 * DAY, false, 100000},
		{SNDS_GREEN, 1 * DAY, false, 100000},	{SNDS_GREEN, 2 * DAY + 3600, false, 100000},
		{SNDS_NOTHING, 3 * DAY, false, 100000}, {SNDS_GREEN, 3 * DAY, true, 200000},
		{SNDS_GREEN, 3 * DAY, false, 200000},	{SNDS_YELLOW, 4 * DAY, true, 400000},
		{SNDS_YELLOW, 5 * DAY, true, 500000},	{SNDS_YELLOW, 6 * DAY, true, 500000},
		{SNDS_GREEN, 7 * DAY, true, 1000000},	{SNDS_YELLOW, 7 * DAY, true, 500000},
		{SNDS_RED, 8 * DAY, true, 100000},
	};
	struct snds_state state = {.at_s = 0};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(snds_take(&state, &policy, rows[i].status, rows[i].at_s),
			     rows[i].taken, "row %zu", i);
		cr_expect_eq(state.share, rows[i].share, "row %zu: %u", i, state.share);
	}
}
