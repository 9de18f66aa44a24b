/* SPDX-License-Identifier: MIT */
#include "sidecar/feeds/snds.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#include "shm/address.h"
#include "sidecar/ingest/csv.h"

#define FIELDS	      14
#define FIELDS_FEWER  11 /* without those of traps */
#define FIELDS_STATUS 4
#define TEXT_MAX      64

static const char *const names[SNDS_STATUSES] = {"", "green", "yellow", "red"};

const char *snds_status_name(enum snds_status status)
{
	return (unsigned)status < SNDS_STATUSES ? names[status] : "";
}

enum snds_status snds_status_named(const char *name)
{
	for (int i = SNDS_GREEN; i < SNDS_STATUSES; i++)
		if (strcasecmp(name, names[i]) == 0)
			return (enum snds_status)i;
	return SNDS_NOTHING;
}

/* ---- fields ---------------------------------------------------------------------------------- */

static bool text_copy(const struct ingest_text *text, char ret[TEXT_MAX])
{
	if (text->length >= TEXT_MAX || memchr(text->at, '\0', text->length))
		return false;
	memcpy(ret, text->at, text->length);
	ret[text->length] = '\0';
	return true;
}

static bool address_field(const struct ingest_text *text, uint8_t ret[16])
{
	char copy[TEXT_MAX];

	return text_copy(text, copy) && address_from_text(copy, ret) == 0;
}

static bool moment_of(struct tm *tm, int64_t *ret)
{
	struct tm again, given = *tm;
	time_t time = timegm(tm);

	gmtime_r(&time, &again);
	*ret = time;
	return time > 0 && again.tm_mon == given.tm_mon && again.tm_mday == given.tm_mday &&
	       again.tm_hour == given.tm_hour && again.tm_min == given.tm_min;
}

/* "11/2/2026 12:00 AM", "11/2/2026", "2026-11-02 00:00", "2026-11-02T00:00:00Z". */
static bool time_field(const struct ingest_text *text, int64_t *ret)
{
	static const char *const formats[] = {"%m/%d/%Y %I:%M %p",  "%m/%d/%Y %I:%M:%S %p",
					      "%m/%d/%Y %H:%M",	    "%m/%d/%Y %H:%M:%S",
					      "%m/%d/%Y",	    "%Y-%m-%d %H:%M",
					      "%Y-%m-%d %H:%M:%S",  "%Y-%m-%dT%H:%M:%S",
					      "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"};
	char copy[TEXT_MAX];

	if (!text_copy(text, copy))
		return false;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		struct tm tm = {.tm_hour = 0};
		const char *end = strptime(copy, formats[i], &tm);

		if (end && *end == '\0')
			return moment_of(&tm, ret);
	}
	return false;
}

/* Empty is not zero, and neither is wrong. */
static bool count_field(const struct ingest_text *text)
{
	for (size_t i = 0; i < text->length; i++)
		if (text->at[i] < '0' || text->at[i] > '9')
			return false;
	return true;
}

static bool result_field(const struct ingest_text *text, enum snds_status *ret)
{
	char copy[TEXT_MAX];

	*ret = SNDS_NOTHING;
	if (text->length == 0)
		return true;
	*ret = text_copy(text, copy) ? snds_status_named(copy) : SNDS_NOTHING;
	return *ret != SNDS_NOTHING;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static const char *data_row(const struct ingest_text fields[FIELDS], struct snds_row *ret)
{
	int64_t start_s;

	if (!address_field(&fields[0], ret->first))
		return "the address is none";
	memcpy(ret->last, ret->first, sizeof(ret->last));
	if (!time_field(&fields[1], &start_s) || !time_field(&fields[2], &ret->at_s))
		return "start or end of the activity is no time";
	if (start_s > ret->at_s)
		return "the activity ends before it starts";
	if (!count_field(&fields[3]) || !count_field(&fields[4]) || !count_field(&fields[5]))
		return "commands or recipients are no number";
	if (!result_field(&fields[6], &ret->status))
		return "the filter result is neither GREEN nor YELLOW nor RED";
	return NULL;
}

static bool text_begins(const struct ingest_text *text, const char *literal)
{
	return text->length >= strlen(literal) &&
	       strncasecmp(text->at, literal, strlen(literal)) == 0;
}

/* What is blocked is as bad as can be; what goes to the junk folder is halfway there. */
static const char *status_row(const struct ingest_text fields[FIELDS], struct snds_row *ret)
{
	if (!address_field(&fields[0], ret->first) || !address_field(&fields[1], ret->last))
		return "the first or the last address is none";
	if (memcmp(ret->first, ret->last, sizeof(ret->first)) > 0)
		return "the last address stands before the first";
	if (text_begins(&fields[2], "yes"))
		ret->status = SNDS_RED;
	else if (!text_begins(&fields[2], "no"))
		return "whether it is blocked is neither Yes nor No";
	else if (text_begins(&fields[3], "junk"))
		ret->status = SNDS_YELLOW;
	return NULL;
}

static const char *fields_read(struct scan scan, struct ingest_text fields[FIELDS], int *ret_count)
{
	bool last = false;

	for (*ret_count = 0; !last; ++*ret_count) {
		struct scan inner;

		if (*ret_count == FIELDS)
			return "there are more than 14 fields";
		if (!csv_field(&scan, &fields[*ret_count], &last))
			return "a quote does not end";
		inner = scan_of(fields[*ret_count]);
		scan_blanks(&inner);
		while (inner.end > inner.at && inner.end[-1] == ' ')
			inner.end--;
		fields[*ret_count] = scan_rest(&inner);
	}
	return NULL;
}

enum snds_line snds_read(struct ingest_line *line, struct snds_row *ret, const char **ret_why)
{
	struct ingest_text fields[FIELDS] = {{.at = NULL}};
	struct scan scan = scan_line(line);
	int count;

	scan_blanks(&scan);
	if (scan_left(&scan) == 0)
		return SNDS_EMPTY;
	*ret = (struct snds_row){.at_s = 0};
	*ret_why = fields_read(scan, fields, &count);
	if (*ret_why == NULL && (count == FIELDS || count == FIELDS_FEWER))
		*ret_why = data_row(fields, ret);
	else if (*ret_why == NULL && count == FIELDS_STATUS)
		*ret_why = status_row(fields, ret);
	else if (*ret_why == NULL)
		*ret_why = "there are neither 14 nor 11 fields, nor the 4 of a status";
	return *ret_why ? SNDS_BAD : SNDS_ROW;
}

/* ---- what follows from it -------------------------------------------------------------------- */

bool snds_take(struct snds_state *state, const struct snds_policy *policy, enum snds_status status,
	       int64_t at_s)
{
	const uint32_t targets[SNDS_STATUSES] = {[SNDS_GREEN] = SNDS_WHOLE,
						 [SNDS_YELLOW] = policy->yellow,
						 [SNDS_RED] = policy->red};
	uint32_t before = state->at_s ? state->share : SNDS_WHOLE, target = targets[status];

	if (status == SNDS_NOTHING || (state->at_s && at_s < state->at_s))
		return false;
	if (target > before && at_s < state->at_s + SNDS_STEP_S)
		return false;
	if (target > before)
		target = before > target / 2 ? target : before * 2;
	else if (state->at_s == at_s && target == before)
		return false;
	*state = (struct snds_state){at_s, target};
	return true;
}
