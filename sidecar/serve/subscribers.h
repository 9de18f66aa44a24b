/* SPDX-License-Identifier: MIT
 *
 * WebSockets that all hear the same: who comes, who goes, who does not take what is said.
 *
 * Bounded: who comes when SUBSCRIBERS are there is turned away. One that does not take what it is
 * sent, or is silent for too long, is dropped; said once, and counted.
 */
#ifndef SIDECAR_SERVE_SUBSCRIBERS_H
#define SIDECAR_SERVE_SUBSCRIBERS_H

#include "sidecar/serve/websocket.h"

#define SUBSCRIBERS 32

struct subscriber {
	struct subscribers *all;
	struct websocket *websocket; /* NULL: this place is free */
	int form;		     /* the caller's */
};

struct subscribers {
	struct loop *loop;
	const char *name; /* in the log */
	struct subscriber each[SUBSCRIBERS];
	uint64_t sent, dropped;
};

/* Takes a WebSocket's fd over, as websocket_create does. NULL: it was turned away, and is closed. */
struct subscriber *subscribers_add(struct subscribers *all, int form, int fd, void (*close)(void *),
				   void *handle);

/* Sends a text; NULL: there was no memory for it. The subscriber may be gone after it. */
void subscriber_send(struct subscriber *subscriber, const char *text, size_t length);

/* Drops those that are silent for too long. */
void subscribers_look(struct subscribers *all, uint64_t now_ns);

uint32_t subscribers_count(const struct subscribers *all);
void subscribers_close(struct subscribers *all);

#endif
