/* SPDX-License-Identifier: MIT */
#include "sidecar/serve/websocket.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>

#define READ_MAX 16384 /* a turn: a client that sends without end gets it again like all others */

struct websocket {
	struct loop *loop;
	wslay_event_context_ptr context;
	int fd, watch;
	void (*close_fd)(void *);
	void *close_arg;
	websocket_gone *gone;
	void *arg;
	uint64_t heard_ns, pinged_ns; /* when something last came, and a ping went */
	size_t left;		      /* that may be read this turn */
	bool broken;
};

/* ---- wslay's calls --------------------------------------------------------------------------- */

static ssize_t bytes_read(wslay_event_context_ptr context, uint8_t *bytes, size_t length, int flags,
			  void *arg)
{
	struct websocket *websocket = arg;
	size_t wanted = length < websocket->left ? length : websocket->left;
	ssize_t got = wanted > 0 ? recv(websocket->fd, bytes, wanted, 0) : 0;

	if (got > 0) {
		websocket->left -= (size_t)got;
		websocket->heard_ns = loop_now();
		return got;
	}
	if (wanted == 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) {
		wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	websocket->broken = true;
	wslay_event_set_error(context, WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

static ssize_t bytes_write(wslay_event_context_ptr context, const uint8_t *bytes, size_t length,
			   int flags, void *arg)
{
	struct websocket *websocket = arg;
	ssize_t took = send(websocket->fd, bytes, length,
			    MSG_NOSIGNAL | (flags & WSLAY_MSG_MORE ? MSG_MORE : 0));

	if (took >= 0)
		return took;
	if (errno == EAGAIN || errno == EINTR) {
		wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	websocket->broken = true;
	wslay_event_set_error(context, WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

/* ---- its turn -------------------------------------------------------------------------------- */

/* False: it is over. */
static bool step(struct websocket *websocket, int revents)
{
	wslay_event_context_ptr context = websocket->context;
	short events;

	websocket->left = READ_MAX;
	if (revents & (POLLERR | POLLNVAL))
		return false;
	if ((revents & (POLLIN | POLLHUP)) && wslay_event_want_read(context) &&
	    wslay_event_recv(context) != 0)
		return false;
	if (wslay_event_want_write(context) && wslay_event_send(context) != 0)
		return false;
	if (websocket->broken ||
	    (!wslay_event_want_read(context) && !wslay_event_want_write(context)))
		return false;
	events = (short)((wslay_event_want_read(context) ? POLLIN : 0) |
			 (wslay_event_want_write(context) ? POLLOUT : 0));
	return loop_watch_events(websocket->loop, websocket->watch, events) == 0;
}

static void ready(void *arg, int revents)
{
	struct websocket *websocket = arg;

	if (revents < 0 || !step(websocket, revents)) {
		websocket->broken = true;
		websocket->gone(websocket->arg, websocket);
	}
}

int websocket_send(struct websocket *websocket, const char *text, size_t length)
{
	const struct wslay_event_msg message = {WSLAY_TEXT_FRAME, (const uint8_t *)text, length};
	wslay_event_context_ptr context = websocket->context;
	int error;

	if (websocket->broken || wslay_event_get_close_received(context))
		return -EPIPE;
	if (wslay_event_get_queued_msg_length(context) + length > WEBSOCKET_QUEUE_MAX)
		return -ENOBUFS;
	error = wslay_event_queue_msg(context, &message);
	if (error)
		return error == WSLAY_ERR_NOMEM ? -ENOBUFS : -EPIPE;
	return loop_watch_events(websocket->loop, websocket->watch, POLLIN | POLLOUT);
}

bool websocket_alive(struct websocket *websocket, uint64_t now_ns)
{
	const struct wslay_event_msg ping = {WSLAY_PING, (const uint8_t *)"", 0};

	if (websocket->broken ||
	    (now_ns > websocket->heard_ns && now_ns - websocket->heard_ns >= 3 * WEBSOCKET_PING_NS))
		return false;
	if (now_ns < websocket->heard_ns + WEBSOCKET_PING_NS ||
	    now_ns < websocket->pinged_ns + WEBSOCKET_PING_NS)
		return true;
	websocket->pinged_ns = now_ns;
	return wslay_event_queue_msg(websocket->context, &ping) == 0 &&
	       loop_watch_events(websocket->loop, websocket->watch, POLLIN | POLLOUT) == 0;
}

int websocket_create(const struct websocket_options *options, struct websocket **ret)
{
	static const struct wslay_event_callbacks callbacks = {.recv_callback = bytes_read,
							       .send_callback = bytes_write};
	struct websocket *websocket = calloc(1, sizeof(*websocket));
	int error = websocket ? 0 : -ENOMEM;

	if (!error) {
		*websocket = (struct websocket){.loop = options->loop,
						.fd = options->fd,
						.watch = -1,
						.close_fd = options->close_fd,
						.close_arg = options->close_arg,
						.gone = options->gone,
						.arg = options->arg,
						.heard_ns = loop_now()};
		if (wslay_event_context_server_init(&websocket->context, &callbacks, websocket))
			error = -ENOMEM;
	}
	if (!error) {
		/* Messages are bounded, and dropped at once: nobody asks for what they say. */
		wslay_event_config_set_max_recv_msg_length(websocket->context,
							   WEBSOCKET_MESSAGE_MAX);
		websocket->watch = loop_watch(options->loop, options->fd, POLLIN, ready, websocket);
		error = websocket->watch < 0 ? websocket->watch : 0;
	}
	if (error) {
		if (websocket)
			websocket_free(websocket);
		else
			options->close_fd(options->close_arg);
		return error;
	}
	*ret = websocket;
	return 0;
}

void websocket_free(struct websocket *websocket)
{
	if (websocket == NULL)
		return;
	if (websocket->watch >= 0)
		loop_unwatch(websocket->loop, websocket->watch);
	if (websocket->context)
		wslay_event_context_free(websocket->context);
	websocket->close_fd(websocket->close_arg);
	free(websocket);
}
