/* SPDX-License-Identifier: MIT
 *
 * The keys of a scenario's file.
 */
#ifndef SIDECAR_SIMULATE_SCENARIO_KEYS_H
#define SIDECAR_SIMULATE_SCENARIO_KEYS_H

#include "sidecar/base/yaml.h"

/* A default that is no value: what holds is known once all of the file is. */
#define SCENARIO_UNSET_NS    UINT64_MAX
#define SCENARIO_UNSET_LIMIT UINT32_MAX

/* The rows of a struct scenario. */
extern const struct yaml_keys scenario_keys;
/* Those of a struct scenario_receiver. */
extern const struct yaml_keys scenario_receiver_keys;

#endif
