/* SPDX-License-Identifier: MIT
 *
 * What was learned of a flow, and its effects, as bytes for the store. Pure.
 *
 * A life is its values, as numbers of variable length, in the order of a list of names that is kept
 * beside them: another version finds by name what it knows, whatever stands between. Effects are
 * numbers and texts in a fixed order, each with its count first: new ones go to the end. Times are
 * of the wall clock there, of the monotonic clock here; wall_offset_ns is their difference.
 */
#ifndef SIDECAR_ENGINE_SAVED_H
#define SIDECAR_ENGINE_SAVED_H

#include "sidecar/control/saved.h"
#include "sidecar/engine/engine.h"

#define SAVED_VALUES	  (CONTROL_VALUES + 11)
#define SAVED_NAMES_BYTES (SAVED_VALUES * (CONTROL_VALUE_NAME + 1))
#define SAVED_NUMBER	  10 /* bytes of the longest */
#define SAVED_LIFE_BYTES  (SAVED_VALUES * SAVED_NUMBER)
#define SAVED_EFFECT_BYTES \
	(CONSTRAINTS * (8 * SAVED_NUMBER + CONSTRAINT_NAME + CONSTRAINT_WHY) + SAVED_NUMBER)

/* The names of this version's values, a blank between two. Returns text. */
const char *saved_names(char text[SAVED_NAMES_BYTES]);

/* Where the values of a list of names belong here. */
struct saved_map {
	uint32_t count;
	bool whole;		      /* none of this version's is missing */
	int16_t to[4 * SAVED_VALUES]; /* -1: nowhere */
};

/* -E2BIG: more names than any version may have. */
int saved_map_read(const char *names, struct saved_map *ret);

/* Return the length. */
size_t saved_life_write(const struct engine_life *life, int64_t wall_offset_ns,
			uint8_t bytes[SAVED_LIFE_BYTES]);
size_t saved_effects_write(const struct constraint constraints[CONSTRAINTS], int64_t wall_offset_ns,
			   uint64_t now_ns, uint8_t bytes[SAVED_EFFECT_BYTES]);

/* `life` holds what a flow begins with, and what is found in addition. False: the bytes are damaged,
 * and it is as it was. */
bool saved_life_read(const uint8_t *bytes, size_t length, const struct saved_map *map,
		     int64_t wall_offset_ns, struct engine_life *life);
bool saved_effects_read(const uint8_t *bytes, size_t length, int64_t wall_offset_ns,
			struct constraint ret[CONSTRAINTS]);

/* A limit that sources share: numbers with their count first, and where one controller has them all,
 * a life of which that controller alone counts. */
#define SAVED_SHARED_NUMBERS 8
#define SAVED_SHARED_BYTES   ((SAVED_SHARED_NUMBERS + 1) * (size_t)SAVED_NUMBER + SAVED_LIFE_BYTES)
size_t saved_shared_write(const struct engine_shared *shared, int64_t wall_offset_ns,
			  uint8_t bytes[SAVED_SHARED_BYTES]);
/* `ret` holds a controller as it begins. False: as saved_life_read. */
bool saved_shared_read(const uint8_t *bytes, size_t length, const struct saved_map *map,
		       int64_t wall_offset_ns, struct engine_shared *ret);

/* How a flow warms up: numbers in a fixed order with their count first, then days with mail, each
 * the same way. Days are of the calendar, and need no clock; refusals under way are not kept. */
#define SAVED_WARMUP_NUMBERS 10
#define SAVED_WARMUP_BYTES   ((SAVED_WARMUP_NUMBERS + 2 + WARMUP_DAYS * 7) * (size_t)SAVED_NUMBER)
size_t saved_warmup_write(const struct warmup *warmup, uint8_t bytes[SAVED_WARMUP_BYTES]);
bool saved_warmup_read(const uint8_t *bytes, size_t length, struct warmup *ret);

/* A time of the wall clock by the monotonic one: 0 (none) and UINT64_MAX (for ever) stay; one
 * before the boot is the earliest there is. */
uint64_t saved_time_from_wall(uint64_t wall_ns, int64_t wall_offset_ns);

#endif
