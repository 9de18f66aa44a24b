/* SPDX-License-Identifier: MIT
 *
 * The engine's part of limits that the sources of a pool share (sidecar/control/sharing.h): whose
 * replies go where, and what is in force meanwhile.
 *
 * While such a limit is known it is the destination's own limit in the segment, which each decision
 * of the pool's flows charges together with the flow: so it is divided by demand, exactly, and no
 * source has a part of it that it does not use. A pair of pool and destination is looked at once a
 * flow of it got into trouble. Where the configuration limits the destination itself, or another
 * pool has its shared limit there, there is no room for one.
 *
 * Kept in memory alone: a sidecar that starts finds it again, by the next refusals.
 */
#ifndef SIDECAR_ENGINE_SHARING_H
#define SIDECAR_ENGINE_SHARING_H

#include "sidecar/control/sharing.h"
#include "sidecar/engine/state.h"

/* Whether one controller has all flows of this one's pool there. */
bool engine_sharing_known(const struct engine *engine, uint32_t slot);

/* What the flow may do by its pool's part: changes what its own controller says. Returns when that
 * changes by itself. */
uint64_t engine_sharing_limits(const struct engine *engine, uint32_t slot, uint64_t now_ns,
			       struct control_limits *limits);

/* A reply of a flow, where one controller has all: taken, its own hears of connections alone. */
bool engine_sharing_observe(struct engine *engine, uint32_t slot,
			    const struct control_observation *seen, uint64_t now_ns);

/* The same reply, once the flow's own controller has heard it; before: as it was. */
void engine_sharing_heard(struct engine *engine, uint32_t slot,
			  const struct control_observation *seen,
			  const struct control_state *before, uint64_t now_ns);

/* What a destination's slot has in force besides what is configured. */
void engine_sharing_destination(struct engine *engine, uint32_t slot, uint64_t now_ns);
void engine_sharing_due(struct engine *engine, uint32_t destination, uint64_t now_ns);

/* A configuration is in force; slots have got other numbers; all ends. */
void engine_sharing_free(struct engine *engine);

#endif
