/* SPDX-License-Identifier: MIT
 *
 * What a receiver takes of an address in a day by what it accepted of it on the days before, and
 * whether it punishes who tries more. Pure.
 */
#ifndef SIDECAR_SIMULATE_RECEIVER_ALLOWANCE_H
#define SIDECAR_SIMULATE_RECEIVER_ALLOWANCE_H

#include "sidecar/simulate/scenario_types.h"

struct receiver_allowance {
	uint64_t day;				  /* the one under way */
	uint32_t arrived;			  /* in it, refused or not */
	uint32_t accepted;			  /* of these */
	uint32_t before[SCENARIO_ALLOWANCE_DAYS]; /* accepted on days before, by day modulo */
};

/* Another day may have begun. */
void receiver_allowance_advance(struct receiver_allowance *allowance, uint64_t day);

/* Messages of the day under way; infinite: any number. */
double receiver_allowance_day(const struct scenario_allowance *truth,
			      const struct receiver_allowance *allowance);

/* How many may be tried in the day before it is punished; infinite: any number. */
double receiver_allowance_bound(const struct scenario_allowance *truth,
				const struct receiver_allowance *allowance);

#endif
