/* SPDX-License-Identifier: MIT
 *
 * Which cases to measure: see cases.h.
 */
#include "bench/lib/cases.h"

#include <fnmatch.h>
#include <stddef.h>

void cases_read(struct cases *cases, const char *program, int argc, char **argv)
{
	struct only {
		struct cases cases;
	} only = {*cases};
	static const struct cli_option rows[] = {
		CASES_JSON(struct only), CASES_QUICK(struct only), {0}};
	const struct cli_syntax syntax = {
		.program = program,
		.arguments = "[CASE...]",
		.max = -1,
		.about = "Measures the cases that are named, or all, and prints a line for each. A "
			 "CASE may end in *. The top of the source says what is measured.",
		.options = rows,
	};

	only.cases.count = options_read(&syntax, argc, argv, &only, &only.cases.names);
	*cases = only.cases;
}

bool cases_wanted(const struct cases *cases, const char *name)
{
	for (int i = 0; i < cases->count; i++)
		if (fnmatch(cases->names[i], name, 0) == 0)
			return true;
	return cases->count == 0;
}
