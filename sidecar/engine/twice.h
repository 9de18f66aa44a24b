/* SPDX-License-Identifier: MIT
 *
 * What is heard twice counts once.
 *
 * An outcome may reach us by several ways: the MTA's filter, its log, the gate in the kernel. None
 * says which of the others' it is, but each tells the same of it: between which addresses, what was
 * answered, and when. So like ones are counted: within some seconds the n-th of a kind that one way
 * tells is the n-th that any tells. Of ways that both tell all, none is lost and none counts twice,
 * in whatever order they come; of ways that each miss some, at most as many are taken for one as one
 * of them has told.
 *
 * The places are bounded; what is driven out may count twice.
 */
#ifndef SIDECAR_ENGINE_TWICE_H
#define SIDECAR_ENGINE_TWICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TWICE_WAYS    4
#define TWICE_SPAN_NS UINT64_C(5000000000) /* stamps of a log may be whole seconds */

struct heard_twice;

int twice_create(struct heard_twice **ret);
void twice_free(struct heard_twice *twice); /* NULL is fine */

/* Is this one, told by a way that is below TWICE_WAYS, the first of its kind and number? time_ns:
 * when it happened. */
bool twice_first(struct heard_twice *twice, uint64_t kind, unsigned way, uint64_t time_ns);

static inline uint64_t twice_mix(uint64_t kind, uint64_t word)
{
	unsigned __int128 product = (unsigned __int128)(kind ^ UINT64_C(0x9E3779B97F4A7C15)) *
				    (word ^ UINT64_C(0xD1B54A32D192ED03));

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t twice_mix_bytes(uint64_t kind, const void *bytes, size_t length)
{
	for (const unsigned char *at = bytes, *end = at + length; at < end; at++)
		kind = (kind ^ *at) * UINT64_C(0x100000001B3);
	return twice_mix(kind, length);
}

#endif
