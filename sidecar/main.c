/* SPDX-License-Identifier: MIT
 *
 * One program, two names: as `tollgate` it is the command line.
 */
#include <libgen.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/ctl/command.h"

int main(int argc, char **argv)
{
	if (argc > 0 && strcmp(basename(argv[0]), "tollgated") != 0)
		return command_run(argc, argv);
	fputs("usage: tollgate COMMAND [ARGUMENT...]\n", stderr);
	return 2;
}
