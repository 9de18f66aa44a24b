/* SPDX-License-Identifier: MIT
 *
 * What the commands that talk to the sidecar share: rows of options, and one question.
 */
#ifndef SIDECAR_CLI_REQUEST_H
#define SIDECAR_CLI_REQUEST_H

#include <stdbool.h>

#include "sidecar/cli/client.h"
#include "sidecar/cli/options.h"

struct client_request {
	const char *command; /* of the request, and in messages */
	const char *segment;
	const char *source, *destination, *duration, *reason; /* NULL: not given */
	bool json, new, wide;
	bool patient;	  /* the answer may take long: client_wait_long */
	char **arguments; /* what is not an option */
	int count;
};

/* Rows of options that several commands have. */
#define REQUEST_TEXT(name, value, help, member)                                                  \
	{                                                                                        \
		name, 0, value, help, CLI_TEXT, offsetof(struct client_request, member), 0, NULL \
	}
#define REQUEST_FLAG(name, help, member)                                                        \
	{                                                                                       \
		name, 0, NULL, help, CLI_FLAG, offsetof(struct client_request, member), 0, NULL \
	}
#define REQUEST_JSON	CLI_JSON(struct client_request)
#define REQUEST_SEGMENT CLI_SEGMENT(struct client_request)
#define REQUEST_SOURCE	REQUEST_TEXT("source", "SOURCE", "only of this source", source)
#define REQUEST_DESTINATION \
	REQUEST_TEXT("destination", "NAME", "only to this destination", destination)

/* options_read() into a request. */
void request_read(const struct cli_syntax *syntax, int argc, char **argv,
		  struct client_request *ret);

/* Begins a request: {"command": ..., then what was given; the caller may add members, and ends it.
 */
void request_begin(const struct client_request *request, struct json_writer *query);

/* The same of a command whose first two arguments name a flow's source and destination. */
void request_begin_flow(struct client_request *request, struct json_writer *query);

/* Ends the request, asks, hands each line to `line`. 0; -errno with a message printed; with `quiet`
 * the errors that mean that no sidecar lives (-ENOENT, -ECONNREFUSED) are left to the caller, in
 * reason (CLIENT_REASON bytes). */
int request_run(const struct client_request *request, struct json_writer *query, client_line *line,
		void *arg, bool quiet, char *reason);

/* A client_line that prints lines as they came. */
int request_print_line(void *arg, const struct json *json, const char *text, size_t length);

/* "3 min 20 s" of seconds; "-" where the value is not a number. For one line at a time: returns
 * text. */
const char *request_seconds_text(const struct json *seconds, char *text, size_t size);

/* "1.5 MiB" of bytes. Returns text. */
const char *request_bytes_text(uint64_t bytes, char *text, size_t size);

#endif
