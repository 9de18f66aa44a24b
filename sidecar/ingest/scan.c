/* SPDX-License-Identifier: MIT */
#include "sidecar/ingest/scan.h"

#include <arpa/inet.h>

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

bool scan_until(struct scan *scan, char c, struct ingest_text *ret)
{
	char *stop = memchr(scan->at, c, scan_left(scan));

	if (stop == NULL)
		return false;
	*ret = scan_text(scan->at, stop);
	scan->at = stop + 1;
	return true;
}

bool scan_word(struct scan *scan, struct ingest_text *ret)
{
	char *stop = memchr(scan->at, ' ', scan_left(scan));

	if (stop == NULL)
		stop = scan->end;
	if (stop == scan->at)
		return false;
	*ret = scan_text(scan->at, stop);
	scan->at = stop;
	return true;
}

bool scan_number(struct scan *scan, unsigned *ret)
{
	char *at = scan->at;
	unsigned value = 0;

	while (at < scan->end && digit(*at) && at - scan->at < 9)
		value = value * 10 + (unsigned)(*at++ - '0');
	if (at == scan->at)
		return false;
	scan->at = at;
	*ret = value;
	return true;
}

bool scan_seconds(struct scan *scan, uint64_t *ret_ns)
{
	uint64_t unit = UINT64_C(1000000000), ns;
	unsigned seconds;

	if (!scan_number(scan, &seconds))
		return false;
	ns = seconds * unit;
	if (scan_left(scan) > 1 && *scan->at == '.' && digit(scan->at[1]))
		for (scan->at++; scan->at < scan->end && digit(*scan->at); scan->at++)
			ns += (uint64_t)(*scan->at - '0') * (unit /= 10);
	*ret_ns = ns;
	return true;
}

/* The closing quote of what begins with one; NULL: there is none. */
static char *quote_end(char *at, const char *end)
{
	for (at++; at < end && *at != '"'; at++)
		if (*at == '\\')
			at++;
	return at < end ? at : NULL;
}

/* Where a character out of `stops` stands outside of quotes; only a local part may be quoted. */
static char *address_end(const struct scan *scan, const char *stops)
{
	char *at = scan->at;

	if (at < scan->end && *at == '"') {
		at = quote_end(at, scan->end);
		if (at == NULL)
			return NULL;
	}
	while (at < scan->end && strchr(stops, *at) == NULL)
		at++;
	return at;
}

bool scan_angle(struct scan *scan, struct ingest_text *ret)
{
	char *stop = address_end(scan, ">");

	if (stop == NULL || stop == scan->end)
		return false;
	*ret = scan_text(scan->at, stop);
	scan->at = stop + 1;
	return true;
}

bool scan_address(struct scan *scan, struct ingest_text *ret)
{
	char *stop = address_end(scan, " ");

	if (stop == NULL || stop == scan->at)
		return false;
	*ret = scan_text(scan->at, stop);
	scan->at = stop;
	return true;
}

bool scan_quoted(struct scan *scan, struct ingest_text *ret)
{
	char *at = scan->at, *to = scan->at, *stop = quote_end(scan->at - 1, scan->end);

	if (stop == NULL)
		return false;
	if (memchr(at, '\\', (size_t)(stop - at)) == NULL) {
		to = stop;
	} else {
		while (at < stop) {
			/* Only quotes and backslashes are escaped; "\n" stays what it is. */
			if (*at == '\\' && (at[1] == '"' || at[1] == '\\'))
				at++;
			*to++ = *at++;
		}
	}
	*ret = scan_text(scan->at, to);
	scan->at = stop + 1;
	return true;
}

bool scan_bracket(struct scan *scan, struct ingest_text *ret)
{
	struct scan inner = *scan;

	if (!SCAN_SKIP(&inner, "[") || !scan_until(&inner, ']', ret))
		return false;
	*scan = inner;
	return true;
}

/* ---- fields ---------------------------------------------------------------------------------- */

bool scan_text_is(const struct ingest_text *text, const char *literal)
{
	return text->at != NULL && strlen(literal) == text->length &&
	       memcmp(text->at, literal, text->length) == 0;
}

static void lower(char *at, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (at[i] >= 'A' && at[i] <= 'Z')
			at[i] = (char)(at[i] | 0x20);
}

struct ingest_text scan_text_host(struct ingest_text host)
{
	while (host.length > 0 && host.at[host.length - 1] == '.')
		host.length--;
	if (host.length == 0)
		return (struct ingest_text){0};
	lower((char *)host.at, host.length);
	return host;
}

struct ingest_text scan_text_domain(struct ingest_text address)
{
	const char *at = address.at != NULL ? memrchr(address.at, '@', address.length) : NULL;

	if (at == NULL)
		return (struct ingest_text){0};
	return scan_text_host(scan_text(at + 1, address.at + address.length));
}

bool scan_text_loopback(const struct ingest_text *address)
{
	return (address->length > 4 && memcmp(address->at, "127.", 4) == 0) ||
	       scan_text_is(address, "::1");
}

struct ingest_text scan_text_one_line(struct ingest_text text)
{
	struct scan scan = scan_of(text);
	char *to = scan.at, *at = to, *end = scan.end;

	if (text.at == NULL ||
	    (memchr(at, '\n', text.length) == NULL && memchr(at, '\r', text.length) == NULL))
		return text;
	while (at < end) {
		if (*at == '\r' && at + 1 < end && at[1] == '\n')
			at++;
		*to++ = *at == '\n' || *at == '\r' ? ' ' : *at;
		at++;
	}
	while (to > text.at && to[-1] == ' ')
		to--;
	return scan_text(text.at, to);
}

struct ingest_text scan_text_one_line_escaped(struct ingest_text text)
{
	struct scan scan = scan_of(text);
	char *to = scan.at, *at = to, *end = scan.end;

	if (text.at == NULL || memchr(at, '\\', text.length) == NULL)
		return text;
	while (at < end) {
		if (end - at >= 4 && memcmp(at, "\\r\\n", 4) == 0)
			at += 2;
		if (end - at >= 2 && *at == '\\' && (at[1] == 'n' || at[1] == 'r')) {
			*to++ = ' ';
			at += 2;
			continue;
		}
		*to++ = *at++;
	}
	while (to > text.at && to[-1] == ' ')
		to--;
	return scan_text(text.at, to);
}

unsigned scan_text_enhanced(const struct ingest_text *text)
{
	unsigned enhanced;
	size_t n = text->at == NULL ? 0 : reply_line_enhanced(text->at, text->length, &enhanced);

	return n > 0 && (n == text->length || strchr(" \t-:;,)", text->at[n]) != NULL) ? enhanced
										       : 0;
}

/* A reply in front of a text: sets code and enhanced of the event where they stand there, each
 * right behind the other ("451 4.7.650 …", "421-4.7.28 …"). True: there is a code. */
static bool text_reply(const struct ingest_text *text, unsigned *ret_code, unsigned *ret_enhanced)
{
	const char *at = text->at;
	struct ingest_text rest;

	if (at == NULL || text->length < 3 || at[0] < '2' || at[0] > '5' || !digit(at[1]) ||
	    !digit(at[2]) || (text->length > 3 && strchr(" -\t", at[3]) == NULL))
		return false;
	*ret_code = (unsigned)(at[0] - '0') * 100 + (unsigned)(at[1] - '0') * 10 +
		    (unsigned)(at[2] - '0');
	*ret_enhanced = 0;
	if (text->length > 4) {
		rest = scan_text(at + 4, at + text->length);
		*ret_enhanced = scan_text_enhanced(&rest);
	}
	return true;
}

bool scan_event_reply_is(struct ingest_event *event, struct ingest_text text)
{
	event->text = text;
	event->heard = text_reply(&text, &event->code, &event->enhanced);
	if (event->heard)
		event->heard_text = text;
	return event->heard;
}

void scan_event_words_are(struct ingest_event *event, struct ingest_text text, unsigned enhanced)
{
	event->text = text;
	event->enhanced = enhanced;
}
