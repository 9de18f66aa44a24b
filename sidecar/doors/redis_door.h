/* SPDX-License-Identifier: MIT
 *
 * The door for any program with a Redis client: CL.THROTTLE as redis-cell has it, and what clients
 * say around it. tollgated(8) has the table of commands.
 *
 * A key "flow:SOURCE:DESTINATION", with ":CLASS" behind it or without (bulk), is decided by the
 * gate, and the command's own numbers are a further bound: the gate is asked only where those let
 * it pass, and they are charged only where the gate does. Any other key is a plain throttle.
 */
#ifndef SIDECAR_DOORS_REDIS_DOOR_H
#define SIDECAR_DOORS_REDIS_DOOR_H

#include "sidecar/doors/gatekeeper.h"
#include "sidecar/serve/listener.h"

struct redis_door;

extern const struct listener_protocol redis_protocol; /* its argument is the door */

int redis_door_create(struct gatekeeper *gate, uint32_t throttles_max, struct redis_door **ret);
void redis_door_free(struct redis_door *door); /* NULL is fine */

/* The password that clients must give; NULL: none. Not copied; changes for those who come. */
void redis_door_password(struct redis_door *door, const char *password);

/* Once a second. */
void redis_door_tick(struct redis_door *door, uint64_t now_ns);

/* Its counts, as members of an object. */
void redis_door_put(const struct redis_door *door, struct json_writer *writer);

#endif
