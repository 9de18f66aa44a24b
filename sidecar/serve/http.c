/* SPDX-License-Identifier: MIT
 *
 * The door, its clients and their requests. See http.h.
 *
 * libmicrohttpd runs without threads and without sockets of its own to listen on: we accept, and
 * hand connections over; its epoll descriptor is watched by the loop. After each run it is asked
 * whether more is to be done at once, and that waits for the loop's next turn.
 */
#include "sidecar/serve/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/base/crypto.h"
#include "sidecar/base/log.h"
#include "sidecar/serve/endpoint.h"

#define ACCEPT_MAX    16
#define HEAD_MAX      16384		     /* of a request, and what libmicrohttpd needs beside */
#define IDLE_NS	      UINT64_C(120000000000) /* between two requests: clients keep connections */
#define TICK_NS	      UINT64_C(1000000000)
#define AGAIN_NS      UINT64_C(10000000000)
#define ROUTES_MAX    16
#define LISTENERS_MAX 8
#define BODY_FIRST    4096

enum trouble { TOO_MANY, TOO_SLOW, TOO_LONG, NO_MEMORY, NO_SUCH, REFUSED, TROUBLES };

static const struct {
	const char *name, *said;
} troubles[TROUBLES] = {
	[TOO_MANY] = {"too_many_clients", "as many clients are connected as may be: one was "
					  "turned away"},
	[TOO_SLOW] = {"too_slow", "a client did not send its request in time and was dropped"},
	[TOO_LONG] = {"too_long", "a request's body was longer than 2 MiB and was refused"},
	[NO_MEMORY] = {"no_memory", "the memory for requests is used up: one was refused"},
	[NO_SUCH] = {"no_such_path", "a path or method was asked for that there is not"},
	[REFUSED] = {"refused", "a request was refused"},
};

struct route {
	const char *method, *path;
	http_run *run;
	http_upgraded *upgraded; /* a WebSocket; NULL: not one */
	void *arg;
};

struct http_listener {
	struct http *http;
	char *address;
	int fd; /* -1: not open */
	int watch;
	int error;
};

struct http_client {
	struct http *http;
	struct http_client *next, *before;
	int fd;
	bool local;
	bool upgraded; /* its time is its WebSocket's business */
	uint64_t until_ns;
};

/* A request while it comes in. */
struct exchange {
	struct http *http;
	const struct route *route;
	unsigned refused; /* status, once it is known that it will be */
	char *body;
	size_t length, room;
	struct upgrade *upgrade; /* that is answered, and has not begun */
};

struct http {
	struct loop *loop;
	struct MHD_Daemon *daemon;
	int watch, pump_timer, tick_timer;
	int64_t group;
	struct http_listener listeners[LISTENERS_MAX];
	uint32_t listener_count;
	struct route routes[ROUTES_MAX];
	uint32_t route_count;
	struct http_client *clients;
	uint32_t client_count, client_max;
	size_t bodies; /* bytes */
	uint64_t again_ns;
	uint64_t requests;
	uint64_t troubles[TROUBLES];
	bool paused; /* accepts nobody until the next tick */
	bool ending;
};

static void trouble_count(struct http *http, enum trouble trouble)
{
	if (http->troubles[trouble]++ == 0)
		log_warning("http", "%s (said once, counted in status)", troubles[trouble].said);
}

/* ---- libmicrohttpd's turn -------------------------------------------------------------------- */

static void tick_plan(struct http *http, uint64_t now_ns)
{
	loop_timer_set(http->loop, http->tick_timer, now_ns + TICK_NS);
}

static void pump(struct http *http)
{
	MHD_UNSIGNED_LONG_LONG left_ms;
	uint64_t now_ns;

	MHD_run(http->daemon);
	now_ns = loop_now();
	if (MHD_get_timeout(http->daemon, &left_ms) == MHD_YES)
		loop_timer_set(http->loop, http->pump_timer, now_ns + left_ms * 1000000);
	else
		loop_timer_set(http->loop, http->pump_timer, LOOP_NEVER);
}

static void pump_ready(void *arg, int revents)
{
	pump(arg);
}

static void pump_due(void *arg, uint64_t now_ns)
{
	pump(arg);
}

/* ---- clients --------------------------------------------------------------------------------- */

static struct http_client *client_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/* Whether a client is on this host. */
static bool address_local(const struct sockaddr_storage *address)
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

static bool connection_local(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	return info && info->client_addr &&
	       address_local((const struct sockaddr_storage *)info->client_addr);
}

static void client_begin(struct http *http, struct MHD_Connection *connection,
			 void **socket_context)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct http_client *client = info ? calloc(1, sizeof(*client)) : NULL;

	*socket_context = client;
	if (client == NULL) {
		/* Nobody would ever drop it. */
		if (info)
			shutdown(info->connect_fd, SHUT_RDWR);
		return;
	}
	client->http = http;
	client->fd = info->connect_fd;
	client->local = connection_local(connection);
	client->until_ns = loop_now() + HTTP_REQUEST_NS;
	client->next = http->clients;
	if (http->clients)
		http->clients->before = client;
	http->clients = client;
	http->client_count++;
}

static void client_end(struct http_client *client)
{
	struct http *http = client->http;

	if (client->before)
		client->before->next = client->next;
	else
		http->clients = client->next;
	if (client->next)
		client->next->before = client->before;
	http->client_count--;
	free(client);
}

static void connection_changed(void *arg, struct MHD_Connection *connection, void **socket_context,
			       enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		client_begin(arg, connection, socket_context);
	else if (*socket_context != NULL)
		client_end(*socket_context);
}

/* Drops whose request has not become whole in time: by a timer. */
static void http_expire(struct http *http, uint64_t now_ns)
{
	for (struct http_client *client = http->clients; client; client = client->next) {
		if (client->upgraded || now_ns < client->until_ns)
			continue;
		if (client->until_ns != LOOP_NEVER)
			trouble_count(http, TOO_SLOW);
		/* libmicrohttpd finds it closed, and ends it. */
		client->until_ns = LOOP_NEVER;
		shutdown(client->fd, SHUT_RDWR);
	}
}

/* ---- requests -------------------------------------------------------------------------------- */

const char *http_header(const struct http_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *http_argument(const struct http_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

void http_say(struct http_reply *reply, unsigned status, const char *text)
{
	size_t length = strlen(text);
	char *body = malloc(length + 1);

	reply->status = status;
	reply->type = "text/plain; charset=utf-8";
	if (body == NULL)
		return;
	memcpy(body, text, length);
	body[length] = '\n';
	free(reply->body);
	reply->body = body;
	reply->length = length + 1;
}

static enum MHD_Result reply_send(struct MHD_Connection *connection, struct http_reply *reply)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		reply->length, reply->body,
		reply->body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result = MHD_NO;

	if (response == NULL) {
		free(reply->body);
		return MHD_NO;
	}
	if (!reply->type ||
	    MHD_add_response_header(response, "Content-Type", reply->type) == MHD_YES)
		result = MHD_queue_response(connection, reply->status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status)
{
	struct http_reply reply = {0};

	http_say(&reply, status,
		 status == MHD_HTTP_NOT_FOUND		 ? "no such path"
		 : status == MHD_HTTP_METHOD_NOT_ALLOWED ? "not by this method"
		 : status == MHD_HTTP_CONTENT_TOO_LARGE	 ? "the body is longer than 2 MiB"
							 : "out of memory: try again later");
	return reply_send(connection, &reply);
}

static const struct route *route_find(const struct http *http, const char *method, const char *path,
				      unsigned *ret_status)
{
	*ret_status = MHD_HTTP_NOT_FOUND;
	if (strcmp(method, "HEAD") == 0)
		method = "GET";
	for (uint32_t i = 0; i < http->route_count; i++) {
		if (strcmp(http->routes[i].path, path) != 0)
			continue;
		if (strcmp(http->routes[i].method, method) == 0)
			return &http->routes[i];
		*ret_status = MHD_HTTP_METHOD_NOT_ALLOWED;
	}
	return NULL;
}

static void exchange_refuse(struct exchange *exchange, unsigned status, enum trouble trouble)
{
	exchange->refused = status;
	exchange->http->bodies -= exchange->room;
	free(exchange->body);
	exchange->body = NULL;
	exchange->length = exchange->room = 0;
	trouble_count(exchange->http, trouble);
}

/* Adds what has come; one NUL fits behind it. */
static void exchange_add(struct exchange *exchange, const char *data, size_t length)
{
	struct http *http = exchange->http;
	size_t room = exchange->room ? exchange->room : BODY_FIRST;
	char *grown;

	if (exchange->refused)
		return;
	if (length > HTTP_BODY_MAX - exchange->length) {
		exchange_refuse(exchange, MHD_HTTP_CONTENT_TOO_LARGE, TOO_LONG);
		return;
	}
	while (room <= exchange->length + length)
		room *= 2;
	if (room > exchange->room) {
		grown = http->bodies + (room - exchange->room) <= HTTP_BODIES_MAX
				? realloc(exchange->body, room)
				: NULL;
		if (grown == NULL) {
			exchange_refuse(exchange, MHD_HTTP_SERVICE_UNAVAILABLE, NO_MEMORY);
			return;
		}
		http->bodies += room - exchange->room;
		exchange->body = grown;
		exchange->room = room;
	}
	memcpy(exchange->body + exchange->length, data, length);
	exchange->length += length;
}

static struct http_request request_of(struct exchange *exchange, struct MHD_Connection *connection)
{
	const struct http_client *client = client_of(connection);

	return (struct http_request){.path = exchange->route->path,
				     .body = exchange->body,
				     .length = exchange->length,
				     .local = client && client->local,
				     .connection = connection};
}

static enum MHD_Result exchange_run(struct exchange *exchange, struct MHD_Connection *connection)
{
	struct http_request request;
	struct http_reply reply = {.status = MHD_HTTP_OK};

	exchange_add(exchange, "", 0);
	if (exchange->refused)
		return refuse(connection, exchange->refused);
	exchange->body[exchange->length] = '\0';
	request = request_of(exchange, connection);
	exchange->route->run(exchange->route->arg, &request, &reply);
	if (reply.status >= 400)
		trouble_count(exchange->http, REFUSED);
	return reply_send(connection, &reply);
}

/* ---- WebSockets ------------------------------------------------------------------------------ */

struct upgrade {
	struct http *http;
	const struct route *route;
	struct http_client *client;
	struct MHD_UpgradeResponseHandle *handle;
};

static void upgrade_close(void *arg)
{
	struct upgrade *upgrade = arg;
	struct http *http = upgrade->http;

	MHD_upgrade_action(upgrade->handle, MHD_UPGRADE_ACTION_CLOSE);
	free(upgrade);
	if (!http->ending)
		loop_timer_set(http->loop, http->pump_timer, loop_now());
}

static void upgrade_done(void *arg, struct MHD_Connection *connection, void *con_cls,
			 const char *extra, size_t extra_length, MHD_socket fd,
			 struct MHD_UpgradeResponseHandle *handle)
{
	struct upgrade *upgrade = arg;
	struct exchange *exchange = con_cls;
	int flags = fcntl(fd, F_GETFL);

	if (exchange)
		exchange->upgrade = NULL;
	upgrade->handle = handle;
	/* Whoever sends before we have accepted does not speak the protocol. */
	if (extra_length > 0 || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
		upgrade_close(upgrade);
		return;
	}
	if (upgrade->client)
		upgrade->client->upgraded = true;
	upgrade->route->upgraded(upgrade->route->arg, fd, upgrade_close, upgrade);
}

/* Whether a comma-separated header has a word. */
static bool header_has(const char *header, const char *word)
{
	size_t length = strlen(word);

	while (header && *header) {
		header += strspn(header, ", \t");
		if (strncasecmp(header, word, length) == 0 && strchr(", \t", header[length]))
			return true;
		header += strcspn(header, ",");
	}
	return false;
}

static enum MHD_Result upgrade_send(struct upgrade *upgrade, struct MHD_Connection *connection,
				    const char *key)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */
	char text[24 + sizeof(guid)], accept[CRYPTO_SHA1_BASE64];
	struct MHD_Response *response = MHD_create_response_for_upgrade(upgrade_done, upgrade);
	enum MHD_Result result = MHD_NO;

	if (response == NULL) {
		free(upgrade);
		return MHD_NO;
	}
	memcpy(text, key, 24);
	memcpy(text + 24, guid, sizeof(guid));
	crypto_sha1_base64(text, sizeof(text) - 1, accept);
	if (MHD_add_response_header(response, "Upgrade", "websocket") == MHD_YES &&
	    MHD_add_response_header(response, "Sec-WebSocket-Accept", accept) == MHD_YES)
		result = MHD_queue_response(connection, MHD_HTTP_SWITCHING_PROTOCOLS, response);
	MHD_destroy_response(response);
	if (result != MHD_YES)
		free(upgrade);
	return result;
}

static enum MHD_Result upgrade_run(struct exchange *exchange, struct MHD_Connection *connection)
{
	struct http_request request = request_of(exchange, connection);
	struct http_reply reply = {.status = MHD_HTTP_OK};
	const char *key = http_header(&request, "Sec-WebSocket-Key");
	const char *version = http_header(&request, "Sec-WebSocket-Version");
	struct upgrade *upgrade;

	if (exchange->route->run)
		exchange->route->run(exchange->route->arg, &request, &reply);
	if (reply.status == MHD_HTTP_OK &&
	    (!header_has(http_header(&request, "Upgrade"), "websocket") ||
	     !header_has(http_header(&request, "Connection"), "upgrade") || !key ||
	     strlen(key) != 24 || !version || strcmp(version, "13") != 0))
		http_say(&reply, MHD_HTTP_BAD_REQUEST, "this is a WebSocket, version 13");
	if (reply.status != MHD_HTTP_OK) {
		trouble_count(exchange->http, REFUSED);
		return reply_send(connection, &reply);
	}
	free(reply.body);
	upgrade = calloc(1, sizeof(*upgrade));
	if (upgrade == NULL)
		return refuse(connection, MHD_HTTP_SERVICE_UNAVAILABLE);
	upgrade->http = exchange->http;
	upgrade->route = exchange->route;
	upgrade->client = client_of(connection);
	exchange->upgrade = upgrade;
	if (upgrade_send(upgrade, connection, key) == MHD_YES)
		return MHD_YES;
	exchange->upgrade = NULL;
	return MHD_NO;
}

/* ---- libmicrohttpd's calls ------------------------------------------------------------------- */

/* The first line of a request has come: from now on its time runs. */
static void *request_begins(void *arg, const char *uri, struct MHD_Connection *connection)
{
	struct http_client *client = client_of(connection);

	if (client && client->until_ns != LOOP_NEVER)
		client->until_ns = loop_now() + HTTP_REQUEST_NS;
	return NULL;
}

static void request_ends(void *arg, struct MHD_Connection *connection, void **con_cls,
			 enum MHD_RequestTerminationCode code)
{
	struct exchange *exchange = *con_cls;
	struct http_client *client = client_of(connection);

	if (client && client->until_ns != LOOP_NEVER)
		client->until_ns = loop_now() + IDLE_NS;
	if (exchange == NULL)
		return;
	exchange->http->bodies -= exchange->room;
	free(exchange->body);
	free(exchange->upgrade); /* the client has gone before it began */
	free(exchange);
	*con_cls = NULL;
}

/* A body that is said to be too long need not come. */
static bool length_said(struct MHD_Connection *connection)
{
	const char *length =
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");

	return length == NULL || strtoull(length, NULL, 10) <= HTTP_BODY_MAX;
}

static enum MHD_Result exchange_begin(struct http *http, struct MHD_Connection *connection,
				      const char *path, const char *method, void **con_cls)
{
	struct exchange *exchange = calloc(1, sizeof(*exchange));
	unsigned status;

	if (exchange == NULL)
		return MHD_NO;
	*con_cls = exchange;
	http->requests++;
	exchange->http = http;
	exchange->route = route_find(http, method, path, &status);
	if (exchange->route == NULL) {
		trouble_count(http, NO_SUCH);
		return refuse(connection, status);
	}
	if (!length_said(connection)) {
		trouble_count(http, TOO_LONG);
		return refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE);
	}
	return exchange->route->upgraded ? upgrade_run(exchange, connection) : MHD_YES;
}

static enum MHD_Result request_comes(void *arg, struct MHD_Connection *connection, const char *path,
				     const char *method, const char *version, const char *data,
				     size_t *data_length, void **con_cls)
{
	struct exchange *exchange = *con_cls;

	if (exchange == NULL)
		return exchange_begin(arg, connection, path, method, con_cls);
	if (*data_length > 0) {
		exchange_add(exchange, data, *data_length);
		*data_length = 0;
		return MHD_YES;
	}
	return exchange_run(exchange, connection);
}

/* ---- listening ------------------------------------------------------------------------------- */

static void client_take(struct http *http, int fd, const struct sockaddr_storage *address,
			socklen_t length)
{
	if (http->client_count >= http->client_max) {
		trouble_count(http, TOO_MANY);
		close(fd);
		return;
	}
	/* It closes fd where it fails. */
	if (MHD_add_connection(http->daemon, fd, (const struct sockaddr *)address, length) !=
	    MHD_YES)
		trouble_count(http, NO_MEMORY);
}

static void pause_set(struct http *http, bool paused)
{
	http->paused = paused;
	for (uint32_t i = 0; i < http->listener_count; i++)
		if (http->listeners[i].fd >= 0)
			loop_watch_events(http->loop, http->listeners[i].watch,
					  paused ? 0 : POLLIN);
}

static void accept_ready(void *arg, int revents)
{
	struct http_listener *listener = arg;
	struct http *http = listener->http;

	for (int i = 0; revents > 0 && i < ACCEPT_MAX; i++) {
		struct sockaddr_storage address = {0};
		socklen_t length = sizeof(address);
		int fd = accept4(listener->fd, (struct sockaddr *)&address, &length,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			client_take(http, fd, &address, length);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN) {
			/* No descriptor is left: the socket would stay ready. */
			log_warning("http", "cannot take a client: %s", strerror(errno));
			pause_set(http, true);
		}
		break;
	}
	pump(http);
}

static void listener_open(struct http_listener *listener)
{
	struct http *http = listener->http;
	struct endpoint endpoint;
	int before = listener->error;

	listener->error = endpoint_read(listener->address, &endpoint);
	if (listener->error == 0)
		listener->error = endpoint_listen(&endpoint, http->group >= 0 ? 0660 : 0600,
						  http->group, &listener->fd);
	if (listener->error == 0) {
		listener->watch =
			loop_watch(http->loop, listener->fd, POLLIN, accept_ready, listener);
		if (listener->watch < 0) {
			close(listener->fd);
			listener->fd = -1;
			listener->error = listener->watch;
		}
	}
	if (listener->error && listener->error != before)
		log_error("http", "cannot listen on %s: %s; tried again", listener->address,
			  strerror(-listener->error));
	else if (before && !listener->error)
		log_notice("http", "listening on %s", listener->address);
}

int http_listen(struct http *http, const char *address)
{
	struct http_listener *listener = &http->listeners[http->listener_count];

	if (http->listener_count == LISTENERS_MAX)
		return -ENOSPC;
	*listener = (struct http_listener){.http = http, .address = strdup(address), .fd = -1};
	if (listener->address == NULL)
		return -ENOMEM;
	http->listener_count++;
	listener_open(listener);
	return 0;
}

static void tick(void *arg, uint64_t now_ns)
{
	struct http *http = arg;

	http_expire(http, now_ns);
	if (http->paused)
		pause_set(http, false);
	if (now_ns >= http->again_ns) {
		http->again_ns = now_ns + AGAIN_NS;
		for (uint32_t i = 0; i < http->listener_count; i++)
			if (http->listeners[i].fd < 0)
				listener_open(&http->listeners[i]);
	}
	tick_plan(http, now_ns);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int daemon_begin(struct http *http)
{
	const union MHD_DaemonInfo *info;

	http->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_UPGRADE, 0, NULL, NULL,
		request_comes, http, MHD_OPTION_CONNECTION_LIMIT, (unsigned)http->client_max + 1,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_MAX, MHD_OPTION_NOTIFY_CONNECTION,
		connection_changed, http, MHD_OPTION_NOTIFY_COMPLETED, request_ends, http,
		MHD_OPTION_URI_LOG_CALLBACK, request_begins, http, MHD_OPTION_END);
	if (http->daemon == NULL)
		return -ENOMEM;
	info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL)
		return -ENOSYS;
	http->watch = loop_watch(http->loop, info->epoll_fd, POLLIN, pump_ready, http);
	return http->watch < 0 ? http->watch : 0;
}

int http_create(struct loop *loop, uint32_t connections, int64_t group, struct http **ret)
{
	struct http *http = calloc(1, sizeof(*http));
	int error;

	if (http == NULL)
		return -ENOMEM;
	*http = (struct http){.loop = loop, .group = group, .client_max = connections, .watch = -1};
	http->pump_timer = loop_timer(loop, pump_due, http);
	http->tick_timer = loop_timer(loop, tick, http);
	error = http->pump_timer < 0 || http->tick_timer < 0 ? -ENOMEM : daemon_begin(http);
	if (error) {
		http_free(http);
		return error;
	}
	http->again_ns = loop_now() + AGAIN_NS;
	tick_plan(http, loop_now());
	*ret = http;
	return 0;
}

void http_free(struct http *http)
{
	if (http == NULL)
		return;
	http->ending = true;
	for (uint32_t i = 0; i < http->listener_count; i++) {
		struct http_listener *listener = &http->listeners[i];

		if (listener->fd >= 0) {
			loop_unwatch(http->loop, listener->watch);
			close(listener->fd);
			if (strncmp(listener->address, "unix:", 5) == 0)
				unlink(listener->address + 5);
		}
		free(listener->address);
	}
	if (http->watch >= 0)
		loop_unwatch(http->loop, http->watch);
	if (http->daemon)
		MHD_stop_daemon(http->daemon);
	if (http->pump_timer >= 0)
		loop_timer_set(http->loop, http->pump_timer, LOOP_NEVER);
	if (http->tick_timer >= 0)
		loop_timer_set(http->loop, http->tick_timer, LOOP_NEVER);
	free(http);
}

static int route_add(struct http *http, const struct route *route)
{
	if (http->route_count == ROUTES_MAX)
		return -ENOSPC;
	http->routes[http->route_count++] = *route;
	return 0;
}

int http_handle(struct http *http, const char *method, const char *path, http_run *run, void *arg)
{
	return route_add(http, &(struct route){method, path, run, NULL, arg});
}

int http_handle_websocket(struct http *http, const char *path, http_run *allowed,
			  http_upgraded *upgraded, void *arg)
{
	return route_add(http, &(struct route){"GET", path, allowed, upgraded, arg});
}

void http_put(const struct http *http, struct json_writer *writer)
{
	json_put_array(writer, "listeners");
	for (uint32_t i = 0; i < http->listener_count; i++) {
		const struct http_listener *listener = &http->listeners[i];

		json_put_object(writer, NULL);
		json_put_text(writer, "address", listener->address);
		json_put_text(writer, "error", listener->error ? strerror(-listener->error) : NULL);
		json_put_end(writer);
	}
	json_put_end(writer);
	json_put_u64(writer, "clients", http->client_count);
	json_put_u64(writer, "requests", http->requests);
	for (int i = 0; i < TROUBLES; i++)
		json_put_u64(writer, troubles[i].name, http->troubles[i]);
}
