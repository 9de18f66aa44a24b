/* SPDX-License-Identifier: MIT */
#include "sidecar/rules/rule_lint.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sidecar/base/units.h"
#include "sidecar/rules/pattern_pcre.h"
#include "sidecar/rules/pattern_set.h"
#include "sidecar/rules/rule_parse.h"
#include "sidecar/rules/rule_subsume.h"

struct list {
	const struct yaml_marks *marks;
	struct rule_warning *warnings;
	unsigned count;
	bool failed;
};

__attribute__((format(printf, 3, 4))) static void warn(struct list *list, const char *path,
						       const char *format, ...)
{
	struct rule_warning *grown = realloc(list->warnings, (list->count + 1) * sizeof(*grown)),
			    *warning;
	va_list args;

	if (grown == NULL) {
		list->failed = true;
		return;
	}
	list->warnings = grown;
	warning = &grown[list->count++];
	*warning = (struct rule_warning){.path = ""};
	snprintf(warning->path, sizeof(warning->path), "%s", path);
	va_start(args, format);
	vsnprintf(warning->reason, sizeof(warning->reason), format, args);
	va_end(args);
	if (list->marks != NULL && *path != '\0')
		yaml_marks_find(list->marks, path, &warning->mark);
}

/* ---- expressions ------------------------------------------------------------------------------
 */
/* A reply has no backslash before a letter, dot, bracket or parenthesis: whoever asks for one has
 * escaped twice, as a quoted string of another format needs it. */
static bool escaped_twice(const char *pattern)
{
	for (const char *p = pattern; *p != '\0'; p++) {
		if (*p != '\\')
			continue;
		if (p[1] == '\\' && p[2] != '\0' && strchr("dDwWsSbB.[](){}+*?|^$-", p[2]) != NULL)
			return true;
		if (p[1] != '\0')
			p++;
	}
	return false;
}

/* "a^b", "a$b": a literal before the start, or behind the end. */
static bool anchor_inside(const char *pattern)
{
	int class = 0;

	for (const char *p = pattern; *p != '\0'; p++) {
		if (*p == '\\' && p[1] != '\0')
			p++;
		else if (*p == '[' && !class)
			class = 1;
		else if (*p == ']')
			class = 0;
		else if (!class && ((*p == '^' && p > pattern && isalnum((unsigned char)p[-1]) &&
				     (p - pattern < 2 || p[-2] != '\\')) ||
				    (*p == '$' && isalnum((unsigned char)p[1]) &&
				     (p[2] == '\0' || strchr("?*{", p[2]) == NULL))))
			return true;
	}
	return false;
}

/* What follows a leading ^, NULL if there is none that binds the whole expression. */
static const char *anchored(const char *pattern)
{
	int depth = 0;

	if (strncmp(pattern, "(?i)", 4) == 0)
		pattern += 4;
	if (*pattern != '^')
		return NULL;
	for (const char *p = pattern; *p != '\0'; p++) {
		if (*p == '\\' && p[1] != '\0')
			p++;
		else if (*p == '(' || *p == '[')
			depth++;
		else if (*p == ')' || *p == ']')
			depth--;
		else if (*p == '|' && depth == 0)
			return NULL;
	}
	return pattern + 1;
}

/* "^421 ..." beside `code: [451]`. */
static bool code_contradicts(const char *start, char *const *code, unsigned code_count)
{
	unsigned number;
	struct rule_range range;
	const char *reason;

	for (int i = 0; i < 3; i++)
		if (!isdigit((unsigned char)start[i]))
			return false;
	if (strchr("?*{", start[3]) != NULL && start[3] != '\0')
		return false;
	number = (unsigned)((start[0] - '0') * 100 + (start[1] - '0') * 10 + (start[2] - '0'));
	for (unsigned i = 0; i < code_count; i++)
		if (rule_parse_code(code[i], &range, &reason) != 0 ||
		    rule_range_has(&range, number))
			return false;
	return code_count > 0;
}

static const char *dead_by_character(const struct pattern_pcre *confirm)
{
	int last = pattern_pcre_last(confirm);

	if (last >= 0 && last < ' ' && last != '\n')
		return "asks for a control character, and replies are folded to one line without "
		       "any";
	return NULL;
}

static const char *dead(const char *pattern, const struct pattern_info *info,
			const struct pattern_pcre *confirm, char *const *code, unsigned code_count)
{
	const char *start = anchored(pattern);

	if (info->never)
		return "can never match anything";
	if (anchor_inside(pattern))
		return "can never match: it asks for text outside the reply's ends";
	if (escaped_twice(pattern))
		return "is escaped twice: it asks for a backslash, and no reply has one there";
	if (start != NULL && isalpha((unsigned char)*start) && start[1] != '?' && start[1] != '*' &&
	    start[1] != '{')
		return "is tied to the start by ^, where every reply has its code (\"451 4.7.1 "
		       "...\")";
	if (start != NULL && code_contradicts(start, code, code_count))
		return "starts with a code that `code` excludes";
	if (strstr(pattern, "  ") != NULL && strchr(pattern, '[') == NULL)
		return "asks for two blanks in a row, and replies are folded to one";
	return dead_by_character(confirm);
}

/* A repeated run of `count` characters, then each of them apart: what a pattern demands is there
 * (else PCRE2 sees at once that it cannot match), and not where it would match. */
static size_t probe_make(char *text, size_t size, const char *run, size_t count, const char *words,
			 size_t words_count)
{
	size_t at = 0;

	while (at < size - 2 * words_count - 1) {
		text[at] = run[at % count];
		at++;
	}
	for (size_t i = 0; i < words_count; i++) {
		text[at++] = '!';
		text[at++] = words[i];
	}
	text[at++] = '!';
	return at;
}

/* Whether a greedy expression can make something in very many ways of some reply, and at last
 * nothing. Tried are replies of each character that it names many times over, and of all in a row.
 */
static bool backtracks(const char *pattern, const struct pattern_pcre *confirm,
		       struct pattern_match_data *data)
{
	enum { NEUTRAL = 4, WORDS = 60, RUN = 60 };
	char text[RUN + 2 * WORDS + 1], words[WORDS] = {'a', '0', ' ', '-'};
	size_t count = NEUTRAL, length;

	for (const char *p = pattern; *p != '\0' && count < WORDS; p++) {
		if (*p == '\\' && p[1] != '\0')
			p++;
		else if (isalnum((unsigned char)*p))
			words[count++] = *p;
	}
	/* Runs of one character, of two and of three that stand side by side. */
	for (size_t run = 1; run <= 3; run++)
		for (size_t i = run == 1 ? 0 : NEUTRAL; i + run <= count; i++) {
			if (run == 1 && memchr(words, words[i], i) != NULL)
				continue;
			length =
				probe_make(text, RUN + 2 * count + 1, words + i, run, words, count);
			if (pattern_pcre_exhausts(confirm, data, text, length))
				return true;
		}
	return false;
}

static void lint_text(struct list *list, const struct rule_match *match, const char *pattern,
		      const char *place)
{
	struct pattern_match_data *data = pattern_pcre_data_create();
	struct pattern_pcre *confirm = NULL;
	struct pattern_error error;
	struct pattern_info info;
	const char *why;

	/* What is no expression is told elsewhere. */
	if (data == NULL || pattern_inspect(pattern, &info, &error) != 0 ||
	    pattern_pcre_create(pattern, &confirm, error.reason, sizeof(error.reason)) != 0)
		list->failed |= data == NULL;
	else if ((why = dead(pattern, &info, confirm, match->code, match->code_count)) != NULL)
		warn(list, place, "\"%.60s\" %s", pattern, why);
	else if (info.min_len == 0)
		warn(list, place, "\"%.60s\" matches every reply", pattern);
	else if (backtracks(pattern, confirm, data))
		warn(list, place,
		     "\"%.60s\" backtracks without end (a repeat within a repeat?): on some replies "
		     "it is given up, and does not match",
		     pattern);
	pattern_pcre_free(confirm);
	pattern_pcre_data_free(data);
}

static void lint_texts(struct list *list, const struct rule_match *match, const char *path)
{
	char place[80];

	for (unsigned i = 0; i < match->text_count; i++) {
		snprintf(place, sizeof(place), "%s.text[%u]", path, i);
		lint_text(list, match, match->text[i], place);
	}
	for (unsigned i = 0; i < match->not_text_count; i++) {
		snprintf(place, sizeof(place), "%s.not_text[%u]", path, i);
		lint_text(list, match, match->not_text[i], place);
	}
}

/* ---- matches ----------------------------------------------------------------------------------
 */
/* An enhanced code has the class of its reply code. */
static bool codes_contradict(const struct rule_match *match)
{
	struct rule_range code, enhanced;
	const char *reason;

	if (match->code_count == 0 || match->enhanced_count == 0)
		return false;
	for (unsigned i = 0; i < match->code_count; i++) {
		for (unsigned k = 0; k < match->enhanced_count; k++) {
			if (rule_parse_code(match->code[i], &code, &reason) != 0 ||
			    rule_parse_enhanced(match->enhanced[k], &enhanced, &reason) != 0 ||
			    enhanced.mask != ~0u)
				return false;
			if (code.low / 100 <= enhanced.high >> 20 &&
			    code.high / 100 >= enhanced.low >> 20)
				return false;
		}
	}
	return true;
}

/* The names that there are; NULL: nobody says. */
struct known {
	const char *const *names;
	unsigned count;
};

static void lint_names(struct list *list, char *const *names, unsigned count, struct known known,
		       const char *path, const char *what)
{
	char place[80];

	for (unsigned i = 0; known.names != NULL && i < count; i++) {
		unsigned k = 0;

		while (k < known.count && strcasecmp(known.names[k], names[i]) != 0)
			k++;
		if (k < known.count)
			continue;
		snprintf(place, sizeof(place), "%s.%s[%u]", path, what, i);
		warn(list, place, "there is no %s \"%.60s\"", what, names[i]);
	}
}

static void lint_match(struct list *list, const struct rule_match *match,
		       const struct rule_lint *lint, const char *path)
{
	char place[80];

	lint_texts(list, match, path);
	if (!lint->any_destination)
		lint_names(list, match->destination, match->destination_count,
			   (struct known){lint->destinations, lint->destination_count}, path,
			   "destination");
	lint_names(list, match->source, match->source_count,
		   (struct known){lint->sources, lint->source_count}, path, "source");
	lint_names(list, match->pool, match->pool_count,
		   (struct known){lint->pools, lint->pool_count}, path, "pool");
	if (codes_contradict(match)) {
		snprintf(place, sizeof(place), "%s.enhanced", path);
		warn(list, place,
		     "can never match: an enhanced code has the class of its reply code");
	}
}

static bool asks_for_rate(const struct rule_match *match)
{
	for (unsigned i = 0; i < match->class_count; i++)
		if (match->class[i] == REPLY_RATE)
			return true;
	return match->class_count == 0;
}

/* Only class rate has a limit. */
static bool limit_contradicts(const struct rule_match *match)
{
	for (unsigned i = 0; i < match->limit_count; i++)
		if (match->limit[i] == REPLY_LIMIT_NONE)
			return false;
	return match->limit_count > 0 && !asks_for_rate(match);
}

/* ---- entries ----------------------------------------------------------------------------------
 */
static void lint_class(struct list *list, const struct rule_file *file, unsigned at,
		       const struct rule_lint *lint)
{
	const struct rule_class *class = &file->classes[at];
	char path[64];

	snprintf(path, sizeof(path), "classes[%u]", at);
	lint_match(list, &class->match, lint, path);
	for (unsigned i = 0; i < at; i++) {
		if (!rule_match_covers(&file->classes[i].match, &class->match))
			continue;
		warn(list, path,
		     "\"%.60s\" is never reached: \"%.60s\" in front of it takes every reply of it",
		     class->name, file->classes[i].name);
		return;
	}
}

static void lint_hold(struct list *list, const struct rule *rule, const struct rule_lint *lint,
		      const char *path)
{
	uint64_t lifetime_ns =
		lint->queue_lifetime_ns ? lint->queue_lifetime_ns : RULE_QUEUE_LIFETIME_NS;
	struct rule_action plan;
	const char *key, *reason;
	char place[80], life[64], hold[64];

	if (rule_parse_plan(&rule->action, &plan, &key, &reason) != 0 || !plan.does[RULE_HOLD] ||
	    plan.hold_max_ns <= lifetime_ns)
		return;
	snprintf(place, sizeof(place), "%s.action.%s", path,
		 rule->action.hold_max ? "hold_max" : "hold");
	warn(list, place, "a hold of %s outlasts the queue: messages expire after %s",
	     units_duration_text(plan.hold_max_ns, hold, sizeof(hold)),
	     units_duration_text(lifetime_ns, life, sizeof(life)));
}

static void lint_rule(struct list *list, const struct rule_file *file, unsigned at,
		      const struct rule_lint *lint)
{
	const struct rule *rule = &file->rules[at];
	char path[64], place[80];

	snprintf(path, sizeof(path), "rules[%u]", at);
	snprintf(place, sizeof(place), "%s.match", path);
	lint_match(list, &rule->match, lint, place);
	if (limit_contradicts(&rule->match)) {
		snprintf(place, sizeof(place), "%s.match.limit", path);
		warn(list, place, "can never match: only replies of class rate have a limit");
	}
	lint_hold(list, rule, lint, path);
	for (unsigned i = 0; i < file->rules_count; i++) {
		if (i == at || !rule_subsumes(&file->rules[i], rule) ||
		    (i > at && rule_subsumes(rule, &file->rules[i])))
			continue;
		warn(list, path,
		     "\"%.60s\" can never win: \"%.60s\" fires whenever it does, and is as strict",
		     rule->name, file->rules[i].name);
		return;
	}
}

static bool reached(const struct rule_file *file, const char *destination)
{
	for (unsigned i = 0; file != NULL && i < file->rules_count; i++) {
		const struct rule_match *match = &file->rules[i].match;

		if (match->destination_count == 0)
			return true;
		for (unsigned k = 0; k < match->destination_count; k++)
			if (strcasecmp(match->destination[k], destination) == 0)
				return true;
	}
	return false;
}

int rule_file_lint(const struct rule_file *file, const struct yaml_marks *marks,
		   const struct rule_lint *lint, struct rule_warning **ret_warnings)
{
	struct list list = {.marks = marks};

	for (unsigned i = 0; i < file->classes_count; i++)
		lint_class(&list, file, i, lint);
	for (unsigned i = 0; i < file->rules_count; i++)
		lint_rule(&list, file, i, lint);
	for (unsigned i = 0; lint->destinations != NULL && i < lint->destination_count; i++)
		if (!reached(file, lint->destinations[i]) &&
		    !reached(lint->others, lint->destinations[i]))
			warn(&list, "", "no rule can reach the destination \"%.60s\"",
			     lint->destinations[i]);
	if (list.failed) {
		free(list.warnings);
		return -ENOMEM;
	}
	*ret_warnings = list.warnings;
	return (int)list.count;
}
