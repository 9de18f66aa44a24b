/* SPDX-License-Identifier: MIT
 *
 * The outcome of runs, as people and programs read it.
 */
#ifndef SIDECAR_SIMULATE_REPORT_H
#define SIDECAR_SIMULATE_REPORT_H

#include <stdio.h>

#include "sidecar/simulate/simulate.h"

#define SIMULATE_POLICIES_MAX 8

/* One scenario at one seed, under several policies. */
struct simulate_outcome {
	char name[256];
	uint64_t seed;
	struct simulate_result oracle; /* what the others are measured by */
	struct simulate_result results[SIMULATE_POLICIES_MAX];
	size_t count;
};

/* A table, a row a result. */
void simulate_report_table(FILE *out, const struct simulate_outcome *outcome);

/* A line of JSON for each result. named: begins with the scenario's name and the seed. */
void simulate_report_json(FILE *out, const struct simulate_outcome *outcome, bool named);

/* What each kind of answer was given how often, a row a result. */
void simulate_report_replies(FILE *out, const struct simulate_outcome *outcome);

/* A table in Markdown over all outcomes, which have the same policies: a row a policy.
 * 0, or -ENOMEM. */
int simulate_report_summary(FILE *out, const struct simulate_outcome *outcomes, size_t count);

/* Draws, a panel for each receiver, the messages accepted per minute under each policy beside the
 * limit that the receiver hides, its outages, and the deferrals. The results carry their series. 0
 * or -errno. */
int simulate_report_plot(const char *path, const struct scenario *scenario,
			 const struct simulate_outcome *outcome);

#endif
