/* SPDX-License-Identifier: MIT
 *
 * The consumer's side of shm/ring.c. The tail that counts is kept in `control`; workers are shown a
 * copy.
 */
#include "sidecar/segment/ring_reader.h"

#include <string.h>

bool record_validate(struct layout_record *r, uint32_t slots, uint64_t sequence, uint64_t now_ns)
{
	bool reply = r->kind == LAYOUT_RECORD_REPLY;

	if (r->sequence != sequence || r->kind < LAYOUT_RECORD_REPLY ||
	    r->kind > LAYOUT_RECORD_STREAM || r->slot >= slots || r->length > LAYOUT_TEXT ||
	    r->length > r->length_original)
		return false;
	if (reply && (r->stage >= TG_STAGES || r->traffic >= TG_CLASSES || r->code > 599 ||
		      (r->code != 0 && r->code < 200) || r->n == 0))
		return false;
	if (r->replied_ns > now_ns)
		r->replied_ns = now_ns;
	if (r->admitted_ns > r->replied_ns)
		r->admitted_ns = reply ? r->replied_ns : 0;
	return true;
}

bool ring_reader_waiting(const struct segment *s, uint32_t worker)
{
	return atomic_load_explicit(&s->workers[worker].head, memory_order_acquire) !=
	       s->tails[worker];
}

uint32_t ring_reader_drain(struct segment *s, uint32_t worker, uint32_t max, uint64_t now_ns,
			   const struct ring_reader_sink *sink)
{
	struct layout_worker *ring = &s->workers[worker];
	uint32_t records = s->header.sizes.ring_records;
	const struct layout_record *first = &s->records[(uint64_t)worker * records];
	/* R1 pairs with R0 in shm/ring.c: a record is whole when the head covers it. */
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
	uint64_t tail = s->tails[worker];
	uint32_t taken = 0;

	/* A head that is behind, or too far ahead: somebody wrote over it. Nothing there can be
	 * trusted. */
	if (head - tail > records) {
		sink->totals->damaged++;
		tail = head;
	}
	for (; tail != head && taken < max; tail++, taken++) {
		struct layout_record copy = first[tail & (records - 1)];

		if (record_validate(&copy, s->view.slots, tail, now_ns))
			sink->take(sink->arg, &copy, worker);
		else
			sink->totals->damaged++;
		/* One by one: a sidecar that dies here leaves at most this record to be seen twice.
		 */
		s->tails[worker] = tail + 1;
	}
	sink->totals->records += taken;
	s->tails[worker] = tail;
	/* R3 pairs with R2 in shm/ring.c. */
	atomic_store_explicit(&ring->tail, tail, memory_order_release);
	return taken;
}
