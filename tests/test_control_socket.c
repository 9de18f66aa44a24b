/* SPDX-License-Identifier: MIT
 *
 * The control socket: who is let in, what is answered, and that no client can do harm. The server
 * runs in a child with a loop of its own; the test is its client.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sidecar/base/random.h"
#include "sidecar/cli/client.h"
#include "sidecar/serve/control_socket.h"

#define LINES 200000
#define GROUP 60001

static char folder[64];
static pid_t child;
static char reason[CLIENT_REASON];

/* ---- the server's commands ------------------------------------------------------------------- */

static int run_echo(void *arg, struct control_call *call)
{
	json_put_object(call->answer, NULL);
	json_put_text(call->answer, "said", json_get_text(call->request, "say", NULL));
	json_put_u64(call->answer, "uid", call->uid);
	json_put_end(call->answer);
	json_put_newline(call->answer);
	return SERVER_DONE;
}

static int run_many(void *arg, struct control_call *call)
{
	if (call->data == NULL)
		call->data = strdup("freed by the server");
	for (int i = 0; i < 100 && call->cursor < LINES; i++, call->cursor++) {
		json_put_object(call->answer, NULL);
		json_put_u64(call->answer, "line", call->cursor);
		json_put_end(call->answer);
		json_put_newline(call->answer);
	}
	return call->cursor < LINES ? SERVER_MORE : SERVER_DONE;
}

static int run_fail(void *arg, struct control_call *call)
{
	bool late = json_get_bool(call->request, "late", false);

	if (late && call->cursor++ == 0) {
		json_put_object(call->answer, NULL);
		json_put_end(call->answer);
		json_put_newline(call->answer);
		return SERVER_MORE;
	}
	snprintf(call->reason, sizeof(call->reason), "no such flow");
	return -ENOENT;
}

static int run_count(void *arg, struct control_call *call)
{
	json_put_object(call->answer, NULL);
	json_put_u64(call->answer, "clients", control_socket_clients(arg));
	json_put_end(call->answer);
	json_put_newline(call->answer);
	return SERVER_DONE;
}

/* Says at once that it waits, and goes on when it is woken. */
static int run_wait(void *arg, struct control_call *call)
{
	json_put_object(call->answer, NULL);
	json_put_u64(call->answer, "turn", call->cursor);
	json_put_end(call->answer);
	json_put_newline(call->answer);
	return call->cursor++ == 0 ? SERVER_WAIT : SERVER_DONE;
}

static int run_wake(void *arg, struct control_call *call)
{
	control_socket_wake(arg);
	return SERVER_DONE;
}

/* Lets time pass for the other clients: a minute. */
static struct control_socket *expiring;
static int expire_timer;

static void expire(void *arg, uint64_t now_ns)
{
	control_socket_expire(expiring, now_ns + UINT64_C(60000000000));
}

static int run_expire(void *arg, struct control_call *call)
{
	loop_timer_set(arg, expire_timer, 1);
	return SERVER_DONE;
}

static int serve(int ready)
{
	struct loop *loop;
	struct control_socket *server;
	char why[LOOP_REASON];
	int at = open(folder, O_RDONLY | O_DIRECTORY);

	if (loop_create(&loop, why) != 0 ||
	    control_socket_create(loop, at, geteuid() == 0 ? GROUP : -1, &server, why) != 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	expiring = server;
	expire_timer = loop_timer(loop, expire, NULL);
	control_socket_handle(server, "echo", false, run_echo, NULL);
	control_socket_handle(server, "many", false, run_many, NULL);
	control_socket_handle(server, "fail", false, run_fail, NULL);
	control_socket_handle(server, "count", false, run_count, server);
	control_socket_handle(server, "change", true, run_echo, NULL);
	control_socket_handle(server, "wait", false, run_wait, NULL);
	control_socket_handle(server, "wake", false, run_wake, server);
	control_socket_handle(server, "expire", false, run_expire, loop);
	close(ready);
	return loop_run(loop) == 0 ? 0 : 1;
}

static void begin(void)
{
	int ready[2];
	char byte;

	signal(SIGPIPE, SIG_IGN);
	snprintf(folder, sizeof(folder), "/tmp/tollgate-server-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	chmod(folder, 0755);
	cr_assert_eq(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		_exit(serve(ready[1]));
	}
	close(ready[1]);
	cr_assert_eq(read(ready[0], &byte, 1), 0);
	close(ready[0]);
}

static void end(void)
{
	char path[128];
	int status;

	/* Whatever the test did, the server lives. */
	cr_expect_eq(waitpid(child, &status, WNOHANG), 0, "the server died");
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	snprintf(path, sizeof(path), "%s/" SERVER_SOCKET, folder);
	unlink(path);
	rmdir(folder);
}

TestSuite(server, .init = begin, .fini = end, .timeout = 60);

/* ---- the client's side ----------------------------------------------------------------------- */

static struct client *meet(void)
{
	struct client *client = NULL;

	cr_assert_eq(client_open(folder, &client, reason), 0, "%s", reason);
	return client;
}

static int ask(struct client *client, const char *text, client_line *line, void *arg)
{
	struct json_writer request = {.text = (char *)text, .length = strlen(text)};

	return client_ask(client, &request, line, arg, reason);
}

static int raw(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/" SERVER_SOCKET, folder);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -errno;
}

/* All that comes until the end, at most size - 1 bytes. */
static size_t drain(int fd, char *text, size_t size)
{
	size_t length = 0;
	ssize_t got;

	while (length + 1 < size && (got = recv(fd, text + length, size - 1 - length, 0)) > 0)
		length += (size_t)got;
	text[length] = '\0';
	return length;
}

static int keep_text(void *arg, const struct json *json, const char *text, size_t length)
{
	snprintf(arg, 256, "%s", json_get_text(json, "said", "?"));
	return 0;
}

static int keep_number(void *arg, const struct json *json, const char *text, size_t length)
{
	*(uint64_t *)arg = json_get_u64(json, "clients", 0);
	return 0;
}

Test(server, answers_one_request_after_the_other)
{
	struct client *client = meet();
	char said[256];

	for (int i = 0; i < 100; i++) {
		char request[64], expected[16];

		snprintf(expected, sizeof(expected), "n %d", i);
		snprintf(request, sizeof(request), "{\"command\": \"echo\", \"say\": \"n %d\"}", i);
		cr_assert_eq(ask(client, request, keep_text, said), 0, "%s", reason);
		cr_assert_str_eq(said, expected);
	}
	client_close(client);
}

Test(server, answers_requests_that_came_in_one_piece_and_before_a_shutdown)
{
	static const char requests[] =
		"{\"command\": \"echo\", \"say\": \"a\"}\n{\"command\": \"echo\", \"say\": \"b\"}\n";
	char text[1024];
	int fd = raw();

	cr_assert_eq(send(fd, requests, sizeof(requests) - 1, 0), sizeof(requests) - 1);
	shutdown(fd, SHUT_WR);
	drain(fd, text, sizeof(text));
	cr_expect_not_null(strstr(text, "\"said\": \"a\""));
	cr_expect_not_null(strstr(text, "\"said\": \"b\""));
	close(fd);
}

struct count {
	uint64_t next;
	uint64_t wrong;
};

static int count_line(void *arg, const struct json *json, const char *text, size_t length)
{
	struct count *count = arg;

	count->wrong += json_get_u64(json, "line", UINT64_MAX) != count->next++;
	return 0;
}

Test(server, streams_a_large_answer_whole_and_in_order)
{
	struct client *client = meet();
	struct count count = {0};
	char said[256];

	cr_assert_eq(ask(client, "{\"command\": \"many\"}", count_line, &count), 0, "%s", reason);
	cr_expect_eq(count.next, LINES);
	cr_expect_eq(count.wrong, 0);
	cr_expect_eq(ask(client, "{\"command\": \"echo\", \"say\": \"x\"}", keep_text, said), 0);
	client_close(client);
}

Test(server, says_what_is_wrong)
{
	static const struct {
		const char *request;
		int error;
		const char *reason;
	} rows[] = {
		{"{\"command\": \"none\"}", -EOPNOTSUPP, "no such command"},
		{"{}", -EOPNOTSUPP, "no such command"},
		{"[]", -EOPNOTSUPP, "no such command"},
		{"", -EINVAL, NULL},
		{"{\"command\": \"echo\"", -EINVAL, NULL},
		{"{\"command\": \"fail\"}", -ENOENT, "no such flow"},
		{"{\"command\": \"fail\", \"late\": true}", -ENOENT, "no such flow"},
	};
	struct client *client = meet();
	char said[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(ask(client, rows[i].request, NULL, NULL), rows[i].error, "%zu", i);
		if (rows[i].reason)
			cr_expect_str_eq(reason, rows[i].reason, "%zu: %s", i, reason);
		cr_expect_eq(ask(client, "{\"command\": \"echo\"}", keep_text, said), 0,
			     "%zu: not usable after", i);
	}
	client_close(client);
}

Test(server, takes_a_request_of_64_KiB_and_refuses_a_longer_one)
{
	static char request[SERVER_REQUEST_MAX + 2];
	struct client *client = meet();
	char text[512];
	int fd;

	memset(request, ' ', sizeof(request));
	memcpy(request, "{\"command\": \"echo\"", 18);
	request[SERVER_REQUEST_MAX - 1] = '}';
	request[SERVER_REQUEST_MAX] = '\0';
	cr_expect_eq(ask(client, request, NULL, NULL), 0, "%s", reason);
	client_close(client);

	fd = raw();
	memset(request, 'x', sizeof(request));
	cr_assert_gt(send(fd, request, SERVER_REQUEST_MAX + 1, 0), 0);
	drain(fd, text, sizeof(text));
	cr_expect_not_null(strstr(text, "longer than 65536"), "%s", text);
	close(fd);
}

Test(server, survives_any_bytes_and_clients_that_leave)
{
	uint64_t seed = 7;

	for (int round = 0; round < 300; round++) {
		char bytes[512];
		int fd = raw();

		cr_assert_geq(fd, 0);
		for (size_t i = 0; i < sizeof(bytes); i++) {
			uint64_t draw = random_next(&seed);

			bytes[i] = draw >> 60 == 0 ? '\n' : (char)(draw >> 56);
		}
		if (round % 3 == 0)
			snprintf(bytes, sizeof(bytes), "{\"command\": \"many\"}\n");
		cr_expect_gt(
			send(fd, bytes, round % 3 ? sizeof(bytes) : strlen(bytes), MSG_NOSIGNAL),
			0);
		close(fd);
	}
}

Test(server, drops_who_neither_asks_nor_takes)
{
	static const char many[] = "{\"command\": \"many\"}\n";
	struct client *client;
	uint64_t clients = 0;
	int fds[20];

	for (int i = 0; i < 20; i++) {
		fds[i] = raw();
		cr_assert_geq(fds[i], 0);
		/* Half of them ask for much and take nothing. */
		if (i % 2)
			cr_assert_gt(send(fds[i], many, sizeof(many) - 1, 0), 0);
	}
	client = meet();
	cr_expect_eq(ask(client, "{\"command\": \"count\"}", keep_number, &clients), 0);
	cr_expect_eq(clients, 21);
	cr_expect_eq(ask(client, "{\"command\": \"expire\"}", NULL, NULL), 0);
	client_close(client);
	for (;;) {
		/* The time of expiry has come once the loop has turned: this client is then alone.
		 */
		client = meet();
		if (ask(client, "{\"command\": \"count\"}", keep_number, &clients) == 0 &&
		    clients <= 2)
			break;
		client_close(client);
	}
	client_close(client);
	for (int i = 0; i < 20; i++)
		close(fds[i]);
}

Test(server, goes_on_with_who_waits_when_it_is_woken_and_keeps_it_until_then)
{
	static const char wait[] = "{\"command\": \"wait\"}\n";
	struct client *other = meet();
	char text[256];
	int fds[3];

	for (int i = 0; i < 3; i++) {
		fds[i] = raw();
		cr_assert_gt(send(fds[i], wait, sizeof(wait) - 1, 0), 0);
		/* That it waits is all that comes. */
		text[0] = '\0';
		for (size_t length = 0; strstr(text, "\"turn\": 0}\n") == NULL;) {
			ssize_t got = recv(fds[i], text + length, sizeof(text) - 1 - length, 0);

			cr_assert_gt(got, 0);
			length += (size_t)got;
			text[length] = '\0';
		}
		cr_expect_null(strstr(text, "end"), "%s", text);
	}
	/* One leaves while it waits. */
	close(fds[1]);
	cr_expect_eq(ask(other, "{\"command\": \"expire\"}", NULL, NULL), 0);
	client_close(other);
	other = meet();
	cr_expect_eq(ask(other, "{\"command\": \"wake\"}", NULL, NULL), 0);
	for (int i = 0; i < 3; i += 2) {
		shutdown(fds[i], SHUT_WR);
		drain(fds[i], text, sizeof(text));
		cr_expect_str_eq(text, "{\"turn\": 1}\n{\"end\": true}\n");
		close(fds[i]);
	}
	client_close(other);
}

Test(server, bounds_its_clients_and_says_so)
{
	int fds[SERVER_CLIENTS_MAX + 1];
	char text[256];

	for (int i = 0; i <= SERVER_CLIENTS_MAX; i++)
		cr_assert_geq(fds[i] = raw(), 0);
	drain(fds[SERVER_CLIENTS_MAX], text, sizeof(text));
	cr_expect_not_null(strstr(text, "too many clients"), "%s", text);
	for (int i = 0; i <= SERVER_CLIENTS_MAX; i++)
		close(fds[i]);
}

/* Runs as another user; returns the exit status. */
static int as_other(gid_t group, int (*run)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		if (setgroups(0, NULL) != 0 || setresgid(group, group, group) != 0 ||
		    setresuid(60002, 60002, 60002) != 0)
			_exit(99);
		_exit(run());
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int other_asks(void)
{
	struct client *client;
	char said[256];
	int error;

	if (client_open(folder, &client, reason) != 0)
		return 1;
	if (ask(client, "{\"command\": \"echo\", \"say\": \"x\"}", keep_text, said) != 0)
		return 2;
	error = ask(client, "{\"command\": \"change\"}", NULL, NULL);
	client_close(client);
	return error == -EPERM ? 0 : 3;
}

static int other_is_kept_out(void)
{
	struct client *client;

	return client_open(folder, &client, reason) == -EACCES ? 0 : 1;
}

static int other_floods(void)
{
	char text[256];

	for (int i = 0; i < SERVER_CLIENTS_MAX - SERVER_CLIENTS_KEPT; i++)
		if (raw() < 0)
			return 1;
	drain(raw(), text, sizeof(text));
	if (strstr(text, "too many clients") == NULL)
		return 2;
	/* They stay open while root comes in. */
	kill(getpid(), SIGSTOP);
	return 0;
}

Test(server, lets_the_group_ask_but_not_change)
{
	if (geteuid() != 0) {
		fprintf(stderr, "SKIP: needs root to act as another user\n");
		return;
	}
	cr_expect_eq(as_other(GROUP, other_asks), 0);
	cr_expect_eq(as_other(60003, other_is_kept_out), 0);
}

Test(server, keeps_places_for_root)
{
	struct client *client;
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		fprintf(stderr, "SKIP: needs root to act as another user\n");
		return;
	}
	pid = fork();
	if (pid == 0) {
		if (setgroups(0, NULL) != 0 || setresgid(GROUP, GROUP, GROUP) != 0 ||
		    setresuid(60002, 60002, 60002) != 0)
			_exit(99);
		_exit(other_floods());
	}
	waitpid(pid, &status, WUNTRACED);
	cr_expect(WIFSTOPPED(status));
	client = meet();
	cr_expect_eq(ask(client, "{\"command\": \"change\", \"say\": \"x\"}", NULL, NULL), 0, "%s",
		     reason);
	client_close(client);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

Test(client, says_that_no_sidecar_lives)
{
	char path[64] = "/tmp/tollgate-client-XXXXXX", socket_path[96];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct client *client;
	int fd;

	cr_expect_eq(client_open("/tmp/tollgate-there-is-none", &client, reason), -ENOENT);
	cr_expect_str_eq(reason, "/tmp/tollgate-there-is-none: no segment is there");
	cr_assert_not_null(mkdtemp(path));
	/* What a sidecar leaves that ended in order. */
	cr_expect_eq(client_open(path, &client, reason), -ECONNREFUSED);
	/* What a killed sidecar leaves: a socket that nobody listens on. */
	snprintf(socket_path, sizeof(socket_path), "%s/" SERVER_SOCKET, path);
	strcpy(address.sun_path, socket_path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	cr_expect_eq(client_open(path, &client, reason), -ECONNREFUSED);
	cr_expect_not_null(strstr(reason, "no tollgated runs on"));
	unlink(socket_path);
	rmdir(path);
}
