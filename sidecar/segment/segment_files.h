/* SPDX-License-Identifier: MIT
 *
 * The files of a segment: private to sidecar/segment/.
 */
#ifndef SIDECAR_SEGMENT_SEGMENT_FILES_H
#define SIDECAR_SEGMENT_SEGMENT_FILES_H

#include "sidecar/segment/types.h"

/* A file that is being made has this after its name until it is whole. */
#define SEGMENT_NEW ".new"

extern const char *const segment_file_names[LAYOUT_FILES];

/* The control file's header also says how much the engine keeps. */
struct segment_control_header {
	struct layout_header header;
	struct segment_shape shape;
};

/* The control file behind its header: tails, the index by slot, records, the engine's own of each,
 * blocks, names. */
struct segment_control_offsets {
	uint64_t tails, index, known, engine, pools[SEGMENT_POOLS], strings, strings_text,
		strings_bytes, bytes;
};

struct segment_control_offsets segment_control_offsets(const struct layout_sizes *sizes,
						       const struct segment_shape *shape);

/* Sets what points into a mapped control file. */
void segment_control_point(struct segment *segment, char *control);

/* Checks records and blocks of a control file whole: where the last sidecar died in the middle of
 * learning a slot, that is unknown again. -EBADMSG: they are damaged; -ENOMEM. */
int segment_records_check(struct segment *segment, char *reason);
void segment_records_free(struct segment *segment);
bool segment_shape_valid(const struct segment_shape *shape);

/* Maps the four files of a segment, with that after their names ("" or SEGMENT_NEW), and checks
 * them as strictly as a worker does. 0; -ENOENT: none of them is there; -EBADMSG: unfit, reason
 * says why. */
int segment_map(struct segment *segment, const char *suffix, char *reason);
void segment_unmap(struct segment *segment);

/* The size of a file that workers may write. */
uint64_t segment_file_bytes(const struct layout_sizes *sizes, enum layout_file file);

/* Gives a file that workers may write the size and the header that it must have by those of
 * `limits`, where it has others. True: it was repaired; what it lost is 0. */
bool segment_file_mend(const struct segment *segment, int fd, enum layout_file file);

/* Takes the memory of the part of a file that is there from the beginning. 0, -ENOSPC. */
int segment_allocate(int fd, const struct layout_sizes *sizes, enum layout_file file);

/* As a worker does for its leases and its ring when it attaches: to have it done before. */
void segment_worker_allocate(const struct segment *segment, uint32_t worker);

/* Where most pages are going to be touched they are asked for piece by piece, just ahead: each by
 * itself costs a fault, and all at once would be out of the cache when they are filled. It is no
 * more than a hint. */
void segment_pages_ask(const void *array, uint64_t each, uint32_t first, uint32_t count);

/* Puts back what control knows of counters that were lost. */
void segment_refill(struct segment *segment);

/* The uid that the options make the owner of the files. */
uint32_t segment_owner(const struct segment_options *options);

/* Gives a file or folder to the owner and group of the options. 0 or -1 with errno. */
int segment_give(int fd, const struct segment_options *options);

/* Makes four files with SEGMENT_NEW after their names, empty, and maps them. Their state is
 * LAYOUT_NEW. */
int segment_make(struct segment *segment, const struct segment_options *options,
		 const uint64_t seed[4], char *reason);

/* Gives the made files their names. May be repeated from any point it was stopped at. */
int segment_name_files(int folder);

/* Makes a slot known that is not: its record is whole before it counts, whatever happens to this
 * process. The engine's own is zeros, or a copy of `from`'s, blocks and all, in another segment. */
void segment_slot_set(struct segment *segment, uint32_t slot, const struct segment_slot *filled,
		      const struct segment *other, uint32_t from);

/* Retires `old`, carrying all usage into `new` (whose files are made, state LAYOUT_NEW), which is
 * then live and gets the names: *ret_named is what segment_name_files says. May be repeated from
 * any point it was stopped at. -ENOMEM: nothing was done. */
int segment_migrate(struct segment *old, struct segment *new, segment_keep *keep, void *arg,
		    uint64_t now_ns, int *ret_named);

#endif
