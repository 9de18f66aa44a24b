/* SPDX-License-Identifier: MIT
 *
 * What an earlier boot of the machine knew, put back into a segment that was made, before workers
 * may attach. It may be done again, from the beginning, where a sidecar died in the middle of it.
 *
 * Slots that have a life, effects or usage of a period under way are in force when this returns: a
 * hold that is not yet published would be none. The others have what anybody has who is not known,
 * and so do those of which the usage alone is known where that says the same.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/destination.h"
#include "shm/hash.h"
#include "shm/window.h"
#include "sidecar/base/log.h"
#include "sidecar/daemon/keeper.h"
#include "sidecar/daemon/keeper_state.h"
#include "sidecar/engine/saved.h"
#include "sidecar/segment/publish.h"

#define LAYOUTS_MAX   256
#define RECORDS_AHEAD 4096
#define SLOTS_SHARE   16
#define ROWS_AHEAD    32
#define HISTORY_DAYS  (4 * BASELINE_HALF_DAYS) /* what is older has faded to a sixteenth */

/* A slot that is to be in force. */
struct pending {
	uint32_t slot;
	bool plain; /* nothing is known of it but what it has used */
	struct usage_kept hour, day;
};

/* Flows that have been read, and what they point to. */
struct flow_ahead {
	struct db_flow row;
	uint32_t source, destination;
};

struct rows_ahead {
	struct flow_ahead flows[ROWS_AHEAD];
	uint32_t count;
	size_t used;
	char bytes[ROWS_AHEAD * 512];
};

struct restore {
	struct keeper *keeper;
	uint64_t now_ns;
	uint32_t today;
	struct usage_gap gap;
	struct saved_map *maps[LAYOUTS_MAX];
	struct pending *pending;
	size_t count, room;
	uint64_t flows, unread;
	uint64_t *anew;	     /* a bit a record: its life could not be read; NULL: none such */
	uint8_t address[16]; /* of the last source, and its slot */
	uint32_t source;
	uint32_t expected; /* records whose memory was asked for */
	struct rows_ahead ahead;
};

/* ---- layouts --------------------------------------------------------------------------------- */

static int layout_take_names(void *arg, uint32_t number, const char *names)
{
	struct restore *r = arg;
	struct saved_map *map = number < LAYOUTS_MAX ? malloc(sizeof(*map)) : NULL;

	if (map && saved_map_read(names, map) == 0 && r->maps[number] == NULL)
		r->maps[number] = map;
	else
		free(map);
	return 0;
}

static void maps_free(struct restore *r)
{
	for (int i = 0; i < LAYOUTS_MAX; i++)
		free(r->maps[i]);
}

/* ---- a flow ---------------------------------------------------------------------------------- */

static void anew_mark(struct restore *r, uint32_t slot)
{
	uint32_t record = segment_record(r->keeper->segment, slot);

	if (r->anew == NULL)
		r->anew = calloc(r->keeper->segment->known_room / 64 + 1, sizeof(*r->anew));
	if (r->anew)
		r->anew[record / 64] |= UINT64_C(1) << record % 64;
}

static bool life_read(struct restore *r, uint32_t slot, const struct db_flow *row,
		      struct engine_life *ret)
{
	struct keeper *k = r->keeper;
	const struct saved_map *map = row->layout < LAYOUTS_MAX ? r->maps[row->layout] : NULL;

	memset(ret, 0, sizeof(*ret));
	/* What is missing is as a flow begins. */
	if (map && !map->whole) {
		engine_settle(k->engine, slot, r->now_ns);
		*ret = engine_life(k->engine, slot, r->now_ns);
	}
	if (map && saved_life_read(row->life, row->life_length, map, k->wall_offset_ns, ret))
		return true;
	anew_mark(r, slot);
	r->unread++;
	return false;
}

static bool shared_read(struct restore *r, uint32_t slot, const struct db_flow *row,
			struct engine_shared *ret)
{
	struct keeper *k = r->keeper;
	const struct saved_map *map = row->layout < LAYOUTS_MAX ? r->maps[row->layout] : NULL;

	memset(ret, 0, sizeof(*ret));
	/* What is missing is as a flow begins. */
	if (map && !map->whole) {
		engine_settle(k->engine, slot, r->now_ns);
		ret->kept.control = engine_life(k->engine, slot, r->now_ns).control;
	}
	if (map && saved_shared_read(row->shared, row->shared_length, map, k->wall_offset_ns, ret))
		return true;
	r->unread++;
	return false;
}

static void flow_restore(struct restore *r, uint32_t slot, const struct db_flow *row)
{
	struct keeper *k = r->keeper;
	struct constraint effects[CONSTRAINTS];
	struct engine_life life;
	struct engine_shared shared;
	struct engine_restored restored = {
		.seen_ns = saved_time_from_wall((uint64_t)row->seen_s * WINDOW_SECOND_NS,
						k->wall_offset_ns),
		.delivered = row->delivered,
		.deferred = row->deferred,
		.bounced = row->bounced,
	};

	if (row->life && life_read(r, slot, row, &life))
		restored.life = &life;
	if (row->effects &&
	    saved_effects_read(row->effects, row->effects_length, k->wall_offset_ns, effects))
		restored.effects = effects;
	else if (row->effects)
		r->unread++;
	if (row->shared && shared_read(r, slot, row, &shared))
		restored.shared = &shared;
	/* A flow that was seen is one, however shortly before the boot. */
	if (restored.seen_ns && restored.seen_ns < WINDOW_SECOND_NS)
		restored.seen_ns = WINDOW_SECOND_NS;
	engine_restore(k->engine, slot, &restored);
}

/* Rows come by their sources. */
static uint32_t source_claim(struct restore *r, const struct db_flow *row)
{
	if (r->source == LAYOUT_NONE || memcmp(r->address, row->source, sizeof(r->address)) != 0) {
		r->source = segment_source(r->keeper->segment, row->source);
		memcpy(r->address, row->source, sizeof(r->address));
	}
	return r->source;
}

/* What a row that is no flow's names. */
static uint32_t name_claim(struct restore *r, const struct db_flow *row, uint32_t kind)
{
	struct segment *s = r->keeper->segment;
	char name[LAYOUT_TEXT + 1];

	if (row->name_length >= sizeof(name))
		return LAYOUT_NONE;
	memcpy(name, row->name, row->name_length);
	name[row->name_length] = '\0';
	switch (kind) {
	case SEGMENT_SOURCE: return source_claim(r, row);
	case SEGMENT_DESTINATION: return segment_destination(s, name);
	case SEGMENT_STREAM: return segment_stream(s, name);
	default: return LAYOUT_NONE;
	}
}

static bool pending_add(struct restore *r, uint32_t slot, const struct db_flow *row)
{
	if (r->count == r->room) {
		size_t room = r->room ? r->room * 2 : 1024;
		struct pending *more = realloc(r->pending, room * sizeof(*more));

		if (more == NULL)
			return false;
		r->pending = more;
		r->room = room;
	}
	r->pending[r->count++] = (struct pending){
		.slot = slot,
		.plain = row->life == NULL && row->effects == NULL && row->shared == NULL,
		.hour = {row->hour, row->interval_ns, row->burst, row->hour_cap},
		.day = {row->day, row->interval_ns, row->burst, row->day_cap},
	};
	return true;
}

/* Whether a slot has anything that must be in force before somebody asks for it. A cap counts
 * whatever was used of it: workers may have gone on. */
static bool must_hold(const struct restore *r, const struct db_flow *row)
{
	return row->life || row->effects || row->shared ||
	       (uint32_t)(row->day >> 32) + 1 >= r->today || row->hour_cap != PUBLISH_NO_CAP ||
	       row->day_cap != PUBLISH_NO_CAP;
}

/* Many are coming: the memory of their records is asked for, a piece at a time and just ahead. */
static void memory_expect(struct restore *r)
{
	uint32_t count = segment_count(r->keeper->segment);

	if (count < r->expected)
		return;
	r->expected = count + RECORDS_AHEAD;
	segment_expect_records(r->keeper->segment, RECORDS_AHEAD);
}

static int row_restore(struct restore *r, uint32_t slot, const struct db_flow *row)
{
	struct keeper *k = r->keeper;

	if (slot == LAYOUT_NONE) {
		k->unfit++;
		return 0;
	}
	if (row->kind == SEGMENT_FLOW)
		flow_restore(r, slot, row);
	r->flows++;
	memory_expect(r);
	return must_hold(r, row) && !pending_add(r, slot, row) ? -ENOMEM : 0;
}

/* ---- rows ahead ------------------------------------------------------------------------------ */

static int ahead_flush(struct restore *r)
{
	struct rows_ahead *ahead = &r->ahead;
	int error = 0;

	for (uint32_t i = 0; i < ahead->count && !error; i++) {
		const struct flow_ahead *flow = &ahead->flows[i];
		uint32_t slot =
			segment_flow_between(r->keeper->segment, flow->source, flow->destination);

		error = row_restore(r, slot, &flow->row);
	}
	ahead->count = 0;
	ahead->used = 0;
	return error;
}

/* Copies bytes into the room there is. */
static const void *ahead_copy(struct rows_ahead *ahead, const void *bytes, size_t length)
{
	char *to = ahead->bytes + ahead->used;

	if (bytes == NULL)
		return NULL;
	memcpy(to, bytes, length);
	ahead->used += length;
	return to;
}

/* Flows lie where their hashes say, so each by itself would be waited for. They are kept until some
 * are there, and their memory comes meanwhile. */
static void ahead_add(struct restore *r, const struct db_flow *row, uint32_t source,
		      uint32_t destination)
{
	struct rows_ahead *ahead = &r->ahead;
	struct flow_ahead *kept = &ahead->flows[ahead->count++];

	segment_expect_flow(r->keeper->segment, source, destination);
	*kept = (struct flow_ahead){*row, source, destination};
	kept->row.name = NULL;
	kept->row.life = ahead_copy(ahead, row->life, row->life_length);
	kept->row.effects = ahead_copy(ahead, row->effects, row->effects_length);
	kept->row.shared = ahead_copy(ahead, row->shared, row->shared_length);
}

static int flow_take(struct restore *r, const struct db_flow *row)
{
	struct rows_ahead *ahead = &r->ahead;
	size_t bytes = row->life_length + row->effects_length + row->shared_length;
	uint32_t destination = name_claim(r, row, SEGMENT_DESTINATION);
	uint32_t source = source_claim(r, row);
	int error = 0;

	if (ahead->count == ROWS_AHEAD || ahead->used + bytes > sizeof(ahead->bytes))
		error = ahead_flush(r);
	if (error)
		return error;
	if (source == LAYOUT_NONE || destination == LAYOUT_NONE)
		return row_restore(r, LAYOUT_NONE, row);
	if (bytes > sizeof(ahead->bytes))
		return row_restore(r, segment_flow_between(r->keeper->segment, source, destination),
				   row);
	ahead_add(r, row, source, destination);
	return 0;
}

static int row_take(void *arg, const struct db_flow *row)
{
	struct restore *r = arg;

	return row->kind == SEGMENT_FLOW ? flow_take(r, row)
					 : row_restore(r, name_claim(r, row, row->kind), row);
}

/* Its flow stands beside it, and is in force after this. */
static int warmup_take(void *arg, const struct db_warmup *row)
{
	struct restore *r = arg;
	struct keeper *k = r->keeper;
	struct warmup warmup;
	uint32_t slot;

	if (strlen(row->name) > LAYOUT_TEXT ||
	    !saved_warmup_read(row->state, row->length, &warmup)) {
		r->unread++;
		return 0;
	}
	slot = segment_flow(k->segment, row->source, row->name);
	if (slot != LAYOUT_NONE)
		engine_restore_warmup(k->engine, slot, &warmup);
	return 0;
}

/* ---- daily totals ---------------------------------------------------------------------------- */

/* LAYOUT_NONE: it is none of those that begin anew. */
static uint32_t anew_find(const struct restore *r, const struct db_daily *row)
{
	struct segment *s = r->keeper->segment;
	uint32_t destination = segment_destination_find(s, row->name), slot, record;
	struct hash_key key;

	if (destination == LAYOUT_NONE)
		return LAYOUT_NONE;
	key = hash_flow(row->source, segment_slot(s, destination)->key, s->header.seed);
	slot = segment_find(s, &key, false);
	record = slot != LAYOUT_NONE ? segment_record(s, slot) : 0;
	return r->anew[record / 64] >> record % 64 & 1 ? slot : LAYOUT_NONE;
}

static int daily_take(void *arg, const struct db_daily *row)
{
	struct restore *r = arg;
	uint32_t slot = anew_find(r, row);
	double days = (double)r->today - (double)row->day;
	const double peaks[BASELINE_SPANS] = {
		[BASELINE_DAY] = baseline_faded((double)row->delivered, days - 1)};

	if (slot != LAYOUT_NONE && days >= 1)
		engine_seed(r->keeper->engine, slot, peaks, r->now_ns);
	return 0;
}

/* What flows whose life cannot be read have sent is known all the same: without it an established
 * sender would stand at the floor of a new one. They are in force. */
static int histories_read(struct restore *r)
{
	return r->anew ? db_daily(store_db(r->keeper->store), (int64_t)r->today - HISTORY_DAYS,
				  daily_take, r)
		       : 0;
}

/* ---- usage ----------------------------------------------------------------------------------- */

static void early_add(struct keeper *k, uint32_t slot, uint64_t hour, uint64_t day)
{
	if (k->ahead_count == k->ahead_room) {
		uint32_t room = k->ahead_room ? k->ahead_room * 2 : 256;
		struct keeper_ahead *more = realloc(k->ahead, room * sizeof(*more));

		if (more == NULL)
			return;
		k->ahead = more;
		k->ahead_room = room;
	}
	k->ahead[k->ahead_count++] = (struct keeper_ahead){slot, hour, day};
}

static void word_set(_Atomic uint64_t *word, uint64_t *remembered, uint32_t period, uint32_t count)
{
	*remembered = (uint64_t)period << 32 | count;
	/* Relaxed: whoever attaches acquires the segment's state, which comes after. */
	atomic_store_explicit(word, *remembered, memory_order_relaxed);
}

static void usage_set(struct restore *r, const struct pending *p)
{
	struct keeper *k = r->keeper;
	struct segment *s = k->segment;
	struct layout_counters *counters = &s->view.counters[p->slot];
	struct segment_slot *known = segment_slot(s, p->slot);
	uint64_t flags = atomic_load_explicit(&publish_in_force(s, p->slot).limits->flags,
					      memory_order_relaxed);
	const struct layout_calendar *calendar = s->calendar;
	uint32_t hour = window_hour(calendar, flags, r->now_ns);
	uint32_t day = window_day(calendar, flags, r->now_ns);
	int64_t hour_begun =
		(int64_t)window_hour_end(calendar, flags, hour - 1) + k->wall_offset_ns;
	int64_t day_begun = (int64_t)window_day_end(calendar, flags, day - 1) + k->wall_offset_ns;

	word_set(&counters->hour, &known->hour, hour,
		 usage_restored(&p->hour, &r->gap, hour, hour_begun));
	word_set(&counters->day, &known->day, day,
		 usage_restored(&p->day, &r->gap, day, day_begun));
	if (p->hour.word >> 32 > hour || p->day.word >> 32 > day)
		early_add(k, p->slot, p->hour.word, p->day.word);
}

/* A word of a later period than the present one comes true when the clock is put right. */
static void word_raise(_Atomic uint64_t *word, uint64_t *remembered, uint64_t kept)
{
	uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);

	do {
		if (seen == LAYOUT_POISON || (seen >> 32 == kept >> 32 && seen >= kept) ||
		    seen >> 32 > kept >> 32)
			return;
	} while (!atomic_compare_exchange_weak_explicit(word, &seen, kept, memory_order_relaxed,
							memory_order_relaxed));
	*remembered = kept;
}

void keeper_clock_set(struct keeper *k, int64_t wall_offset_ns, uint64_t now_ns)
{
	const struct layout_calendar *calendar = k->segment->calendar;

	k->wall_offset_ns = wall_offset_ns;
	for (uint32_t i = 0; i < k->ahead_count; i++) {
		const struct keeper_ahead *ahead = &k->ahead[i];
		struct layout_counters *counters = &k->segment->view.counters[ahead->slot];
		struct segment_slot *known = segment_slot(k->segment, ahead->slot);
		uint64_t flags = atomic_load_explicit(
			&publish_in_force(k->segment, ahead->slot).limits->flags,
			memory_order_relaxed);

		if (ahead->hour >> 32 == window_hour(calendar, flags, now_ns))
			word_raise(&counters->hour, &known->hour, ahead->hour);
		if (ahead->day >> 32 == window_day(calendar, flags, now_ns))
			word_raise(&counters->day, &known->day, ahead->day);
	}
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Marks from what was claimed: nothing of it is news. */
static void marks_clear(struct keeper *k)
{
	for (uint32_t cursor = 0; engine_changed(k->engine, &cursor) != LAYOUT_NONE;)
		;
}

/* Until when workers may have gone on: the end of that boot, which was before this one; now, if it
 * is this one. */
static struct usage_gap gap_of(const struct keeper *k, const struct db_alive *alive,
			       uint64_t now_ns)
{
	struct usage_gap gap = {alive->at_ns, k->wall_offset_ns};

	if (strcmp(alive->boot, k->alive.boot) == 0)
		gap.until_ns = (int64_t)now_ns + k->wall_offset_ns;
	if (alive->clean)
		gap.until_ns = gap.from_ns;
	return gap;
}

/* Where most pages of the slots are going to be touched all are asked for first: a page that is
 * touched by itself costs three times as much. */
static int slots_expect(const struct restore *r)
{
	struct segment *segment = r->keeper->segment;
	uint32_t many = segment->view.slots / SLOTS_SHARE;
	bool reached = false;
	int error = many ? db_flows_reach(store_db(r->keeper->store), many, &reached) : 0;

	if (!error && reached)
		segment_expect_slots(segment);
	return error;
}

static int rows_read(struct restore *r)
{
	struct db *db = store_db(r->keeper->store);
	int error = db_layouts(db, layout_take_names, r);

	if (!error)
		error = slots_expect(r);
	if (!error)
		error = db_flows(db, row_take, r);
	if (!error)
		error = ahead_flush(r);
	return error ? error : db_warmups(db, warmup_take, r);
}

static void in_force(struct restore *r)
{
	struct engine *e = r->keeper->engine;

	marks_clear(r->keeper);
	for (size_t i = 0; i < r->count; i++) {
		const struct pending *p = &r->pending[i];

		if (i + ROWS_AHEAD < r->count)
			segment_expect_slot(r->keeper->segment, r->pending[i + ROWS_AHEAD].slot);
		if (!p->plain || !engine_begins_by_default(e, p->slot))
			engine_settle(e, p->slot, r->now_ns);
		usage_set(r, p);
		engine_note(e, p->slot);
	}
	engine_sharing_resume(e, r->now_ns);
}

/* A database that cannot be read must not be written over. */
static void give_up(struct keeper *k)
{
	snprintf(k->reason, sizeof(k->reason), "%s", db_error_text(store_db(k->store)));
	log_error("store",
		  "%s/" DB_FILE
		  " cannot be read: %s; what could be read of it holds, and nothing is "
		  "written; move it away to begin anew",
		  k->folder, k->reason);
	store_close(k->store);
	k->store = NULL;
}

void keeper_restore(struct keeper *k, int64_t wall_offset_ns, uint64_t now_ns)
{
	struct restore r = {.keeper = k,
			    .now_ns = now_ns,
			    .today = window_day(k->segment->calendar, 0, now_ns),
			    .source = LAYOUT_NONE,
			    .expected = RECORDS_AHEAD};
	struct db_alive alive;
	int error;

	k->wall_offset_ns = wall_offset_ns;
	if (k->store == NULL)
		return;
	error = db_alive(store_db(k->store), &alive);
	if (error == 0) {
		r.gap = gap_of(k, &alive, now_ns);
		error = rows_read(&r);
		in_force(&r);
		error = error ? error : histories_read(&r);
	}
	k->restored = r.flows;
	maps_free(&r);
	free(r.pending);
	free(r.anew);
	if (error && error != -ENOENT) {
		give_up(k);
		return;
	}
	if (k->unfit)
		log_warning(
			"store",
			"%llu flows and names that were kept found no room: raise segment.flows",
			(unsigned long long)k->unfit);
	if (r.unread)
		log_warning("store",
			    "what was learned of %llu flows cannot be read: they begin anew, "
			    "with the history of their daily totals",
			    (unsigned long long)r.unread);
	if (alive.at_ns > (int64_t)now_ns + wall_offset_ns && error == 0)
		log_warning("store",
			    "the clock is %lld s behind what was kept last: usage counts for "
			    "now, and again when the clock is put right",
			    (long long)((alive.at_ns - (int64_t)now_ns - wall_offset_ns) /
					INT64_C(1000000000)));
	if (error == 0)
		log_notice("store",
			   "%llu flows and names of an earlier boot are known again; it ended "
			   "%s, %.1f s of sending count as used",
			   (unsigned long long)r.flows, alive.clean ? "in order" : "without a word",
			   r.gap.until_ns > r.gap.from_ns
				   ? (double)(r.gap.until_ns - r.gap.from_ns) / 1e9
				   : 0.0);
}
