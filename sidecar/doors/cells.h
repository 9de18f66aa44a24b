/* SPDX-License-Identifier: MIT
 *
 * Throttles by name, as the command CL.THROTTLE of redis-cell has them: the generic cell rate
 * algorithm, five numbers for an answer, seconds rounded as there.
 *
 * They are bounded in number. A throttle whose state is that of one never asked is as good as none:
 * it is dropped within a minute, or when its place is needed.
 */
#ifndef SIDECAR_DOORS_CELLS_H
#define SIDECAR_DOORS_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/tollgate.h"

#define CELL_NAME_MAX 512

/* What the arguments of the command say. */
struct cell_quota {
	int64_t max_burst; /* beyond the first */
	int64_t count;	   /* in a period */
	int64_t period_s;
	int64_t quantity; /* asked for; 0: only looks */
};

struct cell_answer {
	bool limited;
	int64_t limit;
	int64_t remaining;
	int64_t retry_after_s; /* -1: not limited, or never */
	int64_t reset_after_s;
};

/* One throttle. */
struct cell {
	int64_t tat_ns;	     /* when it is as if it had never been asked */
	struct tg_flow flow; /* of a name that is a flow; for gatekeeper.c */
	uint64_t generation; /* of the flow's resolution; 0: none */
	struct cell *next;
	uint64_t hash;
	uint32_t length;
	char name[];
};

/* What a throttle in that state would answer, and in *ret_tat_ns what its state would then be. 0,
 * or -EINVAL: the quota's rate is none (nothing in a period, or more than one a nanosecond);
 * -ERANGE: its numbers are too large. */
int cell_decide(const struct cell_quota *quota, int64_t tat_ns, int64_t now_ns,
		struct cell_answer *ret, int64_t *ret_tat_ns);

struct cells;

int cells_create(uint32_t max, struct cells **ret);
void cells_free(struct cells *cells); /* NULL is fine */

/* The throttle of that name, made if it is new: it lives until the next call. NULL: there is no
 * room, or no memory. */
struct cell *cells_get(struct cells *cells, const char *name, size_t length, int64_t now_ns);

/* Drops a sixtieth part of those that are over: to be called once a second. */
void cells_sweep(struct cells *cells, int64_t now_ns);

uint32_t cells_count(const struct cells *cells);

#endif
