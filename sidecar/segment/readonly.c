/* SPDX-License-Identifier: MIT
 *
 * See readonly.h. What stands in the files is checked as strictly as a worker does it.
 */
#include "sidecar/segment/readonly.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sidecar/segment/segment.h"
#include "sidecar/segment/segment_files.h"

static uint64_t bytes_wanted(const struct segment *s, enum layout_file file,
			     const struct segment_shape *shape)
{
	struct layout_offsets o = layout_offsets(&s->header.sizes);

	return file == LAYOUT_LIMITS	 ? o.limits_bytes
	       : file == LAYOUT_COUNTERS ? o.counters_bytes
	       : file == LAYOUT_RINGS	 ? o.rings_bytes
					 : segment_control_offsets(&s->header.sizes, shape).bytes;
}

static const char *unfit(struct segment *s, enum layout_file file,
			 const struct segment_control_header *found, uint64_t bytes)
{
	const struct layout_header *h = &found->header;

	if (h->magic != LAYOUT_MAGIC || h->byte_order != LAYOUT_BYTE_ORDER)
		return "is not a segment of this machine";
	if (h->version != LAYOUT_VERSION)
		return "has another version of the layout";
	if (h->file != file || !layout_sizes_valid(&h->sizes))
		return "has a damaged header";
	if (file == LAYOUT_LIMITS)
		s->header = *h;
	else if (h->segment != s->header.segment ||
		 memcmp(&h->sizes, &s->header.sizes, sizeof(h->sizes)) != 0)
		return "belongs to another segment than limits";
	if (file == LAYOUT_CONTROL && !segment_shape_valid(&found->shape))
		return "has a damaged header";
	if (h->bytes != bytes_wanted(s, file, &found->shape) || bytes < h->bytes)
		return "has a size that does not fit its header";
	return NULL;
}

static int file_look(struct segment *s, enum layout_file file, char *reason)
{
	struct segment_control_header found = {0};
	const char *name = segment_file_names[file], *why;
	struct stat st;
	void *base = NULL;
	int error = 0, fd = openat(s->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) != 0 ||
	    pread(fd, &found, sizeof(found), 0) < (ssize_t)sizeof(found.header)) {
		error = fd < 0 ? -errno : -EBADMSG;
		why = fd < 0 ? strerror(errno) : "cannot be read";
	} else if ((why = unfit(s, file, &found, (uint64_t)st.st_size)) != NULL) {
		error = -EBADMSG;
	} else {
		base = mmap(NULL, found.header.bytes, PROT_READ, MAP_SHARED, fd, 0);
		error = base == MAP_FAILED ? -errno : 0;
		why = strerror(errno);
	}
	if (error) {
		snprintf(reason, SEGMENT_REASON, "%.160s/%.16s: %.70s", s->path, name, why);
		if (fd >= 0)
			close(fd);
		return error;
	}
	s->fds[file] = fd;
	s->maps[file] = base;
	s->bytes[file] = found.header.bytes;
	if (file == LAYOUT_CONTROL)
		s->shape = found.shape;
	return 0;
}

static void pointers_set(struct segment *s)
{
	char *limits = s->maps[LAYOUT_LIMITS], *counters = s->maps[LAYOUT_COUNTERS];
	char *rings = s->maps[LAYOUT_RINGS], *control = s->maps[LAYOUT_CONTROL];
	struct layout_offsets o = layout_offsets(&s->header.sizes);

	s->offsets = o;
	s->live = (void *)(limits + o.live);
	s->calendar = (void *)(limits + o.calendar);
	s->defaults = (void *)(limits + o.defaults);
	s->names[0] = limits + o.names[0];
	s->names[1] = limits + o.names[1];
	s->limits = (void *)(limits + o.limits);
	s->more = (void *)(limits + o.limits_more);
	s->workers = (void *)(rings + o.workers);
	s->leases = (void *)(rings + o.leases);
	s->view = (struct view){
		.limits = s->limits,
		.more = s->more,
		.defaults = s->defaults,
		.calendar = s->calendar,
		.counters = (void *)(counters + o.counters),
		.counters_more = (void *)(counters + o.counters_more),
		.slots = s->header.sizes.slots,
		.reserve_max_ns = s->header.reserve_max_ns,
	};
	if (control)
		segment_control_point(s, control);
}

int segment_open_readonly(const char *path, struct segment **ret, char *reason)
{
	struct segment *s = calloc(1, sizeof(*s));
	int error = 0;

	if (s == NULL)
		return -ENOMEM;
	for (int file = 0; file < LAYOUT_FILES; file++)
		s->fds[file] = -1;
	snprintf(s->path, sizeof(s->path), "%s", path);
	s->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->folder < 0) {
		error = -errno;
		snprintf(reason, SEGMENT_REASON, "%.160s: %s", path, strerror(errno));
	}
	for (int file = 0; file < LAYOUT_FILES && !error; file++) {
		error = file_look(s, (enum layout_file)file, reason);
		if (file == LAYOUT_CONTROL && error == -EACCES)
			error = 0;
	}
	if (error) {
		segment_close_readonly(s);
		return error;
	}
	pointers_set(s);
	*ret = s;
	return 0;
}

void segment_close_readonly(struct segment *s)
{
	if (s == NULL)
		return;
	for (int file = 0; file < LAYOUT_FILES; file++) {
		if (s->maps[file])
			munmap(s->maps[file], s->bytes[file]);
		if (s->fds[file] >= 0)
			close(s->fds[file]);
	}
	if (s->folder >= 0)
		close(s->folder);
	free(s);
}
