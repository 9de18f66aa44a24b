/* SPDX-License-Identifier: MIT
 *
 * All that the sidecar answers by HTTP: the door, and who stands behind it.
 */
#ifndef SIDECAR_HTTP_DOOR_H
#define SIDECAR_HTTP_DOOR_H

#include "sidecar/base/json.h"
#include "sidecar/config/config.h"
#include "sidecar/engine/engine.h"
#include "sidecar/io/loop.h"

struct door;

/* Listens where the configuration says, from now until the end; without such a place there is no
 * door, and *ret is NULL. group: of Unix sockets, -1: nobody's. Before privileges are dropped. */
int door_create(struct loop *loop, struct segment *segment, struct engine *engine,
		const struct config *config, int64_t group, struct door **ret);
void door_free(struct door *door); /* NULL is fine, here and below */

/* A configuration is in force in the engine, and lives until the next call or the end. Other
 * places to listen at are taken up at the next start, which is said. */
void door_configure(struct door *door, const struct config *config);

/* The segment was replaced: slots have other numbers. */
void door_renewed(struct door *door);

/* As a member of an object; null: there is none. */
void door_put(const struct door *door, struct json_writer *writer, const char *key);

#endif
