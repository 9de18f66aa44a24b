/* SPDX-License-Identifier: MIT
 *
 * A file that somebody hands in, read line by line: what is malformed is told by its line, and the
 * rest is taken.
 */
#ifndef SIDECAR_CLI_FEED_FILE_H
#define SIDECAR_CLI_FEED_FILE_H

#include <stdbool.h>

#include "sidecar/ingest/lines.h"

struct feed_file {
	const char *command; /* in messages */
	const char *path;    /* "-": standard input */
	/* Takes a line. 0; -EINVAL: it is malformed, and *ret_why says how; another error ends it. */
	int (*take)(void *arg, struct ingest_line *line, const char **ret_why);
	void *arg;
	uint64_t lines, bad; /* filled in */
};

/* 0 or -errno; all that is wrong is printed. */
int feed_file_read(struct feed_file *file);

#endif
