/* SPDX-License-Identifier: MIT
 *
 * The sending side of SMTP, blocking, with a time limit: what a worker of an MTA does with a
 * socket.
 *
 * One connection, one user. Replies are kept as received, several lines separated by \n, cut at a
 * bound.
 */
#ifndef BENCH_SMTPC_H
#define BENCH_SMTPC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct smtpc {
	int fd; /* -1: not connected */
	size_t in_length, reply_length;
	char in[4096];
	char reply[1024]; /* the last reply, terminated; "" where the connection broke */
};

struct smtpc_message {
	const char *sender, *recipient;
	const char *header; /* lines that end in CRLF, the empty line too */
	const char *body;   /* dots stuffed already, ends in CRLF */
	size_t body_length;
};

/* Connects from source (no port) to peer, reads the greeting, says EHLO. Returns the code of the
 * reply that decided: 250 is success; on another code the connection is closed; 0: it could not be
 * made or broke. */
int smtpc_open(struct smtpc *smtp, const struct sockaddr_storage *source,
	       const struct sockaddr_storage *peer, uint32_t timeout_ms);

/* Sends one message, envelope pipelined. Returns the code that decided (250: accepted), 0: the
 * connection broke. The connection is closed after 421 and after 0, and otherwise ready for the
 * next message. */
int smtpc_send(struct smtpc *smtp, const struct smtpc_message *message);

/* QUIT, and closes. Does nothing where it is not connected. */
void smtpc_close(struct smtpc *smtp);

#endif
