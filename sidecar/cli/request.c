/* SPDX-License-Identifier: MIT
 *
 * See request.h.
 */
#include "sidecar/cli/request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/base/units.h"

enum {
	OPTION_SEGMENT = 256,
	OPTION_JSON,
	OPTION_SOURCE,
	OPTION_DESTINATION,
	OPTION_FOR,
	OPTION_REASON,
	OPTION_NEW,
	OPTION_WIDE
};

static const struct option longs[] = {
	{"segment", required_argument, NULL, OPTION_SEGMENT},
	{"json", no_argument, NULL, OPTION_JSON},
	{"source", required_argument, NULL, OPTION_SOURCE},
	{"destination", required_argument, NULL, OPTION_DESTINATION},
	{"for", required_argument, NULL, OPTION_FOR},
	{"reason", required_argument, NULL, OPTION_REASON},
	{"new", no_argument, NULL, OPTION_NEW},
	{"wide", no_argument, NULL, OPTION_WIDE},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

int request_usage_error(const struct client_request *request, const char *why)
{
	fprintf(stderr, "tollgate %s: %s\n\n%s", request->command, why, request->usage);
	return 2;
}

/* Takes an option, if this command has it. */
static bool take(struct client_request *request, int option, int options)
{
	switch (option) {
	case OPTION_SEGMENT: request->segment = optarg; return true;
	case OPTION_JSON: request->json = true; return options & REQUEST_JSON;
	case OPTION_SOURCE: request->source = optarg; return options & REQUEST_FLOWS;
	case OPTION_DESTINATION: request->destination = optarg; return options & REQUEST_FLOWS;
	case OPTION_FOR: request->duration = optarg; return options & REQUEST_DURATION;
	case OPTION_REASON: request->reason = optarg; return options & REQUEST_DURATION;
	case OPTION_WIDE: request->wide = true; return options & REQUEST_FLOWS;
	case OPTION_NEW: request->new = true; return options & ASK_NEW;
	default: return false;
	}
}

int request_options(int argc, char **argv, int options, struct client_request *ret)
{
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (option == 'h') {
			fputs(ret->usage, stdout);
			return 0;
		}
		if (option == '?')
			return request_usage_error(ret, "see the usage");
		if (!take(ret, option, options))
			return request_usage_error(ret, "this command has no such option");
	}
	ret->arguments = argv + optind;
	ret->count = argc - optind;
	ret->segment = client_segment(ret->segment);
	return -1;
}

void request_begin(const struct client_request *request, struct json_writer *query)
{
	json_put_object(query, NULL);
	json_put_text(query, "command", request->command);
	if (request->source)
		json_put_text(query, "source", request->source);
	if (request->destination)
		json_put_text(query, "destination", request->destination);
	if (request->duration)
		json_put_text(query, "for", request->duration);
	if (request->reason)
		json_put_text(query, "reason", request->reason);
	if (request->new)
		json_put_bool(query, "new", true);
}

int request_run(const struct client_request *request, struct json_writer *query, client_line *line,
		void *arg, bool quiet, char *reason)
{
	struct client *client;
	int status = client_open(request->segment, &client, reason);

	json_put_end(query);
	if (status && quiet && (status == -ENOENT || status == -ECONNREFUSED)) {
		json_writer_free(query);
		return status;
	}
	if (status == 0 && request->patient)
		client_wait_long(client);
	if (status == 0) {
		status = client_ask(client, query, line, arg, reason);
		client_close(client);
	}
	json_writer_free(query);
	if (status < 0)
		fprintf(stderr, "tollgate %s: %s\n", request->command, reason);
	return status;
}

int request_print_line(void *arg, const struct json *json, const char *text, size_t length)
{
	fwrite(text, 1, length, stdout);
	putchar('\n');
	return 0;
}

const char *request_seconds_text(const struct json *seconds, char *text, size_t size)
{
	double number = json_double(seconds, -1);

	if (number < 0 || number > 1e9)
		snprintf(text, size, "-");
	else if (number < 10)
		snprintf(text, size, "%.1fs", number);
	else
		units_duration_text((uint64_t)(number + 0.5) * UNITS_SECOND_NS, text, size);
	return text;
}

const char *request_bytes_text(uint64_t bytes, char *text, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double number = (double)bytes;
	size_t unit = 0;

	while (number >= 1023.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		number /= 1024;
		unit++;
	}
	snprintf(text, size, "%.*f %s", unit && number < 99.95 ? 1 : 0, number, units[unit]);
	return text;
}
