/* SPDX-License-Identifier: MIT
 *
 * One buffer of the listener's is what every client reads into and writes from; only what is left
 * over is kept with the client.
 */
#include "sidecar/serve/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sidecar/base/log.h"
#include "sidecar/serve/endpoint.h"

#define ACCEPT_MAX 64 /* in one go */
#define TICK_NS	   UINT64_C(1000000000)
#define SAY_NS	   (60 * TICK_NS)

struct kept {
	char *bytes;
	size_t length;
};

struct listener_client {
	TAILQ_ENTRY(listener_client) order; /* who was heard of longest ago comes first */
	struct listener *listener;
	int fd, watch;
	uint64_t since_ns;   /* when it last sent or took a byte */
	struct kept request; /* the part of one that has come */
	struct kept answer;  /* what the socket has not taken */
	bool more;	     /* request may hold whole ones */
	bool closing;
	enum listener_stream stream;
	char state[] __attribute__((aligned(16)));
};
TAILQ_HEAD(listener_order, listener_client);

struct listener_socket {
	struct listener *listener;
	struct endpoint endpoint;
	char *text;
	int fd, watch; /* fd -1: it could not be opened */
};

struct listener {
	struct loop *loop;
	struct listener_options options;
	struct listener_socket *sockets;
	struct listener_order clients;
	uint32_t count;
	int timer;
	bool paused; /* accepts nobody until the next tick */
	uint64_t said_ns;
	struct listener_totals totals;
	struct listener_answer answer;
	char *bytes; /* request_max + LISTENER_READ */
};

/* ---- answers --------------------------------------------------------------------------------- */

/* Room for `size` more bytes, or NULL: the answer has failed. Whoever fills them adds to length. */
static char *listener_answer_room(struct listener_answer *answer, size_t size)
{
	size_t room = answer->room ? answer->room : 4096;
	char *text;

	if (answer->failed)
		return NULL;
	while (room - answer->length < size)
		room *= 2;
	if (room == answer->room)
		return answer->text + answer->length;
	text = realloc(answer->text, room);
	if (text == NULL) {
		answer->failed = true;
		return NULL;
	}
	answer->text = text;
	answer->room = room;
	return text + answer->length;
}

void listener_answer_add(struct listener_answer *answer, const char *bytes, size_t length)
{
	char *to = listener_answer_room(answer, length);

	if (to == NULL)
		return;
	memcpy(to, bytes, length);
	answer->length += length;
}

void listener_answer_free(struct listener_answer *answer)
{
	free(answer->text);
	*answer = (struct listener_answer){0};
}

/* Makes `bytes`, which may lie in it, what is kept. */
static bool keep(struct kept *kept, const char *bytes, size_t length)
{
	char *copy = NULL;

	if (length > 0 && bytes == kept->bytes && length == kept->length)
		return true;
	if (length > 0) {
		copy = malloc(length);
		if (copy == NULL)
			return false;
		memcpy(copy, bytes, length);
	}
	free(kept->bytes);
	*kept = (struct kept){copy, length};
	return true;
}

/* ---- a client -------------------------------------------------------------------------------- */

static void tick_later(struct listener *l, uint64_t now_ns)
{
	loop_timer_set(l->loop, l->timer,
		       l->count > 0 || l->paused ? now_ns + TICK_NS : LOOP_NEVER);
}

static void client_close(struct listener_client *client)
{
	struct listener *l = client->listener;

	if (l->options.protocol->end)
		l->options.protocol->end(l->options.arg, client->state);
	if (client->watch >= 0)
		loop_unwatch(l->loop, client->watch);
	close(client->fd);
	free(client->request.bytes);
	free(client->answer.bytes);
	TAILQ_REMOVE(&l->clients, client, order);
	l->count--;
	free(client);
}

static void heard_of(struct listener_client *client)
{
	client->since_ns = loop_now();
	TAILQ_REMOVE(&client->listener->clients, client, order);
	TAILQ_INSERT_TAIL(&client->listener->clients, client, order);
}

static void malformed_say(struct listener *l)
{
	uint64_t now_ns = loop_now();

	l->totals.malformed++;
	if (l->said_ns != 0 && now_ns - l->said_ns < SAY_NS)
		return;
	l->said_ns = now_ns;
	log_warning("listen",
		    "%s: a client was closed for what it sent: not this protocol, or too "
		    "long a request (%llu in all)",
		    l->options.protocol->name, (unsigned long long)l->totals.malformed);
}

/* Sends what the socket takes, keeps the rest. False: the client has gone, or no memory. */
static bool answer_send(struct listener_client *client, const char *bytes, size_t length)
{
	size_t sent = 0;

	while (sent < length) {
		ssize_t took = send(client->fd, bytes + sent, length - sent, MSG_NOSIGNAL);

		if (took < 0 && errno == EINTR)
			continue;
		if (took < 0 && errno != EAGAIN)
			return false;
		if (took < 0)
			break;
		sent += (size_t)took;
	}
	if (sent > 0)
		heard_of(client);
	return keep(&client->answer, bytes + sent, length - sent);
}

/* Sends what the protocol has put into the listener's answer. */
static bool answered(struct listener_client *client)
{
	struct listener *l = client->listener;

	if (l->answer.failed) {
		l->answer.failed = false;
		return false;
	}
	return answer_send(client, l->answer.text, l->answer.length);
}

static void stream_on(struct listener_client *client)
{
	struct listener *l = client->listener;

	client->stream = l->options.protocol->more(l->options.arg, client->state, &l->answer);
}

/* Has the protocol take what stands at the front of the listener's buffer. */
static bool requests_take(struct listener_client *client, size_t length)
{
	struct listener *l = client->listener;
	ssize_t taken;

	l->answer.length = 0;
	taken = l->options.protocol->take(l->options.arg, client->state, l->bytes, length,
					  &l->answer, &l->totals.requests);
	if (taken == 0 && length >= l->options.protocol->request_max)
		taken = LISTENER_BAD;
	if (taken == LISTENER_BAD)
		malformed_say(l);
	if (taken > 0 && l->options.protocol->more)
		stream_on(client);
	client->closing = taken < 0;
	taken = taken < 0 ? (ssize_t)length : taken;
	client->more = taken > 0 && (size_t)taken < length;
	return keep(&client->request, l->bytes + taken, length - (size_t)taken) && answered(client);
}

/* Reads behind what is kept. False: the client has gone. */
static bool bytes_read(struct listener_client *client, size_t *ret_length)
{
	struct listener *l = client->listener;
	ssize_t got;

	if (client->request.length > 0)
		memcpy(l->bytes, client->request.bytes, client->request.length);
	*ret_length = client->request.length;
	if (client->more)
		return true;
	got = recv(client->fd, l->bytes + *ret_length, LISTENER_READ, 0);
	if (got <= 0)
		return got < 0 && (errno == EAGAIN || errno == EINTR);
	*ret_length += (size_t)got;
	heard_of(client);
	return true;
}

/* Once the answer is taken: more of it, or the next requests. */
static bool client_go_on(struct listener_client *client)
{
	size_t length;

	if (client->stream == LISTENER_MORE) {
		client->listener->answer.length = 0;
		stream_on(client);
		return answered(client);
	}
	if (client->stream == LISTENER_WAIT || client->closing)
		return true;
	return bytes_read(client, &length) && (length == 0 || requests_take(client, length));
}

/* While it waits for us a hang-up alone is of interest. */
static short events_of(const struct listener_client *client)
{
	if (client->answer.length > 0 || client->stream == LISTENER_MORE)
		return POLLOUT;
	if (client->stream == LISTENER_WAIT)
		return 0;
	return client->more ? POLLOUT : POLLIN;
}

/* One turn. False: it is to be closed. */
static bool client_step(struct listener_client *client)
{
	if (client->answer.length > 0 &&
	    !answer_send(client, client->answer.bytes, client->answer.length))
		return false;
	if (client->answer.length == 0 && !client_go_on(client))
		return false;
	if (client->answer.length == 0 && client->closing)
		return false;
	loop_watch_events(client->listener->loop, client->watch, events_of(client));
	return true;
}

static void client_ready(void *arg, int revents)
{
	struct listener_client *client = arg;
	bool waits = events_of(client) == 0;
	bool lost =
		revents < 0 || (revents & (POLLERR | POLLNVAL)) || (waits && (revents & POLLHUP));

	if (lost || (!waits && !client_step(client))) {
		client_close(client);
	} else if (waits) {
		/* It says no more, but waits for its answer: io_uring would tell so again and again. */
		loop_unwatch(client->listener->loop, client->watch);
		client->watch = -1;
	}
}

/* Of one that is not watched. */
static bool client_gone(const struct listener_client *client)
{
	struct pollfd poll_one = {.fd = client->fd};

	return poll(&poll_one, 1, 0) == 1 && (poll_one.revents & (POLLHUP | POLLERR));
}

/* Not at once: it may be called by a protocol, which fills the answer of another client. */
void listener_wake(struct listener *l)
{
	struct listener_client *last = TAILQ_LAST(&l->clients, listener_order), *next;
	bool done = last == NULL;

	for (struct listener_client *client = TAILQ_FIRST(&l->clients); !done; client = next) {
		next = TAILQ_NEXT(client, order);
		done = client == last;
		if (client->stream != LISTENER_WAIT)
			continue;
		client->stream = LISTENER_MORE;
		if (client->answer.length == 0)
			heard_of(client); /* that nothing came until now was not its doing */
		if (client->watch < 0)
			client->watch =
				loop_watch(l->loop, client->fd, POLLOUT, client_ready, client);
		else
			loop_watch_events(l->loop, client->watch, POLLOUT);
		if (client->watch < 0)
			client_close(client);
	}
}

static bool client_open(struct listener *l, int fd, const struct ucred *who)
{
	struct listener_client *client =
		calloc(1, sizeof(*client) + l->options.protocol->state_size);

	if (client == NULL)
		return false;
	client->listener = l;
	client->fd = fd;
	client->watch = loop_watch(l->loop, fd, POLLIN, client_ready, client);
	if (client->watch < 0) {
		free(client);
		return false;
	}
	client->since_ns = loop_now();
	TAILQ_INSERT_TAIL(&l->clients, client, order);
	l->count++;
	l->totals.accepted++;
	if (l->options.protocol->begin)
		l->options.protocol->begin(l->options.arg, client->state, who);
	return true;
}

/* ---- who comes ------------------------------------------------------------------------------- */

static void refuse(struct listener *l, int fd)
{
	const char *full = l->options.protocol->full;

	l->totals.refused++;
	if (full && send(fd, full, strlen(full), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("listen", "a client was refused and had gone");
	close(fd);
}

/* How many may be there for this one to be let in. */
static uint32_t places_for(const struct listener *l, const struct ucred *who)
{
	bool ours = who->uid == 0 || who->uid == geteuid();

	return l->options.clients_max - (ours ? 0 : l->options.clients_kept);
}

static void welcome(struct listener_socket *socket, int fd)
{
	struct listener *l = socket->listener;
	bool local = socket->endpoint.address.any.sa_family == AF_UNIX;
	struct ucred who = {.uid = (uid_t)-1, .gid = (gid_t)-1};
	socklen_t size = sizeof(who);
	int one = 1;

	if (!local)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if ((local && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) ||
	    l->count >= places_for(l, &who) || !client_open(l, fd, &who))
		refuse(l, fd);
	else if (l->count == 1)
		tick_later(l, loop_now());
}

static void pause_accepting(struct listener *l, int error)
{
	/* No descriptor is left: the socket would stay ready, and the loop would spin. */
	l->totals.refused++;
	log_warning("listen", "%s: cannot take a client: %s", l->options.protocol->name,
		    strerror(error));
	l->paused = true;
	for (uint32_t i = 0; i < l->options.address_count; i++)
		if (l->sockets[i].fd >= 0)
			loop_watch_events(l->loop, l->sockets[i].watch, 0);
	tick_later(l, loop_now());
}

static void accept_ready(void *arg, int revents)
{
	struct listener_socket *socket = arg;

	for (int i = 0; revents > 0 && i < ACCEPT_MAX; i++) {
		int fd = accept4(socket->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			welcome(socket, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN)
			pause_accepting(socket->listener, errno);
		return;
	}
}

void listener_expire(struct listener *l, uint64_t now_ns)
{
	struct listener_client *client = TAILQ_FIRST(&l->clients), *next;

	for (;
	     client && now_ns > client->since_ns && now_ns - client->since_ns >= l->options.idle_ns;
	     client = next) {
		next = TAILQ_NEXT(client, order);
		if (events_of(client) == 0 && (client->watch >= 0 || !client_gone(client)))
			continue;
		l->totals.idle++;
		client_close(client);
	}
	if (!l->paused)
		return;
	l->paused = false;
	for (uint32_t i = 0; i < l->options.address_count; i++)
		if (l->sockets[i].fd >= 0)
			loop_watch_events(l->loop, l->sockets[i].watch, POLLIN);
}

static void tick(void *arg, uint64_t now_ns)
{
	struct listener *l = arg;

	listener_expire(l, now_ns);
	tick_later(l, now_ns);
}

/* ---- making ---------------------------------------------------------------------------------- */

static int socket_open(struct listener *l, struct listener_socket *socket)
{
	int error = endpoint_read(socket->text, &socket->endpoint);

	if (!error)
		error = endpoint_listen(&socket->endpoint, l->options.mode, l->options.group,
					&socket->fd);
	if (!error) {
		socket->watch = loop_watch(l->loop, socket->fd, POLLIN, accept_ready, socket);
		if (socket->watch >= 0)
			return 0;
		error = socket->watch;
		close(socket->fd);
		socket->fd = -1;
	}
	log_error("listen", "%s: cannot listen on %s: %s", l->options.protocol->name, socket->text,
		  strerror(-error));
	return error;
}

static int sockets_make(struct listener *l, char *const *addresses)
{
	l->sockets = calloc(l->options.address_count, sizeof(*l->sockets));
	if (l->sockets == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < l->options.address_count; i++)
		l->sockets[i] = (struct listener_socket){
			.listener = l, .text = strdup(addresses[i]), .fd = -1, .watch = -1};
	for (uint32_t i = 0; i < l->options.address_count; i++)
		if (l->sockets[i].text == NULL)
			return -ENOMEM;
	return 0;
}

int listener_create(struct loop *loop, const struct listener_options *options,
		    struct listener **ret, uint32_t *ret_missing)
{
	struct listener *l = calloc(1, sizeof(*l));
	int error;

	if (l == NULL)
		return -ENOMEM;
	l->loop = loop;
	l->options = *options;
	l->options.addresses = NULL;
	TAILQ_INIT(&l->clients);
	l->bytes = malloc(options->protocol->request_max + LISTENER_READ);
	l->timer = loop_timer(loop, tick, l);
	error = l->bytes && l->timer >= 0 ? sockets_make(l, options->addresses) : -ENOMEM;
	if (error) {
		listener_free(l);
		return error;
	}
	*ret_missing = 0;
	for (uint32_t i = 0; i < options->address_count; i++)
		*ret_missing += socket_open(l, &l->sockets[i]) != 0;
	*ret = l;
	return 0;
}

static void socket_close(struct listener_socket *socket)
{
	if (socket->fd >= 0) {
		loop_unwatch(socket->listener->loop, socket->watch);
		close(socket->fd);
		endpoint_remove(&socket->endpoint);
	}
	free(socket->text);
}

void listener_free(struct listener *l)
{
	struct listener_client *client, *next;

	if (l == NULL)
		return;
	for (client = TAILQ_FIRST(&l->clients); client; client = next) {
		next = TAILQ_NEXT(client, order);
		client_close(client);
	}
	for (uint32_t i = 0; l->sockets && i < l->options.address_count; i++)
		socket_close(&l->sockets[i]);
	if (l->timer >= 0)
		loop_timer_drop(l->loop, l->timer);
	listener_answer_free(&l->answer);
	free(l->sockets);
	free(l->bytes);
	free(l);
}

void listener_bounds(struct listener *l, uint32_t clients_max, uint64_t idle_ns)
{
	l->options.clients_max = clients_max;
	l->options.idle_ns = idle_ns;
}

const struct listener_totals *listener_totals(const struct listener *l)
{
	return &l->totals;
}

uint32_t listener_clients(const struct listener *l)
{
	return l->count;
}

void listener_put(const struct listener *l, struct json_writer *writer)
{
	json_put_text(writer, "protocol", l->options.protocol->name);
	json_put_array(writer, "listen");
	for (uint32_t i = 0; i < l->options.address_count; i++) {
		json_put_object(writer, NULL);
		json_put_text(writer, "address", l->sockets[i].text);
		json_put_bool(writer, "open", l->sockets[i].fd >= 0);
		json_put_end(writer);
	}
	json_put_end(writer);
	json_put_u64(writer, "clients", l->count);
	json_put_u64(writer, "clients_max", l->options.clients_max);
	json_put_u64(writer, "accepted", l->totals.accepted);
	json_put_u64(writer, "requests", l->totals.requests);
	json_put_u64(writer, "refused", l->totals.refused);
	json_put_u64(writer, "malformed", l->totals.malformed);
	json_put_u64(writer, "idle", l->totals.idle);
}
