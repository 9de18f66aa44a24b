/* SPDX-License-Identifier: MIT
 *
 * The sending side of SMTP: see smtpc.h.
 */
#include "bench/lib/smtpc.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static void connection_drop(struct smtpc *smtp)
{
	if (smtp->fd >= 0)
		close(smtp->fd);
	smtp->fd = -1;
	smtp->in_length = 0;
}

/* Takes one line (without CRLF) out of in; -1: the connection broke, or the line has no end. */
static int line_read(struct smtpc *smtp, char *line, size_t size)
{
	for (;;) {
		char *end = memchr(smtp->in, '\n', smtp->in_length);
		ssize_t n;

		if (end) {
			size_t taken = (size_t)(end - smtp->in) + 1;
			size_t length = taken - 1;

			if (length && smtp->in[length - 1] == '\r')
				length--;
			if (length >= size)
				length = size - 1;
			memcpy(line, smtp->in, length);
			line[length] = '\0';
			smtp->in_length -= taken;
			memmove(smtp->in, smtp->in + taken, smtp->in_length);
			return (int)length;
		}
		if (smtp->in_length == sizeof(smtp->in))
			return -1;
		n = recv(smtp->fd, smtp->in + smtp->in_length, sizeof(smtp->in) - smtp->in_length,
			 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		smtp->in_length += (size_t)n;
	}
}

/* Adds a line to the reply that is kept; what does not fit is cut. */
static void reply_add(struct smtpc *smtp, const char *line, size_t length)
{
	size_t room = sizeof(smtp->reply) - 2 - smtp->reply_length;

	if (room < 2)
		return;
	if (smtp->reply_length)
		smtp->reply[smtp->reply_length++] = '\n';
	if (length > room)
		length = room;
	memcpy(smtp->reply + smtp->reply_length, line, length);
	smtp->reply_length += length;
	smtp->reply[smtp->reply_length] = '\0';
}

/* Reads a whole reply; its code, or 0 where the connection broke (it is dropped then). */
static int reply_read(struct smtpc *smtp)
{
	char line[1024];
	int length;

	smtp->reply_length = 0;
	smtp->reply[0] = '\0';
	do {
		length = line_read(smtp, line, sizeof(line));
		if (length < 3) {
			smtp->reply_length = 0;
			smtp->reply[0] = '\0';
			connection_drop(smtp);
			return 0;
		}
		reply_add(smtp, line, (size_t)length);
	} while (line[3] == '-');
	return atoi(line);
}

static bool all_write(struct smtpc *smtp, struct iovec *parts, int count)
{
	while (count > 0) {
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
		ssize_t n = sendmsg(smtp->fd, &message, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		while (count > 0 && (size_t)n >= parts->iov_len) {
			n -= (ssize_t)parts->iov_len;
			parts++;
			count--;
		}
		if (count > 0) {
			parts->iov_base = (char *)parts->iov_base + n;
			parts->iov_len -= (size_t)n;
		}
	}
	return true;
}

static int command(struct smtpc *smtp, const char *text)
{
	struct iovec part = {(void *)text, strlen(text)};

	all_write(smtp, &part, 1); /* if it failed, the reply may still say why */
	return reply_read(smtp);
}

static socklen_t address_length(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					      : sizeof(struct sockaddr_in);
}

static int socket_connect(const struct sockaddr_storage *source,
			  const struct sockaddr_storage *peer, uint32_t timeout_ms)
{
	struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
	int fd = socket(peer->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)source, address_length(source)) < 0 ||
	    connect(fd, (const struct sockaddr *)peer, address_length(peer)) < 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

int smtpc_open(struct smtpc *smtp, const struct sockaddr_storage *source,
	       const struct sockaddr_storage *peer, uint32_t timeout_ms)
{
	int code;

	smtp->in_length = smtp->reply_length = 0;
	smtp->reply[0] = '\0';
	smtp->fd = socket_connect(source, peer, timeout_ms);
	if (smtp->fd < 0)
		return 0;
	code = reply_read(smtp);
	if (code == 220)
		code = command(smtp, "EHLO fleet.tollgate.example\r\n");
	else if (code == 250)
		code = 0; /* a greeting that is none */
	if (code != 250)
		connection_drop(smtp);
	return code;
}

/* Sends header, body and dot after 354. */
static int message_data(struct smtpc *smtp, const struct smtpc_message *message)
{
	struct iovec parts[] = {
		{(void *)message->header, strlen(message->header)},
		{(void *)message->body, message->body_length},
		{(void *)".\r\n", 3},
	};

	all_write(smtp, parts, 3);
	return reply_read(smtp);
}

/* The replies to RCPT and DATA after MAIL or RCPT was refused; the first refusal is what counts. */
static int envelope_refused(struct smtpc *smtp, int code, int pending)
{
	char first[sizeof(smtp->reply)];
	size_t length = smtp->reply_length;
	int next = code;

	memcpy(first, smtp->reply, length + 1);
	while (pending-- > 0 && code != 421) {
		next = reply_read(smtp);
		if (next == 0 || next == 421)
			break;
	}
	if (next == 354) { /* nobody to send to: an empty message is refused */
		struct iovec dot = {(void *)".\r\n", 3};

		all_write(smtp, &dot, 1);
		next = reply_read(smtp);
	}
	if (code == 421 || next == 421)
		connection_drop(smtp);
	if (smtp->fd >= 0 && command(smtp, "RSET\r\n") != 250)
		connection_drop(smtp);
	memcpy(smtp->reply, first, length + 1);
	smtp->reply_length = length;
	return code;
}

int smtpc_send(struct smtpc *smtp, const struct smtpc_message *message)
{
	char text[1024];
	struct iovec part = {text, 0};
	int code;

	part.iov_len =
		(size_t)snprintf(text, sizeof(text), "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n",
				 message->sender, message->recipient);
	all_write(smtp, &part, 1);
	for (int i = 0; i < 2; i++) {
		code = reply_read(smtp);
		if (code == 0)
			return 0;
		if (code != 250)
			return envelope_refused(smtp, code, 2 - i);
	}
	code = reply_read(smtp);
	if (code == 354)
		code = message_data(smtp, message);
	if (code == 421)
		connection_drop(smtp);
	return code;
}

void smtpc_close(struct smtpc *smtp)
{
	if (smtp->fd < 0)
		return;
	command(smtp, "QUIT\r\n");
	connection_drop(smtp);
}
