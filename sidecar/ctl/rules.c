/* SPDX-License-Identifier: MIT
 *
 * tollgate rules: prints the rule file that is compiled in, as it stands, to read and to start from.
 */
#include <stdio.h>
#include <string.h>

#include "sidecar/builtin.h"
#include "sidecar/ctl/command.h"

int ctl_rules(int argc, char **argv)
{
	if (argc > 1) {
		fputs("usage: tollgate rules\n", strcmp(argv[1], "--help") == 0 ? stdout : stderr);
		return strcmp(argv[1], "--help") == 0 ? 0 : 2;
	}
	return fwrite(builtin_rules, 1, builtin_rules_size(), stdout) == builtin_rules_size() &&
			       fflush(stdout) == 0
		       ? 0
		       : 1;
}
