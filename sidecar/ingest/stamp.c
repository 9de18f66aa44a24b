/* SPDX-License-Identifier: MIT */
#include "sidecar/ingest/stamp.h"

#include <string.h>
#include <time.h>

#define SECOND_NS    UINT64_C(1000000000)
#define DAY_SECONDS  86400
#define HOUR_SECONDS 3600
#define YEAR_MAX     2096 /* nanoseconds reach further, the arithmetic on them less */

struct when {
	int year, month, day, hour, minute, second; /* month from 1; year 0: not there */
	uint32_t fraction_ns;
	bool zoned;
	int64_t east; /* seconds, where zoned */
};

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Exactly n digits. */
static bool digits(const char *at, const char *end, size_t n, int *ret)
{
	int value = 0;

	if ((size_t)(end - at) < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!digit(at[i]))
			return false;
		value = value * 10 + (at[i] - '0');
	}
	*ret = value;
	return true;
}

/* Days since 1970 in the Gregorian calendar, by the count of leap years. */
static int64_t days(int year, int month, int day)
{
	static const int16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	int past = month > 2 ? year : year - 1;

	return (int64_t)(year - 1970) * 365 + (past / 4 - past / 100 + past / 400) - 477 +
	       before[month - 1] + day - 1;
}

static bool sound(const struct when *when)
{
	return when->month >= 1 && when->month <= 12 && when->day >= 1 && when->day <= 31 &&
	       when->hour <= 23 && when->minute <= 59 && when->second <= 60;
}

/* "11:12:43", ".245" and ",245". Returns where it ends; NULL: it is none. */
static const char *clock_read(const char *at, const char *end, struct when *ret)
{
	uint32_t unit = SECOND_NS / 10;

	if (end - at < 8 || at[2] != ':' || at[5] != ':' || !digits(at, end, 2, &ret->hour) ||
	    !digits(at + 3, end, 2, &ret->minute) || !digits(at + 6, end, 2, &ret->second))
		return NULL;
	at += 8;
	if (end - at < 2 || (*at != '.' && *at != ',') || !digit(at[1]))
		return at;
	for (at++; at < end && digit(*at); at++, unit /= 10)
		ret->fraction_ns += (uint32_t)(*at - '0') * unit;
	return at;
}

/* "Z", "+01:00", "-0530", " +0100", " UTC"; another zone's letters are not known, and not taken. */
static const char *zone_read(const char *at, const char *end, struct when *ret)
{
	const char *zone = at + (at < end && *at == ' ');
	int hours, minutes;

	if (zone == at && at < end && *at == 'Z') {
		ret->zoned = true;
		return at + 1;
	}
	if (end - zone >= 3 && (memcmp(zone, "UTC", 3) == 0 || memcmp(zone, "GMT", 3) == 0)) {
		ret->zoned = true;
		return zone + 3;
	}
	if (zone == end || (*zone != '+' && *zone != '-') || !digits(zone + 1, end, 2, &hours))
		return at;
	minutes = 0;
	if (end - zone >= 6 && zone[3] == ':' && digits(zone + 4, end, 2, &minutes))
		at = zone + 6;
	else if (digits(zone + 3, end, 2, &minutes))
		at = zone + 5;
	else
		at = zone + 3;
	ret->zoned = true;
	ret->east = (int64_t)(*zone == '-' ? -1 : 1) * (hours * HOUR_SECONDS + minutes * 60);
	return at;
}

static const char *iso_read(const char *at, const char *end, struct when *ret)
{
	if (end - at < 19 || at[4] != '-' || at[7] != '-' || (at[10] != 'T' && at[10] != ' ') ||
	    !digits(at, end, 4, &ret->year) || !digits(at + 5, end, 2, &ret->month) ||
	    !digits(at + 8, end, 2, &ret->day))
		return NULL;
	at = clock_read(at + 11, end, ret);
	return at != NULL ? zone_read(at, end, ret) : NULL;
}

static int month_of(const char *name)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (int i = 0; i < 12; i++)
		if (memcmp(names + 3 * i, name, 3) == 0)
			return i + 1;
	return 0;
}

/* "Feb  5 11:12:43": the day has a blank in front, or a zero. */
static const char *syslog_read(const char *at, const char *end, struct when *ret)
{
	if (end - at < 15 || at[3] != ' ')
		return NULL;
	ret->month = month_of(at);
	at += 4;
	if (*at == ' ' && digit(at[1]))
		at++, ret->day = *at++ - '0';
	else if (digits(at, end, 2, &ret->day))
		at += 2;
	else if (digit(*at))
		ret->day = *at++ - '0';
	if (at >= end || *at++ != ' ')
		return NULL;
	if (end - at >= 5 && at[4] == ' ' && digits(at, end, 4, &ret->year))
		at += 5;
	return clock_read(at, end, ret);
}

static size_t seconds_read(const char *text, const char *end, uint64_t *ret_ns)
{
	const char *at = text;
	uint64_t seconds = 0, fraction = 0, unit = SECOND_NS;

	for (; at < end && digit(*at) && at - text < 11; at++)
		seconds = seconds * 10 + (uint64_t)(*at - '0');
	if (at - text < 9 || at - text > 10)
		return 0;
	if (end - at > 1 && *at == '.' && digit(at[1]))
		for (at++; at < end && digit(*at); at++)
			fraction += (uint64_t)(*at - '0') * (unit /= 10);
	*ret_ns = seconds * SECOND_NS + fraction;
	return (size_t)(at - text);
}

/* ---- what is missing ------------------------------------------------------------------------- */

/* Seconds since 1970 as if local time were UTC, to the offset that it has then. */
static int64_t local_offset(struct stamp_clock *clock, int64_t local)
{
	int64_t hour = local / HOUR_SECONDS;
	time_t seconds = (time_t)local;
	struct tm tm;

	if (clock->known && clock->local_hour == hour)
		return clock->offset;
	gmtime_r(&seconds, &tm);
	tm.tm_isdst = -1;
	seconds = mktime(&tm);
	clock->offset = seconds == (time_t)-1 ? 0 : local - (int64_t)seconds;
	clock->local_hour = hour;
	clock->known = true;
	return clock->offset;
}

static int64_t seconds_of(struct stamp_clock *clock, const struct when *when, int year)
{
	int64_t local = days(year, when->month, when->day) * DAY_SECONDS +
			when->hour * HOUR_SECONDS + when->minute * 60 + when->second;

	return local - (when->zoned ? when->east : local_offset(clock, local));
}

/* The latest year that does not put it more than a day into the future (clocks and zones differ).
 * It is looked for once a month of the log. */
static int year_of(struct stamp_clock *clock, const struct when *when)
{
	int64_t now = (int64_t)(clock->now_ns / SECOND_NS);
	int year = 1970 + (int)(now / (365 * DAY_SECONDS));

	if (clock->now_ns == 0)
		year = YEAR_MAX;
	if (clock->year != 0 && clock->month == when->month)
		return clock->year;
	while (clock->now_ns != 0 && year > 1970 &&
	       seconds_of(clock, when, year) > now + DAY_SECONDS)
		year--;
	clock->year = year;
	clock->month = when->month;
	return year;
}

size_t stamp_read(struct stamp_clock *clock, const char *text, size_t length, uint64_t *ret_ns)
{
	const char *at = text, *end = text + length;
	struct when when = {0};
	int64_t seconds;

	/* "Wed 2026-…" */
	if (length > 8 && text[3] == ' ' && digit(text[4]) && digit(text[7]) && text[8] == '-')
		at += 4;
	if (length < 9)
		return 0;
	if (digit(*at)) {
		const char *start = at;

		at = iso_read(start, end, &when);
		if (at == NULL)
			return seconds_read(text, end, ret_ns);
	} else {
		at = syslog_read(at, end, &when);
	}
	if (at == NULL || !sound(&when) ||
	    (when.year != 0 && (when.year < 1970 || when.year > YEAR_MAX)))
		return 0;
	seconds = seconds_of(clock, &when, when.year ? when.year : year_of(clock, &when));
	*ret_ns = seconds < 0 ? 0 : (uint64_t)seconds * SECOND_NS + when.fraction_ns;
	return (size_t)(at - text);
}
