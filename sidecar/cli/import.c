/* SPDX-License-Identifier: MIT
 *
 * tollgate import kumomta FILE
 *
 * Another program's limits and rules as a configuration of ours, on standard output. The reader is
 * a Python script that is compiled in (TOML is read by Python's own library), so nothing has to be
 * found beside the program but python3.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/cli/command.h"
#include "sidecar/data/embedded.h"

static const char usage[] =
	"usage: tollgate import kumomta FILE\n"
	"Writes KumoMTA's shaping.toml as a configuration to standard output; what is dead in\n"
	"it, and what cannot be taken over, to standard error.\n";

int cli_import(int argc, char **argv)
{
	char *arguments[] = {(char *)"python3",
			     (char *)"-I",
			     (char *)"-c",
			     (char *)builtin_import_kumomta,
			     NULL,
			     NULL};

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc != 3 || strcmp(argv[1], "kumomta") != 0) {
		fputs(usage, stderr);
		return 2;
	}
	arguments[4] = argv[2];
	execvp(arguments[0], arguments);
	fprintf(stderr, "tollgate: import needs python3 (3.11 or later): %s\n", strerror(errno));
	return 1;
}
