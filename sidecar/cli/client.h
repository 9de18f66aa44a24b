/* SPDX-License-Identifier: MIT
 *
 * A command's talk with the running sidecar over its control socket
 * (sidecar/serve/control_socket.h).
 *
 * Blocks. For one thread.
 */
#ifndef SIDECAR_CLI_CLIENT_H
#define SIDECAR_CLI_CLIENT_H

#include <stddef.h>

#include "sidecar/base/json.h"

#define CLIENT_REASON 256

struct client;

/* The segment that a command is about: what was given, else $TOLLGATE_SEGMENT, else the default. */
const char *client_segment(const char *given);

/* -ENOENT: no segment; -ECONNREFUSED: no sidecar lives; -EACCES: not for us. The
 * reason (CLIENT_REASON bytes) is a sentence for the user. */
int client_open(const char *segment, struct client **ret, char *reason);
/* Waits for an answer as long as the sidecar lives, instead of half a minute: what it has to do may
 * take longer. */
void client_wait_long(struct client *client);

void client_close(struct client *client); /* NULL is fine */

/* Sends a request, an object written into `request`, and calls line for each line of the answer
 * between its first and its last, until it returns other than 0, which is returned (the connection
 * is then not to be used again). json: the line read; text: as it came, not terminated. Negative:
 * -errno, with what the sidecar said in reason. */
typedef int client_line(void *arg, const struct json *json, const char *text, size_t length);
int client_ask(struct client *client, const struct json_writer *request, client_line *line,
	       void *arg, char *reason);

#endif
