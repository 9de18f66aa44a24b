/* SPDX-License-Identifier: MIT
 *
 * Replacing a segment: usage goes from the old one to the new one, word by word.
 *
 * The old one is marked first, so workers are told. Then each word of state is copied, and poisoned
 * by compare-and-swap from what was copied: a worker that was in the middle of a decision either
 * charged before (and its charge is copied) or finds the poison and is refused. A word that is
 * poisoned already was copied by a sidecar that died here; so the whole may be repeated.
 */
#include <string.h>

#include "shm/alive.h"
#include "shm/handle.h"
#include "shm/lease.h"
#include "sidecar/segment/segment_files.h"

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
static void limits_carry(const struct segment *old, struct segment *new, uint32_t from, uint32_t to)
{
	memcpy((void *)&new->limits[to], (const void *)&old->limits[from], sizeof(new->limits[to]));
	memcpy((void *)&new->more[to], (const void *)&old->more[from], sizeof(new->more[to]));
}

static void totals_carry(const struct segment *old, struct segment *new, uint32_t from, uint32_t to)
{
	const struct layout_counters_more *a = &old->view.counters_more[from];
	struct layout_counters_more *b = &new->view.counters_more[to];

	atomic_store_explicit(&b->delivered,
			      atomic_load_explicit(&a->delivered, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(&b->deferred,
			      atomic_load_explicit(&a->deferred, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(&b->bounced, atomic_load_explicit(&a->bounced, memory_order_relaxed),
			      memory_order_relaxed);
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

static uint32_t slot_carry(struct segment *old, struct segment *new, uint32_t from)
{
	struct layout_counters *a = &old->view.counters[from];
	struct hash_key key = slot_key(old, from);
	struct layout_counters *b;
	uint32_t to;

	if (key.half[0] == 0 || key.half[1] == 0)
		return LAYOUT_NONE;
	to = directory_find(&new->view, &key, true);
	if (to == LAYOUT_NONE)
		return LAYOUT_NONE;
	b = &new->view.counters[to];
	limits_carry(old, new, from, to);
	totals_carry(old, new, from, to);
	word_carry(&a->tat, &b->tat);
	word_carry(&a->hour, &b->hour);
	word_carry(&a->day, &b->day);
	word_carry(&a->headroom, &b->headroom);
	word_carry(&a->reserved_until, &b->reserved_until);
	word_carry(&a->connection_tat, &b->connection_tat);
	return to;
}

static void known_carry(const struct segment *old, struct segment *new, uint32_t from, uint32_t to)
{
	struct segment_slot known = *segment_slot(old, from);

	if (known.kind == SEGMENT_UNKNOWN || segment_kind(new, to) != SEGMENT_UNKNOWN)
		return;
	if (known.kind != SEGMENT_FLOW) {
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

/* Parents are slots: theirs are others now. */
static uint32_t slot_translate(struct segment *new, const struct segment *old, uint32_t slot)
{
	struct hash_key key;

	if (slot >= old->view.slots)
		return LAYOUT_NONE;
	key = slot_key(old, slot);
	return key.half[0] && key.half[1] ? directory_find(&new->view, &key, false) : LAYOUT_NONE;
}

static void parents_carry(const struct segment *old, struct segment *new, uint32_t from)
{
	const struct segment_slot *known = segment_slot(old, from);
	uint32_t to = known->kind == SEGMENT_FLOW ? slot_translate(new, old, from) : LAYOUT_NONE;

	if (to == LAYOUT_NONE)
		return;
	segment_slot(new, to)->source = slot_translate(new, old, known->source);
	segment_slot(new, to)->destination = slot_translate(new, old, known->destination);
}

/* So that names are known before the new sidecar has published its own. */
static void names_carry(const struct segment *old, struct segment *new)
{
	uint32_t index = atomic_load(&old->live->names_index);

	if (old->header.sizes.names_bytes <= new->header.sizes.names_bytes)
		memcpy(new->names[index & 1], old->names[index & 1], old->header.sizes.names_bytes);
	atomic_store(&new->live->names_index, index);
	atomic_store(&new->live->generation, atomic_load(&old->live->generation));
}

/* Connections that are open stay counted, under the same worker and entry, where the new sizes have
 * room; an entry that does not fit is forgotten until its connection ends. */
static void leases_carry(struct segment *old, struct segment *new)
{
	const struct layout_sizes *a = &old->header.sizes, *b = &new->header.sizes;

	for (uint32_t w = 0; w < a->workers && w < b->workers; w++) {
		uint64_t owner = atomic_load(&old->workers[w].owner);

		/* Whose word was written over lives all the same. */
		if (owner == 0 && !alive_held(new->alive, w))
			continue;
		atomic_store(&new->workers[w].owner, owner);
		for (uint32_t i = 0; i < a->leases && i < b->leases; i++) {
			uint64_t entry = atomic_load(&old->leases[(uint64_t)w * a->leases + i]);
			uint32_t from = lease_slot(entry), to;

			if (lease_state(entry) != LEASE_HELD || from >= old->view.slots)
				continue;
			to = slot_translate(new, old, from);
			if (to != LAYOUT_NONE)
				atomic_store(&new->leases[(uint64_t)w * b->leases + i],
					     (entry & ~UINT64_C(0xffffffff)) | to);
		}
	}
}

/* What nobody has drained yet goes over, under the same numbers; a record that does not fit is lost
 * as a full ring loses it, and counted. */
static void ring_carry(struct segment *old, struct segment *new, uint32_t worker)
{
	const struct layout_sizes *a = &old->header.sizes, *b = &new->header.sizes;
	uint64_t head = atomic_load(&old->workers[worker].head), tail = old->tails[worker];

	if (head - tail > a->ring_records)
		tail = head;
	if (head - tail > b->ring_records) {
		atomic_store(&new->workers[worker].lost, head - tail - b->ring_records);
		tail = head - b->ring_records;
	}
	for (uint64_t at = tail; at != head; at++) {
		struct layout_record copy = old->records[(uint64_t)worker * a->ring_records +
							 (at & (a->ring_records - 1))];

		copy.slot = slot_translate(new, old, copy.slot);
		copy.source = slot_translate(new, old, copy.source);
		copy.destination = slot_translate(new, old, copy.destination);
		new->records[(uint64_t)worker * b->ring_records + (at & (b->ring_records - 1))] =
			copy;
	}
	new->tails[worker] = tail;
	atomic_store(&new->workers[worker].tail, tail);
	atomic_store(&new->workers[worker].head, head);
}

static void rings_carry(struct segment *old, struct segment *new)
{
	for (uint32_t w = 0; w < old->header.sizes.workers && w < new->header.sizes.workers; w++)
		ring_carry(old, new, w);
}

/* Counts anew from the entries, so that repeating this does not count twice. */
static void gauges_count(struct segment *new)
{
	const struct layout_sizes *sizes = &new->header.sizes;

	for (uint32_t slot = 0, end = 0;
	     segment_resident_slots(new, LAYOUT_COUNTERS, new->view.counters_more,
				    sizeof(*new->view.counters_more), end, &slot, &end);)
		for (; slot < end; slot++)
			if (atomic_load_explicit(&new->view.counters_more[slot].gauge,
						 memory_order_relaxed))
				atomic_store_explicit(&new->view.counters_more[slot].gauge, 0,
						      memory_order_relaxed);
	for (uint64_t i = 0; i < (uint64_t)sizes->workers * sizes->leases; i++) {
		uint64_t entry = atomic_load(&new->leases[i]);

		if (lease_state(entry) == LEASE_HELD && lease_slot(entry) < new->view.slots)
			atomic_fetch_add(&new->view.counters_more[lease_slot(entry)].gauge,
					 UINT64_C(1) << 48);
	}
}

void segment_migrate(struct segment *old, struct segment *new, segment_keep *keep, void *arg)
{
	segment_step();
	for (int i = 0; i < 2; i++)
		atomic_store_explicit(&old->live->scale[i].span, 0, memory_order_relaxed);
	atomic_store_explicit(&old->live->state, LAYOUT_RETIRED, memory_order_release);
	memcpy((void *)new->defaults, (const void *)old->defaults,
	       LAYOUT_DEFAULTS * sizeof(*new->defaults));
	memcpy((void *)new->calendars, (const void *)old->calendars,
	       LAYOUT_CALENDARS * sizeof(*new->calendars));
	for (uint32_t from = 0; from < old->view.slots; from++) {
		uint32_t to = slot_carry(old, new, from);

		if (to == LAYOUT_NONE)
			continue;
		segment_step();
		lease_close(&old->view, old->leases, &old->header.sizes, from);
		known_carry(old, new, from, to);
	}
	for (uint32_t from = 0; from < old->view.slots; from++)
		parents_carry(old, new, from);
	names_carry(old, new);
	leases_carry(old, new);
	rings_carry(old, new);
	gauges_count(new);
}
