/* SPDX-License-Identifier: MIT
 *
 * Text to numbers with units: see units.h.
 */
#include "bench/lib/units.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *name;
	double seconds;
};

static const struct unit units[] = {
	{"ms",     1e-3 },
	{"s",      1    },
	     {"sec",    1    },
	   {"second", 1    },
	   {"m",	 60   },
	 {"min",	 60   },
	{"minute", 60   },
	{"h",      3600 },
	     {"hr",	    3600 },
	   {"hour",   3600 },
	   {"d",	 86400},
	 {"day",	 86400},
};

static int unit_find(const char *name, double *ret_seconds)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(units[i].name, name) == 0) {
			*ret_seconds = units[i].seconds;
			return 0;
		}
	return -EINVAL;
}

/* A decimal number with "," and "_" between digits; *ret_end is what follows. */
static int number_read(const char *text, double *ret, const char **ret_end)
{
	char digits[32];
	char *end;
	size_t n = 0;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	for (; isdigit((unsigned char)*text) || strchr(",_.", *text); text++) {
		if (*text == '\0')
			break;
		if (*text == ',' || *text == '_')
			continue;
		if (n + 1 >= sizeof(digits))
			return -EINVAL;
		digits[n++] = *text;
	}
	digits[n] = '\0';
	*ret = strtod(digits, &end);
	if (*end != '\0' || !isfinite(*ret))
		return -EINVAL;
	*ret_end = text;
	return 0;
}

int units_duration(const char *text, uint64_t *ret_ns)
{
	double number, seconds = 1;
	const char *rest;

	if (number_read(text, &number, &rest) < 0)
		return -EINVAL;
	while (*rest == ' ')
		rest++;
	if (*rest != '\0' && unit_find(rest, &seconds) < 0)
		return -EINVAL;
	if (number * seconds > 1e9)
		return -EINVAL;
	*ret_ns = (uint64_t)(number * seconds * 1e9);
	return 0;
}

int units_rate(const char *text, double *ret_per_second)
{
	double number, seconds;
	const char *rest;

	if (strcmp(text, "unlimited") == 0) {
		*ret_per_second = 0;
		return 0;
	}
	if (number_read(text, &number, &rest) < 0 || *rest != '/' || number <= 0)
		return -EINVAL;
	if (unit_find(rest + 1, &seconds) < 0 || seconds < 1)
		return -EINVAL;
	*ret_per_second = number / seconds;
	return 0;
}

int units_number(const char *text, uint64_t least, uint64_t most, uint64_t *ret)
{
	double number;
	const char *rest;

	if (number_read(text, &number, &rest) < 0 || *rest != '\0' || number != floor(number))
		return -EINVAL;
	if (number < (double)least || number > (double)most)
		return -EINVAL;
	*ret = (uint64_t)number;
	return 0;
}
