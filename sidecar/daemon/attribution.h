/* SPDX-License-Identifier: MIT
 *
 * What a log's line is to be asked of the gate: neither knows the other.
 */
#ifndef SIDECAR_DAEMON_ATTRIBUTION_H
#define SIDECAR_DAEMON_ATTRIBUTION_H

#include "sidecar/gate/bridge.h"
#include "sidecar/ingest/intake.h"

/* gate: outlives whoever asks. */
struct intake_gate attribution_of(struct gate_bridge *gate);

#endif
