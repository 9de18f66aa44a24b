/* SPDX-License-Identifier: MIT
 *
 * The protocol of the control socket, and who may do what. See control_socket.h; sockets, clients and
 * their bytes are the listener's.
 */
#include "sidecar/serve/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sidecar/serve/listener.h"

#define COMMANDS_MAX 32
#define CALLS_A_STEP 32

struct control_command {
	const char *name;
	bool changes;
	control_run *run;
	void *arg;
};

struct control_socket {
	struct listener *listener;
	struct json_writer lines; /* what a handler has just written */
	struct control_command commands[COMMANDS_MAX];
	uint32_t command_count;
};

/* Of a client. */
struct control_client {
	struct ucred who;
	struct json *json;		       /* of the call */
	const struct control_command *command; /* under way; NULL: none */
	bool begun;			       /* its handler has run */
	struct control_call call;
};

static void error_line(struct json_writer *line, const char *key, const char *why, int number)
{
	json_put_object(line, NULL);
	json_put_bool(line, key, false);
	json_put_text(line, "error", why);
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

/* ---- calls ----------------------------------------------------------------------------------- */

static void call_end(struct control_client *client)
{
	if (client->call.gone)
		client->call.gone(client->call.data);
	json_release(client->json);
	free(client->call.data);
	client->json = NULL;
	client->command = NULL;
	client->begun = false;
	client->call = (struct control_call){0};
}

/* Runs the handler once. Its first run decides between "ok" and an error; a later error ends the
 * answer. */
static enum listener_stream call_run(struct control_client *client)
{
	struct json_writer *lines = client->call.answer;
	size_t before = lines->length;
	bool first = !client->begun;
	int status;

	client->begun = true;
	if (first)
		good_line(lines, "ok");
	status = client->command->run(client->command->arg, &client->call);
	if (status == SERVER_MORE)
		return LISTENER_MORE;
	if (status == SERVER_WAIT)
		return LISTENER_WAIT;
	if (status < 0) {
		if (first)
			lines->length = before;
		error_line(lines, first ? "ok" : "end",
			   *client->call.reason ? client->call.reason : strerror(-status), -status);
	} else {
		good_line(lines, "end");
	}
	call_end(client);
	return LISTENER_WHOLE;
}

static const struct control_command *command_find(const struct control_socket *server,
						  const char *name)
{
	for (uint32_t i = 0; name && i < server->command_count; i++)
		if (strcmp(server->commands[i].name, name) == 0)
			return &server->commands[i];
	return NULL;
}

static bool may_change(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

static void call_begin(struct control_socket *server, struct control_client *client,
		       const char *line, size_t length)
{
	struct json_writer *lines = &server->lines;
	char reason[JSON_REASON];
	const struct control_command *command;

	if (json_read(line, length, &client->json, reason) != 0) {
		error_line(lines, "ok", reason, EINVAL);
		return;
	}
	command = command_find(server, json_get_text(client->json, "command", NULL));
	if (command == NULL) {
		error_line(lines, "ok", "no such command", EOPNOTSUPP);
	} else if (command->changes && !may_change(client->who.uid)) {
		error_line(lines, "ok", "only root and the sidecar's user may change something",
			   EPERM);
	} else {
		client->command = command;
		client->call = (struct control_call){.request = client->json,
						     .answer = lines,
						     .uid = client->who.uid,
						     .pid = client->who.pid};
		return;
	}
	call_end(client);
}

/* ---- the protocol ---------------------------------------------------------------------------- */

static void client_begin(void *arg, void *state, const struct ucred *who)
{
	((struct control_client *)state)->who = *who;
}

static void client_end(void *arg, void *state)
{
	call_end(state);
}

static void lines_add(struct control_socket *server, struct listener_answer *answer)
{
	answer->failed |= json_failed(&server->lines);
	if (!answer->failed && server->lines.length > 0)
		listener_answer_add(answer, server->lines.text, server->lines.length);
	json_writer_clear(&server->lines);
}

static ssize_t take(void *arg, void *state, const char *bytes, size_t length,
		    struct listener_answer *answer, uint64_t *ret_requests)
{
	struct control_socket *server = arg;
	const char *end = memchr(bytes, '\n', length);
	size_t size = end ? (size_t)(end - bytes) : length;

	if (size > SERVER_REQUEST_MAX) {
		error_line(&server->lines, "ok", "the request is longer than 65536 bytes",
			   EMSGSIZE);
		lines_add(server, answer);
		return LISTENER_BAD;
	}
	if (end == NULL)
		return 0;
	++*ret_requests;
	call_begin(server, state, bytes, size);
	lines_add(server, answer);
	return (ssize_t)size + 1;
}

/* A handler that looks at much and says little must not keep the loop either. */
static enum listener_stream more(void *arg, void *state, struct listener_answer *answer)
{
	struct control_socket *server = arg;
	struct control_client *client = state;
	enum listener_stream stream = client->command ? LISTENER_MORE : LISTENER_WHOLE;

	for (int i = 0; i < CALLS_A_STEP && stream == LISTENER_MORE &&
			server->lines.length < SERVER_CHUNK && !json_failed(&server->lines);
	     i++)
		stream = call_run(client);
	lines_add(server, answer);
	return stream;
}

static const struct listener_protocol control_protocol = {
	.name = "control",
	.take = take,
	.more = more,
	.begin = client_begin,
	.end = client_end,
	.state_size = sizeof(struct control_client),
	.request_max = SERVER_REQUEST_MAX + 1,
	.full = "{\"ok\": false, \"error\": \"too many clients: try again later\", \"errno\": 16}\n",
};
_Static_assert(EBUSY == 16, "in what is said where there is no place");

/* ---- life ------------------------------------------------------------------------------------ */

/* The folder may have a longer name than an address holds; its descriptor's has not. What is there
 * already is a dead sidecar's, because the folder is locked by us. */
static int listen_in(struct control_socket *server, struct loop *loop, int folder, int64_t group)
{
	char text[64], *const addresses[] = {text};
	const struct listener_options options = {
		.protocol = &control_protocol,
		.arg = server,
		.addresses = addresses,
		.address_count = 1,
		.clients_max = SERVER_CLIENTS_MAX,
		.clients_kept = SERVER_CLIENTS_KEPT,
		.idle_ns = SERVER_CLIENT_WAIT_NS,
		.mode = 0660,
		.group = group,
	};
	uint32_t missing;
	struct stat st;
	int error;

	snprintf(text, sizeof(text), "unix:/proc/self/fd/%d/" SERVER_SOCKET, folder);
	error = listener_create(loop, &options, &server->listener, &missing);
	if (error || missing)
		return error ? error : -EADDRNOTAVAIL;
	/* The folder's owner is whom we become, and may command us. */
	if (geteuid() == 0 &&
	    (fstat(folder, &st) != 0 ||
	     fchownat(folder, SERVER_SOCKET, st.st_uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW) != 0))
		return -errno;
	return 0;
}

int control_socket_create(struct loop *loop, int folder, int64_t group, struct control_socket **ret,
			  char *reason)
{
	struct control_socket *server = calloc(1, sizeof(*server));
	int error;

	if (server == NULL)
		return -ENOMEM;
	error = listen_in(server, loop, folder, group);
	if (error) {
		snprintf(reason, SERVER_REASON, "cannot listen on " SERVER_SOCKET ": %s",
			 strerror(-error));
		control_socket_free(server);
		return error;
	}
	*ret = server;
	return 0;
}

void control_socket_free(struct control_socket *server)
{
	if (server == NULL)
		return;
	listener_free(server->listener);
	json_writer_free(&server->lines);
	free(server);
}

int control_socket_handle(struct control_socket *server, const char *name, bool changes,
			  control_run *run, void *arg)
{
	if (server->command_count == COMMANDS_MAX)
		return -ENOSPC;
	server->commands[server->command_count++] =
		(struct control_command){name, changes, run, arg};
	return 0;
}

void control_socket_wake(struct control_socket *server)
{
	listener_wake(server->listener);
}

void control_socket_expire(struct control_socket *server, uint64_t now_ns)
{
	listener_expire(server->listener, now_ns);
}

uint32_t control_socket_clients(const struct control_socket *server)
{
	return listener_clients(server->listener);
}
