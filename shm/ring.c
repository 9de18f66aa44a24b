/* SPDX-License-Identifier: MIT
 *
 * Reports: counted at once, and told to the sidecar by this worker's ring.
 *
 * One producer a ring (the threads of a process share it under a mutex of their own), one consumer.
 * A record is whole before the head that covers it is stored (R0), and the sidecar loads the head
 * before it reads the record (R1). A producer that dies in the middle loses that record alone. A
 * full ring loses the text, never the count; names are told later (shm/unsaid.h).
 *
 * The doorbell is a FIFO in the segment's folder, opened for reading and writing so that it
 * survives the sidecar. It is rung only if the sidecar says that it sleeps: the head is stored,
 * then `sleeping` is loaded (B0); the sidecar stores `sleeping`, then loads the heads once more
 * (B1); both with a full fence between, so at least one of them sees the other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/handle.h"
#include "shm/lease.h"
#include "shm/unmap.h"

/* The doorbell: wakes a sidecar that sleeps. */
void ring_doorbell(struct tg *tg)
{
	static const char byte = 1;

	if (tg->wake < 0)
		return;
	/* A full pipe means that the sidecar has been told. */
	while (write(tg->wake, &byte, 1) < 0 && errno == EINTR)
		;
}

/* The lines of a record that is written soon were last read by the sidecar's processor: they are
 * asked for, to be written, while nobody waits. */
static inline void record_fetch(const struct layout_record *record)
{
#if defined(__x86_64__)
	/* Where the processor does not know it, this does nothing. */
	for (size_t at = 0; at < 4 * LAYOUT_LINE; at += LAYOUT_LINE)
		__asm__ volatile("prefetchw %0" : : "m"(*((const char *)record + at)));
#else
	for (size_t at = 0; at < 4 * LAYOUT_LINE; at += LAYOUT_LINE)
		__builtin_prefetch((const char *)record + at, 1);
#endif
}

/* False: the ring is full. */
static bool record_put(struct tg *tg, struct layout_worker *worker,
		       const struct layout_record *head, const void *text, size_t length)
{
	uint32_t records = tg->header.sizes.ring_records;
	uint64_t at = atomic_load_explicit(&worker->head, memory_order_relaxed);
	struct layout_record *record;

	/* R2 pairs with R3 in sidecar/segment/ring_reader.c: who overwrites a record comes after
	 * who read it. */
	if (at - atomic_load_explicit(&worker->tail, memory_order_acquire) >= records)
		return false;
	record = &tg->records[(uint64_t)tg->process->index * records + (at & (records - 1))];
	memcpy(record, head, offsetof(struct layout_record, text));
	record->sequence = at;
	record->length_original = (uint16_t)(length < UINT16_MAX ? length : UINT16_MAX);
	record->length = (uint16_t)(length < LAYOUT_TEXT ? length : LAYOUT_TEXT);
	if (record->length)
		memcpy(record->text, text, record->length);
	/* R0 pairs with R1 in sidecar/segment/ring_reader.c: the record is whole before the head
	 * covers it. */
	atomic_store_explicit(&worker->head, at + 1, memory_order_release);
	record_fetch(
		&tg->records[(uint64_t)tg->process->index * records + ((at + 2) & (records - 1))]);
	return true;
}

static void bell(struct tg *tg)
{
	/* B0 pairs with B1 in sidecar/daemon/daemon.c. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&tg->live->sleeping, memory_order_relaxed))
		ring_doorbell(tg);
}

static bool is_name(const struct layout_record *record)
{
	return record->kind == LAYOUT_RECORD_SOURCE || record->kind == LAYOUT_RECORD_DESTINATION ||
	       record->kind == LAYOUT_RECORD_STREAM;
}

void ring_put(struct tg *tg, const struct layout_record *head, const void *text, size_t length)
{
	struct layout_worker *worker = tg_worker(tg);

	if (worker == tg->overflow_worker)
		return;
	pthread_mutex_lock(&tg->process->ring);
	if (!record_put(tg, worker, head, text, length)) {
		atomic_store_explicit(&worker->lost,
				      atomic_load_explicit(&worker->lost, memory_order_relaxed) + 1,
				      memory_order_relaxed);
		if (is_name(head))
			unsaid_keep(&tg->unsaid, (uint16_t)head->kind, head->slot, text, length);
	}
	pthread_mutex_unlock(&tg->process->ring);
	bell(tg);
}

#define SAID_AT_ONCE 16 /* names: no call takes long for what others left */

void ring_say_unsaid(struct tg *tg)
{
	struct layout_worker *worker = tg_worker(tg);
	struct unsaid_name *name;

	if (worker == tg->overflow_worker)
		return;
	pthread_mutex_lock(&tg->process->ring);
	for (int i = 0; i < SAID_AT_ONCE && (name = unsaid_take(&tg->unsaid)) != NULL; i++) {
		struct layout_record record = {.kind = name->kind,
					       .slot = name->slot,
					       .source = LAYOUT_NONE,
					       .destination = LAYOUT_NONE};

		if (!record_put(tg, worker, &record, name->text, name->length)) {
			unsaid_return(&tg->unsaid, name);
			break;
		}
		free(name);
	}
	pthread_mutex_unlock(&tg->process->ring);
	bell(tg);
}

void ring_count_reply(const struct view *view, uint32_t slot, unsigned code, uint32_t n)
{
	struct layout_counters_more *totals = &view->counters_more[slot];
	bool delivered = code >= 200 && code < 300;
	bool bounced = code >= 500 && code < 600;

	atomic_fetch_add_explicit(delivered ? &totals->delivered
				  : bounced ? &totals->bounced
					    : &totals->deferred,
				  n, memory_order_relaxed);
}

void tg_report(struct tg *tg, const struct tg_flow *flow, const struct tg_reply *reply)
{
	enum tg_reason override = TG_ADMITTED;
	uint64_t now_ns = clock_now(tg, &override);
	uint32_t n = reply->n ? reply->n : 1;
	struct layout_record record; /* its text is not used, and not cleared: that would cost more
					than the rest */

	unmap_more(&tg->before);
	if (__builtin_expect(unsaid_any(&tg->unsaid), 0))
		ring_say_unsaid(tg);
	if (flow->slot >= tg->view.slots)
		return;
	ring_count_reply(&tg->view, flow->slot, reply->code, n);
	if (reply->code >= 200 && reply->code < 300 &&
	    !(decide_flags(&tg->view, flow) & LAYOUT_REPORT_DELIVERED))
		return;
	memset(&record, 0, offsetof(struct layout_record, text));
	record.kind = LAYOUT_RECORD_REPLY;
	record.slot = flow->slot;
	record.source = flow->source;
	record.destination = flow->destination;
	record.replied_ns = now_ns;
	record.admitted_ns = reply->admitted_ns;
	record.n = n;
	record.code = reply->code;
	memcpy(record.enhanced, reply->enhanced, sizeof(record.enhanced));
	record.place = reply->place;
	record.traffic = reply->traffic;
	record.stage = reply->stage;
	record.open = lease_count(atomic_load_explicit(&tg->view.counters_more[flow->slot].gauge,
						       memory_order_relaxed));
	ring_put(tg, &record, reply->text, reply->text ? reply->length : 0);
}
