/* SPDX-License-Identifier: MIT
 *
 * The rules within a configuration (rule_file.h): what their own check says, whether their regular
 * expressions are any, and whether the destinations, pools and sources that they name exist.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "shm/destination.h"
#include "sidecar/config/schema.h"
#include "sidecar/rules/classify.h"
#include "sidecar/rules/rule_lint.h"

static void check_match(const struct config_checking *checking, const struct rule_match *match,
			const char *path)
{
	const struct config *config = checking->config;
	struct destination_match found;
	struct config_range range;
	const char *reason;

	for (unsigned i = 0; i < match->destination_count; i++)
		config_match(checking, match->destination[i],
			     config_place(checking, "%s.destination[%u]", path, i), &found);
	for (unsigned i = 0; i < match->pool_count; i++)
		if (!config_pool_named(config, match->pool[i]))
			config_error(checking, config_place(checking, "%s.pool[%u]", path, i),
				     "'%.60s': no such pool", match->pool[i]);
	for (unsigned i = 0; i < match->source_count; i++)
		if (config_range_read(match->source[i], &range, &reason) < 0)
			config_error(checking, config_place(checking, "%s.source[%u]", path, i),
				     "'%.60s': %s", match->source[i], reason);
}

/* Compiles the patterns, which is the only way to know. */
static int check_patterns(const struct config_checking *checking)
{
	struct classifier *classifier = NULL;
	struct classify_error error;
	int rc = classifier_create(&checking->config->rules, NULL, &classifier, &error);

	classifier_free(classifier);
	if (rc == -EINVAL)
		config_error(checking, config_place(checking, "%s", error.path), "%s",
			     error.reason);
	else if (rc < 0 && rc != -ENOMEM)
		config_warning(checking, config_place(checking, "rules"), "%s", error.reason);
	return rc == -ENOMEM ? rc : 0;
}

/* What is well written and dead. Which destinations no rule reaches is asked only where ours, which
 * reach all, are left out. */
static int lint_rules(const struct config_checking *checking)
{
	const struct config *config = checking->config;
	const char **names = calloc(config->effective_count + 1, sizeof(*names));
	struct rule_lint lint = {.any_destination = true, .destinations = names};
	struct rule_warning *warnings;
	int count;

	if (!names)
		return -ENOMEM;
	for (uint32_t i = 0; config->rules.builtin == RULE_NO && i < config->effective_count; i++)
		names[lint.destination_count++] = config->effective[i]->name;
	count = rule_file_lint(&config->rules, checking->marks, &lint, &warnings);
	free(names);
	if (count < 0)
		return count;
	for (int i = 0; i < count; i++)
		config_warning(checking, warnings[i].mark, "%s", warnings[i].reason);
	free(warnings);
	return 0;
}

int config_check_rules(const struct config_checking *checking)
{
	const struct rule_file *rules = &checking->config->rules;
	struct yaml_error error = {0};
	char path[64];
	int rc;

	if (rules->classes_count + rules->rules_count == 0)
		return 0;
	if (rule_file_check(rules, checking->marks, checking->file, &error) < 0) {
		config_error(checking, error.mark, "%s", error.reason);
		return 0;
	}
	for (unsigned i = 0; i < rules->classes_count; i++) {
		snprintf(path, sizeof(path), "classes[%u]", i);
		check_match(checking, &rules->classes[i].match, path);
	}
	for (unsigned i = 0; i < rules->rules_count; i++) {
		snprintf(path, sizeof(path), "rules[%u].match", i);
		check_match(checking, &rules->rules[i].match, path);
	}
	rc = check_patterns(checking);
	return rc == 0 ? lint_rules(checking) : rc;
}
