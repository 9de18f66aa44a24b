/* SPDX-License-Identifier: MIT
 *
 * All doors together: what the configuration opens, each a protocol that others speak to us.
 */
#ifndef SIDECAR_DOORS_DOORS_H
#define SIDECAR_DOORS_DOORS_H

#include "sidecar/base/json.h"
#include "sidecar/config/config.h"
#include "sidecar/engine/engine.h"
#include "sidecar/ingest/intake.h"
#include "sidecar/io/loop.h"

struct doors;

struct doors_options {
	struct loop *loop;
	struct engine *engine;
	const char *segment;	 /* its folder, copied */
	int64_t owner;		 /* the segment's user */
	struct intake_gate gate; /* asked of failures that a filter tells */
};

int doors_create(const struct doors_options *options, struct doors **ret);
void doors_free(struct doors *doors); /* NULL is fine */

/* Opens the sockets of a configuration that is not in force yet, as root still may: doors_configure
 * makes use of them. A socket that cannot be had is told in the log. -ENOMEM. */
int doors_open(struct doors *doors, const struct config *config);

/* A configuration is in force in the engine, and lives until the next call or the end. Doors whose
 * addresses are the same stay as they are, with their clients. */
void doors_configure(struct doors *doors, const struct config *config);

/* An array of the doors that are open, with their counts, as a member of an object. */
void doors_put(const struct doors *doors, struct json_writer *writer, const char *key);

#endif
