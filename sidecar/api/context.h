/* SPDX-License-Identifier: MIT
 *
 * What the commands of the control socket look into, handed in by the daemon: its parts, and what
 * it alone can do. It outlives the server.
 */
#ifndef SIDECAR_API_CONTEXT_H
#define SIDECAR_API_CONTEXT_H

#include "sidecar/base/rate_meter.h"
#include "sidecar/config/generation.h"
#include "sidecar/engine/engine.h"
#include "sidecar/gate/bridge.h"
#include "sidecar/io/loop.h"
#include "sidecar/segment/ring_reader.h"
#include "sidecar/serve/control_socket.h"

#define API_REASON 512

struct api_context {
	struct loop *loop;
	struct segment *segment;
	struct engine *engine;
	struct server *server;
	struct ebpf_bridge *gate;
	const struct generation *generation;
	const struct drain_totals *drained;
	const struct recent *recent;
	const char *config_path; /* NULL: the built-in configuration */
	uint64_t started_ns;
	void *daemon; /* argument of the calls below */
	/* Reads the configuration anew; a bad one changes nothing. reason (API_REASON bytes) says
	 * why. */
	int (*reload)(void *daemon, char *reason);
	/* Damaged words that were put right since it began. */
	uint64_t (*mended)(const void *daemon);
};

#endif
