/* SPDX-License-Identifier: MIT
 *
 * A line, read from the left: what the parsers of logs share.
 *
 * A scan is what is still to be read. Whatever is taken moves its start; what does not fit leaves
 * it as it is. Nothing beyond its end is read.
 */
#ifndef SIDECAR_INGEST_SCAN_H
#define SIDECAR_INGEST_SCAN_H

#include <string.h>

#include "sidecar/ingest/event.h"

struct scan {
	char *at, *end;
};

static inline size_t scan_left(const struct scan *scan)
{
	return (size_t)(scan->end - scan->at);
}

static inline bool scan_starts(const struct scan *scan, const char *literal, size_t length)
{
	return scan_left(scan) >= length && memcmp(scan->at, literal, length) == 0;
}

static inline bool scan_skip(struct scan *scan, const char *literal, size_t length)
{
	if (!scan_starts(scan, literal, length))
		return false;
	scan->at += length;
	return true;
}

/* Of a literal, whose length the compiler knows. */
#define SCAN_STARTS(scan, literal) scan_starts(scan, literal, sizeof(literal) - 1)
#define SCAN_SKIP(scan, literal)   scan_skip(scan, literal, sizeof(literal) - 1)

static inline struct ingest_text scan_text(const char *from, const char *to)
{
	return (struct ingest_text){from, (size_t)(to - from)};
}

static inline struct ingest_text scan_rest(const struct scan *scan)
{
	return scan_text(scan->at, scan->end);
}

/* What stands in a text; in one that is not there nothing does. */
static inline struct scan scan_of(struct ingest_text text)
{
	static char nothing[1];
	char *at = text.at != NULL ? (char *)text.at : nothing;

	return (struct scan){at, at + text.length};
}

static inline void scan_blanks(struct scan *scan)
{
	while (scan->at < scan->end && *scan->at == ' ')
		scan->at++;
}

static inline struct scan scan_line(const struct ingest_line *line)
{
	struct scan scan = {line->bytes, line->bytes + line->length};

	while (scan.end > scan.at && (scan.end[-1] == '\r' || scan.end[-1] == ' '))
		scan.end--;
	return scan;
}

/* Up to the byte c, which is skipped as well. False: there is none. */
bool scan_until(struct scan *scan, char c, struct ingest_text *ret);

/* Up to a blank or the end; never empty. */
bool scan_word(struct scan *scan, struct ingest_text *ret);

/* A decimal number of at most nine digits. */
bool scan_number(struct scan *scan, unsigned *ret);

/* "0.25": seconds as nanoseconds. */
bool scan_seconds(struct scan *scan, uint64_t *ret_ns);

/* What stands between "<" (already taken) and the ">" that ends it: a quoted local part may hold
 * any byte. The ">" is skipped. */
bool scan_angle(struct scan *scan, struct ingest_text *ret);

/* A mail address up to a blank, or to what ends a field, outside of quotes. */
bool scan_address(struct scan *scan, struct ingest_text *ret);

/* What a quoted value holds, after its first quote: backslashes are undone in place, the last quote
 * is skipped. False: it does not end. */
bool scan_quoted(struct scan *scan, struct ingest_text *ret);

/* "name[address]:port", "name [address]:port": what stands within the brackets. */
bool scan_bracket(struct scan *scan, struct ingest_text *ret);

/* ---- fields ---------------------------------------------------------------------------------- */

bool scan_text_is(const struct ingest_text *text, const char *literal);

/* What stands behind the last "@" outside of quotes, in lower case. NULL at: there is none. */
struct ingest_text scan_text_domain(struct ingest_text address);

/* In lower case, in place, and without a dot at the end. */
struct ingest_text scan_text_host(struct ingest_text host);

/* 127.0.0.0/8 and ::1: a filter on this host, no receiver. */
bool scan_text_loopback(const struct ingest_text *address);

/* Line ends within a text become blanks, in place: "\r\n" one. */
struct ingest_text scan_text_one_line(struct ingest_text text);

/* The same of the two characters "\n" and "\r", as Exim writes them. */
struct ingest_text scan_text_one_line_escaped(struct ingest_text text);

/* "4.7.1 (delivery not authorized)", "4.7.1": the enhanced code in front, or 0. */
unsigned scan_text_enhanced(const struct ingest_text *text);

/* The event's reply is its text, which begins with the codes. True: it does. */
bool scan_event_reply_is(struct ingest_event *event, struct ingest_text text);

/* An MTA's own words: no reply came, and the code is the MTA's own. */
void scan_event_words_are(struct ingest_event *event, struct ingest_text text, unsigned enhanced);

#endif
