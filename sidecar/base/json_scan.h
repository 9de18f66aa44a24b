/* SPDX-License-Identifier: MIT
 *
 * Members picked out of JSON as it streams by: for logs, of which a core is to read half a million
 * lines a second (jansson, which json.h reads with, builds a tree of each: a tenth of that).
 *
 * Nothing is allocated. Values are slices of the text; a string's escapes are undone in place when
 * it is asked for. What is skipped is checked for its nesting and its strings' ends only, so this
 * tells a line that was cut off from a whole one, and is no judge of JSON.
 */
#ifndef SIDECAR_BASE_JSON_SCAN_H
#define SIDECAR_BASE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sidecar/base/json.h"

struct json_slice {
	enum json_kind kind; /* JSON_KIND_NONE: not there */
	char *at;	     /* of a string what stands between its quotes; else the value's text */
	size_t length;
};

struct json_scan {
	char *at, *end;
	bool broken; /* what was read is no JSON */
};

/* Takes `open` ("{" or "["). False, and nothing is taken: something else stands there. */
bool json_scan_enter(struct json_scan *scan, char open);

/* The same, but what else stands there is taken, too. */
bool json_scan_enter_or_skip(struct json_scan *scan, char open);

/* In an object: the next member's key, as it is written (escapes are kept); the value is next.
 * False: the object has ended and its "}" is taken, or scan->broken. */
bool json_scan_key(struct json_scan *scan, struct json_slice *ret_key);

/* In an array: whether another element is next. False: the array has ended and its "]" is taken, or
 * scan->broken. */
bool json_scan_next(struct json_scan *scan);

/* Takes the value that is next, whatever it is. scan->broken: there is none. */
struct json_slice json_scan_value(struct json_scan *scan);

/* Whether all has been read. */
bool json_scan_done(struct json_scan *scan);

/* Inline: of a literal the length is known, and most are told apart by that. */
static inline bool json_slice_is(const struct json_slice *slice, const char *text, size_t length)
{
	return slice->length == length && memcmp(slice->at, text, length) == 0;
}
#define JSON_SLICE_IS(slice, literal) json_slice_is(slice, literal, sizeof(literal) - 1)

/* A string with its escapes undone, in place: once for each slice. Half a surrogate pair and NUL
 * become U+FFFD, an escape that is none stays. */
void json_slice_unescape(struct json_slice *slice);

/* A number from 0 on, up to a fraction. False: it is none. */
bool json_slice_u64(const struct json_slice *slice, uint64_t *ret);

#endif
