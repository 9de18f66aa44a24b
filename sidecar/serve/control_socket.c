/* SPDX-License-Identifier: MIT
 *
 * The socket, its clients, and who may do what. See control_socket.h; one client's bytes are in
 * control_client.c.
 */
#include "sidecar/serve/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sidecar/base/log.h"
#include "sidecar/serve/control_client.h"

#define BACKLOG	   16
#define ACCEPT_MAX 16 /* in one go, so that nobody keeps the loop */
#define TICK_NS	   UINT64_C(1000000000)

static void expire_later(struct control_socket *server, uint64_t now_ns)
{
	bool wanted = server->count > 0 || server->paused;

	loop_timer_set(server->loop, server->timer, wanted ? now_ns + TICK_NS : LOOP_NEVER);
}

void control_socket_expire(struct control_socket *server, uint64_t now_ns)
{
	for (int i = 0; i < SERVER_CLIENTS_MAX; i++) {
		struct control_client *client = &server->clients[i];

		if (client->fd >= 0 && !client->waiting && now_ns >= client->since_ns &&
		    now_ns - client->since_ns >= SERVER_CLIENT_WAIT_NS)
			control_client_close(client);
	}
	if (server->paused) {
		server->paused = false;
		loop_watch_events(server->loop, server->watch, POLLIN);
	}
}

void control_socket_wake(struct control_socket *server)
{
	for (int i = 0; i < SERVER_CLIENTS_MAX; i++)
		if (server->clients[i].fd >= 0)
			control_client_wake(&server->clients[i]);
}

static void tick(void *arg, uint64_t now_ns)
{
	struct control_socket *server = arg;

	control_socket_expire(server, now_ns);
	expire_later(server, now_ns);
}

static void refuse(int fd, const char *why)
{
	struct json_writer line = {0};

	control_client_error_line(&line, "ok", why, EBUSY);
	/* What does not fit into a fresh socket's buffer is not worth waiting for. */
	if (line.text && send(fd, line.text, line.length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("server", "a client was refused and had gone");
	json_writer_free(&line);
	close(fd);
}

static struct control_client *vacancy(struct control_socket *server, const struct ucred *who)
{
	uint32_t max = SERVER_CLIENTS_MAX -
		       (control_socket_may_change(who->uid) ? 0 : SERVER_CLIENTS_KEPT);

	for (int i = 0; i < SERVER_CLIENTS_MAX && server->count < max; i++)
		if (server->clients[i].fd < 0)
			return &server->clients[i];
	return NULL;
}

bool control_socket_may_change(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

static void welcome(struct control_socket *server, int fd)
{
	struct control_client *client;
	struct ucred who;
	socklen_t size = sizeof(who);
	uint64_t now_ns = loop_now();

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) {
		refuse(fd, "who you are cannot be found out");
		return;
	}
	client = vacancy(server, &who);
	if (client == NULL) {
		refuse(fd, "too many clients: try again later");
		return;
	}
	if (control_client_open(client, server, fd, &who, now_ns) != 0) {
		refuse(fd, "out of memory");
		return;
	}
	expire_later(server, now_ns);
}

static void accept_ready(void *arg, int revents)
{
	struct control_socket *server = arg;

	for (int i = 0; revents > 0 && i < ACCEPT_MAX; i++) {
		int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			welcome(server, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN) {
			/* No descriptor is left: the socket would stay ready, and the loop would
			 * spin. */
			log_warning("server", "cannot take a client: %s", strerror(errno));
			server->paused = true;
			loop_watch_events(server->loop, server->watch, 0);
			expire_later(server, loop_now());
		}
		return;
	}
}

/* The folder may have a longer name than an address holds; its descriptor's has not. */
static void address_of(int folder, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/" SERVER_SOCKET, folder);
}

/* Nobody else can connect before it is given to the group. */
static int socket_open(int folder, int64_t group, int *ret)
{
	struct sockaddr_un address;
	struct stat st;
	int error, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	address_of(folder, &address);
	/* What is there is a dead sidecar's: the folder is locked by us. */
	if (unlinkat(folder, SERVER_SOCKET, 0) != 0 && errno != ENOENT)
		goto out;
	if (fchmod(fd, 0600) != 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		goto out;
	/* The folder's owner is whom we become, and may command us. */
	if (fstat(folder, &st) != 0 ||
	    fchownat(folder, SERVER_SOCKET, geteuid() == 0 ? st.st_uid : (uid_t)-1,
		     group >= 0 ? (gid_t)group : (gid_t)-1, AT_SYMLINK_NOFOLLOW) != 0)
		goto out;
	if (fchmodat(folder, SERVER_SOCKET, 0660, 0) != 0 || listen(fd, BACKLOG) != 0)
		goto out;
	*ret = fd;
	return 0;
out:
	error = -errno;
	close(fd);
	return error;
}

int control_socket_create(struct loop *loop, int folder, int64_t group, struct control_socket **ret,
			  char *reason)
{
	struct control_socket *server = calloc(1, sizeof(*server));
	int error;

	if (server == NULL)
		return -ENOMEM;
	for (int i = 0; i < SERVER_CLIENTS_MAX; i++)
		server->clients[i].fd = -1;
	server->loop = loop;
	server->folder = folder;
	error = socket_open(folder, group, &server->fd);
	if (error) {
		snprintf(reason, SERVER_REASON, "cannot listen on " SERVER_SOCKET ": %s",
			 strerror(-error));
		free(server);
		return error;
	}
	server->timer = loop_timer(loop, tick, server);
	server->watch = loop_watch(loop, server->fd, POLLIN, accept_ready, server);
	if (server->timer < 0 || server->watch < 0) {
		snprintf(reason, SERVER_REASON, "no room in the loop");
		control_socket_free(server);
		return -ENOMEM;
	}
	*ret = server;
	return 0;
}

void control_socket_free(struct control_socket *server)
{
	if (server == NULL)
		return;
	for (int i = 0; i < SERVER_CLIENTS_MAX; i++)
		if (server->clients[i].fd >= 0)
			control_client_close(&server->clients[i]);
	if (server->timer >= 0)
		loop_timer_set(server->loop, server->timer, LOOP_NEVER);
	if (server->watch >= 0)
		loop_unwatch(server->loop, server->watch);
	close(server->fd);
	unlinkat(server->folder, SERVER_SOCKET, 0);
	free(server);
}

int control_socket_handle(struct control_socket *server, const char *name, bool changes,
			  control_run *run, void *arg)
{
	if (server->command_count == SERVER_COMMANDS_MAX)
		return -ENOSPC;
	server->commands[server->command_count++] =
		(struct control_command){name, changes, run, arg};
	return 0;
}

uint32_t control_socket_clients(const struct control_socket *server)
{
	return server->count;
}
