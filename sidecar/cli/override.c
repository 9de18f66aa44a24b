/* SPDX-License-Identifier: MIT
 *
 * tollgate hold, release, set, reset: what an operator changes by hand.
 */
#include <stdio.h>
#include <string.h>

#include "sidecar/cli/command.h"
#include "sidecar/cli/request.h"

#define NAMING                                                                                       \
	"\n\nSOURCE is a sending address, or the name of a source that a pool lists; DESTINATION a " \
	"destination's name, or an MX host, domain or address that belongs to it. \"*\" stands for " \
	"all that are known by now. Only root and the sidecar's user may do this."

#define NEW                                                                                           \
	"\n\nA source or destination that neither the configuration nor a worker has named is taken " \
	"for a mistake, unless --new is given."

#define WANTED "name a source and a destination"

#define FOR    REQUEST_TEXT("for", "T", "for this long (\"30m\", \"2h\")", duration)
#define REASON REQUEST_TEXT("reason", "TEXT", "why; it is shown and logged", reason)
#define KNOWN  REQUEST_FLAG("new", "the flow is new, not misspelt", new)

static const struct cli_option lasting[] = {FOR, REASON, KNOWN, REQUEST_SEGMENT, {0}};
static const struct cli_option segment_alone[] = {REQUEST_SEGMENT, {0}};

static const struct cli_syntax hold_syntax = {
	.command = "hold",
	.arguments = "SOURCE DESTINATION",
	.min = 2,
	.max = 2,
	.wanted = WANTED,
	.about = "Suspends the flow for T, or until it is released." NEW NAMING,
	.options = lasting,
};

static const struct cli_syntax release_syntax = {
	.command = "release",
	.arguments = "SOURCE DESTINATION",
	.min = 2,
	.max = 2,
	.wanted = WANTED,
	.about = "Ends every hold of the flow: the operator's, a rule's and the controller's. Mail "
		 "continues at the last rate that was good." NAMING,
	.options = segment_alone,
};

static const struct cli_syntax set_syntax = {
	.command = "set",
	.arguments = "SOURCE DESTINATION LIMIT=VALUE...",
	.min = 2,
	.max = -1,
	.wanted = WANTED,
	.about =
		"Caps the flow for T, or until it is reset. Limits are rate (\"10/min\"), connections, "
		"messages_per_connection, hour and day; LIMIT=none removes a cap. The strictest of all "
		"limits holds, so a flow can be slowed down, but not be let past its configuration." NEW
			NAMING,
	.options = lasting,
};

static const struct cli_syntax reset_syntax = {
	.command = "reset",
	.arguments = "SOURCE DESTINATION",
	.min = 2,
	.max = 2,
	.wanted = WANTED,
	.about =
		"Forgets what was learned of the flow, and removes what rules and the operator set. The flow "
		"starts again as configured." NAMING,
	.options = segment_alone,
};

struct done {
	const char *what;
	unsigned long long flows;
};

static int print(void *arg, const struct json *json, const char *text, size_t length)
{
	struct done *done = arg;

	done->flows++;
	printf("%s: %s at %s\n", done->what, json_get_text(json, "source", "?"),
	       json_get_text(json, "destination", "?"));
	return 0;
}

/* "rate=10/min" into a member of the request. */
static bool put_limit(struct json_writer *query, const char *argument)
{
	static const char *const names[] = {"rate", "connections", "messages_per_connection",
					    "hour", "day"};
	const char *equals = strchr(argument, '=');

	for (size_t i = 0; equals && i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == (size_t)(equals - argument) &&
		    strncmp(names[i], argument, (size_t)(equals - argument)) == 0) {
			json_put_text(query, names[i], equals + 1);
			return true;
		}
	return false;
}

static int run(const struct cli_syntax *syntax, const char *what, int argc, char **argv)
{
	struct client_request request = {0};
	struct json_writer query = {0};
	struct done done = {.what = what};
	char reason[CLIENT_REASON];

	request_read(syntax, argc, argv, &request);
	if (syntax == &set_syntax && request.count < 3)
		return options_wrong(syntax, "name a limit");
	request_begin_flow(&request, &query);
	for (int i = 2; i < request.count; i++)
		if (!put_limit(&query, request.arguments[i])) {
			json_writer_free(&query);
			return options_wrong(syntax, "no such limit, or no value");
		}
	if (request_run(&request, &query, print, &done, false, reason) != 0)
		return 1;
	if (done.flows)
		return 0;
	fprintf(stderr, "tollgate %s: no flow that is known matches\n", request.command);
	return 1;
}

int cli_hold(int argc, char **argv)
{
	return run(&hold_syntax, "held", argc, argv);
}

int cli_release(int argc, char **argv)
{
	return run(&release_syntax, "released", argc, argv);
}

int cli_set(int argc, char **argv)
{
	return run(&set_syntax, "set", argc, argv);
}

int cli_reset(int argc, char **argv)
{
	return run(&reset_syntax, "reset", argc, argv);
}
