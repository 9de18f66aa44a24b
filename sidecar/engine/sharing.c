/* SPDX-License-Identifier: MIT
 *
 * The engine's part of limits that the sources of a pool share (sidecar/control/sharing.h): whose
 * replies go where, and what is in force meanwhile.
 *
 * While such a limit is known it is the destination's own limit in the segment, which each decision
 * of the pool's flows charges together with the flow: so it is divided by demand, exactly, and no
 * source has a part of it that it does not use. A pair of pool and destination is looked at once a
 * flow of it got into trouble. Where the configuration limits the destination itself, or another
 * pool has its shared limit there, there is no room for one.
 *
 * What is learned is kept beside one of the flows (ENGINE_SHARED), where it outlives the sidecar and
 * goes into the store: after each reply that may have changed it.
 */
#include "sidecar/control/sharing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/hash_table.h"
#include "sidecar/base/log.h"
#include "sidecar/engine/engine.h"
#include "sidecar/engine/state.h"

/* Of an equal part, when each has its own again: enough to meet its limit, and measure it. */
#define PART_SHARE	  1.25
#define MANY		  5
#define IDLE_RATE	  1e-3 /* messages a second, below which there is nothing to divide */
#define FORGET_NS	  SHARING_FORGET_NS
#define FORGET_REFUTED_NS (24 * FORGET_NS) /* where a trial has found limits of their own */
#define SECOND_NS	  UINT64_C(1000000000)
#define ACTIVE_S	  3600 /* a flow that sent so short a time ago is one of those that share */
#define IDLE_S		  86400 /* one that did not for so long is no place to keep it */

/* A pool's limit at a destination. */
struct engine_sharing {
	const struct config_pool *pool; /* as pool_of says; NULL: all these count as one */
	uint32_t destination;		/* slot */
	uint32_t keeper;		/* the flow beside which it is kept; LAYOUT_NONE: none */
	struct engine_sharing *next;	/* of the destination */
	struct sharing sharing;
	struct control_bounds bounds; /* of all together */
	uint64_t divided_ns;	      /* when the parts were last made */
	uint32_t room;		      /* members: a power of two, or 0 */
	uint32_t *places;	      /* 2 * room: of each member, by its slot; LAYOUT_NONE: free */
};

/* What is looked at at a destination. */
struct engine_sharings {
	uint32_t destination; /* slot */
	UT_hash_handle hh;
	struct engine_sharing *first;
};

static struct engine_sharings *at_destination(const struct engine *e, uint32_t destination)
{
	struct engine_sharings *found = NULL;

	if (e->sharings)
		HASH_FIND(hh, e->sharings, &destination, sizeof(destination), found);
	return found;
}

static struct engine_sharing *first_at(const struct engine *e, uint32_t destination)
{
	const struct engine_sharings *found = at_destination(e, destination);

	return found ? found->first : NULL;
}

/* With whom the source may share a limit: its pool, or NULL for all that are in none. An address that
 * has a pool of its own is one of these: in its pool there is nobody to share with. */
static const struct config_pool *pool_of(const struct engine *e, uint32_t slot)
{
	const struct config_pool *pool =
		config_pool_of(e->config, segment_address(e->segment, slot));
	bool alone =
		pool && pool->sources_count == 1 &&
		memcmp(pool->ranges->first, pool->ranges->last, sizeof(pool->ranges->first)) == 0;

	return alone ? NULL : pool;
}

static struct engine_sharing *find(const struct engine *e, uint32_t slot)
{
	struct engine_sharing *x = first_at(e, segment_slot(e->segment, slot)->destination);
	const struct config_pool *pool;

	if (x == NULL)
		return NULL;
	pool = pool_of(e, slot);
	while (x && x->pool != pool)
		x = x->next;
	return x;
}

/* ---- members --------------------------------------------------------------------------------- */

/* Where the slot stands among the places, or would. There is room. */
static uint32_t *place_of(const struct engine_sharing *x, uint32_t slot)
{
	uint32_t mask = 2 * x->room - 1;
	uint32_t at = slot * UINT32_C(2654435769) & mask;

	while (x->places[at] != LAYOUT_NONE && x->sharing.members[x->places[at]].slot != slot)
		at = (at + 1) & mask;
	return &x->places[at];
}

static void places_fill(struct engine_sharing *x)
{
	memset(x->places, 0xff, 2 * x->room * sizeof(*x->places));
	for (uint32_t i = 0; i < x->sharing.count; i++)
		*place_of(x, x->sharing.members[i].slot) = i;
}

/* Those that have long been silent make room before more is taken. */
static bool members_grow(struct engine_sharing *x, uint64_t now_ns)
{
	uint32_t room = x->room ? 2 * x->room : 4, *places;
	struct sharing_member *members;

	sharing_forget(&x->sharing, now_ns);
	if (x->sharing.count < x->room / 2) {
		places_fill(x);
		return true;
	}
	members = realloc(x->sharing.members, room * sizeof(*members));
	if (members)
		x->sharing.members = members;
	places = members ? realloc(x->places, 2 * room * sizeof(*places)) : NULL;
	if (places) {
		x->places = places;
		x->room = room;
	}
	if (x->room)
		places_fill(x);
	return places != NULL;
}

/* The flow's place among the members, LAYOUT_NONE: it is none. */
static uint32_t member_find(const struct engine_sharing *x, uint32_t slot)
{
	return x->room ? *place_of(x, slot) : LAYOUT_NONE;
}

/* … which it becomes. LAYOUT_NONE: no memory. */
static uint32_t member_of(struct engine_sharing *x, uint32_t slot, uint64_t now_ns)
{
	struct sharing *s = &x->sharing;
	uint32_t found = member_find(x, slot);

	if (found != LAYOUT_NONE)
		return found;
	if (s->count == x->room && !members_grow(x, now_ns))
		return LAYOUT_NONE;
	s->members[s->count] = (struct sharing_member){.slot = slot};
	*place_of(x, slot) = s->count;
	return s->count++;
}

bool engine_sharing_known(const struct engine *e, uint32_t slot)
{
	const struct engine_sharing *found = find(e, slot);

	return found && sharing_known(&found->sharing);
}

/* ---- what is in force ------------------------------------------------------------------------ */

static void wait_lower(struct control_limits *limits, uint64_t until_ns)
{
	for (int class = TG_TRANSACTIONAL + 1; class < TG_CLASSES; class ++)
		if (limits->hold_until_ns[class] < until_ns)
			limits->hold_until_ns[class] = until_ns;
}

/* Alone, at what all have sent. */
static void trier_limits(const struct sharing *s, struct control_limits *limits)
{
	limits->interval_ns = (uint64_t)(1e9 / s->rate);
	limits->report_delivered = true;
	limits->phase = CONTROL_RECOVERING;
	for (int class = 0; class < TG_CLASSES; class ++) {
		limits->burst[class] = 1;
		limits->hold_until_ns[class] = 0;
	}
}

/* A flow's part of what all may send. */
static void part_limits(const struct engine_sharing *x, uint32_t slot,
			struct control_limits *limits)
{
	uint32_t member = member_find(x, slot);
	float most = member == LAYOUT_NONE ? 0 : x->sharing.members[member].most;

	if (most > 0)
		limits->interval_ns = (uint64_t)((double)limits->interval_ns / most);
}

uint64_t engine_sharing_limits(const struct engine *e, uint32_t slot, uint64_t now_ns,
			       struct control_limits *limits)
{
	const struct engine_sharing *found = find(e, slot);
	const struct sharing *s = found ? &found->sharing : NULL;
	struct control_limits own = *limits;
	uint64_t next_ns = UINT64_MAX;
	bool trier;

	if (s == NULL || s->state == SHARING_NONE)
		return UINT64_MAX;
	trier = s->members[s->trier].slot == slot;
	if (sharing_known(s)) {
		next_ns = control_limits(&s->control, &found->bounds, now_ns, limits);
		limits->connections = own.connections;
		limits->per_connection = own.per_connection;
		limits->connection_interval_ns = own.connection_interval_ns;
		/* The pool's windows are the destination's. */
		limits->hour_cap = limits->day_cap = 0;
		if (limits->phase != CONTROL_HELD && limits->phase != CONTROL_PROBING)
			part_limits(found, slot, limits);
	} else if (trier) {
		trier_limits(s, limits);
	}
	if (!trier && (s->state == SHARING_TRIAL || (s->state == SHARING_TEST && s->part >= 1)))
		wait_lower(limits, s->until_ns);
	return next_ns;
}

/* The queues of several sources compete here, and none of them knows of another's more urgent mail:
 * without a message that is its alone, it could wait for ever. */
static void overtake(struct control_limits *limits)
{
	bool open = limits->phase != CONTROL_HELD && limits->phase != CONTROL_PROBING;

	if (open && limits->burst[TG_TRANSACTIONAL] <= limits->burst[TG_ENGAGED] &&
	    limits->burst[TG_ENGAGED] < UINT32_MAX)
		limits->burst[TG_TRANSACTIONAL] = limits->burst[TG_ENGAGED] + 1;
}

/* When it says nothing any more; UINT64_MAX: not by time alone. */
static uint64_t forgotten_ns(const struct engine_sharing *x)
{
	const struct sharing *s = &x->sharing;
	uint64_t last_ns = s->trouble_ns > s->since_ns ? s->trouble_ns : s->since_ns;

	if (s->state != SHARING_NONE)
		return UINT64_MAX;
	last_ns += s->refuted ? FORGET_REFUTED_NS : FORGET_NS;
	return last_ns > s->again_ns ? last_ns : s->again_ns;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void engine_sharing_destination(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	struct control_limits limits;
	struct effective effective;
	uint64_t next_ns = UINT64_MAX;

	for (struct engine_sharing *i = first_at(e, slot); i; i = i->next) {
		struct sharing *s = &i->sharing;

		next_ns = earlier(next_ns, earlier(sharing_next(s), forgotten_ns(i)));
		if (!sharing_known(s))
			continue;
		uint64_t changes_ns = control_limits(&s->control, &i->bounds, now_ns, &limits);

		limits.connections = limits.per_connection = 0;
		limits.connection_interval_ns = 0;
		overtake(&limits);
		next_ns = changes_ns < next_ns ? changes_ns : next_ns;
		if (s->state == SHARING_KNOWN && sharing_taken_all(s, now_ns) > IDLE_RATE &&
		    i->divided_ns + SHARING_DIVIDE_NS < next_ns)
			next_ns = i->divided_ns + SHARING_DIVIDE_NS;
		effective_merge(engine_configured(e, slot), &limits, NULL, 0, now_ns, &effective);
		effective.limits.flags &= ~(uint32_t)(LAYOUT_REPORT_DELIVERED | LAYOUT_PROBING);
		e->totals.changes += publish_slot(e->segment, slot, &effective.limits, now_ns);
		timer_heap_set(e->timers, segment_record(e->segment, slot), next_ns);
		return;
	}
	effective_plain(engine_configured(e, slot), &effective.limits);
	e->totals.changes += publish_slot(e->segment, slot, &effective.limits, now_ns);
	timer_heap_set(e->timers, segment_record(e->segment, slot), next_ns);
}

static void publish_members(struct engine *e, struct engine_sharing *x, uint64_t now_ns)
{
	if (x->sharing.state == SHARING_KNOWN &&
	    (now_ns >= x->divided_ns + SHARING_DIVIDE_NS || now_ns < x->divided_ns)) {
		sharing_divide(&x->sharing, now_ns);
		x->divided_ns = now_ns;
	}
	engine_sharing_destination(e, x->destination, now_ns);
	for (uint32_t i = 0; i < x->sharing.count; i++)
		engine_publish(e, x->sharing.members[i].slot, now_ns);
}

/* All flows of the pool there, those that have not sent of late too. */
static void publish_pool(struct engine *e, struct engine_sharing *x, uint64_t now_ns)
{
	struct destination_pool pool;

	publish_members(e, x, now_ns);
	if (x->pool == NULL ||
	    destination_pool(e->config->table, e->config->table_length, x->pool->name, &pool) != 0)
		return;
	for (uint32_t i = 0; i < pool.count; i++) {
		uint32_t slot = engine_pool_flow(e, x->destination, &pool, i);

		if (slot != LAYOUT_NONE)
			engine_publish(e, slot, now_ns);
	}
}

int engine_describe(const struct engine *e, uint32_t slot, uint64_t now_ns, char *text,
		    unsigned size)
{
	const struct engine_sharing *found = find(e, slot);
	const struct sharing *s = found ? &found->sharing : NULL;
	struct engine_life life = engine_life(e, slot, now_ns);
	struct control_bounds bounds;
	int length, more = 0;

	effective_bounds(engine_configured(e, slot), e->wall_offset_ns, &bounds);
	if (s && sharing_known(s))
		length = control_describe(&s->control, &found->bounds, now_ns, text, size);
	else
		length = control_describe(&life.control, &bounds, now_ns, text, size);
	if (s && length >= 0)
		more = (unsigned)length < size
			       ? sharing_describe(s, now_ns, text + length, size - (unsigned)length)
			       : sharing_describe(s, now_ns, NULL, 0);
	return length + more;
}

/* ---- verdicts -------------------------------------------------------------------------------- */

/* Each has its own again. Where the first test has parted a few, its own controller goes on where it
 * was minutes ago; many of them would make a flood. where a later one has, at an equal part of what all had; where nothing was ever
 * shown, half way between both, for they may share a limit all the same. */
static void part(struct engine *e, struct engine_sharing *x, uint64_t now_ns)
{
	struct sharing *s = &x->sharing;
	double each = PART_SHARE * control_estimate(&s->control) / s->count;

	if (sharing_measured(s) && !s->proven && s->count < MANY)
		return;
	for (uint32_t i = 0; i < s->count; i++) {
		struct engine_life *life = engine_live(e, s->members[i].slot, now_ns);
		struct control_bounds bounds;
		double own;

		if (life == NULL)
			continue;
		own = control_rate(&life->control);
		effective_bounds(engine_configured(e, s->members[i].slot), e->wall_offset_ns,
				 &bounds);
		control_adopt(&life->control, &bounds,
			      sharing_measured(s) || own < each ? each : sqrt(own * each), now_ns);
	}
}

/* What all have sent in the receiver's hour and day is what its flows have. */
static void join(struct engine *e, struct engine_sharing *x, uint64_t now_ns)
{
	for (uint32_t i = 0; i < x->sharing.count; i++) {
		const struct engine_life *life = engine_live(e, x->sharing.members[i].slot, now_ns);

		if (life)
			control_join(&x->sharing.control, &life->control);
	}
}

static void turned(struct engine *e, struct engine_sharing *x, enum sharing_state before,
		   uint64_t now_ns)
{
	char name[DESTINATION_NAME_MAX + 1];
	const struct sharing *s = &x->sharing;
	const char *of = x->pool ? "of pool " : "in no pool", *pool = x->pool ? x->pool->name : "";
	bool was = before == SHARING_KNOWN || before == SHARING_TEST;

	engine_destination(e, x->destination, name, sizeof(name));
	if (sharing_known(s) && !was)
		log_notice("shared-limit",
			   "the IPs %s%s share one limit at %s, about %.4g/min: one of them alone "
			   "could send what all have sent",
			   of, pool, name, 60 * control_estimate(&s->control));
	if (!sharing_known(s) && was) {
		log_notice("shared-limit",
			   "the IPs %s%s have a limit each at %s: one alone is refused at what all "
			   "send together",
			   of, pool, name);
		part(e, x, now_ns);
	}
	publish_pool(e, x, now_ns);
}

/* ---- beginning and ending to look ------------------------------------------------------------ */

static void bounds_fill(struct engine *e, struct engine_sharing *x, uint32_t slot)
{
	effective_bounds(engine_configured(e, slot), e->wall_offset_ns, &x->bounds);
	/* Each flow has its own ceiling. */
	x->bounds.rate_max = 0;
	x->bounds.hour_cap = x->bounds.day_cap = 0;
}

/* Adds it to its destination's. False: no memory. */
static bool list(struct engine *e, struct engine_sharing *x)
{
	struct engine_sharings *all = at_destination(e, x->destination);

	if (all == NULL) {
		all = calloc(1, sizeof(*all));
		if (all == NULL)
			return false;
		all->destination = x->destination;
		HASH_ADD(hh, e->sharings, destination, sizeof(all->destination), all);
		if (hash_table_lacks(all)) {
			free(all);
			return false;
		}
	}
	x->next = all->first;
	all->first = x;
	return true;
}

static void unlist(struct engine *e, const struct engine_sharing *x)
{
	struct engine_sharings *all = at_destination(e, x->destination);
	struct engine_sharing **at = &all->first;

	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	if (all->first)
		return;
	HASH_DEL(e->sharings, all);
	free(all);
}

static void sharing_free(struct engine_sharing *x)
{
	free(x->sharing.members);
	free(x->places);
	free(x);
}

/* Begins to look, at a flow's trouble. NULL: there is no room for it. */
static struct engine_sharing *look(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	struct engine_sharing *x = find(e, slot);

	if (x ||
	    limits_set_get(e->limits, *engine_configured_at(e, slot))->parents & LAYOUT_DESTINATION)
		return x;
	x = calloc(1, sizeof(*x));
	if (x == NULL)
		return NULL;
	x->pool = pool_of(e, slot);
	x->destination = (uint32_t)segment_slot(e->segment, slot)->destination;
	x->keeper = LAYOUT_NONE;
	x->sharing.since_ns = now_ns;
	bounds_fill(e, x, slot);
	if (!list(e, x)) {
		free(x);
		return NULL;
	}
	/* It is forgotten by time. */
	engine_sharing_destination(e, x->destination, now_ns);
	return x;
}

/* ---- over a restart -------------------------------------------------------------------------- */

/* Of a pool's name, the same in each run. */
static uint64_t pool_hash(const struct config_pool *pool)
{
	static const uint64_t seed[4] = {0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb,
					 0xd6e8feb86659fd93};

	return pool ? hash_bytes(HASH_STREAM, pool->name, strlen(pool->name), seed).half[0] | 1 : 0;
}

static void unkeep(struct engine *e, struct engine_sharing *x)
{
	if (x->keeper == LAYOUT_NONE)
		return;
	segment_block_drop(e->segment, x->keeper, ENGINE_SHARED);
	engine_mark(e, x->keeper);
	x->keeper = LAYOUT_NONE;
}

/* Beside this flow, unless another has it that sent of late: who sends for the last time must not
 * take it along when it is forgotten. */
static void keep(struct engine *e, struct engine_sharing *x, uint32_t slot, uint64_t now_ns)
{
	struct engine_shared shared = {.pool = pool_hash(x->pool)};
	struct engine_shared *kept;

	if (!sharing_keep(&x->sharing, &shared.kept)) {
		unkeep(e, x);
		return;
	}
	if (x->keeper != LAYOUT_NONE && x->keeper != slot &&
	    engine_flow_of(e, x->keeper)->seen_s + IDLE_S < now_ns / SECOND_NS)
		unkeep(e, x);
	if (x->keeper == LAYOUT_NONE)
		x->keeper = slot;
	kept = segment_block_fill(e->segment, x->keeper, ENGINE_SHARED, &shared);
	if (kept)
		*kept = shared;
	engine_mark(e, x->keeper);
}

static void drop(struct engine *e, struct engine_sharing *x)
{
	unkeep(e, x);
	unlist(e, x);
	sharing_free(x);
}

/* Another pool's is in force there. */
static bool taken(const struct engine *e, const struct engine_sharing *x)
{
	for (const struct engine_sharing *i = first_at(e, x->destination); i; i = i->next)
		if (i != x && i->sharing.state != SHARING_NONE)
			return true;
	return false;
}

/* ---- replies --------------------------------------------------------------------------------- */

static bool names_limit(enum reply_class class)
{
	return class == REPLY_RATE || class == REPLY_REPUTATION || class == REPLY_VOLUME_SPIKE;
}

/* What is about connections is the flow's own; the rest is of all. */
static bool observe_all(struct engine *e, struct engine_sharing *x, uint32_t slot,
			const struct control_observation *seen, uint64_t now_ns)
{
	struct engine_life *life = engine_live(e, slot, now_ns);
	struct control_observation all = *seen;
	struct control_bounds bounds;
	struct control_change change;

	effective_bounds(engine_configured(e, slot), e->wall_offset_ns, &bounds);
	if (life &&
	    control_connections(&life->control, &x->sharing.control, &bounds, seen, now_ns)) {
		engine_publish(e, slot, now_ns);
		return false;
	}
	all.place = all.open_connections = 0;
	all.stage = TG_STAGE_MESSAGE;
	return control_observe(&x->sharing.control, &x->bounds, &all, now_ns, &change);
}

bool engine_sharing_observe(struct engine *e, uint32_t slot, const struct control_observation *seen,
			    uint64_t now_ns)
{
	static const struct sharing_trouble none;
	struct engine_sharing *x = find(e, slot);
	struct sharing *s = x ? &x->sharing : NULL;
	enum sharing_state before;
	bool delivered = seen->class == REPLY_DELIVERED, changed, trier;
	bool joins;
	uint32_t member;

	if (s == NULL || !sharing_known(s))
		return false;
	before = s->state;
	joins = member_find(x, slot) == LAYOUT_NONE;
	member = member_of(x, slot, now_ns);
	trier = s->state == SHARING_TEST && member == s->trier && seen->admitted_ns >= s->began_ns;
	/* What the trier meets alone says whether there is a limit of all. */
	if (trier && names_limit(seen->class))
		changed = false;
	else
		changed = observe_all(e, x, slot, seen, now_ns);
	if (member != LAYOUT_NONE && delivered)
		sharing_accepted(s, member, &x->bounds, now_ns);
	else if (member != LAYOUT_NONE && names_limit(seen->class) &&
		 (trier || s->state == SHARING_KNOWN))
		sharing_refused(s, member, &none, &x->bounds, now_ns);
	if (s->state != before)
		turned(e, x, before, now_ns);
	else if (changed || joins)
		publish_members(e, x, now_ns);
	keep(e, x, slot, now_ns);
	return true;
}

void engine_sharing_heard(struct engine *e, uint32_t slot, const struct control_observation *seen,
			  const struct control_state *before, uint64_t now_ns)
{
	const struct control_state *own = &engine_live(e, slot, now_ns)->control;
	bool newly = control_limited(own) && !control_limited(before);
	struct engine_sharing *x = newly ? look(e, slot, now_ns) : find(e, slot);
	struct sharing *s = x ? &x->sharing : NULL;
	struct sharing_trouble trouble = {
		.ground = control_on_ground(before),
		.searching = control_estimate(before) <= 0,
		.estimate = control_estimate(own),
		.rate = control_rate(before),
		.place = seen->place,
	};
	enum sharing_state state;
	uint32_t member;
	bool trier;

	if (s == NULL || sharing_known(s) || (member = member_of(x, slot, now_ns)) == LAYOUT_NONE)
		return;
	state = s->state;
	trier = s->state == SHARING_TRIAL && member == s->trier;
	/* A reputation is an IP's own: that several are told of theirs at once needs proof. */
	trouble.searching = trouble.searching && seen->class == REPLY_RATE;
	/* A full hour or day comes to all that send alike. */
	if (taken(e, x) || seen->limit == REPLY_LIMIT_HOUR || seen->limit == REPLY_LIMIT_DAY)
		trouble.ground = trouble.searching = false;
	if (seen->class == REPLY_DELIVERED)
		sharing_accepted(s, member, &x->bounds, now_ns);
	else if (trier ? seen->admitted_ns >= s->began_ns && names_limit(seen->class) : newly)
		sharing_refused(s, member, &trouble, &x->bounds, now_ns);
	if (s->state != state && sharing_known(s))
		join(e, x, now_ns);
	if (s->state != state)
		turned(e, x, state, now_ns);
	keep(e, x, slot, now_ns);
}

/* ---- time ------------------------------------------------------------------------------------ */

void engine_sharing_due(struct engine *e, uint32_t destination, uint64_t now_ns)
{
	struct engine_sharing *gone = NULL;

	for (struct engine_sharing *x = first_at(e, destination); x; x = x->next) {
		enum sharing_state before = x->sharing.state;

		if (sharing_tick(&x->sharing, now_ns)) {
			turned(e, x, before, now_ns);
			if (x->keeper != LAYOUT_NONE)
				keep(e, x, x->keeper, now_ns);
		} else if (sharing_known(&x->sharing))
			publish_members(e, x, now_ns);
		if (now_ns >= forgotten_ns(x))
			gone = x;
	}
	engine_sharing_destination(e, destination, now_ns);
	if (gone) /* one a look is enough */
		drop(e, gone);
}

/* ---- what was found -------------------------------------------------------------------------- */

/* Those of the pool that send there. Where sources are in none, each joins with its next reply. */
static void members_find(struct engine *e, struct engine_sharing *x, uint64_t now_ns)
{
	struct destination_pool pool;

	if (x->pool == NULL ||
	    destination_pool(e->config->table, e->config->table_length, x->pool->name, &pool) != 0)
		return;
	for (uint32_t i = 0; i < pool.count; i++) {
		uint32_t slot = engine_pool_flow(e, x->destination, &pool, i);

		if (slot != LAYOUT_NONE &&
		    engine_flow_of(e, slot)->seen_s + ACTIVE_S >= now_ns / SECOND_NS)
			member_of(x, slot, now_ns);
	}
}

/* NULL: it is of another configuration, another has its place, or it is damaged. */
static struct engine_sharing *resume(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	const struct engine_shared *shared = segment_block(e->segment, slot, ENGINE_SHARED);
	struct engine_sharing *x;

	if (!sharing_kept_valid(&shared->kept) || engine_settled(e, slot) != 0 || find(e, slot) ||
	    shared->pool != pool_hash(pool_of(e, slot)))
		return NULL;
	x = look(e, slot, now_ns);
	if (x == NULL)
		return NULL;
	sharing_resume(&x->sharing, &shared->kept, now_ns);
	if (member_of(x, slot, now_ns) == LAYOUT_NONE ||
	    (sharing_known(&x->sharing) && taken(e, x))) {
		drop(e, x);
		return NULL;
	}
	if (sharing_known(&x->sharing))
		control_rebound(&x->sharing.control, &x->bounds);
	x->keeper = slot;
	return x;
}

void engine_sharing_resume(struct engine *e, uint64_t now_ns)
{
	for (uint32_t i = 0; i < segment_count(e->segment); i++) {
		uint32_t slot = segment_nth(e->segment, i);
		struct engine_sharing *x;

		if (segment_kind(e->segment, slot) != SEGMENT_FLOW ||
		    !engine_flow_of(e, slot)->blocks[ENGINE_SHARED])
			continue;
		x = find(e, slot);
		if (x && x->keeper == slot)
			continue;
		x = resume(e, slot, now_ns);
		if (x == NULL) {
			segment_block_drop(e->segment, slot, ENGINE_SHARED);
			engine_mark(e, slot);
			continue;
		}
		members_find(e, x, now_ns);
		if (sharing_known(&x->sharing))
			publish_pool(e, x, now_ns);
	}
}

void engine_sharing_free(struct engine *e)
{
	struct engine_sharings *all = e->sharings, *others;

	HASH_CLEAR(hh, e->sharings);
	for (; all; all = others) {
		struct engine_sharing *x = all->first, *next;

		others = all->hh.next;
		for (; x; x = next) {
			next = x->next;
			sharing_free(x);
		}
		free(all);
	}
}
