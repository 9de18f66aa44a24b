/* SPDX-License-Identifier: MIT */
#include "sidecar/daemon/usage.h"

/* Within the second before all was lost a rate may have been raised, which was not written down any
 * more: none doubles in that time. */
#define RAISE 2

static uint64_t sent_most(const struct usage_kept *kept, int64_t from_ns, int64_t until_ns)
{
	uint64_t messages;

	if (until_ns <= from_ns)
		return 0;
	if (kept->interval_ns == 0)
		return UINT32_MAX;
	messages = ((uint64_t)until_ns - (uint64_t)from_ns) / kept->interval_ns;
	return messages < UINT32_MAX ? kept->burst + (messages + 1) * RAISE : UINT32_MAX;
}

uint32_t usage_restored(const struct usage_kept *kept, const struct usage_gap *gap,
			uint32_t present, int64_t begun_ns)
{
	uint32_t period = (uint32_t)(kept->word >> 32);
	/* A later period: the clock was set back. Its count is taken for that of the present one. */
	uint64_t count = period >= present ? (uint32_t)kept->word : 0;
	int64_t from_ns = gap->from_ns > begun_ns ? gap->from_ns : begun_ns;
	uint64_t most;

	if (kept->cap == USAGE_NO_CAP || count >= kept->cap)
		return (uint32_t)count;
	most = count + sent_most(kept, from_ns, gap->until_ns);
	return most < kept->cap ? (uint32_t)most : kept->cap;
}
