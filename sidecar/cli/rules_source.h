/* SPDX-License-Identifier: MIT
 *
 * What the commands about replies share: the rule files, the classifier made of them, and the
 * errors of both as a user reads them.
 */
#ifndef SIDECAR_CLI_RULES_SOURCE_H
#define SIDECAR_CLI_RULES_SOURCE_H

#include "sidecar/config/config.h"
#include "sidecar/rules/classify.h"

struct loaded_rules {
	struct rule_file *user; /* NULL: none given */
	struct rule_file *builtin;
	struct yaml_marks *user_marks, *builtin_marks;
	const char *user_name;
	struct classifier *classifier;
	struct classify_scratch *scratch;
};

/* Loads what is compiled in, and the file at `path` in front of it (NULL: none). What is wrong goes
 * to stderr as "file:line:column: reason". 0 or -errno; *ret_rules is for rules_source_free in
 * either case. */
int rules_source_load(const char *path, struct loaded_rules *ret_rules);

/* The same; without a path, these are in front of ours (NULL: none). They stay their owner's. */
int rules_source_load_with(const char *path, const struct rule_file *rules,
			   struct loaded_rules *ret_rules);
void rules_source_free(struct loaded_rules *rules);

/* The configuration at `path` (NULL: the built-in one), for its own rules. What is wrong goes to
 * stderr; NULL: it cannot be used. */
struct config *rules_source_config(const char *path);

/* The configuration in force: of the sidecar that lives on this segment (NULL: as the commands find
 * it), else the one that it would start with, else the built-in one. Which one goes to stderr, and
 * the rest is as above. */
struct config *rules_source_config_in_force(const char *segment);

#endif
