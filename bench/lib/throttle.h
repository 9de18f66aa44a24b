/* SPDX-License-Identifier: MIT
 *
 * What a large receiver does to a sending IP: limits that it does not tell, and a memory.
 *
 * One table a destination, one entry in it a source address. Each attempt is judged when it
 * arrives, by the simulator's model (sidecar/simulate/receiver.h): a message by a token bucket and
 * by hour and day windows, a connection by how many are open, a place by how many messages its
 * connection has carried. Who hammers while over a limit is blocked for a time, longer each time
 * until a day has passed in peace. The arithmetic is on purpose another one than the gate's (doubles
 * and tokens, not GCRA): the judge must not share the faults of the judged. Here are the sources as
 * they come, greylisting by envelope, and counts.
 *
 * Single-threaded. Time is an argument, nanoseconds of one monotonic clock, never decreasing.
 */
#ifndef BENCH_THROTTLE_H
#define BENCH_THROTTLE_H

#include <stdint.h>

enum throttle_answer {
	THROTTLE_OK,
	THROTTLE_RATE,		 /* too many messages in a short time */
	THROTTLE_HOUR,		 /* … in this hour */
	THROTTLE_DAY,		 /* … in this day */
	THROTTLE_CONNECTIONS,	 /* too many connections at once */
	THROTTLE_PER_CONNECTION, /* too many messages on this connection */
	THROTTLE_PENALTY,	 /* blocked for what it did before */
	THROTTLE_GREYLIST,	 /* first contact: come again later */
	THROTTLE_NOISE,		 /* the receiver's own trouble, now and then */
	THROTTLE_ANSWERS
};

/* "ok", "rate", "hour", … */
const char *throttle_answer_name(enum throttle_answer answer);

/* 0 in any field: no such limit. */
struct throttle_limits {
	double rate;	      /* messages a second, per source */
	uint32_t burst;	      /* messages at once; at least 1 where rate is set */
	uint32_t hour, day;   /* messages in a fixed window, which begin when the table does */
	uint32_t connections; /* open at once, per source */
	uint32_t per_connection;
	uint32_t penalty_hits;	    /* that many refusals by a limit … */
	uint64_t penalty_window_ns; /* … within this block the source … */
	uint64_t penalty_hold_ns;   /* … for so long, */
	double penalty_repeat;	    /* times this for each block before (at least 1) */
	uint64_t greylist_ns;
	double noise; /* share of messages, 0 to 1 */
};

struct throttle_counts {
	uint64_t messages; /* judged */
	uint64_t answers[THROTTLE_ANSWERS];
	uint64_t connections;
	uint64_t penalties;
	uint64_t blocked_ns; /* of blocks begun, what had passed when it was asked */
	uint32_t open, peak_open;
};

struct throttle;
struct throttle_entry;

/* seed: of the noise. NULL: out of memory. */
struct throttle *throttle_new(const struct throttle_limits *limits, uint64_t seed, uint64_t now_ns);
void throttle_free(struct throttle *table);

/* Other limits from now on; what was used stays used. */
void throttle_change(struct throttle *table, const struct throttle_limits *limits);
const struct throttle_limits *throttle_limits(const struct throttle *table);

/* The entry of a source (IPv6, or IPv4 mapped): found or made. NULL: out of memory. It lives as
 * long as the table. */
struct throttle_entry *throttle_entry(struct throttle *table, const uint8_t address[16]);

/* A connection arrives: OK (then throttle_close once) or CONNECTIONS. */
enum throttle_answer throttle_open(struct throttle *table, struct throttle_entry *entry,
				   uint64_t now_ns);
void throttle_close(struct throttle_entry *entry);

/* A message arrives, the place-th (from 1) of its connection. */
enum throttle_answer throttle_message(struct throttle *table, struct throttle_entry *entry,
				      uint32_t place, uint64_t now_ns);

/* A recipient of an admitted message. envelope: a hash of sender and recipient. OK or GREYLIST. */
enum throttle_answer throttle_recipient(struct throttle *table, struct throttle_entry *entry,
					uint64_t envelope, uint64_t now_ns);

void throttle_counts(const struct throttle *table, const struct throttle_entry *entry,
		     uint64_t now_ns, struct throttle_counts *ret);

/* Walks over all entries, in the order in which they came; NULL at the end. Start with NULL. */
struct throttle_entry *throttle_next(const struct throttle *table,
				     const struct throttle_entry *entry);
const uint8_t *throttle_address(const struct throttle_entry *entry);

#endif
