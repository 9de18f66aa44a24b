/* SPDX-License-Identifier: MIT */
#include "sidecar/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM_FIRST 4096

/* Reads until the end, or until `size` bytes are there. */
static int fill(int fd, char *to, size_t size, size_t *used)
{
	while (*used < size) {
		ssize_t got = read(fd, to + *used, size - *used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return 0;
		*used += (size_t)got;
	}
	return 0;
}

static int all_read(int fd, size_t max, char **text, size_t *used)
{
	size_t room = 0;

	*used = 0;
	do {
		size_t wanted = room ? 2 * room : ROOM_FIRST;
		char *grown;
		int error;

		if (wanted > max)
			wanted = max;
		grown = realloc(*text, wanted + 1);
		if (grown == NULL)
			return -ENOMEM;
		*text = grown;
		room = wanted;
		error = fill(fd, *text, room, used);
		if (error)
			return error;
	} while (*used == room && room < max);
	(*text)[*used] = '\0';
	return 0;
}

int file_read(const char *path, size_t max, char **ret, size_t *ret_length)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *text = NULL;
	int error = fd < 0 ? -errno : all_read(fd, max, &text, ret_length);

	if (fd >= 0)
		close(fd);
	if (error) {
		free(text);
		return error;
	}
	*ret = text;
	return 0;
}

int file_read_into(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	size_t used = 0;
	int error = fd < 0 ? -errno : fill(fd, to, size - 1, &used);

	to[error ? 0 : used] = '\0';
	if (fd >= 0)
		close(fd);
	return error;
}

bool file_cgroup_root(char *to, size_t size)
{
	char line[1024], path[512], type[64];
	FILE *mounts = fopen("/proc/self/mounts", "re");
	bool found = false;

	while (mounts && !found && fgets(line, sizeof(line), mounts))
		found = sscanf(line, "%*s %511s %63s", path, type) == 2 &&
			strcmp(type, "cgroup2") == 0;
	if (mounts)
		fclose(mounts);
	if (found)
		snprintf(to, size, "%s", path);
	return found;
}
