/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/http/kumomta_shaping.h"

#define S UINT64_C(1000000000)

Test(kumomta_throttle, says_an_interval_in_the_smallest_unit_that_fits)
{
	static const struct {
		uint64_t interval_ns;
		uint32_t burst;
		const char *text;
	} rows[] = {
		{S, 10, "1/s,max_burst=1"},
		{S / 2, 10, "2/s,max_burst=1"},
		{S / 500, 100, "500/s,max_burst=51"},
		{S / 500, 5, "500/s,max_burst=5"},
		{2 * S, 10, "30/min,max_burst=1"},
		{2 * S + 30, 10, "30/min,max_burst=1"}, /* rounded up by 2^-25 */
		{6 * S, 0, "10/min,max_burst=1"},
		{7 * S, 10, "514/hr,max_burst=1"},
		{600 * S, 10, "6/hr,max_burst=1"},
		{5000 * S, 10, "17/d,max_burst=1"},
		{86400 * S, 10, "1/d,max_burst=1"},
		{100000 * S, 10, "1/2d,max_burst=1"},
		{1, 4000000, "1000000000/s,max_burst=4000000"},
		{UINT64_MAX / 2, 10, "1/106752d,max_burst=1"},
	};
	char text[64];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_str_eq(kumomta_throttle_text(rows[i].interval_ns, rows[i].burst, text,
						       sizeof(text)),
				 rows[i].text);
}

/* Never faster than the interval, but for a rounding; a hundredth slower at most where a hundred go
 * in a day, and a message of the day's few otherwise. */
Test(kumomta_throttle, loses_little)
{
	for (double interval = 1e6; interval < 1e13; interval *= 1.0137) {
		uint64_t interval_ns = (uint64_t)interval;
		unsigned long long count;
		char text[64], unit[8];
		double seconds, slower;

		kumomta_throttle_text(interval_ns, 1, text, sizeof(text));
		cr_assert_eq(sscanf(text, "%llu/%7[a-z]", &count, unit), 2, "%s", text);
		seconds = strcmp(unit, "s") == 0     ? 1
			  : strcmp(unit, "min") == 0 ? 60
			  : strcmp(unit, "hr") == 0  ? 3600
						     : 86400;
		slower = seconds * 1e9 / (double)count / interval;
		cr_expect(slower > 0.994 && slower < 1.15, "%s of %g ns: %g", text, interval,
			  slower);
		if (interval < 864e9)
			cr_expect(slower < 1.0102, "%s of %g ns: %g", text, interval, slower);
	}
}
