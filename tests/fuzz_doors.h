/* SPDX-License-Identifier: MIT
 *
 * Any bytes as what a client of a door sends: in pieces, as a listener hands them on. A program a
 * protocol makes the door and calls fuzz_door().
 */
#ifndef TESTS_FUZZ_DOORS_H
#define TESTS_FUZZ_DOORS_H

#include <stdlib.h>
#include <string.h>

#include "sidecar/serve/listener.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte says how long the pieces are. Whatever they are, no more is taken than there is,
 * answers stay bounded, and a request that was not all there is not taken. */
static inline void fuzz_door(const struct listener_protocol *protocol, void *door,
			     const uint8_t *data, size_t size)
{
	static char state[256] __attribute__((aligned(16)));
	struct listener_answer answer = {0};
	size_t piece, begin = 0, end = 0;
	uint64_t requests = 0;

	if (size == 0 || protocol->state_size > sizeof(state))
		return;
	memset(state, 0, sizeof(state));
	piece = (size_t)data[0] * 4 + 1;
	data++;
	size--;
	while (end < size) {
		size_t length;
		char *bytes;
		ssize_t taken;

		end = size - end < piece ? size : end + piece;
		length = end - begin;
		bytes = malloc(length); /* of that size, so that a byte too far is seen */
		if (bytes == NULL)
			abort();
		memcpy(bytes, data + begin, length);
		answer.length = 0;
		taken = protocol->take(door, state, bytes, length, &answer, &requests);
		free(bytes);
		if (taken < 0 && taken != LISTENER_END && taken != LISTENER_BAD)
			abort();
		if (taken > (ssize_t)length || answer.failed ||
		    answer.length > LISTENER_ANSWER_MAX + 65536)
			abort();
		if (taken < 0 || (taken == 0 && length >= protocol->request_max))
			break;
		begin += (size_t)taken;
	}
	listener_answer_free(&answer);
}

#endif
