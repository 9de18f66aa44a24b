/* SPDX-License-Identifier: MIT
 *
 * How fast a count has grown lately: see rate_meter.h.
 */
#include "sidecar/base/rate_meter.h"

void rate_meter_add(struct rate_meter *meter, uint64_t count, uint64_t now_ns)
{
	uint32_t at = meter->noted++ % RECENT_NOTES;

	meter->notes[at].at_ns = now_ns;
	meter->notes[at].count = count;
}

double rate_meter_per_s(const struct rate_meter *meter, uint64_t count, uint64_t now_ns)
{
	uint32_t kept = meter->noted < RECENT_NOTES ? meter->noted : RECENT_NOTES;

	for (uint32_t i = meter->noted - kept; i != meter->noted; i++) {
		uint64_t at_ns = meter->notes[i % RECENT_NOTES].at_ns;
		uint64_t before = meter->notes[i % RECENT_NOTES].count;

		if (at_ns < now_ns && now_ns - at_ns <= RECENT_NS)
			return (double)(count - before) * 1e9 / (double)(now_ns - at_ns);
	}
	return 0;
}
