/* SPDX-License-Identifier: MIT
 *
 * A table of chains that never grows, so that no request pays for a new one. The arithmetic is that
 * of redis-cell 0.3, in whole nanoseconds; its numbers are cut where it cuts them.
 */
#include "sidecar/doors/cells.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "shm/hash.h"

#define SECOND_NS  INT64_C(1000000000)
#define SPAN_MAX   (INT64_MAX / 4) /* so that no sum of a few overflows: 73 years */
#define SWEEPS	   60
#define LOOK_CELLS 256 /* for a place, before a new throttle is refused */

struct cells {
	struct cell **chains;
	uint64_t mask;
	uint64_t sweep; /* the next chain to be looked at */
	uint32_t count, max;
	uint64_t seed[4];
};

/* ---- the arithmetic -------------------------------------------------------------------------- */

/* Whole seconds, and one more where a millisecond of another has begun. */
static int64_t seconds_of(int64_t ns)
{
	return ns / SECOND_NS + (ns % SECOND_NS >= 1000000);
}

/* Of what is left of the tolerance, in emission intervals; both cut to microseconds. */
static int64_t remaining_of(int64_t left_ns, int64_t interval_ns)
{
	int64_t left_us = left_ns / 1000, interval_us = interval_ns / 1000;

	if (left_ns <= -interval_ns || left_us == 0)
		return 0;
	if (interval_us == 0)
		return left_us > 0 ? INT64_MAX : INT64_MIN;
	return left_us / interval_us;
}

static int quota_read(const struct cell_quota *quota, int64_t *ret_interval_ns,
		      int64_t *ret_tolerance_ns, int64_t *ret_increment_ns)
{
	int64_t period_ns, burst;

	if (quota->count <= 0 || quota->period_s <= 0)
		return -EINVAL;
	if (quota->quantity < 0 || quota->max_burst < 0 ||
	    __builtin_mul_overflow(quota->period_s, SECOND_NS, &period_ns) ||
	    __builtin_add_overflow(quota->max_burst, 1, &burst))
		return -ERANGE;
	*ret_interval_ns = (int64_t)((double)period_ns / (double)quota->count);
	if (*ret_interval_ns == 0)
		return -EINVAL;
	if (__builtin_mul_overflow(*ret_interval_ns, burst, ret_tolerance_ns) ||
	    __builtin_mul_overflow(*ret_interval_ns, quota->quantity, ret_increment_ns) ||
	    *ret_tolerance_ns > SPAN_MAX || *ret_increment_ns > SPAN_MAX)
		return -ERANGE;
	return 0;
}

int cell_decide(const struct cell_quota *quota, int64_t tat_ns, int64_t now_ns,
		struct cell_answer *ret, int64_t *ret_tat_ns)
{
	int64_t interval_ns, tolerance_ns, increment_ns, next_ns, ahead_ns, ttl_ns;
	int error = quota_read(quota, &interval_ns, &tolerance_ns, &increment_ns);

	if (error)
		return error;
	tat_ns = tat_ns > now_ns ? tat_ns : now_ns;
	if (tat_ns - now_ns > SPAN_MAX)
		return -ERANGE;
	next_ns = tat_ns + increment_ns;
	ahead_ns = next_ns - now_ns - tolerance_ns;
	*ret = (struct cell_answer){
		.limited = ahead_ns > 0, .limit = quota->max_burst + 1, .retry_after_s = -1};
	if (ret->limited && increment_ns <= tolerance_ns)
		ret->retry_after_s = seconds_of(ahead_ns);
	*ret_tat_ns = ret->limited ? tat_ns : next_ns;
	ttl_ns = *ret_tat_ns - now_ns;
	ret->remaining = remaining_of(tolerance_ns - ttl_ns, interval_ns);
	ret->reset_after_s = seconds_of(ttl_ns);
	return 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

int cells_create(uint32_t max, struct cells **ret)
{
	struct cells *cells = calloc(1, sizeof(*cells));
	uint64_t chains = 64;

	while (chains < max)
		chains *= 2;
	if (cells)
		cells->chains = calloc(chains, sizeof(struct cell *));
	if (cells == NULL || cells->chains == NULL) {
		free(cells);
		return -ENOMEM;
	}
	cells->max = max;
	cells->mask = chains - 1;
	/* Without random bytes it is a table all the same. */
	if (getrandom(cells->seed, sizeof(cells->seed), GRND_NONBLOCK) < 0)
		cells->seed[0] = (uintptr_t)cells;
	*ret = cells;
	return 0;
}

static uint32_t chain_sweep(struct cells *cells, uint64_t chain, int64_t now_ns)
{
	struct cell **at = &cells->chains[chain];
	uint32_t looked = 1;

	for (; *at != NULL; looked++) {
		struct cell *cell = *at;

		if (cell->tat_ns > now_ns) {
			at = &cell->next;
			continue;
		}
		*at = cell->next;
		cells->count--;
		free(cell);
	}
	return looked;
}

void cells_free(struct cells *cells)
{
	if (cells == NULL)
		return;
	for (uint64_t chain = 0; chain <= cells->mask; chain++)
		chain_sweep(cells, chain, INT64_MAX);
	free(cells->chains);
	free(cells);
}

void cells_sweep(struct cells *cells, int64_t now_ns)
{
	uint64_t chains = cells->mask / SWEEPS + 1;

	for (uint64_t i = 0; i < chains; i++)
		chain_sweep(cells, cells->sweep++ & cells->mask, now_ns);
}

static bool room_make(struct cells *cells, int64_t now_ns)
{
	for (uint32_t looked = 0; cells->count >= cells->max && looked < LOOK_CELLS;)
		looked += chain_sweep(cells, cells->sweep++ & cells->mask, now_ns);
	return cells->count < cells->max;
}

struct cell *cells_get(struct cells *cells, const char *name, size_t length, int64_t now_ns)
{
	uint64_t hash = hash_bytes(0, name, length, cells->seed).half[0];
	struct cell *cell = cells->chains[hash & cells->mask];

	while (cell && (cell->hash != hash || cell->length != length ||
			memcmp(cell->name, name, length) != 0))
		cell = cell->next;
	if (cell || length > CELL_NAME_MAX || !room_make(cells, now_ns))
		return cell;
	cell = calloc(1, sizeof(*cell) + length);
	if (cell == NULL)
		return NULL;
	cell->hash = hash;
	cell->length = (uint32_t)length;
	memcpy(cell->name, name, length);
	cell->next = cells->chains[hash & cells->mask];
	cells->chains[hash & cells->mask] = cell;
	cells->count++;
	return cell;
}

uint32_t cells_count(const struct cells *cells)
{
	return cells->count;
}
