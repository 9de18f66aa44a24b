/* SPDX-License-Identifier: MIT
 *
 * The limiter that people build: so many messages in a window of fixed length for each pair of
 * sending IP and destination, whatever the receiver answers.
 *
 * It is the sorted set of Redis: the times of what was sent within the window. One stands in memory
 * that all workers of a source share.
 */
#ifndef BENCH_FIXED_H
#define BENCH_FIXED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define FIXED_MAX 4096 /* messages in a window */

struct fixed {
	pthread_mutex_t lock;
	uint32_t count; /* messages in a window: 1 to FIXED_MAX */
	uint64_t window_ns;
	uint64_t taken; /* messages so far */
	uint64_t taken_ns[FIXED_MAX];
};

/* In memory that is shared and zeroed. */
int fixed_init(struct fixed *fixed, uint32_t count, uint64_t window_ns);

/* Takes one message. False: *ret_ns is when there is room again, if nobody else comes. */
bool fixed_take(struct fixed *fixed, uint64_t now_ns, uint64_t *ret_ns);

#endif
