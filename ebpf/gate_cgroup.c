/* SPDX-License-Identifier: MIT
 *
 * The folders of the gated cgroups: which exist, whose they are, and when they come and go.
 *
 * A service manager removes a service's cgroup when it stops and makes another when it starts, so a
 * folder may be missing at any time; inotify on its parent says when it is there again. The folder
 * itself carries the lock that keeps a second process from charging every connection twice: it ends
 * with its holder, and is the same from every mount namespace.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "ebpf/gate.h"
#include "ebpf/gate_internal.h"

static int parent_of(const char *path, char *parent, size_t size)
{
	size_t length = strlen(path);
	const char *slash;

	while (length > 1 && path[length - 1] == '/')
		length--;
	slash = memrchr(path, '/', length);
	if (path[0] != '/' || !slash || slash == path)
		return -EINVAL;
	if ((size_t)snprintf(parent, size, "%.*s", (int)(slash - path), path) >= size)
		return -ENAMETOOLONG;
	return 0;
}

int gate_cgroup_init(struct gate_folder *folder, const char *path, char *why, size_t size)
{
	char parent[4096];
	struct statfs at;
	int error = parent_of(path, parent, sizeof parent);

	folder->fd = folder->watch = -1;
	folder->id = 0;
	if (error) {
		snprintf(why, size, "%s: not the path of a cgroup", path);
		return error;
	}
	/* The cgroup may be missing, its parent as well; what is there must be cgroup v2. */
	if (!statfs(path, &at) || !statfs(parent, &at)) {
		if ((unsigned long)at.f_type != CGROUP2_SUPER_MAGIC) {
			snprintf(why, size, "%s: not in cgroup v2", path);
			return -ENOTSUP;
		}
	}
	folder->path = strdup(path);
	return folder->path ? 0 : -ENOMEM;
}

int gate_cgroup_open(struct gate_folder *folder)
{
	struct statfs at;
	struct stat st;
	int fd;

	if (folder->fd >= 0)
		return 0;
	fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		return -EBUSY;
	}
	if (fstat(fd, &st) || fstatfs(fd, &at) || (unsigned long)at.f_type != CGROUP2_SUPER_MAGIC) {
		close(fd);
		return -ENOTSUP;
	}
	folder->fd = fd;
	folder->id = st.st_ino;
	return 1;
}

int gate_cgroup_gone(const struct gate_folder *folder)
{
	struct stat st;

	return folder->fd >= 0 && (stat(folder->path, &st) || st.st_ino != folder->id);
}

void gate_cgroup_close(struct gate_folder *folder)
{
	if (folder->fd >= 0)
		close(folder->fd);
	folder->fd = -1;
	folder->id = 0;
}

void gate_cgroup_free(struct gate_folder *folder)
{
	gate_cgroup_close(folder);
	free(folder->path);
	folder->path = NULL;
}

int gate_cgroup_watch(struct gate_folder *folder, int notify)
{
	char parent[4096];
	int error = parent_of(folder->path, parent, sizeof parent);

	if (error)
		return error;
	folder->watch = inotify_add_watch(notify, parent, IN_CREATE | IN_DELETE | IN_ONLYDIR);
	return folder->watch < 0 ? -errno : 0;
}

/* Looks through the folders below dir, a descriptor that is closed here. */
static int holds(int dir, uint64_t id, int depth)
{
	DIR *d = fdopendir(dir);
	struct dirent *entry;
	int found = 0;

	if (!d) {
		close(dir);
		return 0;
	}
	while (!found && (entry = readdir(d))) {
		int fd;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		found = entry->d_ino == id;
		if (found || depth == 0)
			continue;
		fd = openat(dirfd(d), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			found = holds(fd, id, depth - 1);
	}
	closedir(d);
	return found;
}

int gate_cgroup_holds(const struct gate_folder *folder, uint64_t id)
{
	int fd;

	if (folder->fd < 0)
		return 0;
	if (id == folder->id)
		return 1;
	fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && holds(fd, id, 16);
}
