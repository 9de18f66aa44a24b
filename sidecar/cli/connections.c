/* SPDX-License-Identifier: MIT
 *
 * tollgate connections: what the gate in the kernel has seen and done, flow by flow.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/base/json.h"
#include "sidecar/cli/client.h"
#include "sidecar/cli/command.h"

struct asked {
	const char *source, *destination;
	bool json;
	unsigned shown;
};

static int usage(FILE *out, int status)
{
	fputs("usage: tollgate connections [--json] [--source ADDRESS] [--destination NAME] "
	      "[--segment FOLDER]\n\n"
	      "The connections of gated cgroups, by source and destination: attempts, of these "
	      "held and for how\n"
	      "long, refused, established, failed, open now; their duration, round trip, "
	      "retransmits and bytes;\n"
	      "attempts of the last second, minute and hour. --json: a line each, with all "
	      "figures.\n",
	      out);
	return status;
}

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

static int line(void *arg, const struct json *flow, const char *text, size_t length)
{
	struct asked *asked = arg;

	if (asked->source && strcmp(asked->source, json_get_text(flow, "source", "")) != 0)
		return 0;
	if (asked->destination &&
	    strcmp(asked->destination, json_get_text(flow, "destination", "")) != 0)
		return 0;
	asked->shown++;
	if (asked->json)
		printf("%.*s\n", (int)length, text);
	else
		row(flow);
	return 0;
}

static int ask(const char *segment, struct asked *asked)
{
	struct json_writer request = {0};
	char reason[CLIENT_REASON];
	struct client *client;
	int error = client_open(segment, &client, reason);

	if (!error) {
		json_put_object(&request, NULL);
		json_put_text(&request, "command", "connections");
		json_put_end(&request);
		error = client_ask(client, &request, line, asked, reason);
		client_close(client);
		json_writer_free(&request);
	}
	if (error < 0) {
		fprintf(stderr, "tollgate connections: %s\n", reason);
		return 1;
	}
	if (asked->shown == 0 && !asked->json)
		puts("no connection was seen");
	return 0;
}

int cli_connections(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"source", required_argument, NULL, 's'},
		{"destination", required_argument, NULL, 'd'},
		{"segment", required_argument, NULL, 'S'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct asked asked = {0};
	const char *segment = NULL;
	int option;

	optind = 1;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'j': asked.json = true; break;
		case 's': asked.source = optarg; break;
		case 'd': asked.destination = optarg; break;
		case 'S': segment = optarg; break;
		case 'h': return usage(stdout, 0);
		default: return usage(stderr, 2);
		}
	}
	if (optind < argc)
		return usage(stderr, 2);
	return ask(client_segment(segment), &asked);
}
