/* SPDX-License-Identifier: MIT */
#include "sidecar/base/json_scan.h"

#include <string.h>

#define DEPTH_MAX 64 /* a bit a level */

static void blanks(struct json_scan *scan)
{
	while (scan->at < scan->end &&
	       (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\n' || *scan->at == '\r'))
		scan->at++;
}

static inline char next(struct json_scan *scan)
{
	if (scan->at<scan->end && * scan->at> ' ')
		return *scan->at;
	blanks(scan);
	return scan->at < scan->end ? *scan->at : '\0';
}

bool json_scan_enter(struct json_scan *scan, char open)
{
	if (next(scan) != open)
		return false;
	scan->at++;
	return true;
}

bool json_scan_enter_or_skip(struct json_scan *scan, char open)
{
	if (json_scan_enter(scan, open))
		return true;
	json_scan_value(scan);
	return false;
}

/* The first quote. Strings of a log are short: eight bytes at a time are found sooner than a call is
 * made, of long ones memchr finds the rest. */
static inline char *quote_find(char *at, char *end)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;

	for (int i = 0; i < 4 && end - at >= 8; i++, at += 8) {
		uint64_t word, zero;

		memcpy(&word, at, 8);
		word ^= ones * '"';
		/* The lowest byte that is marked is a quote; those above may be marked wrongly. */
		zero = (word - ones) & ~word & highs;
		if (zero && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
			return at + (__builtin_ctzll(zero) >> 3);
		if (zero)
			break;
	}
	return at < end ? memchr(at, '"', (size_t)(end - at)) : NULL;
}

/* The quote that ends a string: the first with an even number of backslashes in front. */
static char *string_end(char *from, char *end)
{
	for (char *at = from;; at++) {
		char *back;

		at = quote_find(at, end);
		if (at == NULL)
			return NULL;
		for (back = at; back > from && back[-1] == '\\';)
			back--;
		if ((at - back) % 2 == 0)
			return at;
	}
}

static bool string_take(struct json_scan *scan, struct json_slice *ret)
{
	char *from = scan->at + 1;
	char *stop = from <= scan->end ? string_end(from, scan->end) : NULL;

	if (stop == NULL) {
		scan->broken = true;
		return false;
	}
	*ret = (struct json_slice){JSON_KIND_TEXT, from, (size_t)(stop - from)};
	scan->at = stop + 1;
	return true;
}

/* The end, or another element: behind a comma, unless it is the first. */
static bool more(struct json_scan *scan, char open, char close)
{
	bool first = scan->at[-1] == open;
	char c = next(scan);

	if (c == close) {
		scan->at++;
		return false;
	}
	if (!first && c != ',')
		scan->broken = true;
	scan->at += !first && c == ',';
	return !scan->broken;
}

bool json_scan_key(struct json_scan *scan, struct json_slice *ret_key)
{
	if (scan->broken || !more(scan, '{', '}'))
		return false;
	if (next(scan) != '"' || !string_take(scan, ret_key) || next(scan) != ':') {
		scan->broken = true;
		return false;
	}
	scan->at++;
	return true;
}

bool json_scan_next(struct json_scan *scan)
{
	if (scan->broken || !more(scan, '[', ']'))
		return false;
	if (next(scan) == '\0')
		scan->broken = true;
	return !scan->broken;
}

/* An object or array, to its end; brackets must match. */
static bool nest_skip(struct json_scan *scan)
{
	uint64_t arrays = 0;
	unsigned depth = 0;
	struct json_slice string;

	while (scan->at < scan->end) {
		char c = *scan->at;

		if (c == '"') {
			if (!string_take(scan, &string))
				return false;
			continue;
		}
		scan->at++;
		if (c == '{' || c == '[') {
			if (depth == DEPTH_MAX)
				break;
			arrays = arrays << 1 | (c == '[');
			depth++;
		} else if (c == '}' || c == ']') {
			if ((arrays & 1) != (c == ']'))
				break;
			arrays >>= 1;
			if (--depth == 0)
				return true;
		}
	}
	scan->broken = true;
	return false;
}

static inline bool word_ends(char c)
{
	return c == ',' || c == ']' || c == '}' || c == ' ' || c == '\t' || c == '\r' ||
	       c == '\n' || c == '\0';
}

static enum json_kind word_kind(const char *at, size_t length)
{
	if (length == 4 && memcmp(at, "null", 4) == 0)
		return JSON_KIND_NULL;
	if ((length == 4 && memcmp(at, "true", 4) == 0) ||
	    (length == 5 && memcmp(at, "false", 5) == 0))
		return JSON_KIND_BOOL;
	if (length > 0 && ((*at >= '0' && *at <= '9') || *at == '-'))
		return JSON_KIND_NUMBER;
	return JSON_KIND_NONE;
}

struct json_slice json_scan_value(struct json_scan *scan)
{
	struct json_slice value = {JSON_KIND_NONE, NULL, 0};
	char c = next(scan);

	value.at = scan->at;
	if (c == '"') {
		string_take(scan, &value);
		return value;
	}
	if (c == '{' || c == '[') {
		if (nest_skip(scan))
			value.kind = c == '{' ? JSON_KIND_OBJECT : JSON_KIND_ARRAY;
	} else {
		while (scan->at < scan->end && !word_ends(*scan->at))
			scan->at++;
		value.kind = word_kind(value.at, (size_t)(scan->at - value.at));
	}
	value.length = (size_t)(scan->at - value.at);
	scan->broken = scan->broken || value.kind == JSON_KIND_NONE;
	return value;
}

bool json_scan_done(struct json_scan *scan)
{
	blanks(scan);
	return !scan->broken && scan->at == scan->end;
}

/* ---- strings --------------------------------------------------------------------------------- */

static bool hex4(const char *at, const char *end, uint32_t *ret)
{
	uint32_t value = 0;

	if (end - at < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		char c = at[i];
		uint32_t digit = c >= '0' && c <= '9' ? (uint32_t)(c - '0')
				 : (c | 0x20) >= 'a' && (c | 0x20) <= 'f'
					 ? (uint32_t)((c | 0x20) - 'a' + 10)
					 : 16;

		if (digit == 16)
			return false;
		value = value << 4 | digit;
	}
	*ret = value;
	return true;
}

static char *utf8_put(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xC0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3F));
	} else if (c < 0x10000) {
		*to++ = (char)(0xE0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3F));
		*to++ = (char)(0x80 | (c & 0x3F));
	} else {
		*to++ = (char)(0xF0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3F));
		*to++ = (char)(0x80 | (c >> 6 & 0x3F));
		*to++ = (char)(0x80 | (c & 0x3F));
	}
	return to;
}

/* Behind "\u". Returns what follows; what is written is never longer than what was read. */
static const char *unicode_undo(const char *at, const char *end, char **to)
{
	uint32_t c, low;

	if (!hex4(at, end, &c)) {
		*(*to)++ = '\\';
		*(*to)++ = 'u';
		return at;
	}
	at += 4;
	if (c >= 0xD800 && c < 0xDC00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u' &&
	    hex4(at + 2, end, &low) && low >= 0xDC00 && low < 0xE000) {
		c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
		at += 6;
	} else if (c == 0 || (c >= 0xD800 && c < 0xE000)) {
		c = 0xFFFD;
	}
	*to = utf8_put(*to, c);
	return at;
}

void json_slice_unescape(struct json_slice *slice)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	const char *at = slice->length ? memchr(slice->at, '\\', slice->length) : NULL;
	const char *end = slice->at + slice->length;
	char *to = (char *)at;

	if (at == NULL || slice->kind != JSON_KIND_TEXT)
		return;
	while (at < end) {
		const char *known;

		if (*at != '\\' || at + 1 == end) {
			*to++ = *at++;
			continue;
		}
		at += 2;
		known = at[-1] != '\0' ? strchr(from, at[-1]) : NULL;
		if (at[-1] == 'u') {
			at = unicode_undo(at, end, &to);
		} else if (known != NULL) {
			*to++ = into[known - from];
		} else {
			*to++ = '\\';
			*to++ = at[-1];
		}
	}
	slice->length = (size_t)(to - slice->at);
}

bool json_slice_u64(const struct json_slice *slice, uint64_t *ret)
{
	uint64_t value = 0;
	size_t n = 0;

	if (slice->kind != JSON_KIND_NUMBER && slice->kind != JSON_KIND_TEXT)
		return false;
	while (n < slice->length && n < 19 && slice->at[n] >= '0' && slice->at[n] <= '9')
		value = value * 10 + (uint64_t)(slice->at[n++] - '0');
	if (n == 0 || (n < slice->length && slice->at[n] != '.'))
		return false;
	*ret = value;
	return true;
}
