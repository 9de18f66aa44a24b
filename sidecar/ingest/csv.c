/* SPDX-License-Identifier: MIT */
#include "sidecar/ingest/csv.h"

static bool quoted_field(struct scan *scan, struct ingest_text *ret)
{
	char *from = scan->at + 1, *to = from, *at = from;

	while (at < scan->end) {
		char *quote = memchr(at, '"', (size_t)(scan->end - at));

		if (quote == NULL)
			return false;
		if (to != at)
			memmove(to, at, (size_t)(quote - at));
		to += quote - at;
		at = quote + 1;
		if (at == scan->end || *at != '"') {
			*ret = scan_text(from, to);
			scan->at = at;
			return true;
		}
		*to++ = '"';
		at++;
	}
	return false;
}

bool csv_field(struct scan *scan, struct ingest_text *ret, bool *ret_last)
{
	if (scan->at < scan->end && *scan->at == '"') {
		if (!quoted_field(scan, ret))
			return false;
	} else {
		char *comma = memchr(scan->at, ',', scan_left(scan));
		char *stop = comma != NULL ? comma : scan->end;

		*ret = scan_text(scan->at, stop);
		scan->at = stop;
	}
	*ret_last = scan->at == scan->end;
	return *ret_last || *scan->at++ == ',';
}

/* Behind the quote that opens a field: behind the one that closes it. NULL: it is not there yet. */
static const char *quote_close(const char *at, const char *end)
{
	while (at < end && (at = memchr(at, '"', (size_t)(end - at))) != NULL) {
		if (at + 1 == end)
			return NULL; /* it may be the first of two */
		if (at[1] != '"')
			return at + 1;
		at += 2;
	}
	return NULL;
}

size_t csv_record(const char *bytes, size_t length)
{
	const char *at = bytes, *end = bytes + length;
	const char *line = memchr(bytes, '\n', length);
	size_t first = line != NULL ? (size_t)(line + 1 - bytes) : 0;

	while (at < end) {
		if (*at == '"') {
			at = quote_close(at + 1, end);
			if (at == NULL)
				return 0;
			if (*at != ',' && *at != '\n' && *at != '\r')
				return first;
		}
		while (at < end && *at != ',' && *at != '\n')
			at++;
		if (at == end)
			return 0;
		if (*at++ == '\n')
			return (size_t)(at - bytes);
	}
	return 0;
}
