/* SPDX-License-Identifier: MIT
 *
 * Reading and writing units. A reader is a cursor over the text; what is left over is an error.
 */
#include "sidecar/base/units.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t value;
};

/* The first name of a value is the one that is written. */
static const struct unit durations[] = {
	{"ns", 1},
	{"us", 1000},
	{"ms", 1000000},
	{"s", UNITS_SECOND_NS},
	{"sec", UNITS_SECOND_NS},
	{"secs", UNITS_SECOND_NS},
	{"second", UNITS_SECOND_NS},
	{"seconds", UNITS_SECOND_NS},
	{"m", UNITS_MINUTE_NS},
	{"min", UNITS_MINUTE_NS},
	{"mins", UNITS_MINUTE_NS},
	{"minute", UNITS_MINUTE_NS},
	{"minutes", UNITS_MINUTE_NS},
	{"h", UNITS_HOUR_NS},
	{"hr", UNITS_HOUR_NS},
	{"hrs", UNITS_HOUR_NS},
	{"hour", UNITS_HOUR_NS},
	{"hours", UNITS_HOUR_NS},
	{"d", UNITS_DAY_NS},
	{"day", UNITS_DAY_NS},
	{"days", UNITS_DAY_NS},
	{"w", 7 * UNITS_DAY_NS},
	{"week", 7 * UNITS_DAY_NS},
	{"weeks", 7 * UNITS_DAY_NS},
	{NULL, 0},
};

static int refuse(const char **ret_reason, const char *reason)
{
	if (ret_reason)
		*ret_reason = reason;
	return -EINVAL;
}

static const char *skip(const char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Whether a comma at `at` parts a group of exactly three digits. */
static bool comma_groups(const char *at)
{
	return digit(at[1]) && digit(at[2]) && digit(at[3]) && !digit(at[4]) && at[4] != '_';
}

/* Reads digits with their separators; *at moves behind them. */
static int number(const char **at, uint64_t *ret, const char **ret_reason)
{
	const char *p = *at;
	uint64_t value = 0;
	unsigned lead = 0;
	bool commas = false;

	if (*p == '-')
		return refuse(ret_reason, "must not be negative");
	if (!digit(*p))
		return refuse(ret_reason, "must begin with a number");
	for (;; p++) {
		if (*p == '_' && !commas && digit(p[1]))
			continue;
		if (*p == ',' && (commas || lead <= 3) && comma_groups(p)) {
			commas = true;
			continue;
		}
		if (*p == ',' || *p == '_')
			return refuse(ret_reason,
				      "a comma parts groups of three digits, as in 1,000");
		if (!digit(*p))
			break;
		lead++;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return refuse(ret_reason, "the number is too large");
	}
	*at = p;
	*ret = value;
	return 0;
}

/* Reads ".25" as billionths; nothing is 0. */
static int fraction(const char **at, uint64_t *ret_billionths, const char **ret_reason)
{
	const char *p = *at;
	uint64_t value = 0;
	uint64_t weight = 100000000;

	*ret_billionths = 0;
	if (*p != '.')
		return 0;
	if (!digit(*++p))
		return refuse(ret_reason, "digits must follow the point");
	for (; digit(*p); p++) {
		if (weight == 0)
			return refuse(ret_reason, "at most nine digits may follow the point");
		value += (uint64_t)(*p - '0') * weight;
		weight /= 10;
	}
	*at = p;
	*ret_billionths = value;
	return 0;
}

/* Reads a word and finds it in the table. */
static int unit(const char **at, const struct unit *units, uint64_t *ret, const char **ret_reason)
{
	const char *p = *at;
	size_t len = 0;

	while (isalpha((unsigned char)p[len]))
		len++;
	if (len == 0)
		return refuse(ret_reason, "a unit must follow the number, such as 90m or 2h");
	for (; units->name; units++) {
		if (strncmp(units->name, p, len) != 0 || units->name[len] != '\0')
			continue;
		*at = p + len;
		*ret = units->value;
		return 0;
	}
	return refuse(ret_reason, "no such unit");
}

int units_count(const char *text, uint64_t *ret, const char **ret_reason)
{
	const char *at = skip(text);
	uint64_t value;

	if (number(&at, &value, ret_reason) < 0)
		return -EINVAL;
	if (*skip(at))
		return refuse(ret_reason, "must be a whole number, such as 1,000");
	*ret = value;
	return 0;
}

/* One "1.5h" of a duration, in ns. */
static int duration_part(const char **at, uint64_t *ret_ns, const char **ret_reason)
{
	uint64_t whole;
	uint64_t billionths;
	uint64_t scale;
	unsigned __int128 ns;

	if (number(at, &whole, ret_reason) < 0 || fraction(at, &billionths, ret_reason) < 0)
		return -EINVAL;
	*at = skip(*at);
	if (whole == 0 && billionths == 0 && **at == '\0') {
		*ret_ns = 0;
		return 0;
	}
	if (unit(at, durations, &scale, ret_reason) < 0)
		return -EINVAL;
	ns = (unsigned __int128)whole * scale + (unsigned __int128)billionths * scale / 1000000000;
	if (ns > UINT64_MAX)
		return refuse(ret_reason, "the duration is too long");
	*ret_ns = (uint64_t)ns;
	return 0;
}

int units_duration(const char *text, uint64_t *ret_ns, const char **ret_reason)
{
	const char *at = skip(text);
	uint64_t sum = 0;
	uint64_t part;

	do {
		if (duration_part(&at, &part, ret_reason) < 0)
			return -EINVAL;
		if (__builtin_add_overflow(sum, part, &sum))
			return refuse(ret_reason, "the duration is too long");
		at = skip(at);
	} while (*at);
	*ret_ns = sum;
	return 0;
}

/* What follows the slash: "min", "30s", "5 min". */
static int rate_period(const char *at, uint64_t *ret_ns, const char **ret_reason)
{
	uint64_t times = 1;
	uint64_t scale;

	if (digit(*at) && number(&at, &times, ret_reason) < 0)
		return -EINVAL;
	at = skip(at);
	if (*at == '\0')
		return refuse(ret_reason, "a unit must follow the slash, as in 10/min");
	if (unit(&at, durations, &scale, ret_reason) < 0)
		return -EINVAL;
	if (*skip(at))
		return refuse(ret_reason, "must be a rate, such as 10/min, 5/30s or unlimited");
	if (times == 0)
		return refuse(ret_reason, "the period must be above 0");
	if (times > 366 * UNITS_DAY_NS / scale)
		return refuse(ret_reason, "the period must be at most a year");
	*ret_ns = times * scale;
	return 0;
}

int units_rate(const char *text, struct units_rate *ret, const char **ret_reason)
{
	const char *at = skip(text);
	uint64_t count;
	uint64_t period_ns;

	if (strncmp(at, "unlimited", 9) == 0 && *skip(at + 9) == '\0') {
		*ret = (struct units_rate){0, 0};
		return 0;
	}
	if (!digit(*at) && *at != '-')
		return refuse(ret_reason, "must be a rate, such as 10/min, 5/30s or unlimited");
	if (number(&at, &count, ret_reason) < 0)
		return -EINVAL;
	at = skip(at);
	if (*at != '/')
		return refuse(ret_reason, "must be a rate, such as 10/min, 5/30s or unlimited");
	if (count == 0)
		return refuse(ret_reason, "a rate is above 0; what has no limit is unlimited");
	if (rate_period(skip(at + 1), &period_ns, ret_reason) < 0)
		return -EINVAL;
	if (count > period_ns)
		return refuse(ret_reason,
			      "more than one in a nanosecond; what has no limit is unlimited");
	*ret = (struct units_rate){count, period_ns};
	return 0;
}

int units_share(const char *text, uint32_t *ret_millionths, const char **ret_reason)
{
	const char *at = skip(text);
	uint64_t whole;
	uint64_t billionths;

	if (number(&at, &whole, ret_reason) < 0 || fraction(&at, &billionths, ret_reason) < 0)
		return -EINVAL;
	at = skip(at);
	if (*at != '%' || *skip(at + 1))
		return refuse(ret_reason, "must be a share, such as 20%");
	if (whole > 100 || (whole == 100 && billionths))
		return refuse(ret_reason, "a share is at most 100%");
	*ret_millionths = (uint32_t)(whole * 10000 + billionths / 100000);
	return 0;
}

const char *units_count_text(uint64_t count, char *text, size_t size)
{
	char digits[24];
	char out[32];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)count);
	int used = 0;

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			out[used++] = ',';
		out[used++] = digits[i];
	}
	out[used] = '\0';
	snprintf(text, size, "%s", out);
	return text;
}

const char *units_rate_text(const struct units_rate *rate, char *text, size_t size)
{
	static const struct unit periods[] = {
		{"day", UNITS_DAY_NS},
		{"hr", UNITS_HOUR_NS},
		{"min", UNITS_MINUTE_NS},
		{"s", UNITS_SECOND_NS},
		{NULL, 0},
	};
	char count[32];
	char period[64];

	if (rate->count == 0) {
		snprintf(text, size, "unlimited");
		return text;
	}
	units_count_text(rate->count, count, sizeof(count));
	for (const struct unit *u = periods; u->name; u++) {
		if (u->value != rate->period_ns)
			continue;
		snprintf(text, size, "%s/%s", count, u->name);
		return text;
	}
	/* A period has one unit: the largest that divides it. */
	for (const struct unit *u = periods; u->name; u++) {
		if (rate->period_ns % u->value)
			continue;
		snprintf(text, size, "%s/%llu%s", count,
			 (unsigned long long)(rate->period_ns / u->value), u->name);
		return text;
	}
	snprintf(text, size, "%s/%s", count,
		 units_duration_text(rate->period_ns, period, sizeof(period)));
	return text;
}

const char *units_duration_text(uint64_t ns, char *text, size_t size)
{
	static const struct unit parts[] = {
		{"d", UNITS_DAY_NS},
		{"h", UNITS_HOUR_NS},
		{"m", UNITS_MINUTE_NS},
		{"s", UNITS_SECOND_NS},
		{"ms", 1000000},
		{"us", 1000},
		{"ns", 1},
		{NULL, 0},
	};
	char out[128];
	size_t used = 0;

	for (const struct unit *u = parts; u->name; u++) {
		if (ns < u->value)
			continue;
		used += (size_t)snprintf(out + used, sizeof(out) - used, "%s%llu%s",
					 used ? " " : "", (unsigned long long)(ns / u->value),
					 u->name);
		ns %= u->value;
	}
	snprintf(text, size, "%s", used ? out : "0");
	return text;
}
