/* SPDX-License-Identifier: MIT
 *
 * See client.h. A line of an answer may be long (a flow with its last replies): the buffer grows to
 * a bound that no sidecar reaches.
 */
#include "sidecar/cli/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "shm/tollgate.h"
#include "sidecar/serve/control_socket.h"

#define WAIT_S	       30
#define LINE_MAX_BYTES (16u << 20)

struct client {
	int fd;
	char *bytes;
	size_t start, end, room;
};

const char *client_segment(const char *given)
{
	const char *named = given ? given : getenv("TOLLGATE_SEGMENT");

	return named && *named ? named : TG_SEGMENT_DEFAULT;
}

static int explain(int error, const char *segment, char *reason)
{
	if (error == -ECONNREFUSED)
		snprintf(reason, CLIENT_REASON, "no tollgated runs on %s", segment);
	else if (error == -ENOENT)
		snprintf(reason, CLIENT_REASON, "%s: no segment is there", segment);
	else if (error == -EACCES)
		snprintf(reason, CLIENT_REASON,
			 "%s: permission denied: you are not in the segment's group", segment);
	else
		snprintf(reason, CLIENT_REASON, "%s: %s", segment, strerror(-error));
	return error;
}

/* By the folder's descriptor, since the folder may have a longer name than an address holds. */
static int reach(const char *segment, int *ret)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval wait = {.tv_sec = WAIT_S};
	int error = 0, folder = open(segment, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = folder < 0 ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		error = -errno;
		goto out;
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" SERVER_SOCKET,
		 folder);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		/* A sidecar that ended in order took its socket with it. */
		error = errno == ENOENT ? -ECONNREFUSED : -errno;
		close(fd);
	}
out:
	if (folder >= 0)
		close(folder);
	if (error == 0)
		*ret = fd;
	return error;
}

int client_open(const char *segment, struct client **ret, char *reason)
{
	struct client *client;
	int fd, error = reach(segment, &fd);

	if (error)
		return explain(error, segment, reason);
	client = calloc(1, sizeof(*client));
	if (client == NULL) {
		close(fd);
		return explain(-ENOMEM, segment, reason);
	}
	client->fd = fd;
	*ret = client;
	return 0;
}

void client_wait_long(struct client *client)
{
	setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0},
		   sizeof(struct timeval));
}

void client_close(struct client *client)
{
	if (client == NULL)
		return;
	close(client->fd);
	free(client->bytes);
	free(client);
}

static int send_all(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t took = send(fd, text, length, MSG_NOSIGNAL);

		if (took < 0 && errno == EINTR)
			continue;
		if (took < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		text += took;
		length -= (size_t)took;
	}
	return 0;
}

/* Makes room for more bytes, and reads some. */
static int fill(struct client *client)
{
	ssize_t got;

	if (client->start > 0) {
		memmove(client->bytes, client->bytes + client->start, client->end - client->start);
		client->end -= client->start;
		client->start = 0;
	}
	if (client->end == client->room) {
		size_t room = client->room ? client->room * 2 : 65536;
		char *bytes = room > LINE_MAX_BYTES ? NULL : realloc(client->bytes, room);

		if (bytes == NULL)
			return room > LINE_MAX_BYTES ? -EMSGSIZE : -ENOMEM;
		client->bytes = bytes;
		client->room = room;
	}
	do
		got = recv(client->fd, client->bytes + client->end, client->room - client->end, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	client->end += (size_t)got;
	return got == 0 ? -ECONNRESET : 0;
}

/* The next line, without its end; it stays until the next call. */
static int line_read(struct client *client, char **ret, size_t *ret_length)
{
	size_t looked = 0;

	for (;;) {
		char *from = client->bytes + client->start;
		size_t have = client->end - client->start;
		char *end = have > looked ? memchr(from + looked, '\n', have - looked) : NULL;
		int error;

		if (end) {
			*ret = from;
			*ret_length = (size_t)(end - from);
			client->start += *ret_length + 1;
			return 0;
		}
		looked = have;
		error = fill(client);
		if (error)
			return error;
	}
}

static int told(const struct json *json, char *reason)
{
	uint64_t number = json_get_u64(json, "errno", EIO);

	snprintf(reason, CLIENT_REASON, "%s",
		 json_get_text(json, "error", "the sidecar refused without a reason"));
	return number > 0 && number < 4096 ? -(int)number : -EIO;
}

struct client_answer {
	client_line *line;
	void *arg; /* of it */
	uint64_t lines;
	int said; /* by it */
	char *reason;
};

/* Takes one line of the answer. 1: no more are wanted. */
static int line_take(struct client_answer *answer, const struct json *json, const char *text,
		     size_t length)
{
	if (answer->lines++ == 0)
		return json_get_bool(json, "ok", false) ? 0 : told(json, answer->reason);
	if (json_get(json, "end"))
		return json_get_bool(json, "end", false) ? 1 : told(json, answer->reason);
	answer->said = answer->line ? answer->line(answer->arg, json, text, length) : 0;
	return answer->said != 0;
}

int client_ask(struct client *client, const struct json_writer *request, client_line *line,
	       void *arg, char *reason)
{
	struct client_answer answer = {.line = line, .arg = arg, .reason = reason};
	int status = json_failed(request) ? -ENOMEM
					  : send_all(client->fd, request->text, request->length);

	*reason = '\0';
	if (status == 0)
		status = send_all(client->fd, "\n", 1);
	/* Who refuses a client says so before it has asked. */
	if (status == -EPIPE || status == -ECONNRESET)
		status = 0;
	while (status == 0) {
		char *text, why[JSON_REASON];
		struct json *json;
		size_t length;

		status = line_read(client, &text, &length);
		if (status) {
			snprintf(reason, CLIENT_REASON, "the sidecar's answer broke off: %s",
				 strerror(-status));
			return status;
		}
		if (json_read(text, length, &json, why) != 0) {
			snprintf(reason, CLIENT_REASON, "the sidecar's answer cannot be read: %s",
				 why);
			return -EPROTO;
		}
		status = line_take(&answer, json, text, length);
		json_release(json);
	}
	if (status < 0 && *reason == '\0')
		snprintf(reason, CLIENT_REASON, "%s", strerror(-status));
	return status > 0 ? answer.said : status;
}
