/* SPDX-License-Identifier: MIT
 *
 * tollgate import kumomta FILE...
 *
 * Another program's limits and rules as a configuration of ours, on standard output. The reader is
 * a Python script that is compiled in (TOML is read by Python's own library), so nothing has to be
 * found beside the program but python3. It is told where this program is, whose `check` has to
 * accept the result.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/cli/command.h"
#include "sidecar/cli/options.h"
#include "sidecar/data/embedded.h"

/* What the importer is started with: itself, our own path, the options, the files. */
struct import {
	char **words;
	size_t count;
};

static const char *source_read(void *into, const char *name, char *text)
{
	struct import *import = into;

	if (strchr(text, '=') == NULL)
		return "not NAME=ADDRESS";
	import->words[import->count++] = (char *)"--source";
	import->words[import->count++] = text;
	return NULL;
}

static const struct cli_option rows[] = {
	{.name = "source",
	 .value = "NAME=ADDRESS",
	 .help = "what address an egress source sends from, for limits of that source; may be given "
		 "again",
	 .kind = CLI_READ,
	 .read = source_read},
	{.name = NULL},
};

static const struct cli_syntax syntax = {
	.command = "import",
	.arguments = "kumomta FILE...",
	.min = 2,
	.max = -1,
	.about =
		"Writes KumoMTA's shaping.toml as a configuration to standard output. Several files are "
		"merged in the order given, as KumoMTA does. Standard error names what has no effect in "
		"them, what cannot be converted, and what behaves differently.",
	.options = rows,
};

static int import_run(struct import *import, int argc, char **argv)
{
	static const char *const first[] = {"python3", "-I", "-c", builtin_import_kumomta};
	char program[PATH_MAX], **files;
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
	int count;

	if (length < 0) {
		fprintf(stderr, "tollgate: import: %s\n", strerror(errno));
		return 1;
	}
	program[length] = '\0';
	memcpy(import->words, first, sizeof(first));
	import->count = sizeof(first) / sizeof(first[0]);
	import->words[import->count++] = program;
	count = options_read(&syntax, argc, argv, import, &files);
	if (strcmp(files[0], "kumomta") != 0)
		return options_wrong(&syntax, "it reads kumomta's files");
	for (int i = 1; i < count; i++)
		import->words[import->count++] = files[i];
	execvp(import->words[0], import->words);
	fprintf(stderr, "tollgate: import needs python3 (3.11 or later): %s\n", strerror(errno));
	return 1;
}

int cli_import(int argc, char **argv)
{
	struct import import = {.words = calloc((size_t)argc * 2 + 8, sizeof(*import.words))};
	int status = 1;

	if (import.words != NULL)
		status = import_run(&import, argc, argv);
	free(import.words);
	return status;
}
