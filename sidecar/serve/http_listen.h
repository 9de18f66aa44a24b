/* SPDX-License-Identifier: MIT
 *
 * Sockets that the HTTP door listens on, by their names. For http.c and the configuration's check.
 */
#ifndef SIDECAR_SERVE_HTTP_LISTEN_H
#define SIDECAR_SERVE_HTTP_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* "unix:/path", "192.0.2.1:80", "[2001:db8::1]:80". -EINVAL: it is none. Where only this host
 * reaches it *ret_local is true. */
int http_address_read(const char *text, struct sockaddr_storage *ret, socklen_t *ret_length,
		      bool *ret_local);

/* A socket that listens, not blocking; a Unix socket that nobody listens on any more is replaced,
 * and given to the group (-1: nobody's). -errno. */
int http_socket_open(const char *text, int64_t group, int *ret);

/* Whether a client's address is of this host. */
bool http_address_local(const struct sockaddr_storage *address);

#endif
