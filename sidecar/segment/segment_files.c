/* SPDX-License-Identifier: MIT
 *
 * Making, checking and mapping the files of a segment.
 *
 * A file is made under another name, given its size and the memory that workers touch unasked, its
 * header, its mode; then it gets its name. `limits` gets its name last, since attaching begins with
 * it.
 */
#include "sidecar/segment/segment_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "shm/clock.h"

const char *const segment_file_names[LAYOUT_FILES] = {
	[LAYOUT_LIMITS] = "limits",
	[LAYOUT_COUNTERS] = "counters",
	[LAYOUT_RINGS] = "rings",
	[LAYOUT_CONTROL] = "control",
};

static const mode_t file_modes[LAYOUT_FILES] = {
	[LAYOUT_LIMITS] = 0640,
	[LAYOUT_COUNTERS] = 0660,
	[LAYOUT_RINGS] = 0660,
	[LAYOUT_CONTROL] = 0600,
};

/* In which the files get their names; a worker opens limits first. */
static const enum layout_file naming_order[LAYOUT_FILES] = {LAYOUT_CONTROL, LAYOUT_RINGS,
							    LAYOUT_COUNTERS, LAYOUT_LIMITS};

long segment_crash_after = -1;

void segment_step(void)
{
	if (segment_crash_after >= 0 && segment_crash_after-- == 0)
		raise(SIGKILL);
}

struct segment_control_offsets segment_control_offsets(const struct layout_sizes *sizes,
						       const struct segment_shape *shape)
{
	struct segment_control_offsets o;
	uint64_t at = LAYOUT_PAGE, records = (uint64_t)sizes->slots + 1;

	o.tails = layout_take(&at, (uint64_t)sizes->workers * sizeof(uint64_t));
	o.index = layout_take(&at, (uint64_t)sizes->slots * sizeof(uint32_t));
	o.known = layout_take(&at, records * sizeof(struct segment_slot));
	o.engine = layout_take(&at, records * shape->engine_bytes);
	for (int pool = 0; pool < SEGMENT_POOLS; pool++)
		o.pools[pool] = layout_take(&at, (uint64_t)sizes->slots * shape->block_bytes[pool]);
	o.strings = layout_take(&at, sizeof(struct segment_strings));
	/* 64 bytes a slot: a domain's name has 12 to 30; flows and sources need none. */
	o.strings_bytes = (uint64_t)sizes->slots * 64 + 65536;
	if (o.strings_bytes > UINT32_MAX)
		o.strings_bytes = UINT32_MAX;
	o.strings_text = layout_take(&at, o.strings_bytes);
	o.bytes = at;
	return o;
}

static uint64_t file_bytes(const struct layout_sizes *sizes, enum layout_file file,
			   const struct segment_shape *shape)
{
	struct layout_offsets o = layout_offsets(sizes);

	switch (file) {
	case LAYOUT_LIMITS: return o.limits_bytes;
	case LAYOUT_COUNTERS: return o.counters_bytes;
	case LAYOUT_RINGS: return o.rings_bytes;
	default: return segment_control_offsets(sizes, shape).bytes;
	}
}

uint64_t segment_file_bytes(const struct layout_sizes *sizes, enum layout_file file)
{
	static const struct segment_shape none;

	return file_bytes(sizes, file, &none);
}

static void pointers_set(struct segment *s)
{
	struct layout_offsets *o = &s->offsets;
	char *limits = s->maps[LAYOUT_LIMITS], *counters = s->maps[LAYOUT_COUNTERS];
	char *rings = s->maps[LAYOUT_RINGS];

	*o = layout_offsets(&s->header.sizes);
	s->clock = clock_vdso;
	s->live = (void *)(limits + o->live);
	s->calendar = (void *)(limits + o->calendar);
	s->defaults = (void *)(limits + o->defaults);
	s->names[0] = limits + o->names[0];
	s->names[1] = limits + o->names[1];
	s->limits = (void *)(limits + o->limits);
	s->more = (void *)(limits + o->limits_more);
	s->workers = (void *)(rings + o->workers);
	s->leases = (void *)(rings + o->leases);
	s->records = (void *)(rings + o->records);
	segment_control_point(s, s->maps[LAYOUT_CONTROL]);
	s->view = (struct view){
		.limits = s->limits,
		.more = s->more,
		.defaults = s->defaults,
		.calendar = s->calendar,
		.counters = (void *)(counters + o->counters),
		.counters_more = (void *)(counters + o->counters_more),
		.slots = s->header.sizes.slots,
		.reserve_max_ns = s->header.reserve_max_ns,
	};
}

static int file_map(struct segment *s, enum layout_file file)
{
	void *base =
		mmap(NULL, s->bytes[file], PROT_READ | PROT_WRITE, MAP_SHARED, s->fds[file], 0);

	if (base == MAP_FAILED)
		return -errno;
	s->maps[file] = base;
	return 0;
}

static int header_unfit(const struct layout_header *h, enum layout_file file, uint64_t bytes,
			const struct segment_shape *shape, char *reason)
{
	const char *why = NULL;

	if (h->magic != LAYOUT_MAGIC || h->byte_order != LAYOUT_BYTE_ORDER)
		why = "is not a segment of this machine";
	else if (h->version != LAYOUT_VERSION)
		why = "has another version of the layout";
	else if (h->file != file || !layout_sizes_valid(&h->sizes))
		why = "has a damaged header";
	else if (h->bytes != file_bytes(&h->sizes, file, shape))
		why = "has a size that does not fit its header";
	else if (h->bytes != bytes)
		why = "was truncated";
	if (why)
		snprintf(reason, SEGMENT_REASON, "%s %s", segment_file_names[file], why);
	return why ? -EBADMSG : 0;
}

static int file_open(struct segment *s, const char *suffix, enum layout_file file, char *reason)
{
	struct segment_control_header found = {0};
	char name[32];
	struct stat st;
	int error;

	snprintf(name, sizeof(name), "%s%s", segment_file_names[file], suffix);
	s->fds[file] = openat(s->folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (s->fds[file] < 0) {
		error = -errno;
		snprintf(reason, SEGMENT_REASON, "%s: %s", name, strerror(-error));
		return error;
	}
	if (fstat(s->fds[file], &st) != 0 || !S_ISREG(st.st_mode)) {
		snprintf(reason, SEGMENT_REASON, "%s cannot be read", name);
		return -EBADMSG;
	}
	/* Somebody in the group may have cut a file of theirs short, or written over its header: it
	 * is made whole by what stands in limits, which only the owner writes. */
	if (file == LAYOUT_COUNTERS || file == LAYOUT_RINGS)
		s->cut |= segment_file_mend(s, s->fds[file], file);
	if (fstat(s->fds[file], &st) != 0 ||
	    pread(s->fds[file], &found, sizeof(found), 0) < (ssize_t)sizeof(found.header)) {
		snprintf(reason, SEGMENT_REASON, "%s cannot be read", name);
		return -EBADMSG;
	}
	if (file == LAYOUT_CONTROL) {
		/* Another version of the sidecar may have kept more or less of each slot. */
		if (!segment_shape_valid(&found.shape)) {
			snprintf(reason, SEGMENT_REASON, "%s has a damaged header", name);
			return -EBADMSG;
		}
		s->shape = found.shape;
	}
	error = header_unfit(&found.header, file, (uint64_t)st.st_size, &s->shape, reason);
	if (error)
		return error;
	if (file != LAYOUT_LIMITS && found.header.segment != s->header.segment) {
		snprintf(reason, SEGMENT_REASON, "%s belongs to another segment than limits", name);
		return -EBADMSG;
	}
	if (file == LAYOUT_LIMITS)
		s->header = found.header;
	else if (memcmp(&found.header.sizes, &s->header.sizes, sizeof(s->header.sizes)) != 0) {
		snprintf(reason, SEGMENT_REASON, "%s has other sizes than limits", name);
		return -EBADMSG;
	}
	s->bytes[file] = found.header.bytes;
	/* A worker may have given back memory that others rely on. */
	s->scarce |= segment_allocate(s->fds[file], &s->header.sizes, file) != 0;
	return file_map(s, file);
}

int segment_map(struct segment *s, const char *suffix, char *reason)
{
	int error = 0;

	for (int file = 0; file < LAYOUT_FILES; file++) {
		s->fds[file] = -1;
		s->maps[file] = NULL;
	}
	for (int file = 0; file < LAYOUT_FILES && !error; file++)
		error = file_open(s, suffix, (enum layout_file)file, reason);
	if (error) {
		segment_unmap(s);
		return error;
	}
	pointers_set(s);
	error = segment_records_check(s, reason);
	if (error)
		segment_unmap(s);
	return error;
}

void segment_unmap(struct segment *s)
{
	segment_records_free(s);
	for (int file = 0; file < LAYOUT_FILES; file++) {
		if (s->maps[file])
			munmap(s->maps[file], s->bytes[file]);
		if (s->fds[file] >= 0)
			close(s->fds[file]);
		s->maps[file] = NULL;
		s->fds[file] = -1;
	}
}

uint32_t segment_owner(const struct segment_options *options)
{
	return options->owner >= 0 && geteuid() == 0 ? (uint32_t)options->owner : geteuid();
}

int segment_give(int fd, const struct segment_options *options)
{
	uid_t owner = options->owner >= 0 && geteuid() == 0 ? (uid_t)options->owner : (uid_t)-1;
	gid_t group = options->group >= 0 ? (gid_t)options->group : (gid_t)-1;

	return owner == (uid_t)-1 && group == (gid_t)-1 ? 0 : fchown(fd, owner, group);
}

/* How much of a file is there from the beginning, so that whoever touches it never finds the file
 * system full. Each worker's leases and ring are its own to allocate, when it attaches. */
static uint64_t file_allocated(const struct layout_sizes *sizes, enum layout_file file)
{
	struct layout_offsets o = layout_offsets(sizes);

	switch (file) {
	case LAYOUT_LIMITS: return o.limits_bytes;
	case LAYOUT_COUNTERS: return o.counters_bytes;
	case LAYOUT_RINGS: return o.leases;
	default: return LAYOUT_PAGE;
	}
}

int segment_allocate(int fd, const struct layout_sizes *sizes, enum layout_file file)
{
	int error;

	do
		error = posix_fallocate(fd, 0, (off_t)file_allocated(sizes, file));
	while (error == EINTR);
	return -error;
}

uint64_t segment_worker_bytes(const struct layout_sizes *sizes)
{
	return sizes->ring_records * sizeof(struct layout_record) +
	       sizes->leases * sizeof(uint64_t);
}

static void range_allocate(int fd, uint64_t at, uint64_t bytes)
{
	/* Where there is no room the worker says so. */
	while (posix_fallocate(fd, (off_t)at, (off_t)bytes) == EINTR)
		;
}

void segment_worker_allocate(const struct segment *s, uint32_t worker)
{
	const struct layout_sizes *sizes = &s->header.sizes;
	uint64_t leases = sizes->leases * sizeof(uint64_t);
	uint64_t ring = sizes->ring_records * sizeof(struct layout_record);

	range_allocate(s->fds[LAYOUT_RINGS], s->offsets.leases + worker * leases, leases);
	range_allocate(s->fds[LAYOUT_RINGS], s->offsets.records + worker * ring, ring);
}

void segment_pages_ask(const void *array, uint64_t each, uint32_t first, uint32_t count)
{
	uintptr_t begin = (uintptr_t)array + first * each;
	uintptr_t page = begin / LAYOUT_PAGE * LAYOUT_PAGE;

	if (each && array)
		madvise((void *)page, begin + count * each - page, MADV_POPULATE_WRITE);
}

static void room_reason(const struct segment *s, char *reason)
{
	uint64_t needed = 0;
	struct statvfs system;

	for (int file = 0; file < LAYOUT_FILES; file++)
		needed += file_allocated(&s->header.sizes, (enum layout_file)file);
	/* After what was made of it is gone again. */
	if (fstatvfs(s->folder, &system) != 0)
		memset(&system, 0, sizeof(system));
	snprintf(reason, SEGMENT_REASON,
		 "the segment needs %" PRIu64 " MiB for %u flows and %" PRIu64
		 " KiB for each worker, its file system has %" PRIu64
		 " MiB left: make that larger (remount it with size=, in a container --shm-size), "
		 "or segment.flows smaller",
		 (needed >> 20) + 1, s->header.sizes.flows,
		 segment_worker_bytes(&s->header.sizes) >> 10,
		 (uint64_t)system.f_bavail * system.f_frsize >> 20);
}

static void made_remove(int folder, enum layout_file file)
{
	char name[32];

	snprintf(name, sizeof(name), "%s" SEGMENT_NEW, segment_file_names[file]);
	segment_step();
	unlinkat(folder, name, 0);
}

static int file_make(struct segment *s, enum layout_file file,
		     const struct segment_options *options)
{
	struct segment_control_header head = {.header = s->header, .shape = options->shape};
	uint64_t bytes = file_bytes(&s->header.sizes, file, &options->shape);
	char name[32];
	int fd, error;

	snprintf(name, sizeof(name), "%s" SEGMENT_NEW, segment_file_names[file]);
	segment_step();
	fd = openat(s->folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	s->fds[file] = fd;
	s->bytes[file] = bytes;
	head.header.file = file;
	head.header.bytes = bytes;
	segment_step();
	if (ftruncate(fd, (off_t)bytes) != 0)
		return -errno;
	error = segment_allocate(fd, &s->header.sizes, file);
	if (error)
		return error;
	segment_step();
	if (pwrite(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return -EIO;
	segment_step();
	if (segment_give(fd, options) != 0)
		return -errno;
	if (fchmod(fd, file_modes[file]) != 0)
		return -errno;
	return file_map(s, file);
}

int segment_make(struct segment *s, const struct segment_options *options, const uint64_t seed[4],
		 char *reason)
{
	int error = 0;

	s->header = (struct layout_header){
		.magic = LAYOUT_MAGIC,
		.byte_order = LAYOUT_BYTE_ORDER,
		.version = LAYOUT_VERSION,
		.owner = segment_owner(options),
		.reserve_max_ns = options->reserve_max_ns,
		.sizes = options->sizes,
	};
	s->header.sizes.slots = layout_slots(options->sizes.flows);
	s->header.sizes.reserved = 0;
	if (!layout_sizes_valid(&s->header.sizes)) {
		snprintf(reason, SEGMENT_REASON, "sizes out of range");
		return -EINVAL;
	}
	if (getrandom(&s->header.segment, sizeof(s->header.segment), 0) !=
	    sizeof(s->header.segment))
		return -EIO;
	memcpy(s->header.seed, seed, sizeof(s->header.seed));
	for (int file = 0; file < LAYOUT_FILES; file++) {
		s->fds[file] = -1;
		s->maps[file] = NULL;
	}
	/* limits last: where it is there, the others are. So what an earlier attempt left goes the
	 * other way. */
	for (int i = LAYOUT_FILES - 1; i >= 0; i--)
		made_remove(s->folder, naming_order[i]);
	for (int i = 0; i < LAYOUT_FILES && !error; i++)
		error = file_make(s, naming_order[i], options);
	if (error) {
		segment_unmap(s);
		for (int i = LAYOUT_FILES - 1; i >= 0; i--)
			made_remove(s->folder, naming_order[i]);
		snprintf(reason, SEGMENT_REASON, "cannot make the segment: %s", strerror(-error));
		if (error == -ENOSPC)
			room_reason(s, reason);
		return error;
	}
	s->shape = options->shape;
	pointers_set(s);
	s->strings->bytes = segment_control_offsets(&s->header.sizes, &s->shape).strings_bytes;
	error = segment_records_check(s, reason);
	if (error)
		segment_unmap(s);
	return error;
}

int segment_name_files(int folder)
{
	for (int i = 0; i < LAYOUT_FILES; i++) {
		const char *name = segment_file_names[naming_order[i]];
		char made[32];

		snprintf(made, sizeof(made), "%s" SEGMENT_NEW, name);
		segment_step();
		if (renameat(folder, made, folder, name) != 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

bool segment_resident_slots(const struct segment *s, const struct segment_array *array,
			    uint32_t from, uint32_t *ret_first, uint32_t *ret_end)
{
	int fd = s->fds[array->file];
	size_t size = array->size;
	off_t base = (const char *)array->first - (const char *)s->maps[array->file];
	off_t at = base + (off_t)from * (off_t)size;
	off_t data = lseek(fd, at, SEEK_DATA), hole;
	uint64_t first, end;

	if (data < 0 && errno == ENXIO)
		return false;
	/* A file system that cannot tell: all of them. */
	hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
	first = data < 0 ? from : (uint64_t)(data - base) / size;
	end = hole < 0 ? s->view.slots : ((uint64_t)(hole - base) + size - 1) / size;
	*ret_first = (uint32_t)(first < s->view.slots ? first : s->view.slots);
	*ret_end = (uint32_t)(end < s->view.slots ? end : s->view.slots);
	return *ret_first < *ret_end;
}
