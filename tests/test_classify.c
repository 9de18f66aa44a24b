/* SPDX-License-Identifier: MIT
 *
 * Replies: taken apart, put into one form, and classified, by the rules that we ship and by a
 * user's.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/rules/classify.h"
#include "tests/guard.h"

#define N(table)		  (sizeof(table) / sizeof((table)[0]))
#define E(class, subject, detail) REPLY_ENHANCED(class, subject, detail)

/* ---- the line ---------------------------------------------------------------------------------
 */
Test(reply_line, splits_codes_from_text)
{
	static const struct {
		const char *line;
		unsigned code, enhanced;
		const char *text;
	} rows[] = {
		{"421 4.7.28 slow down", 421, E(4, 7, 28), "slow down"},
		{"421-4.7.28 slow\r\n421 4.7.28 down", 421, E(4, 7, 28), "slow\r\n421 4.7.28 down"},
		{"451 4.7.650 The mail server", 451, E(4, 7, 650), "The mail server"},
		{"450 Too many connections", 450, 0, "Too many connections"},
		{"smtp;421 4.7.0 [TS01] later", 421, E(4, 7, 0), "[TS01] later"},
		{"smtp; 550 5.1.1 no", 550, E(5, 1, 1), "no"},
		{"  250 2.0.0 OK", 250, E(2, 0, 0), "OK"},
		{"250", 250, 0, ""},
		{"550 #5.7.1 no", 550, E(5, 7, 1), "no"},
		{"553 sorry (#5.7.1)", 553, E(5, 7, 1), "sorry (#5.7.1)"},
		{"450 queue-7 4.7.1 no", 450, E(4, 7, 1), "queue-7 4.7.1 no"},
		{"421 4.16.55.1 is a version", 421, 0, "4.16.55.1 is a version"},
		{"554 5.6.7.8 is an address", 554, 0, "5.6.7.8 is an address"},
		{"550 4.7.1 of another class", 550, 0, "4.7.1 of another class"},
		{"4.7.1 without a code", 0, E(4, 7, 1), "without a code"},
		{"199 no reply code", 0, 0, "199 no reply code"},
		{"4501 digits", 0, 0, "4501 digits"},
		{"450x", 0, 0, "450x"},
		{"", 0, 0, ""},
		{"   ", 0, 0, ""},
	};

	for (size_t i = 0; i < N(rows); i++) {
		struct reply_line line;

		reply_line_parse(guard_copy(rows[i].line, strlen(rows[i].line)),
				 strlen(rows[i].line), &line);
		cr_expect_eq(line.code, rows[i].code, "%s: %u", rows[i].line, line.code);
		cr_expect_eq(line.enhanced, rows[i].enhanced, "%s: %x", rows[i].line,
			     line.enhanced);
		cr_expect(line.len == strlen(rows[i].text) &&
				  memcmp(line.text, rows[i].text, line.len) == 0,
			  "%s: \"%.*s\"", rows[i].line, (int)line.len, line.text);
	}
}

Test(reply_line, folds_to_one_form)
{
	static const struct {
		unsigned code, enhanced;
		const char *text, *folded;
	} rows[] = {
		{421, E(4, 7, 28), "Unusual rate of\r\n421-4.7.28 mail\r\n421 4.7.28  now",
		 "421 4.7.28 unusual rate of mail now"},
		{421, E(4, 7, 28), "rate of 421-4.7.28 mail 4.7.28 now",
		 "421 4.7.28 rate of mail now"},
		{421, 0, "a\\n421-b\\n421 c", "421 a b c"},
		{550, 0, "DOMAIN\\name", "550 domain\\name"},
		{550, 0, "5500 units in 550", "550 5500 units in 550"},
		{0, 0, "No Code", "no code"},
		{0, E(5, 7, 1), "x 5.7.1 y", "5.7.1 x y"},
		{550, 0,
		 "Bo\xC3\xAEte d\xC3\xA9pass\xC3\xA9"
		 "e",
		 "550 boite depassee"},
		{550, 0,
		 "Bo\xEEte d\xE9pass\xE9"
		 "e",
		 "550 boite depassee"},
		{550, 0,
		 "\xC3\x9C"
		 "berschritten \xC5\x82",
		 "550 uberschritten l"},
		{550, 0, "don\xE2\x80\x99t \xE2\x80\x9Cx\xE2\x80\x9D \xE2\x80\x93",
		 "550 don't \"x\" -"},
		{550, 0, "\xD0\x9F\xD0\xA0", "550 \xD0\xBF\xD1\x80"},
		{550, 0,
		 "a\xC2\xA0\xC2\xA0"
		 "b\t\tc\001d",
		 "550 a b c d"},
		{550, 0, "\xE9\x82\xAE", "550 \xE9\x82\xAE"},
		{550, 0, "\xFF\xFE\x80 \xC3", "550 y\xFE\x80 a"},
	};
	static char out[REPLY_FOLDED_MAX];

	for (size_t i = 0; i < N(rows); i++) {
		size_t len = strlen(rows[i].text), n;

		n = reply_line_fold(rows[i].code, rows[i].enhanced, guard_copy(rows[i].text, len),
				    len, out);
		cr_expect(n == strlen(rows[i].folded) + 1 &&
				  memcmp(out, rows[i].folded, n - 1) == 0 && out[n - 1] == '\n',
			  "row %zu: \"%.*s\"", i, (int)n, out);
	}
}

/* ---- the rules we ship ------------------------------------------------------------------------
 */
static struct rule_file *builtin;
static struct classifier *classifier;
static struct classify_scratch *scratch;

static void prepare(void)
{
	struct yaml_error error = {.reason = ""};
	struct classify_error fault = {.reason = ""};

	cr_assert_eq(rule_file_builtin(&builtin, NULL, &error), 0, "%u:%u: %s", error.mark.line,
		     error.mark.column, error.reason);
	cr_assert_eq(classifier_create(NULL, builtin, &classifier, &fault), 0, "%s: %s", fault.path,
		     fault.reason);
	cr_assert_eq(classify_scratch_create(classifier, &scratch), 0);
}

static void release(void)
{
	classify_scratch_free(scratch);
	classifier_free(classifier);
	rule_file_free(builtin);
}

static struct classification of(const char *destination, const char *reply)
{
	struct classification found;
	struct reply_line line;
	size_t len = strlen(reply);
	char *copy = guard_copy(reply, len);

	reply_line_parse(copy, len, &line);
	classify(classifier, scratch, destination, &line, &found);
	guard_free(copy, len);
	return found;
}

/* A table of replies: destination, class, another one that is right, the reply, whether it lowers
 * the cap ("unsure": either way). Returns how many there are. */
static unsigned table_check(const char *path)
{
	FILE *in = fopen(path, "r");
	char text[2048], *column[5], *rest;
	unsigned rows = 0;

	cr_assert_not_null(in, "%s", path);
	while (fgets(text, sizeof(text), in) != NULL) {
		struct classification found;
		const char *name;

		if (text[0] == '#')
			continue;
		text[strcspn(text, "\n")] = '\0';
		rest = text;
		for (int i = 0; i < 5; i++)
			column[i] = strsep(&rest, "\t");
		found = of(strcmp(column[0], "-") == 0 ? NULL : column[0], column[3]);
		name = reply_class_name(found.class);
		cr_expect(strcmp(name, column[1]) == 0 || strcmp(name, column[2]) == 0,
			  "%s: %s by %s, not %s", column[3], name, found.rule, column[1]);
		if (strcmp(column[4], "unsure") != 0)
			cr_expect_eq(found.lowers_cap, strcmp(column[4], "yes") == 0, "%s: by %s",
				     column[3], found.rule);
		rows++;
	}
	fclose(in);
	return rows;
}

Test(classify, knows_what_receivers_say_in_our_words, .init = prepare, .fini = release)
{
	cr_expect_gt(table_check("tests/replies.tsv"), 300);
}

Test(classify, knows_what_receivers_document, .init = prepare, .fini = release)
{
	cr_expect_gt(table_check("tests/replies_documented.tsv"), 500);
}

Test(classify, names_the_limit_that_was_hit, .init = prepare, .fini = release)
{
	static const struct {
		const char *reply;
		enum reply_limit limit;
	} rows[] = {
		{"421 4.7.0 Error: too many connections from 192.0.2.1", REPLY_LIMIT_CONNECTIONS},
		{"421 Trop de connexions, veuillez verifier OFR004_104", REPLY_LIMIT_CONNECTIONS},
		{"452 4.3.2 Connection rate limit exceeded", REPLY_LIMIT_CONNECTION_RATE},
		{"550 Connection frequency limited", REPLY_LIMIT_CONNECTION_RATE},
		{"421 4.7.0 You are connecting too frequently", REPLY_LIMIT_CONNECTION_RATE},
		{"421 too many concurrent connections", REPLY_LIMIT_CONNECTIONS},
		{"421 HL:ICC", REPLY_LIMIT_CONNECTIONS},
		{"421 4.7.0 Max message per connection reached", REPLY_LIMIT_PER_CONNECTION},
		{"451 MI:DMC", REPLY_LIMIT_PER_CONNECTION},
		{"450 Zu viele Nachrichten pro Verbindung", REPLY_LIMIT_PER_CONNECTION},
		{"550 5.7.1 hourly limit exceeded", REPLY_LIMIT_HOUR},
		{"452 Too many recipients received this hour", REPLY_LIMIT_HOUR},
		{"421 Limite de messages par heure atteinte", REPLY_LIMIT_HOUR},
		{"554 You have exceeded the daily limit of messages", REPLY_LIMIT_DAY},
		{"554 HL:ITC", REPLY_LIMIT_DAY},
		{"450 4.7.1 Tageslimit erreicht", REPLY_LIMIT_DAY},
		{"450 4.7.1 Error: too much mail from 192.0.2.1", REPLY_LIMIT_MESSAGES},
		{"421 4.7.28 unusual rate of mail originating from your IP address",
		 REPLY_LIMIT_MESSAGES},
		{"451 Ratelimited, slow down", REPLY_LIMIT_MESSAGES},
	};

	for (size_t i = 0; i < N(rows); i++) {
		struct classification found = of(NULL, rows[i].reply);

		cr_expect_eq(found.class, REPLY_RATE, "%s: %s", rows[i].reply,
			     reply_class_name(found.class));
		cr_expect_eq(found.limit, rows[i].limit, "%s: %s by %s", rows[i].reply,
			     reply_limit_name(found.limit), found.rule);
		cr_expect_eq(found.lowers_cap, rows[i].limit != REPLY_LIMIT_PER_CONNECTION, "%s",
			     rows[i].reply);
	}
}

Test(classify, takes_the_more_specific_code, .init = prepare, .fini = release)
{
	static const struct {
		const char *reply;
		enum reply_class class;
	} rows[] = {
		{"451 4.7.500 x", REPLY_VOLUME_SPIKE}, {"451 4.7.649 x", REPLY_VOLUME_SPIKE},
		{"451 4.7.650 x", REPLY_REPUTATION},   {"451 4.7.652 x", REPLY_REPUTATION},
		{"451 4.7.653 x", REPLY_VOLUME_SPIKE}, {"451 4.7.699 x", REPLY_VOLUME_SPIKE},
		{"451 4.7.700 x", REPLY_OTHER},	       {"451 4.7.850 x", REPLY_REPUTATION},
		{"550 5.7.606 x", REPLY_BLOCKLIST},    {"550 5.7.26 x", REPLY_POLICY},
		{"550 5.1.1 x", REPLY_UNKNOWN_USER},   {"452 4.2.2 x", REPLY_RECIPIENT},
		{"451 4.3.0 x", REPLY_INFRASTRUCTURE},
	};

	for (size_t i = 0; i < N(rows); i++)
		cr_expect_eq(of(NULL, rows[i].reply).class, rows[i].class, "%s: %s", rows[i].reply,
			     reply_class_name(of(NULL, rows[i].reply).class));
}

Test(classify, tells_the_scope_of_a_google_limit, .init = prepare, .fini = release)
{
	cr_expect(of(NULL, "421 4.7.28 unusual rate of mail originating from your IP address")
			  .lowers_cap);
	cr_expect(of(NULL, "421 4.7.28 unusual rate of mail from your IP Netblock 192.0.2.0/24")
			  .lowers_cap);
	cr_expect_not(of(NULL, "421 4.7.28 unusual rate of mail originating from your DKIM domain")
			      .lowers_cap);
	cr_expect_not(of(NULL, "421 4.7.28 unusual rate of mail originating from your SPF domain")
			      .lowers_cap);
	cr_expect_not(of(NULL, "421 4.7.28 exceeded its quota for sending the same Message-ID")
			      .lowers_cap);
}

Test(classify, reads_any_text_of_any_length, .init = prepare, .fini = release)
{
	static const char tail[] = " too many connections from your ip";
	size_t lengths[] = {512, 4096, REPLY_TEXT_MAX - 64, REPLY_TEXT_MAX, REPLY_TEXT_MAX + 4096};
	struct classification found;

	for (size_t i = 0; i < N(lengths); i++) {
		char *text = malloc(lengths[i] + sizeof(tail)), *copy;
		size_t len = lengths[i] + sizeof(tail) - 1;

		for (size_t k = 0; k < lengths[i]; k++)
			text[k] = (char)(k * 31 % 256);
		memcpy(text + lengths[i], tail, sizeof(tail));
		copy = guard_copy(text, len);
		classify(classifier, scratch, NULL, &(struct reply_line){421, 0, copy, len},
			 &found);
		cr_expect_eq(found.class == REPLY_RATE, len <= REPLY_TEXT_MAX, "%zu: %s", len,
			     found.rule);
		guard_free(copy, len);
		free(text);
	}
	classify(classifier, scratch, NULL, &(struct reply_line){0, 0, "", 0}, &found);
	cr_expect_eq(found.class, REPLY_OTHER);
	cr_expect_str_eq(found.rule, "-");
}

/* ---- a user's rules ---------------------------------------------------------------------------
 */
static const char user_text[] =
	"classes:\n"
	"  - name: ours\n"
	"    class: greylist\n"
	"    destination: [example]\n"
	"    code: [45x]\n"
	"    text: ['d\xC3\xA9pass\xC3\xA9']\n"
	"  - {name: look-around, class: content, text: ['(?<!very )bad (?=mail)']}\n"
	"  - {name: back-reference, class: policy, text: ['(ab|cd)\\1']}\n"
	"  - {name: exception, class: rate, limit: day, lowers_cap: no, code: [599], not_text: ['not "
	"this']}\n";

static struct rule_file *user;

static void prepare_user(void)
{
	struct yaml_error error = {.reason = ""};
	struct classify_error fault = {.reason = ""};

	cr_assert_eq(rule_file_builtin(&builtin, NULL, &error), 0);
	cr_assert_eq(rule_file_load(user_text, strlen(user_text), "user", &user, NULL, &error), 0,
		     "%s", error.reason);
	cr_assert_eq(classifier_create(user, builtin, &classifier, &fault), 0, "%s", fault.reason);
	cr_assert_eq(classify_scratch_create(classifier, &scratch), 0);
}

static void release_user(void)
{
	release();
	rule_file_free(user);
}

Test(user_rules, come_before_ours, .init = prepare_user, .fini = release_user)
{
	static const struct {
		const char *destination, *reply, *rule;
	} rows[] = {
		{"example",
		 "451 Limite d\xC3\xA9pass\xC3\xA9"
		 "e",
		 "ours"},
		{"EXAMPLE", "452 LIMITE DEPASSEE", "ours"},
		{"other", "451 limite depassee", "rate"},
		{NULL, "451 limite depassee", "rate"},
		{"example", "550 limite depassee", "rate"},
		{NULL, "599 x", "exception"},
		{NULL, "599 not this x", "-"},
	};

	for (size_t i = 0; i < N(rows); i++)
		cr_expect_str_eq(of(rows[i].destination, rows[i].reply).rule, rows[i].rule,
				 "%s: %s", rows[i].reply,
				 of(rows[i].destination, rows[i].reply).rule);
	cr_expect_not(of(NULL, "599 x").lowers_cap);
	cr_expect_eq(of(NULL, "599 x").limit, REPLY_LIMIT_DAY);
}

Test(user_rules, may_use_all_of_pcre, .init = prepare_user, .fini = release_user)
{
	cr_expect_str_eq(of(NULL, "599 not this: bad mail").rule, "look-around");
	cr_expect_str_neq(of(NULL, "599 not this: very bad mail").rule, "look-around");
	cr_expect_str_eq(of(NULL, "599 not this: cdcd").rule, "back-reference");
	cr_expect_str_neq(of(NULL, "599 not this: abcd").rule, "back-reference");
}

Test(user_rules, may_replace_ours)
{
	static const char text[] =
		"builtin_rules: no\nclasses:\n  - {name: all, class: other, text: ['.']}\n";
	struct yaml_error error;
	struct classify_error fault;

	cr_assert_eq(rule_file_builtin(&builtin, NULL, &error), 0);
	cr_assert_eq(rule_file_load(text, strlen(text), "user", &user, NULL, &error), 0);
	cr_assert_eq(classifier_create(user, builtin, &classifier, &fault), 0);
	cr_assert_eq(classify_scratch_create(classifier, &scratch), 0);
	cr_expect_str_eq(of(NULL, "550 5.1.1 no such user").rule, "all");
	release_user();
}

Test(user_rules, are_refused_with_place_and_reason)
{
	static const struct {
		const char *text;
		unsigned line;
		const char *reason;
	} rows[] = {
		{"classes:\n  - {name: a, class: rat}\n", 2,
		 "class: 'rat' is none of delivered, rate,"},
		{"classes:\n  - {name: a, class: rat}\n", 2, " unknown-user, other"},
		{"classes:\n  - {name: a, class: 3}\n", 2, "class: '3' is none of delivered,"},
		{"classes:\n  - {name: a, class: rate, limit: week}\n", 2,
		 "limit: 'week' is none of none, messages,"},
		{"rules:\n  - {name: a, match: {class: [rate, rat]}, action: {hold: 5m}}\n", 2,
		 "class: 'rat' is none of delivered,"},
		{"classes:\n  - {name: a, class: rate, code: ['9xx']}\n", 2, "reply code"},
		{"classes:\n  - {name: a, class: rate, enhanced: [3.1.1]}\n", 2,
		 "class of an enhanced"},
		{"classes:\n  - name: a\n    class: rate\n    enhanced: [4.7.9-2]\n", 4,
		 "enhanced code"},
		{"classes:\n  - {name: a, class: rate}\n  - {name: a, class: other}\n", 3, "taken"},
		{"classes:\n  - {name: 'a b', class: rate}\n", 2, "letters"},
		{"classes:\n  - {name: a, class: policy, limit: day}\n", 2, "limit"},
		{"rules:\n  - {name: a, trigger: sometimes, action: {hold: 5m}}\n", 2, "trigger"},
		{"rules:\n  - {name: a, action: {hold: 5}}\n", 2, ""},
		{"rules:\n  - {name: a, action: {scale: 1.5}}\n", 2, "scale"},
		{"rules:\n  - {name: a, action: {for: 5m}}\n", 2, "without an action"},
		{"rules:\n  - {name: a, action: {hold: 5m, hold_max: 1m}}\n", 2, "hold_max"},
	};

	for (size_t i = 0; i < N(rows); i++) {
		struct yaml_error error = {.reason = ""};
		char *text = guard_copy(rows[i].text, strlen(rows[i].text));

		cr_expect_eq(rule_file_load(text, strlen(rows[i].text), "t", &user, NULL, &error),
			     -EINVAL, "%s", rows[i].text);
		cr_expect_eq(error.mark.line, rows[i].line, "%s: line %u: %s", rows[i].text,
			     error.mark.line, error.reason);
		cr_expect_not_null(strstr(error.reason, rows[i].reason), "%s: %s", rows[i].text,
				   error.reason);
	}
}

Test(user_rules, with_a_bad_expression_are_refused_with_its_place)
{
	static const char text[] = "classes:\n  - {name: a, class: rate, text: [fine, 'a(b']}\n";
	struct yaml_error error;
	struct classify_error fault;

	cr_assert_eq(rule_file_load(text, strlen(text), "t", &user, NULL, &error), 0);
	cr_expect_eq(classifier_create(user, NULL, &classifier, &fault), -EINVAL);
	cr_expect_eq(fault.file, 0);
	cr_expect_str_eq(fault.path, "classes[0].text[1]");
	rule_file_free(user);
}
