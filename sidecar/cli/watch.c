/* SPDX-License-Identifier: MIT
 *
 * tollgate watch: events as they come (sidecar/api/watch.h).
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sidecar/cli/command.h"
#include "sidecar/cli/request.h"

static const struct cli_option option_rows[] = {
	REQUEST_SOURCE, REQUEST_DESTINATION, REQUEST_JSON, REQUEST_SEGMENT, {0}};

static const struct cli_syntax syntax = {
	.command = "watch",
	.wanted = "flows are chosen by --source and --destination",
	.about =
		"Prints events as they happen, until you end it: what a receiver answered and the class "
		"of that, the number of deliveries (about once a second), and each change of a flow's "
		"limits, with who decided it and the reply that led to it.\n\nNAME is a destination's "
		"name, or an MX host, domain or address that belongs to it. A reader that is too slow is "
		"told how many events it missed.",
	.options = option_rows,
};

static void when_print(const struct json *event)
{
	time_t at = (time_t)json_get_double(event, "at", 0);
	char when[16];
	struct tm local;

	localtime_r(&at, &local);
	strftime(when, sizeof(when), "%H:%M:%S", &local);
	printf("%s  ", when);
}

static void reply_print(const struct json *event)
{
	const char *enhanced = json_get_text(event, "enhanced", ""),
		   *limit = json_get_text(event, "limit", "none");
	unsigned code = (unsigned)json_get_u64(event, "code", 0);

	printf("%s", json_get_text(event, "outcome", "?"));
	if (code)
		printf(" %u%s%s", code, *enhanced ? " " : "", enhanced);
	printf(", %s", json_get_text(event, "class", "?"));
	if (strcmp(limit, "none") != 0)
		printf(" of %s", limit);
	printf(" (%s): %s\n", json_get_text(event, "rule", "-"), json_get_text(event, "text", ""));
}

static void change_print(const struct json *event)
{
	const char *reason = json_get_text(event, "reason", ""),
		   *reply = json_get_text(event, "reply", "");

	printf("%s (%s%s%s)%s%s\n", json_get_text(event, "what", "?"),
	       json_get_text(event, "decided_by", "?"), *reason ? ", " : "", reason,
	       *reply ? ": " : "", reply);
}

static void event_print(const struct json *event)
{
	const char *kind = json_get_text(event, "event", "");

	when_print(event);
	if (strcmp(kind, "lost") == 0) {
		printf("%llu events were lost: they come faster than this reads\n",
		       (unsigned long long)json_get_u64(event, "events", 0));
		return;
	}
	printf("%s to %s: ", json_get_text(event, "source", "?"),
	       json_get_text(event, "destination", "?"));
	if (strcmp(kind, "delivered") == 0)
		printf("%llu delivered\n", (unsigned long long)json_get_u64(event, "messages", 0));
	else if (strcmp(kind, "reply") == 0)
		reply_print(event);
	else
		change_print(event);
}

static int event_take(void *arg, const struct json *event, const char *text, size_t length)
{
	const struct client_request *request = arg;

	if (request->json)
		request_print_line(NULL, event, text, length);
	else
		event_print(event);
	return fflush(stdout) != 0;
}

int cli_watch(int argc, char **argv)
{
	struct client_request request = {.patient = true};
	struct json_writer query = {0};
	char reason[CLIENT_REASON];

	request_read(&syntax, argc, argv, &request);
	request_begin(&request, &query);
	return request_run(&request, &query, event_take, &request, false, reason) == 0 ? 0 : 1;
}
