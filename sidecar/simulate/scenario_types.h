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

#define SCENARIO_SOURCES_MAX   1024
#define SCENARIO_RECEIVERS_MAX 64
#define SCENARIO_TRAFFIC_MAX   256
#define SCENARIO_MESSAGES_MAX  20000000u
#define SCENARIO_DURATION_MAX  (UINT64_C(400) * 86400 * 1000000000)
#define SCENARIO_PENALTY_MAX   100000u

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
	SCENARIO_LIMITS
};

struct scenario_source {
	const char *address;
	const char *pool_name;
	uint32_t pool;
};

struct scenario_traffic {
	const char *pool_name;	 /* NULL: not written */
	const char *destination; /* likewise */
	uint32_t pool;
	uint32_t receiver;
	enum tg_class class;
	enum scenario_arrival arrival;
	uint64_t messages;
	uint64_t start_ns;
	uint64_t over_ns;
};

/* What a receiver takes of each source, hidden from the gate. */
struct scenario_accept {
	double rate;		 /* messages a second; infinite: unlimited */
	double burst;		 /* messages, at least 1 */
	uint32_t connections;	 /* at once; 0: unlimited */
	uint32_t per_connection; /* messages; 0: unlimited */
	uint32_t hour;		 /* messages in the receiver's hour; 0: unlimited */
	uint32_t day;
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
};

struct scenario_penalty {
	uint32_t count;	    /* so many replies over a limit … 0: no penalty */
	uint64_t window_ns; /* … within this time block the source … */
	uint64_t hold_ns;   /* … for this long, … */
	double repeat;	    /* … each time so many times longer */
	const char *reply;
};

struct scenario_history {
	double factor; /* 0: does not look at history */
	double floor;  /* messages an hour that are always fine */
	const char *over;
};

struct scenario_greylist {
	uint64_t delay_ns; /* 0: no greylisting */
	const char *reply;
};

struct scenario_receiver {
	const char *destination;
	struct scenario_accept accept;
	int sliding;	   /* 1: the windows of hour and day slide, in steps of a sixtieth */
	uint64_t phase_ns; /* the windows begin that long after the clock's hour and day */
	const char *over[SCENARIO_LIMITS];
	uint64_t latency_ns;
	struct scenario_penalty penalty;
	struct scenario_history history;
	struct scenario_greylist greylist;
	const struct scenario_noise *noises;
	uint32_t noise_count;
	struct scenario_change *changes; /* in the order of time */
	uint32_t change_count;
	const struct scenario_outage *outages;
	uint32_t outage_count;
};

struct scenario {
	uint64_t duration_ns;
	uint64_t seed;
	uint32_t source_count;
	uint32_t traffic_count;
	uint32_t receiver_count;
	uint32_t pool_count;
	uint64_t message_count;
	struct scenario_source *sources;
	struct scenario_traffic *traffic;
	struct scenario_receiver *receivers;
};

#endif
