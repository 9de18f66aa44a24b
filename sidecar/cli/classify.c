/* SPDX-License-Identifier: MIT
 *
 * tollgate classify [--rules FILE] [--destination NAME] [REPLY...]
 *
 * What would it make of this? A line of JSON for each reply given, or for each line of standard
 * input, "destination<TAB>reply" ("-" where the destination is not known; a line without a tab is a
 * reply).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "sidecar/cli/command.h"
#include "sidecar/cli/options.h"
#include "sidecar/cli/rules_source.h"

struct classify_options {
	const char *rules, *destination;
};

static const struct cli_option option_rows[] = {
	{"rules", 'r', "FILE", "these rules in front of the built-in ones", CLI_TEXT,
	 offsetof(struct classify_options, rules), 0, NULL},
	{"destination", 'd', "NAME", "the destination that a REPLY came from", CLI_TEXT,
	 offsetof(struct classify_options, destination), 0, NULL},
	{0}};

static const struct cli_syntax syntax = {
	.command = "classify",
	.arguments = "[REPLY...]",
	.max = -1,
	.about =
		"Prints a line of JSON for each reply: its class, which limit it names, and the entry "
		"that matched. Without a REPLY, lines \"destination<TAB>reply\" are read from standard "
		"input; \"-\" stands for a destination that is not known.",
	.options = option_rows,
};

static void classify_print(const struct loaded_rules *rules, const char *destination,
			   const char *reply, size_t len)
{
	struct classification found;
	struct reply_line line;

	reply_line_parse(reply, len, &line);
	classify(rules->classifier, rules->scratch, destination, &line, &found);
	printf("{\"class\": \"%s\", \"limit\": \"%s\", \"lowers_cap\": %s, \"rule\": \"%s\"}\n",
	       reply_class_name(found.class), reply_limit_name(found.limit),
	       found.lowers_cap ? "true" : "false", found.rule);
}

static void classify_stream(const struct loaded_rules *rules, const char *destination, FILE *in)
{
	char *text = NULL;
	size_t room = 0;
	ssize_t len;

	while ((len = getline(&text, &room, in)) >= 0) {
		char *tab = memchr(text, '\t', (size_t)len), *reply = text;
		const char *where = destination;

		if (len > 0 && text[len - 1] == '\n')
			len--;
		if (tab != NULL) {
			*tab = '\0';
			reply = tab + 1;
			where = strcmp(text, "-") == 0 ? NULL : text;
		}
		classify_print(rules, where, reply, (size_t)(text + len - reply));
	}
	free(text);
}

int cli_classify(int argc, char **argv)
{
	struct classify_options options = {0};
	struct loaded_rules rules;
	char **replies;
	int count = options_read(&syntax, argc, argv, &options, &replies);
	int error = rules_source_load(options.rules, &rules);

	for (int i = 0; !error && i < count; i++)
		classify_print(&rules, options.destination, replies[i], strlen(replies[i]));
	if (!error && count == 0)
		classify_stream(&rules, options.destination, stdin);
	rules_source_free(&rules);
	return error == 0 && fflush(stdout) == 0 ? 0 : 1;
}
