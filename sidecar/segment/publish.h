/* SPDX-License-Identifier: MIT
 *
 * Writing limits so that no reader ever sees a state that allows more than the old or the new ones.
 *
 * Each word is valid by itself; what this file adds is the order, and that what has been used stays
 * used: when an interval changes, the state in `counters` is converted by compare-and-swap, so that
 * the debt in messages is kept. Until then workers charge the old price: a state says by its epoch
 * which one holds (shm/gcra.h). tests/test_explore_change.c goes through every schedule.
 */
#ifndef SIDECAR_SEGMENT_PUBLISH_H
#define SIDECAR_SEGMENT_PUBLISH_H

#include "sidecar/segment/segment.h"

#define PUBLISH_NO_CAP UINT32_MAX

/* A slot's limits in plain numbers. A zeroed struct lets nothing pass; publish_unlimited lets all.
 */
struct publish_limits {
	uint64_t interval_ns;	       /* a message; 0: unlimited */
	uint32_t burst[TG_CLASSES];    /* transactional >= engaged >= bulk: the rest is reserve */
	uint64_t hold_until_ns;	       /* for all; 0: none */
	uint64_t hold_lower_ns;	       /* for engaged and bulk, if later */
	uint32_t hour_cap[TG_CLASSES]; /* PUBLISH_NO_CAP: none */
	uint32_t day_cap[TG_CLASSES];
	uint32_t hour_phase_s;	/* < 3600 */
	uint32_t day_phase_min; /* < 1440 */
	uint32_t flags; /* LAYOUT_SOURCE, _DESTINATION, _REPORT_DELIVERED, _COUNT_RECIPIENTS */
	uint64_t connection_interval_ns; /* 0: unlimited */
	uint32_t connection_burst;
	uint32_t connections[TG_CLASSES]; /* at once; 0: unlimited; at most 65534 */
	uint32_t per_connection;	  /* 0: unlimited; at most 65535 */
};

void publish_unlimited(struct publish_limits *limits);

/* The limits that hold for a slot: its own, or the defaults of its kind or destination. */
struct publish_in_force {
	const struct layout_limits *limits;
	const struct layout_limits_more *more;
};

struct publish_in_force publish_in_force(const struct segment *segment, uint32_t slot);

/* The limits that hold for a slot, in plain numbers: rate, holds, caps, connections. */
void publish_read(const struct segment *segment, uint32_t slot, struct publish_limits *ret);

/* Puts limits in force for a slot. A decision under way meanwhile is charged at the old price or at
 * the new one, and counts once. Returns true if anything changed. */
bool publish_slot(struct segment *segment, uint32_t slot, const struct publish_limits *limits,
		  uint64_t now_ns);

/* The defaults that hold for slots nobody has filled yet: by kind (enum layout_default), or in the
 * record that a destination has. */
void publish_default(struct segment *segment, uint32_t index, const struct publish_limits *limits);

/* Which defaults the flows of a destination slot have: its own record, or LAYOUT_DEFAULT_FLOW. */
uint32_t publish_default_index(const struct segment *segment, uint32_t destination_slot);

/* Gives the flows of a destination slot, which had the general defaults, defaults of their own, in
 * a record that no other destination has. It is in the epochs that follow the general ones, so that
 * what was charged so far is known; therefore the destination keeps it for good, whatever
 * publish_default puts there. */
void publish_default_own(struct segment *segment, uint32_t destination_slot, uint32_t index,
			 const struct publish_limits *limits);

/* A new configuration is in force. */
void publish_generation(struct segment *segment);

#endif
