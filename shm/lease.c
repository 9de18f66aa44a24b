/* SPDX-License-Identifier: MIT
 *
 * The algorithm of lease.h, and connections on top of it.
 *
 * Orders are sequentially consistent here: the proof needs that whoever reads a gauge without a
 * stamp also sees the entry that the overwriter completed, and connections are rare enough to
 * afford it.
 */
#include "shm/lease.h"

#include <errno.h>

#include "shm/handle.h"

#define SEQUENCE_MASK ((UINT64_C(1) << 30) - 1)
#define STAMP_MASK    ((UINT64_C(1) << 15) - 1)
#define STAMP_BITS    ((UINT64_C(1) << 48) - 1)

static uint64_t entry_word(enum lease_state state, uint64_t sequence, uint32_t slot)
{
	return (uint64_t)state << 62 | (sequence & SEQUENCE_MASK) << 32 | slot;
}

static uint64_t entry_sequence(uint64_t entry)
{
	return entry >> 32 & SEQUENCE_MASK;
}

static uint64_t stamp_of(uint32_t worker, uint32_t index, bool returned, uint64_t sequence)
{
	return (uint64_t)worker << 32 | (uint64_t)index << 16 | (uint64_t)returned << 15 |
	       (sequence & STAMP_MASK);
}

/* Completes the entry that the gauge's stamp names, before the stamp is overwritten. The gauge is
 * shared memory: what it names is checked. */
static void stamp_complete(_Atomic uint64_t *leases, const struct layout_sizes *sizes,
			   uint32_t slot, uint64_t gauge)
{
	uint32_t worker = (uint32_t)(gauge >> 32 & 0xffff);
	uint32_t index = (uint32_t)(gauge >> 16 & 0xffff);
	bool returned = gauge >> 15 & 1;
	_Atomic uint64_t *at;
	uint64_t entry;

	/* A gauge that was never touched has no stamp; worker 0 stands there as 1. */
	if (worker == 0 || worker > sizes->workers || index >= sizes->leases)
		return;
	at = &leases[(uint64_t)(worker - 1) * sizes->leases + index];
	entry = atomic_load(at);
	if (lease_slot(entry) != slot ||
	    (entry_sequence(entry) & STAMP_MASK) != (gauge & STAMP_MASK) ||
	    lease_state(entry) != (returned ? LEASE_RELEASING : LEASE_INTENT))
		return;
	atomic_compare_exchange_strong(
		at, &entry,
		entry_word(returned ? LEASE_FREE : LEASE_HELD, entry_sequence(entry), slot));
}

int lease_take(const struct view *view, _Atomic uint64_t *leases, const struct layout_sizes *sizes,
	       uint32_t worker, uint32_t index, uint32_t slot, uint32_t cap, uint32_t *ret_sequence)
{
	_Atomic uint64_t *at = &leases[(uint64_t)worker * sizes->leases + index];
	_Atomic uint64_t *gauge = &view->counters_more[slot].gauge;
	uint64_t entry = atomic_load(at);
	uint64_t sequence = entry_sequence(entry) + 1;
	uint64_t seen, intent = entry_word(LEASE_INTENT, sequence, slot);

	if (lease_state(entry) != LEASE_FREE || !atomic_compare_exchange_strong(at, &entry, intent))
		return -EUSERS;
	seen = atomic_load(gauge);
	for (;;) {
		if (lease_count(seen) >= cap || lease_count(seen) >= LEASE_COUNT_MAX - 1) {
			atomic_store(at, entry_word(LEASE_FREE, sequence, slot));
			return -EAGAIN;
		}
		stamp_complete(leases, sizes, slot, seen);
		if (atomic_compare_exchange_strong(
			    gauge, &seen,
			    ((uint64_t)lease_count(seen) + 1) << 48 |
				    stamp_of(worker + 1, index, false, sequence)))
			break;
		pause_briefly();
	}
	/* Unless somebody has completed it already. */
	atomic_compare_exchange_strong(at, &intent, entry_word(LEASE_HELD, sequence, slot));
	*ret_sequence = (uint32_t)(sequence & SEQUENCE_MASK);
	return 0;
}

void lease_close(const struct view *view, _Atomic uint64_t *leases,
		 const struct layout_sizes *sizes, uint32_t slot)
{
	_Atomic uint64_t *gauge = &view->counters_more[slot].gauge;
	uint64_t seen = atomic_load(gauge);

	while (seen != LAYOUT_POISON) {
		stamp_complete(leases, sizes, slot, seen);
		if (atomic_compare_exchange_strong(gauge, &seen, LAYOUT_POISON))
			return;
		pause_briefly();
	}
}

/* From RELEASING to FREE, the gauge lowered exactly once. */
static void release_finish(const struct view *view, _Atomic uint64_t *leases,
			   const struct layout_sizes *sizes, uint32_t worker, uint32_t index,
			   uint64_t entry)
{
	_Atomic uint64_t *at = &leases[(uint64_t)worker * sizes->leases + index];
	uint32_t slot = lease_slot(entry);
	_Atomic uint64_t *gauge = &view->counters_more[slot].gauge;
	uint64_t mine = stamp_of(worker + 1, index, true, entry_sequence(entry));
	uint64_t seen = atomic_load(gauge);

	while (seen != LAYOUT_POISON && (seen & STAMP_BITS) != mine && atomic_load(at) == entry) {
		uint64_t count = lease_count(seen);

		stamp_complete(leases, sizes, slot, seen);
		if (atomic_compare_exchange_strong(gauge, &seen,
						   (count ? count - 1 : 0) << 48 | mine))
			break;
		pause_briefly();
	}
	atomic_compare_exchange_strong(at, &entry,
				       entry_word(LEASE_FREE, entry_sequence(entry), slot));
}

int lease_return(const struct view *view, _Atomic uint64_t *leases,
		 const struct layout_sizes *sizes, uint32_t worker, uint32_t index,
		 uint32_t sequence)
{
	_Atomic uint64_t *at = &leases[(uint64_t)worker * sizes->leases + index];
	uint64_t entry = atomic_load(at);
	uint64_t releasing = entry_word(LEASE_RELEASING, sequence, lease_slot(entry));

	if (lease_state(entry) != LEASE_HELD || entry_sequence(entry) != sequence ||
	    lease_slot(entry) >= view->slots ||
	    !atomic_compare_exchange_strong(at, &entry, releasing))
		return -EINVAL;
	release_finish(view, leases, sizes, worker, index, releasing);
	return 0;
}

bool lease_reclaim(const struct view *view, _Atomic uint64_t *leases,
		   const struct layout_sizes *sizes, uint32_t worker, uint32_t index)
{
	_Atomic uint64_t *at = &leases[(uint64_t)worker * sizes->leases + index];
	uint64_t entry = atomic_load(at);
	uint32_t slot = lease_slot(entry);
	uint64_t sequence = entry_sequence(entry);

	if (lease_state(entry) == LEASE_FREE)
		return false;
	if (slot >= view->slots) {
		atomic_store(at, 0);
		return false;
	}
	if (lease_state(entry) == LEASE_INTENT) {
		uint64_t gauge = atomic_load(&view->counters_more[slot].gauge);

		/* Its stamp stands there: it was counted. It does not: look again, since whoever
		 * overwrote it completed the entry first; if it is still INTENT it was never
		 * counted. */
		if ((gauge & STAMP_BITS) == stamp_of(worker + 1, index, false, sequence))
			atomic_compare_exchange_strong(at, &entry,
						       entry_word(LEASE_HELD, sequence, slot));
		else if (atomic_compare_exchange_strong(at, &entry,
							entry_word(LEASE_FREE, sequence, slot)))
			return false;
		entry = atomic_load(at);
	}
	if (lease_state(entry) == LEASE_HELD) {
		uint64_t releasing = entry_word(LEASE_RELEASING, sequence, slot);

		if (!atomic_compare_exchange_strong(at, &entry, releasing))
			return false;
		entry = releasing;
	}
	if (lease_state(entry) == LEASE_RELEASING)
		release_finish(view, leases, sizes, worker, index, entry);
	return true;
}

static void advice_read(const struct layout_limits_more *more, uint64_t flags,
			enum tg_class traffic, struct tg_advice *ret)
{
	uint64_t word = atomic_load_explicit(&more->connections, memory_order_relaxed);
	uint32_t cap = (uint32_t)(word >> (16 * traffic) & 0xffff);

	*ret = (struct tg_advice){
		.messages_per_connection = (uint32_t)(word >> 48),
		.connections = cap == 0xffff ? 0 : cap,
		.flags = flags & LAYOUT_COUNT_RECIPIENTS ? TG_COUNT_RECIPIENTS : 0,
	};
}

int tg_advise(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic,
	      struct tg_advice *ret)
{
	if (flow->slot >= tg->view.slots || (unsigned)traffic >= TG_CLASSES)
		return -EINVAL;
	advice_read(decide_more(&tg->view, flow), decide_flags(&tg->view, flow), traffic, ret);
	return 0;
}

/* A free entry of this worker's, from where the last one was found. */
static int entry_take(struct tg *tg, uint32_t slot, uint32_t cap, struct tg_lease *ret)
{
	const struct layout_sizes *sizes = &tg->header.sizes;
	uint32_t first = tg->process->lease_hint;

	for (uint32_t i = 0; i < sizes->leases; i++) {
		uint32_t index = (first + i) % sizes->leases;
		int error = lease_take(&tg->view, tg->leases, sizes, tg->process->index, index,
				       slot, cap, &ret->sequence);

		if (error == -EUSERS)
			continue;
		if (!error) {
			/* With the worker's slot: after a fork two processes have entries of the
			 * same number. */
			ret->entry = tg->process->index << 16 | index;
			/* A hint: threads may overwrite each other's. */
			tg->process->lease_hint = index + 1;
		}
		return error;
	}
	return -EUSERS;
}

/* False: as many connections are open as may be, or this worker has no entry left. */
static bool lease_get(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic, bool open,
		      struct tg_lease *ret)
{
	uint32_t cap;

	if (tg_worker(tg) == tg->overflow_worker || tg_advise(tg, flow, traffic, &ret->advice) != 0)
		return false;
	cap = ret->advice.connections && !open ? ret->advice.connections : LEASE_COUNT_MAX - 1;
	return entry_take(tg, flow->slot, cap, ret) == 0;
}

/* The lease comes first, since it costs nothing to give back: whoever finds no entry has used up
 * nothing of the rate. */
struct tg_verdict tg_connect(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic,
			     struct tg_lease *ret)
{
	struct layout_worker *worker = tg_worker(tg);
	enum tg_reason override = TG_ADMITTED;
	uint64_t now_ns = clock_now(tg, &override);
	struct tg_verdict verdict = admit_override(override, now_ns);
	struct tg_lease lease = {.flow = *flow};
	bool open = override == TG_REASONS, taken;

	if (override != TG_ADMITTED && !open)
		return admit_finish(tg, worker, verdict);
	taken = lease_get(tg, flow, traffic, open, &lease);
	verdict = decide_connect(&tg->view, flow, traffic, !taken, now_ns);
	if (open && verdict.reason != TG_REFUSED_DIRECTORY && taken)
		verdict = decide_admitted(now_ns);
	if (verdict.reason == TG_ADMITTED)
		*ret = lease;
	else if (taken)
		lease_return(&tg->view, tg->leases, &tg->header.sizes, tg->process->index,
			     lease.entry & 0xffff, lease.sequence);
	return admit_finish(tg, worker, verdict);
}

int tg_disconnect(struct tg *tg, const struct tg_lease *lease)
{
	if (tg_worker(tg) == tg->overflow_worker || lease->entry >> 16 != tg->process->index ||
	    (lease->entry & 0xffff) >= tg->header.sizes.leases)
		return -EINVAL;
	if (atomic_load_explicit(&tg->live->state, memory_order_acquire) == LAYOUT_RETIRED)
		return -ESTALE;
	return lease_return(&tg->view, tg->leases, &tg->header.sizes, tg->process->index,
			    lease->entry & 0xffff, lease->sequence);
}
