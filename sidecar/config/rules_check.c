/* SPDX-License-Identifier: MIT
 *
 * The rules within a configuration (rule_file.h): what their own check says, whether their regular
 * expressions are any, and whether the destinations, pools and sources that they name exist.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "shm/destination.h"
#include "sidecar/config/config.h"
#include "sidecar/config/schema.h"
#include "sidecar/rules/pattern_set.h"
#include "sidecar/rules/rule_lint.h"

static void check_match(const struct config_loader *loader, const struct rule_match *match,
			const char *path)
{
	const struct config *config = loader->config;
	struct destination_match found;
	struct address_range range;
	const char *reason;

	for (unsigned i = 0; i < match->destination_count; i++)
		config_match(loader, match->destination[i],
			     config_mark(loader, "%s.destination[%u]", path, i), &found);
	for (unsigned i = 0; i < match->pool_count; i++)
		if (!config_pool_named(config, match->pool[i]))
			config_error(loader, config_mark(loader, "%s.pool[%u]", path, i),
				     "'%.60s': no such pool", match->pool[i]);
	for (unsigned i = 0; i < match->source_count; i++)
		if (address_range_read(match->source[i], &range, &reason) < 0)
			config_error(loader, config_mark(loader, "%s.source[%u]", path, i),
				     "'%.60s': %s", match->source[i], reason);
		else if (config_source_unlisted(config, &range))
			config_error(loader, config_mark(loader, "%s.source[%u]", path, i),
				     CONFIG_UNLISTED, match->source[i]);
}

/* What is no regular expression. -ENOTSUP: none can be compiled on this processor. */
static int check_patterns(const struct config_loader *loader, char *const *patterns, unsigned count,
			  const char *path)
{
	struct pattern_error error;
	struct pattern_info info;

	for (unsigned i = 0; i < count; i++) {
		int rc = pattern_inspect(patterns[i], &info, &error);

		if (rc == -ENOMEM)
			return rc;
		if (rc == -ENOTSUP) {
			config_warning(loader, config_mark(loader, "rules"), "%s", error.reason);
			return rc;
		}
		if (rc < 0)
			config_error(loader, config_mark(loader, "%s[%u]", path, i), "%s",
				     error.reason);
	}
	return 0;
}

static int check_expressions(const struct config_loader *loader, const struct rule_match *match,
			     const char *path)
{
	char place[96];
	int rc;

	snprintf(place, sizeof(place), "%s.text", path);
	rc = check_patterns(loader, match->text, match->text_count, place);
	snprintf(place, sizeof(place), "%s.not_text", path);
	return rc ? rc : check_patterns(loader, match->not_text, match->not_text_count, place);
}

/* What is well written and dead. Which destinations no rule reaches is asked only where ours, which
 * reach all, are left out. */
static int lint_rules(const struct config_loader *loader)
{
	const struct config *config = loader->config;
	const char **names = calloc(config->effective_count + 1, sizeof(*names));
	struct rule_lint lint = {.any_destination = true, .destinations = names};
	struct rule_warning *warnings;
	int count;

	if (!names)
		return -ENOMEM;
	for (uint32_t i = 0; config->rules.builtin == RULE_NO && i < config->effective_count; i++)
		names[lint.destination_count++] = config->effective[i]->name;
	count = rule_file_lint(&config->rules, loader->marks, &lint, &warnings);
	free(names);
	if (count < 0)
		return count;
	for (int i = 0; i < count; i++)
		config_warning(loader, warnings[i].mark, "%s", warnings[i].reason);
	free(warnings);
	return 0;
}

int config_check_rules(const struct config_loader *loader)
{
	const struct rule_file *rules = &loader->config->rules;
	struct yaml_error error = {0};
	char path[64];
	int rc = 0;

	if (rules->classes_count + rules->rules_count == 0)
		return 0;
	if (rule_file_check(rules, loader->marks, loader->file, &error) < 0) {
		config_error(loader, error.mark, "%s", error.reason);
		return 0;
	}
	for (unsigned i = 0; i < rules->classes_count && rc == 0; i++) {
		snprintf(path, sizeof(path), "classes[%u]", i);
		check_match(loader, &rules->classes[i].match, path);
		rc = check_expressions(loader, &rules->classes[i].match, path);
	}
	for (unsigned i = 0; i < rules->rules_count && rc == 0; i++) {
		snprintf(path, sizeof(path), "rules[%u].match", i);
		check_match(loader, &rules->rules[i].match, path);
		rc = check_expressions(loader, &rules->rules[i].match, path);
	}
	if (rc)
		return rc == -ENOMEM ? rc : 0;
	return lint_rules(loader);
}
