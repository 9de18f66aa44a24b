/* SPDX-License-Identifier: MIT
 *
 * Numbers that look random and are the same everywhere: for models, loads and tests, never for what
 * nobody may guess (that is the kernel's).
 *
 * splitmix64 (Steele, Lea, Flood 2014): a word of state, which may begin as any number.
 */
#ifndef SIDECAR_BASE_RANDOM_H
#define SIDECAR_BASE_RANDOM_H

#include <stdint.h>

/* The number that follows from x: to be asked for by name, out of order. */
static inline uint64_t random_of(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static inline uint64_t random_next(uint64_t *state)
{
	uint64_t before = *state;

	*state += UINT64_C(0x9e3779b97f4a7c15);
	return random_of(before);
}

/* Within [0, below). Of the small numbers that we ask for, none is likelier than another by more than
 * 2^-32. */
static inline uint64_t random_below(uint64_t *state, uint64_t below)
{
	return random_next(state) % below;
}

/* A number as a share: within [0, 1). */
static inline double random_share(uint64_t number)
{
	return (double)(number >> 11) * 0x1p-53;
}

#endif
