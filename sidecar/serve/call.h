/* SPDX-License-Identifier: MIT
 *
 * One request to the control socket, as its handler sees it, and the bounds of all.
 */
#ifndef SIDECAR_SERVE_CALL_H
#define SIDECAR_SERVE_CALL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sidecar/base/json.h"
#include "sidecar/io/loop.h"

#define SERVER_SOCKET	      "control.sock"
#define SERVER_CLIENTS_MAX    64
#define SERVER_CLIENTS_KEPT   8 /* of these, for root and the sidecar's user */
#define SERVER_REQUEST_MAX    65536
#define SERVER_CHUNK	      65536
#define SERVER_CLIENT_WAIT_NS UINT64_C(10000000000) /* without a byte taken or a request sent */
#define SERVER_REASON	      256

struct control_socket;

/* One request under way. */
struct control_call {
	const struct json *request; /* the object; valid until the last call */
	struct json_writer
		*answer; /* whole lines are to be added, each ended by json_put_newline */
	uint64_t cursor; /* the handler's own, 0 at its first call */
	void *data;	 /* the handler's own, NULL at its first call; freed with free(3) … */
	void (*gone)(void *data); /* … after this, if it is set: the call is over */
	uid_t uid;		  /* who asks */
	pid_t pid;
	char reason[SERVER_REASON]; /* in words, where it returns an error */
};

enum { SERVER_DONE, SERVER_MORE, SERVER_WAIT };

/* Adds lines to the answer: a few hundred at most a call, and returns SERVER_MORE to be called
 * again when the client has taken them, SERVER_WAIT to be called again after control_socket_wake,
 * SERVER_DONE, or -errno with call->reason filled. Between two calls anything may have changed, the
 * configuration too, and the client may go. */
typedef int control_run(void *arg, struct control_call *call);

#endif
