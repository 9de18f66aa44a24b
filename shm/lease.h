/* SPDX-License-Identifier: MIT
 *
 * Leases: who has how many connections open, exactly, though any process may die at any
 * instruction.
 *
 * Each worker has a table of leases. A flow's `gauge` counts the leases held on it. Taking a lease
 * changes two words, an entry and the gauge, and a process may die between them; so that it can be
 * told afterwards whether the gauge was changed, each change stamps the gauge with who did it
 * (worker, entry, sequence, taken or returned), and whoever is about to overwrite a stamp first
 * completes the entry that it names. So an entry that is still INTENT, and whose stamp does not
 * stand in the gauge, was never counted.
 *
 *   entry   state:2 | sequence:30 | slot:32
 *   gauge   count:16 | worker:16 | entry:16 | returned:1 | sequence:15
 *
 *   FREE -> INTENT -> (gauge + 1) -> HELD -> RELEASING -> (gauge - 1) -> FREE
 *
 * All functions are lock-free and may be repeated by anybody, the sidecar included: a repetition
 * finds the work done.
 */
#ifndef TG_LEASE_H
#define TG_LEASE_H

#include "shm/decide.h"

enum lease_state { LEASE_FREE, LEASE_INTENT, LEASE_HELD, LEASE_RELEASING };

#define LEASE_COUNT_MAX UINT32_C(0xffff)

static inline uint32_t lease_count(uint64_t gauge)
{
	return (uint32_t)(gauge >> 48);
}

static inline enum lease_state lease_state(uint64_t entry)
{
	return (enum lease_state)(entry >> 62);
}

static inline uint32_t lease_slot(uint64_t entry)
{
	return (uint32_t)entry;
}

/* Takes a lease on slot if fewer than cap are held: 0 with the sequence, -EAGAIN: at the cap,
 * -EUSERS: this entry is taken (try another). */
int lease_take(const struct view *view, _Atomic uint64_t *leases, const struct layout_sizes *sizes,
	       uint32_t worker, uint32_t entry, uint32_t slot, uint32_t cap,
	       uint32_t *ret_sequence);

/* Returns a held lease. -EINVAL: it is not held, or under another sequence. */
int lease_return(const struct view *view, _Atomic uint64_t *leases,
		 const struct layout_sizes *sizes, uint32_t worker, uint32_t entry,
		 uint32_t sequence);

/* Closes a gauge for good (LAYOUT_POISON): from now on no lease is taken or returned on slot. Each
 * that was counted is HELD or, if it was being returned, FREE; what is still INTENT or RELEASING
 * was not. */
void lease_close(const struct view *view, _Atomic uint64_t *leases,
		 const struct layout_sizes *sizes, uint32_t slot);

/* Brings an entry of a worker that is gone back to FREE, from whatever state. True: it was held. */
bool lease_reclaim(const struct view *view, _Atomic uint64_t *leases,
		   const struct layout_sizes *sizes, uint32_t worker, uint32_t entry);

#endif
