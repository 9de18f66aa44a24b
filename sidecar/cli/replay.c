/* SPDX-License-Identifier: MIT
 *
 * tollgate replay [--format F] [--source SOURCE] [--json] [-c FILE] [--rules FILE] LOG
 *
 * A real log through the engine under its own timestamps: what would have been held and slowed,
 * when, and why, and what each flow had come to at the end.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/api/flow_json.h"
#include "sidecar/base/json.h"
#include "sidecar/base/log.h"
#include "sidecar/base/units.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/flows_table.h"
#include "sidecar/cli/log_source.h"
#include "sidecar/cli/options.h"
#include "sidecar/cli/rules_source.h"
#include "sidecar/ingest/replay.h"

#define COMPLAINTS_MAX 10 /* lines that are none are counted; the first are shown */

struct replay_options {
	const char *format, *source, *config, *rules, *segment, *path;
	bool json;
};

static struct cli_option option_rows[] = {
	{"format", 'f', "F", NULL, CLI_TEXT, offsetof(struct replay_options, format), 0, NULL},
	{"source", 0, "SOURCE", "our address, or a source's name, where a line does not say",
	 CLI_TEXT, offsetof(struct replay_options, source), 0, NULL},
	{"config", 'c', "FILE",
	 "this configuration, not the one in force; what it says under logs of a log with LOG's path, or "
	 "else of the only one of its format, holds for LOG",
	 CLI_TEXT, offsetof(struct replay_options, config), 0, NULL},
	{"rules", 'r', "FILE", "these rules in front of ours, instead of the configuration's",
	 CLI_TEXT, offsetof(struct replay_options, rules), 0, NULL},
	CLI_JSON(struct replay_options),
	CLI_SEGMENT(struct replay_options),
	{0}};

static const struct cli_syntax syntax = {
	.command = "replay",
	.arguments = "LOG",
	.min = 1,
	.max = 1,
	.about =
		"What tollgated would have done had it heard the outcomes in LOG (\"-\": standard input), "
		"under the log's own timestamps; then a table by destination, and what each flow had come "
		"to. --segment says whose configuration is in force.",
	.options = option_rows,
};

struct run {
	const struct replay_options *options;
	struct replay *replay;
	struct log_source source;
	struct json_writer writer;
	uint64_t complaints, timeless;
	uint64_t now_ns; /* of the scratch segment, at the end */
};

/* ---- an action ------------------------------------------------------------------------------- */

static void put_value(struct json_writer *writer, const struct replay_action *action)
{
	enum rule_action_kind kind = action->engine->kind;
	double value = action->engine->effect->value;
	char until[40];

	if (kind == RULE_ALERT)
		return;
	if (kind == RULE_HOLD)
		json_put_number(writer, "seconds", value / 1e9, 3);
	else
		json_put_number(writer, kind == RULE_RATE ? "per_second" : "value", value, 6);
	if (kind != RULE_WARMUP_STEP_BACK && action->until_ns != UINT64_MAX)
		json_put_text(writer, "until",
			      replay_time_text(action->until_ns, until, sizeof(until)));
}

static void line_write(struct json_writer *writer)
{
	json_put_end(writer);
	json_put_newline(writer);
	fwrite(writer->text, 1, writer->length, stdout);
}

static void act_json(void *context, const struct replay_action *action)
{
	struct run *run = context;
	struct json_writer *writer = &run->writer;
	const struct layout_record *reply = action->engine->reply;
	char time[40];

	json_writer_clear(writer);
	json_put_object(writer, NULL);
	json_put_text(writer, "time", replay_time_text(action->time_ns, time, sizeof(time)));
	json_put_text(writer, "source", action->source);
	json_put_text(writer, "destination", action->destination);
	json_put_text(writer, "action", rule_action_name(action->engine->kind));
	put_value(writer, action);
	json_put_text(writer, "rule", action->engine->effect->rule->name);
	json_put_text(writer, "class", reply_class_name(action->engine->classification->class));
	json_put_bytes(writer, "reply", reply->text, reply->length);
	json_put_u64(writer, "line", action->line);
	line_write(writer);
}

/* As exact as somebody who reads it can use. */
static uint64_t rounded(uint64_t ns)
{
	uint64_t step = ns < 10 * UNITS_SECOND_NS ? UNITS_SECOND_NS / 10 : UNITS_SECOND_NS;

	return (ns + step / 2) / step * step;
}

static void act_text(void *context, const struct replay_action *action)
{
	char time[40], value[64] = "", hold[64];
	struct units_rate rate = {0};

	switch (action->engine->kind) {
	case RULE_HOLD:
		snprintf(value, sizeof(value), " for %s",
			 units_duration_text(rounded((uint64_t)action->engine->effect->value), hold,
					     sizeof(hold)));
		break;
	case RULE_RATE:
		rate.count = (uint64_t)(action->engine->effect->value * 3600 + 0.5),
		rate.period_ns = UNITS_HOUR_NS;
		snprintf(value, sizeof(value), " at most %s",
			 units_rate_text(&rate, hold, sizeof(hold)));
		break;
	case RULE_ALERT: break;
	default: snprintf(value, sizeof(value), " %g", action->engine->effect->value);
	}
	printf("%s %s -> %s: %s%s by %s\n", replay_time_text(action->time_ns, time, sizeof(time)),
	       action->source, action->destination, rule_action_name(action->engine->kind), value,
	       action->engine->effect->rule->name);
}

/* ---- what it came to ------------------------------------------------------------------------- */

static void totals_print(const struct replay *replay)
{
	const struct replay_total *totals;
	unsigned count = replay_totals(replay, &totals);

	printf("\n%-24s %9s %9s %6s %6s %6s %6s %6s %10s %10s\n", "destination", "replies",
	       "delivered", "limit", "holds", "slowed", "back", "alerts", "held", "while held");
	for (unsigned i = 0; i < count; i++) {
		const struct replay_total *t = &totals[i];
		char held[64];

		printf("%-24s %9" PRIu64 " %9" PRIu64 " %6" PRIu64 " %6" PRIu64 " %6" PRIu64
		       " %6" PRIu64 " %6" PRIu64 " %10s %10" PRIu64 "\n",
		       t->destination, t->replies, t->classes[REPLY_DELIVERED],
		       t->classes[REPLY_RATE] + t->classes[REPLY_REPUTATION] +
			       t->classes[REPLY_VOLUME_SPIKE],
		       t->actions[RULE_HOLD],
		       t->actions[RULE_SCALE] + t->actions[RULE_RATE] +
			       t->actions[RULE_CONNECTIONS] + t->actions[RULE_PER_CONNECTION],
		       t->actions[RULE_WARMUP_STEP_BACK], t->actions[RULE_ALERT],
		       units_duration_text(t->held_ns / UNITS_SECOND_NS * UNITS_SECOND_NS, held,
					   sizeof(held)),
		       t->while_held);
	}
}

static int flow_print(struct run *run, const struct config *config, const struct scratch *scratch,
		      uint32_t slot, struct flows_table *table)
{
	struct json_writer *writer = &run->writer;
	char reason[JSON_REASON];
	struct json *flow;
	int error;

	json_writer_clear(writer);
	json_put_object(writer, NULL);
	flow_json_put(scratch->segment, slot, run->now_ns, writer);
	flow_json_put_state(scratch->segment, scratch->engine, config, slot, run->now_ns, writer);
	json_put_end(writer);
	json_put_newline(writer);
	error = json_failed(writer) ? -ENOMEM
				    : json_read(writer->text, writer->length, &flow, reason);
	if (error)
		return error;
	flows_table_line(table, flow, writer->text, writer->length);
	json_release(flow);
	return 0;
}

/* What each flow had come to. */
static int flows_print(struct run *run, const struct config *config)
{
	const struct scratch *scratch = replay_scratch(run->replay, &run->now_ns);
	struct flows_table table = {.json = run->options->json};
	int error = 0;

	if (scratch && !table.json)
		printf("\nat the end of the log:\n");
	for (uint32_t i = 0; scratch && error == 0 && i < segment_count(scratch->segment); i++) {
		uint32_t slot = segment_nth(scratch->segment, i);

		if (segment_kind(scratch->segment, slot) == SEGMENT_FLOW)
			error = flow_print(run, config, scratch, slot, &table);
	}
	return error;
}

static void counts_print(const struct run *run)
{
	const struct intake_totals *totals = replay_intake(run->replay);
	const struct {
		uint64_t count;
		const char *what;
	} rows[] = {
		{run->timeless, "have no time"},
		{totals->no_attempt, "were no attempt to deliver"},
		{totals->repeated, "repeat what was said already"},
		{totals->no_source, "do not say which address of ours it was: see --source"},
		{totals->no_destination, "do not say what receiver it was"},
		{totals->no_room, "are of more flows than there is room for: raise segment.flows"},
	};

	log_source_counts(&run->source);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].count)
			fprintf(stderr, "%" PRIu64 " of them %s\n", rows[i].count, rows[i].what);
}

/* ---- the log --------------------------------------------------------------------------------- */

static void complain(void *arg, uint64_t line)
{
	struct run *run = arg;

	if (run->complaints++ < COMPLAINTS_MAX)
		fprintf(stderr, "%s:%" PRIu64 ": not understood\n", run->options->path, line);
}

static int event_take(void *arg, const struct ingest_event *event)
{
	struct run *run = arg;
	int error = replay_event(run->replay, event, run->source.lines.number);

	if (error != -EINVAL)
		return error;
	run->timeless++;
	return 0;
}

static int log_replay(struct run *run, const struct config *config)
{
	int error = log_source_read(&run->source, run->options->path, event_take);

	if (error == 0 && !run->options->json)
		totals_print(run->replay);
	if (error == 0)
		error = flows_print(run, config);
	counts_print(run);
	/* A log of which nothing could be read is the wrong file. */
	return error == 0 && fflush(stdout) == 0 && !json_failed(&run->writer) &&
			       (run->source.events > run->timeless ||
				run->source.bad + run->timeless == 0)
		       ? 0
		       : 1;
}

static int replay_run(const struct replay_options *options, const struct config *config,
		      const struct classifier *classifier, const struct rule_set *rules)
{
	struct config_mta_log log;
	struct run run = {.options = options};
	const struct replay_setup setup = {config, classifier, rules, &log};
	int status = 2;

	if (log_source_configured(config, options->path, options->format, options->source, &log) !=
		    0 ||
	    log_source_begin(options->format, &run.source) != 0)
		return status;
	run.source.arg = &run;
	run.source.complain = complain;
	status = replay_create(&setup, options->json ? act_json : act_text, &run, &run.replay);
	status = status == 0 ? log_replay(&run, config) : 1;
	replay_free(run.replay);
	log_source_free(&run.source);
	json_writer_free(&run.writer);
	return status;
}

static int configured_run(const struct replay_options *options, const struct config *config)
{
	struct loaded_rules rules;
	struct rule_set *set = NULL;
	int status = 1;

	if (rules_source_load_with(options->rules, options->rules == NULL ? &config->rules : NULL,
				   &rules) == 0 &&
	    rule_set_create(rules.classifier, &set) == 0)
		status = replay_run(options, config, rules.classifier, set);
	rule_set_free(set);
	rules_source_free(&rules);
	return status;
}

int cli_replay(int argc, char **argv)
{
	struct replay_options options = {.format = "auto"};
	struct config *config;
	char **logs;
	int status;

	option_rows[0].help = log_source_formats();
	options_read(&syntax, argc, argv, &options, &logs);
	options.path = logs[0];
	/* What the engine says is printed from what it does. */
	log_configure(LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	config = options.config != NULL ? rules_source_config(options.config)
					: rules_source_config_in_force(options.segment);
	if (config == NULL)
		return 1;
	status = configured_run(&options, config);
	config_free(config);
	return status;
}
