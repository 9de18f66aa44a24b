/* SPDX-License-Identifier: MIT */
#include "sidecar/ingest/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/ingest/csv.h"

#define FIRST_ROOM (64u << 10)
#define READ_MIN   4096u

void lines_free(struct lines *lines)
{
	if (lines == NULL)
		return;
	free(lines->bytes);
	*lines = (struct lines){.csv = lines->csv};
}

void lines_restart(struct lines *lines, uint64_t position)
{
	lines->start = lines->end = 0;
	lines->skipping = false;
	lines->position = position;
}

char *lines_room(struct lines *lines, size_t *ret_room)
{
	size_t left = lines->end - lines->start;

	if (lines->start > 0 && lines->room - lines->end < FIRST_ROOM / 2) {
		memmove(lines->bytes, lines->bytes + lines->start, left);
		lines->start = 0, lines->end = left;
	}
	if (lines->room - lines->end < READ_MIN) {
		size_t room = lines->room ? lines->room * 2 : FIRST_ROOM;
		char *grown = realloc(lines->bytes, room);

		if (grown == NULL)
			return NULL;
		lines->bytes = grown, lines->room = room;
	}
	*ret_room = lines->room - lines->end;
	return lines->bytes + lines->end;
}

void lines_filled(struct lines *lines, size_t length)
{
	lines->end += length;
}

int lines_read(struct lines *lines, int fd, bool *ret_end)
{
	size_t room;
	char *into = lines_room(lines, &room);
	ssize_t n;

	if (into == NULL)
		return -ENOMEM;
	do
		n = read(fd, into, room);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	lines_filled(lines, (size_t)n);
	*ret_end = n == 0;
	return 0;
}

static size_t line_length(const char *bytes, size_t length)
{
	const char *stop = memchr(bytes, '\n', length);

	return stop != NULL ? (size_t)(stop + 1 - bytes) : 0;
}

static uint64_t feeds(const char *bytes, size_t length)
{
	uint64_t count = 0;

	for (const char *at = bytes, *end = bytes + length;
	     (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
		count++;
	return count;
}

/* Takes `length` bytes, of which nothing is told. */
static void drop(struct lines *lines, size_t length)
{
	lines->start += length;
	lines->position += length;
}

/* A record that has no end: its first line, if that is there. */
static size_t record_length(const struct lines *lines, bool last)
{
	const char *bytes = lines->bytes + lines->start;
	size_t left = lines->end - lines->start;
	size_t length = lines->csv ? csv_record(bytes, left) : line_length(bytes, left);

	if (length == 0 && lines->csv && (last || left > LINES_MAX / 16))
		length = line_length(bytes, left);
	return length == 0 && last ? left : length;
}

bool lines_next(struct lines *lines, bool last, struct ingest_line *ret)
{
	size_t left, length;

	while ((left = lines->end - lines->start) > 0) {
		char *bytes = lines->bytes + lines->start;

		if (lines->skipping) {
			length = line_length(bytes, left);
			lines->skipping = length == 0;
			drop(lines, length ? length : left);
			continue;
		}
		length = record_length(lines, last);
		if (length == 0 && left <= LINES_MAX)
			return false;
		lines->number = lines->next + 1;
		if (length == 0 || length > LINES_MAX) {
			lines->too_long++;
			lines->next++;
			lines->skipping = length == 0;
			drop(lines, length ? length : left);
			continue;
		}
		drop(lines, length);
		lines->next += lines->csv ? feeds(bytes, length - 1) + 1 : 1;
		*ret = (struct ingest_line){bytes, length - (bytes[length - 1] == '\n'), 0, 0};
		return true;
	}
	return false;
}
