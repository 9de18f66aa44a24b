/* SPDX-License-Identifier: MIT
 *
 * Writing JSON: a buffer that grows, and commas where they belong.
 */
#include "sidecar/base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/utf8.h"

#define FIRST_ROOM 512

void json_writer_free(struct json_writer *writer)
{
	free(writer->text);
	*writer = (struct json_writer){0};
}

void json_writer_clear(struct json_writer *writer)
{
	char *text = writer->text;
	size_t room = writer->room;

	*writer = (struct json_writer){.text = text, .room = room};
}

bool json_failed(const struct json_writer *writer)
{
	return writer->failed;
}

static bool reserve(struct json_writer *writer, size_t length)
{
	size_t room = writer->room ? writer->room : FIRST_ROOM;
	char *text = NULL;

	if (writer->failed)
		return false;
	if (length <= writer->room - writer->length)
		return true;
	while (room - writer->length < length && room <= SIZE_MAX / 4)
		room *= 2;
	if (room - writer->length >= length)
		text = realloc(writer->text, room);
	if (text == NULL) {
		writer->failed = true;
		return false;
	}
	writer->text = text;
	writer->room = room;
	return true;
}

static void append(struct json_writer *writer, const char *text, size_t length)
{
	if (!reserve(writer, length))
		return;
	memcpy(writer->text + writer->length, text, length);
	writer->length += length;
}

static size_t escape(char to[8], uint32_t c)
{
	static const char letters[] = "btn\0fr"; /* of 0x08 to 0x0d */

	if (c == '"' || c == '\\' || (c >= 0x08 && c <= 0x0d && letters[c - 0x08])) {
		to[0] = '\\';
		to[1] = c == '"' || c == '\\' ? (char)c : letters[c - 0x08];
		return 2;
	}
	return (size_t)snprintf(to, 8, "\\u%04x", c);
}

size_t json_escape(const char *text, size_t left, char to[8], size_t *ret_taken)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t one = utf8_length(at, left);
	uint32_t c = one ? utf8_code_point(at, one) : 0;

	*ret_taken = one ? one : 1;
	/* Readers that keep strings in C could not hold a NUL. */
	if (c == 0) {
		memcpy(to, "\xef\xbf\xbd", 3);
		return 3;
	}
	if (c == '"' || c == '\\' || utf8_unsafe(c))
		return escape(to, c);
	memcpy(to, at, one);
	return one;
}

static void append_string(struct json_writer *writer, const char *text, size_t length)
{
	append(writer, "\"", 1);
	while (length > 0) {
		char escaped[8];
		size_t taken, written = json_escape(text, length, escaped, &taken);

		append(writer, escaped, written);
		text += taken;
		length -= taken;
	}
	append(writer, "\"", 1);
}

/* What stands before a value: the comma after its elder, and its key. */
static void begin(struct json_writer *writer, const char *key)
{
	uint32_t bit = UINT32_C(1) << (writer->depth & 31);

	if (writer->depth > 0 && (writer->filled & bit))
		append(writer, ", ", 2);
	writer->filled |= bit;
	if (key == NULL)
		return;
	append_string(writer, key, strlen(key));
	append(writer, ": ", 2);
}

static void descend(struct json_writer *writer, const char *key, const char *bracket, bool array)
{
	uint32_t bit;

	if (writer->depth + 1 >= JSON_DEPTH_MAX) {
		writer->failed = true;
		return;
	}
	begin(writer, key);
	append(writer, bracket, 1);
	bit = UINT32_C(1) << ++writer->depth;
	writer->filled &= ~bit;
	writer->arrays = array ? writer->arrays | bit : writer->arrays & ~bit;
}

void json_put_object(struct json_writer *writer, const char *key)
{
	descend(writer, key, "{", false);
}

void json_put_array(struct json_writer *writer, const char *key)
{
	descend(writer, key, "[", true);
}

void json_put_end(struct json_writer *writer)
{
	if (writer->depth == 0) {
		writer->failed = true;
		return;
	}
	append(writer, writer->arrays & UINT32_C(1) << writer->depth ? "]" : "}", 1);
	writer->depth--;
}

void json_put_bytes(struct json_writer *writer, const char *key, const char *text, size_t length)
{
	begin(writer, key);
	append_string(writer, text, length);
}

void json_put_text(struct json_writer *writer, const char *key, const char *text)
{
	if (text == NULL)
		json_put_null(writer, key);
	else
		json_put_bytes(writer, key, text, strlen(text));
}

void json_put_format(struct json_writer *writer, const char *key, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_put_text(writer, key, text);
}

static void put_literal(struct json_writer *writer, const char *key, const char *text)
{
	begin(writer, key);
	append(writer, text, strlen(text));
}

void json_put_u64(struct json_writer *writer, const char *key, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	put_literal(writer, key, text);
}

void json_put_i64(struct json_writer *writer, const char *key, int64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, number);
	put_literal(writer, key, text);
}

void json_put_number(struct json_writer *writer, const char *key, double number, int digits)
{
	char text[352]; /* DBL_MAX has 309 digits */
	size_t length;

	if (!isfinite(number)) {
		json_put_null(writer, key);
		return;
	}
	length = (size_t)snprintf(text, sizeof(text), "%.*f",
				  digits < 0	? 0
				  : digits > 20 ? 20
						: digits,
				  number);
	if (strchr(text, '.')) {
		while (text[length - 1] == '0')
			length--;
		length -= text[length - 1] == '.';
		text[length] = '\0';
	}
	put_literal(writer, key, strcmp(text, "-0") == 0 ? "0" : text);
}

void json_put_bool(struct json_writer *writer, const char *key, bool is)
{
	put_literal(writer, key, is ? "true" : "false");
}

void json_put_null(struct json_writer *writer, const char *key)
{
	put_literal(writer, key, "null");
}

void json_put_lines(struct json_writer *writer, const char *lines, size_t length)
{
	append(writer, lines, length);
}

void json_put_newline(struct json_writer *writer)
{
	append(writer, "\n", 1);
	writer->filled = 0;
}
