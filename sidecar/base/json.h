/* SPDX-License-Identifier: MIT
 *
 * JSON: written into a buffer, and read from one text.
 *
 * Writing never fails in the middle: out of memory, the writer remembers it and json_failed says so
 * at the end. Strings may hold any bytes: a NUL and what is not UTF-8 are written as U+FFFD, and
 * what a terminal would obey (terminal.h) as a number, so what a receiver wrote into a reply can
 * break neither a line nor a screen. Reading is jansson's, which json_read.c alone includes.
 *
 * Nothing here keeps state between calls; any thread may call, on objects of its own.
 */
#ifndef SIDECAR_BASE_JSON_H
#define SIDECAR_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- writing --------------------------------------------------------------------------------- */

#define JSON_DEPTH_MAX 32

struct json_writer {
	char *text; /* not terminated; NULL while empty */
	size_t length;
	size_t room;
	uint32_t depth;
	uint32_t filled; /* a bit a depth: something stands before */
	uint32_t arrays; /* a bit a depth: an array, closed by "]" */
	bool failed;
};

/* A zeroed writer is empty. Frees the text; the writer is empty again. */
void json_writer_free(struct json_writer *writer);

/* Empties it and keeps the memory. */
void json_writer_clear(struct json_writer *writer);

/* True: something did not fit into memory, or was nested deeper than JSON_DEPTH_MAX. */
bool json_failed(const struct json_writer *writer);

/* key NULL: an element of an array, or the outermost value. */
void json_put_object(struct json_writer *writer, const char *key);
void json_put_array(struct json_writer *writer, const char *key);
void json_put_end(struct json_writer *writer); /* of the innermost object or array */
void json_put_text(struct json_writer *writer, const char *key, const char *text); /* NULL: null */
void json_put_bytes(struct json_writer *writer, const char *key, const char *text, size_t length);
void json_put_format(struct json_writer *writer, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void json_put_u64(struct json_writer *writer, const char *key, uint64_t number);
void json_put_i64(struct json_writer *writer, const char *key, int64_t number);
/* At most `digits` digits behind the point, without zeros at the end; what is not finite is null.
 */
void json_put_number(struct json_writer *writer, const char *key, double number, int digits);
void json_put_bool(struct json_writer *writer, const char *key, bool is);
void json_put_null(struct json_writer *writer, const char *key);
void json_put_newline(struct json_writer *writer); /* after an outermost value */
/* Whole lines that another writer made, as they stand. */
void json_put_lines(struct json_writer *writer, const char *lines, size_t length);

/* The first character of a text of `left` bytes, as it stands in a string: its length; *ret_taken:
 * how many of the bytes it was. For who has no memory for a writer. */
size_t json_escape(const char *text, size_t left, char to[8], size_t *ret_taken);

/* ---- reading --------------------------------------------------------------------------------- */

#define JSON_REASON 192

struct json; /* a value */

/* Reads one value that takes all of the text. -EINVAL: `reason` (JSON_REASON bytes) says where and
 * why; -ENOMEM. Two equal keys in an object, a NUL in a string and what is not UTF-8 are errors.
 * The caller frees *ret with json_release. */
int json_read(const char *text, size_t length, struct json **ret, char *reason);
void json_release(struct json *json); /* NULL is fine */

/* A member of an object, owned by it; NULL: not there, or not an object. */
const struct json *json_get(const struct json *object, const char *key);

/* An element of an array, owned by it; NULL: no such. json_count is 0 for what is neither array nor
 * object. */
const struct json *json_at(const struct json *array, size_t index);
size_t json_count(const struct json *json);

enum json_kind {
	JSON_KIND_NONE, /* of NULL */
	JSON_KIND_OBJECT,
	JSON_KIND_ARRAY,
	JSON_KIND_TEXT,
	JSON_KIND_NUMBER,
	JSON_KIND_BOOL,
	JSON_KIND_NULL,
};
enum json_kind json_kind(const struct json *json);

/* The value as a string, or fallback where it is none. The string is owned by the value. */
const char *json_text(const struct json *json, const char *fallback);
/* A whole number from 0 on, a number, true or false; or fallback where it is something else. */
uint64_t json_u64(const struct json *json, uint64_t fallback);
double json_double(const struct json *json, double fallback);

/* The same of a member. */
const char *json_get_text(const struct json *object, const char *key, const char *fallback);
uint64_t json_get_u64(const struct json *object, const char *key, uint64_t fallback);
double json_get_double(const struct json *object, const char *key, double fallback);
bool json_get_bool(const struct json *object, const char *key, bool fallback);

/* Calls each member in the order of the text, until it returns other than 0, which is returned. */
typedef int json_member(void *arg, const char *key, const struct json *value);
int json_each(const struct json *object, json_member *each, void *arg);

#endif
