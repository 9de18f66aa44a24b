/* SPDX-License-Identifier: MIT
 *
 * Rules: what they match, when they fire, what stands when several do. Time is an argument.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "sidecar/alert/command.h"
#include "sidecar/base/units.h"
#include "sidecar/rules/rule_engine.h"
#include "sidecar/rules/rule_window.h"
#include "tests/guard.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))
#define S	 UNITS_SECOND_NS
#define M	 UNITS_MINUTE_NS
#define H	 UNITS_HOUR_NS
#define D	 UNITS_DAY_NS

/* ---- windows ----------------------------------------------------------------------------------
 */
static struct rule_trigger trigger_of(const char *text)
{
	struct rule_trigger trigger;
	const char *reason = "";

	cr_assert_eq(rule_parse_trigger(text, &trigger, &reason), 0, "%s: %s", text, reason);
	return trigger;
}

Test(trigger, is_read_as_people_write_it)
{
	static const struct {
		const char *text;
		struct rule_trigger trigger;
	} rows[] = {
		{"immediate", {RULE_IMMEDIATE, 0, 0, 0}},
		{"3/hr", {RULE_COUNT, 3, 0, H}},
		{"5/30min", {RULE_COUNT, 5, 0, 30 * M}},
		{"1,000/day", {RULE_COUNT, 1000, 0, D}},
		{"10% of 50 in 15m", {RULE_RATIO, 50, 100000, 15 * M}},
		{"10 % of \xE2\x89\xA5 50 attempts in 15 min", {RULE_RATIO, 50, 100000, 15 * M}},
		{"0.5 % of >= 1000 in 1h", {RULE_RATIO, 1000, 5000, H}},
		{"growth 50% of 200", {RULE_GROWTH, 200, 500000, D}},
	};
	static const char *const bad[] = {"",
					  "3",
					  "3/",
					  "0/hr",
					  "10% of 50",
					  "10% in 15m",
					  "120% of 50 in 1m",
					  "growth 50% of 200 in 1h",
					  "unlimited",
					  "3/500ms",
					  "3/60d",
					  "-1/hr",
					  "10% of 0 in 1h",
					  "sometimes"};
	struct rule_trigger trigger;
	const char *reason;

	for (size_t i = 0; i < N(rows); i++) {
		trigger = trigger_of(rows[i].text);
		cr_expect_eq(trigger.kind, rows[i].trigger.kind, "%s", rows[i].text);
		cr_expect_eq(trigger.count, rows[i].trigger.count, "%s", rows[i].text);
		cr_expect_eq(trigger.millionths, rows[i].trigger.millionths, "%s", rows[i].text);
		cr_expect_eq(trigger.period_ns, rows[i].trigger.period_ns, "%s", rows[i].text);
	}
	for (size_t i = 0; i < N(bad); i++)
		cr_expect_eq(rule_parse_trigger(guard_text(bad[i]), &trigger, &reason), -EINVAL,
			     "%s", bad[i]);
}

/* Just as large as the trigger needs, so that a sanitizer sees who goes further. */
static struct rule_window *window_of(const struct rule_trigger *trigger)
{
	struct rule_window *window =
		calloc(1, sizeof(*window) + rule_window_words(trigger) * sizeof(window->words[0]));

	cr_assert_not_null(window);
	return window;
}

Test(window, fires_at_the_third_within_any_hour)
{
	static const struct {
		uint64_t at[6];
		int fires; /* index, -1: never */
	} rows[] = {
		{{0, 1, 2}, 2},
		{{0, 30 * M, 60 * M - 1}, 2},
		{{0, 30 * M, 60 * M}, -1},	   /* the first is an hour old */
		{{50 * M, 70 * M, 80 * M}, 2},	   /* across the clock's hour */
		{{0, 59 * M, 61 * M, 118 * M}, 3}, /* 59, 61, 118 */
		{{0, 59 * M, 61 * M, 119 * M}, -1},
		{{90 * M, 10 * M, 20 * M}, 2}, /* the clock went backwards */
	};
	struct rule_trigger trigger = trigger_of("3/hr");

	for (size_t i = 0; i < N(rows); i++) {
		struct rule_window *window = window_of(&trigger);
		int fired = -1;

		for (int k = 0; k < 6 && (k == 0 || rows[i].at[k] != 0); k++)
			if (rule_window_add(window, &trigger, 1, 1, 1000 * D + rows[i].at[k]) &&
			    fired < 0)
				fired = k;
		cr_expect_eq(fired, rows[i].fires, "row %zu: %d", i, fired);
		free(window);
	}
}

Test(window, starts_anew_when_it_has_fired)
{
	struct rule_trigger trigger = trigger_of("3/hr");
	struct rule_window *window = window_of(&trigger);
	unsigned fired = 0;

	for (unsigned i = 0; i < 9; i++)
		fired += rule_window_add(window, &trigger, 1, 1, D + i * S);
	cr_expect_eq(fired, 3);
	free(window);
}

Test(window, of_a_large_count_never_counts_what_is_older_than_the_period)
{
	struct rule_trigger trigger = trigger_of("100/hr");
	struct rule_window *window = window_of(&trigger);

	/* 99 in one hour, and then one each 37 seconds: never 100 within an hour. */
	for (unsigned i = 0; i < 1000; i++)
		cr_assert_not(rule_window_add(window, &trigger, 1, 1, D + i * 37 * S), "%u", i);
	/* One each 30 seconds are 120 an hour. */
	for (unsigned i = 0; i < 240; i++)
		if (rule_window_add(window, &trigger, 1, 1, 2 * D + i * 30 * S)) {
			cr_expect_geq(i, 99);
			free(window);
			return;
		}
	cr_expect_fail("did not fire");
	free(window);
}

Test(window, needs_a_share_of_a_minimum_sample)
{
	struct rule_trigger trigger = trigger_of("10% of 50 in 15m");
	struct rule_window *window = window_of(&trigger);

	/* 40 attempts, all hits: too few to tell. */
	for (unsigned i = 0; i < 49; i++)
		cr_assert_not(rule_window_add(window, &trigger, 1, 1, D + i * S), "%u", i);
	cr_expect(rule_window_add(window, &trigger, 1, 1, D + 49 * S));
	/* 1,000 deliveries and then 99 hits are less than a tenth, 112 are a tenth. */
	cr_expect_not(rule_window_add(window, &trigger, 1000, 0, D + M));
	for (unsigned i = 0; i < 111; i++)
		cr_assert_not(rule_window_add(window, &trigger, 1, 1, D + 2 * M), "%u", i);
	cr_expect(rule_window_add(window, &trigger, 1, 1, D + 2 * M));
	/* What is older than the period counts no more. */
	cr_expect_not(rule_window_add(window, &trigger, 1000, 0, 2 * D));
	for (unsigned i = 0; i < 49; i++)
		cr_assert_not(rule_window_add(window, &trigger, 1, 1, 2 * D + 16 * M), "%u", i);
	cr_expect(rule_window_add(window, &trigger, 1, 1, 2 * D + 16 * M));
	free(window);
}

Test(window, sees_a_share_grow_from_day_to_day)
{
	struct rule_trigger trigger = trigger_of("growth 50% of 200");
	struct rule_window *window = window_of(&trigger);

	cr_expect_not(rule_window_add(window, &trigger, 980, 0, 10 * D + H));
	cr_expect_not(rule_window_add(window, &trigger, 20, 20, 10 * D + 2 * H)); /* 2 % */
	cr_expect_not(rule_window_add(window, &trigger, 971, 0, 11 * D + H));
	cr_expect_not(rule_window_add(window, &trigger, 29, 28, 11 * D + 2 * H)); /* 2.8 % */
	cr_expect(rule_window_add(window, &trigger, 3, 3, 11 * D + 3 * H)); /* 3.1 %, half more */
	cr_expect_not(rule_window_add(window, &trigger, 9, 9, 11 * D + 4 * H), "once a day");
	/* A day without enough mail is no base. */
	cr_expect_not(rule_window_add(window, &trigger, 100, 100, 13 * D));
	cr_expect_not(rule_window_add(window, &trigger, 500, 500, 14 * D));
	free(window);
}

Test(window, holds_at_the_ends_of_its_numbers)
{
	static const char *const texts[] = {"3/hr", "100/hr", "10% of 50 in 15m",
					    "growth 50% of 200"};

	for (size_t i = 0; i < N(texts); i++) {
		struct rule_trigger trigger = trigger_of(texts[i]);
		struct rule_window *window = window_of(&trigger);
		uint32_t attempts, hits;

		rule_window_add(window, &trigger, UINT32_MAX, 1, UINT64_MAX - H);
		rule_window_add(window, &trigger, UINT32_MAX, UINT32_MAX, UINT64_MAX - 1);
		rule_window_add(window, &trigger, 1, 1, 0);
		rule_window_sum(window, &trigger, 0, &attempts, &hits);
		cr_expect_leq(hits, attempts == 0 ? 3u : attempts, "%s", texts[i]);
		free(window);
	}
}

/* ---- rules ------------------------------------------------------------------------------------
 */
static struct rule_file *file;
static struct classifier *classifier;
static struct classify_scratch *scratch;
static struct rule_set *set;
static struct rule_engine *engine;

static void load(const char *text)
{
	struct yaml_error error = {.reason = ""};
	struct classify_error fault = {.reason = ""};

	cr_assert_eq(rule_file_load(text, strlen(text), "t", &file, NULL, &error), 0, "%s",
		     error.reason);
	cr_assert_eq(classifier_create(file, NULL, &classifier, &fault), 0, "%s", fault.reason);
	cr_assert_eq(classify_scratch_create(classifier, &scratch), 0);
	cr_assert_eq(rule_set_create(classifier, &set), 0);
	if (engine == NULL)
		cr_assert_eq(rule_engine_create(0, &engine), 0);
}

static void unload_rules(void)
{
	rule_set_free(set);
	classify_scratch_free(scratch);
	classifier_free(classifier);
	rule_file_free(file);
}

static void unload(void)
{
	unload_rules();
	rule_engine_free(engine);
	engine = NULL;
}

static uint32_t recent = RULE_RECENT_UNKNOWN;

static struct rule_verdict answer(const char *destination, const char *text, uint64_t now_ns)
{
	const struct rule_flow flow = {7, "192.0.2.1", destination, "shared", recent, false};
	struct classification found;
	struct rule_verdict verdict;
	struct reply_line line;

	reply_line_parse(text, strlen(text), &line);
	classify(classifier, scratch, destination, &line, &found);
	cr_assert_eq(rule_engine_evaluate(engine, set, &flow,
					  &(struct rule_reply){&found, line.code, line.enhanced,
							       classifier, scratch},
					  now_ns, &verdict),
		     0);
	return verdict;
}

#define CLASSES                                                                         \
	"classes:\n"                                                                    \
	"  - {name: slow, class: rate, limit: hour, text: [slow]}\n"                    \
	"  - {name: domain, class: blocklist, text: [domain listed], lowers_cap: no}\n" \
	"  - {name: listed, class: blocklist, text: [listed]}\n"                        \
	"  - {name: fine, class: delivered, code: [2xx]}\n"

Test(rule, matches_by_all_that_it_asks_for)
{
	static const struct {
		const char *match, *destination, *text;
		bool fires;
	} rows[] = {
		{"{}", "a", "451 x", true},
		{"{}", "a", "250 x", false}, /* a delivery only where asked for */
		{"{class: [delivered]}", "a", "250 x", true},
		{"{class: [rate]}", "a", "451 slow", true},
		{"{class: [rate]}", "a", "451 x", false},
		{"{class: [rate, other]}", "a", "451 x", true},
		{"{class: [blocklist], lowers_cap: yes}", "a", "550 listed", true},
		{"{class: [blocklist], lowers_cap: yes}", "a", "550 domain listed", false},
		{"{lowers_cap: no}", "a", "550 domain listed", true},
		{"{lowers_cap: no}", "a", "451 slow", false},
		{"{limit: [hour]}", "a", "451 slow", true},
		{"{limit: [day]}", "a", "451 slow", false},
		{"{code: [45x]}", "a", "450 x", true},
		{"{code: [45x]}", "a", "421 x", false},
		{"{enhanced: [4.7.0-9]}", "a", "451 4.7.9 x", true},
		{"{enhanced: [4.7.0-9]}", "a", "451 4.7.10 x", false},
		{"{enhanced: [x.7.1]}", "a", "550 5.7.1 x", true},
		{"{enhanced: [x.7.1]}", "a", "550 x", false},
		{"{text: ['^451 4\\.7\\.1 gr.y']}", "a", "451 4.7.1 GREY", true},
		{"{text: [grey], not_text: [not]}", "a", "451 not grey", false},
		{"{destination: [a, b]}", "b", "451 x", true},
		{"{destination: [a, b]}", "c", "451 x", false},
		{"{destination: [a]}", NULL, "451 x", false},
		{"{source: [192.0.2.1]}", "a", "451 x", true},
		{"{source: [192.0.2.2]}", "a", "451 x", false},
		{"{source: [198.51.100.1, 192.0.2.0/28]}", "a", "451 x", true},
		{"{source: [192.0.2.2-192.0.2.9]}", "a", "451 x", false},
		{"{pool: [shared]}", "a", "451 x", true},
		{"{pool: [other]}", "a", "451 x", false},
		{"{class: [rate], code: [451], destination: [a]}", "a", "451 slow", true},
		{"{class: [rate], code: [452], destination: [a]}", "a", "451 slow", false},
	};

	for (size_t i = 0; i < N(rows); i++) {
		char text[512];

		snprintf(text, sizeof(text),
			 CLASSES "rules:\n  - {name: r, match: %s, action: {hold: 1m}}\n",
			 rows[i].match);
		load(text);
		cr_expect_eq(answer(rows[i].destination, rows[i].text, D).fired_count,
			     rows[i].fires, "%s: %s", rows[i].match, rows[i].text);
		unload();
	}
}

Test(rule, hold_doubles_when_it_repeats_within_a_day)
{
	struct rule_verdict verdict;
	uint64_t now = 10 * D;

	load(CLASSES "rules:\n  - {name: r, match: {class: [blocklist]}, action: {hold: 5m, "
		     "hold_max: 15m}}\n");
	for (unsigned i = 0; i < 4; i++) {
		static const uint64_t holds[] = {5 * M, 10 * M, 15 * M, 15 * M};

		verdict = answer("a", "550 listed", now);
		cr_expect_eq((uint64_t)verdict.effect[RULE_HOLD].value, holds[i], "%u", i);
		cr_expect_eq(verdict.effect[RULE_HOLD].until_ns, now + holds[i]);
		cr_expect_eq(answer("a", "550 listed", now + M).fired_count, 0,
			     "what comes while it holds");
		now += holds[i];
	}
	verdict = answer("a", "550 listed", now + D + 1);
	cr_expect_eq((uint64_t)verdict.effect[RULE_HOLD].value, 5 * M,
		     "after a day it begins anew");
	unload();
}

Test(rule, without_a_bound_never_doubles)
{
	load(CLASSES "rules:\n  - {name: r, action: {hold: 5m}}\n");
	for (unsigned i = 0; i < 4; i++)
		cr_expect_eq((uint64_t)answer("a", "451 x", D + i * H).effect[RULE_HOLD].value,
			     5 * M);
	unload();
}

Test(rule, of_several_the_strictest_stands_and_is_named)
{
	struct rule_verdict verdict;

	load(CLASSES
	     "rules:\n"
	     "  - {name: a, action: {hold: 5m, rate: 10/min, connections: 4, for: 2h}}\n"
	     "  - {name: b, action: {hold: 9m, scale: 0.5, connections: 2, per_connection: 20}}\n"
	     "  - {name: c, action: {rate: 5/min, scale: 0.25, connections: 2, warmup_step_back: 2}}\n"
	     "  - {name: d, match: {class: [rate]}, action: {hold: 1d}}\n");
	verdict = answer("a", "451 x", D);
	cr_expect_eq(verdict.fired_count, 3);
	cr_expect_str_eq(verdict.effect[RULE_HOLD].rule->name, "b");
	cr_expect_str_eq(verdict.effect[RULE_RATE].rule->name, "c");
	cr_expect_float_eq(verdict.effect[RULE_RATE].value, 5.0 / 60, 1e-9);
	cr_expect_eq(verdict.effect[RULE_RATE].until_ns, D + H);
	cr_expect_str_eq(verdict.effect[RULE_SCALE].rule->name, "c");
	cr_expect_str_eq(verdict.effect[RULE_CONNECTIONS].rule->name, "b", "of equals the first");
	cr_expect_eq(verdict.effect[RULE_PER_CONNECTION].value, 20);
	cr_expect_eq(verdict.effect[RULE_WARMUP_STEP_BACK].value, 2);
	cr_expect_null(verdict.effect[RULE_ALERT].rule);
	unload();
}

Test(rule, alerts_once_until_it_clears)
{
	load(CLASSES "rules:\n  - {name: r, action: {alert: {command: [/bin/true]}, for: 1h}}\n");
	cr_expect_eq(answer("a", "451 x", D).alert_count, 1);
	cr_expect_eq(answer("a", "451 x", D + 30 * M).alert_count, 0);
	cr_expect_eq(answer("a", "451 x", D + 89 * M).alert_count, 0,
		     "trouble goes on, so it stands");
	cr_expect_eq(answer("a", "451 x", D + 149 * M).alert_count, 1,
		     "an hour of quiet cleared it");
	unload();
}

Test(rule, counts_deliveries_for_a_ratio)
{
	const struct rule_flow flow = {7, "192.0.2.1", "a", "shared", RULE_RECENT_UNKNOWN, false},
			       other = {8, "192.0.2.1", "a", "shared", RULE_RECENT_UNKNOWN, false};
	unsigned fired = 0;

	load(CLASSES "rules:\n  - {name: r, match: {class: [rate]}, trigger: 10% of 50 in 15m, "
		     "action: {scale: 0.5}}\n");
	rule_engine_attempts(engine, set, &flow, 900, D);
	rule_engine_attempts(engine, set, &other, 1000000, D);
	for (unsigned i = 0; i < 99; i++)
		fired += answer("a", "451 slow", D + i * S).fired_count;
	cr_expect_eq(fired, 0);
	cr_expect_eq(answer("a", "451 slow", D + 99 * S).fired_count, 1, "100 of 1,000");
	unload();
}

Test(rule, keeps_its_window_through_a_reload)
{
	static const char text[] = "rules:\n  - {name: r, trigger: 3/hr, action: {hold: 5m}}\n";

	load(text);
	answer("a", "451 x", D);
	answer("a", "451 x", D + M);
	unload_rules();
	load("rules:\n  - {name: new, trigger: 9/hr, action: {hold: 5m}}\n"
	     "  - {name: r, trigger: 3/hr, action: {hold: 5m}}\n");
	cr_expect_eq(answer("a", "451 x", D + 2 * M).fired_count, 1);
	unload();
}

/* What was counted for one trigger says nothing for another, nor has it the room; nothing that
 * stood under the old one may keep the new one from firing, or make it fire. */
Test(rule, begins_its_window_anew_when_a_reload_changes_the_trigger)
{
	static const struct {
		const char *before, *after;
		unsigned fires; /* at the so many-th reply under the new one */
	} rows[] = {
		{"3/hr", "4/hr", 4},
		{"3/hr", "40/hr", 40},
		{"40/hr", "3/hr", 3},
		{"40/hr", "40/2hr", 40},
		{"100% of 50 in 1m", "100% of 50 in 1d", 50}, /* whose slots have lower numbers */
		{"3/hr", "100% of 50 in 1h", 50},
		{"growth 50% of 200", "100% of 50 in 1d", 50},
		{"3/hr", "growth 50% of 200", 0},
		{"growth 50% of 200", "3/hr", 3},
		{"immediate", "5/hr", 5},
		{"5/hr", "immediate", 1},
	};
	char text[200];

	for (size_t i = 0; i < N(rows); i++) {
		unsigned fired = 0, n = 0;

		snprintf(text, sizeof(text),
			 "rules:\n  - {name: r, trigger: %s, action: {alert: {}}}\n",
			 rows[i].before);
		load(text);
		answer("a", "451 x", 10 * D);
		answer("a", "451 x", 10 * D + S);
		unload_rules();
		snprintf(text, sizeof(text),
			 "rules:\n  - {name: r, trigger: %s, action: {alert: {}}}\n",
			 rows[i].after);
		load(text);
		cr_expect_gt(rule_engine_describe(engine, set, &(struct rule_flow){.id = 7},
						  10 * D + 2 * S, text, sizeof(text)),
			     0);
		while (!fired && n++ < 60)
			fired = answer("a", "451 x", 10 * D + (2 + n) * S).fired_count;
		cr_expect_eq(fired ? n : 0, rows[i].fires, "%s to %s: %u", rows[i].before,
			     rows[i].after, n);
		unload();
	}
}

Test(rule, forgets_flows_that_are_long_quiet)
{
	struct classification found = {REPLY_OTHER, REPLY_LIMIT_NONE, false, "-"};
	struct rule_reply reply = {&found, 451, 0, NULL, NULL};
	struct rule_verdict verdict;

	load("rules:\n  - {name: r, trigger: 3/hr, action: {hold: 5m}}\n");
	for (uint64_t id = 0; id < 20000; id++)
		rule_engine_evaluate(
			engine, set,
			&(struct rule_flow){id, NULL, NULL, NULL, RULE_RECENT_UNKNOWN, false},
			&reply, D + id * M, &verdict);
	cr_expect_lt(rule_engine_windows(engine), 2 * 2 * 24 * 60 + 64);
	unload();
}

Test(rule, says_in_words_what_it_remembers)
{
	const struct rule_flow flow = {7, "192.0.2.1", "a", "shared", RULE_RECENT_UNKNOWN, false};
	char text[256], tiny[8];

	load("rules:\n  - {name: r, trigger: 3/hr, action: {hold: 5m}}\n  - {name: s, action: "
	     "{hold: 1h}}\n");
	answer("a", "451 x", D);
	answer("a", "451 x", D + M);
	rule_engine_describe(engine, set, &flow, D + M, text, sizeof(text));
	cr_expect_str_eq(text,
			 "r (3/hr): 2 replies\ns (immediate): 0 replies; held for another 59m\n");
	cr_expect_eq(rule_engine_describe(engine, set, &flow, D + M, tiny, sizeof(tiny)),
		     (int)strlen(text));
	unload();
}

Test(rule, days_are_those_of_a_wall_clock_that_was_set_since)
{
	load(CLASSES "rules:\n"
		     "  - {name: more, match: {class: [rate]}, trigger: growth 50% of 2, "
		     "action: {hold: 1h}}\n");
	answer("a", "250 x", D);
	answer("a", "250 x", D);
	cr_expect_eq(answer("a", "451 slow", D + M).fired_count, 0, "nothing to compare with");
	rule_engine_wall_offset(engine, (int64_t)D);
	answer("a", "250 x", D + 2 * M);
	cr_expect_eq(answer("a", "451 slow", D + 3 * M).fired_count, 1);
	unload();
}

Test(rule, of_ours_hold_a_listed_address)
{
	struct yaml_error error = {.reason = ""};
	struct classify_error fault = {.reason = ""};
	struct rule_verdict verdict;

	cr_assert_eq(rule_file_builtin(&file, NULL, &error), 0, "%s", error.reason);
	cr_assert_eq(classifier_create(NULL, file, &classifier, &fault), 0, "%s", fault.reason);
	cr_assert_eq(classify_scratch_create(classifier, &scratch), 0);
	cr_assert_eq(rule_set_create(classifier, &set), 0);
	cr_assert_eq(rule_engine_create(0, &engine), 0);
	for (unsigned i = 0; i < 3; i++)
		verdict = answer("a",
				 "554 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org",
				 D + i * M);
	cr_expect_str_eq(verdict.effect[RULE_HOLD].rule->name, "blocklisted");
	cr_expect_eq(verdict.alert_count, 1);
	for (unsigned i = 0; i < 9; i++)
		verdict =
			answer("b", "550 5.7.1 Sender domain example.com listed in DBL", D + i * M);
	cr_expect_null(verdict.effect[RULE_HOLD].rule, "a domain is not the address");
	unload();
}

/* ---- alerts -----------------------------------------------------------------------------------
 */
static int run(char **command, unsigned count, bool kill_it)
{
	struct rule_alert alert = {command, count, NULL};
	struct alert_command_run child;
	int status = -1;

	cr_assert_eq(alert_command_start(&alert,
					 &(struct alert_command_about){.rule = "r",
								       .source = "192.0.2.1",
								       .destination = "d",
								       .class = "rate",
								       .reply = "451 $(x) 'y'"},
					 10 * S, 5 * S, &child),
		     0);
	cr_expect_eq(child.deadline_ns, 15 * S);
	if (kill_it) {
		cr_expect_eq(alert_command_finish(&child, &status), -EAGAIN);
		alert_command_kill(&child);
	}
	cr_assert_eq(poll(&(struct pollfd){child.pidfd, POLLIN, 0}, 1, 20000), 1);
	cr_expect_eq(alert_command_finish(&child, &status), 0);
	return status;
}

Test(alert, runs_a_command_with_the_facts_in_its_environment)
{
	static char script[] =
		"test \"$TOLLGATE_RULE $TOLLGATE_SOURCE $TOLLGATE_DESTINATION $TOLLGATE_CLASS\" = "
		"'r 192.0.2.1 d rate' && test \"$TOLLGATE_REPLY\" = \"451 \\$(x) 'y'\" && exit 42";
	char *command[] = {(char *)"sh", (char *)"-c", script};
	int status = run(command, 3, false);

	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 42, "%x", (unsigned)status);
}

Test(alert, is_killed_with_all_that_it_started)
{
	char *command[] = {(char *)"sh", (char *)"-c", (char *)"sleep 1000 & wait"};
	int status = run(command, 3, true);

	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

Test(alert, without_a_command_or_with_a_missing_one_says_so)
{
	char *missing[] = {(char *)"/nonexistent/command"};
	struct rule_alert alert = {missing, 1, NULL};
	struct alert_command_run child;

	cr_expect_eq(alert_command_start(&alert, &(struct alert_command_about){0}, S, 0, &child),
		     -ENOENT);
	alert.command_count = 0;
	cr_expect_eq(alert_command_start(&alert, &(struct alert_command_about){0}, S, 0, &child),
		     -ENOENT);
}

Test(rule, remembers_attempts_of_those_alone_who_send_enough_for_it)
{
	struct rule_flow flow = {7, "192.0.2.1", "a", "shared", 0, false};
	unsigned fired = 0;

	load(CLASSES "rules:\n  - {name: r, match: {class: [rate]}, trigger: 10% of 50 in 15m, "
		     "action: {scale: 0.5}}\n");
	rule_engine_attempts(engine, set, &flow, 10, D);
	cr_expect_eq(rule_engine_windows(engine), 0);
	/* Three hundred in the last hour are seventy-five in a quarter of it: the ninth refusal is
	 * the tenth part. */
	recent = 300;
	for (uint64_t i = 0; i < 8; i++)
		fired += answer("a", "451 slow", D + i * S).fired_count;
	cr_expect_eq(fired, 0);
	cr_expect_eq(answer("a", "451 slow", D + 8 * S).fired_count, 1);
	cr_expect_eq(rule_engine_windows(engine), 1);
	unload();
}

/* A million flows that do not warm up must not cost what those do that do. */
Test(rule, that_acts_on_warm_up_alone_remembers_no_flow_without_one)
{
	struct rule_flow flow = {7, "192.0.2.1", "a", "shared", 1000, true};

	load(CLASSES "rules:\n  - {name: r, match: {class: [rate]}, trigger: 10% of 50 in 15m, "
		     "action: {warmup_step_back: 1}}\n");
	rule_engine_attempts(engine, set, &flow, 1000, D);
	cr_expect_eq(rule_engine_windows(engine), 0);
	flow.settled = false;
	rule_engine_attempts(engine, set, &flow, 1000, D);
	cr_expect_eq(rule_engine_windows(engine), 1);
	unload();
}
