/* SPDX-License-Identifier: MIT
 *
 * tollgate status: how the sidecar, its segment and its workers are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/api/flow_json.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/request.h"
#include "sidecar/io/loop.h"
#include "sidecar/segment/readonly.h"

static const struct cli_option option_rows[] = {REQUEST_JSON, REQUEST_SEGMENT, {0}};

static const struct cli_syntax syntax = {
	.command = "status",
	.about =
		"Prints the state of tollgated, of its segment and of its workers. Exit status 1: no "
		"tollgated runs; what the segment's files say is printed all the same.",
	.options = option_rows,
};

static unsigned long long number(const struct json *json, const char *key)
{
	return json_get_u64(json, key, 0);
}

static void print_sidecar(const struct json *status)
{
	char up[64];

	if (!json_get_bool(status, "alive", false)) {
		printf("sidecar    none runs\n");
		return;
	}
	printf("sidecar    tollgated %s, pid %llu, up %s, configuration %s\n",
	       json_get_text(status, "version", "?"), number(status, "pid"),
	       request_seconds_text(json_get(status, "uptime_s"), up, sizeof(up)),
	       json_get_text(status, "config", "built in"));
	if (number(status, "log_lines_lost"))
		printf("log        %llu lines lost: nobody reads it\n",
		       number(status, "log_lines_lost"));
}

static void print_segment(const struct json *status)
{
	const struct json *segment = json_get(status, "segment"),
			  *sizes = json_get(segment, "sizes");
	const struct json *bytes = json_get(segment, "bytes"), *known = json_get(status, "known");
	const char *start = json_get_text(status, "start", NULL);
	char all[32], used[32];

	printf("segment    %s, %s%s%s, %s of which %s are in memory\n",
	       json_get_text(segment, "path", "?"), json_get_text(segment, "state", "?"),
	       start ? ", " : "", start ? start : "",
	       request_bytes_text(json_get_u64(bytes, "all", 0), all, sizeof(all)),
	       request_bytes_text(json_get_u64(bytes, "in_memory", 0), used, sizeof(used)));
	if (known)
		printf("known      %llu flows, %llu sources, %llu destinations, %llu streams; room for %llu\n",
		       number(known, "flows"), number(known, "sources"),
		       number(known, "destinations"), number(known, "streams"),
		       number(known, "capacity"));
	else
		printf("room       %llu flows, %llu workers\n", number(sizes, "flows"),
		       number(sizes, "workers"));
}

static int print_count(void *arg, const char *name, const struct json *count)
{
	bool *first = arg;

	if (json_u64(count, 0)) {
		printf("%s %s %llu", *first ? ":" : ",", name,
		       (unsigned long long)json_u64(count, 0));
		*first = false;
	}
	return 0;
}

static void print_workers(const struct json *status)
{
	const struct json *workers = json_get(status, "workers"),
			  *rings = json_get(status, "rings");
	const struct json *decisions = json_get(status, "decisions");
	bool first = true;

	printf("workers    %llu attached of %llu\n", number(workers, "attached"),
	       number(workers, "capacity"));
	printf("decisions  %llu admitted; refused", number(decisions, "admitted"));
	json_each(json_get(decisions, "refused"), print_count, &first);
	printf("%s\n", first ? ": none" : "");
	printf("rings      %llu records written, %llu overflows", number(workers, "records"),
	       number(workers, "ring_overflows"));
	if (rings)
		printf("; %llu taken by this sidecar (lately %.3g/s), %llu damaged",
		       number(rings, "records"), json_get_double(rings, "records_per_s", 0),
		       number(rings, "damaged"));
	putchar('\n');
}

static void print_engine(const struct json *status)
{
	const struct json *engine = json_get(status, "engine");
	bool first = true;

	if (engine == NULL)
		return;
	printf("replies    %llu", number(engine, "replies"));
	json_each(json_get(engine, "by_class"), print_count, &first);
	printf("\nchanges    %llu of limits, %llu times by a rule; %llu corrupt words repaired, %llu registrations rejected\n",
	       number(engine, "limits_changed"), number(engine, "rules_fired"),
	       number(engine, "repairs"), number(engine, "registrations_rejected"));
}

static void print_warmup(const struct json *status)
{
	const struct json *warmup = json_get(status, "warmup");
	unsigned long long running = number(warmup, "running"), paused = number(warmup, "paused");

	if (running + paused + number(warmup, "warm") == 0)
		return;
	printf("warm-up    %llu flows; %llu paused, %llu warm", running, paused,
	       number(warmup, "warm"));
	if (number(warmup, "stepping_back"))
		printf("; %llu step back after trouble", number(warmup, "stepping_back"));
	if (number(warmup, "too_little"))
		printf("; %llu have too little mail to go on or to stay warm",
		       number(warmup, "too_little"));
	putchar('\n');
}

static void print_clock(const struct json *status)
{
	char age[64], lost[64];

	printf("clock      %s; heartbeat %s ago; configuration generation %llu%s; without a sidecar for %s: %s\n",
	       strcmp(json_get_text(status, "clock", ""), "counter") == 0
		       ? "the processor's counter"
		       : "vDSO",
	       request_seconds_text(json_get(status, "heartbeat_age_s"), age, sizeof(age)),
	       number(status, "generation"),
	       json_get_bool(status, "reloading", false) ? " (a reload is under way)" : "",
	       request_seconds_text(json_get(status, "sidecar_timeout_s"), lost, sizeof(lost)),
	       json_get_text(status, "on_sidecar_down", "?"));
}

static void print_memory(const struct json *status)
{
	const struct json *memory = json_get(status, "memory");
	char allocated[32], resident[32], configuration[32];

	if (memory == NULL)
		return;
	printf("memory     %s: %s allocated, %s resident; configuration %s\n",
	       json_get_text(memory, "allocator", "?"),
	       request_bytes_text(json_get_u64(memory, "allocated", 0), allocated,
				  sizeof(allocated)),
	       request_bytes_text(json_get_u64(memory, "resident", 0), resident, sizeof(resident)),
	       request_bytes_text(json_get_u64(memory, "configuration", 0), configuration,
				  sizeof(configuration)));
	printf("io_uring   %s\n", json_get_text(status, "io_uring", "?"));
	printf("ebpf       %s\n", json_get_text(json_get(status, "ebpf"), "state", "?"));
}

static void print_store(const struct json *status)
{
	const struct json *store = json_get(status, "store");
	const char *error = json_get_text(store, "error", NULL);
	const char *folder = json_get_text(store, "folder", NULL);

	if (store == NULL)
		return;
	if (!json_get_bool(store, "on", false))
		printf("store      off: %s%s%s; a reboot forgets what was learned and used\n",
		       folder ? folder : "", folder ? ": " : "", error ? error : "?");
	else
		printf("store      %s: %llu flows and %llu changes written, %llu changes lost%s%s\n",
		       folder ? folder : "?", number(store, "flows_written"),
		       number(store, "changes_written"), number(store, "changes_lost"),
		       error ? "; NOT WRITTEN NOW: " : "", error ? error : "");
}

static void print_logs(const struct json *status)
{
	const struct json *logs = json_get(status, "logs");

	for (size_t i = 0; i < json_count(logs); i++) {
		const struct json *log = json_at(logs, i);
		uint64_t no_name = json_get_u64(log, "no_source", 0);
		uint64_t nowhere = json_get_u64(log, "no_destination", 0);
		const char *error = json_get_text(log, "error", NULL);

		printf("log        %s (%s): %llu lines, %llu not understood; %llu outcomes, %llu heard, "
		       "%llu without attempt, %llu repeated",
		       json_get_text(log, "path", "?"), json_get_text(log, "format", "?"),
		       number(log, "lines"), number(log, "not_understood"), number(log, "events"),
		       number(log, "heard"), number(log, "no_attempt"), number(log, "repeated"));
		if (number(log, "by_gate") > 0)
			printf("; of %llu the gate knew the source", number(log, "by_gate"));
		if (number(log, "kept_by_gate") > 0)
			printf("; %llu that the gate itself kept", number(log, "kept_by_gate"));
		if (no_name > 0)
			printf("; %llu of no known source", (unsigned long long)no_name);
		if (number(log, "ambiguous") > 0)
			printf(" (%llu of one of several)", number(log, "ambiguous"));
		if (nowhere > 0)
			printf("; %llu of no known destination", (unsigned long long)nowhere);
		printf("%s%s\n",
		       error				   ? "; "
		       : json_get_bool(log, "open", false) ? ""
							   : "; not open",
		       error ? error : "");
	}
}

static void print_outcomes(const char *name, const struct json *told)
{
	if (told == NULL)
		return;
	printf("  /%-8s %llu requests, %llu not understood; %llu outcomes, %llu heard, %llu repeated",
	       name, number(told, "requests"), number(told, "not_understood"),
	       number(told, "events"), number(told, "heard"), number(told, "repeated"));
	if (number(told, "no_source") > 0)
		printf("; %llu of no known source", number(told, "no_source"));
	if (number(told, "no_destination") > 0)
		printf("; %llu of no known destination", number(told, "no_destination"));
	putchar('\n');
}

static void print_kumomta(const struct json *told)
{
	if (number(told, "requests") + number(told, "listeners") == 0)
		return;
	print_outcomes("publish_log_v1", told);
	printf("  kumomta   %llu flows known; %llu listen to holds, %llu were told, %llu dropped\n",
	       number(told, "flows"), number(told, "listeners"), number(told, "holds_told"),
	       number(told, "listeners_dropped"));
}

static void print_halon(const struct json *told)
{
	if (number(told, "listeners") + number(told, "told") > 0)
		printf("  halon     %llu flows; %llu listen to policies, %llu were told, %llu dropped\n",
		       number(told, "flows"), number(told, "listeners"), number(told, "told"),
		       number(told, "listeners_dropped"));
}

static void print_http(const struct json *http)
{
	const struct json *listeners = json_get(http, "listeners");

	if (listeners == NULL)
		return;
	for (size_t i = 0; i < json_count(listeners); i++) {
		const struct json *listener = json_at(listeners, i);
		const char *error = json_get_text(listener, "error", NULL);

		printf("http       %s%s%s\n", json_get_text(listener, "address", "?"),
		       error ? ": " : "", error ? error : "");
	}
	printf("           %llu clients, %llu requests; refused %llu, of no such path %llu, too slow "
	       "%llu, too long %llu, turned away %llu\n",
	       number(http, "clients"), number(http, "requests"), number(http, "refused"),
	       number(http, "no_such_path"), number(http, "too_slow"), number(http, "too_long"),
	       number(http, "too_many_clients") + number(http, "no_memory"));
	print_outcomes("sendgrid", json_get(http, "sendgrid"));
	print_outcomes("events", json_get(http, "events"));
	print_kumomta(json_get(http, "kumomta"));
	print_halon(json_get(http, "halon"));
}

static void print_doors(const struct json *status)
{
	const struct json *doors = json_get(status, "doors");

	for (size_t i = 0; i < json_count(doors); i++) {
		const struct json *door = json_at(doors, i), *listen = json_get(door, "listen");

		printf("door       %s:", json_get_text(door, "protocol", "?"));
		for (size_t k = 0; k < json_count(listen); k++)
			printf(" %s%s,", json_get_text(json_at(listen, k), "address", "?"),
			       json_get_bool(json_at(listen, k), "open", false) ? ""
										: " (not open)");
		printf(" %llu clients, %llu requests; %llu clients refused, %llu malformed, %llu idle\n",
		       number(door, "clients"), number(door, "requests"), number(door, "refused"),
		       number(door, "malformed"), number(door, "idle"));
	}
}

static int print_status(void *arg, const struct json *status, const char *text, size_t length)
{
	if (*(const bool *)arg)
		return request_print_line(NULL, status, text, length);
	print_sidecar(status);
	print_segment(status);
	print_workers(status);
	print_engine(status);
	print_warmup(status);
	print_clock(status);
	print_memory(status);
	print_store(status);
	print_logs(status);
	print_http(json_get(status, "http"));
	print_doors(status);
	return 0;
}

/* ---- without a sidecar ----------------------------------------------------------------------- */

static int look(const struct client_request *request)
{
	struct json_writer line = {0};
	char reason[SEGMENT_REASON + JSON_REASON] = "out of memory";
	struct segment *s;
	struct json *json = NULL;
	bool as_json = request->json;
	int error = segment_open_readonly(request->segment, &s, reason);

	if (error) {
		fprintf(stderr, "tollgate status: %s\n", reason);
		return error;
	}
	json_put_object(&line, NULL);
	json_put_bool(&line, "alive", false);
	segment_json_put(s, loop_now(), &line);
	json_put_end(&line);
	if (json_failed(&line) || json_read(line.text, line.length, &json, reason) != 0)
		fprintf(stderr, "tollgate status: %s\n", reason);
	else
		print_status(&as_json, json, line.text, line.length);
	json_release(json);
	json_writer_free(&line);
	segment_close_readonly(s);
	return 0;
}

int cli_status(int argc, char **argv)
{
	struct client_request request = {0};
	struct json_writer query = {0};
	char reason[CLIENT_REASON];
	int status;

	request_read(&syntax, argc, argv, &request);
	request_begin(&request, &query);
	status = request_run(&request, &query, print_status, &request.json, true, reason);
	if (status == -ENOENT || status == -ECONNREFUSED)
		fprintf(stderr, "tollgate status: %s\n", reason);
	if (status == -ECONNREFUSED)
		look(&request);
	return status == 0 ? 0 : 1;
}
