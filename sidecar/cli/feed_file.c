/* SPDX-License-Identifier: MIT */
#include "sidecar/cli/feed_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COMPLAINTS_MAX 20 /* lines that are malformed are counted; the first are shown */

static void complain(struct feed_file *file, uint64_t line, const char *why)
{
	if (file->bad++ < COMPLAINTS_MAX)
		fprintf(stderr, "%s:%" PRIu64 ": %s; left out\n", file->path, line, why);
}

static int lines_take(struct feed_file *file, struct lines *lines, bool end)
{
	struct ingest_line line;
	int error = 0;

	while (error == 0 && lines_next(lines, end, &line)) {
		const char *why = "malformed";

		file->lines++;
		error = file->take(file->arg, &line, &why);
		if (error == -EINVAL) {
			complain(file, lines->number, why);
			error = 0;
		}
	}
	return error;
}

static int all_read(struct feed_file *file, int fd, struct lines *lines)
{
	bool end = false;
	int error = 0;

	while (!end && error == 0) {
		error = lines_read(lines, fd, &end);
		if (error == 0)
			error = lines_take(file, lines, end);
	}
	return error;
}

int feed_file_read(struct feed_file *file)
{
	struct lines lines = {.bytes = NULL};
	int fd = strcmp(file->path, "-") == 0 ? STDIN_FILENO
					      : open(file->path, O_RDONLY | O_CLOEXEC);
	int error = fd < 0 ? -errno : all_read(file, fd, &lines);

	if (fd > STDIN_FILENO)
		close(fd);
	for (; lines.too_long; lines.too_long--)
		complain(file, 0, "a line is too long");
	lines_free(&lines);
	if (file->bad > COMPLAINTS_MAX)
		fprintf(stderr, "%s: %" PRIu64 " more lines were left out\n", file->path,
			file->bad - COMPLAINTS_MAX);
	if (error)
		fprintf(stderr, "tollgate %s: %s: %s\n", file->command, file->path,
			strerror(-error));
	return error;
}
