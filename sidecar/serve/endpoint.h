/* SPDX-License-Identifier: MIT
 *
 * Where a listener is: "unix:/path", "127.0.0.1:6380", "[::1]:6380". Read for the configuration's
 * check, opened for the listener.
 */
#ifndef SIDECAR_SERVE_ENDPOINT_H
#define SIDECAR_SERVE_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct endpoint {
	union {
		struct sockaddr any;
		struct sockaddr_un local;
		struct sockaddr_storage storage;
	} address;
	socklen_t length;
	bool loopback; /* no other host reaches it */
};

/* The longest path of a Unix socket, as the kernel has it. */
#define ENDPOINT_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/* 0; -EINVAL: neither form; -ENAMETOOLONG: the path does not fit into an address. */
int endpoint_read(const char *text, struct endpoint *ret);

/* A socket that listens and does not block. A Unix socket gets that mode and group (-1: its maker's
 * own); one that a dead process left is replaced. -EADDRINUSE: somebody answers there. -EEXIST: a
 * file is there that is no socket. Otherwise what the system says. */
int endpoint_listen(const struct endpoint *endpoint, unsigned mode, int64_t group, int *ret);

/* Takes a Unix socket's name away, if it may. */
void endpoint_remove(const struct endpoint *endpoint);

#endif
