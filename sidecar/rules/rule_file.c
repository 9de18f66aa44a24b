/* SPDX-License-Identifier: MIT
 *
 * The keys of a rule file, and loading it. What is written wrong is said with line and column; what
 * is written well and can never act is the lint's business (rule_lint.c).
 */
#include "sidecar/rules/rule_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/data/embedded.h"

/* ---- keys ------------------------------------------------------------------------------------ */

const struct yaml_word_value rule_choices[] = {
	{"default", RULE_DEFAULT}, {"yes", RULE_YES},  {"true", RULE_YES},
	{"no", RULE_NO},	   {"false", RULE_NO}, {NULL, 0},
};

static const struct yaml_word_value class_names[] = {
	{"delivered", REPLY_DELIVERED},
	{"rate", REPLY_RATE},
	{"reputation", REPLY_REPUTATION},
	{"volume-spike", REPLY_VOLUME_SPIKE},
	{"greylist", REPLY_GREYLIST},
	{"recipient", REPLY_RECIPIENT},
	{"infrastructure", REPLY_INFRASTRUCTURE},
	{"policy", REPLY_POLICY},
	{"content", REPLY_CONTENT},
	{"blocklist", REPLY_BLOCKLIST},
	{"unknown-user", REPLY_UNKNOWN_USER},
	{"other", REPLY_OTHER},
	{NULL, 0},
};
_Static_assert(YAML_COUNT(class_names) == REPLY_CLASSES + 1, "each class has a name here");

static const struct yaml_word_value limit_names[] = {
	{"none", REPLY_LIMIT_NONE},
	{"messages", REPLY_LIMIT_MESSAGES},
	{"connections", REPLY_LIMIT_CONNECTIONS},
	{"per-connection", REPLY_LIMIT_PER_CONNECTION},
	{"hour", REPLY_LIMIT_HOUR},
	{"day", REPLY_LIMIT_DAY},
	{"connection-rate", REPLY_LIMIT_CONNECTION_RATE},
	{NULL, 0},
};
_Static_assert(YAML_COUNT(limit_names) == REPLY_LIMITS + 1, "each limit has a name here");
_Static_assert(sizeof(enum reply_class) == sizeof(int) && sizeof(enum reply_limit) == sizeof(int),
	       "yaml_word writes an int");

/* Kept as text: rule_parse.c knows their grammar. */
static int read_text(struct yaml_scalar *scalar, void *ret)
{
	return yaml_text.read(scalar, ret);
}

static const struct yaml_type duration = {"duration", sizeof(char *), read_text, false};
static const struct yaml_type rate = {"rate", sizeof(char *), read_text, false};
static const struct yaml_type factor = {"factor", sizeof(char *), read_text, false};

#define LIST(structure, name, type, member, help, ...) \
	YAML_TEXTS(name, type, structure, member, help, .entries_min = 1, ##__VA_ARGS__)
#define TABLE(name)                                                             \
	{                                                                       \
		name##_rows, YAML_COUNT(name##_rows), sizeof(struct name), NULL \
	}

/* What a class and a rule ask of a reply. */
#define REPLY_ROWS(structure, prefix)                                                      \
	LIST(structure, "code", yaml_text, prefix code, "reply codes"),                    \
		LIST(structure, "enhanced", yaml_text, prefix enhanced, "enhanced codes"), \
		LIST(structure, "text", yaml_text, prefix text, "regular expressions"),    \
		LIST(structure, "not_text", yaml_text, prefix not_text,                    \
		     "regular expressions of which none may match"),                       \
		LIST(structure, "destination", yaml_text, prefix destination,              \
		     "names of destinations")

static const struct yaml_key rule_match_rows[] = {
	LIST(struct rule_match, "class", yaml_word, class, "of the reply", .words = class_names),
	LIST(struct rule_match, "limit", yaml_word, limit, "that was hit", .words = limit_names),
	REPLY_ROWS(struct rule_match, ),
	LIST(struct rule_match, "source", yaml_text, source, "addresses, prefixes or ranges"),
	LIST(struct rule_match, "pool", yaml_text, pool, "names of pools"),
	YAML_KEY("lowers_cap", yaml_word, struct rule_match, lowers_cap,
		 "only replies that speak of this address, or only others", .words = rule_choices),
};
static const struct yaml_keys match_keys = TABLE(rule_match);

/* A class is told from the reply alone: no class, source or pool to ask for. */
static const struct yaml_key rule_class_rows[] = {
	YAML_KEY("name", yaml_text, struct rule_class, name, "of the entry", .needed = true,
		 .max = 64),
	YAML_KEY("class", yaml_word, struct rule_class, class, "what the reply means",
		 .needed = true, .words = class_names),
	YAML_KEY("limit", yaml_word, struct rule_class, limit, "which limit was hit",
		 .words = limit_names),
	YAML_KEY("lowers_cap", yaml_word, struct rule_class, lowers_cap,
		 "whether the reply speaks of this address", .words = rule_choices),
	REPLY_ROWS(struct rule_class, match.),
};
const struct yaml_keys rule_class_keys = TABLE(rule_class);

static const struct yaml_key rule_alert_rows[] = {
	LIST(struct rule_alert, "command", yaml_text, command, "run without a shell"),
	YAML_KEY("timeout", duration, struct rule_alert, timeout, "of the command"),
};
const struct yaml_keys rule_alert_keys = TABLE(rule_alert);

#define ROW(name, type, member, help) YAML_KEY(name, type, struct rule_action_text, member, help)

static const struct yaml_key rule_action_text_rows[] = {
	ROW("hold", duration, hold, "nothing goes for so long"),
	ROW("hold_max", duration, hold_max, "how far a repeated hold doubles"),
	ROW("scale", factor, scale, "the rate as it stands, times this"),
	ROW("rate", rate, rate, "the rate at most"),
	ROW("connections", yaml_number, connections, "open at once at most"),
	ROW("per_connection", yaml_number, per_connection, "messages a connection at most"),
	ROW("warmup_step_back", yaml_number, warmup_step_back, "days of warm-up"),
	ROW("for", duration, until, "how long rate, scale and caps stand"),
	YAML_KEYS("alert", YAML_POINTER, rule_alert_keys, struct rule_action_text, alert,
		  "a line in the log and a command"),
};
static const struct yaml_keys action_keys = TABLE(rule_action_text);

static const struct yaml_key rule_rows[] = {
	YAML_KEY("name", yaml_text, struct rule, name, "of the rule", .needed = true, .max = 64),
	YAML_KEYS("match", YAML_MAPPING, match_keys, struct rule, match, "which replies count"),
	YAML_KEY("trigger", yaml_text, struct rule, trigger, "how often until it fires"),
	YAML_KEYS("action", YAML_MAPPING, action_keys, struct rule, action, "what it does then",
		  .needed = true),
};
const struct yaml_keys rule_keys = TABLE(rule);

static const struct yaml_key rule_file_rows[] = {RULE_FILE_KEYS(struct rule_file, )};
static const struct yaml_keys file_keys = TABLE(rule_file);

/* ---- load ------------------------------------------------------------------------------------ */

int rule_file_load(const char *text, size_t len, const char *name, struct rule_file **ret_file,
		   struct yaml_marks **ret_marks, struct yaml_error *error)
{
	struct yaml_marks *marks = NULL;
	void *loaded = NULL;
	const struct yaml_source source = {.text = text, .len = len, .name = name};
	int err = yaml_load(&source, &file_keys, &loaded, &marks, error);

	if (err == 0)
		err = rule_file_check(loaded, marks, name, error);
	if (err != 0) {
		yaml_unload(NULL, loaded);
		yaml_marks_free(marks);
		return err;
	}
	if (ret_marks != NULL)
		*ret_marks = marks;
	else
		yaml_marks_free(marks);
	*ret_file = loaded;
	return 0;
}

void rule_file_free(struct rule_file *file)
{
	yaml_unload(NULL, file);
}

int rule_file_read(const char *path, struct rule_file **ret_file, struct yaml_marks **ret_marks,
		   struct yaml_error *error)
{
	char *text = NULL;
	size_t len = 0;
	int err = yaml_read(path, &text, &len);

	if (err != 0) {
		*error = (struct yaml_error){.name = path};
		snprintf(error->reason, sizeof(error->reason), "%s", strerror(-err));
		return err;
	}
	err = rule_file_load(text, len, path, ret_file, ret_marks, error);
	free(text);
	return err;
}

int rule_file_builtin(struct rule_file **ret_file, struct yaml_marks **ret_marks,
		      struct yaml_error *error)
{
	return rule_file_load(builtin_rules, builtin_rules_size(), "the built-in rules", ret_file,
			      ret_marks, error);
}
