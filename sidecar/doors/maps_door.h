/* SPDX-License-Identifier: MIT
 *
 * The door for Postfix's socketmaps (socketmap_table(5)). Two kinds of map stand behind it:
 *
 *   transport   transport_maps: which transport a message takes, by the source of the pool that can
 *               send soonest (tg_pick). "OK TRANSPORT:" or, where none is known, NOTFOUND.
 *   any other   smtp_delivery_status_filter: the map's name is the source that delivers, and what is
 *               looked up is the outcome. It is heard, and the answer is NOTFOUND at once, so that
 *               nothing of it changes.
 */
#ifndef SIDECAR_DOORS_MAPS_DOOR_H
#define SIDECAR_DOORS_MAPS_DOOR_H

#include "sidecar/config/config.h"
#include "sidecar/doors/gatekeeper.h"
#include "sidecar/engine/engine.h"
#include "sidecar/ingest/intake.h"
#include "sidecar/serve/listener.h"

struct maps_door;

extern const struct listener_protocol maps_protocol; /* its argument is the door */

int maps_door_create(struct gatekeeper *gate, struct engine *engine,
		     const struct intake_gate *kernel, struct maps_door **ret);
void maps_door_free(struct maps_door *door); /* NULL is fine */

/* The configuration in force in the engine; it lives until the next call or the end. */
void maps_door_configure(struct maps_door *door, const struct config *config);

/* Its counts, as members of an object. */
void maps_door_put(const struct maps_door *door, struct json_writer *writer);

#endif
