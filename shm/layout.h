/* SPDX-License-Identifier: MIT
 *
 * The ABI of the segment: what stands where in its files.
 *
 * A segment is a folder with three files that workers map, and one that is the sidecar's alone:
 *
 *   limits    sidecar writes, workers map read-only   what may be done
 *   counters  workers write, sidecar reads, repairs   what has been done
 *   rings     workers write, sidecar drains           who is there, leases, what receivers answered
 *   control   the sidecar alone (sidecar/segment/segment.h)
 *   wake      a FIFO: a byte in it wakes the sidecar
 *   alive     empty: locks of its bytes say which worker slot has a living owner (shm/alive.h)
 *   lock      the sidecar alone: its lock keeps a second one away
 *
 * What each side may do so follows from the page tables. A record ("slot") has an index that
 * follows from the hash of its key; the index is the same in every array, so that the lines of a
 * cold decision are fetched together. Slots are of four kinds: flow (source x destination), source,
 * destination and stream; the last three are the parents of flows, and have the same fields.
 *
 * Rules that hold for every word here:
 *   - fixed width, no pointer, bool, enum or long;
 *   - what one side writes shares no line with what the other writes;
 *   - a word of `limits` is valid by itself, or there are two copies and an index: a reader never
 *     waits;
 *   - nothing that stands in `counters` or `rings` is trusted by the sidecar: indexes are bounded,
 *     times are clamped, and no limit is ever read back from there.
 */
#ifndef TG_LAYOUT_H
#define TG_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/tollgate.h"

#define LAYOUT_MAGIC	  UINT64_C(0x657461676c6c6f74) /* "tollgate", little-endian */
#define LAYOUT_VERSION	  4
#define LAYOUT_BYTE_ORDER UINT32_C(0x01020304)
#define LAYOUT_LINE	  64
#define LAYOUT_PAGE	  4096

#define LAYOUT_NONE UINT32_C(0xffffffff) /* no slot */

enum layout_file { LAYOUT_LIMITS, LAYOUT_COUNTERS, LAYOUT_RINGS, LAYOUT_CONTROL, LAYOUT_FILES };

enum layout_state {
	LAYOUT_NEW, /* being made: not to be attached to */
	LAYOUT_LIVE,
	LAYOUT_RETIRED, /* replaced: attach anew */
};

/* The sizes that the configuration chooses; the same in all files of a segment. */
struct layout_sizes {
	uint32_t flows;	       /* configured */
	uint32_t slots;	       /* layout_slots(flows) */
	uint32_t workers;      /* < 65535 */
	uint32_t ring_records; /* a worker; a power of two */
	uint32_t minutes;      /* that the sidecar keeps of a flow */
	uint32_t leases;       /* a worker; <= 65536 */
	uint32_t names_bytes;  /* of one copy of the destination table */
	uint32_t reserved;
};

/* The first page of every file. Written once, before the file gets its name. */
struct layout_header {
	uint64_t magic;
	uint32_t byte_order;
	uint32_t version;
	uint32_t file;	  /* enum layout_file */
	uint32_t owner;	  /* uid */
	uint64_t bytes;	  /* of the file */
	uint64_t segment; /* random: files of one segment carry the same */
	uint64_t seed[4]; /* of the hash: names come from outside, so collisions must not be made at
			     will */
	uint64_t reserve_max_ns;
	struct layout_sizes sizes;
};

/* ---- limits ---------------------------------------------------------------------------------- */

/* ns = ns_base + ((counter - counter_base) * mult >> 32), while counter - counter_base < span. */
struct layout_scale {
	_Atomic uint64_t counter_base;
	_Atomic uint64_t ns_base;
	_Atomic uint64_t mult;
	_Atomic uint64_t span; /* in counter ticks, 2 s; 0: use the vDSO */
	uint64_t pad[4];
};

enum layout_down { LAYOUT_DOWN_KEEP, LAYOUT_DOWN_FAIL_OPEN, LAYOUT_DOWN_FAIL_CLOSED };

/* The second page of limits. */
struct layout_live {
	/* line 0: which copy of the scale holds, and what the slow path of the clock looks at */
	_Atomic uint32_t scale_index; /* counts up; its low bit is the copy */
	_Atomic uint32_t state;	      /* enum layout_state */
	_Atomic uint64_t heartbeat_ns;
	_Atomic uint64_t down_after_ns;
	_Atomic uint32_t on_down; /* enum layout_down */
	_Atomic uint32_t
		names_index; /* counts up; its low bit is the copy of the destination table */
	_Atomic uint64_t generation;
	_Atomic uint64_t gate_token; /* marks a socket as pre-admitted to the gate in the kernel; 0:
					no gate */
	uint64_t pad0[2];
	/* lines 1 and 2 */
	struct layout_scale scale[2];
	/* line 3: alone, since it changes often */
	_Atomic uint32_t sleeping; /* the sidecar wants to be woken */
	uint32_t pad1[15];
};

#define LAYOUT_DAYS 64

/* Where hours and days begin, in the configured time zone. Hours and days have numbers that count up since
 * 1970 in local time; see shm/window.h for the arithmetic, and for what holds when the sidecar is
 * long gone. */
struct layout_calendar {
	_Atomic uint64_t hour_offset_ns; /* hour number = (now + hour_offset) / 3600 s */
	_Atomic uint64_t
		day_offset_ns; /* a first guess of the day number = (now + day_offset) / 86400 s */
	_Atomic uint64_t day_start_ns[LAYOUT_DAYS]; /* of day d at d % LAYOUT_DAYS; 0: not known */
};

enum layout_flag {
	LAYOUT_HOUR = 1,	      /* hour_cap holds */
	LAYOUT_DAY = 2,		      /* day_cap holds */
	LAYOUT_SOURCE = 4,	      /* the source over all destinations has limits */
	LAYOUT_DESTINATION = 8,	      /* the destination over all sources has limits */
	LAYOUT_HOLD_LOWER = 16,	      /* hold_lower_ns holds for engaged and bulk */
	LAYOUT_REPORT_DELIVERED = 32, /* plain deliveries are wanted on the ring */
	LAYOUT_COUNT_RECIPIENTS = 64,
	LAYOUT_PROBING = 128, /* a probe decides when this flow goes on: nobody knows the time */
};

#define LAYOUT_FLAG_BITS	UINT64_C(0xffff)
#define LAYOUT_HOUR_PHASE_SHIFT 16 /* 16 bits, seconds */
#define LAYOUT_DAY_PHASE_SHIFT	32 /* 16 bits, minutes */

/* What a decision reads: one line. */
struct layout_limits {
	_Atomic uint64_t rate[TG_CLASSES];     /* gcra_rate; 0: this slot was never filled */
	_Atomic uint64_t hold_until_ns;	       /* nothing goes before; 0: no hold */
	_Atomic uint32_t hour_cap[TG_CLASSES]; /* what this class may bring the hour's count to */
	_Atomic uint32_t day_cap[TG_CLASSES];
	_Atomic uint64_t flags; /* enum layout_flag, phases */
};

/* What connections and the slow paths read. */
struct layout_limits_more {
	_Atomic uint64_t connection_rate; /* gcra_rate */
	_Atomic uint64_t connections;	  /* 16 bits each: cap by class (0xffff: none), messages a
					     connection     (0: no limit) in the top ones */
	_Atomic uint64_t hold_lower_ns;
	_Atomic uint32_t before; /* the interval (low half of a gcra_rate) of the epoch before
				    rate's: holds while the state is still in that epoch */
	union {
		_Atomic uint32_t default_index; /* of a destination slot: its flows' defaults; 0:
						   the general ones */
		_Atomic uint32_t connection_before; /* of a flow: as before, for connection_rate */
	};
	_Atomic uint32_t
		changes; /* of the limits, counted; 0: never filled. Waiters sleep on it. */
	uint32_t pad;
};

/* The records that hold where a slot was never filled: general ones by kind, then each configured
 * destination's. */
enum layout_default {
	LAYOUT_DEFAULT_FLOW,
	LAYOUT_DEFAULT_SOURCE,
	LAYOUT_DEFAULT_DESTINATION,
	LAYOUT_DEFAULT_STREAM,
	LAYOUT_DEFAULT_FIRST, /* of the configured destinations */
};
#define LAYOUT_DEFAULTS 4096

struct layout_default_limits {
	struct layout_limits limits;
	struct layout_limits_more more;
	uint64_t pad[3];
};

/* ---- counters -------------------------------------------------------------------------------- */

/* What a decision writes: one line, its key in it. A key is claimed without a lock: its first half
 * by compare-and-swap from 0, then its second; who finds the first half alone completes it or, if
 * another key won the second, goes on to the next slot. So a claimer may die anywhere. */
struct layout_counters {
	_Atomic uint64_t key[2];
	_Atomic uint64_t tat;  /* gcra */
	_Atomic uint64_t hour; /* period number << 32 | count */
	_Atomic uint64_t day;
	_Atomic uint64_t headroom;	 /* what was used of the reserve: see shm/headroom.h */
	_Atomic uint64_t reserved_until; /* the latest slot that tg_reserve gave away */
	_Atomic uint64_t connection_tat;
};

struct layout_counters_more {
	_Atomic uint64_t delivered;
	_Atomic uint64_t deferred;
	_Atomic uint64_t bounced;
	_Atomic uint64_t gauge; /* open connections: see shm/lease.h */
};

/* A word that a retired segment's states are set to: no compare-and-swap of a straggler succeeds.
 */
#define LAYOUT_POISON UINT64_MAX

/* ---- rings ----------------------------------------------------------------------------------- */

#define LAYOUT_SHARDS \
	16 /* of a worker's own counts, by thread; the last is shared by all further ones */

#define LAYOUT_REASONS 16 /* room for enum tg_reason */

struct layout_shard {
	_Atomic uint64_t verdicts[LAYOUT_REASONS]; /* by enum tg_reason */
};

struct layout_worker {
	/* line 0 */
	_Atomic uint64_t owner; /* a name, proof of nothing (shm/alive.h): pid, as its own namespace
				   counts, << 32 | a number that differs each time; 0: free */
	_Atomic uint64_t attached_ns;
	_Atomic uint64_t repairs; /* corrupt words that this worker met */
	_Atomic uint64_t left; /* 1: the last owner gave it back; an owner of 0 without is damage */
	uint64_t pad0[4];
	/* line 1: the producer's */
	_Atomic uint64_t head; /* records ever written */
	_Atomic uint64_t lost; /* texts that found the ring full */
	uint64_t pad1[6];
	/* line 2: the consumer's */
	_Atomic uint64_t tail; /* records ever taken */
	uint64_t pad2[7];
	uint64_t pad3[8];
	struct layout_shard shards[LAYOUT_SHARDS];
};

#define LAYOUT_PID_SHIFT 32

enum layout_record_kind {
	LAYOUT_RECORD_REPLY = 1,
	LAYOUT_RECORD_FLOW,	   /* text: 16 bytes of the source's address */
	LAYOUT_RECORD_SOURCE,	   /* text: 16 bytes of address */
	LAYOUT_RECORD_DESTINATION, /* text: name */
	LAYOUT_RECORD_STREAM,	   /* text: name */
};

#define LAYOUT_TEXT 256

struct layout_record {
	uint32_t kind; /* enum layout_record_kind */
	uint32_t slot;
	uint32_t source; /* slots of the parents */
	uint32_t destination;
	uint64_t replied_ns;
	uint64_t admitted_ns;
	uint32_t n;
	uint16_t code;
	uint16_t enhanced[3];
	uint16_t place;
	uint8_t traffic;
	uint8_t stage;
	uint16_t length;	  /* of text as kept */
	uint16_t length_original; /* of text as received, saturated at 65535 */
	uint32_t open;		  /* connections of the flow at that time */
	uint64_t sequence;	  /* the record's number; another one there: not yet written */
	char text[LAYOUT_TEXT];
};

_Static_assert(sizeof(struct layout_header) <= LAYOUT_PAGE, "one page");
_Static_assert(sizeof(struct layout_live) == 4 * LAYOUT_LINE &&
		       sizeof(struct layout_live) <= LAYOUT_PAGE,
	       "lines");
_Static_assert(offsetof(struct layout_live, scale) == LAYOUT_LINE, "line 1");
_Static_assert(offsetof(struct layout_live, sleeping) == 3 * LAYOUT_LINE, "line 3");
_Static_assert(sizeof(struct layout_limits) == LAYOUT_LINE, "one line");
_Static_assert(sizeof(struct layout_limits_more) == 40, "five words");
_Static_assert(sizeof(struct layout_default_limits) == 2 * LAYOUT_LINE, "two lines");
_Static_assert(sizeof(struct layout_counters) == LAYOUT_LINE, "one line");
_Static_assert(sizeof(struct layout_counters_more) == 32, "half a line");
_Static_assert(sizeof(struct layout_shard) == 2 * LAYOUT_LINE && TG_REASONS <= LAYOUT_REASONS,
	       "whole lines");
_Static_assert(sizeof(struct layout_worker) == (4 + 2 * LAYOUT_SHARDS) * LAYOUT_LINE, "lines");
_Static_assert(sizeof(struct layout_record) == 64 + LAYOUT_TEXT, "lines");
_Static_assert(sizeof(struct layout_calendar) == 16 + 8 * LAYOUT_DAYS, "packed");

/* ---- where things stand ---------------------------------------------------------------------- */

/* Slots for that many flows, with room for what they are made of (each source and each destination
 * takes one too; the built-in configuration brings 20): at 16/29 full, linear probing meets
 * 1.6 lines a hit. */
static inline uint32_t layout_slots(uint32_t flows)
{
	uint64_t slots = (uint64_t)flows + (uint64_t)flows * 13 / 16 + 64;

	return slots > UINT32_MAX - 1 ? UINT32_MAX - 1 : (uint32_t)slots;
}

struct layout_offsets {
	uint64_t live, calendar, defaults, names[2], limits, limits_more, limits_bytes;
	uint64_t counters, counters_more, counters_bytes;
	uint64_t workers, leases, records, rings_bytes;
};

static inline uint64_t layout_take(uint64_t *at, uint64_t bytes)
{
	uint64_t here = *at;

	*at = (here + bytes + LAYOUT_PAGE - 1) / LAYOUT_PAGE * LAYOUT_PAGE;
	return here;
}

/* Sizes are bounded by layout_sizes_valid, so no product here exceeds 64 bits. */
static inline struct layout_offsets layout_offsets(const struct layout_sizes *s)
{
	struct layout_offsets o;
	uint64_t at = LAYOUT_PAGE;

	o.live = layout_take(&at, sizeof(struct layout_live));
	o.calendar = layout_take(&at, sizeof(struct layout_calendar));
	o.defaults = layout_take(&at, LAYOUT_DEFAULTS * sizeof(struct layout_default_limits));
	o.names[0] = layout_take(&at, s->names_bytes);
	o.names[1] = layout_take(&at, s->names_bytes);
	o.limits = layout_take(&at, (uint64_t)s->slots * sizeof(struct layout_limits));
	o.limits_more = layout_take(&at, (uint64_t)s->slots * sizeof(struct layout_limits_more));
	o.limits_bytes = at;

	at = LAYOUT_PAGE;
	o.counters = layout_take(&at, (uint64_t)s->slots * sizeof(struct layout_counters));
	o.counters_more =
		layout_take(&at, (uint64_t)s->slots * sizeof(struct layout_counters_more));
	o.counters_bytes = at;

	at = LAYOUT_PAGE;
	o.workers = layout_take(&at, (uint64_t)s->workers * sizeof(struct layout_worker));
	o.leases = layout_take(&at, (uint64_t)s->workers * s->leases * sizeof(uint64_t));
	o.records = layout_take(&at, (uint64_t)s->workers * s->ring_records *
					     sizeof(struct layout_record));
	o.rings_bytes = at;
	return o;
}

static inline int layout_sizes_valid(const struct layout_sizes *s)
{
	return s->flows >= 1 && s->flows <= UINT32_C(1000000000) &&
	       s->slots == layout_slots(s->flows) && s->workers >= 1 && s->workers <= 65534 &&
	       s->ring_records >= 2 && s->ring_records <= UINT32_C(1) << 24 &&
	       (s->ring_records & (s->ring_records - 1)) == 0 && s->minutes >= 1 &&
	       s->minutes <= 10080 && s->leases >= 1 && s->leases <= 65536 &&
	       s->names_bytes >= LAYOUT_PAGE && s->names_bytes <= UINT32_C(1) << 30 &&
	       s->reserved == 0;
}

#endif
