/* SPDX-License-Identifier: MIT
 *
 * What is reckoned from the outcome of a run.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "sidecar/base/units.h"
#include "sidecar/simulate/mta.h"
#include "sidecar/simulate/simulate.h"

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

double simulate_delayed_per_1000(const struct simulate_result *result)
{
	return 1000 * (double)result->delayed / (double)(result->arrived ? result->arrived : 1);
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

/* ---- the outcome ----------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* The share of sorted delays that are too long. */
static double late_of(const double *delays, size_t count)
{
	size_t late = 0;

	while (late < count && delays[count - 1 - late] > SIMULATE_LATE_S)
		late++;
	return (double)late / (double)count;
}

/* The delay of transactional mail, and the longest of bulk mail; what has not been delivered counts
 * with its age. */
static int mta_delays(const struct mta *mta, struct simulate_result *result)
{
	double *delays = malloc((mta->message_count + 1) * sizeof *delays);
	size_t count = 0;

	if (!delays)
		return -ENOMEM;
	result->bulk_max_s = NAN;
	for (size_t i = 0; i < mta->message_count; i++) {
		const struct simulate_message *message = &mta->messages[i];
		bool delivered = message->finished && message->cause == RECEIVER_ACCEPTED;
		uint64_t end = delivered ? message->sent_ns : mta->scenario->duration_ns;

		double delay_s = (double)(end - message->arrival_ns) / UNITS_SECOND_NS;

		if (message->class == TG_TRANSACTIONAL)
			delays[count++] = delay_s;
		else if (message->class == TG_BULK)
			result->bulk_max_s = fmax(result->bulk_max_s, delay_s);
	}
	qsort(delays, count, sizeof *delays, by_value);
	result->transactional_p50_s = count ? delays[count / 2] : NAN;
	result->transactional_p99_s = count ? delays[(size_t)((double)count * 0.99)] : NAN;
	result->transactional_late = count ? late_of(delays, count) : NAN;
	free(delays);
	return 0;
}

static bool pool_writes(const struct scenario *scenario, uint32_t pool, uint32_t receiver)
{
	for (size_t i = 0; i < scenario->traffic_count; i++)
		if (scenario->traffic[i].pool == pool && scenario->traffic[i].receiver == receiver)
			return true;
	return false;
}

static void mta_blocks(const struct mta *mta, struct simulate_result *result)
{
	const struct scenario *scenario = mta->scenario;
	double blocked = 0, late = 0, pairs = 0;

	for (uint32_t r = 0; r < scenario->receiver_count; r++)
		for (size_t s = 0; s < scenario->source_count; s++) {
			const struct receiver_account *account =
				mta->receivers[r]->sources[s].account;

			if (!pool_writes(scenario, scenario->sources[s].pool, r))
				continue;
			blocked += (double)account->blocked_ns;
			late += (double)account->blocked_late_ns;
			result->blocked_days += account->blocked_days;
			pairs++;
		}
	result->blocked_ip_hours = blocked / UNITS_HOUR_NS;
	result->blocked_after_first_hour = late / UNITS_HOUR_NS;
	result->blocked_share = pairs > 0 ? blocked / (pairs * (double)scenario->duration_ns) : 0;
}

int simulate_result_of(const struct mta *mta, struct simulate_result *result)
{
	int error = mta_delays(mta, result);

	if (error)
		return error;
	result->arrived = mta->message_count;
	for (size_t i = 0; i < mta->message_count; i++)
		result->delayed += mta->messages[i].attempts > 0;
	result->makespan_s = result->delivered == result->arrived
				     ? (double)mta->last_delivery_ns / UNITS_SECOND_NS
				     : NAN;
	result->days = (uint32_t)((mta->scenario->duration_ns + UNITS_DAY_NS - 1) / UNITS_DAY_NS);
	mta_blocks(mta, result);
	return 0;
}
