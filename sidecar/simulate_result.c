/* SPDX-License-Identifier: MIT
 *
 * What is reckoned from the outcome of a run.
 */
#include <stdlib.h>

#include "sidecar/simulate.h"

void simulate_result_free(struct simulate_result *result)
{
	free(result->series);
	result->series = NULL;
}

double simulate_share(const struct simulate_result *result, const struct simulate_result *oracle)
{
	if (oracle->delivered == 0)
		return 1;
	return (double)result->delivered / (double)oracle->delivered;
}

static double per_1000(uint64_t count, const struct simulate_result *result)
{
	return 1000 * (double)count / (double)(result->delivered ? result->delivered : 1);
}

double simulate_deferrals_per_1000(const struct simulate_result *result)
{
	return per_1000(result->deferrals, result);
}

double simulate_avoidable_per_1000(const struct simulate_result *result)
{
	return per_1000(result->avoidable, result);
}

double simulate_score(const struct simulate_result *result, const struct simulate_result *oracle)
{
	return simulate_share(result, oracle) - simulate_avoidable_per_1000(result) / 100 -
	       result->blocked_share;
}
