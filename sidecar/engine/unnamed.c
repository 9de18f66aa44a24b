/* SPDX-License-Identifier: MIT
 *
 * Flows that workers claimed and whose announcement found the ring full: found without being told.
 *
 * A key says nothing of what it was made from, but it is made from those of a source and a
 * destination that are known. So the directory is gone through for slots of which nothing is known,
 * and then the pairs of known sources and destinations for one that fits: a piece at a time, a
 * million pairs a second, ten seconds' rest between two rounds. (A worker keeps the names of the
 * others until it could say them, see shm/unsaid.h; and a flow tells of its source.)
 */
#include <stdlib.h>
#include <string.h>

#include "sidecar/engine/engine.h"
#include "sidecar/engine/state.h"

#define SECOND_NS UINT64_C(1000000000)
#define REST_NS	  (10 * SECOND_NS)
#define TURNS	  64	/* a second */
#define SLOTS	  32768 /* a turn: well below a millisecond */
#define PAIRS	  16384
#define FOUND_MAX 65536 /* a round; a power of two */

enum part { RESTING, SCANNING, PAIRING };

struct engine_unnamed {
	enum part part;
	uint64_t rest_until_ns;
	uint32_t turns; /* that are left of this second */
	uint32_t slot;	/* the next to be looked at */
	uint32_t found;
	uint32_t table[2 * FOUND_MAX]; /* slot + 1, by key */
	uint32_t *sources, *destinations;
	uint32_t source_count, destination_count;
	uint32_t source, destination; /* the next pair */
};

int engine_unnamed_create(struct engine_unnamed **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -1;
}

static void pairs_forget(struct engine_unnamed *u)
{
	free(u->sources);
	free(u->destinations);
	u->sources = u->destinations = NULL;
	u->source_count = u->destination_count = 0;
}

void engine_unnamed_free(struct engine_unnamed *u)
{
	if (u)
		pairs_forget(u);
	free(u);
}

void engine_unnamed_restart(struct engine_unnamed *u)
{
	pairs_forget(u);
	u->part = RESTING;
	u->rest_until_ns = 0;
}

static uint64_t key_half(const struct engine *e, uint32_t slot, int half)
{
	return atomic_load_explicit(&e->segment->view.counters[slot].key[half],
				    memory_order_relaxed);
}

static uint32_t *place_of(struct engine_unnamed *u, const struct engine *e, uint64_t first)
{
	uint32_t at = (uint32_t)(first >> 20) % (2 * FOUND_MAX);

	while (u->table[at] && key_half(e, u->table[at] - 1, 0) != first)
		at = (at + 1) % (2 * FOUND_MAX);
	return &u->table[at];
}

/* ---- the directory --------------------------------------------------------------------------- */

static void round_begin(struct engine_unnamed *u)
{
	/* Half a megabyte, and there is seldom anything in it. */
	if (u->found)
		memset(u->table, 0, sizeof(u->table));
	u->slot = u->found = 0;
	u->part = SCANNING;
}

static void rest(struct engine_unnamed *u, uint64_t now_ns)
{
	pairs_forget(u);
	u->part = RESTING;
	u->rest_until_ns = now_ns + REST_NS;
}

/* Known sources and destinations, as they are now. */
static bool pairs_begin(const struct engine *e, struct engine_unnamed *u)
{
	uint32_t known = segment_count(e->segment);

	u->sources = malloc((known + 1) * sizeof(*u->sources));
	u->destinations = malloc((known + 1) * sizeof(*u->destinations));
	if (u->sources == NULL || u->destinations == NULL)
		return false;
	for (uint32_t i = 0; i < known; i++) {
		uint32_t slot = segment_nth(e->segment, i);

		if (segment_kind(e->segment, slot) == SEGMENT_SOURCE)
			u->sources[u->source_count++] = slot;
		if (segment_kind(e->segment, slot) == SEGMENT_DESTINATION)
			u->destinations[u->destination_count++] = slot;
	}
	u->source = u->destination = 0;
	u->part = PAIRING;
	return u->source_count && u->destination_count;
}

static void slot_see(const struct engine *e, struct engine_unnamed *u, uint32_t slot)
{
	uint64_t first = key_half(e, slot, 0);

	if (first == 0 || segment_kind(e->segment, slot) != SEGMENT_UNKNOWN ||
	    u->found == FOUND_MAX)
		return;
	*place_of(u, e, first) = slot + 1;
	u->found++;
}

static void scan(const struct engine *e, struct engine_unnamed *u, uint64_t now_ns)
{
	const struct segment_array counters = {LAYOUT_COUNTERS, e->segment->view.counters,
					       sizeof(*e->segment->view.counters)};
	uint32_t first, end, max = u->slot + SLOTS;

	while (u->slot < max) {
		/* What nobody has touched must not be. */
		if (!segment_resident_slots(e->segment, &counters, u->slot, &first, &end)) {
			if (u->found == 0 || !pairs_begin(e, u))
				rest(u, now_ns);
			return;
		}
		if (end > first + SLOTS)
			end = first + SLOTS;
		for (uint32_t slot = first; slot < end; slot++)
			slot_see(e, u, slot);
		u->slot = end;
	}
}

/* ---- pairs ----------------------------------------------------------------------------------- */

static void pair_try(const struct engine *e, struct engine_unnamed *u)
{
	uint32_t source = u->sources[u->source], destination = u->destinations[u->destination];
	struct hash_key key = hash_pair(segment_slot(e->segment, source)->key,
					segment_slot(e->segment, destination)->key);
	uint32_t slot = *place_of(u, e, key.half[0]);
	struct layout_record record = {.kind = LAYOUT_RECORD_FLOW,
				       .source = source,
				       .destination = destination,
				       .length = 16,
				       .length_original = 16};

	if (slot == 0)
		return;
	record.slot = slot - 1;
	memcpy(record.text, segment_address(e->segment, source), 16);
	/* It is checked as a worker's word is. */
	segment_learn(e->segment, &record);
}

static void pair(const struct engine *e, struct engine_unnamed *u, uint64_t now_ns)
{
	for (int i = 0; i < PAIRS; i++) {
		pair_try(e, u);
		if (++u->source < u->source_count)
			continue;
		u->source = 0;
		if (++u->destination < u->destination_count)
			continue;
		rest(u, now_ns);
		return;
	}
}

void engine_unnamed_second(struct engine_unnamed *u)
{
	u->turns = TURNS;
}

bool engine_unnamed_work(struct engine *e, struct engine_unnamed *u, uint64_t now_ns)
{
	if (u->turns == 0)
		return false;
	u->turns--;
	if (u->part == RESTING && now_ns >= u->rest_until_ns)
		round_begin(u);
	if (u->part == SCANNING)
		scan(e, u, now_ns);
	else if (u->part == PAIRING)
		pair(e, u, now_ns);
	if (u->part == RESTING)
		u->turns = 0;
	return u->turns > 0;
}
