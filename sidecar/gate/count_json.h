/* SPDX-License-Identifier: MIT
 *
 * What the gate counted of one flow, as JSON: a line of `tollgate connections`.
 */
#ifndef SIDECAR_GATE_COUNT_JSON_H
#define SIDECAR_GATE_COUNT_JSON_H

#include "ebpf/gate.h"
#include "sidecar/base/json.h"

/* name: the destination's. */
void count_json_put(const struct gate_count *count, const char *name, struct json_writer *writer);

#endif
