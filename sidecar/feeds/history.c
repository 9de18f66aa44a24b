/* SPDX-License-Identifier: MIT */
#include "sidecar/feeds/history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shm/source.h"
#include "sidecar/base/json.h"
#include "sidecar/ingest/csv.h"

#define FIELDS	   6
#define NEEDED	   4
#define DAY_S	   86400
#define NUMBER_MAX 19 /* digits */

/* ---- fields ---------------------------------------------------------------------------------- */

static bool digits(const char *text, size_t length, unsigned *ret)
{
	*ret = 0;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		*ret = *ret * 10 + (unsigned)(text[i] - '0');
	}
	return true;
}

/* "2026-11-02". A day that no month has is none. */
static bool day_read(const struct ingest_text *text, int64_t *ret)
{
	struct tm tm = {.tm_hour = 0}, again;
	unsigned year, month, day;
	time_t time;

	if (text->length != 10 || text->at[4] != '-' || text->at[7] != '-' ||
	    !digits(text->at, 4, &year) || !digits(text->at + 5, 2, &month) ||
	    !digits(text->at + 8, 2, &day) || year < 1970)
		return false;
	tm.tm_year = (int)year - 1900;
	tm.tm_mon = (int)month - 1;
	tm.tm_mday = (int)day;
	time = timegm(&tm);
	gmtime_r(&time, &again);
	*ret = time / DAY_S;
	return again.tm_mon == (int)month - 1 && again.tm_mday == (int)day;
}

static bool count_read(const struct ingest_text *text, uint64_t *ret)
{
	uint64_t count = 0;

	if (text->length == 0 || text->length > NUMBER_MAX)
		return false;
	for (size_t i = 0; i < text->length; i++) {
		if (text->at[i] < '0' || text->at[i] > '9')
			return false;
		count = count * 10 + (uint64_t)(text->at[i] - '0');
	}
	*ret = count;
	return count <= HISTORY_COUNT_MAX;
}

static bool source_field(const struct ingest_text *text, uint8_t ret[16])
{
	char copy[64];

	if (text->length == 0 || text->length >= sizeof(copy) ||
	    memchr(text->at, '\0', text->length))
		return false;
	memcpy(copy, text->at, text->length);
	copy[text->length] = '\0';
	return source_read(copy, ret) == 0;
}

static bool destination_field(const struct ingest_text *text, char ret[DESTINATION_NAME_MAX + 1])
{
	if (text->length == 0 || text->length > DESTINATION_NAME_MAX ||
	    memchr(text->at, '\0', text->length))
		return false;
	memcpy(ret, text->at, text->length);
	ret[text->length] = '\0';
	return true;
}

/* NULL, or what is wrong. A largest minute or hour may be left empty, and is part of the day. */
static const char *row_fill(const struct ingest_text fields[FIELDS], struct history_row *ret)
{
	*ret = (struct history_row){.day = 0};
	if (!day_read(&fields[0], &ret->day))
		return "the day is not written as 2026-11-02";
	if (!source_field(&fields[1], ret->source))
		return "the source is neither an address nor a name of one";
	if (!destination_field(&fields[2], ret->destination))
		return "there is no destination";
	if (!count_read(&fields[3], &ret->delivered))
		return "the messages are not a number up to 1,000,000,000";
	if (fields[4].length && !count_read(&fields[4], &ret->minute))
		return "the largest minute is not a number";
	if (fields[5].length && !count_read(&fields[5], &ret->hour))
		return "the largest hour is not a number";
	if (ret->minute > ret->delivered || ret->hour > ret->delivered ||
	    (fields[4].length && fields[5].length && ret->minute > ret->hour))
		return "a minute has more than its hour, or an hour more than its day";
	return NULL;
}

/* ---- a line ---------------------------------------------------------------------------------- */

static const char *csv_row(struct scan scan, struct history_row *ret)
{
	struct ingest_text fields[FIELDS] = {{.at = NULL}};
	bool last = false;
	int count = 0;

	while (!last) {
		struct ingest_text field;
		struct scan inner;

		if (!csv_field(&scan, &field, &last))
			return "a quote does not end";
		if (count == FIELDS)
			return "there are more than six fields";
		inner = scan_of(field);
		scan_blanks(&inner);
		while (inner.end > inner.at && inner.end[-1] == ' ')
			inner.end--;
		fields[count++] = scan_rest(&inner);
	}
	return count < NEEDED ? "there are fewer than four fields" : row_fill(fields, ret);
}

/* A member as text; a number in digits. */
static struct ingest_text member_text(const struct json *json, const char *key, char digits_of[24])
{
	const struct json *value = json_get(json, key);
	const char *text = json_text(value, NULL);

	if (text == NULL && json_kind(value) == JSON_KIND_NUMBER) {
		uint64_t number = json_u64(value, UINT64_MAX);

		snprintf(digits_of, 24, "%" PRIu64, number);
		text = digits_of;
	}
	return (struct ingest_text){text ? text : "", text ? strlen(text) : 0};
}

static const char *json_row(struct scan scan, struct history_row *ret)
{
	static const char *const keys[FIELDS] = {"day",	      "source", "destination",
						 "delivered", "minute", "hour"};
	struct ingest_text fields[FIELDS];
	char numbers[FIELDS][24], reason[JSON_REASON];
	struct json *json;
	const char *why;

	if (json_read(scan.at, scan_left(&scan), &json, reason) != 0)
		return "it is no JSON";
	for (int i = 0; i < FIELDS; i++)
		fields[i] = member_text(json, keys[i], numbers[i]);
	why = row_fill(fields, ret);
	json_release(json);
	return why;
}

enum history_line history_read(struct ingest_line *line, struct history_row *ret,
			       const char **ret_why)
{
	struct scan scan = scan_line(line);

	scan_blanks(&scan);
	if (scan_left(&scan) == 0 || *scan.at == '#' || SCAN_STARTS(&scan, "day,"))
		return HISTORY_REMARK;
	*ret_why = *scan.at == '{' ? json_row(scan, ret) : csv_row(scan, ret);
	return *ret_why ? HISTORY_BAD : HISTORY_ROW;
}

void history_write(FILE *out, const struct history_row *row)
{
	time_t time = (time_t)row->day * DAY_S;
	char source[64], day[16];
	struct tm tm;

	gmtime_r(&time, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	fprintf(out, "%s,%s,%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n", day,
		destination_address_text(row->source, source, sizeof(source)), row->destination,
		row->delivered, row->minute, row->hour);
}

/* ---- rows ------------------------------------------------------------------------------------ */

int history_add(struct history_rows *rows, const struct history_row *row)
{
	if (rows->count == rows->room) {
		size_t room = rows->room ? 2 * rows->room : 256;
		struct history_row *more = reallocarray(rows->rows, room, sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		rows->rows = more;
		rows->room = room;
	}
	rows->rows[rows->count++] = *row;
	return 0;
}

void history_free(struct history_rows *rows)
{
	free(rows->rows);
	*rows = (struct history_rows){.rows = NULL};
}

static int by_flow(const void *a, const void *b)
{
	const struct history_row *x = a, *y = b;
	int order = memcmp(x->source, y->source, sizeof(x->source));

	return order ? order : strcmp(x->destination, y->destination);
}

static int by_flow_and_day(const void *a, const void *b)
{
	const struct history_row *x = a, *y = b;
	int order = by_flow(a, b);

	return order ? order : (x->day > y->day) - (x->day < y->day);
}

void history_fold(struct history_rows *rows)
{
	size_t kept = 0;

	if (rows->count == 0)
		return;
	qsort(rows->rows, rows->count, sizeof(*rows->rows), by_flow_and_day);
	for (size_t i = 1; i < rows->count; i++) {
		struct history_row *last = &rows->rows[kept], *row = &rows->rows[i];

		if (by_flow_and_day(last, row) != 0) {
			rows->rows[++kept] = *row;
			continue;
		}
		last->delivered += row->delivered;
		last->minute = row->minute > last->minute ? row->minute : last->minute;
		last->hour = row->hour > last->hour ? row->hour : last->hour;
	}
	rows->count = kept + 1;
}
