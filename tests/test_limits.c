/* SPDX-License-Identifier: MIT
 *
 * From configuration to numbers: the arithmetic, the levels, the origins, and (by running the rate
 * that comes out against every window) what strict and burst promise.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "shm/address.h"
#include "shm/destination.h"
#include "shm/gcra.h"
#include "sidecar/base/random.h"
#include "sidecar/config/limits.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))
#define S	 UNITS_SECOND_NS

static struct config *config;
static struct resolved_limits resolved;

static void load(const char *text)
{
	struct diagnostics report = {.count = 0};

	config_free(config);
	config = NULL;
	if (config_load(&(struct config_text){text, strlen(text), "t.yaml", NULL}, NULL, &config,
			&report) < 0)
		cr_assert_fail("%s: %s", text, report.count ? report.problems[0].text : "?");
	diagnostics_free(&report);
}

static void flow(const char *source, const char *destination)
{
	uint8_t address[16];

	if (source)
		cr_assert_eq(address_from_text(source, address), 0);
	limits_resolve_flow(config, source ? address : NULL, destination, &resolved);
}

static void finish(void)
{
	config_free(config);
}

TestSuite(interval, .fini = finish);
TestSuite(levels, .fini = finish);
TestSuite(classes, .fini = finish);
TestSuite(window, .fini = finish);
TestSuite(text, .fini = finish);

Test(interval, is_rounded_up_and_longer_under_strict)
{
	static const struct {
		const char *limits;
		uint64_t interval_ns;
	} rows[] = {
		{"rate: 10/min", 6 * S},
		{"rate: 7/s", 142857143},
		{"rate: 1_000/hr", 3600000000},
		{"rate: 5/30s", 6 * S},
		{"rate: 3/min, strict: true", 20 * S},
		{"rate: 10/min, strict: true, burst: 1", 6 * S},
		{"rate: 10/min, strict: true, burst: 5", 10 * S},
		{"rate: 10/min, strict: true, burst: 10", 60 * S},
		{"rate: 10/min, strict: true, burst: 4, reserve: {transactional: 2}", 8571428572},
		{"rate: unlimited", 0},
		{"hour: 5", 0},
	};

	for (size_t i = 0; i < N(rows); i++) {
		char file[200];

		snprintf(file, sizeof(file), "builtin: false\nlimits: {%s}\n", rows[i].limits);
		load(file);
		flow(NULL, "x.org");
		cr_expect_eq(resolved.limits.interval_ns, rows[i].interval_ns, "%s: %lu",
			     rows[i].limits, resolved.limits.interval_ns);
		cr_expect_eq(!!(resolved.limits.flags & FLOW_STRICT),
			     strstr(rows[i].limits, "strict") != NULL);
	}
}

static void expect_classes(const uint32_t value[TG_CLASSES], uint32_t transactional,
			   uint32_t engaged, uint32_t bulk)
{
	cr_expect(value[TG_TRANSACTIONAL] == transactional && value[TG_ENGAGED] == engaged &&
			  value[TG_BULK] == bulk,
		  "%u %u %u", value[TG_TRANSACTIONAL], value[TG_ENGAGED], value[TG_BULK]);
}

Test(classes, share_the_whole_less_the_reserves_above_them)
{
	load("builtin: false\nlimits: {rate: 1/s, burst: 20, reserve: {transactional: 5, engaged: "
	     "10%},\n"
	     "  hour: 1_000, hour_reserve: {engaged: 33.3%}, day: 9, day_reserve: {transactional: "
	     "20%},\n"
	     "  connections: 10, connection_reserve: {transactional: 1, engaged: 2},\n"
	     "  connection_rate: 100/min, connection_burst: 7, messages_per_connection: 50,\n"
	     "  hour_starts: 15m, day_starts: 6h, count: recipients}\n");
	flow(NULL, "x.org");
	expect_classes(resolved.limits.burst, 20, 15, 13);
	expect_classes(resolved.limits.hour_cap, 1000, 1000, 667);
	expect_classes(resolved.limits.day_cap, 9, 8, 8);
	expect_classes(resolved.limits.connections, 10, 9, 7);
	cr_expect_eq(resolved.limits.connection_interval_ns, 600000000);
	cr_expect_eq(resolved.limits.connection_burst, 7);
	cr_expect_eq(resolved.limits.per_connection, 50);
	cr_expect_eq(resolved.limits.hour_phase_s, 900);
	cr_expect_eq(resolved.limits.day_phase_min, 360);
	cr_expect_eq(resolved.limits.flags, FLOW_COUNT_RECIPIENTS);
}

Test(classes, of_nothing_are_nothing)
{
	load("builtin: false\n");
	flow("10.0.0.1", "x.org");
	expect_classes(resolved.limits.burst, 0, 0, 0);
	expect_classes(resolved.limits.hour_cap, 0, 0, 0);
	expect_classes(resolved.limits.connections, 0, 0, 0);
	cr_expect_eq(limits_any(&resolved), false);
	cr_expect_eq(limits_window_max(&resolved.limits, S), UINT64_MAX);
}

Test(classes, of_what_is_unlimited_and_adapts_have_a_burst)
{
	load("builtin: false\nlimits: {adapt: true, burst: 10, reserve: {transactional: 2}}\n");
	flow(NULL, "x.org");
	cr_expect_eq(resolved.limits.interval_ns, 0);
	expect_classes(resolved.limits.burst, 10, 8, 8);
	load("builtin: false\nlimits: {adapt: true}\n");
	flow(NULL, "x.org");
	expect_classes(resolved.limits.burst, 1, 1, 1);
}

static const char levels_file[] =
	"limits: {rate: 30/min, burst: 9, hour: 900}\n"				     /* 1 */
	"source_total: {rate: 100/min, burst: 2}\n"				     /* 2 */
	"stream_limits: {hour: 500}\n"						     /* 3 */
	"pools: [{name: p, sources: [10.0.0.0/24], total: {day: 5_000}}]\n"	     /* 4 */
	"sources: [{address: 10.0.0.9, total: {rate: 10/min}}]\n"		     /* 5 */
	"streams: [{name: t, limits: {rate: 1/s}}]\n"				     /* 6 */
	"destinations:\n"							     /* 7 */
	"- {name: google, limits: {rate: 20/min}, total: {day: 99_000}}\n"	     /* 8 */
	"- {name: x.org, limits: {hour: 100}}\n"				     /* 9 */
	"overrides:\n"								     /* 10 */
	"- {pool: p, destination: google, limits: {rate: 10/min, connections: 3}}\n" /* 11 */
	"- {source: 10.0.0.9, destination: google, limits: {connections: 1}}\n"	     /* 12 */
	"- {source: 10.0.0.9, destination: other.org, limits: {rate: 1/min}}\n";     /* 13 */

static void expect_key(enum config_limit key, const char *file, uint32_t line)
{
	const struct limits_origin *origin = &resolved.origin[key];

	cr_expect(origin->file && strcmp(origin->file, file) == 0 && origin->mark.line == line,
		  "%s is from %s line %u", config_limit_name(key), origin->file, origin->mark.line);
}

Test(levels, of_a_flow_are_the_more_specific_the_stronger)
{
	load(levels_file);
	flow("10.0.0.9", "google");
	cr_expect_eq(resolved.rate.count, 10);
	expect_key(LIMIT_RATE, "t.yaml", 11);
	expect_key(LIMIT_HOUR, "t.yaml", 1);
	cr_expect_eq(resolved.limits.connections[TG_TRANSACTIONAL], 1);
	expect_key(LIMIT_CONNECTIONS, "t.yaml", 12);
	cr_expect_eq(resolved.limits.per_connection, 50);
	cr_expect_str_eq(resolved.origin[LIMIT_MESSAGES_PER_CONNECTION].file, "builtin.yaml");
	flow("10.0.0.8", "google");
	cr_expect_eq(resolved.limits.connections[TG_TRANSACTIONAL], 3);
	flow("10.0.1.0", "google");
	cr_expect_eq(resolved.rate.count, 20);
	cr_expect_eq(resolved.limits.connections[TG_TRANSACTIONAL], 5);
	flow("10.0.0.9", "x.org");
	cr_expect_eq(resolved.rate.count, 30);
	cr_expect_eq(resolved.limits.hour_cap[TG_TRANSACTIONAL], 100);
	flow("10.0.0.9", "other.org");
	expect_key(LIMIT_RATE, "t.yaml", 13);
	flow(NULL, "other.org");
	cr_expect_eq(resolved.rate.count, 30);
}

Test(levels, of_a_rate_start_anew_with_it)
{
	load(levels_file);
	flow(NULL,
	     "x.org"); /* the rate of line 1 has its own burst, and not the built-in ceiling */
	cr_expect_eq(resolved.limits.burst[TG_TRANSACTIONAL], 9);
	cr_expect_eq(resolved.limits.ceiling_interval_ns, 2 * S);
	cr_expect_eq(resolved.limits.start_interval_ns, 2 * S);
	cr_expect_eq(resolved.limits.floor_interval_ns, 3600 * S);
	cr_expect_eq(resolved.limits.flags & FLOW_ADAPT, FLOW_ADAPT);
	flow(NULL, "google"); /* that of line 8 has neither */
	cr_expect_eq(resolved.limits.burst[TG_TRANSACTIONAL], 1);
	cr_expect_eq(resolved.limits.ceiling_interval_ns, 3 * S);
	cr_expect_null(resolved.origin[LIMIT_BURST].file);
	load("");
	flow(NULL, "x.org"); /* the built-in one has all of its own */
	cr_expect_eq(resolved.limits.burst[TG_TRANSACTIONAL], 10);
	cr_expect_eq(resolved.limits.ceiling_interval_ns, 2000000);
}

Test(levels, of_totals_and_streams)
{
	uint8_t address[16];

	load(levels_file);
	address_from_text("10.0.0.9", address);
	limits_resolve_source(config, address, &resolved);
	cr_expect(resolved.rate.count == 10 && resolved.limits.burst[0] == 1);
	cr_expect_eq(resolved.limits.day_cap[0], 5000);
	address_from_text("10.0.0.8", address);
	limits_resolve_source(config, address, &resolved);
	cr_expect(resolved.rate.count == 100 && resolved.limits.burst[0] == 2);
	limits_resolve_source(config, NULL, &resolved);
	cr_expect_eq(resolved.limits.day_cap[0], 0);
	limits_resolve_destination(config, "google", &resolved);
	cr_expect_eq(resolved.limits.day_cap[TG_BULK], 99000);
	expect_key(LIMIT_DAY, "t.yaml", 8);
	limits_resolve_destination(config, "yahoo", &resolved);
	cr_expect_eq(limits_any(&resolved), false, "unlimited unless set");
	limits_resolve_destination(config, "unknown.org", &resolved);
	cr_expect_eq(limits_any(&resolved), false);
	limits_resolve_stream(config, "t", &resolved);
	cr_expect(resolved.rate.count == 1 && resolved.limits.hour_cap[0] == 500);
	limits_resolve_stream(config, "u", &resolved);
	cr_expect(resolved.rate.count == 0 && resolved.limits.hour_cap[0] == 500);
}

Test(text, says_value_and_origin)
{
	static const struct {
		enum config_limit key;
		const char *value;
		const char *origin;
	} rows[] = {
		{LIMIT_RATE, "20/min", "destinations.google.limits.rate, t.yaml line 8"},
		{LIMIT_BURST, "1", "default"},
		{LIMIT_HOUR, "900 (engaged 810, bulk 765)", "limits.hour, t.yaml line 1"},
		{LIMIT_DAY, "unlimited", "default"},
		{LIMIT_CEILING, "20/min", "default"},
		{LIMIT_FLOOR, "1/hr", "default"},
		{LIMIT_COUNT, "messages", "default"},
	};
	char text[256];

	load(levels_file);
	flow(NULL, "google");
	for (size_t i = 0; i < N(rows); i++) {
		cr_expect_str_eq(limits_value_text(&resolved, rows[i].key, text, sizeof(text)),
				 rows[i].value);
		cr_expect_str_eq(limits_origin_text(&resolved, rows[i].key, text, sizeof(text)),
				 rows[i].origin);
	}
}

/* ---- windows: the rate that comes out, run as greedily as can be ----------------------------- */

static uint64_t seed = 5;

static uint64_t dice(uint64_t sides)
{
	return random_below(&seed, sides);
}

#define SENT 3000

/* Takes messages one at a time, as soon as may be or after a pause, and returns the most in any
 * half-open window. */
static uint64_t max_in_window(uint64_t interval_ns, uint32_t burst, uint64_t window_ns)
{
	static uint64_t at[SENT];
	uint64_t rate = gcra_rate(interval_ns, burst);
	uint64_t tat = 0;
	uint64_t now = S;
	uint64_t max = 0;

	for (unsigned i = 0, first = 0; i < SENT; i++) {
		uint64_t earliest = gcra_earliest(tat, gcra_interval(rate), gcra_burst(rate), 1);

		now = earliest > now ? earliest : now;
		if (dice(40) == 0)
			now += dice(3 * window_ns);
		tat = gcra_charge(tat, now, gcra_interval(rate), 1);
		at[i] = now;
		while (at[i] - at[first] >= window_ns)
			first++;
		if (i - first + 1 > max)
			max = i - first + 1;
	}
	return max;
}

Test(window, of_a_strict_rate_never_holds_more_than_n)
{
	unsigned full = 0;

	for (int round = 0; round < 300; round++) {
		unsigned n = 1 + (unsigned)dice(60);
		unsigned burst = 1 + (unsigned)dice(n);
		unsigned period = 1 + (unsigned)dice(100);
		char file[160];
		uint64_t max;

		snprintf(file, sizeof(file),
			 "builtin: false\nlimits: {rate: %u/%us, burst: %u, strict: yes}\n", n,
			 period, burst);
		load(file);
		flow(NULL, "x.org");
		max = max_in_window(resolved.limits.interval_ns, resolved.limits.burst[0],
				    period * S);
		cr_assert_leq(max, n, "%s: %lu", file, max);
		full += max == n;
	}
	cr_expect_gt(full, 200, "N itself is reached: %u of 300", full);
}

Test(window, of_any_length_holds_at_most_what_is_said)
{
	for (int round = 0; round < 300; round++) {
		unsigned n = 1 + (unsigned)dice(60);
		uint64_t window = S * (1 + dice(200)) / (1 + dice(7));
		char file[160];

		snprintf(file, sizeof(file), "builtin: false\nlimits: {rate: %u/min, burst: %u}\n",
			 n, 1 + (unsigned)dice(100));
		load(file);
		flow(NULL, "x.org");
		cr_assert_leq(max_in_window(resolved.limits.interval_ns, resolved.limits.burst[0],
					    window),
			      limits_window_max(&resolved.limits, window), "%s", file);
	}
}

Test(check, finds_nothing_in_a_good_policy_and_a_shadow_where_there_is_one)
{
	struct limits_finding findings[LIMITS_FINDINGS_MAX];

	load("");
	flow("10.0.0.9", "google");
	cr_expect_eq(limits_check(&resolved, findings), 0);
	load(levels_file);
	flow("10.0.0.9", "google");
	cr_expect_eq(limits_check(&resolved, findings), 1);
	cr_expect(!findings[0].error && findings[0].key == LIMIT_HOUR &&
		  findings[0].other == LIMIT_RATE);
	config_free(config);
}

Test(levels, a_baseline_is_off_unless_it_is_written_and_has_floors)
{
	static const struct {
		const char *text;
		uint32_t factor, minute, day;
	} rows[] = {
		{"builtin: true\n", 0, 20, 2000},
		{"limits: {baseline: 1.5}\n", 1500, 20, 2000},
		{"limits: {baseline: 2, baseline_floor: {minute: 7, day: 900}}\n", 2000, 7, 900},
		{"limits: {baseline: 2}\ndestinations: [{name: google, limits: {baseline: off}}]\n",
		 0, 20, 2000},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[64];

		load(rows[i].text);
		flow(NULL, "google");
		cr_expect_eq(resolved.limits.baseline_factor, rows[i].factor, "row %zu", i);
		cr_expect_eq(resolved.limits.baseline_floor[0], rows[i].minute, "row %zu", i);
		cr_expect_eq(resolved.limits.baseline_floor[2], rows[i].day, "row %zu", i);
		limits_value_text(&resolved, LIMIT_BASELINE, text, sizeof(text));
		cr_expect_str_eq(text, rows[i].factor == 1500	? "1.5 times"
				       : rows[i].factor == 2000 ? "2 times"
								: "-");
	}
}
