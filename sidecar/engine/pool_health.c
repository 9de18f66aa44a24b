/* SPDX-License-Identifier: MIT */
#include "sidecar/engine/pool_health.h"

#define SECOND_NS UINT64_C(1000000000)
#define MINUTE_NS (60 * SECOND_NS)

enum pool_judgement pool_health_judge(struct pool_health *state, const struct pool_counts *counts,
				      uint64_t now_ns)
{
	if (state->since_ns == 0) {
		if (counts->troubled < 2 ||
		    (uint64_t)counts->troubled * 3 < (uint64_t)counts->active * 2)
			return POOL_QUIET;
		state->since_ns = now_ns ? now_ns : 1;
		return POOL_BEGINS;
	}
	if ((uint64_t)counts->troubled * 3 >= counts->active && counts->troubled > 0)
		return POOL_STANDS;
	state->since_ns = 0;
	return POOL_ENDS;
}

void pool_rate_count(struct pool_rate *pace, uint32_t delivered, uint64_t now_ns)
{
	uint64_t minutes = now_ns > pace->minute_ns ? (now_ns - pace->minute_ns) / MINUTE_NS : 0;

	if (pace->minute_ns == 0)
		pace->minute_ns = now_ns;
	else if (minutes > 0) {
		pace->peak = pace->count > pace->peak ? pace->count : pace->peak;
		for (uint64_t i = 0; i < minutes && pace->peak > 0; i++)
			pace->peak -= (pace->peak + 9) / 10;
		/* The minute that has just ended has not faded yet. */
		if (minutes == 1 && pace->count > pace->peak)
			pace->peak = pace->count;
		pace->count = 0;
		pace->minute_ns += minutes * MINUTE_NS;
	}
	pace->count = delivered > UINT32_MAX - pace->count ? UINT32_MAX : pace->count + delivered;
}

uint64_t pool_rate_interval(const struct pool_rate *pace, uint64_t start_ns)
{
	uint64_t max = pace->count > pace->peak ? pace->count : pace->peak;

	if (max == 0)
		return start_ns ? start_ns : SECOND_NS;
	return MINUTE_NS * 10 / (max * 11);
}
