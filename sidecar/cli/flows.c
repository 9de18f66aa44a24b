/* SPDX-License-Identifier: MIT
 *
 * tollgate flows: what each flow may do, and what it did. Where no sidecar lives, what the
 * segment's files tell.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/destination.h"
#include "sidecar/api/flow_json.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/flows_table.h"
#include "sidecar/cli/request.h"
#include "sidecar/io/loop.h"
#include "sidecar/segment/readonly.h"

static const struct cli_option option_rows[] = {
	REQUEST_SOURCE,
	REQUEST_DESTINATION,
	REQUEST_FLAG(
		"wide",
		"also the configured rate, what is used of the hour's and the day's cap, and open "
		"connections",
		wide),
	REQUEST_JSON,
	REQUEST_SEGMENT,
	{0}};

static const struct cli_syntax syntax = {
	.command = "flows",
	.wanted = "a flow is chosen by --source and --destination",
	.about =
		"Prints a line for each flow: its state, the rate in force (all of it for transactional "
		"mail), the time until a hold ends (with * if transactional mail goes), and the messages "
		"of the last hour: accepted (2xx), deferred (4xx) and bounced (5xx).\n\nNAME is a "
		"destination's name, or an MX host, domain or address that belongs to it. While no "
		"tollgated runs, the segment's files are read; only their owner and root can then see "
		"the names.",
	.options = option_rows,
};

/* "12/100"; "12" where there is no cap, "-" where nobody counts. */
static const char *use_text(const struct json *use, const char *used, char *text, size_t size)
{
	unsigned long long count = json_get_u64(use, used, 0);

	if (json_kind(json_get(use, used)) != JSON_KIND_NUMBER)
		snprintf(text, size, "-");
	else if (json_kind(json_get(use, "cap")) == JSON_KIND_NUMBER)
		snprintf(text, size, "%llu/%llu", count,
			 (unsigned long long)json_get_u64(use, "cap", 0));
	else
		snprintf(text, size, "%llu", count);
	return text;
}

static const char *hold_text(const struct json *flow, char *text, size_t size)
{
	const struct json *hold = json_get(flow, "hold_s"), *lower = json_get(flow, "hold_lower_s");

	if (json_kind(hold) == JSON_KIND_NULL)
		snprintf(text, size, "forever");
	else if (json_double(hold, 0) > 0)
		request_seconds_text(hold, text, size);
	else if (json_double(lower, 0) > 0) {
		/* Transactional mail goes. */
		request_seconds_text(lower, text, size - 1);
		strcat(text, "*");
	} else
		snprintf(text, size, "-");
	return text;
}

static const char *rate_text(const struct json *flow, const char *key)
{
	const struct json *rate = json_get(flow, key);

	return rate == NULL ? "-"
			    : json_get_text(rate, "text",
					    json_get_bool(flow, "filled", true) ? "unlimited"
										: "default");
}

static void count_text(const struct json *flow, const char *key, char *text, size_t size)
{
	const struct json *last = json_get(flow, "last_hour");

	if (json_kind(last) == JSON_KIND_OBJECT)
		snprintf(text, size, "%llu", (unsigned long long)json_get_u64(last, key, 0));
	else
		snprintf(text, size, "-");
}

/* In 80 columns, if the source is not longer than most, and the destination than those built in. */
static void print_narrow(const struct json *flow, bool header)
{
	char hold[64], accepted[24], deferred[24], bounced[24];

	if (header)
		printf("%-62s %17s\n%-15s %-18s %-9s %9s %7s %6s %5s %4s\n", "",
		       "--- last hour ---", "SOURCE", "DESTINATION", "STATE", "RATE", "HOLD", "2XX",
		       "4XX", "5XX");
	count_text(flow, "delivered", accepted, sizeof(accepted));
	count_text(flow, "deferred", deferred, sizeof(deferred));
	count_text(flow, "bounced", bounced, sizeof(bounced));
	printf("%-15s %-18s %-9s %9s %7s %6s %5s %4s\n", json_get_text(flow, "source", "?"),
	       json_get_text(flow, "destination", "?"), json_get_text(flow, "state", "-"),
	       rate_text(flow, "rate"), hold_text(flow, hold, sizeof(hold)), accepted, deferred,
	       bounced);
}

static void print_wide(const struct json *flow, bool header)
{
	char hold[64], hour[48], day[48], open[48], accepted[24], deferred[24], bounced[24];
	static const char form[] = "%-39s %-22s %-10s %11s %11s %9s %11s %13s %7s %9s %9s %9s\n";

	if (header)
		printf(form, "SOURCE", "DESTINATION", "STATE", "RATE", "CONFIGURED", "HOLD", "HOUR",
		       "DAY", "OPEN", "2XX/HOUR", "4XX/HOUR", "5XX/HOUR");
	count_text(flow, "delivered", accepted, sizeof(accepted));
	count_text(flow, "deferred", deferred, sizeof(deferred));
	count_text(flow, "bounced", bounced, sizeof(bounced));
	printf(form, json_get_text(flow, "source", "?"), json_get_text(flow, "destination", "?"),
	       json_get_text(flow, "state", "-"), rate_text(flow, "rate"),
	       rate_text(flow, "configured_rate"), hold_text(flow, hold, sizeof(hold)),
	       use_text(json_get(flow, "hour"), "used", hour, sizeof(hour)),
	       use_text(json_get(flow, "day"), "used", day, sizeof(day)),
	       use_text(json_get(flow, "connections"), "open", open, sizeof(open)), accepted,
	       deferred, bounced);
}

int flows_table_line(void *arg, const struct json *flow, const char *line, size_t length)
{
	struct flows_table *table = arg;

	table->flows++;
	if (table->json)
		return request_print_line(NULL, flow, line, length);
	(table->wide ? print_wide : print_narrow)(flow, !table->began);
	table->began = true;
	return 0;
}

/* ---- without a sidecar ----------------------------------------------------------------------- */

/* Where names cannot be read a flow is told from a source by nothing: a slot that has totals is
 * one. */
static bool slot_wanted(const struct segment *s, uint32_t slot,
			const struct flow_json_filter *filter)
{
	const struct layout_counters_more *more = &s->view.counters_more[slot];

	if (s->index)
		return flow_json_wanted(s, slot, filter);
	return !filter->by_source && !filter->destination &&
	       (atomic_load(&more->delivered) | atomic_load(&more->deferred) |
		atomic_load(&more->bounced)) != 0;
}

static int print_slot(const struct segment *s, uint32_t slot, struct flows_table *table)
{
	struct json_writer line = {0};
	struct json *json;
	char reason[JSON_REASON];
	int error;

	json_put_object(&line, NULL);
	flow_json_put(s, slot, loop_now(), &line);
	json_put_end(&line);
	error = json_failed(&line) ? -ENOMEM : json_read(line.text, line.length, &json, reason);
	if (!error) {
		flows_table_line(table, json, line.text, line.length);
		json_release(json);
	}
	json_writer_free(&line);
	return error;
}

static int look(const struct client_request *request, const struct json_writer *query,
		struct flows_table *table)
{
	char reason[SEGMENT_REASON + JSON_REASON], name[DESTINATION_NAME_MAX + 1];
	struct flow_json_filter filter;
	struct segment *s = NULL;
	struct json *json = NULL;
	int error = segment_open_readonly(request->segment, &s, reason);

	if (!error)
		error = json_read(query->text, query->length, &json, reason);
	if (!error)
		error = flow_json_filter_read(s, json, name, &filter, reason, sizeof(reason));
	for (uint32_t slot = 0; !error && slot < s->view.slots; slot++)
		if (atomic_load(&s->view.counters[slot].key[0]) && slot_wanted(s, slot, &filter))
			error = print_slot(s, slot, table);
	if (error)
		fprintf(stderr, "tollgate flows: %s\n", reason);
	json_release(json);
	segment_close_readonly(s);
	return error;
}

int cli_flows(int argc, char **argv)
{
	struct client_request request = {0};
	struct json_writer query = {0}, again = {0};
	struct flows_table table = {0};
	char reason[CLIENT_REASON];
	int status;

	request_read(&syntax, argc, argv, &request);
	table.json = request.json;
	table.wide = request.wide;
	request_begin(&request, &query);
	status = request_run(&request, &query, flows_table_line, &table, true, reason);
	if (status == -ENOENT)
		fprintf(stderr, "tollgate flows: %s\n", reason);
	if (status == -ECONNREFUSED) {
		fprintf(stderr, "tollgate flows: %s: this is what the segment's files say\n",
			reason);
		request_begin(&request, &again);
		json_put_end(&again);
		status = look(&request, &again, &table);
		json_writer_free(&again);
	}
	if (status == 0 && table.flows == 0 && !table.json)
		puts("no flow is known");
	return status == 0 ? 0 : 1;
}
