/* SPDX-License-Identifier: MIT
 *
 * tollgate reload: reads the configuration anew, and says whether it is in force.
 */
#include <stdio.h>

#include "sidecar/cli/command.h"
#include "sidecar/cli/request.h"

static const struct cli_option option_rows[] = {REQUEST_SEGMENT, {0}};

static const struct cli_syntax syntax = {
	.command = "reload",
	.about =
		"Makes the running tollgated read its configuration again, as SIGHUP does. If it has an "
		"error, nothing changes, the error is printed, and the exit status is 1.",
	.options = option_rows,
};

static void print_move(const struct json *json)
{
	unsigned long long flows = json_get_u64(json, "flows", 0);
	unsigned long long lost = json_get_u64(json, "lost", 0);

	printf("hosts of destination %s belong to %s now: usage, learned rates and holds of %llu flow%s "
	       "went with them\n",
	       json_get_text(json, "moved", "?"), json_get_text(json, "to", "?"), flows,
	       flows == 1 ? "" : "s");
	if (lost)
		printf("%llu more flows have no room and begin anew: raise segment.flows\n", lost);
}

static int print(void *arg, const struct json *json, const char *text, size_t length)
{
	const char *problem = json_get_text(json, "problem", NULL);

	if (problem) {
		fprintf(stderr, "%s\n", problem);
		return 0;
	}
	if (json_get_text(json, "moved", NULL)) {
		print_move(json);
		return 0;
	}
	if (json_get_u64(json, "moved_more", 0)) {
		printf("and %llu more like that\n",
		       (unsigned long long)json_get_u64(json, "moved_more", 0));
		return 0;
	}
	printf("%s is in force, generation %llu\n", json_get_text(json, "config", "?"),
	       (unsigned long long)json_get_u64(json, "generation", 0));
	return 0;
}

int cli_reload(int argc, char **argv)
{
	struct client_request request = {.patient = true};
	struct json_writer query = {0};
	char reason[CLIENT_REASON];

	request_read(&syntax, argc, argv, &request);
	request_begin(&request, &query);
	return request_run(&request, &query, print, NULL, false, reason) == 0 ? 0 : 1;
}
