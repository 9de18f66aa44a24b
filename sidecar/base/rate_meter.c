/* SPDX-License-Identifier: MIT
 *
 * How fast a count has grown lately: see rate_meter.h.
 */
#include "sidecar/base/rate_meter.h"

void recent_note(struct recent *recent, uint64_t count, uint64_t now_ns)
{
	uint32_t at = recent->noted++ % RECENT_NOTES;

	recent->notes[at].at_ns = now_ns;
	recent->notes[at].count = count;
}

double recent_per_s(const struct recent *recent, uint64_t count, uint64_t now_ns)
{
	uint32_t kept = recent->noted < RECENT_NOTES ? recent->noted : RECENT_NOTES;

	for (uint32_t i = recent->noted - kept; i != recent->noted; i++) {
		uint64_t at_ns = recent->notes[i % RECENT_NOTES].at_ns;
		uint64_t before = recent->notes[i % RECENT_NOTES].count;

		if (at_ns < now_ns && now_ns - at_ns <= RECENT_NS)
			return (double)(count - before) * 1e9 / (double)(now_ns - at_ns);
	}
	return 0;
}
