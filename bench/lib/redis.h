/* SPDX-License-Identifier: MIT
 *
 * A Redis server of our own on a Unix socket, without persistence, and rate limiters on it as
 * people write them: the peers of the suite.
 *
 * The same client asks the door of a tollgated: a redis_server of which socket alone is filled.
 *
 * Functions return 0 or -errno. One connection, one user.
 */
#ifndef BENCH_REDIS_H
#define BENCH_REDIS_H

#include <stdint.h>
#include <sys/types.h>

struct redis_server {
	pid_t pid;
	char folder[64];
	char socket[80];
	char log[80];
};

/* Starts a server and waits until it listens. -ENOENT: it is not installed (package redis-tools).
 * -ECHILD: it ended before; its log is told on standard error. Stop it with redis_stop. */
int redis_start(struct redis_server *server);
void redis_stop(struct redis_server *server);

enum redis_limiter {
	REDIS_SORTED_SET, /* a time stamp a message in a sorted set: MULTI, remove the old, count,
			     add, expire, EXEC */
	REDIS_GCRA,	  /* the generic cell rate algorithm in a Lua script, EVALSHA */
	REDIS_CELL,	  /* CL.THROTTLE, which redis-cell has, and tollgated's door */
	REDIS_LIMITERS
};

struct redis_client;

int redis_connect(const struct redis_server *server, enum redis_limiter limiter,
		  struct redis_client **ret);
void redis_close(struct redis_client *client);

/* `depth` decisions on random ones of `flows` keys, all sent before the first answer is read; 10 a
 * minute each. Adds to *ret_admitted. */
int redis_decide(struct redis_client *client, uint32_t depth, uint32_t flows,
		 uint64_t *ret_admitted);

#endif
