/* SPDX-License-Identifier: MIT
 *
 * One worker process of the fleet: a queue of messages, a connection to each destination, a retry
 * schedule, and, if told so, the gate.
 *
 * With and without the gate it is the same worker with the same traffic: transactional mail first,
 * what was deferred is tried again later and later. The gate only decides when something may be
 * tried.
 */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include <stdint.h>
#include <sys/socket.h>

#include "bench/lib/fixed.h"
#include "shm/tollgate.h"

#define WORKER_ROUTES 64

/* A destination: the name that the gate knows it by, and where its model listens. */
struct worker_route {
	char name[256];
	struct sockaddr_storage peer;
};

struct worker_plan {
	const char *source; /* address */
	const struct worker_route *routes;
	uint32_t route_count;
	uint32_t bulk, transactional;	 /* messages of this worker */
	const char *segment;		 /* NULL: no gate */
	struct fixed *fixed;		 /* of each route; NULL: no fixed limit */
	uint64_t begin_ns, end_ns;	 /* of the run */
	uint64_t arrive_ns;		 /* transactional mail arrives evenly until begin + this */
	uint64_t retry_ns, retry_max_ns; /* the first wait of a deferred message, and the longest */
	uint64_t seed;
};

/* What a worker has done; in memory shared with the parent, which reads while the worker writes:
 * each word is valid by itself, and only shown. */
struct worker_tally {
	uint64_t delivered[TG_CLASSES];
	uint64_t deferred, bounced,
		unreachable; /* 4xx, 5xx, no connection came about or it broke */
	uint64_t attempts, connections;
	uint64_t verdicts[TG_REASONS]; /* of tg_reserve and tg_connect */
	uint64_t waiting;	       /* messages that have arrived and are not delivered */
	uint64_t error;		       /* an errno that ended the worker */
	uint32_t delay_count, delay_room;
	uint32_t delay_ms[]; /* of transactional messages; undelivered: their age at the end */
};

/* Runs until everything is delivered or end_ns has come. Returns 0 or -errno. Reads the clock,
 * sleeps. */
int worker_run(const struct worker_plan *plan, struct worker_tally *tally);

#endif
