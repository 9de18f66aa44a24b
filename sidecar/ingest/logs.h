/* SPDX-License-Identifier: MIT
 *
 * All the logs that the configuration names, read and taken into the engine.
 */
#ifndef SIDECAR_INGEST_LOGS_H
#define SIDECAR_INGEST_LOGS_H

#include "sidecar/base/json.h"
#include "sidecar/ingest/follow.h"
#include "sidecar/ingest/intake.h"

struct logs;

/* folder: the segment's, open. gate: whom to ask whose a connection was. A log that cannot be opened
 * is no failure. -ENOMEM. */
int logs_create(struct loop *loop, int folder, struct engine *engine,
		const struct intake_gate *gate, struct logs **ret);
void logs_free(struct logs *logs); /* NULL is fine */

/* A configuration is in force in the engine, and lives until the next call or the end: what it
 * names is read, what it does not name any more is let go. */
void logs_configure(struct logs *logs, const struct config *config);

/* An array of them with their counts, as a member of an object. */
void logs_put(const struct logs *logs, struct json_writer *writer, const char *key);

#endif
