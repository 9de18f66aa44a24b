/* SPDX-License-Identifier: MIT
 *
 * A log through classes and rules: its times, its lines, what would have been done.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/ingest/replay.h"
#include "tests/guard.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))

Test(replay, reads_times)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} rows[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-02-25T11:12:39Z", UINT64_C(1772017959000000000)},
		{"2026-02-25T11:12:39.245Z", UINT64_C(1772017959245000000)},
		{"2026-02-25T12:12:39.245+01:00", UINT64_C(1772017959245000000)},
		{"2026-02-25T06:12:39.5-0500", UINT64_C(1772017959500000000)},
		{"2026-02-25 11:12:39.123456789 Z", UINT64_C(1772017959123456789)},
		{"2026-02-25T11:12:39.1234567890123Z", UINT64_C(1772017959123456789)},
	};
	static const char *const bad[] = {"",
					  "2026-02-25",
					  "2026-02-25T11:12:39",
					  "2026-02-25T11:12:39+1",
					  "2026-02-25T11:12:39+25:00",
					  "1969-12-31T23:59:59Z",
					  "yesterday"};
	uint64_t ns = 7;
	char text[40];

	for (size_t i = 0; i < N(rows); i++) {
		cr_expect_eq(replay_time(guard_text(rows[i].text), &ns), 0, "%s", rows[i].text);
		cr_expect_eq(ns, rows[i].ns, "%s: %lu", rows[i].text, (unsigned long)ns);
	}
	for (size_t i = 0; i < N(bad); i++)
		cr_expect_eq(replay_time(guard_text(bad[i]), &ns), -EINVAL, "%s", bad[i]);
	cr_expect_str_eq(replay_time_text(UINT64_C(1772017959245000000), text, sizeof(text)),
			 "2026-02-25T11:12:39.245Z");
}

static const char rules_text[] =
	"builtin_rules: no\n"
	"classes:\n"
	"  - {name: fine, class: delivered, code: [2xx]}\n"
	"  - {name: slow, class: rate, limit: messages, text: [slow]}\n"
	"rules:\n"
	"  - {name: thrice, match: {class: [rate]}, trigger: 3/hr, action: {hold: 10m, hold_max: "
	"1h, rate: 6/hr}}\n"
	"  - {name: half, match: {class: [rate], pool: [shared]}, action: {scale: 0.5}}\n"
	"  - {name: share, match: {class: [rate]}, trigger: 50% of 4 in 1h, action: {alert: {}}}\n";

static char told[2048];
static struct rule_file *file;
static struct classifier *classifier;
static struct config *config;
static struct replay *replay;

static void tell(void *context, const struct replay_action *action)
{
	size_t at = strlen(told);

	snprintf(told + at, sizeof(told) - at, "%lu %s %s %g; ", (unsigned long)action->line,
		 action->effect->rule->name, rule_action_name(action->kind),
		 action->kind == RULE_HOLD ? action->effect->value / 1e9 : action->effect->value);
}

static void lines_replay(const char *config_text, const char *const *lines, size_t count,
			 const struct replay_total **ret_totals, unsigned *ret_count)
{
	struct yaml_error error = {.reason = ""};
	struct classify_error fault = {.reason = ""};
	struct diagnostics report = {.count = 0};
	const char *reason;

	told[0] = '\0';
	cr_assert_eq(rule_file_load(rules_text, strlen(rules_text), "t", &file, NULL, &error), 0,
		     "%s", error.reason);
	cr_assert_eq(classifier_create(file, NULL, &classifier, &fault), 0, "%s", fault.reason);
	cr_assert_eq(
		config_load(config_text, strlen(config_text), "t", NULL, NULL, &config, &report),
		0);
	cr_assert_eq(replay_create(classifier, config, tell, NULL, &replay), 0);
	for (size_t i = 0; i < count; i++)
		cr_expect_eq(replay_line(replay, guard_copy(lines[i], strlen(lines[i])),
					 strlen(lines[i]), &reason),
			     0, "%s: %s", lines[i], reason);
	*ret_count = replay_totals(replay, ret_totals);
	diagnostics_free(&report);
}

static void release(void)
{
	replay_free(replay);
	config_free(config);
	classifier_free(classifier);
	rule_file_free(file);
}

#define LINE(time, destination, reply)                                                    \
	"{\"time\": " time ", \"source\": \"192.0.2.1\", \"destination\": \"" destination \
	"\", \"pool\": \"shared\", \"reply\": \"" reply "\", \"more\": [1]}"

Test(replay, says_what_would_have_been_done)
{
	static const char *const lines[] = {
		LINE("1000", "hotmail.com", "250 ok"),
		LINE("1100", "x.olc.protection.outlook.com", "451 slow"),
		LINE("1200.5", "microsoft-consumer", "451 slow"),
		LINE("1300", "hotmail.com", "451 slow"), /* the third: 10 min */
		LINE("1400", "hotmail.com", "451 slow"), /* while it would have been held */
		LINE("2000", "hotmail.com", "451 slow"),
		LINE("2100", "hotmail.com", "451 slow"),
		LINE("2200", "hotmail.com", "451 slow"), /* again: 20 min */
		LINE("2200", "gmail.com", "451 slow"),	 /* another flow */
	};
	const struct replay_total *totals;
	unsigned count;

	/* The rules alone. */
	lines_replay("limits: {adapt: false}\n", lines, N(lines), &totals, &count);
	cr_expect_str_eq(
		told,
		"2 half scale 0.5; 3 half scale 0.5; "
		"4 thrice hold 600; 4 half scale 0.5; 4 thrice rate 0.00166667; 4 share alert 0; "
		"5 half scale 0.5; 6 half scale 0.5; 7 half scale 0.5; "
		"8 thrice hold 1200; 8 half scale 0.5; 8 thrice rate 0.00166667; "
		"9 half scale 0.5; ");
	cr_assert_eq(count, 2);
	cr_expect_str_eq(totals[0].destination, "microsoft-consumer");
	cr_expect_eq(totals[0].replies, 8);
	cr_expect_eq(totals[0].classes[REPLY_DELIVERED], 1);
	cr_expect_eq(totals[0].classes[REPLY_RATE], 7);
	cr_expect_eq(totals[0].actions[RULE_HOLD], 2);
	cr_expect_eq(totals[0].held_ns, 30 * UNITS_MINUTE_NS);
	cr_expect_eq(totals[0].while_held, 1);
	cr_expect_eq(totals[0].first_ns, 1100 * UNITS_SECOND_NS);
	cr_expect_str_eq(totals[1].destination, "google");
	release();
}

Test(replay, says_what_the_controller_would_have_done)
{
	static const char *const lines[] = {
		LINE("1000", "hotmail.com", "250 ok"),
		LINE("1100", "hotmail.com", "451 slow"),
		LINE("1200", "hotmail.com", "250 ok"),
	};
	const struct replay_total *totals;
	unsigned count;

	lines_replay("limits: {adapt: true, rate: 60/min}\n", lines, N(lines), &totals, &count);
	cr_expect_neq(strstr(told, "2 controller hold "), NULL, "%s", told);
	cr_expect_eq(totals[0].actions[RULE_HOLD], 1);
	cr_expect_gt(totals[0].held_ns, 0);
}

Test(replay, refuses_lines_that_are_none)
{
	static const char *const lines[] = {
		"",
		"1",
		"[]",
		"{",
		"{}",
		"{\"time\": 1}",
		"{\"time\": -1, \"source\": \"a\"}",
		"{\"time\": 1, \"source\": \"a\", \"destination\": \"b\"}",
		"{\"time\": 1, \"source\": 5, \"destination\": \"b\", \"reply\": \"451\"}",
		"{\"time\": 1, \"source\": \"mta.1\", \"destination\": \"b\", \"reply\": \"451\"}",
		LINE("1e300", "b", "451"),
		LINE("\"9999-01-01T00:00:00Z\"", "b", "451"),
		LINE("1", "b\\u001b[31m", "451"),
		LINE("1", "", "451"),
		LINE("1", "a..b", "451"),
	};
	struct diagnostics report = {.count = 0};
	struct classify_error fault;
	struct yaml_error error;
	const char *reason;

	cr_assert_eq(rule_file_load(rules_text, strlen(rules_text), "t", &file, NULL, &error), 0);
	cr_assert_eq(classifier_create(file, NULL, &classifier, &fault), 0);
	cr_assert_eq(config_builtin(NULL, &config, &report), 0);
	diagnostics_free(&report);
	cr_assert_eq(replay_create(classifier, config, tell, NULL, &replay), 0);
	for (size_t i = 0; i < N(lines); i++)
		cr_expect_eq(replay_line(replay, guard_copy(lines[i], strlen(lines[i])),
					 strlen(lines[i]), &reason),
			     -EINVAL, "%s", lines[i]);
	release();
}
