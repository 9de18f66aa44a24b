/* SPDX-License-Identifier: MIT
 *
 * A line of a log, and what is to come out of it, in one text:
 * "outcome source domain mx code enhanced|text". "-": the line does not say. "other", "bad": no
 * event. The line ends at a page that nobody may read.
 */
#ifndef TESTS_INGEST_CASE_H
#define TESTS_INGEST_CASE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/ingest/event.h"
#include "tests/guard.h"

#define INGEST_NOW UINT64_C(1772020000000000000) /* 2026-02-25 11:46:40 UTC */

typedef __typeof__(&postfix_parse) ingest_parser;

struct ingest_case {
	const char *line, *want;
};

static inline const char *ingest_show(struct ingest_text text, char *into)
{
	sprintf(into, "%.*s", text.at ? (int)text.length : 1, text.at ? text.at : "-");
	return into;
}

static inline char *ingest_tell(enum ingest_result result, const struct ingest_event *e, char *into)
{
	static char source[4096], domain[4096], mx[4096], text[65536];
	char enhanced[32] = "-", code[16] = "-";

	if (result != INGEST_EVENT)
		return strcpy(into, result == INGEST_OTHER ? "other" : "bad");
	if (e->enhanced)
		sprintf(enhanced, "%u.%u.%u", e->enhanced >> 20, e->enhanced >> 10 & 0x3FF,
			e->enhanced & 0x3FF);
	if (e->code)
		sprintf(code, "%u", e->code);
	sprintf(into, "%s %s %s %s %s %s|%s", ingest_outcome_name(e->outcome),
		ingest_show(e->source, source), ingest_show(e->domain, domain),
		ingest_show(e->mx, mx), code, enhanced, ingest_show(e->text, text));
	return into;
}

/* Parses one line. *ret_event's texts live as long as the program. */
static inline enum ingest_result ingest_one(ingest_parser parse, struct ingest_stream *stream,
					    const char *text, struct ingest_event *ret_event)
{
	size_t length = strlen(text);
	struct ingest_line line = {guard_copy(text, length), length, 0, 0};

	return parse(stream, &line, ret_event);
}

static inline void ingest_check(ingest_parser parse, struct ingest_stream *stream,
				const struct ingest_case *cases, size_t count)
{
	static char told[1 << 17];

	stream->clock.now_ns = INGEST_NOW;
	for (size_t i = 0; i < count; i++) {
		struct ingest_event event;
		enum ingest_result result = ingest_one(parse, stream, cases[i].line, &event);

		cr_expect_str_eq(ingest_tell(result, &event, told), cases[i].want,
				 "%s\n  gives %s\n  meant %s", cases[i].line, told, cases[i].want);
	}
}

#define INGEST_CHECK(parse, stream, cases) \
	ingest_check(parse, stream, cases, sizeof(cases) / sizeof((cases)[0]))

#endif
