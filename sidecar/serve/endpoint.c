/* SPDX-License-Identifier: MIT */
#include "sidecar/serve/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG	 4096
#define HOST_MAX 63

static int path_read(const char *path, struct endpoint *ret)
{
	struct sockaddr_un *address = &ret->address.local;

	if (*path != '/')
		return -EINVAL;
	if (strlen(path) > ENDPOINT_PATH_MAX)
		return -ENAMETOOLONG;
	address->sun_family = AF_UNIX;
	strcpy(address->sun_path, path);
	ret->length = sizeof(*address);
	ret->loopback = true;
	return 0;
}

static int port_read(const char *text, in_port_t *ret)
{
	unsigned port = 0;
	size_t n = 0;

	for (; text[n] >= '0' && text[n] <= '9' && n < 5; n++)
		port = port * 10 + (unsigned)(text[n] - '0');
	if (text[n] != '\0' || port == 0 || port > UINT16_MAX)
		return -EINVAL;
	*ret = htons((uint16_t)port);
	return 0;
}

static int host_read(const char *host, const char *port, bool v6, struct endpoint *ret)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	if (port_read(port, v6 ? &in6.sin6_port : &in.sin_port) != 0 ||
	    inet_pton(v6 ? AF_INET6 : AF_INET, host,
		      v6 ? (void *)&in6.sin6_addr : (void *)&in.sin_addr) != 1)
		return -EINVAL;
	if (v6)
		memcpy(&ret->address, &in6, sizeof(in6));
	else
		memcpy(&ret->address, &in, sizeof(in));
	ret->length = v6 ? sizeof(in6) : sizeof(in);
	ret->loopback = v6 ? IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr)
			   : ntohl(in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return 0;
}

int endpoint_read(const char *text, struct endpoint *ret)
{
	const char *colon = strrchr(text, ':');
	struct endpoint read = {0};
	char host[HOST_MAX + 1];
	size_t length;
	bool v6 = *text == '[';
	int error;

	if (strncmp(text, "unix:", 5) == 0) {
		error = path_read(text + 5, &read);
	} else {
		if (colon == NULL || (v6 && colon[-1] != ']'))
			return -EINVAL;
		length = (size_t)(colon - text) - (v6 ? 2 : 0);
		if (length > HOST_MAX)
			return -EINVAL;
		memcpy(host, text + v6, length);
		host[length] = '\0';
		error = host_read(host, colon + 1, v6, &read);
	}
	if (!error)
		*ret = read;
	return error;
}

/* A name that nobody answers to is taken away; whoever answers keeps it. */
static int path_clear(const struct endpoint *endpoint)
{
	const char *path = endpoint->address.local.sun_path;
	struct stat st;
	int fd, error = 0;

	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, &endpoint->address.any, endpoint->length) == 0 || errno != ECONNREFUSED)
		error = -EADDRINUSE;
	else if (unlink(path) != 0)
		error = -errno;
	close(fd);
	return error;
}

/* Nobody else can connect before it is given to its group. */
static int path_bind(const struct endpoint *endpoint, int fd, unsigned mode, int64_t group)
{
	const char *path = endpoint->address.local.sun_path;
	int error = path_clear(endpoint);

	if (error)
		return error;
	if (fchmod(fd, 0600) != 0 || bind(fd, &endpoint->address.any, endpoint->length) != 0)
		return -errno;
	if ((group >= 0 && lchown(path, (uid_t)-1, (gid_t)group) != 0) || chmod(path, mode) != 0) {
		error = -errno;
		unlink(path);
	}
	return error;
}

static int port_bind(const struct endpoint *endpoint, int fd)
{
	int one = 1;

	return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
			       bind(fd, &endpoint->address.any, endpoint->length) != 0
		       ? -errno
		       : 0;
}

int endpoint_listen(const struct endpoint *endpoint, unsigned mode, int64_t group, int *ret)
{
	bool local = endpoint->address.any.sa_family == AF_UNIX;
	int error, fd = socket(endpoint->address.any.sa_family,
			       SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	error = local ? path_bind(endpoint, fd, mode, group) : port_bind(endpoint, fd);
	if (!error && listen(fd, BACKLOG) != 0)
		error = -errno;
	if (error)
		close(fd);
	else
		*ret = fd;
	return error;
}

void endpoint_remove(const struct endpoint *endpoint)
{
	if (endpoint->address.any.sa_family == AF_UNIX)
		unlink(endpoint->address.local.sun_path);
}
