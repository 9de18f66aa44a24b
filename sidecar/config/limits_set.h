/* SPDX-License-Identifier: MIT
 *
 * What the configuration says of flows, each distinct set of limits once: a million flows share a
 * few dozen. Sets are counted by who uses them, and go with the last.
 */
#ifndef SIDECAR_CONFIG_LIMITS_SET_H
#define SIDECAR_CONFIG_LIMITS_SET_H

#include "sidecar/config/limits.h"

struct limits_entry {
	struct flow_limits limits;
	uint32_t parents; /* LAYOUT_SOURCE and _DESTINATION where those have limits */
	uint32_t uses;
};

struct limits_set;

int limits_set_create(struct limits_set **ret); /* -ENOMEM */
void limits_set_free(struct limits_set *set);

/* The number of these limits, one more user of them; -ENOMEM. Number 0 is that of no limits at all,
 * which nobody has to drop. */
int limits_set_add(struct limits_set *set, const struct flow_limits *limits, uint32_t parents);
void limits_set_drop(struct limits_set *set, uint32_t number);

/* As long as it is used, and no other is added. */
const struct limits_entry *limits_set_get(const struct limits_set *set, uint32_t number);

/* How many distinct ones are used. */
uint32_t limits_set_count(const struct limits_set *set);

#endif
