/* SPDX-License-Identifier: MIT
 *
 * What production would run with, for the simulator: a configuration, the built-in one or a file,
 * and the classifier made from it. Made once for many runs, since rules take a moment to compile;
 * used by one thread.
 */
#ifndef SIDECAR_SIMULATE_SIM_CONFIG_H
#define SIDECAR_SIMULATE_SIM_CONFIG_H

#include "sidecar/config/config.h"
#include "sidecar/rules/classify.h"
#include "sidecar/rules/rule_engine.h"

struct scenario;
struct simulate_config;

/* path NULL: what is built in. 0 or -errno; problems of the file have been logged. */
int simulate_config_load(const char *path, struct simulate_config **ret);
/* The same with what the scenario says of its sources' totals, for the gate to know it as well, and
 * of their pools where the configuration lists none; *ret is NULL where it says nothing. 0 or -errno,
 * the reasons being logged; the caller frees it. */
int simulate_config_with(const struct simulate_config *config, const struct scenario *scenario,
			 struct simulate_config **ret);

void simulate_config_free(struct simulate_config *config);

const struct config *simulate_config_of(const struct simulate_config *config);
const struct classifier *simulate_config_classifier(const struct simulate_config *config);
const struct rule_set *simulate_config_rules(const struct simulate_config *config);

/* What a reply means. text: as the receiver sent it, codes in front. */
void simulate_classify(struct simulate_config *config, const char *destination, const char *text,
		       struct classification *ret);

#endif
