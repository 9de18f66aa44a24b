/* SPDX-License-Identifier: MIT
 *
 * The sockets of the receiver model: listeners, thousands of sessions, one epoll, one thread.
 *
 * A slow peer costs its own session only: reading stops while its answers wait, and a session that
 * says nothing for too long is closed. Functions return 0 or -errno.
 */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include <stdint.h>

#include "bench/lib/smtpd.h"

struct smtp_server;

/* latency_ns: between a command and its answer. idle_ns: silence after which a session is closed.
 */
struct server_options {
	uint64_t latency_ns, idle_ns;
};

int server_new(const struct server_options *options, struct smtp_server **ret);
void server_free(struct smtp_server *server);

/* Listens at "127.0.0.1:25", "[::1]:0", … for host, which must outlive the server. ret_port: the
 * port, also where 0 asked for any. */
int server_listen(struct smtp_server *server, struct smtpd_host *host, const char *address,
		  uint16_t *ret_port);

/* Has on_readable(context) called when fd can be read. */
int server_watch(struct smtp_server *server, int fd, void (*on_readable)(void *context),
		 void *context);

/* Serves until until_ns, or until *stop is not 0. */
int server_run(struct smtp_server *server, uint64_t until_ns, const volatile int *stop);

uint32_t server_sessions(const struct smtp_server *server);

#endif
