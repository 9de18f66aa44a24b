/* SPDX-License-Identifier: MIT
 *
 * The sockets of the receiver model: see server.h.
 *
 * Every descriptor in the epoll points to a struct watched, which is the first member of a
 * listener, a session or an outside watch. Sessions stand in a list ordered by when they were last
 * heard of, so the silent ones are at its head. As the latency is the same for all, sessions whose
 * answers wait for it stand in a second list in the order in which they may go.
 */
#include "bench/lib/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/lib/now.h"
#include "sidecar/base/units.h"

#define EVENTS	    256
#define ACCEPT_ONCE 64 /* so that a flood of connections does not starve the sessions */

struct server_watch {
	void (*ready)(struct smtp_server *server, struct server_watch *watched, uint32_t events,
		      uint64_t now_ns);
	int fd;
};

struct listener {
	struct server_watch watched;
	struct smtpd_host *host;
	struct listener *next;
};

struct outside {
	struct server_watch watched;
	void (*on_readable)(void *context);
	void *context;
	struct outside *next;
};

struct session {
	struct server_watch watched;
	TAILQ_ENTRY(session) heard, late;
	uint64_t heard_ns, release_ns; /* release_ns 0: not in the late list */
	size_t sent;
	uint32_t events;
	bool dead;
	struct smtpd smtp;
};
TAILQ_HEAD(sessions, session);

struct smtp_server {
	struct server_options options;
	int epoll;
	int spare; /* a descriptor kept back: closed to accept and shed a connection when none is
		      left */
	uint32_t count;
	struct listener *listeners;
	struct outside *outsides;
	struct sessions heard, late, dead;
};

int server_new(const struct server_options *options, struct smtp_server **ret)
{
	struct smtp_server *server = calloc(1, sizeof(*server));
	struct rlimit files;

	if (!server)
		return -ENOMEM;
	server->options = *options;
	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	server->spare = dup(server->epoll);
	if (server->epoll < 0 || server->spare < 0) {
		int error = -errno;

		free(server);
		return error;
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	TAILQ_INIT(&server->heard);
	TAILQ_INIT(&server->late);
	TAILQ_INIT(&server->dead);
	*ret = server;
	return 0;
}

static int watch(struct smtp_server *server, struct server_watch *watched, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watched};

	return epoll_ctl(server->epoll, EPOLL_CTL_ADD, watched->fd, &event) < 0 ? -errno : 0;
}

/* ---- sessions -----------------------------------------------------------------------------------
 */

/* The memory is freed after the batch of events, which may still point to it. */
static void session_close(struct smtp_server *server, struct session *session, uint64_t now_ns)
{
	if (session->dead)
		return;
	session->dead = true;
	smtpd_end(&session->smtp, now_ns);
	close(session->watched.fd);
	TAILQ_REMOVE(&server->heard, session, heard);
	if (session->release_ns)
		TAILQ_REMOVE(&server->late, session, late);
	TAILQ_INSERT_TAIL(&server->dead, session, heard);
	server->count--;
}

static void session_want(struct smtp_server *server, struct session *session, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = &session->watched};

	if (session->events == events)
		return;
	session->events = events;
	epoll_ctl(server->epoll, EPOLL_CTL_MOD, session->watched.fd, &event);
}

/* Sends what waits. False: the session is closed. */
static bool session_flush(struct smtp_server *server, struct session *session, uint64_t now_ns)
{
	struct smtpd *smtp = &session->smtp;

	while (session->sent < smtp->out_length) {
		ssize_t n = send(session->watched.fd, smtp->out + session->sent,
				 smtp->out_length - session->sent, MSG_NOSIGNAL);

		if (n > 0) {
			session->sent += (size_t)n;
		} else if (errno == EAGAIN) {
			session_want(server, session, EPOLLOUT);
			return true;
		} else if (errno != EINTR) {
			session_close(server, session, now_ns);
			return false;
		}
	}
	session->sent = smtp->out_length = 0;
	if (smtp->closing) {
		shutdown(session->watched.fd, SHUT_WR);
		session_close(server, session, now_ns);
		return false;
	}
	session_want(server, session, EPOLLIN);
	return true;
}

/* Works through what was read; answers go at once, or when the latency has passed. */
static void session_step(struct smtp_server *server, struct session *session, uint64_t now_ns)
{
	do {
		size_t before = session->smtp.in_length;

		smtpd_run(&session->smtp, now_ns);
		if (session->smtp.out_length && server->options.latency_ns) {
			session->release_ns = now_ns + server->options.latency_ns;
			TAILQ_INSERT_TAIL(&server->late, session, late);
			session_want(server, session, 0);
			return;
		}
		if (!session_flush(server, session, now_ns))
			return;
		if (session->smtp.in_length == before)
			return;
	} while (session->smtp.out_length == 0 && session->smtp.in_length);
}

static void session_read(struct smtp_server *server, struct session *session, uint64_t now_ns)
{
	struct smtpd *smtp = &session->smtp;
	ssize_t n = recv(session->watched.fd, smtp->in + smtp->in_length,
			 sizeof(smtp->in) - smtp->in_length, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		/* What a peer that has gone had still to say is of no use: it would not hear. */
		session_close(server, session, now_ns);
		return;
	}
	smtp->in_length += (size_t)n;
	session->heard_ns = now_ns;
	TAILQ_REMOVE(&server->heard, session, heard);
	TAILQ_INSERT_TAIL(&server->heard, session, heard);
	session_step(server, session, now_ns);
}

static void session_ready(struct smtp_server *server, struct server_watch *watched, uint32_t events,
			  uint64_t now_ns)
{
	struct session *session = (struct session *)watched;

	if (session->dead)
		return;
	if (events & (EPOLLERR | EPOLLHUP)) {
		session_close(server, session, now_ns);
		return;
	}
	if (events & EPOLLOUT && session_flush(server, session, now_ns) &&
	    session->smtp.out_length == 0)
		session_step(server, session, now_ns);
	if (events & EPOLLIN && !session->dead)
		session_read(server, session, now_ns);
}

/* ---- listeners ----------------------------------------------------------------------------------
 */

/* The address as throttle keeps it (IPv4 mapped) and as text. */
static void peer_name(const struct sockaddr_storage *peer, uint8_t address[16],
		      char text[INET6_ADDRSTRLEN])
{
	memset(address, 0, 16);
	if (peer->ss_family == AF_INET6) {
		memcpy(address, &((const struct sockaddr_in6 *)peer)->sin6_addr, 16);
	} else {
		address[10] = address[11] = 0xff;
		memcpy(address + 12, &((const struct sockaddr_in *)peer)->sin_addr, 4);
	}
	if (IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)address))
		inet_ntop(AF_INET, address + 12, text, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, address, text, INET6_ADDRSTRLEN);
}

static void session_new(struct smtp_server *server, struct smtpd_host *host, int fd,
			const struct sockaddr_storage *peer, uint64_t now_ns)
{
	struct session *session = malloc(sizeof(*session));
	struct throttle_entry *entry;
	char text[INET6_ADDRSTRLEN];
	uint8_t address[16];
	int on = 1;

	peer_name(peer, address, text);
	entry = throttle_entry(host->throttle, address);
	if (!session || !entry) {
		free(session);
		close(fd);
		return;
	}
	memset(session, 0, offsetof(struct session, smtp));
	session->watched = (struct server_watch){session_ready, fd};
	session->heard_ns = now_ns;
	session->events = EPOLLIN;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	smtpd_begin(&session->smtp, host, entry, text, now_ns);
	TAILQ_INSERT_TAIL(&server->heard, session, heard);
	server->count++;
	if (watch(server, &session->watched, EPOLLIN) < 0)
		session_close(server, session, now_ns);
	else
		session_step(server, session, now_ns);
}

static void listener_ready(struct smtp_server *server, struct server_watch *watched,
			   uint32_t events, uint64_t now_ns)
{
	struct listener *listener = (struct listener *)watched;

	for (int i = 0; i < ACCEPT_ONCE; i++) {
		struct sockaddr_storage peer = {0};
		socklen_t length = sizeof(peer);
		int fd = accept4(watched->fd, (struct sockaddr *)&peer, &length,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			session_new(server, listener->host, fd, &peer, now_ns);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE) {
			/* Shed one connection, or epoll would report it for ever. */
			close(server->spare);
			fd = accept4(watched->fd, NULL, NULL, SOCK_CLOEXEC);
			if (fd >= 0)
				close(fd);
			server->spare = dup(server->epoll);
		}
		return;
	}
}

/* "127.0.0.1:25" or "[::1]:25" to a socket address; its length, or -EINVAL. */
static int address_parse(const char *text, struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2];
	uint64_t port;

	memset(ret, 0, sizeof(*ret));
	if (!colon || units_count(colon + 1, &port, NULL) < 0 || port > 65535 ||
	    (size_t)(colon - text) >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		return sizeof(*v4);
	}
	if (host[0] != '[' || colon[-1] != ']')
		return -EINVAL;
	host[colon - text - 1] = '\0';
	if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) != 1)
		return -EINVAL;
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	return sizeof(*v6);
}

static int listen_at(const struct sockaddr_storage *address, int length, uint16_t *ret_port)
{
	struct sockaddr_in6 bound = {0}; /* sin_port stands at the same offset */
	socklen_t bound_length = sizeof(bound);
	int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;
	int error;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)address, (socklen_t)length) < 0 ||
	    listen(fd, 4096) < 0 || getsockname(fd, (struct sockaddr *)&bound, &bound_length) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	*ret_port = ntohs(bound.sin6_port);
	return fd;
}

int server_listen(struct smtp_server *server, struct smtpd_host *host, const char *address,
		  uint16_t *ret_port)
{
	struct sockaddr_storage where;
	struct listener *listener;
	int length = address_parse(address, &where);
	uint16_t port = 0;
	int fd;

	if (length < 0)
		return length;
	fd = listen_at(&where, length, &port);
	if (fd < 0)
		return fd;
	listener = calloc(1, sizeof(*listener));
	if (!listener) {
		close(fd);
		return -ENOMEM;
	}
	listener->watched = (struct server_watch){listener_ready, fd};
	listener->host = host;
	listener->next = server->listeners;
	server->listeners = listener;
	*ret_port = port;
	return watch(server, &listener->watched, EPOLLIN);
}

/* ---- the loop -----------------------------------------------------------------------------------
 */

static void outside_ready(struct smtp_server *server, struct server_watch *watched, uint32_t events,
			  uint64_t now_ns)
{
	struct outside *outside = (struct outside *)watched;

	outside->on_readable(outside->context);
}

int server_watch(struct smtp_server *server, int fd, void (*on_readable)(void *context),
		 void *context)
{
	struct outside *outside = calloc(1, sizeof(*outside));

	if (!outside)
		return -ENOMEM;
	outside->watched = (struct server_watch){outside_ready, fd};
	outside->on_readable = on_readable;
	outside->context = context;
	outside->next = server->outsides;
	server->outsides = outside;
	return watch(server, &outside->watched, EPOLLIN);
}

/* Answers whose latency has passed go; silent sessions end; the dead are freed. */
static void server_sweep(struct smtp_server *server, uint64_t now_ns)
{
	struct session *session;

	while ((session = TAILQ_FIRST(&server->late)) && session->release_ns <= now_ns) {
		TAILQ_REMOVE(&server->late, session, late);
		session->release_ns = 0;
		if (session_flush(server, session, now_ns) && session->smtp.out_length == 0 &&
		    session->smtp.in_length)
			session_step(server, session, now_ns);
	}
	while ((session = TAILQ_FIRST(&server->heard)) &&
	       now_ns - session->heard_ns > server->options.idle_ns)
		session_close(server, session, now_ns);
	while ((session = TAILQ_FIRST(&server->dead))) {
		TAILQ_REMOVE(&server->dead, session, heard);
		free(session);
	}
}

static int server_wait_ms(const struct smtp_server *server, uint64_t until_ns, uint64_t now_ns)
{
	const struct session *late = TAILQ_FIRST(&server->late);
	uint64_t wake = now_ns + SECOND_NS;

	if (late && late->release_ns < wake)
		wake = late->release_ns;
	if (until_ns < wake)
		wake = until_ns;
	return wake <= now_ns ? 0 : (int)((wake - now_ns + 999999) / 1000000);
}

int server_run(struct smtp_server *server, uint64_t until_ns, const volatile int *stop)
{
	struct epoll_event events[EVENTS];
	uint64_t now = now_monotonic();

	while (!*stop && now < until_ns) {
		int n = epoll_wait(server->epoll, events, EVENTS,
				   server_wait_ms(server, until_ns, now));

		if (n < 0 && errno != EINTR)
			return -errno;
		now = now_monotonic();
		for (int i = 0; i < n; i++) {
			struct server_watch *watched = events[i].data.ptr;

			watched->ready(server, watched, events[i].events, now);
		}
		server_sweep(server, now);
	}
	return 0;
}

uint32_t server_sessions(const struct smtp_server *server)
{
	return server->count;
}

void server_free(struct smtp_server *server)
{
	struct session *session;
	struct listener *listener;
	struct outside *outside;
	uint64_t now = now_monotonic();

	if (!server)
		return;
	while ((session = TAILQ_FIRST(&server->heard)))
		session_close(server, session, now);
	server_sweep(server, now);
	while ((listener = server->listeners)) {
		server->listeners = listener->next;
		close(listener->watched.fd);
		free(listener);
	}
	while ((outside = server->outsides)) {
		server->outsides = outside->next;
		free(outside);
	}
	close(server->spare);
	close(server->epoll);
	free(server);
}
