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
#include "sidecar/data/embedded.h"

static const char usage[] =
	"usage: tollgate import kumomta [--source NAME=ADDRESS]... FILE...\n"
	"Writes KumoMTA's shaping.toml as a configuration to standard output, several files\n"
	"merged in that order as KumoMTA does; what is dead in them, what cannot be taken over,\n"
	"and what comes out differently, to standard error. --source says what address an\n"
	"egress source sends from, for limits of that source.\n";

int cli_import(int argc, char **argv)
{
	static const char *const first[] = {"python3", "-I", "-c", builtin_import_kumomta};
	size_t given = sizeof(first) / sizeof(first[0]);
	char program[PATH_MAX], **arguments;
	ssize_t length;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc < 3 || strcmp(argv[1], "kumomta") != 0) {
		fputs(usage, stderr);
		return 2;
	}
	length = readlink("/proc/self/exe", program, sizeof(program) - 1);
	arguments = calloc(given + (size_t)argc, sizeof(*arguments));
	if (length < 0 || arguments == NULL) {
		fprintf(stderr, "tollgate: import: %s\n", strerror(errno));
		free(arguments);
		return 1;
	}
	program[length] = '\0';
	memcpy(arguments, first, sizeof(first));
	arguments[given] = program;
	memcpy(arguments + given + 1, argv + 2, (size_t)(argc - 2) * sizeof(*argv));
	execvp(arguments[0], arguments);
	fprintf(stderr, "tollgate: import needs python3 (3.11 or later): %s\n", strerror(errno));
	free(arguments);
	return 1;
}
