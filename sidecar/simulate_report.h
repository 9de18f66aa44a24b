/* SPDX-License-Identifier: MIT
 *
 * The outcome of runs, as people and programs read it.
 */
#ifndef SIDECAR_SIMULATE_REPORT_H
#define SIDECAR_SIMULATE_REPORT_H

#include <stdio.h>

#include "sidecar/simulate.h"

/* A table, a row a result. */
void simulate_report_table(FILE *out, const struct simulate_result *results, size_t count,
			   const struct simulate_result *oracle);

/* A line of JSON for one result; scenario names it in front of the rest, or is NULL. */
void simulate_report_json(FILE *out, const char *scenario, const struct simulate_result *result,
			  const struct simulate_result *oracle);

/* What each kind of answer was given how often, a row a result. */
void simulate_report_causes(FILE *out, const struct simulate_result *results, size_t count);

/* Draws, a panel for each receiver, the messages accepted per minute under each policy beside the
 * limit that the receiver hides, its outages, and the deferrals. The results carry their series. 0
 * or -errno. */
int simulate_report_plot(const char *path, const struct scenario *scenario,
			 const struct simulate_result *results, size_t count);

#endif
