/* SPDX-License-Identifier: MIT
 *
 * tollgate report: for scripts, what a receiver answered.
 */
#include <stdio.h>

#include "sidecar/cli/command.h"
#include "sidecar/cli/request.h"

static const char usage[] =
	"usage: tollgate report [--segment DIR] SOURCE DESTINATION REPLY\n\n"
	"Tells the running tollgated what a receiver answered, as a worker's library does: SOURCE is\n"
	"our address, DESTINATION an MX host, a domain or a destination's name, REPLY the line as it\n"
	"came (\"451 4.7.650 ...\"), or empty where no connection came about.\n";

static int print_nothing(void *arg, const struct json *json, const char *text, size_t length)
{
	return 0;
}

int cli_report(int argc, char **argv)
{
	struct client_request request = {.command = "report", .usage = usage};
	struct json_writer query = {0};
	char reason[CLIENT_REASON];
	int status = request_options(argc, argv, 0, &request);

	if (status >= 0)
		return status;
	if (request.count != 3)
		return request_usage_error(&request,
					   "it takes a source, a destination and a reply");
	request.source = request.arguments[0];
	request.destination = request.arguments[1];
	request_begin(&request, &query);
	json_put_text(&query, "reply", request.arguments[2]);
	return request_run(&request, &query, print_nothing, NULL, false, reason) == 0 ? 0 : 1;
}
