/* SPDX-License-Identifier: MIT
 *
 * Between the sidecar and the gate in the kernel: limits go down, counts come up.
 *
 * Every flow that the kernel sees becomes a flow of the segment, under the name of its destination
 * or, where no prefix names one, under the address; so `flows`, `explain`, rules and control see
 * it, and what they decide holds for its connections. Failed connections reach the engine as such.
 *
 * A gate that cannot be had is no failure: one line says what is missing, everything else goes on.
 * All calls from the loop's thread.
 */
#ifndef SIDECAR_GATE_BRIDGE_H
#define SIDECAR_GATE_BRIDGE_H

#include <stdbool.h>

#include "ebpf/gate.h"
#include "sidecar/base/json.h"
#include "sidecar/engine/engine.h"
#include "sidecar/gate/connections.h"
#include "sidecar/io/loop.h"
#include "sidecar/serve/control_socket.h"

struct gate_bridge;

/* Opens the gate if the configuration names cgroups. The configuration must live until the next
 * gate_bridge_configure or the end. server: `connections` is answered there. Fails for want of
 * memory alone. */
int gate_bridge_create(struct loop *loop, struct segment *segment, struct engine *engine,
		       struct control_socket *server, const struct config *config,
		       struct gate_bridge **ret);

bool gate_bridge_on(const struct gate_bridge *bridge);

/* Gives up the capabilities that loading took. user_changed: all but what the gate may still need,
 * kept over setuid(2) by PR_SET_KEEPCAPS. */
int gate_bridge_privileges(const struct gate_bridge *bridge, bool user_changed);

/* Lets go: with `pin: true` the gate goes on in the kernel. NULL is fine. */
void gate_bridge_free(struct gate_bridge *bridge);

/* A configuration is in force in the engine: the first, before the loop runs, and each new one.
 * What only a start can change (cgroups, ports, pin) is said. */
void gate_bridge_configure(struct gate_bridge *bridge, const struct config *config);

/* Our address of the connection that a line of a log tells of (connections_source). connecting: it
 * never stood; -EALREADY where the engine was told so. */
int gate_bridge_source(struct gate_bridge *bridge, const struct connection_query *query,
		       bool connecting, uint8_t ret[16]);

/* Does the gate pace the connections of that slot of the segment now? */
bool gate_bridge_gated(const struct gate_bridge *bridge, uint32_t slot);

/* Was it the gate that kept a connection of that slot from being made, as it was refused, or given up
 * before its turn? query: of the line that says it failed. */
bool gate_bridge_kept(struct gate_bridge *bridge, uint32_t slot,
		      const struct connection_query *query);

/* Slots of the segment have got other numbers: flows are claimed anew when they are next looked
 * at. NULL is fine. */
void gate_bridge_renewed(struct gate_bridge *bridge);

/* Its state in a line ("pace: 2 of 3 cgroups, 17 flows, …", "off", or what is missing) and its
 * counts, as members of an object. */
void gate_bridge_put(const struct gate_bridge *bridge, struct json_writer *writer, const char *key);

#endif
