/* SPDX-License-Identifier: MIT
 *
 * One WebSocket whose handshake is done, on the loop: we send texts, the other side listens. wslay
 * makes and reads the frames; websocket.c alone includes it.
 *
 * Pings are answered, and sent where nothing was heard for WEBSOCKET_PING_NS; who then stays silent
 * is dropped. What waits to be sent is bounded, and who does not take it is dropped. What the other
 * side says is read, bounded, and ignored.
 */
#ifndef SIDECAR_SERVE_WEBSOCKET_H
#define SIDECAR_SERVE_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/io/loop.h"

#define WEBSOCKET_QUEUE_MAX   (8u << 20) /* bytes that wait */
#define WEBSOCKET_MESSAGE_MAX 65536	 /* that is heard */
#define WEBSOCKET_PING_NS     UINT64_C(30000000000)

struct websocket;

/* It is closing: nothing may be sent any more. Called from the loop, not from calls of these. */
typedef void websocket_gone(void *arg, struct websocket *websocket);

struct websocket_options {
	struct loop *loop;
	int fd;
	void (*close_fd)(void *); /* called with close_arg once, instead of close(2) */
	void *close_arg;
	websocket_gone *gone;
	void *arg; /* of it */
};

/* Takes fd over; close_fd is called here as well where this fails. -ENOMEM. */
int websocket_create(const struct websocket_options *options, struct websocket **ret);
void websocket_free(struct websocket *websocket); /* NULL is fine */

/* Queues a text. -ENOBUFS: too much waits, -EPIPE: it is closing; it is to be freed then. */
int websocket_send(struct websocket *websocket, const char *text, size_t length);

/* Sends a ping where it is time. False: the other side has been silent for too long, or is gone. */
bool websocket_alive(struct websocket *websocket, uint64_t now_ns);

#endif
