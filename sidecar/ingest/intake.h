/* SPDX-License-Identifier: MIT
 *
 * From an outcome in a log to a flow of the engine: which address of ours, which destination, when,
 * and whether it was told before.
 *
 * Our source is, in this order: what the line says, an address or the name of a source that a pool
 * lists (by `sources` another, behind a translation);
 * what `sources` has for the name in the line (syslog_name, egress source, vmta, transport, pool);
 * that of the connection to the receiver, where the gate in the kernel saw it; the log's `source`;
 * what the reply quotes, if it is an address of ours that is known (of a pool, `sources`, or the
 * log). Nothing is guessed: what has no address is counted and left out.
 *
 * One reply that a log repeats for each recipient of a transaction counts once. What was said more
 * than INTAKE_OLD_NS ago counts in totals and drives nothing.
 */
#ifndef SIDECAR_INGEST_INTAKE_H
#define SIDECAR_INGEST_INTAKE_H

#include "shm/destination.h"
#include "sidecar/base/json.h"
#include "sidecar/config/config.h"
#include "sidecar/engine/engine.h"
#include "sidecar/ingest/event.h"

#define INTAKE_OLD_NS	 UINT64_C(300000000000)
#define INTAKE_REPEAT_NS UINT64_C(5000000000) /* lines of one transaction lie closer together */
#define INTAKE_SEEN	 4096

struct intake_totals {
	uint64_t events;	 /* outcomes; each is one of the following, or reached a flow */
	uint64_t heard;		 /* reached a flow */
	uint64_t old;		 /* of these: counted in totals alone */
	uint64_t elsewhere;	 /* of these: heard already by another way, which counts once */
	uint64_t no_attempt;	 /* nothing was sent, or an old reply was repeated */
	uint64_t repeated;	 /* told already */
	uint64_t kept_by_gate;	 /* the gate refused or held the connection: nobody was asked */
	uint64_t by_gate;	 /* of those heard: whose they were, the gate knew */
	uint64_t no_source;	 /* which address of ours it was is not known */
	uint64_t ambiguous;	 /* of these: the gate saw connections of several */
	uint64_t no_destination; /* nor can be said what receiver it was */
	uint64_t no_room;	 /* for another flow */
};

/* What is remembered of one log. A zeroed one is ready. */
struct intake_memory {
	struct {
		uint64_t hash, time_ns;
	} seen[INTAKE_SEEN];
};

/* When a delivery was, by the monotonic clock. */
struct intake_time {
	uint64_t replied_ns;
	uint64_t stamp_ns; /* how fine the stamp is */
	uint64_t spent_ns, setup_ns;
	bool fresh;
};

/* What is asked of the gate: whose connection to that address it was. 0; -ENOTUNIQ: of several;
 * -EALREADY: it never stood, which the gate has told of itself; or another error. */
struct intake_gate {
	int (*source)(void *arg, const uint8_t peer[16], const struct intake_time *time,
		      bool connecting, uint8_t ret[16]);
	/* Does the gate pace that flow? Then a connection begins when it lets it go. */
	bool (*gated)(void *arg, uint32_t slot);
	/* Was it the gate itself that kept that connection of the flow's slot from being made? */
	bool (*kept)(void *arg, uint32_t slot, const uint8_t peer[16],
		     const struct intake_time *time);
	void *arg;
};

/* Where outcomes come in. */
struct intake {
	struct engine *engine;
	const struct config *config;	  /* in force in the engine */
	const struct config_mta_log *log; /* what its events leave open */
	struct intake_gate gate;	  /* a zeroed one: there is none */
	struct intake_memory *memory;	  /* NULL: nothing is told twice */
	struct intake_totals totals;
};

/* The flow that an outcome is of. */
struct intake_flow {
	uint8_t source[16];
	char destination[DESTINATION_NAME_MAX + 1];
	uint32_t slot;
};

/* With the outcome as the engine takes it, whose text lies in the event's. */
struct intake_place {
	struct intake_flow flow;
	struct engine_heard heard;
};

/* Finds the flow of an outcome. Times: the wall clock's and the monotonic clock's now. False: it has
 * none, or was told already, and is counted. */
bool intake_find(struct intake *intake, const struct ingest_event *event, uint64_t wall_ns,
		 uint64_t now_ns, struct intake_place *ret);

/* The same, and the engine hears of it. */
bool intake_take(struct intake *intake, const struct ingest_event *event, uint64_t wall_ns,
		 uint64_t now_ns, struct intake_place *ret);

/* All counts, as members of an object. */
void intake_totals_put(const struct intake_totals *totals, struct json_writer *writer);

#endif
