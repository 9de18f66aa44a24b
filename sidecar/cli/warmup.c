/* SPDX-License-Identifier: MIT
 *
 * tollgate warmup: how far each new source is at each destination, and what the operator wants of
 * it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/request.h"
#include "sidecar/cli/warmup_plot.h"

struct warmup_asked {
	struct client_request request;
	const char *plot;
};

#define TEXT(name, value, help, member)                                                        \
	{                                                                                      \
		name, 0, value, help, CLI_TEXT, offsetof(struct warmup_asked, member), 0, NULL \
	}

static const struct cli_option option_rows[] = {
	TEXT("source", "SOURCE", "only of this source", request.source),
	TEXT("destination", "NAME", "only to this destination", request.destination),
	TEXT("plot", "FILE.svg", "draw cap, sent and refused by day, a panel a flow", plot),
	{"json", 0, NULL, "print JSON, an object a line", CLI_FLAG,
	 offsetof(struct warmup_asked, request.json), 0, NULL},
	TEXT("segment", "DIR",
	     "the segment's folder; without it $TOLLGATE_SEGMENT, else /dev/shm/tollgate",
	     request.segment),
	{.name = NULL},
};

static const struct cli_syntax syntax = {
	.command = "warmup",
	.arguments = "[start|pause|resume|skip|restart SOURCE DESTINATION]",
	.max = 3,
	.wanted = "an order names a source and a destination",
	.about =
		"Prints a line for each flow that warms up: its schedule and the day in it, today's cap, "
		"how much of it was sent and accepted, the share that was deferred, how many must still "
		"be accepted today for the day to count, and the day on which it reaches full volume if "
		"every day counts.\n\nstart begins a flow that is warm or paused, pause keeps the cap as "
		"it is, and resume continues. skip gives today tomorrow's cap, as if today counted. "
		"restart begins again with the first day. SOURCE is a sending address, or the name of a "
		"source that a pool lists; DESTINATION a destination's name, or an MX host, domain or "
		"address that belongs to it; \"*\" stands for all. Only root and the sidecar's user may "
		"give orders.",
	.options = option_rows,
};

struct printed {
	bool json;
	unsigned long long flows;
	struct warmup_plot *plot; /* NULL: none */
};

/* ---- the table ------------------------------------------------------------------------------- */

static const char *count_text(const struct json *flow, const char *key, char *text, size_t size)
{
	const struct json *count = json_get(flow, key);

	if (json_kind(count) != JSON_KIND_NUMBER)
		return "-";
	return units_count_text(json_u64(count, 0), text, size);
}

static const char *share_text(const struct json *flow, char *text, size_t size)
{
	const struct json *share = json_get(flow, "deferred_share");

	if (json_kind(share) != JSON_KIND_NUMBER)
		return "-";
	snprintf(text, size, "%.1f %%", 100 * json_double(share, 0));
	return text;
}

/* Its state, or what is to be known of it today. */
static const char *state_text(const struct json *flow)
{
	const char *state = json_get_text(flow, "state", "?");
	bool low = json_get_bool(flow, "too_little", false);

	if (strcmp(state, "warm") == 0)
		return low ? "warm, too little mail to stay so" : state;
	if (strcmp(state, "running") != 0)
		return state;
	if (json_get_bool(flow, "trouble", false))
		return "in trouble, steps back";
	if (json_get_u64(flow, "steps_back_for", 0))
		return "stepped back";
	if (json_get_bool(flow, "wall", false))
		return "at what the receiver takes";
	return low ? "too little mail to earn more" : state;
}

static void print_flow(const struct json *flow, bool header)
{
	static const char form[] = "%-15s %-18s %-11s %5s %10s %10s %10s %7s %9s %-10s  %s\n";
	char day[24], cap[32], sent[32], delivered[32], share[24], show[32];

	if (header)
		printf(form, "SOURCE", "DESTINATION", "SCHEDULE", "DAY", "CAP", "SENT", "DELIVERED",
		       "DEFER'D", "TO SHOW", "FULL ON", "STATE");
	snprintf(day, sizeof(day), "%llu/%llu", (unsigned long long)json_get_u64(flow, "day", 0),
		 (unsigned long long)json_get_u64(flow, "schedule_days", 0));
	printf(form, json_get_text(flow, "source", "?"), json_get_text(flow, "destination", "?"),
	       json_get_text(flow, "schedule", "?"), day, count_text(flow, "cap", cap, sizeof(cap)),
	       count_text(flow, "sent", sent, sizeof(sent)),
	       count_text(flow, "delivered", delivered, sizeof(delivered)),
	       share_text(flow, share, sizeof(share)),
	       count_text(flow, "to_show", show, sizeof(show)),
	       json_get_text(flow, "full_volume_on", "never"), state_text(flow));
}

static int take(void *arg, const struct json *flow, const char *line, size_t length)
{
	struct printed *printed = arg;
	int error = printed->plot ? warmup_plot_add(printed->plot, flow) : 0;

	if (error)
		return error;
	if (printed->json)
		request_print_line(NULL, flow, line, length);
	else
		print_flow(flow, printed->flows == 0);
	printed->flows++;
	return 0;
}

/* ---- the command ----------------------------------------------------------------------------- */

/* To look is everybody's, to order is not: two commands of the sidecar are one here. */
static void order_begin(const struct client_request *request, struct json_writer *query)
{
	json_put_object(query, NULL);
	json_put_text(query, "command", "warmup_order");
	json_put_text(query, "order", request->arguments[0]);
	json_put_text(query, "source", request->arguments[1]);
	json_put_text(query, "destination", request->arguments[2]);
}

static int ask(struct warmup_asked *asked, struct printed *printed)
{
	struct client_request *request = &asked->request;
	struct json_writer query = {0};
	char reason[CLIENT_REASON];
	int error;

	if (request->count)
		order_begin(request, &query);
	else
		request_begin(request, &query);
	error = request_run(request, &query, take, printed, false, reason);
	if (error)
		return error;
	if (printed->flows)
		return 0;
	if (request->count || request->source || request->destination) {
		fprintf(stderr,
			"tollgate warmup: no flow that warms up matches, or it is so already\n");
		return -ENOENT;
	}
	if (!request->json)
		puts("no flow warms up: warmup.flows in the configuration says which do");
	return 0;
}

static int plot_write(const char *path, struct warmup_plot *plot)
{
	int error = warmup_plot_write(plot, path);

	if (error)
		fprintf(stderr, "tollgate warmup: %s: %s\n", path, strerror(-error));
	return error;
}

int cli_warmup(int argc, char **argv)
{
	struct warmup_asked asked = {.request = {.command = "warmup"}};
	struct warmup_plot plot = {0};
	struct printed printed = {0};
	int error;

	asked.request.count = options_read(&syntax, argc, argv, &asked, &asked.request.arguments);
	if (asked.request.count && asked.request.count != 3)
		return options_wrong(&syntax, syntax.wanted);
	asked.request.segment = client_segment(asked.request.segment);
	printed.json = asked.request.json;
	printed.plot = asked.plot ? &plot : NULL;
	error = ask(&asked, &printed);
	if (!error && asked.plot)
		error = plot_write(asked.plot, &plot);
	warmup_plot_free(&plot);
	return error ? 1 : 0;
}
