/* SPDX-License-Identifier: MIT
 *
 * The HTTP door: what other programs tell the sidecar, and ask of it. libmicrohttpd, which http.c
 * alone includes, on the sidecar's loop.
 *
 * It listens on Unix sockets and TCP addresses. Clients are strangers: their number, the length of
 * a request's head and body, the memory of all bodies together, and the time until a request is
 * whole are bounded; a client that is slow costs its place and nobody's time. Handlers run in the
 * loop, once the body is there, and must not block. What goes wrong is counted by its kind, and
 * said in the log the first time.
 *
 * All calls from the loop's thread.
 */
#ifndef SIDECAR_SERVE_HTTP_H
#define SIDECAR_SERVE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/base/json.h"
#include "sidecar/io/loop.h"

#define HTTP_BODY_MAX	 (2u << 20)
#define HTTP_BODIES_MAX	 (64u << 20)	       /* of all clients together */
#define HTTP_REQUEST_NS	 UINT64_C(30000000000) /* until a request is whole */
#define HTTP_CLIENTS_MAX 10000

struct http;
struct MHD_Connection;

struct http_request {
	const char *path;
	char *body; /* may be rewritten; one NUL behind it; never NULL */
	size_t length;
	bool local; /* came by a Unix socket or from a loopback address */
	struct MHD_Connection *connection;
};

/* A header's or an argument's ("?name=") value, or NULL. They live as long as the call. */
const char *http_header(const struct http_request *request, const char *name);
const char *http_argument(const struct http_request *request, const char *name);

/* What is answered; at first 200 without a body. */
struct http_reply {
	unsigned status;
	const char *type; /* of the body */
	char *body;	  /* malloc: freed here; NULL: none */
	size_t length;
};

/* Answers with a line of text. */
void http_say(struct http_reply *reply, unsigned status, const char *text);

typedef void http_run(void *arg, struct http_request *request, struct http_reply *reply);

/* A WebSocket whose handshake is done: what comes and goes by fd are its frames. `close` is called
 * once, with `handle`, when it is to be closed; fd is not to be closed otherwise. */
typedef void http_upgraded(void *arg, int fd, void (*close)(void *handle), void *handle);

/* connections: how many clients at once. group: of Unix sockets, -1: nobody's. -ENOMEM. */
int http_create(struct loop *loop, uint32_t connections, int64_t group, struct http **ret);
void http_free(struct http *http); /* NULL is fine */

/* Answers a path. They are not copied. method "GET": HEAD as well. -ENOSPC: too many. */
int http_handle(struct http *http, const char *method, const char *path, http_run *run, void *arg);

/* A path that becomes a WebSocket. allowed NULL: for everybody; else it may refuse by a status
 * other than 200. */
int http_handle_websocket(struct http *http, const char *path, http_run *allowed,
			  http_upgraded *upgraded, void *arg);

/* Listens on "unix:/path", "127.0.0.1:8008" or "[::1]:8008" as well. What cannot be listened on is
 * logged, and tried again every ten seconds. */
int http_listen(struct http *http, const char *address);

/* Counts and listeners as members of an object. */
void http_put(const struct http *http, struct json_writer *writer);

#endif
