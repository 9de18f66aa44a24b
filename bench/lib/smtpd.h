/* SPDX-License-Identifier: MIT
 *
 * One SMTP session of the receiver model: bytes in, bytes out, no socket and no clock.
 *
 * EHLO, HELO, MAIL, RCPT, DATA, RSET, NOOP, VRFY, HELP, QUIT; PIPELINING, SIZE, 8BITMIME, SMTPUTF8
 * and ENHANCEDSTATUSCODES (RFC 5321, 2920, 1870, 6152, 6531, 2034). The peer is not trusted: lines,
 * sizes, recipients and errors are bounded, only CRLF ends a line, only CRLF.CRLF ends a message.
 *
 * The owner reads from its socket into in + in_length, calls smtpd_run, and sends what is in out;
 * when out was full smtpd_run stops early and is called again once there is room.
 */
#ifndef BENCH_SMTPD_H
#define BENCH_SMTPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/lib/throttle.h"

#define SMTPD_IN  4096
#define SMTPD_OUT 8192
#define SMTPD_TO  128

struct smtpd;

/* What happened, for the log: a connection that was judged, a message that was judged, accepted, …
 */
struct smtpd_event {
	const char *what; /* "connect", "mail", "rcpt", "delivered", "close" */
	enum throttle_answer answer;
	uint32_t place; /* of the message in its connection */
	uint64_t bytes; /* of a delivered message, unstuffed */
	uint32_t crc;	/* CRC-32 (as in zlib) of the same */
};

/* What the sessions of one receiver share. */
struct smtpd_host {
	const char *name;
	const char *const *texts; /* by enum throttle_answer; %s stands for the source address */
	struct throttle *throttle;
	uint64_t size_max;
	void (*event)(struct smtpd_host *host, const struct smtpd *session,
		      const struct smtpd_event *event, uint64_t now_ns); /* may be NULL */
	uint64_t delivered, bytes, errors;				 /* of all sessions */
};

struct smtpd {
	struct smtpd_host *host;
	struct throttle_entry *entry;
	char address[46]; /* of the peer, in text */
	bool counted;	  /* the throttle holds a place for this connection */
	bool greeted, closing, overlong;
	int phase; /* enum in smtpd.c */
	int line;  /* where in a line of DATA */
	uint32_t place, recipients, errors;
	uint64_t sender;   /* hash; 0: no transaction */
	char to[SMTPD_TO]; /* the last recipient that was accepted; what is not plain is '?' */
	uint64_t bytes;
	uint32_t crc;
	size_t in_length, out_length;
	char in[SMTPD_IN];
	char out[SMTPD_OUT];
};

/* Begins a session: the greeting, or the refusal, stands in out. entry must be of host->throttle.
 */
void smtpd_begin(struct smtpd *session, struct smtpd_host *host, struct throttle_entry *entry,
		 const char *address, uint64_t now_ns);

/* Works through in. When it returns, in is empty, or holds a part of a line, or out has no room. */
void smtpd_run(struct smtpd *session, uint64_t now_ns);

/* The connection has ended, from either side. */
void smtpd_end(struct smtpd *session, uint64_t now_ns);

/* The texts of a family of receivers, by enum throttle_answer: "microsoft", "yahoo", "google",
 * "apple", "comcast", "orange". NULL: no such family. */
const char *const *smtpd_family(const char *name);

#endif
