/* SPDX-License-Identifier: MIT */
#include "sidecar/ingest/follow.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "sidecar/base/log.h"

#define PIECES	   4	       /* reads in a row before others have their turn */
#define PIECE	   (64u << 10) /* bytes of a read at most */
#define PLACE_SIZE 256u	       /* bytes of the file in the segment's folder */
/* Bytes in front of our place that tell a file again: a few lines, since ends of lines are often
 * alike. */
#define TAIL 1024u

enum follow_kind { FILE_REGULAR, FILE_STREAM, FILE_DATAGRAMS };

/* How far a file was read. */
struct follow_place {
	dev_t device;
	ino_t inode;
	uint64_t position;
	uint64_t tail; /* hash of the bytes in front */
};

struct follow {
	struct loop *loop;
	char *path;
	const struct ingest_format *format;
	follow_event *event;
	void *arg;
	struct ingest_stream stream;
	struct lines lines;
	struct follow_totals totals;
	enum follow_kind kind;
	int fd, folder; /* of the log; of the place's file */
	int inotify, file_watch, folder_watch;
	int fd_id, inotify_id, timer; /* of the loop */
	uint64_t rotated_ns;	      /* when another file was first seen at the path; 0: none */
	struct follow_place place;
	char seen[TAIL]; /* what was read last of a file, in front of where the next read begins */
	size_t seen_length;
	bool begun; /* it has been opened once, or there was a place: the next file is new */
	bool complained;
};

/* ---- the place in the log -------------------------------------------------------------------- */

static uint64_t hash_bytes_of(const char *bytes, size_t length)
{
	uint64_t hash = UINT64_C(0xCBF29CE484222325);

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)bytes[i]) * UINT64_C(0x100000001B3);
	return hash;
}

/* Of the bytes in front of a position; 0: they cannot be read. */
static uint64_t tail_hash(int fd, uint64_t position)
{
	char bytes[TAIL];
	size_t length = position < TAIL ? position : TAIL;

	if (pread(fd, bytes, length, (off_t)(position - length)) != (ssize_t)length)
		return 0;
	return hash_bytes_of(bytes, length);
}

static void place_write(struct follow *f)
{
	char text[PLACE_SIZE];
	int n;

	f->place.position = f->lines.position;
	f->place.tail = tail_hash(f->fd, f->place.position);
	memset(text, '\n', sizeof(text));
	n = snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64 " %" PRIu64 " %016" PRIx64 "\n",
		     (uint64_t)f->place.device, (uint64_t)f->place.inode, f->place.position,
		     f->place.tail);
	text[n] = '\n';
	/* One write of the same length each time: it is there whole or as it was. */
	if (f->folder >= 0 && pwrite(f->folder, text, sizeof(text), 0) != (ssize_t)sizeof(text) &&
	    !f->complained) {
		log_warning("log", "%s: the place in it cannot be kept: %s", f->path,
			    strerror(errno));
		f->complained = true;
	}
}

static bool place_read(struct follow *f)
{
	char text[PLACE_SIZE + 1] = "";
	uint64_t device, inode;

	if (f->folder < 0 || pread(f->folder, text, PLACE_SIZE, 0) <= 0 ||
	    sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNx64, &device, &inode,
		   &f->place.position, &f->place.tail) != 4)
		return false;
	f->place.device = (dev_t)device;
	f->place.inode = (ino_t)inode;
	return true;
}

static void place_open(struct follow *f, int folder)
{
	char name[64];

	snprintf(name, sizeof(name), "log-%016" PRIx64, hash_bytes_of(f->path, strlen(f->path)));
	f->folder = openat(folder, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->folder < 0)
		log_warning("log", "%s: the place in it cannot be kept: %s", f->path,
			    strerror(errno));
}

/* ---- whether it is the same file still --------------------------------------------------------- */

/* Where the next read begins. */
static uint64_t read_to(const struct follow *f)
{
	return f->lines.position + (f->lines.end - f->lines.start);
}

static void seen_add(struct follow *f, const char *bytes, size_t length)
{
	size_t new = length < TAIL ? length : TAIL;
	size_t kept = f->seen_length < TAIL - new ? f->seen_length : TAIL - new;

	memmove(f->seen, f->seen + f->seen_length - kept, kept);
	memcpy(f->seen + kept, bytes + length - new, new);
	f->seen_length = kept + new;
}

/* At a place that an earlier run has left. */
static void seen_load(struct follow *f)
{
	size_t length = f->lines.position < TAIL ? (size_t)f->lines.position : TAIL;
	ssize_t n = pread(f->fd, f->seen, length, (off_t)(f->lines.position - length));

	f->seen_length = n > 0 ? (size_t)n : 0;
}

/* Whether these bytes stand in the file at `position`. */
static bool stands(int fd, const char *bytes, size_t length, uint64_t position)
{
	char there[4096];

	while (length > 0) {
		size_t part = length < sizeof(there) ? length : sizeof(there);

		if (pread(fd, there, part, (off_t)position) != (ssize_t)part ||
		    memcmp(there, bytes, part) != 0)
			return false;
		bytes += part, position += part, length -= part;
	}
	return true;
}

/* Copied and truncated; perhaps it has grown beyond our place again. */
static bool file_cut(const struct follow *f)
{
	return !stands(f->fd, f->seen, f->seen_length, read_to(f) - f->seen_length);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void line_take(struct follow *f, struct ingest_line *line)
{
	struct ingest_event event;
	enum ingest_result result;

	do {
		result = f->format->parse(&f->stream, line, &event);
		f->totals.bad += result == INGEST_BAD;
		if (result == INGEST_EVENT)
			f->event(f->arg, &event);
	} while (result == INGEST_EVENT && line->at > 0);
}

/* What has been read, as far as it is whole; `last`: nothing follows. */
static void lines_take(struct follow *f, bool last)
{
	uint64_t too_long = f->lines.too_long, before = f->lines.next;
	struct ingest_line line;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	f->stream.clock.now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	while (lines_next(&f->lines, last, &line))
		line_take(f, &line);
	f->totals.lines += f->lines.next - before;
	f->totals.bad += f->lines.too_long - too_long;
}

/* ---- a file ---------------------------------------------------------------------------------- */

static void file_close(struct follow *f)
{
	if (f->fd_id >= 0)
		loop_unwatch(f->loop, f->fd_id);
	if (f->file_watch >= 0)
		inotify_rm_watch(f->inotify, f->file_watch);
	if (f->fd > STDIN_FILENO)
		close(f->fd);
	f->fd = f->fd_id = f->file_watch = -1;
	f->totals.open = false;
}

/* The names of a CSV's columns stand in its first line. */
static void header_read(struct follow *f)
{
	char *bytes = malloc(65536);
	ssize_t n = bytes != NULL ? pread(f->fd, bytes, 65536, 0) : -1;
	char *stop = n > 0 ? memchr(bytes, '\n', (size_t)n) : NULL;
	struct ingest_line line = {bytes, stop ? (size_t)(stop - bytes) : 0, 0, 0};
	struct ingest_event event;

	if (stop != NULL)
		f->format->parse(&f->stream, &line, &event);
	free(bytes);
}

/* From `position` of the file that is open. */
static void file_begin(struct follow *f, const struct stat *st, uint64_t position)
{
	f->place.device = st->st_dev;
	f->place.inode = st->st_ino;
	f->begun = true;
	f->totals.open = true;
	f->totals.error = 0;
	f->stream.header = false;
	lines_restart(&f->lines, position);
	seen_load(f);
	if (position > 0 && f->format->csv)
		header_read(f);
	if (lseek(f->fd, (off_t)position, SEEK_SET) < 0)
		f->totals.error = -errno;
	place_write(f);
}

static bool is_place(const struct follow *f, int fd, const struct stat *st)
{
	return st->st_dev == f->place.device && st->st_ino == f->place.inode &&
	       (uint64_t)st->st_size >= f->place.position &&
	       tail_hash(fd, f->place.position) == f->place.tail;
}

/* The file in which we stopped, under the name that rotation has given it: -1, or open. */
static int renamed_open(const struct follow *f, struct stat *ret)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(f->path, '/');
	struct dirent *entry;
	int fd = -1;
	DIR *dir;

	snprintf(folder, sizeof(folder), "%.*s", (int)(slash - f->path), f->path);
	dir = opendir(slash == f->path ? "/" : folder);
	while (dir != NULL && fd < 0 && (entry = readdir(dir)) != NULL) {
		if (entry->d_ino != f->place.inode)
			continue;
		fd = openat(dirfd(dir), entry->d_name,
			    O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd >= 0 &&
		    (fstat(fd, ret) != 0 || !S_ISREG(ret->st_mode) || !is_place(f, fd, ret))) {
			close(fd);
			fd = -1;
		}
	}
	if (dir != NULL)
		closedir(dir);
	return fd;
}

/* The file at the path is open: where to begin? */
static void file_resume(struct follow *f, struct stat *st, bool placed)
{
	struct stat old;
	int fd;

	if (placed && is_place(f, f->fd, st)) {
		file_begin(f, st, f->place.position);
		return;
	}
	fd = placed ? renamed_open(f, &old) : -1;
	if (fd >= 0) { /* its rest first; the new one is found when that ends */
		close(f->fd);
		f->fd = fd;
		file_begin(f, &old, f->place.position);
		return;
	}
	if (placed) {
		f->totals.lost_files++;
		log_warning(
			"log",
			"%s: was rotated away or cut short since we stopped, and what we read last is "
			"not there any more: its end was not read",
			f->path);
	}
	/* What is there when we first see it is of the past. */
	file_begin(f, st, f->begun || placed ? 0 : (uint64_t)st->st_size);
}

static void file_watch(struct follow *f)
{
	char descriptor[64];

	/* By the descriptor: the name may be another file's by now. */
	snprintf(descriptor, sizeof(descriptor), "/proc/self/fd/%d", f->fd);
	f->file_watch = inotify_add_watch(f->inotify, descriptor, IN_MODIFY);
}

static void readable(void *arg, int revents);

static int open_failed(struct follow *f, int error)
{
	if (f->totals.error != error && error != -ENOENT)
		log_warning("log", "%s: %s%s", f->path, strerror(-error),
			    error == -EACCES ? ": let tollgated's user read it" : "");
	if (f->totals.error != error && error == -ENOENT && !f->begun)
		log_notice("log", "%s: is not there yet", f->path);
	f->totals.error = error;
	f->begun = f->begun || error == -ENOENT; /* what comes now is new */
	return error;
}

static int file_open(struct follow *f)
{
	bool placed = !f->begun && f->place.inode != 0;
	struct stat st;

	f->rotated_ns = 0;
	f->fd = open(f->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (f->fd < 0 && errno == ENOENT &&
	    placed) { /* rotated, and nothing has been written since */
		f->fd = renamed_open(f, &st);
		errno = ENOENT;
	}
	if (f->fd < 0)
		return open_failed(f, -errno);
	if (fstat(f->fd, &st) != 0 || S_ISDIR(st.st_mode)) {
		file_close(f);
		return open_failed(f, -EISDIR);
	}
	f->kind = S_ISREG(st.st_mode) ? FILE_REGULAR : FILE_STREAM;
	if (f->kind == FILE_REGULAR) {
		file_resume(f, &st, placed);
		file_watch(f);
		return 0;
	}
	/* Writers of a FIFO come and go: while we hold it open for writing as well, it does not
	 * end. */
	int both = open(f->path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (both >= 0) {
		close(f->fd);
		f->fd = both;
	}
	f->totals.open = true;
	f->totals.error = 0;
	f->fd_id = loop_watch(f->loop, f->fd, POLLIN, readable, f);
	return f->fd_id < 0 ? f->fd_id : 0;
}

/* At the end of what is open: has another file come to the path, or has this one been cut? */
static bool file_changed(struct follow *f)
{
	struct stat here, there;

	if (fstat(f->fd, &here) != 0)
		return false;
	if (file_cut(f)) {
		f->totals.rotations++;
		lines_take(f, true);
		file_begin(f, &here, 0);
		return true;
	}
	if (stat(f->path, &there) != 0 ||
	    (there.st_dev == here.st_dev && there.st_ino == here.st_ino))
		return false;
	/* Whoever writes may have it open still: it is read until it has been quiet for a while. */
	if (f->rotated_ns == 0)
		f->rotated_ns = loop_now();
	if (loop_now() - f->rotated_ns < FOLLOW_LOOK_NS)
		return false;
	f->totals.rotations++;
	lines_take(f, true);
	file_close(f);
	return file_open(f) == 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A piece. How much; 0: the end; -errno. */
static ssize_t piece_read(struct follow *f)
{
	size_t room;
	char *into = lines_room(&f->lines, &room);
	ssize_t n;

	if (into == NULL)
		return -ENOMEM;
	n = read(f->fd, into, room < PIECE ? room : PIECE);
	if (n < 0)
		return errno == EINTR ? piece_read(f) : -errno;
	/* Cut while we read: what came was of the file before, or it stands there now, and is read
	 * again from the start. */
	if (n > 0 && f->kind == FILE_REGULAR && file_cut(f) &&
	    stands(f->fd, into, (size_t)n, read_to(f)))
		return 0;
	if (f->kind == FILE_REGULAR)
		seen_add(f, into, (size_t)n);
	/* A datagram is a line, with its line feed or without. */
	if (f->kind == FILE_DATAGRAMS && n > 0 && (size_t)n < room && into[n - 1] != '\n')
		into[n++] = '\n';
	lines_filled(&f->lines, (size_t)n);
	return n;
}

/* The other end of a stream is closed: what is not whole is a line, too. */
static void stream_end(struct follow *f)
{
	lines_take(f, true);
	file_close(f);
	f->kind = FILE_STREAM;
}

bool follow_look(struct follow *f)
{
	/* Standard input and sockets are opened once. */
	if (f->fd < 0 &&
	    (strcmp(f->path, "-") == 0 || f->kind == FILE_DATAGRAMS || file_open(f) != 0))
		return false;
	/* What was cut short may have grown beyond our place again. */
	if (f->kind == FILE_REGULAR && file_cut(f))
		file_changed(f);
	for (int pieces = 0; f->fd >= 0 && pieces < PIECES; pieces++) {
		ssize_t n = piece_read(f);

		if (n > 0) {
			f->rotated_ns = f->rotated_ns ? loop_now() : 0;
			lines_take(f, false);
			if (f->kind == FILE_REGULAR)
				place_write(f);
			continue;
		}
		if (n < 0 && n != -EAGAIN)
			open_failed(f, (int)n);
		if (n == 0 && f->kind == FILE_STREAM)
			stream_end(f);
		if (n < 0 || f->kind != FILE_REGULAR || !file_changed(f))
			return false;
	}
	return f->fd >= 0;
}

/* Goes on where there is more after others had their turn. */
static void look(struct follow *f)
{
	if (follow_look(f))
		loop_timer_set(f->loop, f->timer, loop_now());
}

static void readable(void *arg, int revents)
{
	struct follow *f = arg;

	if (revents < 0) {
		f->fd_id = -1;
		file_close(f);
		return;
	}
	if ((revents & POLLIN) == 0 && f->kind == FILE_STREAM)
		stream_end(f);
	else
		look(f);
}

static void changed(void *arg, int revents)
{
	struct follow *f = arg;
	char events[4096];

	if (revents < 0) /* looked at now and then all the same */
		f->inotify_id = -1;
	while (read(f->inotify, events, sizeof(events)) > 0)
		;
	look(f);
}

/* ---- making ---------------------------------------------------------------------------------- */

static int socket_begin(struct follow *f)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = f->path + 5;

	f->kind = FILE_DATAGRAMS;
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	f->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (f->fd < 0)
		return -errno;
	/* One that was left behind; anything else there stays. */
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	if (bind(f->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		return -errno;
	chmod(path, 0622); /* syslog may run as anybody */
	f->totals.open = true;
	f->fd_id = loop_watch(f->loop, f->fd, POLLIN, readable, f);
	return f->fd_id < 0 ? f->fd_id : 0;
}

static int stdin_begin(struct follow *f)
{
	f->kind = FILE_STREAM;
	f->fd = STDIN_FILENO;
	fcntl(f->fd, F_SETFL, fcntl(f->fd, F_GETFL) | O_NONBLOCK);
	f->totals.open = true;
	f->fd_id = loop_watch(f->loop, f->fd, POLLIN, readable, f);
	return f->fd_id < 0 ? f->fd_id : 0;
}

static int file_follow(struct follow *f, int folder)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(f->path, '/');

	if (slash == NULL)
		return -EINVAL;
	place_open(f, folder);
	place_read(f);
	f->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (f->inotify >= 0) {
		snprintf(parent, sizeof(parent), "%.*s",
			 slash == f->path ? 1 : (int)(slash - f->path), f->path);
		f->folder_watch = inotify_add_watch(
			f->inotify, parent, IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE);
		f->inotify_id = loop_watch(f->loop, f->inotify, POLLIN, changed, f);
		if (f->inotify_id < 0)
			return f->inotify_id;
	}
	file_open(f);
	return 0;
}

int follow_create(const struct follow_options *options, struct follow **ret)
{
	const char *path = options->path;
	struct follow *f = calloc(1, sizeof(*f));
	int error;

	if (f == NULL)
		return -ENOMEM;
	*f = (struct follow){.loop = options->loop,
			     .path = strdup(path),
			     .format = options->format,
			     .event = options->event,
			     .arg = options->arg,
			     .lines.csv = options->format->csv,
			     .fd = -1,
			     .folder = -1,
			     .inotify = -1,
			     .file_watch = -1,
			     .folder_watch = -1,
			     .fd_id = -1,
			     .inotify_id = -1,
			     .timer = options->timer};
	error = f->path == NULL			 ? -ENOMEM
		: strcmp(path, "-") == 0	 ? stdin_begin(f)
		: strncmp(path, "unix:", 5) == 0 ? socket_begin(f)
						 : file_follow(f, options->folder);
	if (error) {
		follow_free(f);
		return error;
	}
	loop_timer_set(f->loop, f->timer, loop_now());
	*ret = f;
	return 0;
}

void follow_free(struct follow *f)
{
	if (f == NULL)
		return;
	file_close(f);
	if (f->kind == FILE_DATAGRAMS && f->totals.error == 0)
		unlink(f->path + 5);
	if (f->inotify_id >= 0)
		loop_unwatch(f->loop, f->inotify_id);
	if (f->inotify >= 0)
		close(f->inotify);
	if (f->folder >= 0)
		close(f->folder);
	lines_free(&f->lines);
	free(f->path);
	free(f);
}

const struct follow_totals *follow_totals(const struct follow *follow)
{
	return &follow->totals;
}

const char *follow_path(const struct follow *follow)
{
	return follow->path;
}

const struct ingest_format *follow_format(const struct follow *follow)
{
	return follow->format;
}
