/* SPDX-License-Identifier: MIT
 *
 * The simulator: a scenario's traffic, through an MTA with queues, workers and a retry schedule,
 * paced by a policy, against models of receivers, under a virtual clock.
 *
 * A run depends on nothing but the scenario, the policy and the seed. The same messages arrive at
 * the same times for every policy, and the n-th attempt of a message meets the same noise, the same
 * latency and the same jitter of its retry.
 */
#ifndef SIDECAR_SIMULATE_SIMULATE_H
#define SIDECAR_SIMULATE_SIMULATE_H

#include "sidecar/simulate/types.h"

/* Runs the scenario under the policy. The configuration is the caller's, one thread uses it at a
 * time; policies that do not classify take NULL. 0, -ENOMEM, or what the policy's create returned.
 * The caller frees *ret with simulate_result_free. */
int simulate_run(const struct scenario *scenario, const struct simulate_policy *policy,
		 struct simulate_config *config, const struct simulate_options *options,
		 struct simulate_result *ret);
void simulate_result_free(struct simulate_result *result);

/* Of the oracle's deliveries; 1 if it delivered nothing either. */
double simulate_share(const struct simulate_result *result, const struct simulate_result *oracle);
double simulate_deferrals_per_1000(const struct simulate_result *result);
double simulate_delayed_per_1000(const struct simulate_result *result); /* of those that came */
double simulate_avoidable_per_1000(const struct simulate_result *result);
/* share - avoidable per 1,000 / 100 - blocked share of IP-hours */
double simulate_score(const struct simulate_result *result, const struct simulate_result *oracle);

#endif
