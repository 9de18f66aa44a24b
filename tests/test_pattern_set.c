/* SPDX-License-Identifier: MIT
 *
 * What Vectorscan finds in one pass is what PCRE2 finds with each expression by itself, for the
 * expressions that we ship: Vectorscan 5.4.9 is known to lose matches of some when certain others
 * stand in the same set (see pattern_set.c). Each expression is looked for in the replies of our
 * tables, and in texts that are made to match it.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/random.h"
#include "sidecar/rules/pattern_pcre.h"
#include "sidecar/rules/pattern_set.h"
#include "sidecar/rules/reply_parse.h"
#include "sidecar/rules/rule_file.h"

#define PATTERNS_MAX 2048
#define MADE	     12 /* texts for each expression */

static char *patterns[PATTERNS_MAX];
static unsigned pattern_count;
static struct pattern_pcre *confirm[PATTERNS_MAX];
static struct pattern_match_data *match_data;
static struct pattern_set *set;
static struct pattern_scratch *scratch;
static uint64_t seed = 1;

static void patterns_add(char *const *texts, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		size_t len = strlen(texts[i]);
		char *folded = malloc(len + 1);

		cr_assert_lt(pattern_count, PATTERNS_MAX);
		folded[reply_line_fold_pattern(texts[i], len, folded)] = '\0';
		patterns[pattern_count++] = folded;
	}
}

static void prepare(void)
{
	struct rule_file *file;
	struct yaml_error error;
	struct pattern_error fault;
	char reason[160];

	cr_assert_eq(rule_file_builtin(&file, NULL, &error), 0);
	for (unsigned i = 0; i < file->classes_count; i++) {
		const struct rule_match *match = &file->classes[i].match;

		patterns_add(match->text, match->text_count);
		patterns_add(match->not_text, match->not_text_count);
	}
	for (unsigned i = 0; i < pattern_count; i++)
		cr_assert_eq(pattern_pcre_create(patterns[i], &confirm[i], reason, sizeof(reason)),
			     0, "%s: %s", patterns[i], reason);
	cr_assert_eq(pattern_set_create((const char *const *)patterns, NULL, pattern_count, &set,
					&fault),
		     0, "%s", fault.reason);
	cr_assert_eq(pattern_scratch_create(&set, 1, &scratch), 0);
	match_data = pattern_pcre_data_create();
	rule_file_free(file);
}

static void release(void)
{
	pattern_scratch_free(scratch);
	pattern_set_free(set);
	pattern_pcre_data_free(match_data);
	for (unsigned i = 0; i < pattern_count; i++) {
		pattern_pcre_free(confirm[i]);
		free(patterns[i]);
	}
}

/* All expressions, or one of them (only >= 0), in a reply. */
static void compare(const char *reply, int only)
{
	static char folded[REPLY_FOLDED_MAX];
	uint64_t found[PATTERNS_MAX / 64] = {0};
	struct reply_line line;
	size_t len;

	reply_line_parse(reply, strlen(reply), &line);
	len = reply_line_fold(line.code, line.enhanced, line.text, line.len, folded);
	cr_assert_eq(pattern_set_scan(set, scratch, folded, len, found), 0);
	for (unsigned i = 0; i < pattern_count; i++) {
		if (only >= 0 && i != (unsigned)only)
			continue;
		cr_expect_eq(found[i / 64] >> i % 64 & 1,
			     pattern_pcre_match(confirm[i], match_data, folded, len),
			     "/%s/ in \"%.*s\"", patterns[i], (int)len - 1, folded);
	}
}

static void compare_table(const char *path)
{
	FILE *in = fopen(path, "r");
	char text[2048];

	cr_assert_not_null(in, "%s", path);
	while (fgets(text, sizeof(text), in) != NULL) {
		char *rest = text;

		if (text[0] == '#')
			continue;
		text[strcspn(text, "\n")] = '\0';
		for (int i = 0; i < 3; i++)
			strsep(&rest, "\t");
		compare(strsep(&rest, "\t"), -1);
	}
	fclose(in);
}

Test(pattern_set, finds_in_replies_what_pcre_finds, .init = prepare, .fini = release)
{
	compare_table("tests/replies.tsv");
	compare_table("tests/replies_documented.tsv");
}

/* ---- texts made to match ------------------------------------------------------------------------
 */
static unsigned chance(unsigned n)
{
	return (unsigned)random_below(&seed, n);
}

/* The end of a group or class that begins at `at`. */
static const char *closing(const char *at)
{
	bool class = *at == '[';

	for (unsigned depth = 0; *at != '\0'; at++) {
		if (*at == '\\')
			at++;
		else if (class && *at == ']')
			return at;
		else if (!class && *at == '[')
			at = closing(at);
		else if (!class && *at == '(')
			depth++;
		else if (!class && *at == ')' && --depth == 0)
			return at;
	}
	return at;
}

/* One character of "[...]"; ours have letters, digits, ranges of them and escapes. */
static char of_class(const char *at, const char *end)
{
	static const char other[] = " -.,:;()<>/@";
	bool no = at[1] == '^';
	char set_of[256];
	unsigned n = 0;

	for (at += 1 + no; at < end; at++) {
		at += *at == '\\';
		if (at[1] == '-' && at + 2 < end) {
			for (char c = *at; c <= at[2]; c++)
				set_of[n++] = c;
			at += 2;
		} else {
			set_of[n++] = *at;
		}
	}
	for (unsigned i = 0; no && i < 100; i++) {
		char c = other[chance(sizeof(other) - 1)];

		if (memchr(set_of, c, n) == NULL)
			return c;
	}
	return no ? ' ' : set_of[chance(n)];
}

static char *make(const char *at, const char *end, char *out);

/* One of the alternatives between `at` and `end`. */
static char *make_one(const char *at, const char *end, char *out)
{
	const char *from[64] = {at};
	unsigned n = 1, pick;

	for (const char *c = at; c < end; c++) {
		if (*c == '\\')
			c++;
		else if (*c == '(' || *c == '[')
			c = closing(c);
		else if (*c == '|' && n < 63)
			from[n++] = c + 1;
	}
	from[n] = end + 1;
	pick = chance(n);
	return make(from[pick], from[pick + 1] - 1, out);
}

/* A text that matches what stands between `at` and `end`, without alternatives. */
static char *make(const char *at, const char *end, char *out)
{
	while (at < end) {
		const char *piece = at, *next;
		unsigned min = 1, max = 1;

		at = *at == '(' || *at == '[' ? closing(at) + 1 : at + 1 + (*at == '\\');
		next = at;
		if (at < end && *at == '?') {
			min = 0, at++;
		} else if (at < end && *at == '{') {
			sscanf(at, "{%u,%u}", &min, &max);
			if (strchr(at, ',') == NULL || strchr(at, ',') > strchr(at, '}'))
				max = min;
			at = strchr(at, '}') + 1;
		}
		for (unsigned n = min + chance(max - min + 1); n > 0; n--) {
			if (*piece == '(')
				out = make_one(piece + 1, next - 1, out);
			else if (*piece == '[')
				*out++ = of_class(piece, next - 1);
			else if (*piece == '.')
				*out++ = "abc 1.x-"[chance(8)];
			else if (*piece != '^' && *piece != '$')
				*out++ = piece[*piece == '\\'];
		}
	}
	return out;
}

/* Where Vectorscan loses bytes above 127 (here it is only said to), PCRE2 looks for them. */
static void prepare_distrusting(void)
{
	pattern_set_distrust(true);
	prepare();
}

Test(pattern_set, finds_without_vectorscan_what_that_would_lose, .init = prepare_distrusting,
     .fini = release)
{
	struct pattern_info info;
	struct pattern_error error;

	compare("550 \u0441\u043f\u0430\u043c", -1);
	compare("451 \u4fe1\u8a89. try again", -1);
	cr_expect_eq(pattern_inspect("\u4fe1\u8a89", &info, &error), 0);
	cr_expect(info.confirmed && info.min_len == 6, "%zu bytes", info.min_len);
	cr_expect_eq(pattern_inspect("too many", &info, &error), 0);
	cr_expect(!info.confirmed, "what is plain stays Vectorscan's");
}

Test(pattern_set, finds_what_is_made_to_match, .init = prepare, .fini = release)
{
	static const char *const before[] = {"", "550 5.7.1 ", "421 4.7.0 the mail from ",
					     "554 [192.0.2.1] ", "451 your server "};
	static const char *const after[] = {"", " ", " please see example.com", ". try again",
					    " by the server 192.0.2.1"};

	for (unsigned i = 0; i < pattern_count; i++) {
		for (unsigned k = 0; k < MADE; k++) {
			char text[4096] = "", *end = text;

			if (patterns[i][0] != '^')
				end = stpcpy(text, before[chance(5)]);
			end = make_one(patterns[i], patterns[i] + strlen(patterns[i]), end);
			strcpy(end, after[chance(5)]);
			compare(text, k == 0 ? -1 : (int)i);
		}
	}
}

/* What a reload relies on that changes no rule. */
Test(pattern_set, the_same_patterns_are_compiled_once)
{
	static const char *const some[] = {"limit", "busy", "listed"}, *const joined[] = {
									       "limit busy",
									       "listed"};
	const bool use[] = {true, true, false};
	struct pattern_set *first, *second, *part, *other;
	struct pattern_error fault;

	cr_assert_eq(pattern_set_create(some, NULL, 3, &first, &fault), 0);
	cr_assert_eq(pattern_set_create(some, NULL, 3, &second, &fault), 0);
	cr_assert_eq(pattern_set_create(some, use, 3, &part, &fault), 0);
	cr_assert_eq(pattern_set_create(joined, NULL, 2, &other, &fault), 0);
	cr_expect_eq(first, second);
	cr_expect_neq(first, part);
	cr_expect_neq(first, other);
	pattern_set_free(first);
	cr_assert_eq(pattern_set_create(some, NULL, 3, &first, &fault), 0);
	cr_expect_eq(first, second, "it lives as long as one uses it");
	pattern_set_free(first);
	pattern_set_free(second);
	pattern_set_free(part);
	pattern_set_free(other);
}
