/* SPDX-License-Identifier: MIT
 *
 * tollgate connections: what the gate in the kernel has seen and done, flow by flow.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/base/json.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/request.h"

struct asked {
	const struct client_request *request;
	unsigned shown;
};

static const struct cli_option option_rows[] = {
	REQUEST_SOURCE, REQUEST_DESTINATION, REQUEST_JSON, REQUEST_SEGMENT, {0}};

static const struct cli_syntax syntax = {
	.command = "connections",
	.about =
		"Prints the connections of gated cgroups, by source and destination: how many were "
		"attempted, held and for how long, refused, established, failed, and are open now; their "
		"duration, round trip, retransmits and bytes; attempts of the last second, minute and "
		"hour.",
	.options = option_rows,
};

static uint64_t inner(const struct json *flow, const char *object, const char *key)
{
	return json_get_u64(json_get(flow, object), key, 0);
}

static void row(const struct json *f)
{
	uint64_t refused = inner(f, "refused", "rate") + inner(f, "refused", "hold") +
			   inner(f, "refused", "connections");
	uint64_t would = json_get_u64(f, "would_hold", 0),
		 wouldnt = json_get_u64(f, "would_refuse", 0);

	printf("%s -> %s\n", json_get_text(f, "source", ""), json_get_text(f, "destination", ""));
	printf("  attempts     %llu (last second %llu, minute %llu, hour %llu)\n",
	       (unsigned long long)json_get_u64(f, "attempts", 0),
	       (unsigned long long)json_get_u64(f, "last_second", 0),
	       (unsigned long long)json_get_u64(f, "last_minute", 0),
	       (unsigned long long)json_get_u64(f, "last_hour", 0));
	printf("  held         %llu, %.1f s on average; refused %llu (rate %llu, hold %llu, "
	       "connections %llu)\n",
	       (unsigned long long)json_get_u64(f, "held", 0),
	       json_get_double(f, "held_ms", 0) / 1000, (unsigned long long)refused,
	       (unsigned long long)inner(f, "refused", "rate"),
	       (unsigned long long)inner(f, "refused", "hold"),
	       (unsigned long long)inner(f, "refused", "connections"));
	if (would || wouldnt)
		printf("  observed     %llu would have been held, %llu refused\n",
		       (unsigned long long)would, (unsigned long long)wouldnt);
	if (json_get_u64(f, "preadmitted", 0))
		printf("  pre-admitted %llu by workers\n",
		       (unsigned long long)json_get_u64(f, "preadmitted", 0));
	printf("  established  %llu, open now %llu; failed: refused %llu, no answer %llu, other "
	       "%llu; lost %llu\n",
	       (unsigned long long)json_get_u64(f, "established", 0),
	       (unsigned long long)json_get_u64(f, "open", 0),
	       (unsigned long long)inner(f, "failed", "reset"),
	       (unsigned long long)inner(f, "failed", "timeout"),
	       (unsigned long long)inner(f, "failed", "other"),
	       (unsigned long long)json_get_u64(f, "lost", 0));
	printf("  on average   %.1f s open, %.1f ms to connect, round trip %.1f ms; %llu "
	       "retransmits, "
	       "%llu bytes out, %llu in\n\n",
	       json_get_double(f, "duration_ms", 0) / 1000, json_get_double(f, "connect_ms", 0),
	       json_get_double(f, "rtt_us", 0) / 1000,
	       (unsigned long long)json_get_u64(f, "retransmits", 0),
	       (unsigned long long)json_get_u64(f, "bytes_sent", 0),
	       (unsigned long long)json_get_u64(f, "bytes_received", 0));
}

static bool wanted(const struct json *flow, const char *key, const char *value)
{
	return value == NULL || strcmp(value, json_get_text(flow, key, "")) == 0;
}

static int line(void *arg, const struct json *flow, const char *text, size_t length)
{
	struct asked *asked = arg;

	if (!wanted(flow, "source", asked->request->source) ||
	    !wanted(flow, "destination", asked->request->destination))
		return 0;
	asked->shown++;
	if (asked->request->json)
		return request_print_line(NULL, flow, text, length);
	row(flow);
	return 0;
}

int cli_connections(int argc, char **argv)
{
	struct client_request request = {0};
	struct asked asked = {.request = &request};
	struct json_writer query = {0};
	char reason[CLIENT_REASON];

	request_read(&syntax, argc, argv, &request);
	/* All are asked for, and chosen here. */
	json_put_object(&query, NULL);
	json_put_text(&query, "command", request.command);
	if (request_run(&request, &query, line, &asked, false, reason) != 0)
		return 1;
	if (asked.shown == 0 && !request.json)
		puts("no connection was seen");
	return 0;
}
