/* SPDX-License-Identifier: MIT
 *
 * One client of the control socket: its request, its answer, its state. For control_socket.c alone.
 */
#ifndef SIDECAR_SERVE_CONTROL_CLIENT_H
#define SIDECAR_SERVE_CONTROL_CLIENT_H

#include <sys/socket.h>

#include "sidecar/serve/call.h"

#define SERVER_COMMANDS_MAX 32

struct control_command {
	const char *name;
	bool changes;
	control_run *run;
	void *arg;
};

struct control_client {
	struct control_socket *server;
	int fd; /* -1: free */
	int watch;
	struct ucred who;
	uint64_t since_ns; /* when it last sent or took a byte */
	char *request;	   /* SERVER_REQUEST_MAX + 1 bytes, what has come */
	size_t length;
	struct json *json;		       /* of the call */
	const struct control_command *command; /* under way; NULL: none */
	struct control_call call;
	struct json_writer answer;
	size_t sent;  /* of answer */
	bool waiting; /* its handler, for control_socket_wake */
	bool closing; /* once the answer is sent */
};

struct control_socket {
	struct loop *loop;
	int folder;
	int fd;
	int watch;
	int timer;
	bool paused; /* accepts nobody until the next tick */
	uint32_t count;
	struct control_client clients[SERVER_CLIENTS_MAX];
	struct control_command commands[SERVER_COMMANDS_MAX];
	uint32_t command_count;
};

bool control_socket_may_change(uid_t uid);

/* {"ok": false, "error": why}, or with "end". */
void control_client_error_line(struct json_writer *line, const char *key, const char *why,
			       int number);

/* Takes the descriptor over on success. */
int control_client_open(struct control_client *client, struct control_socket *server, int fd,
			const struct ucred *who, uint64_t now_ns);
void control_client_wake(struct control_client *client);
void control_client_close(struct control_client *client);

#endif
