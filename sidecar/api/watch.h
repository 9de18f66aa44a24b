/* SPDX-License-Identifier: MIT
 *
 * watch: events as they come. A line an event, until the client goes:
 *
 *   {"at", "event": "reply", "source", "destination", "outcome", "code", "enhanced", "class",
 *    "limit", "rule", "traffic", "text"}
 *   {"at", "event": "delivered", "source", "destination", "messages"}
 *   {"at", "event": "hold" | "release" | "limits", "source", "destination", "what", "decided_by",
 *    "reason", "reply"}
 *   {"at", "event": "lost", "events"}
 *
 * Deliveries are counted, about once a second; what else a receiver answers is told singly. The
 * newest WATCH_EVENTS events are kept, once for all clients, while there is one: who is slower than
 * they come loses those that were driven out, and is told how many. The engine only ever adds to the
 * ring; clients are woken by a timer, some hundredths of a second later.
 */
#ifndef SIDECAR_API_WATCH_H
#define SIDECAR_API_WATCH_H

#include "sidecar/api/context.h"

#define WATCH_EVENTS 4096

struct watch;

/* context: outlives it. -ENOMEM. */
int watch_create(struct api_context *context, struct watch **ret);
void watch_free(struct watch *watch); /* NULL is fine; after the server */

uint32_t watch_clients(const struct watch *watch);

#endif
