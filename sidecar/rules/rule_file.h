/* SPDX-License-Identifier: MIT
 *
 * The rule file: what replies mean (`classes`) and what to do about them (`rules`), as written.
 *
 * The same two lists stand in the file that we ship (compiled in, printed by `tollgate rules`), in
 * a user's rule file and in tollgate.yaml. tollgate-rules(5) documents them. These structs are the
 * YAML, loaded and checked; classify.c and rule_engine.c compile them.
 */
#ifndef SIDECAR_RULES_RULE_FILE_H
#define SIDECAR_RULES_RULE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "sidecar/base/yaml.h"
#include "sidecar/rules/reply.h"

/* What a reply must be. An empty list asks nothing; within a list one entry is enough; all lists
 * must agree, but `not_text`, of which none may match. */
struct rule_match {
	enum reply_class *class;
	unsigned class_count;
	enum reply_limit *limit;
	unsigned limit_count;
	char **code; /* "451", "4xx" */
	unsigned code_count;
	char **enhanced; /* "4.7.650", "4.7.500-699", "4.7.x" */
	unsigned enhanced_count;
	char **text; /* regular expressions over the folded reply */
	unsigned text_count;
	char **not_text;
	unsigned not_text_count;
	char **destination;
	unsigned destination_count;
	char **source; /* addresses, "192.0.2.0/28", "192.0.2.1-192.0.2.9" */
	unsigned source_count;
	char **pool;
	unsigned pool_count;
	int lowers_cap; /* RULE_DEFAULT: either, RULE_YES, RULE_NO */
};

/* A reply that matches is of this class. The first entry that matches decides. */
struct rule_class {
	char *name;
	enum reply_class class;
	enum reply_limit limit;
	int lowers_cap; /* RULE_DEFAULT, RULE_YES, RULE_NO */
	struct rule_match match;
};

enum { RULE_DEFAULT, RULE_YES, RULE_NO };

/* What a rule does when it fires. NULL or 0: not that. Times and rates are texts with units. */
struct rule_action_text {
	char *hold; /* "5m": nothing goes for so long; each repeat within a day doubles it ... */
	char *hold_max; /* ... up to here; NULL: the hold never doubles */
	char *scale;	/* "0.5": the rate as it stands, times this */
	char *rate;	/* "10/min": the rate at most */
	uint32_t connections;
	uint32_t per_connection;
	uint32_t warmup_step_back; /* days of warm-up */
	char *until;		   /* "for": how long rate, scale and the caps stand; NULL: 1 h */
	struct rule_alert *alert;
};

struct rule_alert {
	char **command; /* an argument vector, no shell; none: the log alone */
	unsigned command_count;
	char *timeout; /* NULL: 10 s */
};

struct rule {
	char *name;
	struct rule_match match;
	char *trigger; /* "immediate", "3/hr", "10% of 50 in 15m", "growth 50% of 200"; NULL:
			  immediate */
	struct rule_action_text action;
};

struct rule_file {
	int builtin; /* RULE_NO: what we ship does not apply; else this comes in front of it */
	struct rule_class *classes;
	unsigned classes_count;
	struct rule *rules;
	unsigned rules_count;
};

/* Of classes, and of rules, in one file. */
#define RULE_FILE_MAX 4096

/* For a table that has a rule file in it: the rows of a struct rule_file that is a member of
 * `structure`; `prefix` is the member with its dot ("replies."). */
extern const struct yaml_keys rule_class_keys, rule_keys, rule_alert_keys;
extern const struct yaml_word_value rule_choices[];

#define RULE_FILE_KEYS(structure, prefix)                                            \
	YAML_KEY("builtin_rules", yaml_word, structure, prefix builtin,              \
		 "whether what is compiled in applies", .words = rule_choices),      \
		YAML_MAPPINGS("classes", rule_class_keys, structure, prefix classes, \
			      "what replies mean", .entries_max = RULE_FILE_MAX),    \
		YAML_MAPPINGS("rules", rule_keys, structure, prefix rules,           \
			      "what is done about them", .entries_max = RULE_FILE_MAX)

/* Loads and checks a file of its own. The marks are kept for lint (NULL: not wanted).
 * 0; -EINVAL or -ENOMEM with *error filled. Free with rule_file_free, the marks with
 * yaml_marks_free. */
int rule_file_load(const char *text, size_t len, const char *name, struct rule_file **ret_file,
		   struct yaml_marks **ret_marks, struct yaml_error *error);

/* Reads `path` and loads it. The text is kept nowhere. -errno of the file too, with *error filled.
 */
int rule_file_read(const char *path, struct rule_file **ret_file, struct yaml_marks **ret_marks,
		   struct yaml_error *error);

/* What the schema cannot say: codes, times, triggers, one action at least, no name twice. `marks`
 * are those of the text that holds the file at its top level. 0; -EINVAL with *error filled.
 * Regular expressions are compiled by classifier_create. */
int rule_file_check(const struct rule_file *file, const struct yaml_marks *marks, const char *name,
		    struct yaml_error *error);

/* NULL is fine. */
void rule_file_free(struct rule_file *file);

/* The file that is compiled in. Never fails in a build that passes its tests; *error as above. */
int rule_file_builtin(struct rule_file **ret_file, struct yaml_marks **ret_marks,
		      struct yaml_error *error);

#endif
