/* SPDX-License-Identifier: MIT
 *
 * A hostile worker: random words over all that workers may write.
 */
#ifndef TESTS_STRESS_SCRIBBLE_H
#define TESTS_STRESS_SCRIBBLE_H

#include "tests/segment_fixture.h"

static inline bool scribble_zero(const void *bytes, size_t length)
{
	const unsigned char *at = bytes;

	for (size_t i = 0; i < length; i++)
		if (at[i])
			return false;
	return true;
}

/* Everything in counters and rings but the lines of one slot and one worker. */
static inline void scribble(struct tg *tg, uint32_t spared_slot, uint32_t spared_worker,
			    uint64_t *seed, int words)
{
	char *counters = tg->files[LAYOUT_COUNTERS].base, *rings = tg->files[LAYOUT_RINGS].base;
	const char *slot = (char *)&tg->view.counters[spared_slot],
		   *more = (char *)&tg->view.counters_more[spared_slot];
	const char *worker = (char *)&tg->workers[spared_worker];
	const char *leases = (char *)&tg->leases[(uint64_t)spared_worker * tg->header.sizes.leases];

	for (int i = 0; i < words; i++) {
		bool ring = random_next(seed) % 2;
		uint64_t bytes = tg->files[ring ? LAYOUT_RINGS : LAYOUT_COUNTERS].bytes;
		char *at = (ring ? rings : counters) + random_next(seed) % (bytes / 8) * 8;

		/* Half of them where something is, so that damage is not lost in empty pages. */
		if (random_next(seed) % 2 && scribble_zero(at, 8))
			continue;
		if ((at >= slot && at < slot + sizeof(struct layout_counters)) ||
		    (at >= more && at < more + sizeof(struct layout_counters_more)) ||
		    (at >= worker && at < worker + sizeof(struct layout_worker)) ||
		    (at >= leases && at < leases + tg->header.sizes.leases * 8))
			continue;
		atomic_store((_Atomic uint64_t *)(void *)at,
			     random_next(seed) % 4 ? random_next(seed) : UINT64_MAX);
	}
}

#endif
