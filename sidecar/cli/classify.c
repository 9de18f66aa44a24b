/* SPDX-License-Identifier: MIT
 *
 * tollgate classify [--rules FILE] [--destination NAME] [REPLY...]
 *
 * What would it make of this? A line of JSON for each reply given, or for each line of standard
 * input, "destination<TAB>reply" ("-" where the destination is not known; a line without a tab is a
 * reply).
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "sidecar/cli/command.h"
#include "sidecar/cli/rules_source.h"

static const char usage[] =
	"usage: tollgate classify [--rules FILE] [--destination NAME] [REPLY...]\n"
	"Without a REPLY, lines \"destination<TAB>reply\" are read from standard input\n"
	"(\"-\" where the destination is not known).\n";

static void classify_print(const struct loaded_rules *rules, const char *destination,
			   const char *reply, size_t len)
{
	struct classification found;
	struct reply_line line;

	reply_line_parse(reply, len, &line);
	classify(rules->classifier, rules->scratch, destination, line.code, line.enhanced,
		 line.text, line.len, &found);
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
	static const struct option options[] = {{"rules", required_argument, NULL, 'r'},
						{"destination", required_argument, NULL, 'd'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	const char *path = NULL, *destination = NULL;
	struct loaded_rules rules;
	int option, err;

	optind = 0;
	while ((option = getopt_long(argc, argv, "r:d:h", options, NULL)) != -1) {
		switch (option) {
		case 'r': path = optarg; break;
		case 'd': destination = optarg; break;
		case 'h': fputs(usage, stdout); return 0;
		default: fputs(usage, stderr); return 2;
		}
	}
	err = rules_source_load(path, &rules);
	if (err == 0 && optind < argc)
		for (int i = optind; i < argc; i++)
			classify_print(&rules, destination, argv[i], strlen(argv[i]));
	else if (err == 0)
		classify_stream(&rules, destination, stdin);
	rules_source_free(&rules);
	return err == 0 && fflush(stdout) == 0 ? 0 : 1;
}
