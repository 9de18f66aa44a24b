/* SPDX-License-Identifier: MIT
 *
 * Replacing a segment: usage goes from the old one to the new one, word by word.
 *
 * Workers must not wait for long, and the words of a million flows take a tenth of a second to
 * move. So it is done in three parts:
 *
 *   copy     the old one is in force. Keys are claimed in the new one; limits, records and blocks,
 *            which are the sidecar's, are copied, and words of state as they are just now.
 *   move     still in force. Each slot whose words are as they were copied is moved: each word is
 *            stored in the new one, and poisoned in the old by compare-and-swap from what was
 *            stored. A worker that asks for such a flow now is refused for a tenth of a second, as
 *            an estimate. Those that changed meanwhile are in use: they are left for the end, and so
 *            are the few thousand that were charged last, for they will be asked for again.
 *   retire   the old one is marked, so workers are told, and the rest is moved, a few thousand.
 *
 * So a worker that was in the middle of a decision either charged before (and its charge is
 * carried) or finds the poison and is refused. A word that is poisoned already was carried by a
 * sidecar that died here; so the whole may be repeated.
 *
 * Forgetting: a flow that nobody wants kept has each word poisoned only while that says what a
 * fresh one says (a full bucket, no count of this period); where one does not, it is carried after
 * all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shm/alive.h"
#include "shm/handle.h"
#include "shm/headroom.h"
#include "shm/lease.h"
#include "shm/window.h"
#include "sidecar/segment/segment.h"
#include "sidecar/segment/segment_files.h"

#define WORDS	   6
#define AGES	   64
#define RECENT_MAX 4096 /* that are left for the end though they stand still: a millisecond */
#define AHEAD	   16	/* slots whose lines are fetched before they are needed */

/* What one replacement is about. */
struct carry {
	struct segment *old, *new;
	uint32_t *to;  /* of an old slot: the new one + 1; 0: none (yet) */
	uint32_t *hot; /* slots that are left for the end */
	uint32_t hot_count;
	uint32_t ages[AGES]; /* how many were charged that long ago */
	unsigned recent;     /* those of a lower age are left for the end */
	segment_keep *keep;
	void *arg;
	uint64_t now_ns;
};

static void words_of(const struct segment *s, uint32_t slot, _Atomic uint64_t *ret[WORDS])
{
	struct layout_counters *c = &s->view.counters[slot];

	ret[0] = &c->tat;
	ret[1] = &c->hour;
	ret[2] = &c->day;
	ret[3] = &c->headroom;
	ret[4] = &c->reserved_until;
	ret[5] = &c->connection_tat;
}

static void word_carry(_Atomic uint64_t *from, _Atomic uint64_t *to)
{
	uint64_t seen = atomic_load_explicit(from, memory_order_relaxed);

	while (seen != LAYOUT_POISON) {
		segment_step();
		atomic_store_explicit(to, seen, memory_order_relaxed);
		segment_step();
		if (atomic_compare_exchange_strong_explicit(
			    from, &seen, LAYOUT_POISON, memory_order_acq_rel, memory_order_relaxed))
			return;
	}
}

/* Limits, as they stand, until the new sidecar has published its own: none sends unlimited
 * meanwhile. */
static void limits_copy(const struct carry *c, uint32_t from, uint32_t to)
{
	memcpy((void *)&c->new->limits[to], (const void *)&c->old->limits[from],
	       sizeof(c->new->limits[to]));
	memcpy((void *)&c->new->more[to], (const void *)&c->old->more[from],
	       sizeof(c->new->more[to]));
}

static void total_copy(const _Atomic uint64_t *from, _Atomic uint64_t *to)
{
	atomic_store_explicit(to, atomic_load_explicit(from, memory_order_relaxed),
			      memory_order_relaxed);
}

static void totals_copy(const struct carry *c, uint32_t from, uint32_t to)
{
	const struct layout_counters_more *a = &c->old->view.counters_more[from];
	struct layout_counters_more *b = &c->new->view.counters_more[to];

	total_copy(&a->delivered, &b->delivered);
	total_copy(&a->deferred, &b->deferred);
	total_copy(&a->bounced, &b->bounced);
}

/* The key of a slot. One that somebody scribbled over is known from control. */
static struct hash_key slot_key(const struct segment *s, uint32_t slot)
{
	const struct layout_counters *counters = &s->view.counters[slot];
	struct hash_key key = {{atomic_load_explicit(&counters->key[0], memory_order_relaxed),
				atomic_load_explicit(&counters->key[1], memory_order_relaxed)}};

	if (segment_kind(s, slot) != SEGMENT_UNKNOWN)
		memcpy(key.half, segment_slot(s, slot)->key, sizeof(key.half));
	return key;
}

/* ---- copy ------------------------------------------------------------------------------------ */

/* How long ago a slot was charged: in seconds, the number of binary digits. */
static unsigned age_of(const struct carry *c, uint32_t slot)
{
	uint64_t word =
		atomic_load_explicit(&c->old->view.counters[slot].tat, memory_order_relaxed);
	uint64_t tat = word ^ gcra_epoch(word);
	uint64_t age_s = tat < c->now_ns ? (c->now_ns - tat) / WINDOW_SECOND_NS : 0;

	if (word == 0 || word == LAYOUT_POISON)
		return AGES - 1;
	return age_s ? 64 - (unsigned)__builtin_clzll(age_s) : 0;
}

static void recent_choose(struct carry *c)
{
	for (uint32_t count = 0; c->recent < AGES - 1; c->recent++) {
		count += c->ages[c->recent];
		if (count > RECENT_MAX)
			return;
	}
}

static uint32_t slot_claim(struct carry *c, uint32_t from)
{
	struct hash_key key = slot_key(c->old, from);
	_Atomic uint64_t *a[WORDS], *b[WORDS];
	uint32_t to;

	if (c->to[from])
		return c->to[from] - 1;
	if (key.half[0] == 0 || key.half[1] == 0)
		return LAYOUT_NONE;
	to = directory_find(&c->new->view, &key, true);
	if (to == LAYOUT_NONE)
		return LAYOUT_NONE;
	limits_copy(c, from, to);
	totals_copy(c, from, to);
	words_of(c->old, from, a);
	words_of(c->new, to, b);
	/* A poisoned one was carried already. */
	for (int i = 0; i < WORDS; i++)
		if (atomic_load_explicit(a[i], memory_order_relaxed) != LAYOUT_POISON)
			total_copy(a[i], b[i]);
	c->to[from] = to + 1;
	c->ages[age_of(c, from)]++;
	return to;
}

/* Parents are slots: theirs are others now. */
static uint32_t slot_translate(const struct carry *c, uint32_t slot)
{
	return slot < c->old->view.slots && c->to[slot] ? c->to[slot] - 1 : LAYOUT_NONE;
}

static void known_copy(struct carry *c, uint32_t from)
{
	struct segment *old = c->old, *new = c->new;
	struct segment_slot known = *segment_slot(old, from);
	uint32_t to = slot_translate(c, from);

	if (to == LAYOUT_NONE || known.kind == SEGMENT_UNKNOWN ||
	    segment_kind(new, to) != SEGMENT_UNKNOWN)
		return;
	if (known.kind == SEGMENT_FLOW) {
		known.source = slot_translate(c, known.source);
		known.destination = slot_translate(c, known.destination);
	} else {
		if (new->strings->used + known.length > new->strings->bytes ||
		    (uint64_t)known.name + known.length > old->strings->bytes)
			return;
		memcpy(new->strings_text + new->strings->used, old->strings_text + known.name,
		       known.length);
		known.name = (uint32_t) new->strings->used;
		new->strings->used += known.length;
	}
	segment_slot_set(new, to, &known, old, from);
}

/* A slot that was not meant to be kept, or came after the copy; its parents first. */
static uint32_t slot_carry_late(struct carry *c, uint32_t from)
{
	const struct segment_slot *known = segment_slot(c->old, from);
	uint32_t parents[2] = {known->source, known->destination};

	for (int i = 0; known->kind == SEGMENT_FLOW && i < 2; i++)
		if (parents[i] < c->old->view.slots && slot_claim(c, parents[i]) != LAYOUT_NONE)
			known_copy(c, parents[i]);
	if (slot_claim(c, from) == LAYOUT_NONE)
		return LAYOUT_NONE;
	known_copy(c, from);
	return c->to[from] - 1;
}

/* Flows that are kept, and the parents that those need. */
static void flows_choose(struct carry *c)
{
	for (uint32_t i = 0; i < segment_count(c->old); i++) {
		uint32_t slot = segment_nth(c->old, i);
		const struct segment_slot *known = segment_slot(c->old, slot);

		if (c->keep && !c->keep(c->arg, slot))
			continue;
		if (slot_claim(c, slot) == LAYOUT_NONE || known->kind != SEGMENT_FLOW)
			continue;
		if (known->source < c->old->view.slots)
			slot_claim(c, known->source);
		if (known->destination < c->old->view.slots)
			slot_claim(c, known->destination);
	}
}

#define PIECE UINT32_C(4096) /* slots: what they take stays in the processor's cache */

static uint32_t piece_count(uint32_t first, uint32_t end)
{
	return end - first < PIECE ? end - first : PIECE;
}

static bool pages_worth_asking(const struct carry *c)
{
	return !c->keep && segment_count(c->old) >= c->new->view.slots / 8;
}

/* Slots follow from hashes, records from when each was learned: of the one that is gone through in
 * order the other lies anywhere. */
static void record_fetch(const struct carry *c, uint32_t slot)
{
	if (slot < c->old->view.slots)
		__builtin_prefetch(segment_slot(c->old, slot));
}

static void slot_fetch(const struct carry *c, uint32_t i)
{
	uint32_t slot;

	if (i >= segment_count(c->old))
		return;
	slot = segment_nth(c->old, i);
	__builtin_prefetch(&c->old->index[slot]);
	__builtin_prefetch(&c->to[slot]);
	if (c->to[slot])
		__builtin_prefetch(&c->new->index[c->to[slot] - 1], 1);
}

static void slots_ask(const struct carry *c, uint32_t first)
{
	const struct segment *s = c->new;
	uint32_t count;

	if (first % PIECE || first >= s->view.slots || !pages_worth_asking(c))
		return;
	count = piece_count(first, s->view.slots);
	segment_pages_ask(s->limits, sizeof(*s->limits), first, count);
	segment_pages_ask(s->more, sizeof(*s->more), first, count);
	segment_pages_ask(s->view.counters, sizeof(*s->view.counters), first, count);
	segment_pages_ask(s->view.counters_more, sizeof(*s->view.counters_more), first, count);
}

static void records_ask(const struct carry *c, uint32_t first)
{
	const struct segment *s = c->new;
	uint32_t count;

	if (first % PIECE || !pages_worth_asking(c))
		return;
	count = piece_count(first, s->known_room);
	segment_pages_ask(s->known, sizeof(*s->known), first, count);
	segment_pages_ask(s->engine, s->shape.engine_bytes, first, count);
}

/* So that names are known before the new sidecar has published its own. */
static void names_copy(const struct carry *c)
{
	const struct segment *old = c->old;
	struct segment *new = c->new;
	uint32_t index = atomic_load(&old->live->names_index);

	if (old->header.sizes.names_bytes <= new->header.sizes.names_bytes)
		memcpy(new->names[index & 1], old->names[index & 1], old->header.sizes.names_bytes);
	atomic_store(&new->live->names_index, index);
	atomic_store(&new->live->generation, atomic_load(&old->live->generation));
}

/* So that workers find a sidecar that lives, and the gate's mark. */
static void live_copy(const struct carry *c)
{
	const struct layout_live *a = c->old->live;
	struct layout_live *b = c->new->live;

	total_copy(&a->heartbeat_ns, &b->heartbeat_ns);
	total_copy(&a->down_after_ns, &b->down_after_ns);
	total_copy(&a->gate_token, &b->gate_token);
	atomic_store(&b->on_down, atomic_load(&a->on_down));
}

/* What an earlier attempt counted. */
static void gauges_clear(struct segment *new)
{
	const struct segment_array counters = {LAYOUT_COUNTERS, new->view.counters_more,
					       sizeof(*new->view.counters_more)};

	for (uint32_t slot = 0, end = 0; segment_resident_slots(new, &counters, end, &slot, &end);)
		for (; slot < end; slot++)
			if (atomic_load_explicit(&new->view.counters_more[slot].gauge,
						 memory_order_relaxed))
				atomic_store_explicit(&new->view.counters_more[slot].gauge, 0,
						      memory_order_relaxed);
}

/* Workers whose rings would have to be made when they attach anew wait for that. */
static void rings_make(const struct carry *c)
{
	const struct segment *old = c->old, *new = c->new;

	for (uint32_t w = 0; w < old->header.sizes.workers && w < new->header.sizes.workers; w++)
		if (atomic_load(&old->workers[w].owner) != 0 || alive_held(new->alive, w))
			segment_worker_allocate(new, w);
}

static void copy(struct carry *c)
{
	gauges_clear(c->new);
	rings_make(c);
	memcpy((void *)c->new->defaults, (const void *)c->old->defaults,
	       LAYOUT_DEFAULTS * sizeof(*c->new->defaults));
	memcpy((void *)c->new->calendar, (const void *)c->old->calendar, sizeof(*c->new->calendar));
	names_copy(c);
	live_copy(c);
	/* In the order of slots: that of both directories, so that memory is gone through once. */
	for (uint32_t slot = 0; !c->keep && slot < c->old->view.slots; slot++) {
		slots_ask(c, slot);
		record_fetch(c, slot + AHEAD);
		slot_claim(c, slot);
	}
	if (c->keep)
		flows_choose(c);
	for (uint32_t i = 0; i < segment_count(c->old); i++) {
		records_ask(c, i);
		slot_fetch(c, i + AHEAD);
		known_copy(c, segment_nth(c->old, i));
	}
}

/* ---- move ------------------------------------------------------------------------------------ */

static void slot_move(struct carry *c, uint32_t from)
{
	uint32_t to = c->to[from] - 1;
	_Atomic uint64_t *a[WORDS], *b[WORDS];

	words_of(c->old, from, a);
	words_of(c->new, to, b);
	for (int i = 0; i < WORDS; i++)
		word_carry(a[i], b[i]);
	segment_step();
	lease_close(&c->old->view, c->old->leases, &c->old->header.sizes, from);
	totals_copy(c, from, to);
}

/* Whether nobody used it since it was copied. */
static bool slot_still(const struct carry *c, uint32_t from)
{
	_Atomic uint64_t *a[WORDS], *b[WORDS];
	uint64_t gauge =
		atomic_load_explicit(&c->old->view.counters_more[from].gauge, memory_order_relaxed);

	if (gauge != LAYOUT_POISON && lease_count(gauge) != 0)
		return false;
	words_of(c->old, from, a);
	words_of(c->new, c->to[from] - 1, b);
	for (int i = 0; i < WORDS; i++) {
		uint64_t seen = atomic_load_explicit(a[i], memory_order_relaxed);

		if (seen != LAYOUT_POISON &&
		    seen != atomic_load_explicit(b[i], memory_order_relaxed))
			return false;
	}
	return true;
}

/* Whether a word says what a slot says that was never used. A period more than it would take: what
 * the phase of a slot is that was never filled is its destination's to say. */
static bool word_idle(const struct carry *c, uint32_t slot, int word, uint64_t seen)
{
	uint64_t flags = atomic_load_explicit(&c->old->limits[slot].flags, memory_order_relaxed);
	const struct layout_calendar *calendar = c->old->calendar;
	uint32_t period = (uint32_t)(seen >> 32);

	if (seen == 0)
		return true;
	switch (word) {
	case 1: return (uint32_t)seen == 0 || period + 1 < window_hour(calendar, flags, c->now_ns);
	case 2: return (uint32_t)seen == 0 || period + 1 < window_day(calendar, flags, c->now_ns);
	case 3:
		return (seen >> 2 * HEADROOM_COUNT_BITS << HEADROOM_UNIT_SHIFT) + WINDOW_DAY_NS <
		       c->now_ns;
	default: return (seen ^ gcra_epoch(seen)) <= c->now_ns;
	}
}

/* Forgets a slot: true; false: it is in use. What was poisoned until then says nothing that a fresh
 * one does not. */
static bool slot_forget(const struct carry *c, uint32_t from)
{
	_Atomic uint64_t *a[WORDS];
	uint64_t gauge =
		atomic_load_explicit(&c->old->view.counters_more[from].gauge, memory_order_relaxed);

	if (gauge != LAYOUT_POISON && lease_count(gauge) != 0)
		return false;
	words_of(c->old, from, a);
	for (int i = 0; i < WORDS; i++) {
		uint64_t seen = atomic_load_explicit(a[i], memory_order_relaxed);

		while (seen != LAYOUT_POISON) {
			if (!word_idle(c, from, i, seen))
				return false;
			if (atomic_compare_exchange_strong_explicit(a[i], &seen, LAYOUT_POISON,
								    memory_order_acq_rel,
								    memory_order_relaxed))
				break;
		}
	}
	lease_close(&c->old->view, c->old->leases, &c->old->header.sizes, from);
	return true;
}

/* Where nobody is yet, nobody who comes now must be charged. False: somebody was. */
static bool slot_shut(const struct carry *c, uint32_t from)
{
	_Atomic uint64_t *a[WORDS];

	words_of(c->old, from, a);
	for (int i = 0; i < WORDS; i++) {
		uint64_t seen = 0;

		if (!atomic_compare_exchange_strong_explicit(a[i], &seen, LAYOUT_POISON,
							     memory_order_acq_rel,
							     memory_order_relaxed) &&
		    seen != LAYOUT_POISON)
			return false;
	}
	lease_close(&c->old->view, c->old->leases, &c->old->header.sizes, from);
	return true;
}

static bool slot_empty(const struct carry *c, uint32_t from)
{
	return c->old->index[from] == 0 &&
	       atomic_load_explicit(&c->old->view.counters[from].key[0], memory_order_relaxed) == 0;
}

static void slot_settle(struct carry *c, uint32_t from)
{
	if (slot_empty(c, from) && slot_shut(c, from))
		return;
	if (c->to[from] == 0 && c->keep && slot_forget(c, from))
		return;
	if (c->to[from] == 0 && slot_carry_late(c, from) == LAYOUT_NONE)
		return;
	if (c->hot && (age_of(c, from) < c->recent || !slot_still(c, from)))
		c->hot[c->hot_count++] = from;
	else
		slot_move(c, from);
}

/* ---- retire ---------------------------------------------------------------------------------- */

/* Connections that are open stay counted, under the same worker and entry, where the new sizes have
 * room; an entry that does not fit is forgotten until its connection ends. */
static void leases_carry(const struct carry *c, uint32_t worker)
{
	const struct segment *old = c->old;
	struct segment *new = c->new;
	const struct layout_sizes *a = &old->header.sizes, *b = &new->header.sizes;
	uint64_t owner = atomic_load(&old->workers[worker].owner);

	/* Whose word was written over lives all the same. */
	if (owner == 0 && !alive_held(new->alive, worker))
		return;
	atomic_store(&new->workers[worker].owner, owner);
	for (uint32_t i = 0; i < a->leases && i < b->leases; i++) {
		uint64_t entry = atomic_load(&old->leases[(uint64_t)worker * a->leases + i]);
		uint32_t to;

		if (lease_state(entry) != LEASE_HELD)
			continue;
		to = slot_translate(c, lease_slot(entry));
		if (to == LAYOUT_NONE)
			continue;
		atomic_store(&new->leases[(uint64_t)worker * b->leases + i],
			     (entry & ~UINT64_C(0xffffffff)) | to);
		atomic_fetch_add(&new->view.counters_more[to].gauge, UINT64_C(1) << 48);
	}
}

/* Of a record that waits: what it tells of is kept. */
static uint32_t record_slot(struct carry *c, uint32_t slot)
{
	if (slot >= c->old->view.slots)
		return LAYOUT_NONE;
	return c->to[slot] ? c->to[slot] - 1 : slot_carry_late(c, slot);
}

/* What nobody has drained yet goes over, under the same numbers; a record that does not fit is lost
 * as a full ring loses it, and counted. */
static void ring_carry(struct carry *c, uint32_t worker)
{
	struct segment *old = c->old, *new = c->new;
	const struct layout_sizes *a = &old->header.sizes, *b = &new->header.sizes;
	uint64_t head = atomic_load(&old->workers[worker].head), tail = old->tails[worker];

	/* Nobody ever put anything: the new one's page need not be touched. */
	if (head == 0 && tail == 0)
		return;
	if (head - tail > a->ring_records)
		tail = head;
	if (head - tail > b->ring_records) {
		atomic_store(&new->workers[worker].lost, head - tail - b->ring_records);
		tail = head - b->ring_records;
	}
	for (uint64_t at = tail; at != head; at++) {
		struct layout_record record = old->records[(uint64_t)worker * a->ring_records +
							   (at & (a->ring_records - 1))];

		record.slot = record_slot(c, record.slot);
		record.source = record_slot(c, record.source);
		record.destination = record_slot(c, record.destination);
		new->records[(uint64_t)worker * b->ring_records + (at & (b->ring_records - 1))] =
			record;
	}
	new->tails[worker] = tail;
	atomic_store(&new->workers[worker].tail, tail);
	atomic_store(&new->workers[worker].head, head);
}

static void hot_fetch(const struct carry *c, uint32_t i)
{
	uint32_t from;

	if (i >= c->hot_count)
		return;
	from = c->hot[i];
	__builtin_prefetch(&c->old->view.counters[from], 1);
	__builtin_prefetch(&c->old->view.counters_more[from], 1);
	__builtin_prefetch(&c->new->view.counters[c->to[from] - 1], 1);
	__builtin_prefetch(&c->new->view.counters_more[c->to[from] - 1], 1);
}

static void retire(struct carry *c)
{
	struct segment *old = c->old;

	segment_step();
	for (int i = 0; i < 2; i++)
		atomic_store_explicit(&old->live->scale[i].span, 0, memory_order_relaxed);
	atomic_store_explicit(&old->live->state, LAYOUT_RETIRED, memory_order_release);
	for (uint32_t i = 0; i < c->hot_count; i++) {
		hot_fetch(c, i + AHEAD / 2);
		slot_move(c, c->hot[i]);
	}
	for (uint32_t w = 0; w < old->header.sizes.workers && w < c->new->header.sizes.workers;
	     w++) {
		leases_carry(c, w);
		ring_carry(c, w);
	}
}

/* Memory is given back after that, since workers wait for the names. */
static int files_name(struct carry *c)
{
	segment_step();
	atomic_store_explicit(&c->new->live->state, LAYOUT_LIVE, memory_order_release);
	return segment_name_files(c->new->folder);
}

int segment_migrate(struct segment *old, struct segment *new, segment_keep *keep, void *arg,
		    uint64_t now_ns, int *ret_named)
{
	struct carry c = {.old = old, .new = new, .keep = keep, .arg = arg, .now_ns = now_ns};

	c.to = calloc(old->view.slots, sizeof(*c.to));
	if (c.to == NULL)
		return -ENOMEM;
	/* Without memory for these all are moved at once: workers wait longer. */
	c.hot = calloc(old->view.slots, sizeof(*c.hot));
	copy(&c);
	recent_choose(&c);
	for (uint32_t from = 0; from < old->view.slots; from++)
		slot_settle(&c, from);
	retire(&c);
	*ret_named = files_name(&c);
	free(c.to);
	free(c.hot);
	return 0;
}
