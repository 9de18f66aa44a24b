/* SPDX-License-Identifier: MIT
 *
 * The policy server that Halon's plugin policyd-client listens to, by a WebSocket at /policyd: what
 * each flow may do is a policy, a hold is a suspension.
 *
 * A flow is its local address and, where the configuration names the destination, the "grouping" of
 * that name, else the recipient's domain. Each ends by itself soon and is renewed, so what a dead
 * sidecar said does not stay. Policies have one rate: the strictest of rate, hour and day, the caps
 * spread evenly. Outcomes are not heard here, but by Halon's log.
 */
#ifndef SIDECAR_HTTP_HALON_H
#define SIDECAR_HTTP_HALON_H

#include "sidecar/config/config.h"
#include "sidecar/segment/segment.h"
#include "sidecar/serve/http.h"

#define HALON_FLOWS  4096
#define HALON_TTL_S  120 /* of a policy, … */
#define HALON_HOLD_S 60	 /* … and of a suspension at most */

struct halon;

/* -ENOMEM. */
int halon_create(struct loop *loop, struct http *http, struct segment *segment, struct halon **ret);
void halon_free(struct halon *halon); /* NULL is fine */

void halon_configure(struct halon *halon, const struct config *config);

/* What came of it, as a member of an object. */
void halon_put(const struct halon *halon, struct json_writer *writer, const char *key);

#endif
