/* SPDX-License-Identifier: MIT
 *
 * tollgate report: for scripts, what a receiver answered.
 */
#include <stdio.h>

#include "sidecar/cli/command.h"
#include "sidecar/cli/request.h"

static const struct cli_option option_rows[] = {REQUEST_SEGMENT, {0}};

static const struct cli_syntax syntax = {
	.command = "report",
	.arguments = "SOURCE DESTINATION REPLY",
	.min = 3,
	.max = 3,
	.about =
		"Reports a receiver's reply to the running tollgated, as a worker's library does. SOURCE "
		"is our address. DESTINATION is an MX host, a domain or a destination's name. REPLY is "
		"the line as received (\"451 4.7.650 ...\"), or empty if the connection failed.",
	.options = option_rows,
};

static int print_nothing(void *arg, const struct json *json, const char *text, size_t length)
{
	return 0;
}

int cli_report(int argc, char **argv)
{
	struct client_request request = {0};
	struct json_writer query = {0};
	char reason[CLIENT_REASON];

	request_read(&syntax, argc, argv, &request);
	request_begin_flow(&request, &query);
	json_put_text(&query, "reply", request.arguments[2]);
	return request_run(&request, &query, print_nothing, NULL, false, reason) == 0 ? 0 : 1;
}
