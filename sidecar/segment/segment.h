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

#include "sidecar/segment/types.h"

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
int segment_renew(struct segment *segment, const struct segment_options *options,
		  segment_keep *keep, void *arg, uint64_t now_ns, char *reason);

/* Opens a segment that was made anew for workers, once defaults, calendar and names are published.
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
/* The same of the lines of a slot, and of a flow that is about to be claimed: asked for some slots
 * ahead, they come while others are worked on. */
void segment_expect_slot(const struct segment *segment, uint32_t slot);
void segment_expect_flow(const struct segment *segment, const uint8_t address[16], const char *name,
			 size_t length);

/* What is wrong in the counters of known slots is repaired: keys, times beyond any bound, periods
 * that cannot be. Returns how many words were repaired. Looks at slots first..first+count. */
uint32_t segment_repair(struct segment *segment, uint32_t first, uint32_t count, uint64_t now_ns);

/* Gauges of known slots, from the first-th on, that do not agree with the leases twice in a row,
 * unchanged in between, are counted anew. Returns how many. */
uint32_t segment_repair_gauges(struct segment *segment, uint32_t first, uint32_t count);

/* Makes files that a worker cut short, or whose header it wrote over, whole again, so that others
 * can attach: nobody else might touch what is missing. Returns how many. */
uint32_t segment_repair_files(struct segment *segment);

/* Puts back what a hostile worker truncated; to be called from the SIGBUS handler with the address
 * that faulted. True: it lay in the segment and is there again. False: it did not, or its file is
 * whole and the file system has no memory left for that page. Async-signal-safe. */
bool segment_restore(struct segment *segment, void *address);

/* How many bytes its files may still grow into memory, and how many their file system has left. */
int segment_room(const struct segment *segment, uint64_t *ret_growth, uint64_t *ret_left);

#endif
