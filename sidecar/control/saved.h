/* SPDX-License-Identifier: MIT
 *
 * A flow's control as values with names, for what outlives the machine: another version finds by
 * name what it knows, and begins the rest as it begins. Pure.
 */
#ifndef SIDECAR_CONTROL_SAVED_H
#define SIDECAR_CONTROL_SAVED_H

#include <string.h>

#include "sidecar/control/control.h"

#define CONTROL_VALUES	   (81 + 2 * REFUSED_CLASSES)
#define CONTROL_VALUE_NAME 48

/* As a float is kept: its bits. */
static inline uint64_t control_bits_of(float number)
{
	uint32_t bits;

	memcpy(&bits, &number, sizeof(bits));
	return bits;
}

static inline float control_float_of(uint64_t bits)
{
	uint32_t half = (uint32_t)bits;
	float number;

	memcpy(&number, &half, sizeof(number));
	return number;
}

/* What the clock is to a value: a state is moved from one boot of the machine to the next. */
enum control_value_kind {
	CONTROL_PLAIN,
	CONTROL_STAMP, /* hundredths of a second, modulo 2^32 */
	CONTROL_TIME,  /* nanoseconds; 0: none */
};

/* The i-th value's name, written to text, and its kind. */
enum control_value_kind control_value(unsigned i, char text[CONTROL_VALUE_NAME]);

/* The values as they stand; floats as their bits. */
void control_save(const struct control_state *state, uint64_t values[CONTROL_VALUES]);

/* A state of values. False: no state can have them, and *state is as it was. */
bool control_load(struct control_state *state, const uint64_t values[CONTROL_VALUES]);

#endif
