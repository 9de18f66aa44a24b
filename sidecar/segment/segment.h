/* SPDX-License-Identifier: MIT
 *
 * The segment as its owner sees it: made, adopted, repaired, replaced.
 *
 * One sidecar owns a segment at a time (a lock on a file that it alone may open). What a former one
 * left is adopted as it stands, whatever the instruction it died at; a segment of other sizes or
 * another version is retired and replaced: its states are poisoned one by one, each carried over
 * first, so no worker sends more than the limits in between, and one that straggles finds nothing
 * to charge.
 *
 * Nothing that is read from `counters` and `rings` is trusted; limits are kept in `limits` and
 * `control` alone. Not thread-safe: the sidecar has one thread.
 */
#ifndef SIDECAR_SEGMENT_SEGMENT_H
#define SIDECAR_SEGMENT_SEGMENT_H

#include <stdbool.h>
#include <sys/types.h>

#include "shm/decide.h"
#include "shm/hash.h"
#include "shm/layout.h"

#define SEGMENT_POOLS 4

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
	struct layout_calendar *calendars;
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

/* A time that is no older than the words read before this call. */
static inline uint64_t segment_now_after_load(const struct segment *segment, uint64_t now_ns)
{
	atomic_thread_fence(memory_order_seq_cst);
	return segment->clock ? segment->clock() : now_ns;
}

/* Opens the segment at options->path: makes, adopts or replaces it. -EBUSY: another sidecar has it.
 * -EAGAIN: another removed it just now; try again. On failure `reason` (SEGMENT_REASON bytes) says
 * in words why. */
int segment_open(const struct segment_options *options, struct segment **ret, char *reason);

/* Replaces a segment that is open by one of the same kind, without what `keep` does not want: it is
 * asked of each known slot (NULL: all are kept); one that is in debt at now_ns, within a window or
 * has connections stays whatever it says, and so does what a kept one is made of. Slots are others
 * afterwards; what the caller keeps by slot is void. Not live yet. On failure the old one goes on,
 * unless it was retired already: then the next segment_open goes on with it. */
typedef bool segment_keep(void *arg, uint32_t slot);
int segment_renew(struct segment *segment, const struct segment_options *options,
		  segment_keep *keep, void *arg, uint64_t now_ns, char *reason);

/* Opens a segment that was made anew for workers, once defaults, calendars and names are published.
 */
void segment_live(struct segment *segment);

/* Lets go of it: the next sidecar adopts it; what a start that failed made is taken away. remove:
 * takes the files away; workers are told by its mark. NULL is fine. */
void segment_close(struct segment *segment, bool remove);

/* Takes away what a start that fails has made, and leaves memory as it is: from a signal handler.
 */
void segment_abandon(struct segment *segment);

/* The slot of a key, claimed if need be; LAYOUT_NONE: full. */
uint32_t segment_find(struct segment *segment, const struct hash_key *key, bool claim);

/* Claims and names a slot at once. LAYOUT_NONE: no room. */
uint32_t segment_source(struct segment *segment, const uint8_t address[16]);
uint32_t segment_destination(struct segment *segment, const char *name);
uint32_t segment_stream(struct segment *segment, const char *name);
uint32_t segment_flow(struct segment *segment, const uint8_t address[16], const char *destination);

/* A destination's slot, where it is known. LAYOUT_NONE: it is not. */
uint32_t segment_destination_find(const struct segment *segment, const char *name);

/* Takes a worker's announcement in: checked against the slot's key, named if it fits. A reply
 * announces its flow, too, whose own announcement may have found the ring full. 0; -EBADMSG: it
 * does not fit the slot; -EALREADY: known; -EAGAIN: its destination is not known yet, nor, by a
 * reply, its source; -ENOSPC: the table of names is full. */
int segment_learn(struct segment *segment, const struct layout_record *record);

/* The name of a destination or stream slot, terminated; "" where unknown. Returns text. */
const char *segment_name(const struct segment *segment, uint32_t slot, char *text, size_t size);

/* The number of a slot's record; 0: unknown. Bounded here, for who looks at another process's
 * segment. */
static inline uint32_t segment_record(const struct segment *segment, uint32_t slot)
{
	uint32_t record = segment->index[slot];

	return record < segment->known_room ? record : 0;
}

/* What is known of a slot; of an unknown one a record that says so. */
static inline struct segment_slot *segment_slot(const struct segment *segment, uint32_t slot)
{
	return &segment->known[segment_record(segment, slot)];
}

static inline enum segment_kind segment_kind(const struct segment *segment, uint32_t slot)
{
	return (enum segment_kind)segment_slot(segment, slot)->kind;
}

/* How many slots are known, and which was the i-th to be. */
static inline uint32_t segment_count(const struct segment *segment)
{
	return (uint32_t)segment->strings->records;
}

static inline uint32_t segment_nth(const struct segment *segment, uint32_t i)
{
	return segment->known[i + 1].slot;
}

/* 16 bytes: of a flow's source, or of a source; zeros where unknown. */
const uint8_t *segment_address(const struct segment *segment, uint32_t slot);

/* The engine's own of a known slot, engine_bytes. */
static inline void *segment_engine(const struct segment *segment, uint32_t slot)
{
	return segment->engine + (uint64_t)segment->index[slot] * segment->shape.engine_bytes;
}

/* A known slot's block of a pool, or NULL; taken if it has none (zeros, or filled first, so that a
 * sidecar that dies leaves all of it or nothing; NULL: the slot is unknown); given back. There are
 * as many blocks as slots. */
void *segment_block(const struct segment *segment, uint32_t slot, uint32_t pool);
void *segment_block_take(struct segment *segment, uint32_t slot, uint32_t pool);
void *segment_block_fill(struct segment *segment, uint32_t slot, uint32_t pool, const void *bytes);
void segment_block_drop(struct segment *segment, uint32_t slot, uint32_t pool);

/* Publishes a destination table: into the copy that is not read, then the index. -EMSGSIZE: too
 * long. */
int segment_publish_names(struct segment *segment, const void *table, size_t length);

/* Asks for the memory of all slots, or of the next records, ahead of filling them: where one of
 * eight or more will be. */
void segment_expect_slots(struct segment *segment);
void segment_expect_records(struct segment *segment, uint32_t count);

/* What is wrong in the counters of known slots is repaired: keys, times beyond any bound, periods
 * that cannot be. Returns how many words were repaired. Looks at slots first..first+count. */
uint32_t segment_repair(struct segment *segment, uint32_t first, uint32_t count, uint64_t now_ns);

/* Gauges of known slots, from the first-th on, that do not agree with the leases twice in a row,
 * unchanged in between, are counted anew. Returns how many. */
uint32_t segment_repair_gauges(struct segment *segment, uint32_t first, uint32_t count);

/* The next run of slots, at or after `from`, of whose records in an array of a file any memory was
 * ever touched: to look at those alone, since looking at the others would allocate theirs. False:
 * no more. */
bool segment_resident_slots(const struct segment *segment, enum layout_file file, const void *array,
			    size_t size, uint32_t from, uint32_t *ret_first, uint32_t *ret_end);

/* Makes files that a worker cut short, or whose header it wrote over, whole again, so that others
 * can attach: nobody else might touch what is missing. Returns how many. */
uint32_t segment_repair_files(struct segment *segment);

/* Puts back what a hostile worker truncated; to be called from the SIGBUS handler with the address
 * that faulted. True: it lay in the segment and is there again. False: it did not, or its file is
 * whole and the file system has no memory left for that page. Async-signal-safe. */
bool segment_restore(struct segment *segment, void *address);

/* What each worker takes when it attaches: its leases and its ring. */
uint64_t segment_worker_bytes(const struct layout_sizes *sizes);

/* How many bytes its files may still grow into memory, and how many their file system has left. */
int segment_room(const struct segment *segment, uint64_t *ret_growth, uint64_t *ret_left);

/* For the tests that stop the sidecar before each store: counts down at each step of making,
 * adopting, publishing and replacing, and kills this process at 0. Negative: never. */
extern long segment_crash_after;
void segment_step(void);

#endif
