/* SPDX-License-Identifier: MIT
 *
 * The door for Postfix's check_policy_service (SMTPD_POLICY_README): for each recipient, whether the
 * mail may go now, by the pool or the source that it will be sent from. DUNNO where it may, or where
 * nothing can be said of it; else DEFER_IF_PERMIT with the time.
 */
#ifndef SIDECAR_DOORS_POLICY_DOOR_H
#define SIDECAR_DOORS_POLICY_DOOR_H

#include "sidecar/config/config.h"
#include "sidecar/doors/gatekeeper.h"
#include "sidecar/serve/listener.h"

struct policy_door;

extern const struct listener_protocol policy_protocol; /* its argument is the door */

int policy_door_create(struct gatekeeper *gate, struct policy_door **ret);
void policy_door_free(struct policy_door *door); /* NULL is fine */

/* It lives until the next call or the end. */
void policy_door_configure(struct policy_door *door, const struct config_policy *config);

/* Its counts, as members of an object. */
void policy_door_put(const struct policy_door *door, struct json_writer *writer);

#endif
