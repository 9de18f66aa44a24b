/* SPDX-License-Identifier: MIT */
#include "sidecar/serve/http_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG	     128
#define ADDRESS_TEXT 64

static int unix_read(const char *path, struct sockaddr_storage *ret, socklen_t *ret_length)
{
	struct sockaddr_un *address = (struct sockaddr_un *)ret;

	if (*path != '/' || strlen(path) >= sizeof(address->sun_path))
		return -EINVAL;
	address->sun_family = AF_UNIX;
	strcpy(address->sun_path, path);
	*ret_length = sizeof(*address);
	return 0;
}

static int port_read(const char *text, in_port_t *ret)
{
	unsigned port = 0;
	size_t n = 0;

	for (; text[n] >= '0' && text[n] <= '9' && n < 5; n++)
		port = port * 10 + (unsigned)(text[n] - '0');
	if (n == 0 || text[n] != '\0' || port == 0 || port > 65535)
		return -EINVAL;
	*ret = htons((uint16_t)port);
	return 0;
}

/* Of text the first `length` bytes are the host. */
static int tcp_read(const char *text, size_t length, const char *port, bool v6,
		    struct sockaddr_storage *ret, socklen_t *ret_length)
{
	struct sockaddr_in *v4_address = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6_address = (struct sockaddr_in6 *)ret;
	char host[ADDRESS_TEXT];
	void *to = v6 ? (void *)&v6_address->sin6_addr : (void *)&v4_address->sin_addr;

	if (length >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	if (inet_pton(v6 ? AF_INET6 : AF_INET, host, to) != 1)
		return -EINVAL;
	ret->ss_family = v6 ? AF_INET6 : AF_INET;
	*ret_length = v6 ? sizeof(*v6_address) : sizeof(*v4_address);
	return port_read(port, v6 ? &v6_address->sin6_port : &v4_address->sin_port);
}

bool http_address_local(const struct sockaddr_storage *address)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

	if (address->ss_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	if (address->ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
		       (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && v6->sin6_addr.s6_addr[12] == 127);
	return address->ss_family == AF_UNIX;
}

int http_address_read(const char *text, struct sockaddr_storage *ret, socklen_t *ret_length,
		      bool *ret_local)
{
	const char *colon = strrchr(text, ':');
	bool bracket = *text == '[' && colon > text && colon[-1] == ']';
	int error;

	memset(ret, 0, sizeof(*ret));
	if (strncmp(text, "unix:", 5) == 0)
		error = unix_read(text + 5, ret, ret_length);
	else if (colon == NULL)
		error = -EINVAL;
	else if (bracket)
		error = tcp_read(text + 1, (size_t)(colon - text) - 2, colon + 1, true, ret,
				 ret_length);
	else
		error = tcp_read(text, (size_t)(colon - text), colon + 1, false, ret, ret_length);
	if (!error)
		*ret_local = http_address_local(ret);
	return error;
}

/* A socket that a dead process left behind is taken away; one that answers is somebody's. */
static int unix_make_way(const struct sockaddr_un *address)
{
	struct stat st;
	int fd, error = 0;

	if (lstat(address->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	    errno != ECONNREFUSED)
		error = -EADDRINUSE;
	else if (unlink(address->sun_path) != 0)
		error = -errno;
	close(fd);
	return error;
}

/* Nobody else can connect before it is given to the group. */
static int unix_bind(int fd, const struct sockaddr_un *address, int64_t group)
{
	int error = unix_make_way(address);

	if (error)
		return error;
	if (fchmod(fd, 0600) != 0 ||
	    bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
		return -errno;
	if (group >= 0 && (chown(address->sun_path, (uid_t)-1, (gid_t)group) != 0 ||
			   chmod(address->sun_path, 0660) != 0)) {
		error = -errno;
		unlink(address->sun_path);
	}
	return error;
}

int http_socket_open(const char *text, int64_t group, int *ret)
{
	struct sockaddr_storage address;
	socklen_t length;
	bool local;
	int one = 1, fd, error = http_address_read(text, &address, &length, &local);

	if (error)
		return error;
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (address.ss_family == AF_UNIX)
		error = unix_bind(fd, (struct sockaddr_un *)&address, group);
	else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
		 bind(fd, (struct sockaddr *)&address, length) != 0)
		error = -errno;
	if (!error && listen(fd, BACKLOG) != 0)
		error = -errno;
	if (error) {
		close(fd);
		return error;
	}
	*ret = fd;
	return 0;
}
