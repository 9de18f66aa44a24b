/* SPDX-License-Identifier: MIT
 *
 * What a Redis client says and is answered: requests as bytes, answers as bytes; and the throttle's
 * arithmetic, by redis-cell's own table of cases.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/doors/cells.h"
#include "sidecar/doors/redis_door.h"
#include "tests/guard.h"

#define S INT64_C(1000000000)

/* ---- the throttle ---------------------------------------------------------------------------- */

Test(cells, answer_as_redis_cell_does)
{
	/* A burst of four beyond the first, one a second. */
	static const struct {
		int64_t at_ms, quantity, remaining, reset_s, retry_s;
		bool limited;
	} cases[] = {
		{0, 6, 5, 0, -1, true}, /* never */
		{0, 1, 4, 1, -1, false},    {0, 1, 3, 2, -1, false},	{0, 1, 2, 3, -1, false},
		{0, 1, 1, 4, -1, false},    {0, 1, 0, 5, -1, false},	{0, 1, 0, 5, 1, true},
		{3000, 1, 2, 3, -1, false}, {3100, 1, 1, 4, -1, false}, {4000, 1, 1, 4, -1, false},
		{8000, 1, 4, 1, -1, false}, {9500, 1, 4, 1, -1, false}, {9500, 0, 4, 1, -1, false},
		{9500, 2, 2, 3, -1, false}, {9500, 5, 2, 3, 3, true},
	};
	int64_t tat = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cell_quota quota = {4, 1, 1, cases[i].quantity};
		struct cell_answer answer;
		int64_t now = 1000 * S + cases[i].at_ms * 1000000, next;

		cr_assert_eq(cell_decide(&quota, tat, now, &answer, &next), 0);
		cr_expect_eq(answer.limited, cases[i].limited, "case %zu", i);
		cr_expect_eq(answer.limit, 5, "case %zu", i);
		cr_expect_eq(answer.remaining, cases[i].remaining, "case %zu: %ld", i,
			     answer.remaining);
		cr_expect_eq(answer.reset_after_s, cases[i].reset_s, "case %zu: %ld", i,
			     answer.reset_after_s);
		cr_expect_eq(answer.retry_after_s, cases[i].retry_s, "case %zu: %ld", i,
			     answer.retry_after_s);
		if (!answer.limited)
			tat = next;
	}
}

/* Up to the next second where a millisecond of it has begun, and not for less. */
Test(cells, round_seconds_as_redis_cell_does)
{
	static const struct {
		int64_t ahead_ns, seconds;
	} cases[] = {{1, 0}, {999999, 0},     {1000000, 1},	{S - 1, 1},
		     {S, 1}, {S + 999999, 1}, {S + 1000000, 2}, {2 * S, 2}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cell_quota quota = {0, 1, 10, 0};
		struct cell_answer answer;
		int64_t next;

		cr_assert_eq(cell_decide(&quota, 5 * S + cases[i].ahead_ns, 5 * S, &answer, &next),
			     0);
		cr_expect_eq(answer.reset_after_s, cases[i].seconds, "%ld ns: %ld",
			     cases[i].ahead_ns, answer.reset_after_s);
	}
}

Test(cells, refuse_numbers_that_are_none)
{
	static const struct {
		struct cell_quota quota;
		int error;
	} cases[] = {
		{{0, 0, 1, 1}, -EINVAL},
		{{0, 1, 0, 1}, -EINVAL},
		{{0, -1, 1, 1}, -EINVAL},
		{{0, INT64_MAX, 1, 1}, -EINVAL}, /* more than one a nanosecond */
		{{-1, 1, 1, 1}, -ERANGE},
		{{0, 1, 1, -1}, -ERANGE},
		{{INT64_MAX, 1, 1, 1}, -ERANGE},
		{{0, 1, INT64_MAX, 1}, -ERANGE},
		{{INT64_MAX - 1, 1, 1, 1}, -ERANGE},
		{{0, 1, 1, INT64_MAX}, -ERANGE},
		{{0, 1, INT64_MAX / S, 1}, -ERANGE},
		{{0, 1000000000, 1, 1}, 0}, /* one a nanosecond */
		{{1000000, 1000, 1, 0}, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cell_answer answer;
		int64_t next;

		cr_expect_eq(cell_decide(&cases[i].quota, 0, 77 * S, &answer, &next),
			     cases[i].error, "case %zu", i);
	}
}

Test(cells, are_bounded_and_go_when_they_are_over)
{
	struct cells *cells;
	char name[16];

	cr_assert_eq(cells_create(100, &cells), 0);
	for (int i = 0; i < 100; i++) {
		struct cell *cell = cells_get(cells, name, (size_t)sprintf(name, "%d", i), S);

		cr_assert_not_null(cell);
		cell->tat_ns = (i < 50 ? 10 : 20) * S;
	}
	cr_expect_null(cells_get(cells, "new", 3, 9 * S), "all are in use");
	cr_expect_not_null(cells_get(cells, "7", 1, 9 * S), "those that are known go on");
	cr_expect_not_null(cells_get(cells, "new", 3, 15 * S), "the place of one that is over");
	for (int i = 0; i < 61; i++)
		cells_sweep(cells, 15 * S);
	cr_expect_eq(cells_count(cells), 50);
	cells_free(cells);
}

/* ---- the protocol ---------------------------------------------------------------------------- */

static struct gatekeeper *gate;
static struct redis_door *door;
static char state[64] __attribute__((aligned(16)));
static struct listener_answer answer;

static void begin(void)
{
	memset(state, 0, sizeof(state));
	cr_assert_leq(redis_protocol.state_size, sizeof(state));
	cr_assert_eq(gatekeeper_create("/nonexistent/tollgate", -1, &gate), 0);
	cr_assert_eq(redis_door_create(gate, 1000, &door), 0);
}

static void end(void)
{
	redis_door_free(door);
	gatekeeper_free(gate);
	listener_answer_free(&answer);
}

TestSuite(redis, .init = begin, .fini = end);

/* What the door takes of these bytes, which end where nobody may read. */
static ssize_t give(const char *bytes, size_t length)
{
	char *copy = guard_copy(bytes, length);
	uint64_t requests = 0;
	ssize_t taken;

	answer.length = 0;
	taken = redis_protocol.take(door, state, copy, length, &answer, &requests);
	guard_free(copy, length);
	listener_answer_add(&answer, "", 1);
	return taken;
}

/* Words as a client sends them. */
static const char *ask(const char *words)
{
	char bytes[1024], copy[512];
	size_t length = 0, count = 0;

	strcpy(copy, words);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		count++;
	length += (size_t)sprintf(bytes, "*%zu\r\n", count);
	strcpy(copy, words);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		length += (size_t)sprintf(bytes + length, "$%zu\r\n%s\r\n", strlen(word), word);
	cr_expect_neq(give(bytes, length), 0, "%s", words);
	return answer.text;
}

Test(redis, answers_what_clients_say)
{
	static const struct {
		const char *words, *answer; /* or how it begins, up to "…" */
	} cases[] = {
		{"PING", "+PONG\r\n"},
		{"pInG", "+PONG\r\n"},
		{"ping hello", "$5\r\nhello\r\n"},
		{"ping a b", "-ERR wrong number of arguments for 'ping' command\r\n"},
		{"echo x", "$1\r\nx\r\n"},
		{"echo", "-ERR wrong number of arguments for 'echo' command\r\n"},
		{"SELECT 3", "+OK\r\n"},
		{"select 16", "-ERR DB index is out of range\r\n"},
		{"select x", "-ERR value is not an integer or out of range\r\n"},
		{"AUTH x", "-ERR AUTH <password> called without any password configured for the "
			   "default user. Are you sure your configuration is correct?\r\n"},
		{"auth default x", "+OK\r\n"},
		{"client SETINFO lib-name ioredis", "+OK\r\n"},
		{"CLIENT setname x", "+OK\r\n"},
		{"client getname", "$-1\r\n"},
		{"client id", ":1\r\n"},
		{"client id", ":1\r\n"},
		{"client tracking on", "-ERR Unknown subcommand…"},
		{"CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"},
		{"config get appendonly", "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n"},
		{"config get maxmemory", "*0\r\n"},
		{"config set x y", "-ERR only CONFIG GET PARAMETER is answered here\r\n"},
		{"command docs", "*0\r\n"},
		{"command count", ":11\r\n"},
		{"COMMAND",
		 "*11\r\n*6\r\n$11\r\ncl.throttle\r\n:-1\r\n*1\r\n+write\r\n:1\r\n:1\r\n:1\r\n…"},
		{"info", "$…"},
		{"HELLO", "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n…"},
		{"hello 4", "-NOPROTO unsupported protocol version\r\n"},
		{"hello 3", "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n…"},
		{"client getname", "_\r\n"},
		{"config get save", "%1\r\n$4\r\nsave\r\n$0\r\n\r\n"},
		{"command docs", "%0\r\n"},
		{"hello 2 setname x", "*14\r\n…"},
		{"hello 3 auth default x setname y", "%7\r\n…"},
		{"hello 2 auth default", "-ERR syntax error in HELLO\r\n"},
		{"get x", "-ERR unknown command 'get', with args beginning with: \r\n"},
		{"QUIT", "+OK\r\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *more = strstr(cases[i].answer, "…"), *said = ask(cases[i].words);
		size_t length =
			more ? (size_t)(more - cases[i].answer) : strlen(cases[i].answer) + 1;

		cr_expect_arr_eq(said, cases[i].answer, length, "%s: %s", cases[i].words, said);
	}
	cr_expect_not_null(strstr(ask("info"), "loading:0"));
}

Test(redis, throttles)
{
	static const struct {
		const char *words, *answer;
	} cases[] = {
		{"CL.THROTTLE user 1 1 3600", "*5\r\n:0\r\n:2\r\n:1\r\n:-1\r\n:3600\r\n"},
		{"cl.throttle user 1 1 3600", "*5\r\n:0\r\n:2\r\n:0\r\n:-1\r\n:7200\r\n"},
		{"cl.throttle user 1 1 3600", "*5\r\n:1\r\n:2\r\n:0\r\n:3600\r\n:7200\r\n"},
		{"cl.throttle user 1 1 3600 0", "*5\r\n:0\r\n:2\r\n:0\r\n:-1\r\n:7200\r\n"},
		{"cl.throttle user 1 1 3600 3", "*5\r\n:1\r\n:2\r\n:0\r\n:-1\r\n:7200\r\n"},
		{"cl.throttle other 1 1 3600 2", "*5\r\n:0\r\n:2\r\n:0\r\n:-1\r\n:7200\r\n"},
		{"select 1", "+OK\r\n"},
		{"cl.throttle user 1 1 3600", "*5\r\n:0\r\n:2\r\n:1\r\n:-1\r\n:3600\r\n"},
		{"cl.throttle",
		 "-Cell error: Usage: cl.throttle <key> <max_burst> <count per period> <period> "
		 "[<quantity>]\r\n"},
		{"cl.throttle flow:",
		 "-Cell error: Usage: cl.throttle <key> <max_burst> <count per "
		 "period> <period> [<quantity>]\r\n"},
		{"cl.throttle user 1 1",
		 "-Cell error: Usage: cl.throttle <key> <max_burst> <count per period> <period> "
		 "[<quantity>]\r\n"},
		{"cl.throttle user x 1 60", "-Cell error: Couldn't parse as integer: x\r\n"},
		{"cl.throttle user 1 0 60", "-Cell error: Zero rates are not supported\r\n"},
		{"cl.throttle user -1 1 60", "-Cell error: a number is negative or too large\r\n"},
		{"cl.throttle user 9223372036854775808 1 60",
		 "-Cell error: Couldn't parse as integer: 9223372036854775808\r\n"},
		{"cl.throttle flow:x 1 1 60",
		 "-ERR the key names no flow: flow:SOURCE:DESTINATION or "
		 "flow:SOURCE:DESTINATION:CLASS\r\n"},
		{"cl.throttle flow:192.0.2.1:google:slow 1 1 60",
		 "-ERR the key names no flow: flow:SOURCE:DESTINATION or "
		 "flow:SOURCE:DESTINATION:CLASS\r\n"},
		{"cl.throttle flow:[2001:db8::1:google 1 1 60",
		 "-ERR the key names no flow: flow:SOURCE:DESTINATION or "
		 "flow:SOURCE:DESTINATION:CLASS\r\n"},
		{"cl.throttle flow:192.0.2.1:google 1 1 60",
		 "-ERR the gate cannot be asked: No such file or directory\r\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_str_eq(ask(cases[i].words), cases[i].answer, "%s: %s", cases[i].words,
				 answer.text);
}

Test(redis, asks_for_the_password_and_forgets_none)
{
	static const struct {
		const char *words, *answer;
	} cases[] = {
		{"ping", "-NOAUTH Authentication required.\r\n"},
		{"cl.throttle x 1 1 1", "-NOAUTH Authentication required.\r\n"},
		{"auth wrong",
		 "-WRONGPASS invalid username-password pair or user is disabled.\r\n"},
		{"auth secre",
		 "-WRONGPASS invalid username-password pair or user is disabled.\r\n"},
		{"auth secretsecret",
		 "-WRONGPASS invalid username-password pair or user is disabled.\r\n"},
		{"auth other secret",
		 "-WRONGPASS invalid username-password pair or user is disabled.\r\n"},
		{"ping", "-NOAUTH Authentication required.\r\n"},
		{"auth default secret", "+OK\r\n"},
		{"ping", "+PONG\r\n"},
	};

	redis_door_password(door, "secret");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_str_eq(ask(cases[i].words), cases[i].answer, "%s: %s", cases[i].words,
				 answer.text);
	memset(state, 0, sizeof(state));
	cr_expect_eq(strncmp(ask("hello 3"), "-NOAUTH ", 8), 0);
	cr_expect_eq(strncmp(ask("hello 3 auth default secret"), "%7\r\n", 4), 0);
	cr_expect_str_eq(ask("ping"), "+PONG\r\n");
}

/* Bytes that are no requests, or not yet, and what is answered and taken of them. */
Test(redis, bears_whatever_comes)
{
	static const struct {
		const char *bytes, *answer;
		ssize_t taken;
	} cases[] = {
		{"PING\r\n", "+PONG\r\n", 6},
		{"ping\n", "+PONG\r\n", 5},
		{"  ping \t x  \r\n", "$1\r\nx\r\n", 14},
		{"\r\n\r\nPING\r\n", "+PONG\r\n", 10},
		{"PING", "", 0},
		{"*1\r\n$4\r\nPING\r\n", "+PONG\r\n", 14},
		{"*1\r\n$4\r\nPING\r\nPING\r\n*1\r\n$4\r\nPING\r\n", "+PONG\r\n+PONG\r\n+PONG\r\n",
		 34},
		{"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPI", "+PONG\r\n", 14},
		{"*1\r\n$4\r\nPIN", "", 0},
		{"*1\r\n$4\r\nPING", "", 0},
		{"*1", "", 0},
		{"*", "", 0},
		{"*0\r\nPING\r\n", "+PONG\r\n", 10},
		{"*-1\r\nPING\r\n", "+PONG\r\n", 11},
		{"*-2\r\n", "-ERR Protocol error", LISTENER_BAD},
		{"*x\r\n", "-ERR Protocol error", LISTENER_BAD},
		{"*65\r\n", "-ERR Protocol error: invalid multibulk length", LISTENER_BAD},
		{"*1000000000\r\n", "-ERR Protocol error: invalid multibulk length", LISTENER_BAD},
		{"*1\r\n*1\r\n$4\r\nPING\r\n", "-ERR Protocol error: expected '$', got '*'",
		 LISTENER_BAD},
		{"*1\r\n:1\r\n", "-ERR Protocol error: expected '$', got ':'", LISTENER_BAD},
		{"*1\r\n+PING\r\n", "-ERR Protocol error: expected '$'", LISTENER_BAD},
		{"*1\r\n-PING\r\n", "-ERR Protocol error: expected '$'", LISTENER_BAD},
		{"*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length", LISTENER_BAD},
		{"*1\r\n$-7\r\n", "-ERR Protocol error", LISTENER_BAD},
		{"*1\r\n$x\r\nPING\r\n", "-ERR Protocol error", LISTENER_BAD},
		{"*1\r\nPING\r\n", "-ERR Protocol error", LISTENER_BAD},
		{"*1\r\n$4\r\nPING\r\n*x\r\n", "+PONG\r\n-ERR Protocol error", LISTENER_BAD},
		{"POST / HTTP/1.1\r\nHost: x\r\n\r\nPING\r\n", "-ERR unknown command 'POST'",
		 LISTENER_END},
		{"QUIT\r\nPING\r\n", "+OK\r\n", LISTENER_END},
		{"\x16\x03\x01\r\n", "-ERR unknown command", 5},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ssize_t taken = give(cases[i].bytes, strlen(cases[i].bytes));

		cr_expect_eq(taken, cases[i].taken, "case %zu: %zd", i, taken);
		cr_expect_eq(strncmp(answer.text, cases[i].answer, strlen(cases[i].answer)), 0,
			     "case %zu: %s", i, answer.text);
	}
}

/* However it is cut, the answers are those of the whole. */
Test(redis, needs_no_request_to_come_in_one_piece)
{
	static const char bytes[] =
		"*1\r\n$4\r\nPING\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$3\r\na\r\n\r\n"
		"*5\r\n$11\r\nCL.THROTTLE\r\n$1\r\nk\r\n$1\r\n0\r\n$1\r\n1\r\n"
		"$4\r\n3600\r\n";
	static const char whole[] =
		"+PONG\r\n+PONG\r\n$3\r\na\r\n\r\n*5\r\n:0\r\n:1\r\n:0\r\n:-1\r\n:3600\r\n";

	for (size_t cut = 1; cut < sizeof(bytes) - 1; cut++) {
		char said[256] = "";
		ssize_t taken = give(bytes, cut);

		strcat(said, answer.text);
		cr_assert_geq(taken, 0);
		give(bytes + taken, sizeof(bytes) - 1 - (size_t)taken);
		strcat(said, answer.text);
		cr_expect_str_eq(said, whole, "cut at %zu: %s", cut, said);
		end();
		answer = (struct listener_answer){0};
		begin();
	}
}
