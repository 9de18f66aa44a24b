/* SPDX-License-Identifier: MIT
 *
 * PowerMTA's accounting file, and a log as lines and records: each once, whatever the pieces it
 * comes in.
 */
#include "sidecar/ingest/csv.h"
#include "sidecar/ingest/lines.h"
#include "tests/ingest_case.h"

#define HEADER "type,timeLogged,rcpt,dsnStatus,dsnDiag,dsnMta,dlvType,dlvSourceIp,vmta,queue"
#define AT     ",2026-02-25 11:12:44+0000,"

Test(powermta, reads_records_by_the_header)
{
	static struct ingest_stream stream;
	static const struct ingest_case cases[] = {
		{"d" AT "a@b.c,2.0.0 (success),smtp;250 ok,mx (192.0.2.1),smtp,203.0.113.1,v,b.c/v",
		 "bad"},
		{HEADER, "other"},
		{"d" AT
		 "a@B.c,2.0.0 (success),smtp;250 ok,MX.b.c (192.0.2.1),smtp,203.0.113.1,v,b.c/v",
		 "delivered 203.0.113.1 b.c mx.b.c 250 -|250 ok"},
		{"t" AT
		 "a@b.c,4.7.1 (x),\"smtp;451-4.7.1 a, \"\"b\"\"\r\n451 4.7.1 c\",mx (2001:db8::1),smtp,2001:db8::2,v,b.c/v",
		 "deferred 2001:db8::2 b.c mx 451 4.7.1|451-4.7.1 a, \"b\" 451 4.7.1 c"},
		{"tq" AT ",4.7.1 (x),smtp;421 x,mx (192.0.2.1),smtp,203.0.113.1,v,B.c/v",
		 "deferred 203.0.113.1 b.c mx 421 -|421 x"},
		{"b" AT "a@b.c,5.7.1 (x),x-pmta;bounce-queue;reply:550 5.7.1 x,,smtp,,v,b.c/v",
		 "bounced - b.c - 550 5.7.1|550 5.7.1 x"},
		{"b" AT "a@b.c,5.4.4 (x),,,smtp,,v,b.c/v", "bounced - b.c - - 5.4.4|-"},
		{"t" AT
		 "a@b.c,4.4.2 (x),smtp;lost connection,mx (192.0.2.1),smtp,203.0.113.1,v,b.c/v",
		 "deferred 203.0.113.1 b.c mx - 4.4.2|smtp;lost connection"},
		{"d" AT "a@b.c,2.0.0,smtp;250 ok,mx,file,,v,b.c/v", "other"},
		{"r" AT "a@b.c,,,,smtp,,v,b.c/v", "other"},
		{"rb" AT "a@b.c,5.0.0,smtp;550 timeLogged,,smtp,,v,b.c/v", "other"},
		{"t" AT "a@b.c,4.0.0,smtp;421 timeLogged type,mx,smtp,203.0.113.1,v,b.c/v",
		 "deferred 203.0.113.1 b.c mx 421 -|421 timeLogged type"},
		{"t" AT "a@b.c,4.0.0,smtp;421 x,mx,smtp,203.0.113.1,v",
		 "bad"}, /* cut off: a column is missing */
		{"t" AT "a@b.c,4.0.0,\"smtp;421 x", "bad"},
		{"t" AT "a@b.c,4.0.0,\"smtp;421\"x,mx,smtp,1,v,b.c/v", "bad"},
		{"type,rcpt,dsnDiag", "other"},
		{"d,a@b.c,smtp;250 ok", "delivered - b.c - 250 -|250 ok"},
		{"", "other"},
	};

	INGEST_CHECK(powermta_parse, &stream, cases);
}

Test(csv, finds_the_end_of_a_record)
{
	static const struct {
		const char *bytes;
		size_t length;
	} cases[] = {
		{"a,b\nc", 4},		{"a,b", 0},   {"\"a\nb\",c\nd", 8}, {"\"a\nb", 0},
		{"\"a\"\"\nb\"\nc", 8}, {"\"a\"", 0}, /* a second quote may follow */
		{"a\"b\nc", 4},			      /* a quote within is none */
		{"a,\"b\nc\"d\n", 5}, /* cut off within quotes: the next line is one of its own */
		{"\"a\",\"\"\n", 7},	{"", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(csv_record(guard_copy(cases[i].bytes, strlen(cases[i].bytes)),
					strlen(cases[i].bytes)),
			     cases[i].length, "%s", cases[i].bytes);
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* Feeds the bytes in pieces, and writes what comes out as "number:line|". */
static void split(struct lines *lines, const char *bytes, size_t length, size_t piece, char *told)
{
	size_t at = 0;
	struct ingest_line line;

	for (bool last = false; !last; last = at == length) {
		size_t room, n = length - at < piece ? length - at : piece;
		char *into = lines_room(lines, &room);

		cr_assert_not_null(into);
		n = n < room ? n : room;
		memcpy(into, bytes + at, n);
		at += n;
		lines_filled(lines, n);
		while (lines_next(lines, at == length, &line))
			told += sprintf(told, "%u:%.*s|", (unsigned)lines->number, (int)line.length,
					line.bytes);
	}
	*told = '\0';
}

Test(lines, gives_each_line_once_whatever_the_pieces)
{
	static const struct {
		const char *bytes, *want;
		bool csv;
	} cases[] = {
		{"a\nb\n", "1:a|2:b|", false},
		{"a\n\nb", "1:a|2:|3:b|", false},
		{"\n", "1:|", false},
		{"a,\"b\nc\"\nd\n", "1:a,\"b\nc\"|3:d|", true},
		{"a,\"b\nc,\"d\"\ne\n", "1:a,\"b|2:c,\"d\"|3:e|", true},
		{"a,\"b\nc\n", "1:a,\"b|2:c|", true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t piece = 1; piece <= strlen(cases[i].bytes); piece++) {
			struct lines lines = {.csv = cases[i].csv};
			char told[256];

			split(&lines, cases[i].bytes, strlen(cases[i].bytes), piece, told);
			cr_expect_str_eq(told, cases[i].want, "%s in pieces of %zu", cases[i].bytes,
					 piece);
			cr_expect_eq(lines.position, strlen(cases[i].bytes));
			lines_free(&lines);
		}
	}
}

Test(lines, keeps_a_megabyte_and_leaves_out_what_has_no_end)
{
	static const size_t lengths[] = {1000, 1u << 20, LINES_MAX - 1, LINES_MAX + 4096,
					 3 * LINES_MAX};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t length = lengths[i] + 6;
		char *bytes = malloc(length), *told = malloc(length + 64);
		struct lines lines = {0};
		bool fits = lengths[i] < LINES_MAX;

		memset(bytes, 'x', length);
		bytes[1] = '\n', bytes[lengths[i] + 2] = '\n', bytes[length - 1] = '\n';
		bytes[length / 2] = '\0';
		split(&lines, bytes, length, 60000, told);
		cr_expect_eq(lines.too_long, !fits, "%zu", lengths[i]);
		cr_expect_eq(lines.next, 3, "%zu", lengths[i]);
		cr_expect_eq(lines.position, length);
		cr_expect_leq(lines.room, 2 * LINES_MAX + (128u << 10));
		cr_expect(strncmp(told, "1:x|", 4) == 0);
		lines_free(&lines);
		free(bytes), free(told);
	}
}
