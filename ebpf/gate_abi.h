/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What the eBPF gate and its loader share: the layout of every map.
 *
 * The kernel program (gate.bpf.c) writes identities, states and counters; the loader (gate_*.c)
 * writes limits, control and destinations through a mapping of the same memory. What one side
 * writes does not share a cache line with what the other writes. Plain fixed-width types alone: no
 * pointer, no bool, no enum in a struct. All times are nanoseconds of the kernel's CLOCK_MONOTONIC,
 * that of the initial time namespace: the loader converts its own.
 */
#ifndef TG_GATE_ABI_H
#define TG_GATE_ABI_H

#include <linux/types.h>

#define GATE_VERSION 3u
#define GATE_RATES \
	3 /* of one flow, all of which must conform: a second's, a minute's, an hour's \
	   */
#define GATE_WAYS	 8  /* slots of a bucket of the flow table */
#define GATE_CGROUPS	 16 /* gated at once */
#define GATE_NO_SLOT	 0xffffffffu
#define GATE_REPLY_TEXT	 512 /* of a reply that is told */
#define GATE_REPLIES_MAX 128 /* of one connection that are told; those beyond are counted */
#define GATE_TAG_FREE	 0   /* a slot that may be claimed: everything else in it is zero */
#define GATE_TAG_DYING	 1   /* a slot that the loader is emptying */
#define GATE_SLACK_NS	 1000000000ull /* a state may lie this much further ahead than it must */
#define GATE_PLACE_WAIT_NS \
	1000000000ull /* first wait for a place among the connections at once \
		       */

/* Marks a socket as pre-admitted: setsockopt(fd, GATE_SOCKET_LEVEL, GATE_SOCKET_PREADMITTED, &mark,
 * 24), by tg_preadmit_socket() in shm/preadmit.c. */
struct gate_mark {
	__u64 token;
	__u64 destination[2]; /* the key of the destination in the segment; 0, 0: not said */
};

#define GATE_SOCKET_LEVEL	0x7467
#define GATE_SOCKET_PREADMITTED 1

enum gate_mode {
	GATE_INHERIT, /* of a flow or destination: as the cgroup says */
	GATE_OBSERVE, /* count, and say what would have been held or refused */
	GATE_PACE,    /* hold a connection until its slot, refuse it beyond the longest wait */
	GATE_DENY,    /* connect() fails */
};

enum gate_stale {
	GATE_STALE_OPEN,   /* no heartbeat: all pass */
	GATE_STALE_CLOSED, /* no heartbeat: none passes */
};

/* Limits of a flow or a destination. Each word is valid by itself; generation is written last, and
 * while it is 0 the next wider record applies: the flow's, the destination's, that of destination
 * 0. */
struct gate_limits {
	__u64 rate[GATE_RATES]; /* gcra_rate(), the epoch of its price on top; no interval: none */
	__u64 hold_until_ns;	/* no connection before */
	__u64 max_wait_ns;	/* pace; 0: control's */
	__u32 connections;	/* at once; 0: any number */
	__u32 modes;		/* enum gate_mode, two bits for each cgroup: gate_modes() */
	__u32 generation;
	__u32 reserved;
};

/* Limits of a destination. While a price changes some states are still in the epoch before:
 * `before` is what holds for those, epoch and interval in the places that a rate has them. */
struct gate_destination {
	struct gate_limits limits;
	__u64 before[GATE_RATES];
};

/* What a flow is known by. Addresses are IPv6 in network order, IPv4 mapped. A destination that the
 * prefix table names has its id and a zero address; any other is its own: id 0 and its address. */
struct gate_key {
	__u32 source[4];
	__u32 destination[4];
	__u32 destination_id;
	__u32 reserved;
};

/* The first two stand in the line of the state, which a connection that passes touches anyway.
 * Attempts are the sum of passed, held, refused and pre-admitted. */
enum gate_counter {
	GATE_PASSED,		  /* let through at once */
	GATE_HELD,		  /* pace: the SYN leaves later */
	GATE_HELD_NS,		  /* the waits reserved for them, summed */
	GATE_REFUSED_RATE,	  /* beyond what may be waited for */
	GATE_REFUSED_HOLD,	  /* the flow is suspended */
	GATE_REFUSED_CONNECTIONS, /* as many are open as may be */
	GATE_WOULD_HOLD,	  /* observe: what pace would have held … */
	GATE_WOULD_REFUSE,	  /* … and refused */
	GATE_PREADMITTED,	  /* a worker had admitted it in the segment */
	GATE_ESTABLISHED,
	GATE_FAILED_RESET,   /* refused by the other side */
	GATE_FAILED_TIMEOUT, /* no answer */
	GATE_FAILED_OTHER,   /* unreachable, or given up by the caller */
	GATE_CLOSED,	     /* of the established */
	GATE_LOST,	     /* of the closed: reset or timed out, not ended in order */
	GATE_DURATION_NS,    /* of the closed, summed */
	GATE_CONNECT_NS,     /* from the SYN's slot to established, summed */
	GATE_BYTES_SENT,     /* acknowledged by the other side, of the closed */
	GATE_BYTES_RECEIVED,
	GATE_RETRANSMITS, /* of the closed; SYNs held back do not count */
	GATE_LATE_NS,	  /* held SYNs: how much later than their slot they left, summed */
	GATE_LATE_MAX_NS, /* the greatest of these; not a sum */
	GATE_SRTT_US,	  /* smoothed over connections; not a sum */
	GATE_COUNTERS
};

/* One flow: six cache lines. */
struct gate_flow {
	/* identity: written by the kernel when it claims the slot, emptied by the loader */
	__u64 tag; /* hash of the key, or GATE_TAG_* */
	struct gate_key key;
	__u64 claimed_ns;
	__u64 ready; /* the key may be read */
	/* limits: written by the loader alone */
	struct gate_limits limits;
	__u64 adopted; /* connections that were open before the program was attached */
	/* state: written by the kernel (tat also by the loader, by compare-and-swap) */
	__u64 tat[GATE_RATES];	/* gcra.h, with its epoch on top; 0: nothing was ever charged */
	__u64 open;		/* connections that hold a place: held, connecting, established */
	__u64 preadmitted_open; /* connections that do not: they were admitted in the segment */
	__u64 seen_ns;		/* last attempt */
	/* counters: written by the kernel alone */
	__u64 count[GATE_COUNTERS];
	/* written by the loader, read where a state is in another epoch than its rate */
	__u64 before[GATE_RATES]; /* as a destination's */
};

/* Written by the loader alone. */
struct gate_control {
	__u32 version;
	__u32 epoch;	    /* of attachment: sockets of an older one are not followed */
	__u64 heartbeat_ns; /* the loader lived then */
	__u64 stale_ns;	    /* … and is taken for dead that much later; 0: never */
	__u64 max_wait_ns;
	__u64 token; /* proves that a worker may mark its socket as pre-admitted; 0: none can */
	__u64 seed;  /* of the hash of keys */
	__u32 stale_policy;
	__u32 refuse_errno; /* of connect(): positive */
	__u32 hz;
	__u32 syn_linear; /* TCP's second wait for an answer to a SYN is as long as the first, not
			     twice */
	__u32 cgroup_mode[GATE_CGROUPS];
};

enum gate_total {
	GATE_TOTAL_FULL,	/* passed uncounted: no slot free */
	GATE_TOTAL_NO_STORAGE,	/* passed unfollowed: no memory for the socket's record */
	GATE_TOTAL_STALE,	/* passed or refused because the loader was taken for dead */
	GATE_TOTAL_LATE,	/* decided in sock_ops: not bound to a source, or only observed */
	GATE_TOTAL_DROPPED,	/* events lost: the ring was full */
	GATE_TOTAL_CONTENDED,	/* refused because others changed the flow all the time */
	GATE_TOTAL_EVENTS,	/* events put on the ring */
	GATE_TOTAL_SYN_HELD,	/* SYNs held back */
	GATE_TOTAL_NO_BIND,	/* unbound sockets that only egress could refuse */
	GATE_TOTAL_REPLIES_CUT, /* replies not told: their connection had said enough */
	GATE_TOTAL_CLOCK,	/* not a count: the kernel's clock when gate_clock last ran */
	GATE_TOTAL_JIFFIES,	/* the same in jiffies */
	GATE_TOTALS
};

enum gate_event_kind {
	GATE_EVENT_FLOW,   /* a flow was claimed: it wants limits */
	GATE_EVENT_FAILED, /* a connection did not come about */
	GATE_EVENT_CLOSED, /* an established connection ended */
	GATE_EVENT_REPLY,  /* struct gate_reply: the receiver answered 4xx or 5xx, in plain text */
	GATE_EVENT_PAID,   /* a marked connection to an address that no prefix names */
	GATE_EVENT_OPENED, /* a connection was established */
};

struct gate_event {
	__u32 kind; /* enum gate_event_kind */
	__u32 slot;
	__u64 tag;
	__u64 at_ns;
	__u64 due_ns;	   /* OPENED, FAILED, CLOSED, REPLY: the SYN's slot */
	__u64 wait_ns;	   /* held */
	__u64 duration_ns; /* CLOSED: since established; FAILED: since the SYN's slot */
	__u64 bytes_sent;
	__u64 bytes_received;
	__u64 destination[2]; /* PAID: of the mark */
	__u32 remote[4];
	__u32 srtt_us;
	__u32 retransmits;
	__u32 reason;  /* FAILED: GATE_FAILED_*; CLOSED: GATE_LOST or 0; REPLY: 1: the greeting */
	__u32 late_us; /* held: how much later than its slot the SYN left */
};

/* As received, from its code on: its line may be cut, and others may follow. */
struct gate_reply {
	struct gate_event event;
	__u32 length;
	__u32 reserved;
	__u8 text[GATE_REPLY_TEXT];
};

struct gate_prefix4 {
	__u32 bits;
	__u32 address;
};

struct gate_prefix6 {
	__u32 bits;
	__u32 address[4];
};

enum gate_phase {
	GATE_PHASE_NEW,	    /* not decided */
	GATE_PHASE_PAID,    /* marked by a worker */
	GATE_PHASE_PASS,    /* may leave at at_ns; holds a place */
	GATE_PHASE_WAIT,    /* pace: waits for a place */
	GATE_PHASE_REFUSED, /* its SYNs are dropped until connect() gives up */
	GATE_PHASE_OPEN,    /* established */
	GATE_PHASE_IGNORED, /* decided: nothing is asked of it */
};

enum gate_socket_flag {
	GATE_SOCKET_STARTED = 1,   /* the kernel follows its state: closing is noticed */
	GATE_SOCKET_TIMED_OUT = 2, /* the last timeout was the last try */
	GATE_SOCKET_CREDIT = 4,	   /* pre-admitted by a worker: holds no place */
	GATE_SOCKET_LEFT = 8,	   /* its SYN has left */
};

/* The record of a socket, in its socket storage. */
struct gate_socket {
	__u32 phase; /* enum gate_phase */
	__u32 flags; /* enum gate_socket_flag */
	__u32 slot;
	__u32 epoch;
	__u64 tag;
	__u64 began_ns;
	__u64 at_ns; /* the SYN's slot */
	__u64 established_ns;
	__u32 dropped; /* SYNs held back */
	__u32 late_us; /* of the SYN that left at last */
	__u32 remote[4];
	__u64 destination[2]; /* of the mark */
	/* Written by ingress alone. */
	__u32 heard;	/* segments with something in them */
	__u32 heard_to; /* TCP's number of the end of the last */
	__u32 refused;	/* replies that were told */
	__u32 reserved;
};

/* What gate_decide is asked, and what it answers. */
struct gate_request {
	struct gate_key key;
	__u64 now_ns;
	__u64 at_ns; /* answer: when the SYN may leave */
	__u64 tag;   /* answer */
	__u32 slot;  /* answer */
	__u32 mode;  /* answer: the mode that applied */
	__u32 retry; /* asked before for the same connection: not a new attempt */
	__u32 reserved;
};

enum gate_answer {
	GATE_ANSWER_PASS, /* leave at at_ns, now or later; a place is held */
	GATE_ANSWER_WAIT, /* no place free: ask again */
	GATE_ANSWER_REFUSE,
	GATE_ANSWER_IGNORE, /* not gated: let through, hold nothing */
};

/* The same mode for every cgroup. */
static inline __u32 gate_modes(__u32 mode)
{
	return mode * 0x55555555u;
}

static inline __u32 gate_mode_of(__u32 modes, __u32 cgroup)
{
	return modes >> 2 * cgroup & 3;
}

/* The tag of a key, which also says its bucket. The seed keeps others from choosing collisions. */
static inline __u64 gate_key_tag(const struct gate_key *key, __u64 seed)
{
	__u64 h = seed;

	h = (h ^ ((__u64)key->source[0] << 32 | key->source[1])) * 0x9e3779b97f4a7c15ull;
	h = (h ^ h >> 32 ^ ((__u64)key->source[2] << 32 | key->source[3])) * 0xd6e8feb86659fd93ull;
	h = (h ^ h >> 32 ^ ((__u64)key->destination[0] << 32 | key->destination[1])) *
	    0xff51afd7ed558ccdull;
	h = (h ^ h >> 32 ^ ((__u64)key->destination[2] << 32 | key->destination[3])) *
	    0xc4ceb9fe1a85ec53ull;
	h = (h ^ h >> 32 ^ key->destination_id) * 0x9e3779b97f4a7c15ull;
	h ^= h >> 32;
	return h > GATE_TAG_DYING ? h : h + 2;
}

static inline __u32 gate_tag_bucket(__u64 tag, __u32 mask)
{
	return (__u32)(tag >> 20) & mask;
}

/* The way of its bucket at which a tag is looked for first. */
static inline __u32 gate_tag_way(__u64 tag)
{
	return (__u32)(tag >> 61) & (GATE_WAYS - 1);
}

#ifndef __bpf__
_Static_assert(sizeof(struct gate_key) == 40, "");
_Static_assert(sizeof(struct gate_limits) == 56, "limits and adopted share one line");
_Static_assert(sizeof(struct gate_destination) == 80, "");
_Static_assert(__builtin_offsetof(struct gate_flow, limits) == 64, "");
_Static_assert(__builtin_offsetof(struct gate_flow, tat) == 128, "");
_Static_assert(__builtin_offsetof(struct gate_flow, count) == 176, "");
_Static_assert(sizeof(struct gate_flow) == 384, "");
_Static_assert(sizeof(struct gate_control) == 128, "");
_Static_assert(sizeof(struct gate_socket) == 104, "");
_Static_assert(sizeof(struct gate_event) == 112, "");
_Static_assert(sizeof(struct gate_reply) == 120 + GATE_REPLY_TEXT, "");
#endif

#endif
