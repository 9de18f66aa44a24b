/* SPDX-License-Identifier: MIT
 *
 * What a program of the suite is asked for: how to print, how long to measure, which cases.
 */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include <stdbool.h>

#include "sidecar/cli/options.h"

struct cases {
	bool json, quick;
	char **names; /* as on the command line, which they belong to; they may end in * */
	int count;    /* 0: every case */
};

/* The rows of a program's options for the first two, of the struct that cases are a member of. */
#define CASES_JSON(type)                                                              \
	{                                                                             \
		"json", 0, NULL, "print JSON, an object a line", CLI_FLAG,            \
			offsetof(type, cases) + offsetof(struct cases, json), 0, NULL \
	}
#define CASES_QUICK(type)                                                              \
	{                                                                              \
		"quick", 0, NULL, "measure for a shorter time", CLI_FLAG,              \
			offsetof(type, cases) + offsetof(struct cases, quick), 0, NULL \
	}

/* Reads [--json] [--quick] [CASE…] of a program that has no other options. Ends the process with 2
 * where something else stands there, as options_read does. */
void cases_read(struct cases *cases, const char *program, int argc, char **argv);

bool cases_wanted(const struct cases *cases, const char *name);

#endif
