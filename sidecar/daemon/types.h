/* SPDX-License-Identifier: MIT
 *
 * tollgated's parts, as those of its files see them that put them together.
 */
#ifndef SIDECAR_DAEMON_TYPES_H
#define SIDECAR_DAEMON_TYPES_H

#include "sidecar/alert/alerts.h"
#include "sidecar/api/context.h"
#include "sidecar/base/rate_meter.h"
#include "sidecar/config/generation.h"
#include "sidecar/daemon/hooks.h"
#include "sidecar/daemon/keeper.h"
#include "sidecar/daemon/workers.h"
#include "sidecar/doors/doors.h"
#include "sidecar/engine/engine.h"
#include "sidecar/gate/bridge.h"
#include "sidecar/http/door.h"
#include "sidecar/io/loop.h"
#include "sidecar/segment/heartbeat.h"
#include "sidecar/segment/ring_reader.h"
#include "sidecar/serve/control_socket.h"

struct generation_job;

/* Of the configuration that is being read anew (reload.c). */
struct reload {
	struct generation_job *job; /* NULL: none is under way */
	int watch;
	uint64_t loads; /* the last ticket that the job under way counts for */
	struct api_reload_result result;
};

struct sidecar {
	struct loop *loop;
	struct segment *segment;
	struct engine *engine;
	struct workers *workers;
	struct control_socket *server; /* control.sock */
	struct alerts *alerts;
	struct hooks *hooks;	    /* of holds and releases */
	struct keeper *keeper;	    /* what outlives a reboot */
	struct gate_bridge *gate;   /* in the kernel */
	struct logs *logs;	    /* of MTAs, that are read */
	struct door *door;	    /* HTTP; NULL: none */
	struct doors *doors;	    /* where others ask and tell */
	struct api_context context; /* for the commands of control.sock */
	struct heartbeat heartbeat;
	struct generation generation;
	struct reload reload;
	struct config_segment started; /* what holds until the next start; its texts are ours */
	const char *config_path;       /* NULL: the built-in configuration */
	uint64_t started_ns;
	uint64_t decisions;  /* sum of all workers' counts when last looked at */
	uint64_t records;    /* of all rings, the same */
	uint64_t decided_ns; /* when they were last seen to have changed */
	uint64_t repaired;   /* words, as last told */
	struct ring_reader_totals drained;
	struct rate_meter recent; /* records drained */
	int wake;		  /* FIFO */
	int signals;
	int nap_timer, beat_timer, work_timer, keeper_timer;
	uint64_t awake_until_ns;	/* it does not ask to be woken before */
	uint64_t calendar_ns;		/* when it was last published */
	int64_t wall_offset_ns;		/* of the wall clock then */
	struct segment_options options; /* that the segment was opened with */
	bool night;			/* of this night has been made use of */
	bool remove;
	bool failed;
};

#endif
