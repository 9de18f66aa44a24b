/* SPDX-License-Identifier: MIT
 *
 * Attaching to a segment: every file is checked before anything of it is used, and each way in
 * which it can be unfit has an error of its own (tollgate.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/alive.h"
#include "shm/handle.h"
#include "shm/lease.h"
#include "shm/unmap.h"

#define WAKE_NAME "wake"

static const char *const file_names[] = {
	[LAYOUT_LIMITS] = "limits", [LAYOUT_COUNTERS] = "counters", [LAYOUT_RINGS] = "rings"};

#define MAPPED 3 /* control is the sidecar's */

static bool owner_allowed(int64_t wanted, uid_t owner)
{
	struct passwd entry, *found = NULL;
	char buffer[1024];

	if (wanted >= 0)
		return owner == (uid_t)wanted;
	if (owner == 0 || owner == geteuid())
		return true;
	return getpwnam_r("tollgate", &entry, buffer, sizeof(buffer), &found) == 0 && found &&
	       owner == found->pw_uid;
}

static uint64_t file_bytes(const struct layout_header *header, enum layout_file file)
{
	struct layout_offsets offsets = layout_offsets(&header->sizes);

	return file == LAYOUT_LIMITS	 ? offsets.limits_bytes
	       : file == LAYOUT_COUNTERS ? offsets.counters_bytes
					 : offsets.rings_bytes;
}

static int header_check(const struct layout_header *header, enum layout_file file, uint64_t bytes)
{
	if (header->magic != LAYOUT_MAGIC)
		return header->magic == __builtin_bswap64(LAYOUT_MAGIC) ? -EBADE : -EPROTO;
	if (header->byte_order != LAYOUT_BYTE_ORDER)
		return -EBADE;
	if (header->version != LAYOUT_VERSION)
		return -EPROTONOSUPPORT;
	if (header->file != file || !layout_sizes_valid(&header->sizes))
		return -EPROTO;
	if (header->bytes != file_bytes(header, file) || header->bytes > bytes)
		return -EMSGSIZE;
	return 0;
}

/* Opens, checks and maps one file; limits read-only. */
static int file_map(int folder, enum layout_file file, uid_t folder_owner,
		    struct layout_header *ret_header, struct mapping *ret)
{
	bool writable = file != LAYOUT_LIMITS;
	int fd = openat(folder, file_names[file],
			(writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct layout_header header = {0};
	struct stat st;
	int error = 0;
	void *base;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		error = -errno;
	else if (!S_ISREG(st.st_mode))
		error = -EPROTO;
	else if (st.st_uid != folder_owner || (st.st_mode & S_IWOTH) ||
		 (!writable && (st.st_mode & S_IWGRP)))
		error = -EPERM;
	else if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
		error = -EMSGSIZE;
	else
		error = header_check(&header, file, (uint64_t)st.st_size);
	if (!error && header.owner != st.st_uid)
		error = -EPERM;
	if (!error) {
		base = mmap(NULL, header.bytes, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED,
			    fd, 0);
		if (base == MAP_FAILED)
			error = -errno;
	}
	close(fd);
	if (error)
		return error;
	*ret_header = header;
	*ret = (struct mapping){base, header.bytes};
	return 0;
}

static void fds_close(struct tg *tg)
{
	if (tg->wake >= 0)
		close(tg->wake);
	if (tg->folder >= 0)
		close(tg->folder);
	tg->wake = tg->folder = -1;
}

static void unmap_all(struct tg *tg)
{
	for (int file = 0; file < MAPPED; file++)
		if (tg->files[file].base)
			munmap(tg->files[file].base, tg->files[file].bytes);
	memset(tg->files, 0, sizeof(tg->files));
	fds_close(tg);
}

static void views_set(struct tg *tg)
{
	const struct layout_offsets *o = &tg->offsets;
	char *limits = tg->files[LAYOUT_LIMITS].base;
	char *counters = tg->files[LAYOUT_COUNTERS].base;
	char *rings = tg->files[LAYOUT_RINGS].base;

	tg->view = (struct view){
		.limits = (void *)(limits + o->limits),
		.more = (void *)(limits + o->limits_more),
		.defaults = (void *)(limits + o->defaults),
		.calendar = (void *)(limits + o->calendar),
		.counters = (void *)(counters + o->counters),
		.counters_more = (void *)(counters + o->counters_more),
		.slots = tg->header.sizes.slots,
		.reserve_max_ns = tg->header.reserve_max_ns,
	};
	tg->live = (void *)(limits + o->live);
	tg->names[0] = limits + o->names[0];
	tg->names[1] = limits + o->names[1];
	tg->workers = (void *)(rings + o->workers);
	tg->leases = (void *)(rings + o->leases);
	tg->records = (void *)(rings + o->records);
}

/* The folder must not be one that somebody put where the segment was expected. */
static int folder_open(const struct tg *tg, uid_t *ret_owner)
{
	int folder = open(tg->segment, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (folder < 0)
		return -errno;
	if (fstat(folder, &st) != 0 || !owner_allowed(tg->owner, st.st_uid) ||
	    (st.st_mode & S_IWOTH)) {
		close(folder);
		return -EPERM;
	}
	*ret_owner = st.st_uid;
	return folder;
}

static int files_map(struct tg *tg, int folder, uid_t owner)
{
	int error = 0;

	for (int file = 0; file < MAPPED && !error; file++) {
		struct layout_header header = {0};

		error = file_map(folder, file, owner, &header, &tg->files[file]);
		if (!error && file == 0)
			tg->header = header;
		/* The three belong together: a segment that is being replaced may show old and new.
		 */
		else if (!error && header.segment != tg->header.segment)
			error = -ESTALE;
		/* Those that others may write must not say how much is mapped of them. */
		else if (!error &&
			 memcmp(&header.sizes, &tg->header.sizes, sizeof(header.sizes)) != 0)
			error = -EPROTO;
	}
	return error;
}

/* Which file's locks hold: a child that is forked later must find the same one. */
static int alive_note(struct tg *tg)
{
	struct stat st;
	int fd = alive_open(tg->folder), error = 0;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) != 0)
		error = -errno;
	tg->alive_device = st.st_dev;
	tg->alive_file = st.st_ino;
	close(fd);
	return error;
}

static int maps_make(struct tg *tg)
{
	uid_t owner = 0;
	int error;

	tg->folder = folder_open(tg, &owner);
	if (tg->folder < 0)
		return tg->folder;
	error = files_map(tg, tg->folder, owner);
	if (!error)
		error = alive_note(tg);
	if (!error) {
		tg->wake =
			openat(tg->folder, WAKE_NAME, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
		tg->offsets = layout_offsets(&tg->header.sizes);
		views_set(tg);
		if (atomic_load_explicit(&tg->live->state, memory_order_acquire) != LAYOUT_LIVE)
			error = -ESTALE;
	}
	if (error)
		unmap_all(tg);
	return error;
}

static int local_make(struct tg *tg)
{
	void *page =
		mmap(NULL, LAYOUT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	_Static_assert(sizeof(struct process_state) <= LAYOUT_PAGE, "one page");
	if (page == MAP_FAILED)
		return -errno;
	if (madvise(page, LAYOUT_PAGE, MADV_WIPEONFORK) != 0) {
		int error = -errno;

		munmap(page, LAYOUT_PAGE);
		return error;
	}
	tg->process = page;
	return 0;
}

/* The options as this library knows them: see tollgate.h for what a size means. */
static int options_read(const struct tg_options *from, struct tg_options *to)
{
#define MEMBER(name)                                                  \
	{                                                             \
		offsetof(struct tg_options, name), sizeof(from->name) \
	}
	static const struct {
		size_t offset, size;
	} members[] = {MEMBER(segment), MEMBER(owner), MEMBER(clock), MEMBER(flags)};
#undef MEMBER

	*to = (struct tg_options){.size = sizeof(*to), .owner = -1};
	if (from == NULL)
		return 0;
	if (from->size < sizeof(from->size) || from->size > LAYOUT_PAGE)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (members[i].offset + members[i].size <= from->size)
			memcpy((char *)to + members[i].offset,
			       (const char *)from + members[i].offset, members[i].size);
	for (size_t i = sizeof(*to); i < from->size; i++)
		if (((const char *)from)[i] != 0)
			return -E2BIG;
	return to->flags == 0 && (unsigned)to->clock <= TG_CLOCK_VDSO ? 0 : -EINVAL;
}

static int options_take(struct tg *tg, const struct tg_options *wanted)
{
	struct tg_options options;
	int error = options_read(wanted, &options);
	const char *segment;

	if (error)
		return error;
	segment = segment_path(options.segment);
	if (strlen(segment) >= sizeof(tg->segment))
		return -ENAMETOOLONG;
	strcpy(tg->segment, segment);
	tg->owner = options.owner;
	tg->vdso = options.clock == TG_CLOCK_VDSO;
	return 0;
}

static void tg_free(struct tg *tg)
{
	unmap_all(tg);
	unmap_rest(&tg->before);
	unsaid_free(&tg->unsaid);
	if (tg->process)
		munmap(tg->process, LAYOUT_PAGE);
	free(tg->overflow_worker);
	free(tg);
}

int tg_attach(const struct tg_options *options, struct tg **ret)
{
	struct tg *tg = calloc(1, sizeof(*tg));
	int error;

	if (tg == NULL)
		return -ENOMEM;
	tg->wake = tg->folder = -1;
	tg->previous_slot = LAYOUT_NONE;
	tg->overflow_worker = aligned_alloc(LAYOUT_LINE, sizeof(*tg->overflow_worker));
	error = tg->overflow_worker ? options_take(tg, options) : -ENOMEM;
	if (!error) {
		memset(tg->overflow_worker, 0, sizeof(*tg->overflow_worker));
		error = local_make(tg);
	}
	if (!error)
		error = maps_make(tg);
	if (!error && worker_claim(tg) == tg->overflow_worker)
		error = tg->process->refused;
	if (error) {
		tg_free(tg);
		return error;
	}
	*ret = tg;
	return 0;
}

void tg_detach(struct tg *tg)
{
	if (tg == NULL)
		return;
	worker_release(tg);
	tg_free(tg);
}

/* A connection that was closed while its lease was being carried over is still counted: not any
 * more. */
static void lease_agree(const struct tg *old, const struct tg *next)
{
	const struct layout_sizes *a = &old->header.sizes, *b = &next->header.sizes;

	for (uint32_t i = 0; i < a->leases && i < b->leases; i++) {
		uint64_t before =
			atomic_load(&old->leases[(uint64_t)next->previous_slot * a->leases + i]);

		if (lease_state(before) != LEASE_HELD)
			lease_reclaim(&next->view, next->leases, b, next->previous_slot, i);
	}
}

/* The lock of a slot is the folder's, not the segment's: where the slot is there again it stays
 * locked all the while, and nobody comes between. */
static void lock_pass(struct tg *from, struct tg *to)
{
	if (to->previous_slot >= to->header.sizes.workers || from->alive_file != to->alive_file ||
	    from->alive_device != to->alive_device)
		return;
	to->process->alive = from->process->alive;
	from->process->alive = NULL;
}

/* The new one has no room: the slot stays the old one's. */
static void lock_return(struct tg *from, struct tg *to)
{
	if (from->process->alive == NULL)
		return;
	to->process->alive = from->process->alive;
	from->process->alive = NULL;
}

/* 0: another thread was faster, this one is attached to what is there already. 1: renewed. */
static int renew(struct tg *tg, struct tg *next)
{
	struct layout_worker *worker = tg_worker(tg);
	int error = maps_make(next);

	if (error)
		return error;
	if (next->header.segment == tg->header.segment && worker != tg->overflow_worker) {
		unmap_all(next);
		return 0;
	}
	if (worker != tg->overflow_worker) {
		next->previous_slot = tg->process->index;
		lock_pass(tg, next);
	}
	if (worker_claim(next) == next->overflow_worker) {
		lock_return(next, tg);
		unmap_all(next);
		return next->process->refused;
	}
	if (next->previous_slot != LAYOUT_NONE && next->process->index == next->previous_slot)
		lease_agree(tg, next);
	return 1;
}

int tg_renew(struct tg *tg)
{
	struct tg next = {.owner = tg->owner,
			  .vdso = tg->vdso,
			  .overflow_worker = tg->overflow_worker,
			  .wake = -1,
			  .folder = -1,
			  .previous_slot = LAYOUT_NONE};
	int done;

	memcpy(next.segment, tg->segment, sizeof(next.segment));
	done = local_make(&next);
	if (done)
		return done;
	done = renew(tg, &next);
	if (done != 1) {
		munmap(next.process, LAYOUT_PAGE);
		return done;
	}
	worker_release(tg);
	next.before = tg->before;
	/* Slots have other numbers: whoever resolves a name anew says it. */
	unsaid_free(&tg->unsaid);
	unmap_begin(&next.before, tg->files);
	fds_close(tg);
	munmap(tg->process, LAYOUT_PAGE);
	*tg = next;
	return 0;
}

uint64_t tg_generation(const struct tg *tg)
{
	return atomic_load_explicit(&tg->live->generation, memory_order_relaxed);
}
