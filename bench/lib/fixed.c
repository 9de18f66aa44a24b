/* SPDX-License-Identifier: MIT
 *
 * A sliding window: see fixed.h.
 */
#include "bench/lib/fixed.h"

#include <errno.h>

int fixed_init(struct fixed *fixed, uint32_t count, uint64_t window_ns)
{
	pthread_mutexattr_t attributes;
	int error;

	if (count == 0 || count > FIXED_MAX || window_ns == 0)
		return -EINVAL;
	fixed->count = count;
	fixed->window_ns = window_ns;
	error = pthread_mutexattr_init(&attributes);
	if (error)
		return -error;
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	error = pthread_mutex_init(&fixed->lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
	return -error;
}

bool fixed_take(struct fixed *fixed, uint64_t now_ns, uint64_t *ret_ns)
{
	uint64_t *oldest;
	bool room;

	pthread_mutex_lock(&fixed->lock);
	oldest = &fixed->taken_ns[fixed->taken % fixed->count];
	room = fixed->taken < fixed->count || now_ns - *oldest >= fixed->window_ns;
	*ret_ns = room ? now_ns : *oldest + fixed->window_ns;
	if (room) {
		*oldest = now_ns;
		fixed->taken++;
	}
	pthread_mutex_unlock(&fixed->lock);
	return room;
}
