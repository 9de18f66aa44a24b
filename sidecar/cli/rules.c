/* SPDX-License-Identifier: MIT
 *
 * tollgate rules [FILE]
 *
 * Prints the rule file that is compiled in, as it stands, to read and to start from. With a FILE,
 * checks that one instead: what is wrong, and what can never match or never act.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/cli/command.h"
#include "sidecar/cli/options.h"
#include "sidecar/cli/rules_source.h"
#include "sidecar/data/embedded.h"
#include "sidecar/rules/rule_lint.h"

static int rules_print(void)
{
	size_t size = builtin_rules_size();

	return fwrite(builtin_rules, 1, size, stdout) == size && fflush(stdout) == 0 ? 0 : 1;
}

static int rules_check(const char *path)
{
	struct rule_warning *warnings = NULL;
	struct loaded_rules rules;
	int count = -1, err = rules_source_load(path, &rules);

	if (err == 0)
		count = rule_file_lint(rules.user, rules.user_marks,
				       &(struct rule_lint){.others = rules.builtin}, &warnings);
	for (int i = 0; i < count; i++)
		printf("%s:%u:%u: %s\n", path, warnings[i].mark.line, warnings[i].mark.column,
		       warnings[i].reason);
	if (count >= 0)
		printf("%s: %u classes, %u rules, %d warnings\n", path, rules.user->classes_count,
		       rules.user->rules_count, count);
	free(warnings);
	rules_source_free(&rules);
	return count >= 0 ? 0 : 1;
}

static const struct cli_syntax syntax = {
	.command = "rules",
	.arguments = "[FILE]",
	.max = 1,
	.about =
		"Prints the built-in classes and rules. With a FILE, checks that rule file instead: what is "
		"wrong, and what can never match or never act.",
};

int cli_rules(int argc, char **argv)
{
	char **files;

	return options_read(&syntax, argc, argv, NULL, &files) ? rules_check(files[0])
							       : rules_print();
}
