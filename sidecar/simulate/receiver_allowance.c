/* SPDX-License-Identifier: MIT */
#include "sidecar/simulate/receiver_allowance.h"

#include <math.h>
#include <string.h>

void receiver_allowance_advance(struct receiver_allowance *a, uint64_t day)
{
	if (day == a->day)
		return;
	if (day - a->day >= SCENARIO_ALLOWANCE_DAYS) {
		*a = (struct receiver_allowance){.day = day};
		return;
	}
	a->before[a->day % SCENARIO_ALLOWANCE_DAYS] = a->accepted;
	while (++a->day < day)
		a->before[a->day % SCENARIO_ALLOWANCE_DAYS] = 0;
	a->arrived = a->accepted = 0;
}

/* The most accepted on one of the last days, but what is always fine at least. */
static double most_of(const struct scenario_allowance *truth, const struct receiver_allowance *a)
{
	double most = truth->base;

	for (uint64_t i = 1; i <= truth->days && i <= a->day; i++)
		most = fmax(most, a->before[(a->day - i) % SCENARIO_ALLOWANCE_DAYS]);
	return most;
}

static double peak_of(const struct scenario_allowance *truth, const struct receiver_allowance *a)
{
	struct scenario_allowance accepted = *truth;

	accepted.base = 0;
	return most_of(&accepted, a);
}

double receiver_allowance_day(const struct scenario_allowance *truth,
			      const struct receiver_allowance *a)
{
	if (truth->base == 0)
		return INFINITY;
	return floor(fmax(truth->base, truth->factor * peak_of(truth, a)));
}

double receiver_allowance_bound(const struct scenario_allowance *truth,
				const struct receiver_allowance *a)
{
	double bound = INFINITY;

	if (truth->base == 0)
		return bound;
	if (truth->growth > 0)
		bound = floor(truth->growth * most_of(truth, a));
	if (truth->tolerance > 0)
		bound = fmin(bound, floor(truth->tolerance * receiver_allowance_day(truth, a)));
	return bound;
}
