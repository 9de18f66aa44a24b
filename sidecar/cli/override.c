/* SPDX-License-Identifier: MIT
 *
 * tollgate hold, release, set, reset: what an operator changes by hand.
 */
#include <stdio.h>
#include <string.h>

#include "sidecar/cli/command.h"
#include "sidecar/cli/request.h"

#define NAMING                                                                                                        \
	"SOURCE is a sending address, or the name of a source that a pool lists; DESTINATION a destination's name,\n" \
	"or an MX host, domain or address that belongs to it. \"*\" stands for all that are known by now. Only\n"     \
	"root and the sidecar's user may do this.\n"

#define NEW                                                                                                       \
	"A source or destination that neither the configuration nor a worker has named is taken for a mistake,\n" \
	"unless --new is given.\n\n"

static const char hold_usage[] =
	"usage: tollgate hold SOURCE DESTINATION [--for T] [--reason TEXT] [--new] [--segment DIR]\n\n"
	"Suspends the flow for T (\"30m\", \"2h\"), or until it is released.\n\n" NEW NAMING;

static const char release_usage[] =
	"usage: tollgate release SOURCE DESTINATION [--segment DIR]\n\n"
	"Ends every hold of the flow: the operator's, a rule's and the controller's. Mail goes on at the rate\n"
	"that is remembered as good.\n\n" NAMING;

static const char set_usage[] =
	"usage: tollgate set SOURCE DESTINATION LIMIT=VALUE... [--for T] [--reason TEXT] [--new] [--segment DIR]\n\n"
	"Caps the flow for T, or until it is reset. Limits are rate (\"10/min\"), connections,\n"
	"messages_per_connection, hour and day; LIMIT=none takes away what was set. The strictest of all limits\n"
	"holds, so a flow can be slowed down but not pushed past its configuration.\n\n" NEW NAMING;

static const char reset_usage[] =
	"usage: tollgate reset SOURCE DESTINATION [--segment DIR]\n\n"
	"Forgets what was learned of the flow, and takes away what rules and the operator set: it begins anew\n"
	"as configured.\n\n" NAMING;

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

static int run(int argc, char **argv, struct client_request *request, const char *what, int options,
	       bool limits)
{
	struct json_writer query = {0};
	struct done done = {.what = what};
	char reason[CLIENT_REASON];
	int status = request_options(argc, argv, options, request);

	if (status >= 0)
		return status;
	if (request->count < 2)
		return request_usage_error(request, "name a source and a destination");
	if (limits ? request->count < 3 : request->count > 2)
		return request_usage_error(request, limits ? "name a limit" : "too many arguments");
	request->source = request->arguments[0];
	request->destination = request->arguments[1];
	request_begin(request, &query);
	for (int i = 2; i < request->count; i++)
		if (!put_limit(&query, request->arguments[i])) {
			json_writer_free(&query);
			return request_usage_error(request, "no such limit, or no value");
		}
	if (request_run(request, &query, print, &done, false, reason) != 0)
		return 1;
	if (done.flows)
		return 0;
	fprintf(stderr, "tollgate %s: no flow that is known matches\n", request->command);
	return 1;
}

int cli_hold(int argc, char **argv)
{
	struct client_request request = {.command = "hold", .usage = hold_usage};

	return run(argc, argv, &request, "held", REQUEST_DURATION | ASK_NEW, false);
}

int cli_release(int argc, char **argv)
{
	struct client_request request = {.command = "release", .usage = release_usage};

	return run(argc, argv, &request, "released", 0, false);
}

int cli_set(int argc, char **argv)
{
	struct client_request request = {.command = "set", .usage = set_usage};

	return run(argc, argv, &request, "set", REQUEST_DURATION | ASK_NEW, true);
}

int cli_reset(int argc, char **argv)
{
	struct client_request request = {.command = "reset", .usage = reset_usage};

	return run(argc, argv, &request, "reset", 0, false);
}
