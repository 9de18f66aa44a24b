/* SPDX-License-Identifier: MIT
 *
 * Units: what is read, what is refused and why, and that writing and reading agree. Every text ends
 * at a guard page.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>

#include "sidecar/base/random.h"
#include "sidecar/base/units.h"
#include "tests/guard.h"

#define S	 UNITS_SECOND_NS
#define N(table) (sizeof(table) / sizeof((table)[0]))

Test(rate, reads_what_people_write)
{
	static const struct {
		const char *text;
		uint64_t count;
		uint64_t period_ns;
	} rows[] = {
		{"10/min", 10, 60 * S},		{"1,000/hr", 1000, 3600 * S},
		{"1_000/hour", 1000, 3600 * S}, {"1,234,567/day", 1234567, 86400 * S},
		{"5/30s", 5, 30 * S},		{"5/30 sec", 5, 30 * S},
		{"7/2d", 7, 2 * 86400 * S},	{"100/second", 100, S},
		{" 10 / minute ", 10, 60 * S},	{"1/w", 1, 7 * 86400 * S},
		{"20/500ms", 20, S / 2},	{"unlimited", 0, 0},
		{" unlimited ", 0, 0},		{"1000000000/s", 1000000000, S},
	};

	for (size_t i = 0; i < N(rows); i++) {
		struct units_rate rate = {9, 9};
		const char *reason = "";
		int rc = units_rate(guard_text(rows[i].text), &rate, &reason);

		cr_expect_eq(rc, 0, "%s: %s", rows[i].text, reason);
		cr_expect(rate.count == rows[i].count && rate.period_ns == rows[i].period_ns,
			  "%s: %" PRIu64 "/%" PRIu64, rows[i].text, rate.count, rate.period_ns);
	}
}

Test(rate, refuses_the_rest_with_a_reason_and_leaves_the_output)
{
	static const char *const rows[] = {
		"",
		" ",
		"10",
		"10/",
		"/min",
		"10/0s",
		"0/min",
		"-1/min",
		"10/fortnight",
		"10/min x",
		"1,00/min",
		"10,/min",
		"1__0/min",
		"1,000_0/min",
		"1.5/min",
		"10/1.5min",
		"unlimitedx",
		"10/min/min",
		"18446744073709551616/s",
		"10/18446744073709551615w",
		"2000000000/s",
		"10/9999d",
		"ten/min",
		"10//min",
		"_1/min",
		"1_/min",
		"1,5/min",
		"10/-1s",
		"1,2345/min",
		"1234,567/min",
		"10/Min",
		"0x10/min",
		"+5/min",
	};

	for (size_t i = 0; i < N(rows); i++) {
		struct units_rate rate = {77, 78};
		const char *reason = NULL;
		int rc = units_rate(guard_text(rows[i]), &rate, &reason);

		cr_expect_eq(rc, -EINVAL, "'%s' was taken", rows[i]);
		cr_expect(reason && *reason, "'%s' has no reason", rows[i]);
		cr_expect(rate.count == 77 && rate.period_ns == 78, "'%s' wrote", rows[i]);
	}
}

Test(duration, reads_what_people_write)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} rows[] = {
		{"90m", 5400 * S},
		{"2h", 7200 * S},
		{"15 min", 900 * S},
		{"500ms", S / 2},
		{"1h 30m", 5400 * S},
		{"1h30m", 5400 * S},
		{"1.5 hours", 5400 * S},
		{"2 hours", 7200 * S},
		{"0", 0},
		{"0s", 0},
		{"1ns", 1},
		{"1,000us", 1000000},
		{"0.000000001s", 1},
		{"2w", 14 * 86400 * S},
		{"584y", 0},
	};

	for (size_t i = 0; i + 1 < N(rows); i++) {
		uint64_t ns = 7;
		const char *reason = "";
		int rc = units_duration(guard_text(rows[i].text), &ns, &reason);

		cr_expect(rc == 0 && ns == rows[i].ns, "%s: %s %" PRIu64, rows[i].text, reason, ns);
	}
	cr_expect_eq(units_duration("584y", &(uint64_t){0}, NULL), -EINVAL,
		     "a year has no one length");
}

Test(duration, refuses_what_has_no_unit_or_is_too_long)
{
	static const char *const rows[] = {
		"",
		"5",
		"h",
		"5x",
		"5 5m",
		"1.m",
		"1.0000000001s",
		"-5m",
		"5m 5",
		"213504d",
		"30500w 1w 99999w",
		"18446744073709551615s",
		"5m,",
		"1..5m",
		".5h",
	};

	for (size_t i = 0; i < N(rows); i++) {
		uint64_t ns = 7;
		const char *reason = NULL;

		cr_expect_eq(units_duration(guard_text(rows[i]), &ns, &reason), -EINVAL, "'%s'",
			     rows[i]);
		cr_expect(reason && ns == 7, "'%s'", rows[i]);
	}
}

Test(count_size_share, read_and_refuse)
{
	static const struct {
		const char *text;
		uint64_t count;
		uint64_t size;
		uint32_t share; /* 0 in these: refused */
	} rows[] = {
		{"7", 7, 7, 0},
		{"65,536", 65536, 65536, 0},
		{"18446744073709551615", UINT64_MAX, UINT64_MAX, 0},
		{"64k", 0, 65536, 0},
		{"64 KiB", 0, 65536, 0},
		{"3G", 0, UINT64_C(3) << 30, 0},
		{"20%", 0, 0, 200000},
		{"12.5 %", 0, 0, 125000},
		{"100%", 0, 0, 1000000},
		{"100.1%", 0, 0, 0},
		{"101%", 0, 0, 0},
		{"16777216T", 0, 0, 0},
		{"18446744073709551616", 0, 0, 0},
		{"1 2", 0, 0, 0},
		{"", 0, 0, 0},
		{"%", 0, 0, 0},
	};

	for (size_t i = 0; i < N(rows); i++) {
		const char *text = guard_text(rows[i].text);
		uint64_t count = 0;
		uint64_t size = 0;
		uint32_t share = 0;

		cr_expect_eq(units_count(text, &count, NULL) == 0, rows[i].count != 0, "'%s'",
			     text);
		cr_expect_eq(units_size(text, &size, NULL) == 0, rows[i].size != 0, "'%s'", text);
		cr_expect_eq(units_share(text, &share, NULL) == 0, rows[i].share != 0, "'%s'",
			     text);
		cr_expect(count == rows[i].count && size == rows[i].size && share == rows[i].share,
			  "'%s': %" PRIu64 " %" PRIu64 " %u", text, count, size, share);
	}
}

/* What is written is read back as the same, for values over the whole range. */
Test(text, is_read_back_as_it_was)
{
	uint64_t seed = 42;
	char text[128];

	for (int i = 0; i < 20000; i++) {
		struct units_rate rate;
		struct units_rate back;
		uint64_t ns;
		uint64_t again;

		ns = random_next(&seed) >> random_below(&seed, 64);
		cr_assert_eq(
			units_duration(units_duration_text(ns, text, sizeof(text)), &again, NULL),
			0, "%s", text);
		cr_assert_eq(ns, again, "%s", text);
		rate = (struct units_rate){1 + (seed >> 40), (1 + (seed & 1023)) * S};
		cr_assert_eq(units_rate(units_rate_text(&rate, text, sizeof(text)), &back, NULL), 0,
			     "%s", text);
		cr_assert(rate.count == back.count && rate.period_ns == back.period_ns, "%s", text);
	}
	cr_expect_str_eq(units_rate_text(&(struct units_rate){1000, 3600 * S}, text, sizeof(text)),
			 "1,000/hr");
	cr_expect_str_eq(units_rate_text(&(struct units_rate){5, 30 * S}, text, sizeof(text)),
			 "5/30s");
	cr_expect_str_eq(units_rate_text(&(struct units_rate){0, 0}, text, sizeof(text)),
			 "unlimited");
	cr_expect_str_eq(units_duration_text(5400 * S, text, sizeof(text)), "1h 30m");
	cr_expect_str_eq(units_count_text(1234567, text, sizeof(text)), "1,234,567");
}
