/* SPDX-License-Identifier: MIT
 *
 * Which cases to measure: see cases.h.
 */
#include "bench/lib/cases.h"

#include <fnmatch.h>
#include <getopt.h>
#include <stddef.h>

bool cases_read(struct cases *cases, int argc, char **argv)
{
	static const struct option options[] = {
		{"json", 0, NULL, 'j'}, {"quick", 0, NULL, 'q'}, {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'j': cases->json = true; break;
		case 'q': cases->quick = true; break;
		default: return false;
		}
	}
	cases->names = argv + optind;
	cases->count = argc - optind;
	return true;
}

bool cases_wanted(const struct cases *cases, const char *name)
{
	for (int i = 0; i < cases->count; i++)
		if (fnmatch(cases->names[i], name, 0) == 0)
			return true;
	return cases->count == 0;
}
