/* SPDX-License-Identifier: MIT
 *
 * A segment as its owner has it mapped, and what stands in its control file.
 */
#ifndef SIDECAR_SEGMENT_TYPES_H
#define SIDECAR_SEGMENT_TYPES_H

#include <stdbool.h>
#include <sys/types.h>

#include "shm/decide.h"
#include "shm/hash.h"
#include "shm/layout.h"

#define SEGMENT_POOLS 6 /* an even number: their numbers stand in front of what is aligned */

/* How much the engine keeps: a little of each known slot, and blocks of several kinds on demand. A
 * slot's little begins with the numbers of its blocks, one uint32_t a pool that has any; 0: none.
 */
struct segment_shape {
	uint32_t engine_bytes;		     /* a known slot; a multiple of 8 */
	uint32_t block_bytes[SEGMENT_POOLS]; /* a block; multiples of 8; 0: no such pool */
};

struct segment_options {
	const char *path;	   /* the folder; made if it is not there (its parent must be) */
	struct layout_sizes sizes; /* slots and reserved are filled in */
	uint64_t reserve_max_ns;
	int64_t owner; /* uid that the files are given to, where root makes them; -1: the maker */
	int64_t group; /* gid that may attach; -1: the owner's group */
	struct segment_shape shape;
};

enum segment_kind {
	SEGMENT_UNKNOWN,
	SEGMENT_FLOW,
	SEGMENT_SOURCE,
	SEGMENT_DESTINATION,
	SEGMENT_STREAM
};

/* What the sidecar knows of a slot, in `control`: filled from the worker's announcement, checked
 * against the slot's key. Records stand side by side in the order in which slots were learned, and
 * `index` names each slot's: slots follow from hashes, so what is kept by slot touches every page.
 */
struct segment_slot {
	uint32_t kind; /* enum segment_kind */
	uint32_t slot;
	union {
		uint32_t source; /* of a flow: slots of its parents */
		uint32_t name;	 /* of the others: offset in the table of names */
	};
	union {
		uint32_t destination;
		uint32_t length;
	};
	uint64_t key[2];    /* as it stands in counters: to repair what somebody scribbled there */
	uint64_t hour, day; /* as they were last seen sound, for the same */
};
_Static_assert(sizeof(struct segment_slot) == 48, "a million of them count");

struct segment_strings {
	uint64_t used;
	uint64_t bytes;
	uint64_t records; /* how many are known, from 1 on; record 0 is that of the unknown */
};

/* Blocks of one size. Which are taken follows from the records that name them. */
struct segment_pool {
	char *blocks; /* the first is number 1 */
	uint32_t bytes;
	uint32_t room;
	uint32_t next; /* none below is free */
	uint64_t *taken;
};

struct segment {
	struct view view;
	/* What seems damaged is judged by a time read after it: the time of a call is older than
	 * what workers have honestly left since, if this process was stopped meanwhile. NULL: the
	 * time given stands still. */
	uint64_t (*clock)(void);
	struct layout_header header;
	struct layout_offsets offsets;
	struct layout_live *live;
	struct layout_calendar *calendar;
	struct layout_default_limits *defaults;
	struct layout_limits *limits;
	struct layout_limits_more *more;
	char *names[2];
	struct layout_worker *workers;
	_Atomic uint64_t *leases;
	struct layout_record *records;
	/* control */
	uint64_t *tails;
	uint32_t *index;	    /* a slot's record; 0: unknown */
	struct segment_slot *known; /* records */
	uint32_t known_room;
	char *engine;
	struct segment_shape shape;
	struct segment_pool pools[SEGMENT_POOLS];
	struct segment_strings *strings;
	char *strings_text;
	/* the files */
	int folder;
	int lock;  /* locked, by which the segment is ours */
	int alive; /* the workers' locks: shm/alive.h */
	int fds[LAYOUT_FILES];
	void *maps[LAYOUT_FILES];
	uint64_t bytes[LAYOUT_FILES];
	uint8_t *used; /* worker slots that were seen in use: others were never touched */
	uint64_t *gauge_mismatch; /* of the last sweep, a slot: its gauge where it did not agree */
	bool adopted;		  /* an earlier sidecar's segment, as it stood */
	bool cut;		  /* a worker had cut a file short meanwhile; it is whole again */
	bool scarce;		  /* no memory is left for all that workers touch unasked */
	bool fresh;    /* the folder was made by this call, and nobody has attached yet */
	bool replaced; /* an earlier one was retired, its usage carried over */
	char path[256];
};

#define SEGMENT_REASON 256

/* Whether a slot is to be kept: see segment_renew. */
typedef bool segment_keep(void *arg, uint32_t slot);

/* For the tests that stop the sidecar before each store: counts down at each step of making,
 * adopting, publishing and replacing, and kills this process at 0. Negative: never. */
extern long segment_crash_after;
void segment_step(void);

/* What each worker takes when it attaches: its leases and its ring. */
uint64_t segment_worker_bytes(const struct layout_sizes *sizes);

/* An array of a file, with an element a slot. */
struct segment_array {
	enum layout_file file;
	const void *first;
	size_t size; /* of an element */
};

/* The next run of slots, at or after `from`, of whose elements any memory was ever touched: to look
 * at those alone, since looking at the others would allocate theirs. False: no more. */
bool segment_resident_slots(const struct segment *segment, const struct segment_array *array,
			    uint32_t from, uint32_t *ret_first, uint32_t *ret_end);

#endif
