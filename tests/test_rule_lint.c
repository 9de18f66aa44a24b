/* SPDX-License-Identifier: MIT
 *
 * What a rule file says that can never match or never act; and that ours says nothing of the kind.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/rules/rule_lint.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))

static const char *const destinations[] = {"google", "yahoo"};
static const char *const pools[] = {"shared"};

static int lint_text(const char *text, struct rule_warning **ret_warnings)
{
	struct rule_lint lint = {.destinations = destinations,
				 .destination_count = 2,
				 .pools = pools,
				 .pool_count = 1};
	struct yaml_error error = {.reason = ""};
	struct yaml_marks *marks;
	struct rule_file *file;
	int count;

	cr_assert_eq(rule_file_load(text, strlen(text), "t", &file, &marks, &error), 0, "%s: %s",
		     text, error.reason);
	lint.others = file->rules_count == 0
			      ? &(struct rule_file){.rules = &(struct rule){0}, .rules_count = 1}
			      : NULL;
	count = rule_file_lint(file, marks, &lint, ret_warnings);
	yaml_marks_free(marks);
	rule_file_free(file);
	return count;
}

Test(lint, finds_what_can_never_match_or_act)
{
	static const struct {
		const char *text;
		unsigned line, column;
		const char *reason;
	} rows[] = {
		{"classes:\n  - {name: a, class: rate, text: ['\\\\[TS\\\\]']}\n", 2, 0,
		 "escaped twice"},
		{"classes:\n  - {name: a, class: rate, text: ['a^b']}\n", 2, 0, "never match"},
		{"classes:\n  - {name: a, class: rate, text: [ok, '^Messages from']}\n", 2, 0,
		 "tied to the start"},
		{"classes:\n  - {name: a, class: rate, code: [451], text: ['^421 busy']}\n", 2, 0,
		 "excludes"},
		{"classes:\n  - {name: a, class: rate, text: ['busy  now']}\n", 2, 0, "two blanks"},
		{"classes:\n  - {name: a, class: rate, text: ['busy\\tnow\\t']}\n", 2, 0,
		 "control character"},
		{"classes:\n  - {name: a, class: rate, text: ['(busy)?']}\n", 2, 0, "every reply"},
		{"classes:\n  - {name: a, class: rate, text: ['a$b']}\n", 2, 0, "never match"},
		{"classes:\n  - {name: a, class: rate, text: ['[^\\s\\S]x']}\n", 2, 0,
		 "never match"},
		{"classes:\n  - {name: a, class: rate, text: ['(x+x+)+y']}\n", 2, 0,
		 "backtracks without end"},
		{"classes:\n  - {name: a, class: rate, text: ['(([a-z])+.)+Z{2}']}\n", 2, 0,
		 "backtracks without end"},
		{"classes:\n  - {name: a, class: rate, text: [x], not_text: ['(no|n|o)*later$']}\n",
		 2, 0, "backtracks without end"},
		{"classes:\n  - {name: a, class: rate, code: [4xx], enhanced: [5.7.1]}\n", 2, 0,
		 "class of its reply"},
		{"classes:\n  - {name: a, class: rate, text: [x], destination: [gogle]}\n", 2, 0,
		 "no destination"},
		{"classes:\n  - {name: a, class: rate, enhanced: [4.7.500-699]}\n"
		 "  - {name: b, class: reputation, enhanced: [4.7.650]}\n",
		 3, 5, "never reached"},
		{"classes:\n  - {name: a, class: rate, text: [x]}\n"
		 "  - {name: b, class: rate, code: [451], text: [x]}\n",
		 3, 5, "never reached"},
		{"rules:\n  - {name: a, match: {pool: [none]}, action: {hold: 5m}}\n", 2, 0,
		 "no pool"},
		{"rules:\n  - {name: a, match: {class: [policy], limit: [day]}, action: {hold: "
		 "5m}}\n",
		 2, 0, "have a limit"},
		{"rules:\n  - {name: a, action: {hold: 4d}}\n", 2, 0, "outlasts the queue"},
		{"rules:\n  - {name: a, action: {hold: 5m, hold_max: 73h}}\n", 2, 0,
		 "outlasts the queue"},
		{"rules:\n  - {name: a, action: {hold: 5m}}\n"
		 "  - {name: b, match: {class: [rate]}, trigger: 3/hr, action: {hold: 4m}}\n",
		 3, 5, "never win"},
		{"rules:\n  - {name: a, match: {class: [rate]}, trigger: 3/hr, action: {rate: "
		 "5/min}}\n"
		 "  - {name: b, action: {rate: 3/min}}\n",
		 2, 5, "never win"},
		{"rules:\n  - {name: a, match: {destination: [google]}, action: {hold: 5m}}\n", 0,
		 0, "reach the destination \"yahoo\""},
	};

	for (size_t i = 0; i < N(rows); i++) {
		struct rule_warning *warnings = NULL;
		int count = lint_text(rows[i].text, &warnings);

		cr_expect_eq(count, 1, "%s: %d warnings", rows[i].text, count);
		if (count < 1)
			continue;
		cr_expect_eq(warnings[0].mark.line, rows[i].line, "%s: line %u", rows[i].text,
			     warnings[0].mark.line);
		if (rows[i].column != 0)
			cr_expect_eq(warnings[0].mark.column, rows[i].column, "%s: column %u",
				     rows[i].text, warnings[0].mark.column);
		cr_expect_not_null(strstr(warnings[0].reason, rows[i].reason), "%s: %s",
				   rows[i].text, warnings[0].reason);
		free(warnings);
	}
}

Test(lint, says_nothing_of_what_can_act)
{
	static const char *const texts[] = {
		"classes:\n  - {name: a, class: rate, text: ['\\[TS\\d+\\]', '^4', '^451 x', "
		"'(?<!a)b', 'a\\\\ b']}\n",
		"classes:\n  - {name: a, class: rate, text: ['too many.*from.*ip', '(try )+later', "
		"'[a-z]+ [a-z]+ [a-z]+$', 'a{1,30}b{1,30}']}\n",
		"classes:\n  - {name: a, class: rate, code: [451], text: ['^451 x']}\n"
		"  - {name: b, class: rate, code: [451], text: [y]}\n",
		"classes:\n  - {name: a, class: rate, text: [x], not_text: [y]}\n  - {name: b, "
		"class: rate, text: [x]}\n",
		"classes:\n  - {name: a, class: reputation, enhanced: [4.7.650]}\n"
		"  - {name: b, class: rate, enhanced: [4.7.500-699]}\n",
		"classes:\n  - {name: a, class: rate, enhanced: [4.7.1], destination: [google]}\n"
		"  - {name: b, class: rate, enhanced: [x.7.1]}\n",
		"rules:\n  - {name: a, action: {hold: 5m, hold_max: 72h}}\n",
		"rules:\n  - {name: a, trigger: 3/hr, action: {hold: 5m}}\n"
		"  - {name: b, trigger: 9/hr, action: {hold: 50m}}\n",
		"rules:\n  - {name: a, action: {hold: 5m}}\n  - {name: b, action: {scale: 0.5}}\n",
		"rules:\n  - {name: a, action: {hold: 5m}}\n  - {name: b, action: {alert: {}}}\n",
		"rules:\n  - {name: a, match: {class: [rate], limit: [day]}, action: {hold: 5m}}\n"
		"  - {name: b, match: {class: [rate]}, action: {hold: 1m}}\n",
	};

	for (size_t i = 0; i < N(texts); i++) {
		struct rule_warning *warnings = NULL;
		int count = lint_text(texts[i], &warnings);

		cr_expect_eq(count, 0, "%s: %s", texts[i], count > 0 ? warnings[0].reason : "");
		free(warnings);
	}
}

Test(lint, finds_nothing_in_the_rules_we_ship)
{
	struct rule_warning *warnings = NULL;
	struct yaml_error error = {.reason = ""};
	struct yaml_marks *marks;
	struct rule_file *file;
	int count;

	cr_assert_eq(rule_file_builtin(&file, &marks, &error), 0, "%s", error.reason);
	count = rule_file_lint(file, marks, &(struct rule_lint){.queue_lifetime_ns = 0}, &warnings);
	for (int i = 0; i < count; i++)
		cr_expect_fail("%u:%u: %s", warnings[i].mark.line, warnings[i].mark.column,
			       warnings[i].reason);
	free(warnings);
	yaml_marks_free(marks);
	rule_file_free(file);
}
