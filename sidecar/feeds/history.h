/* SPDX-License-Identifier: MIT
 *
 * What was sent before, as a file tells it: a line for a day of a flow, as CSV or as JSON.
 *
 *   day,source,destination,delivered[,minute[,hour]]
 *   {"day": "2026-11-02", "source": "192.0.2.1", "destination": "google", "delivered": 9000,
 *    "minute": 25, "hour": 1100}
 *
 * minute and hour are the largest of that day, where they are known. A first line that begins with
 * "day," is a heading, one that begins with "#" a remark. Lines of one file may differ in kind.
 *
 * Pure. A line is untrusted: every field is checked, and what is wrong is said in words.
 */
#ifndef SIDECAR_FEEDS_HISTORY_H
#define SIDECAR_FEEDS_HISTORY_H

#include <stdio.h>

#include "shm/destination.h"
#include "sidecar/ingest/event.h"

#define HISTORY_HEADING "day,source,destination,delivered,minute,hour"
/* More in a day is no number of messages, but a mistake. */
#define HISTORY_COUNT_MAX UINT64_C(1000000000)

struct history_row {
	int64_t day; /* since 1970, by the calendar of who wrote it */
	uint8_t source[16];
	char destination[DESTINATION_NAME_MAX + 1]; /* any name that belongs to it */
	uint64_t delivered;
	uint64_t minute, hour; /* 0: not known */
};

enum history_line {
	HISTORY_ROW,
	HISTORY_REMARK, /* nothing: empty, a heading, a remark */
	HISTORY_BAD,	/* *ret_why says why */
};

/* The line is rewritten. ret_why: a constant sentence. */
enum history_line history_read(struct ingest_line *line, struct history_row *ret,
			       const char **ret_why);

/* A line of CSV, without its heading. */
void history_write(FILE *out, const struct history_row *row);

/* ---- rows of many days ----------------------------------------------------------------------- */

/* Rows as they came; zeroed, it is empty. */
struct history_rows {
	struct history_row *rows;
	size_t count, room;
};

int history_add(struct history_rows *rows, const struct history_row *row); /* -ENOMEM */
void history_free(struct history_rows *rows);

/* In the order of source, destination and day; of one day of a flow the messages are added up, and
 * the largest minute and hour stay. */
void history_fold(struct history_rows *rows);

#endif
