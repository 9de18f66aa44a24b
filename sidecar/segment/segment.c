/* SPDX-License-Identifier: MIT
 *
 * Opening a segment: which of making, adopting, completing and replacing is due. See segment.h.
 *
 *   found                                   done
 *   nothing                                 made
 *   files that fit                          adopted
 *   files, and made ones that are complete  the last sidecar died while naming them: named, adopted
 *   files, and made ones that are not       it died while carrying usage over: carried on
 *   files of other sizes                    made, usage carried over, named
 *   files that are unfit                    made anew; nothing can be carried from what cannot be read
 */
#include "sidecar/segment/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "shm/alive.h"
#include "shm/clock.h"
#include "sidecar/segment/segment_files.h"

#define LOCK_NAME "lock"

static void give_reason(const struct segment_options *options, char *reason)
{
	snprintf(reason, SEGMENT_REASON, "%s: cannot give it to uid %lld, group %lld: %s",
		 options->path, (long long)options->owner, (long long)options->group,
		 strerror(errno));
}

/* A file of the folder that is no part of the segment's contents: made if it is not there. */
static int plain_make(int folder, const char *name, mode_t mode,
		      const struct segment_options *options)
{
	int fd = openat(folder, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	struct stat st;
	int error = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		error = -EPROTO;
	else if (segment_give(fd, options) != 0 || fchmod(fd, mode) != 0)
		error = -errno;
	if (!error)
		return fd;
	close(fd);
	return error;
}

/* Whether a folder and its lock are still what stands at the path: the sidecar that had them may
 * have removed them between the opening and the lock. */
static bool lock_stands(const struct segment_options *options, int folder, int lock)
{
	struct stat st, named;

	return fstat(folder, &st) == 0 && stat(options->path, &named) == 0 &&
	       named.st_ino == st.st_ino && named.st_dev == st.st_dev && fstat(lock, &st) == 0 &&
	       fstatat(folder, LOCK_NAME, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       named.st_ino == st.st_ino;
}

/* The lock is on a file that none but the owner may open: the group could hold one on the folder,
 * and keep every sidecar away. */
static int lock_take(const struct segment_options *options, int folder, char *reason)
{
	int lock = plain_make(folder, LOCK_NAME, 0600, options);

	if (lock == -EACCES || lock == -EPERM) {
		snprintf(reason, SEGMENT_REASON,
			 "%s was left by another user's tollgated (%s/" LOCK_NAME
			 ": %s): once that has ended, rm -r %s",
			 options->path, options->path, strerror(-lock), options->path);
		return lock;
	}
	if (lock < 0) {
		snprintf(reason, SEGMENT_REASON, "%s/" LOCK_NAME ": %s", options->path,
			 strerror(-lock));
		return lock;
	}
	if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
		snprintf(reason, SEGMENT_REASON, "%s: another tollgated has this segment",
			 options->path);
		close(lock);
		return -EBUSY;
	}
	if (!lock_stands(options, folder, lock)) {
		snprintf(reason, SEGMENT_REASON, "%s was removed just now", options->path);
		close(lock);
		return -EAGAIN;
	}
	return lock;
}

static int folder_check(const struct segment_options *options, const struct stat *st, bool made,
			char *reason)
{
	uint32_t wanted = segment_owner(options);

	if (st->st_mode & S_IWOTH) {
		snprintf(reason, SEGMENT_REASON,
			 "%s is writable for all: remove it (rm -r), it is made again",
			 options->path);
		return -EPERM;
	}
	if (made || st->st_uid == geteuid() || st->st_uid == wanted)
		return 0;
	snprintf(
		reason, SEGMENT_REASON,
		"%s belongs to uid %u, not to uid %u: %s (rm -r), and have the folder made for the "
		"service (tollgate.conf in tmpfiles.d)",
		options->path, st->st_uid, wanted,
		st->st_uid == 0 ? "left by a run as root, no longer in use? Then remove it"
				: "somebody made it first; remove it");
	return -EPERM;
}

static int folder_open(const struct segment_options *options, bool *ret_made, char *reason)
{
	mode_t mode = options->group >= 0 ? 0750 : 0700;
	struct stat st;
	bool made = mkdir(options->path, mode) == 0;
	int folder = open(options->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int error = 0;

	if (folder < 0 || fstat(folder, &st) != 0) {
		error = -errno;
		snprintf(reason, SEGMENT_REASON, "%s: %s", options->path, strerror(-error));
	} else
		error = folder_check(options, &st, made, reason);
	if (!error && (segment_give(folder, options) != 0 || fchmod(folder, mode) != 0)) {
		give_reason(options, reason);
		error = -EPERM;
	}
	*ret_made = made && !error;
	if (!error)
		return folder;
	if (made)
		rmdir(options->path);
	if (folder >= 0)
		close(folder);
	return error;
}

static int wake_make(const struct segment *s, const struct segment_options *options)
{
	int fd;

	if (mkfifoat(s->folder, "wake", 0600) != 0 && errno != EEXIST)
		return -errno;
	fd = openat(s->folder, "wake", O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (segment_give(fd, options) != 0 || fchmod(fd, 0660) != 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	close(fd);
	return 0;
}

/* Workers hold the owner in the headers against the files': another one needs new files. */
static bool sizes_fit(const struct segment *s, const struct segment_options *options)
{
	struct layout_sizes wanted = options->sizes;

	wanted.slots = layout_slots(wanted.flows);
	wanted.reserved = 0;
	return memcmp(&s->header.sizes, &wanted, sizeof(wanted)) == 0 &&
	       s->header.owner == segment_owner(options) &&
	       s->header.reserve_max_ns == options->reserve_max_ns &&
	       memcmp(&s->shape, &options->shape, sizeof(s->shape)) == 0;
}

static void state_set(struct segment *s, enum layout_state state)
{
	segment_step();
	atomic_store_explicit(&s->live->state, state, memory_order_release);
}

static int named(int error, char *reason)
{
	if (error)
		snprintf(reason, SEGMENT_REASON, "cannot name the segment's files: %s",
			 strerror(-error));
	return error;
}

/* Makes new files and fills them from `old` (NULL: there is nothing), then names them. */
static int replace(struct segment *s, struct segment *old, const struct segment_options *options,
		   char *reason)
{
	uint64_t seed[4];
	int error;

	/* The seed stays, so that keys stay. */
	if (old)
		memcpy(seed, old->header.seed, sizeof(seed));
	else if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		return -EIO;
	error = segment_make(s, options, seed, reason);
	if (error)
		return error;
	if (old && segment_migrate(old, s, NULL, NULL, clock_vdso(), &error) != 0)
		return -ENOMEM;
	return named(old ? error : segment_name_files(s->folder), reason);
}

/* What a sidecar left that died while it replaced a segment. */
static int complete(struct segment *s)
{
	struct segment made = {.folder = s->folder, .lock = -1, .alive = s->alive};
	struct segment old = {.folder = s->folder, .lock = -1, .alive = s->alive};
	char reason[SEGMENT_REASON];
	int error = segment_map(&made, SEGMENT_NEW, reason);
	bool whole;

	if (error) {
		/* Either nothing was made, or the naming was under way: control goes first, limits
		 * last. */
		struct stat st;

		if (fstatat(s->folder, "limits" SEGMENT_NEW, &st, 0) == 0 &&
		    fstatat(s->folder, "control" SEGMENT_NEW, &st, 0) != 0)
			return segment_name_files(s->folder);
		return 0;
	}
	whole = atomic_load(&made.live->state) == LAYOUT_LIVE;
	if (!whole && segment_map(&old, "", reason) == 0) {
		int failed = segment_migrate(&old, &made, NULL, NULL, clock_vdso(), &error);

		segment_unmap(&old);
		segment_unmap(&made);
		return failed ? failed : error;
	}
	segment_unmap(&made);
	return whole ? segment_name_files(s->folder) : 0;
}

/* The mark stands at the same place in every version: workers of another version are told as well.
 */
static void foreign_retire(int folder)
{
	int fd = openat(folder, segment_file_names[LAYOUT_LIMITS],
			O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	uint32_t state = LAYOUT_RETIRED;
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= 2 * LAYOUT_PAGE &&
	    pwrite(fd, &state, sizeof(state), LAYOUT_PAGE + offsetof(struct layout_live, state)) <
		    0)
		state = LAYOUT_NEW; /* a file that cannot be written cannot be marked: it loses its
				       name soon */
	close(fd);
}

static int open_any(struct segment *s, const struct segment_options *options, char *reason)
{
	struct segment old = {.folder = s->folder, .lock = s->lock, .alive = s->alive};
	char why[SEGMENT_REASON];
	int error;

	error = complete(s);
	if (error)
		return error;
	error = segment_map(&old, "", why);
	if (error == -EBADMSG || error == -ENOENT || error == -ELOOP) {
		foreign_retire(s->folder);
		return replace(s, NULL, options, reason);
	}
	if (error) {
		/* Too many open files, no memory: nothing is wrong with the segment. */
		snprintf(reason, SEGMENT_REASON, "%s", *why ? why : strerror(-error));
		return error;
	}
	if (sizes_fit(&old, options) && atomic_load(&old.live->state) != LAYOUT_RETIRED) {
		memcpy(old.path, s->path, sizeof(old.path));
		*s = old;
		s->adopted = true;
		if (s->cut)
			segment_refill(s);
		/* The group may be another one now. */
		for (int file = 0; file < LAYOUT_FILES; file++)
			if (segment_give(s->fds[file], options) != 0) {
				give_reason(options, reason);
				return -EPERM;
			}
		return 0;
	}
	if (old.cut)
		segment_refill(&old);
	error = replace(s, &old, options, reason);
	segment_unmap(&old);
	s->replaced = !error;
	return error;
}

/* Folder, lock, doorbell and the workers' locks, then the files. */
static int parts_open(struct segment *s, const struct segment_options *options, char *reason)
{
	int error;

	s->folder = folder_open(options, &s->fresh, reason);
	if (s->folder < 0)
		return s->folder;
	s->lock = lock_take(options, s->folder, reason);
	if (s->lock < 0)
		return s->lock;
	error = wake_make(s, options);
	if (error)
		return error;
	s->alive = plain_make(s->folder, ALIVE_NAME, 0660, options);
	if (s->alive < 0)
		return s->alive;
	error = open_any(s, options, reason);
	if (error)
		return error;
	s->used = calloc(s->header.sizes.workers, sizeof(*s->used));
	return s->used ? 0 : -ENOMEM;
}

int segment_open(const struct segment_options *options, struct segment **ret, char *reason)
{
	struct segment *s = calloc(1, sizeof(*s));
	int error;

	*reason = '\0';
	if (s == NULL)
		return -ENOMEM;
	if (strlen(options->path) >= sizeof(s->path) || !segment_shape_valid(&options->shape)) {
		free(s);
		return -EINVAL;
	}
	for (int file = 0; file < LAYOUT_FILES; file++)
		s->fds[file] = -1;
	s->folder = s->lock = s->alive = -1;
	strcpy(s->path, options->path);
	error = parts_open(s, options, reason);
	if (error) {
		if (*reason == '\0')
			snprintf(reason, SEGMENT_REASON, "%s: %s", options->path, strerror(-error));
		segment_close(s, false);
		return error;
	}
	*ret = s;
	return 0;
}

int segment_renew(struct segment *s, const struct segment_options *options, segment_keep *keep,
		  void *arg, uint64_t now_ns, char *reason)
{
	struct segment old = *s, new = {.folder = s->folder,
					.lock = s->lock,
					.alive = s->alive,
					.used = s->used};
	int error = segment_make(&new, options, s->header.seed, reason);

	if (error)
		return error;
	if (segment_migrate(&old, &new, keep, arg, now_ns, &error) != 0) {
		segment_unmap(&new);
		return -ENOMEM;
	}
	error = named(error, reason);
	memcpy(new.path, s->path, sizeof(new.path));
	new.clock = s->clock;
	free(s->gauge_mismatch);
	*s = new;
	segment_unmap(&old);
	return error;
}

void segment_live(struct segment *s)
{
	s->fresh = false;
	if (atomic_load(&s->live->state) != LAYOUT_LIVE)
		state_set(s, LAYOUT_LIVE);
}

/* Workers that still have it mapped are told; new ones find nothing. */
static void files_remove(struct segment *s)
{
	if (s->maps[LAYOUT_LIMITS]) {
		for (int i = 0; i < 2; i++)
			atomic_store_explicit(&s->live->scale[i].span, 0, memory_order_relaxed);
		state_set(s, LAYOUT_RETIRED);
	}
	for (int file = 0; file < LAYOUT_FILES; file++)
		unlinkat(s->folder, segment_file_names[file], 0);
	unlinkat(s->folder, "wake", 0);
	unlinkat(s->folder, ALIVE_NAME, 0);
	unlinkat(s->folder, LOCK_NAME, 0);
	rmdir(s->path);
}

void segment_abandon(struct segment *s)
{
	/* Only what is ours: the lock was had. */
	if (s->lock >= 0 && s->fresh)
		files_remove(s);
}

void segment_close(struct segment *s, bool remove)
{
	if (s == NULL)
		return;
	if (remove && s->maps[LAYOUT_LIMITS])
		files_remove(s);
	else
		segment_abandon(s);
	segment_unmap(s);
	if (s->alive >= 0)
		close(s->alive);
	if (s->folder >= 0)
		close(s->folder);
	if (s->lock >= 0)
		close(s->lock);
	free(s->used);
	free(s->gauge_mismatch);
	free(s);
}

bool segment_restore(struct segment *s, void *address)
{
	for (int file = LAYOUT_COUNTERS; file <= LAYOUT_RINGS; file++) {
		char *base = s->maps[file];
		off_t at = (char *)address - base;

		if (base == NULL || (char *)address < base ||
		    (char *)address >= base + s->bytes[file])
			continue;
		/* Asking for the page tells a file that was cut from one that is whole, and a file
		 * system that is full; and it is there when the access is repeated. */
		return ftruncate(s->fds[file], (off_t)s->bytes[file]) == 0 &&
		       fallocate(s->fds[file], FALLOC_FL_KEEP_SIZE, at / LAYOUT_PAGE * LAYOUT_PAGE,
				 LAYOUT_PAGE) == 0;
	}
	return false;
}

int segment_room(const struct segment *s, uint64_t *ret_growth, uint64_t *ret_left)
{
	struct statvfs system;
	uint64_t growth = 0, used;
	struct stat st;

	if (fstatvfs(s->folder, &system) != 0)
		return -errno;
	for (int file = 0; file < LAYOUT_FILES; file++) {
		if (fstat(s->fds[file], &st) != 0)
			return -errno;
		used = (uint64_t)st.st_blocks * 512;
		growth += used < s->bytes[file] ? s->bytes[file] - used : 0;
	}
	*ret_growth = growth;
	/* A file system without a bound says 0 of 0 blocks. */
	*ret_left = system.f_blocks ? (uint64_t)system.f_bavail * system.f_frsize : UINT64_MAX;
	return 0;
}
