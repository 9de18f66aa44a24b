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
#include "sidecar/cli/options.h"
#include "sidecar/data/embedded.h"

static const struct cli_syntax syntax = {
	.command = "import",
	.arguments = "kumomta FILE",
	.min = 2,
	.max = 2,
	.about =
		"Writes KumoMTA's shaping.toml as a configuration to standard output; what is dead in it, "
		"and what cannot be taken over, to standard error.",
};

int cli_import(int argc, char **argv)
{
	char *arguments[] = {(char *)"python3",
			     (char *)"-I",
			     (char *)"-c",
			     (char *)builtin_import_kumomta,
			     NULL,
			     NULL};
	char **given;

	options_read(&syntax, argc, argv, NULL, &given);
	if (strcmp(given[0], "kumomta") != 0)
		return options_wrong(&syntax, "it reads kumomta's files");
	arguments[4] = given[1];
	execvp(arguments[0], arguments);
	fprintf(stderr, "tollgate: import needs python3 (3.11 or later): %s\n", strerror(errno));
	return 1;
}
