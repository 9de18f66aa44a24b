/* SPDX-License-Identifier: MIT
 *
 * What the commands that talk to the sidecar share: their options, and one question.
 */
#ifndef SIDECAR_CLI_REQUEST_H
#define SIDECAR_CLI_REQUEST_H

#include <getopt.h>
#include <stdbool.h>

#include "sidecar/cli/client.h"

struct client_request {
	const char *command; /* of the request, and in messages */
	const char *usage;
	const char *segment;
	const char *source, *destination, *duration, *reason; /* NULL: not given */
	bool json, new, wide;
	bool patient;	  /* the answer may take long: client_wait_long */
	char **arguments; /* what is not an option */
	int count;
};

enum request_option { REQUEST_JSON = 1, REQUEST_FLOWS = 2, REQUEST_DURATION = 4, ASK_NEW = 8 };

/* Reads the options: --segment and --help always; by `options` --json; --source, --destination and
 * --wide; --for and --reason; --new. -1: go on; else the exit status, the message or help being printed. */
int request_options(int argc, char **argv, int options, struct client_request *ret);

/* Begins a request: {"command": ..., then what was given; the caller may add members, and ends it.
 */
void request_begin(const struct client_request *request, struct json_writer *query);

/* Ends the request, asks, hands each line to `line`. 0; -errno with a message printed; with `quiet`
 * the errors that mean that no sidecar lives (-ENOENT, -ECONNREFUSED) are left to the caller, in
 * reason (CLIENT_REASON bytes). */
int request_run(const struct client_request *request, struct json_writer *query, client_line *line,
		void *arg, bool quiet, char *reason);

/* A client_line that prints lines as they came. */
int request_print_line(void *arg, const struct json *json, const char *text, size_t length);

/* Prints usage to standard error and returns 2. */
int request_usage_error(const struct client_request *request, const char *why);

/* "3 min 20 s" of seconds; "-" where the value is not a number. For one line at a time: returns
 * text. */
const char *request_seconds_text(const struct json *seconds, char *text, size_t size);

/* "1.5 MiB" of bytes. Returns text. */
const char *request_bytes_text(uint64_t bytes, char *text, size_t size);

#endif
