/* SPDX-License-Identifier: MIT
 *
 * tollgate explain SOURCE DESTINATION: why a flow is as fast as it is, and when that changes.
 */
#include <stdio.h>
#include <string.h>

#include "sidecar/cli/command.h"
#include "sidecar/cli/request.h"

static const struct cli_option option_rows[] = {REQUEST_JSON, REQUEST_SEGMENT, {0}};

static const struct cli_syntax syntax = {
	.command = "explain",
	.arguments = "SOURCE DESTINATION",
	.min = 2,
	.max = 2,
	.wanted = "name a source and a destination",
	.about =
		"Prints the limits of one flow: what is in force and who decided it (the configuration, "
		"the controller, the baseline, a rule by its name, the operator), what is configured and "
		"in which line of which file, the controller's state in words, what rules and the "
		"operator set, the last replies other than plain deliveries, and what will change "
		"when.\n\nSOURCE is a sending address, or the name of a source that a pool lists; "
		"DESTINATION a destination's name, or an MX host, domain or address that belongs to it.",
	.options = option_rows,
};

static void print_in_force(const struct json *list)
{
	printf("\nin force\n");
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *one = json_at(list, i);

		printf("  %-26s %-34s by %s\n", json_get_text(one, "limit", "?"),
		       json_get_text(one, "value", "?"), json_get_text(one, "decided_by", "?"));
	}
}

static void print_configured(const char *title, const struct json *list)
{
	if (json_count(list) == 0)
		return;
	printf("\n%s\n", title);
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *one = json_at(list, i);

		printf("  %-26s %-34s %s\n", json_get_text(one, "limit", "?"),
		       json_get_text(one, "value", "?"), json_get_text(one, "origin", "?"));
	}
}

static void print_set(const struct json *list)
{
	char since[64], ends[64];

	if (json_count(list) == 0)
		return;
	printf("\nset by rules and by hand\n");
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *one = json_at(list, i), *left = json_get(one, "ends_s");

		printf("  %s, by %s, %s ago, ", json_get_text(one, "limit", "?"),
		       json_get_text(one, "decided_by", "?"),
		       request_seconds_text(json_get(one, "since_s"), since, sizeof(since)));
		if (json_kind(left) == JSON_KIND_NULL)
			printf("until it is taken away");
		else
			printf("for another %s", request_seconds_text(left, ends, sizeof(ends)));
		printf("%s",
		       json_get_bool(one, "in_force", false) ? "" : " (something stricter holds)");
		if (json_get_text(one, "reason", NULL))
			printf(": %s", json_get_text(one, "reason", ""));
		putchar('\n');
	}
}

static void print_reply(const struct json *reply)
{
	const char *limit = json_get_text(reply, "limit", "none"),
		   *text = json_get_text(reply, "text", "");
	unsigned long long code = json_get_u64(reply, "code", 0);
	char ago[64], number[24];

	printf("  %s ago, %s, stage %s: %s%s%s, rule %s\n    ",
	       request_seconds_text(json_get(reply, "ago_s"), ago, sizeof(ago)),
	       json_get_text(reply, "traffic", "?"), json_get_text(reply, "stage", "?"),
	       json_get_text(reply, "class", "?"), strcmp(limit, "none") ? " of " : "",
	       strcmp(limit, "none") ? limit : "", json_get_text(reply, "rule", "-"));
	snprintf(number, sizeof(number), "%llu", code);
	if (code == 0)
		printf("no reply ");
	else if (strncmp(text, number, strlen(number)) != 0)
		printf("%s ", number);
	puts(text);
}

static void print_replies(const struct json *list)
{
	printf("\nlast replies that were no plain delivery%s\n", json_count(list) ? "" : ": none");
	for (size_t i = 0; i < json_count(list); i++)
		print_reply(json_at(list, i));
}

static void print_use(const char *name, const struct json *use, const char *used)
{
	char ends[64];

	if (json_kind(json_get(use, used)) != JSON_KIND_NUMBER) {
		printf("  %-26s not counted, there is no cap\n", name);
		return;
	}
	printf("  %-26s %llu used", name, (unsigned long long)json_get_u64(use, used, 0));
	if (json_kind(json_get(use, "cap")) == JSON_KIND_NUMBER)
		printf(" of %llu", (unsigned long long)json_get_u64(use, "cap", 0));
	if (json_get(use, "ends_s"))
		printf("; begins anew in %s",
		       request_seconds_text(json_get(use, "ends_s"), ends, sizeof(ends)));
	putchar('\n');
}

static void print_outcomes(const char *name, const struct json *one)
{
	printf("  %-26s %llu delivered, %llu deferred, %llu bounced\n", name,
	       (unsigned long long)json_get_u64(one, "delivered", 0),
	       (unsigned long long)json_get_u64(one, "deferred", 0),
	       (unsigned long long)json_get_u64(one, "bounced", 0));
}

static void print_next(const struct json *flow)
{
	const struct json *next = json_get(flow, "next_change_s");
	char text[64];

	if (json_kind(next) == JSON_KIND_NULL)
		printf("\nnothing changes until a reply comes, or an hour or a day begins\n");
	else
		printf("\nlimits are looked at again in %s, or when a reply comes\n",
		       request_seconds_text(next, text, sizeof(text)));
	if (json_get(flow, "warmup_step_back_ago_s"))
		printf("a rule asked warm-up to step back %s ago\n",
		       request_seconds_text(json_get(flow, "warmup_step_back_ago_s"), text,
					    sizeof(text)));
}

static void print_baseline(const struct json *baseline)
{
	static const char *const spans[] = {"minute", "hour", "day"};

	if (json_kind(baseline) != JSON_KIND_OBJECT)
		return;
	printf("\nwhat was sent before, and what the baseline allows for that\n");
	for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
		const struct json *span = json_get(baseline, spans[i]);

		printf("  %-26s %llu, so %llu\n", spans[i],
		       (unsigned long long)json_get_u64(span, "before", 0),
		       (unsigned long long)json_get_u64(span, "allowed", 0));
	}
}

static unsigned long long count_of(const struct json *json, const char *key)
{
	return json_get_u64(json, key, 0);
}

static void print_warmup(const struct json *warmup)
{
	const char *date = json_get_text(warmup, "full_volume_on", NULL);

	if (warmup == NULL)
		return;
	printf("\nwarm-up by schedule %s: %s\n", json_get_text(warmup, "schedule", "?"),
	       json_get_text(warmup, "state", "?"));
	if (json_kind(json_get(warmup, "cap")) == JSON_KIND_NUMBER)
		printf("  day %llu, %llu of %llu sent today, %llu more to be accepted for a good day\n",
		       count_of(warmup, "day"), count_of(warmup, "sent"), count_of(warmup, "cap"),
		       count_of(warmup, "to_show"));
	printf("  grows by %.2f times the most of the last days, %llu; full volume, %llu, %s%s\n",
	       json_get_double(warmup, "growth", 0), count_of(warmup, "peak"),
	       count_of(warmup, "volume"), date ? "on " : "cannot be foreseen", date ? date : "");
}

/* A line each. */
static void print_rules(const char *lines)
{
	if (*lines)
		printf("\nwhat rules count\n");
	while (*lines) {
		int length = (int)strcspn(lines, "\n");

		printf("  %.*s\n", length, lines);
		lines += length + (lines[length] == '\n');
	}
}

static int print_flow(void *arg, const struct json *flow, const char *text, size_t length)
{
	const char *pool = json_get_text(flow, "pool", NULL);

	if (*(const bool *)arg)
		return request_print_line(NULL, flow, text, length);
	printf("%s at %s%s%s: %s\n", json_get_text(flow, "source", "?"),
	       json_get_text(flow, "destination", "?"), pool ? ", pool " : "", pool ? pool : "",
	       json_get_text(flow, "state", "?"));
	if (json_get_bool(flow, "adapts", false))
		printf("  %s\n", json_get_text(flow, "summary", ""));
	else
		printf("  does not adapt: limits are as configured\n");
	print_in_force(json_get(flow, "in_force"));
	print_baseline(json_get(flow, "baseline"));
	print_set(json_get(flow, "constraints"));
	print_rules(json_get_text(flow, "rules", ""));
	print_warmup(json_get(flow, "warmup"));
	printf("\nused\n");
	print_use("hour", json_get(flow, "hour"), "used");
	print_use("day", json_get(flow, "day"), "used");
	print_use("connections", json_get(flow, "connections"), "open");
	print_outcomes("last minute", json_get(flow, "last_minute"));
	print_outcomes("last hour", json_get(flow, "last_hour"));
	print_outcomes("ever", json_get(flow, "total"));
	print_replies(json_get(flow, "replies"));
	print_configured("configured", json_get(flow, "configured"));
	print_configured("configured for the source over all destinations",
			 json_get(flow, "source_total"));
	print_configured("configured for the destination over all sources",
			 json_get(flow, "destination_total"));
	print_next(flow);
	return 0;
}

int cli_explain(int argc, char **argv)
{
	struct client_request request = {0};
	struct json_writer query = {0};
	char reason[CLIENT_REASON];

	request_read(&syntax, argc, argv, &request);
	request_begin_flow(&request, &query);
	return request_run(&request, &query, print_flow, &request.json, false, reason) == 0 ? 0 : 1;
}
