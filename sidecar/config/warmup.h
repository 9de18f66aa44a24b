/* SPDX-License-Identifier: MIT
 *
 * Schedules of warm-up, and which holds for a flow. Pure.
 */
#ifndef SIDECAR_CONFIG_WARMUP_H
#define SIDECAR_CONFIG_WARMUP_H

#include "sidecar/config/types.h"

/* Steeper than the published ones. */
#define SCHEDULE_STEEP 2.5

/* The schedule of that name: of this file, else of the built-in one. NULL: none. */
const struct config_schedule *config_schedule_named(const struct config *config, const char *name);

/* What says how a flow warms up, the most specific first: by its source before by its pool, by its
 * destination before by all. NULL: it does not. A line without a destination holds for those that
 * the configuration names: every domain is a destination by itself, and few need a schedule. */
const struct config_warmup_flow *
config_warmup_of(const struct config *config, const uint8_t source[16], const char *destination);

/* Messages a day at which a flow is warm. */
uint32_t config_warmup_volume(const struct config_warmup_flow *flow);

#endif
