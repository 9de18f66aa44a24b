/* SPDX-License-Identifier: MIT
 *
 * Values of a scenario's file: durations, counts, rates, words, replies.
 */
#include "sidecar/simulate/scenario_value.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/simulate/scenario.h"

int simulate_refuse(const struct simulate_reader *reader, const char *key, const char *format, ...)
{
	struct yaml_mark mark = {0};
	char path[192], reason[192];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof reason, format, args);
	va_end(args);
	snprintf(path, sizeof path, "%s%s%s", reader->at, *reader->at && *key ? "." : "", key);
	if (yaml_marks_find(reader->marks, path, &mark) != 0)
		yaml_marks_find(reader->marks, reader->at, &mark);
	snprintf(reader->error, reader->error_size, "%s:%u:%u: %s", reader->name, mark.line,
		 mark.column, reason);
	return -EINVAL;
}

void simulate_enter(struct simulate_reader *reader, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reader->at, sizeof reader->at, format, args);
	va_end(args);
}

int simulate_take_duration(const struct simulate_reader *reader, const char *key, const char *text,
			   uint64_t *ret)
{
	const char *reason;

	if (!text)
		return 0;
	if (units_duration(text, ret, &reason) != 0)
		return simulate_refuse(reader, key, "%s: %s", text, reason);
	if (*ret > SCENARIO_DURATION_MAX)
		return simulate_refuse(reader, key, "%s: longer than 400 days", text);
	return 0;
}

int simulate_take_count(const struct simulate_reader *reader, const char *key, const char *text,
			uint64_t min, uint64_t max, uint64_t *ret)
{
	const char *reason;
	uint64_t count;

	if (!text)
		return 0;
	if (units_count(text, &count, &reason) != 0)
		return simulate_refuse(reader, key, "%s: %s", text, reason);
	if (count < min || count > max)
		return simulate_refuse(reader, key, "%s: must be %llu to %llu", text,
				       (unsigned long long)min, (unsigned long long)max);
	*ret = count;
	return 0;
}

int simulate_take_limit(const struct simulate_reader *reader, const char *key, const char *text,
			uint32_t *ret)
{
	uint64_t count = *ret;

	if (text && strcmp(text, "unlimited") == 0) {
		*ret = 0;
		return 0;
	}
	if (simulate_take_count(reader, key, text, 1, UINT32_MAX, &count) != 0)
		return -EINVAL;
	*ret = (uint32_t)count;
	return 0;
}

int simulate_take_number(const struct simulate_reader *reader, const char *key, const char *text,
			 double min, double max, double *ret)
{
	double number;
	char *end;

	if (!text)
		return 0;
	number = strtod(text, &end);
	if (end == text || *end || !isfinite(number))
		return simulate_refuse(reader, key, "%s: not a number", text);
	if (number < min || number > max)
		return simulate_refuse(reader, key, "%s: must be %g to %g", text, min, max);
	*ret = number;
	return 0;
}

int simulate_take_rate(const struct simulate_reader *reader, const char *key, const char *text,
		       double *ret)
{
	const char *slash = text ? strchr(text, '/') : NULL;
	const char *reason;
	struct units_rate rate;
	double factor = 1;
	char whole[64];

	if (!text)
		return 0;
	snprintf(whole, sizeof whole, "%s", text);
	if (slash && memchr(text, '.', (size_t)(slash - text))) {
		char *end;

		factor = strtod(text, &end);
		if (end != slash || !(factor > 0) || !isfinite(factor))
			return simulate_refuse(reader, key, "%s: not a number before the slash",
					       text);
		snprintf(whole, sizeof whole, "1%s", slash);
	}
	if (units_rate(whole, &rate, &reason) != 0)
		return simulate_refuse(reader, key, "%s: %s", text, reason);
	*ret = rate.count == 0
		       ? INFINITY
		       : factor * (double)rate.count * UNITS_SECOND_NS / (double)rate.period_ns;
	return 0;
}

int simulate_take_word(const struct simulate_reader *reader, const char *key, const char *text,
		       const char *const *words, int *ret)
{
	char all[128] = "";

	if (!text)
		return 0;
	for (int i = 0; words[i]; i++) {
		size_t used = strlen(all);

		if (strcmp(text, words[i]) == 0) {
			*ret = i;
			return 0;
		}
		snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", words[i]);
	}
	return simulate_refuse(reader, key, "%s: must be one of %s", text, all);
}

int simulate_take_reply(const struct simulate_reader *reader, const char *key, const char *text,
			const char **ret)
{
	if (!text)
		return 0;
	if ((text[0] != '4' && text[0] != '5') || strspn(text, "0123456789") != 3 ||
	    (text[3] && text[3] != ' ' && text[3] != '-'))
		return simulate_refuse(reader, key,
				       "%.40s: must begin with a reply code of 4xx or 5xx", text);
	*ret = text;
	return 0;
}
