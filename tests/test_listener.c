/* SPDX-License-Identifier: MIT
 *
 * Listeners: where they listen, who is let in, and that no client can hinder another. The server
 * runs in a child with a loop of its own, and speaks lines; the test is its clients.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sidecar/serve/endpoint.h"
#include "sidecar/serve/listener.h"

#define REQUEST_MAX 4096
#define CLIENTS_MAX 10100
#define SILENT	    10000
#define BIG	    50000

static char folder[64], address[96];
static pid_t child;

/* ---- the server ------------------------------------------------------------------------------ */

struct line_client {
	unsigned lines;
};

static struct listener *served;
static struct loop *loop;
static uint64_t turns;
static int expire_timer;

static bool count_turn(void *arg)
{
	turns++;
	return false;
}

static void expire(void *arg, uint64_t now_ns)
{
	listener_expire(served, now_ns + UINT64_C(3600000000000));
}

static void say(struct listener_answer *answer, const char *format, unsigned long long number)
{
	char text[64];

	listener_answer_add(answer, text, (size_t)snprintf(text, sizeof(text), format, number));
}

static bool is(const char *line, size_t length, const char *word)
{
	return length == strlen(word) && memcmp(line, word, length) == 0;
}

static ssize_t take(void *arg, void *state, const char *bytes, size_t length,
		    struct listener_answer *answer, uint64_t *ret_requests)
{
	struct line_client *client = state;
	const struct listener_totals *totals = listener_totals(served);
	size_t taken = 0;

	for (int i = 0; i < LISTENER_REQUESTS && answer->length < LISTENER_ANSWER_MAX; i++) {
		const char *line = bytes + taken, *stop = memchr(line, '\n', length - taken);
		size_t size = stop ? (size_t)(stop - line) : 0;

		if (stop == NULL)
			break;
		taken += size + 1;
		++*ret_requests;
		client->lines++;
		if (is(line, size, "bad"))
			return LISTENER_BAD;
		if (is(line, size, "end")) {
			say(answer, "bye\n", 0);
			return LISTENER_END;
		}
		if (is(line, size, "turns"))
			say(answer, "%llu\n", turns);
		else if (is(line, size, "mine"))
			say(answer, "%llu\n", client->lines);
		else if (is(line, size, "clients"))
			say(answer, "%llu\n", listener_clients(served));
		else if (is(line, size, "malformed"))
			say(answer, "%llu\n", totals->malformed);
		else if (is(line, size, "idle"))
			say(answer, "%llu\n", totals->idle);
		else if (is(line, size, "refused"))
			say(answer, "%llu\n", totals->refused);
		else if (is(line, size, "expire"))
			loop_timer_set(loop, expire_timer, 1);
		else if (is(line, size, "big"))
			for (int n = 0; n < BIG / 10; n++)
				listener_answer_add(answer, "123456789\n", 10);
		else
			listener_answer_add(answer, line, size + 1);
	}
	return (ssize_t)taken;
}

static const struct listener_protocol lines = {.name = "lines",
					       .take = take,
					       .state_size = sizeof(struct line_client),
					       .request_max = REQUEST_MAX,
					       .full = "full\n"};

static void files_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int serve(int ready, uint32_t clients_max)
{
	char *const addresses[] = {address};
	const struct listener_options options = {.protocol = &lines,
						 .addresses = addresses,
						 .address_count = 1,
						 .clients_max = clients_max,
						 .idle_ns = UINT64_C(600000000000),
						 .mode = 0600,
						 .group = -1};
	char why[LOOP_REASON];
	uint32_t missing;

	files_raise();
	if (loop_create(&loop, why) != 0 ||
	    listener_create(loop, &options, &served, &missing) != 0 || missing != 0)
		return 1;
	expire_timer = loop_timer(loop, expire, NULL);
	loop_set_before_sleep(loop, count_turn, NULL);
	close(ready);
	return loop_run(loop) == 0 ? 0 : 1;
}

static void begin_with(uint32_t clients_max)
{
	int ready[2];
	char byte;

	signal(SIGPIPE, SIG_IGN);
	files_raise();
	snprintf(folder, sizeof(folder), "/tmp/tollgate-listen-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(address, sizeof(address), "unix:%s/socket", folder);
	cr_assert_eq(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		_exit(serve(ready[1], clients_max));
	}
	close(ready[1]);
	cr_assert_eq(read(ready[0], &byte, 1), 0);
	close(ready[0]);
}

static void begin(void)
{
	begin_with(CLIENTS_MAX);
}

static void end(void)
{
	char path[96];
	int status;

	/* Whatever the test did, the server lives. */
	cr_expect_eq(waitpid(child, &status, WNOHANG), 0, "the server died");
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	snprintf(path, sizeof(path), "%s/socket", folder);
	unlink(path);
	rmdir(folder);
}

TestSuite(listener, .init = begin, .fini = end, .timeout = 300);

/* ---- the clients ----------------------------------------------------------------------------- */

static int meet(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s/socket", folder);
	cr_assert(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0, "errno %d",
		  errno);
	return fd;
}

static void tell(int fd, const char *text)
{
	cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* A line without its end; "" at the end of the connection. */
static const char *line_of(int fd)
{
	static char line[REQUEST_MAX * 2];
	size_t n = 0;

	while (n + 1 < sizeof(line) && recv(fd, line + n, 1, 0) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
	return line;
}

static const char *ask(int fd, const char *text)
{
	tell(fd, text);
	return line_of(fd);
}

static unsigned long long number(int fd, const char *text)
{
	return strtoull(ask(fd, text), NULL, 10);
}

/* ---- requests -------------------------------------------------------------------------------- */

Test(listener, answers_what_is_asked_whole_in_parts_or_many_at_once)
{
	int fd = meet();

	cr_expect_str_eq(ask(fd, "one\n"), "one");
	tell(fd, "tw");
	tell(fd, "o\nthree\nfo");
	cr_expect_str_eq(line_of(fd), "two");
	cr_expect_str_eq(line_of(fd), "three");
	cr_expect_str_eq(ask(fd, "ur\n"), "four");
	cr_expect_eq(number(fd, "mine\n"), 5, "the state is the client's own");
	close(fd);
}

Test(listener, keeps_the_order_of_ten_thousand_in_one_go)
{
	int fd = meet();
	char text[16], *all = NULL;
	size_t length;
	FILE *file = open_memstream(&all, &length);

	for (int i = 0; i < 10000; i++)
		fprintf(file, "%d\n", i);
	fclose(file);
	if (fork() == 0) {
		tell(fd, all);
		_exit(0);
	}
	for (int i = 0; i < 10000; i++) {
		snprintf(text, sizeof(text), "%d", i);
		cr_assert_str_eq(line_of(fd), text);
	}
	wait(NULL);
	free(all);
	close(fd);
}

Test(listener, says_what_is_left_before_it_closes)
{
	int fd = meet(), other = meet();

	cr_expect_str_eq(ask(fd, "last\nend\nnever\n"), "last");
	cr_expect_str_eq(line_of(fd), "bye");
	cr_expect_str_eq(line_of(fd), "");
	cr_expect_eq(number(other, "malformed\n"), 0);
	close(fd);
	close(other);
}

Test(listener, closes_and_counts_what_is_malformed_or_too_long)
{
	char text[REQUEST_MAX * 2 + 1];
	int other = meet();

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 2; i++) {
		int fd = meet();

		tell(fd, i ? text : "bad\n");
		cr_expect_str_eq(line_of(fd), "");
		close(fd);
	}
	cr_expect_eq(number(other, "malformed\n"), 2);
	close(other);
}

/* ---- who hinders ----------------------------------------------------------------------------- */

Test(listener, does_not_read_from_who_does_not_take_and_gives_all_who_does)
{
	int greedy = meet(), other = meet();
	size_t asked = 0;

	/* What is not read stays in the sockets, and then nothing more goes in. */
	while (send(greedy, "big\n", 4, MSG_NOSIGNAL | MSG_DONTWAIT) == 4)
		asked++;
	cr_expect_str_eq(ask(other, "still there\n"), "still there");
	cr_expect_gt(asked, 100);
	for (size_t left = asked * BIG; left > 0;) {
		char bytes[4096];
		ssize_t got = recv(greedy, bytes, left < sizeof(bytes) ? left : sizeof(bytes), 0);

		cr_assert_gt(got, 0);
		left -= (size_t)got;
	}
	cr_expect_str_eq(ask(greedy, "all of it\n"), "all of it");
	close(greedy);
	close(other);
}

Test(listener, answers_others_within_a_few_turns_beside_ten_thousand_who_hinder)
{
	static int fds[SILENT];
	struct rlimit limit;
	unsigned long long before, after, worst = 0;
	int good;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < SILENT + 100)
		cr_skip_test("SKIP: only %llu files may be open",
			     (unsigned long long)limit.rlim_cur);
	for (int i = 0; i < SILENT; i++) {
		fds[i] = meet();
		/* Silent, in the middle of a request, or asking without taking. */
		if (i % 3 == 1)
			tell(fds[i], "half a requ");
		for (int n = 0; i % 100 == 2 && n < 20; n++)
			if (send(fds[i], "big\nbig\n", 8, MSG_NOSIGNAL | MSG_DONTWAIT) != 8)
				break;
	}
	good = meet();
	cr_expect_eq(number(good, "clients\n"), SILENT + 1);
	before = number(good, "turns\n");
	for (int i = 0; i < 500; i++) {
		if (i < 250) /* and who goes in the middle of it */
			close(fds[i * 3 + 1]);
		after = number(good, "turns\n");
		worst = after - before > worst ? after - before : worst;
		before = after;
	}
	/* One for the request; others for who went, a few a turn, if the machine lets them gather. */
	cr_expect_leq(worst, 20, "%llu turns", worst);
	while (number(good, "clients\n") != SILENT + 1 - 250)
		;
	close(good);
}

Test(listener, drops_who_is_silent_and_keeps_none_of_it)
{
	int silent[50], fd;

	for (int i = 0; i < 50; i++) {
		silent[i] = meet();
		tell(silent[i], "half");
	}
	fd = meet();
	cr_expect_eq(number(fd, "clients\n"), 51);
	tell(fd, "expire\n");
	cr_expect_str_eq(line_of(fd), "", "an hour later nobody is left");
	close(fd);
	fd = meet();
	cr_expect_eq(number(fd, "idle\n"), 51);
	cr_expect_eq(number(fd, "clients\n"), 1);
	for (int i = 0; i < 50; i++)
		close(silent[i]);
	close(fd);
}

static void begin_small(void)
{
	begin_with(3);
}

Test(listener_full, refuses_more_than_may_be_and_lets_the_next_in, .init = begin_small, .fini = end,
     .timeout = 60)
{
	int fds[3], late;

	for (int i = 0; i < 3; i++) {
		fds[i] = meet();
		cr_expect_str_eq(ask(fds[i], "in\n"), "in");
	}
	late = meet();
	cr_expect_str_eq(line_of(late), "full");
	cr_expect_str_eq(line_of(late), "");
	close(late);
	cr_expect_eq(number(fds[0], "refused\n"), 1);
	close(fds[1]);
	while (number(fds[0], "clients\n") != 2)
		;
	late = meet();
	cr_expect_str_eq(ask(late, "in\n"), "in");
	close(late);
	close(fds[0]);
	close(fds[2]);
}

/* ---- where it listens ------------------------------------------------------------------------ */

Test(endpoint, reads_these_and_no_others)
{
	char longest[ENDPOINT_PATH_MAX + 8];
	static const struct {
		const char *text;
		int error;
		bool loopback;
	} cases[] = {
		{"unix:/run/x.sock", 0, true},
		{"127.0.0.1:6380", 0, true},
		{"127.9.9.9:1", 0, true},
		{"[::1]:65535", 0, true},
		{"192.0.2.1:25", 0, false},
		{"0.0.0.0:25", 0, false},
		{"[::]:25", 0, false},
		{"[2001:db8::1]:25", 0, false},
		{"", -EINVAL, false},
		{":", -EINVAL, false},
		{"6380", -EINVAL, false},
		{":6380", -EINVAL, false},
		{"unix:", -EINVAL, false},
		{"unix:relative", -EINVAL, false},
		{"localhost:6380", -EINVAL, false},
		{"127.0.0.1", -EINVAL, false},
		{"127.0.0.1:", -EINVAL, false},
		{"127.0.0.1:0", -EINVAL, false},
		{"127.0.0.1:65536", -EINVAL, false},
		{"127.0.0.1:+1", -EINVAL, false},
		{"127.0.0.1:1x", -EINVAL, false},
		{"127.0.0.1:000001", -EINVAL, false},
		{"::1:6380", -EINVAL, false},
		{"[::1]", -EINVAL, false},
		{"[::1]6380", -EINVAL, false},
		{"[]:6380", -EINVAL, false},
		{"[:6380", -EINVAL, false},
		{"[127.0.0.1]:6380", -EINVAL, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct endpoint endpoint = {.length = 77};
		int error = endpoint_read(cases[i].text, &endpoint);

		cr_expect_eq(error, cases[i].error, "%s: %d", cases[i].text, error);
		cr_expect(error ? endpoint.length == 77 : endpoint.loopback == cases[i].loopback,
			  "%s", cases[i].text);
	}
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "unix:/", 6);
	longest[5 + ENDPOINT_PATH_MAX] = '\0';
	cr_expect_eq(endpoint_read(longest, &(struct endpoint){0}), 0);
	longest[5 + ENDPOINT_PATH_MAX] = 'x';
	longest[6 + ENDPOINT_PATH_MAX] = '\0';
	cr_expect_eq(endpoint_read(longest, &(struct endpoint){0}), -ENAMETOOLONG);
}

Test(endpoint, takes_the_place_of_a_dead_socket_and_of_nothing_else)
{
	struct endpoint endpoint;
	char path[96], text[112];
	struct stat st;
	int first, second, file;

	snprintf(folder, sizeof(folder), "/tmp/tollgate-listen-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(text, sizeof(text), "unix:%s", path);
	cr_assert_eq(endpoint_read(text, &endpoint), 0);
	cr_assert_eq(endpoint_listen(&endpoint, 0620, -1, &first), 0);
	cr_expect(stat(path, &st) == 0 && (st.st_mode & 07777) == 0620);
	cr_expect_eq(endpoint_listen(&endpoint, 0600, -1, &second), -EADDRINUSE,
		     "somebody answers there");
	close(first);
	cr_expect_eq(endpoint_listen(&endpoint, 0600, -1, &second), 0, "nobody does");
	close(second);
	endpoint_remove(&endpoint);
	file = open(path, O_CREAT | O_WRONLY, 0600);
	cr_expect_eq(endpoint_listen(&endpoint, 0600, -1, &second), -EEXIST, "a file is kept");
	cr_expect_eq(stat(path, &st), 0);
	close(file);
	unlink(path);
	rmdir(folder);
}

Test(endpoint, listens_on_loopback)
{
	struct endpoint endpoint;
	socklen_t length = sizeof(endpoint.address);
	int fd, other;

	cr_assert_eq(endpoint_read("127.0.0.1:1", &endpoint), 0);
	((struct sockaddr_in *)&endpoint.address)->sin_port = 0;
	cr_assert_eq(endpoint_listen(&endpoint, 0, -1, &fd), 0);
	cr_assert_eq(getsockname(fd, &endpoint.address.any, &length), 0);
	other = socket(AF_INET, SOCK_STREAM, 0);
	cr_expect_eq(connect(other, &endpoint.address.any, length), 0);
	close(other);
	close(fd);
}
