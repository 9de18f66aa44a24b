/* SPDX-License-Identifier: MIT
 *
 * See request.h.
 */
#include "sidecar/cli/request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/base/units.h"

void request_read(const struct cli_syntax *syntax, int argc, char **argv,
		  struct client_request *ret)
{
	ret->command = syntax->command;
	ret->count = options_read(syntax, argc, argv, ret, &ret->arguments);
	ret->segment = client_segment(ret->segment);
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

void request_begin_flow(struct client_request *request, struct json_writer *query)
{
	request->source = request->arguments[0];
	request->destination = request->arguments[1];
	request_begin(request, query);
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
