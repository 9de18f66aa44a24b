/* SPDX-License-Identifier: MIT
 *
 * From an outcome in a log to a flow of the engine: which address of ours, which destination, when,
 * and whether it was told before.
 *
 * Our address is, in this order: what the line says (by `sources` another, behind a translation);
 * what `sources` has for the name in the line (syslog_name, egress source, vmta, transport, pool);
 * the log's `source`; what the reply quotes, if it is an address of ours that is known (of a pool,
 * `sources`, or the log). Nothing is guessed: what has no address is counted and left out.
 *
 * One reply that a log repeats for each recipient of a transaction counts once. What was said more
 * than INTAKE_OLD_NS ago counts in totals and drives nothing.
 */
#ifndef SIDECAR_INGEST_INTAKE_H
#define SIDECAR_INGEST_INTAKE_H

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
	uint64_t no_source;	 /* which address of ours it was is not known */
	uint64_t no_destination; /* nor can be said what receiver it was */
	uint64_t no_room;	 /* for another flow */
};

/* What is remembered of one log. A zeroed one is ready. */
struct intake_memory {
	struct {
		uint64_t hash, time_ns;
	} seen[INTAKE_SEEN];
};

/* Takes an outcome in. The configuration is the one in force in the engine, `log` one of its logs.
 * Times: the wall clock's and the monotonic clock's now. */
void intake_take(struct engine *engine, const struct config *config,
		 const struct config_mta_log *log, struct intake_memory *memory,
		 const struct ingest_event *event, uint64_t wall_ns, uint64_t now_ns,
		 struct intake_totals *totals);

/* Our address of the event, as above. False: it cannot be told. */
bool intake_source(const struct config *config, const struct config_mta_log *log,
		   const struct ingest_event *event, uint8_t ret[16]);

#endif
