/* SPDX-License-Identifier: MIT
 *
 * A worker that does what it is told, for tests that run real programs: it reads a command a line
 * and answers each with a line. tests/worker.py compiles it and talks to it.
 *
 *   attach                          ok | error ERRNO
 *   flow SOURCE DESTINATION         flow SLOT | error ERRNO
 *   admit CLASS N                   admitted WAIT_NS | REASON WAIT_NS   (of the last flow)
 *   connect CLASS                   the same
 *   disconnect                      ok | error ERRNO                    (the last lease)
 *   report CLASS CODE TEXT          ok     TEXT "4.7.650 The mail ...", as received; "\\xNN" is a byte
 *   deliver CLASS N                 ok     N plain deliveries
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/tollgate.h"

static struct tg *tg;
static struct tg_flow flow;
static struct tg_lease lease;

static void answer_verdict(struct tg_verdict verdict)
{
	uint64_t now_ns = tg_now(tg);

	printf("%s %llu\n",
	       verdict.reason == TG_ADMITTED ? "admitted" : tg_reason_name(verdict.reason),
	       (unsigned long long)(verdict.at_ns > now_ns ? verdict.at_ns - now_ns : 0));
}

static void answer_error(int error, const char *good)
{
	if (error)
		printf("error %d\n", -error);
	else
		puts(good);
}

static int find_flow(const char *address, const char *name)
{
	struct tg_source source;
	struct tg_destination destination;
	int error = tg_source(tg, address, &source);

	if (!error)
		error = tg_destination(tg, name, &destination);
	return error ? error : tg_flow(tg, &source, &destination, &flow);
}

/* What a receiver may write and a line of ours cannot hold: "\x00". Returns the length. */
static size_t unescape(const char *from, char *to)
{
	size_t length = 0;
	unsigned byte;

	while (*from) {
		bool escaped = sscanf(from, "\\x%2x", &byte) == 1;

		to[length++] = escaped ? (char)byte : *from;
		from += escaped ? 4 : 1;
	}
	return length;
}

static void report(unsigned traffic, const char *text, uint32_t n)
{
	struct tg_reply parsed = {0};
	char reply[4096];
	size_t length = unescape(text, reply);

	if (tg_reply_parse(reply, length, &parsed) != 0)
		parsed = (struct tg_reply){.stage = TG_STAGE_CONNECT};
	parsed.traffic = (uint8_t)traffic;
	parsed.n = n;
	parsed.admitted_ns = tg_now(tg);
	tg_report(tg, &flow, &parsed);
}

static void obey(const char *line)
{
	char first[256] = "", second[256] = "";
	unsigned traffic = 0, n = 0;
	int at = 0;

	if (strcmp(line, "attach") == 0)
		answer_error(tg_attach(NULL, &tg), "ok");
	else if (tg == NULL)
		puts("error: not attached");
	else if (sscanf(line, "flow %255s %255s", first, second) == 2)
		answer_error(find_flow(first, second), "flow");
	else if (sscanf(line, "admit %u %u", &traffic, &n) == 2)
		answer_verdict(tg_admit(tg, &flow, (enum tg_class)traffic, n));
	else if (sscanf(line, "connect %u", &traffic) == 1)
		answer_verdict(tg_connect(tg, &flow, (enum tg_class)traffic, &lease));
	else if (strcmp(line, "disconnect") == 0)
		answer_error(tg_disconnect(tg, &lease), "ok");
	else if (sscanf(line, "deliver %u %u", &traffic, &n) == 2) {
		report(traffic, "250 2.0.0 ok", n);
		puts("ok");
	} else if (sscanf(line, "report %u %n", &traffic, &at) == 1 && at > 0) {
		report(traffic, line + at, 1);
		puts("ok");
	} else
		puts("error: no such command");
}

int main(void)
{
	char line[4096];

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		obey(line);
	}
	tg_detach(tg);
	return 0;
}
