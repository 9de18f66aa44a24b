/* SPDX-License-Identifier: MIT
 *
 * A scenario as it was read.
 */
#ifndef SIDECAR_SIMULATE_SCENARIO_TYPES_H
#define SIDECAR_SIMULATE_SCENARIO_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shm/tollgate.h"

#define SCENARIO_SOURCES_MAX	1024
#define SCENARIO_RECEIVERS_MAX	64
#define SCENARIO_TRAFFIC_MAX	256
#define SCENARIO_MESSAGES_MAX	20000000u
#define SCENARIO_DURATION_MAX	(UINT64_C(400) * 86400 * 1000000000)
#define SCENARIO_WORKERS_MAX	200
#define SCENARIO_ALLOWANCE_DAYS 32
#define SCENARIO_PENALTY_MAX	100000u
/* In place of a reply: no word, and the connection is gone, at once or when the sender has waited
 * long enough. */
#define SCENARIO_DROP	 "drop"
#define SCENARIO_TIMEOUT "timeout"
#define SCENARIO_NOBODY	 UINT32_MAX /* no source, no customer in particular */

enum scenario_arrival {
	SCENARIO_POISSON,
	SCENARIO_UNIFORM,
	SCENARIO_BURST, /* in lumps, one each ten minutes */
};

/* The limits of a receiver that have a text of their own. */
enum scenario_limit {
	SCENARIO_RATE,
	SCENARIO_CONNECTIONS,
	SCENARIO_PER_CONNECTION,
	SCENARIO_HOUR,
	SCENARIO_DAY,
	SCENARIO_MINUTE,
	SCENARIO_CONNECTION_RATE,
	SCENARIO_LIMITS
};

/* What a receiver takes of each that it counts by itself, hidden from the gate. */
struct scenario_accept {
	double rate;		 /* messages a second; infinite: unlimited */
	double burst;		 /* messages, at least 1 */
	uint32_t connections;	 /* at once; 0: unlimited */
	uint32_t per_connection; /* messages; 0: unlimited */
	double connection_rate;	 /* new ones a second; 0, or infinite: unlimited */
	double connection_burst; /* at once after a pause, at least 1 */
	uint32_t minute;	 /* messages in any minute, to the second; 0: unlimited */
	uint32_t hour;		 /* messages in the receiver's hour; 0: unlimited */
	uint32_t day;
};

struct scenario_source {
	const char *address;
	const char *pool_name;
	/* Over all receivers, by the sender's own will: the gate is told of it, and so is the
	 * oracle. */
	struct scenario_accept total;
	uint32_t pool;
	uint32_t pool_first;	/* the first source of its pool … */
	uint32_t network_first; /* … and of its network, an IPv4 /24 or an IPv6 /64 */
};

/* Whose mail a receiver counts together. */
enum scenario_per { SCENARIO_ADDRESS, SCENARIO_NETWORK, SCENARIO_POOL, SCENARIO_ALL };

struct scenario_traffic {
	const char *pool_name;	 /* NULL: not written */
	const char *destination; /* likewise */
	const char *customer;	 /* whose mail it is; likewise */
	uint32_t customer_index; /* his first entry of traffic, or SCENARIO_NOBODY */
	uint32_t pool;
	uint32_t receiver;
	enum tg_class class;
	enum scenario_arrival arrival;
	uint64_t messages;
	uint64_t start_ns;
	uint64_t over_ns;
};

struct scenario_change {
	uint64_t at_ns;
	struct scenario_accept accept; /* whole, as it stands from then on */
};

struct scenario_outage {
	uint64_t at_ns;
	uint64_t for_ns;
	const char *reply;
};

struct scenario_noise {
	double share; /* of the messages that the limits let through */
	const char *reply;
	const char *customer_name; /* NULL: of everybody's messages */
	uint32_t customer;	   /* his first entry of traffic, or SCENARIO_NOBODY */
	int sticky;		   /* 1: a message meets it at every attempt or at none */
};

struct scenario_penalty {
	uint32_t count;	     /* so many replies over a limit … 0: no penalty, or by part */
	double part;	     /* … or such a part of what the limits let through in it … */
	uint64_t window_ns;  /* … within this time block the source … */
	uint64_t hold_ns;    /* … for this long, … */
	double repeat;	     /* … each time so many times longer, … */
	uint64_t prolong_ns; /* … and for so long from each attempt meanwhile; 0: no longer */
	const char *reply;
};

/* A block that nothing but time brought about. */
struct scenario_block {
	uint64_t at_ns;
	uint64_t for_ns;
	uint64_t prolong_ns; /* it lasts so long from each attempt; 0: no longer */
	const char *address; /* NULL: of every source */
	uint32_t source;     /* or SCENARIO_NOBODY: of every one */
	const char *reply;
};

/* What the limits gain by a day on which most of what they let through was used. */
struct scenario_growth {
	double factor; /* 0: nothing */
	double used;   /* the part of it that must be */
	int of;	       /* enum scenario_grows */
	uint32_t max;  /* messages a day that it ends at; 0: none */
};

enum scenario_grows { SCENARIO_GROWS_DAY, SCENARIO_GROWS_CAPS, SCENARIO_GROWS_ALL };

/* Instead of a limit that is hard: refusals with a chance that rises from none to certainty while
 * the load, as a part of the rate, rises from one to the other. */
struct scenario_soft {
	double from;
	double full; /* 0: hard */
};

struct scenario_history {
	double factor; /* 0: does not look at history */
	double floor;  /* messages an hour that are always fine */
	const char *over;
};

/* What is taken in a day by what was accepted on the days before. */
struct scenario_allowance {
	uint32_t base; /* messages a day that are always fine; 0: does not look at it */
	double factor; /* times the most accepted on one of the last … */
	uint64_t days; /* … days */
	double growth; /* more tries than so many times that most are punished; 0: none are … */
	double tolerance; /* … nor more than so many times what is taken; 0: none are */
	uint64_t hold_ns; /* how long it is blocked then */
	const char *reply;
};

struct scenario_greylist {
	uint64_t delay_ns; /* 0: no greylisting */
	const char *reply;
};

struct scenario_receiver {
	const char *destination;
	const char *same_as; /* NULL: a receiver of its own */
	uint32_t host;	     /* the receiver that decides, itself where it is one of its own */
	int per;	     /* enum scenario_per */
	struct scenario_accept accept;
	int sliding;	   /* 1: the windows of hour and day slide, in steps of a sixtieth */
	uint64_t phase_ns; /* the windows begin that long after the clock's hour and day */
	const char *over[SCENARIO_LIMITS];
	uint64_t latency_ns;
	uint64_t latency_full_ns;    /* at a load of the rate; 0: as without load */
	uint64_t latency_refused_ns; /* of a refusal; 0: as of any reply */
	uint64_t timeout_ns;	     /* of the sender */
	struct scenario_soft soft;
	struct scenario_growth growth;
	struct scenario_penalty penalty;
	struct scenario_history history;
	struct scenario_allowance allowance;
	struct scenario_greylist greylist;
	struct scenario_noise *noises;
	uint32_t noise_count;
	struct scenario_change *changes; /* in the order of time */
	uint32_t change_count;
	const struct scenario_outage *outages;
	uint32_t outage_count;
	struct scenario_block *blocks;
	uint32_t block_count;
};

struct scenario_workers {
	int sleep;	/* 1: each has a queue and a connection of its own, and sleeps */
	uint64_t count; /* for each source */
};

/* A time without the sidecar: workers go on by its last word, unless the machine is down. */
struct scenario_restart {
	uint64_t at_ns;
	uint64_t for_ns;
	int reboot; /* 1: it is, and the segment is gone */
};

/* What each source of a pool had sent to a receiver before the run: the largest minute, hour and day
 * of it. The gate is told of it, as `tollgate seed` tells it. */
struct scenario_before {
	const char *pool_name;	 /* NULL: every source */
	const char *destination; /* NULL: every receiver */
	uint64_t minute, hour, day;
};

struct scenario {
	uint64_t duration_ns;
	uint64_t seed;
	struct scenario_workers workers;
	struct scenario_restart *restarts; /* in the order of time, apart from each other */
	uint32_t restart_count;
	uint32_t source_count;
	uint32_t traffic_count;
	uint32_t receiver_count;
	uint32_t pool_count;
	uint64_t message_count;
	struct scenario_source *sources;
	struct scenario_traffic *traffic;
	struct scenario_receiver *receivers;
	struct scenario_before *befores;
	uint32_t before_count;
};

/* Whether this in place of a reply is none. */
bool scenario_silent(const char *reply);

#endif
