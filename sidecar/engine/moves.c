/* SPDX-License-Identifier: MIT
 *
 * Hosts that belong to another destination than before: it was given another name, or they were
 * moved to another one, or out of the configuration, or into it.
 *
 * What was used, learned and held of the flows to them goes with them. It is not taken from the
 * destination they were of: that may have others left, and workers go on with its flows until they
 * resolve the name again; so less may be sent for a while, never more. (Connections that are open
 * stay counted where they were opened, and what rules counted stays with the name.)
 *
 * A host stands for an entry of either table, or for a destination that no entry names. Where the
 * table before and the new one say different destinations of it, it has moved.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/log.h"
#include "sidecar/config/destination_hosts.h"
#include "sidecar/engine/engine.h"
#include "sidecar/engine/state.h"
#include "sidecar/segment/usage.h"

struct engine_moves {
	struct engine_move *moves; /* by from_slot, once they are all there */
	uint32_t count, room;
	bool failed; /* no memory */
};

/* ---- what moved ------------------------------------------------------------------------------ */

static void move_add(struct engine_moves *m, uint32_t from_slot, const char *from, const char *to)
{
	struct engine_move *move;

	if (m->count == m->room) {
		uint32_t room = m->room ? 2 * m->room : 16;
		struct engine_move *more = reallocarray(m->moves, room, sizeof(*more));

		m->failed |= more == NULL;
		if (more == NULL)
			return;
		m->moves = more;
		m->room = room;
	}
	move = &m->moves[m->count++];
	*move = (struct engine_move){.from_slot = from_slot};
	strcpy(move->from, from);
	strcpy(move->to, to);
}

/* The table that workers read so far. */
static const void *table_before(const struct engine *e, size_t *ret_length)
{
	*ret_length = e->segment->header.sizes.names_bytes;
	return e->segment->names[atomic_load(&e->segment->live->names_index) & 1];
}

static void host_compare(const struct engine *e, const struct config *next, const char *host,
			 struct engine_moves *m)
{
	struct destination_match from, to;
	size_t length;
	const void *before = table_before(e, &length);
	uint32_t slot;

	if (destination_match(before, length, host, &from) != 0 ||
	    destination_match(next->table, next->table_length, host, &to) != 0 ||
	    strcmp(from.name, to.name) == 0)
		return;
	slot = segment_destination_find(e->segment, from.name);
	if (slot != LAYOUT_NONE)
		move_add(m, slot, from.name, to.name);
}

static void hosts_compare(const struct engine *e, const struct config *next, const void *table,
			  size_t length, struct engine_moves *m)
{
	char host[DESTINATION_NAME_MAX + 1];
	int error = 0;

	for (uint32_t i = 0; error == 0 || error == -EAGAIN; i++) {
		error = destination_host(table, length, i, host);
		if (error == 0)
			host_compare(e, next, host, m);
	}
}

static int by_from(const void *a, const void *b)
{
	const struct engine_move *x = a, *y = b;

	return (x->from_slot > y->from_slot) - (x->from_slot < y->from_slot);
}

static int by_move(const void *a, const void *b)
{
	const struct engine_move *x = a, *y = b;
	int from = by_from(a, b);

	return from ? from : strcmp(x->to, y->to);
}

/* Several hosts tell of the same move. */
static void moves_sort(struct engine_moves *m)
{
	uint32_t kept = 0;

	if (m->count == 0)
		return;
	qsort(m->moves, m->count, sizeof(*m->moves), by_move);
	for (uint32_t i = 1; i < m->count; i++)
		if (by_move(&m->moves[kept], &m->moves[i]) != 0)
			m->moves[++kept] = m->moves[i];
	m->count = kept + 1;
}

struct engine_moves *engine_moves_find(const struct engine *e, const struct config *next)
{
	struct engine_moves *m = calloc(1, sizeof(*m));
	char name[DESTINATION_NAME_MAX + 1];
	size_t length;
	const void *before = table_before(e, &length);

	if (m == NULL)
		return NULL;
	hosts_compare(e, next, before, length, m);
	hosts_compare(e, next, next->table, next->table_length, m);
	for (uint32_t i = 0; i < segment_count(e->segment); i++) {
		uint32_t slot = segment_nth(e->segment, i);

		if (segment_kind(e->segment, slot) == SEGMENT_DESTINATION)
			host_compare(e, next, segment_name(e->segment, slot, name, sizeof(name)),
				     m);
	}
	if (m->failed) {
		engine_moves_free(m);
		return NULL;
	}
	moves_sort(m);
	return m;
}

void engine_moves_free(struct engine_moves *m)
{
	if (m)
		free(m->moves);
	free(m);
}

/* ---- what goes with it ----------------------------------------------------------------------- */

/* A flow that has learned something already keeps the slower of the two. */
static bool slower(struct engine *e, uint32_t slot, const struct engine_life *a,
		   const struct engine_life *b, uint64_t now_ns)
{
	struct control_limits x, y;
	struct control_bounds bounds;

	effective_bounds(engine_configured(e, slot), e->wall_offset_ns, &bounds);
	control_limits(&a->control, &bounds, now_ns, &x);
	control_limits(&b->control, &bounds, now_ns, &y);
	if (x.hold_until_ns[TG_BULK] != y.hold_until_ns[TG_BULK])
		return x.hold_until_ns[TG_BULK] > y.hold_until_ns[TG_BULK];
	return x.interval_ns > y.interval_ns;
}

static void life_move(struct engine *e, uint32_t from, uint32_t to, uint64_t now_ns)
{
	const struct engine_life *theirs = segment_block(e->segment, from, ENGINE_LIFE);
	struct engine_life *own = segment_block(e->segment, to, ENGINE_LIFE);
	struct baseline before;

	if (theirs == NULL || !control_valid(&theirs->control))
		return;
	if (own == NULL) {
		segment_block_fill(e->segment, to, ENGINE_LIFE, theirs);
		return;
	}
	before = own->baseline;
	if (slower(e, to, theirs, own, now_ns))
		*own = *theirs;
	/* What both have sent, the receiver has seen. */
	own->baseline = before;
	engine_history_move(e, to, own, &theirs->baseline, now_ns);
}

/* What the operator or a rule has set of the other already stays. */
static bool effect_there(const struct constraint *constraints, const struct constraint *wanted)
{
	for (int i = 0; i < CONSTRAINTS; i++)
		if (constraints[i].kind == wanted->kind &&
		    constraints[i].by_operator == wanted->by_operator &&
		    strcmp(constraints[i].name, wanted->name) == 0 &&
		    constraints[i].until_ns >= wanted->until_ns)
			return true;
	return false;
}

static void effects_move(struct engine *e, uint32_t from, uint32_t to, uint64_t now_ns)
{
	const struct constraint *theirs = engine_effects(e, from);

	for (int i = 0; i < CONSTRAINTS; i++)
		if (theirs[i].kind != CONSTRAINT_NONE && theirs[i].until_ns > now_ns &&
		    !effect_there(engine_effects(e, to), &theirs[i]))
			engine_effect_add(e, to, &theirs[i], now_ns);
}

/* Replies and minutes: for those who look, where there are none yet. */
static void shown_move(struct engine *e, uint32_t from, uint32_t to)
{
	static const enum engine_pool pools[] = {ENGINE_REPLIES, ENGINE_MINUTES};
	struct engine_flow *own = engine_flow_of(e, to);

	for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]); i++) {
		const void *theirs = segment_block(e->segment, from, pools[i]);

		if (theirs)
			segment_block_fill(e->segment, to, pools[i], theirs);
	}
	if (own->seen_s < engine_flow_of(e, from)->seen_s)
		own->seen_s = engine_flow_of(e, from)->seen_s;
}

/* Of its pool there; where that knows of one already, it stays. */
static void shared_move(struct engine *e, uint32_t from, uint32_t to)
{
	const struct engine_shared *theirs = segment_block(e->segment, from, ENGINE_SHARED);

	if (theirs)
		segment_block_fill(e->segment, to, ENGINE_SHARED, theirs);
}

static void flow_move(struct engine *e, struct engine_move *move, uint32_t from, uint64_t now_ns)
{
	uint32_t to = engine_claim(e, segment_address(e->segment, from), move->to, now_ns);

	if (to == LAYOUT_NONE) {
		move->lost++;
		return;
	}
	engine_slot_fill(e, from, now_ns);
	life_move(e, from, to, now_ns);
	effects_move(e, from, to, now_ns);
	shown_move(e, from, to);
	engine_warmup_move(e, from, to);
	shared_move(e, from, to);
	engine_slot_fill(e, to, now_ns);
	usage_add(e->segment, from, to, now_ns);
	move->flows++;
}

static void destination_move(struct engine *e, struct engine_move *move, uint64_t now_ns)
{
	uint32_t to = segment_destination(e->segment, move->to);

	if (to == LAYOUT_NONE)
		return;
	engine_slot_fill(e, move->from_slot, now_ns);
	engine_slot_fill(e, to, now_ns);
	usage_add(e->segment, move->from_slot, to, now_ns);
}

/* The first of those from a destination; NULL: none. */
static struct engine_move *move_of(const struct engine_moves *m, uint32_t from_slot)
{
	struct engine_move *found, key = {.from_slot = from_slot};

	found = m->count ? bsearch(&key, m->moves, m->count, sizeof(key), by_from) : NULL;
	while (found && found > m->moves && found[-1].from_slot == from_slot)
		found--;
	return found;
}

static void move_say(const struct engine_move *move)
{
	if (!move->flows && !move->lost)
		return;
	log_notice("reload",
		   "hosts of destination %s belong to %s now: usage, learned rates and holds of %u "
		   "flow%s went with them",
		   move->from, move->to, move->flows, move->flows == 1 ? "" : "s");
	if (move->lost)
		log_warning("reload",
			    "destination %s: %u flows have no room and begin anew: raise "
			    "segment.flows",
			    move->to, move->lost);
}

void engine_moves_apply(struct engine *e, struct engine_moves *m, uint64_t now_ns)
{
	uint32_t known = segment_count(e->segment);
	const struct engine_move *end = m->count ? m->moves + m->count : NULL;

	for (uint32_t i = 0; i < m->count; i++)
		destination_move(e, &m->moves[i], now_ns);
	for (uint32_t i = 0; i < known && m->count; i++) {
		uint32_t slot = segment_nth(e->segment, i);
		struct engine_move *move;

		if (segment_kind(e->segment, slot) != SEGMENT_FLOW)
			continue;
		move = move_of(m, segment_slot(e->segment, slot)->destination);
		for (; move && move < end &&
		       move->from_slot == segment_slot(e->segment, slot)->destination;
		     move++)
			flow_move(e, move, slot, now_ns);
	}
	for (uint32_t i = 0; i < m->count; i++)
		move_say(&m->moves[i]);
	engine_moves_free(e->moves);
	e->moves = m;
}

const struct engine_move *engine_moves(const struct engine *e, uint32_t *ret_count)
{
	*ret_count = e->moves ? e->moves->count : 0;
	return e->moves ? e->moves->moves : NULL;
}
