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
	OPTION_NEW
};

static const struct option longs[] = {
	{"segment", required_argument, NULL, OPTION_SEGMENT},
	{"json", no_argument, NULL, OPTION_JSON},
	{"source", required_argument, NULL, OPTION_SOURCE},
	{"destination", required_argument, NULL, OPTION_DESTINATION},
	{"for", required_argument, NULL, OPTION_FOR},
	{"reason", required_argument, NULL, OPTION_REASON},
	{"new", no_argument, NULL, OPTION_NEW},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

int ask_misused(const struct ask *ask, const char *why)
{
	fprintf(stderr, "tollgate %s: %s\n\n%s", ask->command, why, ask->usage);
	return 2;
}

/* Takes an option, if this command has it. */
static bool take(struct ask *ask, int option, int options)
{
	switch (option) {
	case OPTION_SEGMENT: ask->segment = optarg; return true;
	case OPTION_JSON: ask->json = true; return options & ASK_JSON;
	case OPTION_SOURCE: ask->source = optarg; return options & ASK_FLOWS;
	case OPTION_DESTINATION: ask->destination = optarg; return options & ASK_FLOWS;
	case OPTION_FOR: ask->lasts = optarg; return options & ASK_LASTS;
	case OPTION_REASON: ask->reason = optarg; return options & ASK_LASTS;
	case OPTION_NEW: ask->new = true; return options & ASK_NEW;
	default: return false;
	}
}

int ask_options(int argc, char **argv, int options, struct ask *ret)
{
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (option == 'h') {
			fputs(ret->usage, stdout);
			return 0;
		}
		if (option == '?')
			return ask_misused(ret, "see the usage");
		if (!take(ret, option, options))
			return ask_misused(ret, "this command has no such option");
	}
	ret->arguments = argv + optind;
	ret->count = argc - optind;
	ret->segment = client_segment(ret->segment);
	return -1;
}

void ask_begin(const struct ask *ask, struct json_writer *request)
{
	json_put_object(request, NULL);
	json_put_text(request, "command", ask->command);
	if (ask->source)
		json_put_text(request, "source", ask->source);
	if (ask->destination)
		json_put_text(request, "destination", ask->destination);
	if (ask->lasts)
		json_put_text(request, "for", ask->lasts);
	if (ask->reason)
		json_put_text(request, "reason", ask->reason);
	if (ask->new)
		json_put_bool(request, "new", true);
}

int ask_run(const struct ask *ask, struct json_writer *request, client_line *line, void *arg,
	    bool quiet, char *reason)
{
	struct client *client;
	int status = client_open(ask->segment, &client, reason);

	json_put_end(request);
	if (status && quiet && (status == -ENOENT || status == -ECONNREFUSED)) {
		json_writer_free(request);
		return status;
	}
	if (status == 0 && ask->patient)
		client_wait_long(client);
	if (status == 0) {
		status = client_ask(client, request, line, arg, reason);
		client_close(client);
	}
	json_writer_free(request);
	if (status < 0)
		fprintf(stderr, "tollgate %s: %s\n", ask->command, reason);
	return status;
}

int ask_print_line(void *arg, const struct json *json, const char *text, size_t length)
{
	fwrite(text, 1, length, stdout);
	putchar('\n');
	return 0;
}

const char *ask_seconds(const struct json *seconds, char *text, size_t size)
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

const char *ask_bytes(uint64_t bytes, char *text, size_t size)
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
