/* SPDX-License-Identifier: MIT
 *
 * One client of the control socket. It waits for a line, or for room to write; never for both, so a
 * client that does not take its answer cannot ask on.
 */
#include "sidecar/serve/control_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALLS_A_STEP 32

void control_client_error_line(struct json_writer *line, const char *key, const char *why,
			       int number)
{
	json_put_object(line, NULL);
	json_put_bool(line, key, false);
	json_put_text(line, "error", why);
	if (number)
		json_put_i64(line, "errno", number);
	json_put_end(line);
	json_put_newline(line);
}

static void good_line(struct json_writer *line, const char *key)
{
	json_put_object(line, NULL);
	json_put_bool(line, key, true);
	json_put_end(line);
	json_put_newline(line);
}

static void call_end(struct control_client *client)
{
	if (client->call.gone)
		client->call.gone(client->call.data);
	json_release(client->json);
	free(client->call.data);
	client->json = NULL;
	client->command = NULL;
	client->waiting = false;
	client->call = (struct control_call){0};
}

void control_client_close(struct control_client *client)
{
	call_end(client);
	loop_unwatch(client->server->loop, client->watch);
	close(client->fd);
	client->fd = -1;
	free(client->request);
	client->request = NULL;
	json_writer_free(&client->answer);
	client->server->count--;
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* Runs the handler once. Its first run decides between "ok" and an error; a later error ends the
 * answer. */
static void call_run(struct control_client *client, bool first)
{
	struct json_writer *answer = &client->answer;
	size_t before = answer->length;
	int status;

	if (first)
		good_line(answer, "ok");
	status = client->command->run(client->command->arg, &client->call);
	client->waiting = status == SERVER_WAIT;
	if (status == SERVER_MORE || status == SERVER_WAIT)
		return;
	if (status < 0) {
		if (first)
			answer->length = before;
		control_client_error_line(
			answer, first ? "ok" : "end",
			*client->call.reason ? client->call.reason : strerror(-status), -status);
	} else {
		good_line(answer, "end");
	}
	call_end(client);
}

static const struct control_command *command_find(const struct control_socket *server,
						  const char *name)
{
	for (uint32_t i = 0; name && i < server->command_count; i++)
		if (strcmp(server->commands[i].name, name) == 0)
			return &server->commands[i];
	return NULL;
}

static void call_begin(struct control_client *client, const char *line, size_t length)
{
	struct json_writer *answer = &client->answer;
	char reason[JSON_REASON];
	const struct control_command *command;

	if (json_read(line, length, &client->json, reason) != 0) {
		control_client_error_line(answer, "ok", reason, EINVAL);
		return;
	}
	command = command_find(client->server, json_get_text(client->json, "command", NULL));
	if (command == NULL)
		control_client_error_line(answer, "ok", "no such command", EOPNOTSUPP);
	else if (command->changes && !control_socket_may_change(client->who.uid))
		control_client_error_line(answer, "ok",
					  "only root and the sidecar's user may change something",
					  EPERM);
	else {
		client->command = command;
		client->call = (struct control_call){.request = client->json,
						     .answer = answer,
						     .uid = client->who.uid,
						     .pid = client->who.pid};
		call_run(client, true);
		return;
	}
	call_end(client);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Takes the next whole line, if there is one and nothing is under way. */
static bool line_take(struct control_client *client)
{
	char *end = memchr(client->request, '\n', client->length);
	size_t length;

	if (end == NULL) {
		if (client->length <= SERVER_REQUEST_MAX)
			return false;
		control_client_error_line(&client->answer, "ok",
					  "the request is longer than 65536 bytes", EMSGSIZE);
		client->closing = true;
		client->length = 0;
		return true;
	}
	length = (size_t)(end - client->request);
	call_begin(client, client->request, length);
	client->length -= length + 1;
	memmove(client->request, end + 1, client->length);
	return true;
}

/* Reads what is there. False: the client has gone, or is not to be read from. */
static bool bytes_read(struct control_client *client)
{
	ssize_t got = recv(client->fd, client->request + client->length,
			   SERVER_REQUEST_MAX + 1 - client->length, 0);

	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	if (got == 0)
		return false;
	client->length += (size_t)got;
	client->since_ns = loop_now();
	return true;
}

/* Sends what the socket takes. 0: all sent; -EAGAIN: some left; or what went wrong. */
static int answer_send(struct control_client *client)
{
	struct json_writer *answer = &client->answer;

	if (json_failed(answer))
		return -ENOMEM;
	while (client->sent < answer->length) {
		ssize_t took = send(client->fd, answer->text + client->sent,
				    answer->length - client->sent, MSG_NOSIGNAL);

		if (took < 0)
			return errno == EINTR ? -EAGAIN : -errno;
		client->sent += (size_t)took;
		client->since_ns = loop_now();
	}
	json_writer_clear(answer);
	client->sent = 0;
	return 0;
}

/* Fills a chunk, sends it, once: a client that takes fast gets its turn again like all others. */
static void client_step(struct control_client *client)
{
	int status;

	/* A handler that looks at much and says little must not keep the loop either. */
	for (int i = 0; i < CALLS_A_STEP && client->command && !client->waiting &&
			client->answer.length < SERVER_CHUNK && !json_failed(&client->answer);
	     i++)
		call_run(client, false);
	if (client->command == NULL && client->answer.length == 0 && !client->closing)
		line_take(client);
	status = answer_send(client);
	if ((status != 0 && status != -EAGAIN) ||
	    (status == 0 && client->closing && client->command == NULL)) {
		control_client_close(client);
		return;
	}
	/* Something is left to be sent, made, or begun; else the next request is waited for. While
	 * a handler waits a hang-up alone is of interest. */
	if (status == 0 && client->waiting)
		loop_watch_events(client->server->loop, client->watch, 0);
	else if (status == -EAGAIN || client->command ||
		 memchr(client->request, '\n', client->length))
		loop_watch_events(client->server->loop, client->watch, POLLOUT);
	else
		loop_watch_events(client->server->loop, client->watch, POLLIN);
}

static void client_ready(void *arg, int revents)
{
	struct control_client *client = arg;
	bool busy = client->command || client->answer.length > 0;

	/* A hang-up while it asks for nothing, or waits; what had been asked is answered, as far as
	 * it is taken. */
	if (revents < 0 || (client->waiting && client->answer.length == 0) ||
	    (!busy && !(revents & POLLIN) && !(revents & POLLOUT))) {
		control_client_close(client);
		return;
	}
	if (!busy && (revents & POLLIN) && !bytes_read(client)) {
		control_client_close(client);
		return;
	}
	client_step(client);
}

void control_client_wake(struct control_client *client)
{
	if (!client->waiting)
		return;
	client->waiting = false;
	client->since_ns = loop_now();
	client_step(client);
}

int control_client_open(struct control_client *client, struct control_socket *server, int fd,
			const struct ucred *who, uint64_t now_ns)
{
	char *request = malloc(SERVER_REQUEST_MAX + 1);
	int watch = request ? loop_watch(server->loop, fd, POLLIN, client_ready, client) : -ENOMEM;

	if (watch < 0) {
		free(request);
		return watch;
	}
	*client = (struct control_client){.server = server,
					  .fd = fd,
					  .watch = watch,
					  .who = *who,
					  .since_ns = now_ns,
					  .request = request};
	server->count++;
	return 0;
}
