/* SPDX-License-Identifier: MIT
 *
 * What a policy makes of a receiver's answer in the simulator: its class, by the rules that are
 * built in. Made once for many runs, since the rules take a moment to compile; used by one thread.
 */
#ifndef SIDECAR_SIMULATE_CLASSIFIER_H
#define SIDECAR_SIMULATE_CLASSIFIER_H

#include "sidecar/classify.h"

struct simulate_classifier;

/* 0; -ENOMEM; -ENOTSUP: no processor for the patterns; -EINVAL: the built-in rules are broken. */
int simulate_classifier_create(struct simulate_classifier **ret);
void simulate_classifier_free(struct simulate_classifier *classifier);

/* text: as the receiver sent it, codes in front. destination: as the scenario calls it. */
void simulate_classify(struct simulate_classifier *classifier, const char *destination,
		       const char *text, struct classification *ret);

#endif
