/* SPDX-License-Identifier: MIT
 *
 * What a program of the suite is asked for: how to print, how long to measure, which cases.
 */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include <stdbool.h>

struct cases {
	bool json, quick;
	char **names; /* as on the command line, which they belong to; they may end in * */
	int count;    /* 0: every case */
};

/* Reads [--json] [--quick] [CASE…]. False: something else stands there, and getopt has said so. */
bool cases_read(struct cases *cases, int argc, char **argv);

bool cases_wanted(const struct cases *cases, const char *name);

#endif
