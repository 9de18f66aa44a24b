/* SPDX-License-Identifier: MIT
 *
 * How an operator meets the running sidecar: a Unix stream socket in the segment's folder.
 *
 * A request is one line, a JSON object: {"command": "flows", ...}. The answer is JSON lines: first
 * {"ok": true}, or {"ok": false, "error": "..."} and nothing more; then the command's own lines;
 * last
 * {"end": true}, or {"end": false, "error": "..."} where it broke off. Requests of a connection are
 * answered one after the other.
 *
 * Who may write to the socket may ask: mode 0660, so the group of the segment. Commands that change
 * something are for root and the user that the sidecar runs as (SO_PEERCRED). Clients are
 * strangers: their number, the length of a request and the time that one may take are bounded, and
 * no answer is kept in memory beyond a chunk. All calls from the loop's thread.
 */
#ifndef SIDECAR_SERVE_CONTROL_SOCKET_H
#define SIDECAR_SERVE_CONTROL_SOCKET_H

#include "sidecar/serve/call.h"

/* Listens. folder: the segment's, locked by us; group: who may ask besides our user, -1: nobody. */
int control_socket_create(struct loop *loop, int folder, int64_t group, struct control_socket **ret,
			  char *reason);

/* Closes all and takes the socket away. NULL is fine. */
void control_socket_free(struct control_socket *server);

/* Answers a command. changes: not for everybody. -ENOSPC: too many commands. name is not copied. */
int control_socket_handle(struct control_socket *server, const char *name, bool changes,
			  control_run *run, void *arg);

/* Calls the handlers again that wait: what they wait for may have come. From a handler: all
 * but itself. */
void control_socket_wake(struct control_socket *server);

uint32_t control_socket_clients(const struct control_socket *server);

/* Drops who has waited too long; called by the server's own timer, and by tests. */
void control_socket_expire(struct control_socket *server, uint64_t now_ns);

#endif
