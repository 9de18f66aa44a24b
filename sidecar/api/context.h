/* SPDX-License-Identifier: MIT
 *
 * What the commands of the control socket look into, handed in by the daemon: its parts, and what
 * it alone can do. It outlives the server.
 */
#ifndef SIDECAR_API_CONTEXT_H
#define SIDECAR_API_CONTEXT_H

#include "sidecar/base/rate_meter.h"
#include "sidecar/config/generation.h"
#include "sidecar/doors/doors.h"
#include "sidecar/engine/engine.h"
#include "sidecar/gate/bridge.h"
#include "sidecar/http/door.h"
#include "sidecar/ingest/logs.h"
#include "sidecar/io/loop.h"
#include "sidecar/segment/ring_reader.h"
#include "sidecar/serve/control_socket.h"

#define API_REASON 256

struct event_feed;

/* How the last reading of the configuration went. */
struct api_reload_result {
	uint64_t asked; /* the last ticket given */
	uint64_t done;	/* the last one that this answers; lower while a configuration is loaded */
	int error;	/* 0, or -errno with the reason; nothing was changed then */
	char reason[API_REASON];
	struct diagnostics report; /* what was found */
};

struct api_context {
	struct loop *loop;
	struct segment *segment;
	struct engine *engine;
	struct control_socket *server;
	struct gate_bridge *gate;
	const struct logs *logs;
	const struct door *door; /* NULL: none */
	const struct doors *doors;
	const struct generation *generation;
	const struct ring_reader_totals *drained;
	const struct rate_meter *recent;
	struct event_feed *watch; /* api_register's */
	const char *config_path;  /* NULL: the built-in configuration */
	uint64_t started_ns;
	void *daemon; /* argument of the calls below */
	/* Has the configuration read anew; the result counts once its `done` has reached the ticket
	 * that is returned, of which the server is woken. */
	uint64_t (*reload)(void *daemon);
	const struct api_reload_result *reload_result;
	/* Corrupt words that were repaired since it began. */
	uint64_t (*repaired)(const void *daemon);
	/* Puts the members "store", how what outlives a reboot is kept, and "hooks". */
	void (*store)(const void *daemon, struct json_writer *out);
};

#endif
