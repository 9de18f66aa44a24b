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
#include "sidecar/base/units.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/flows_table.h"
#include "sidecar/cli/log_input.h"
#include "sidecar/ingest/replay.h"

static struct cli_option option_rows[] = {
	LOG_INPUT_FORMAT,
	LOG_INPUT_SOURCE,
	{"config", 'c', "FILE",
	 "this configuration, not the one in force; what it says under logs of a log with LOG's path, or "
	 "else of the only one of its format, holds for LOG",
	 CLI_TEXT, offsetof(struct log_options, config), 0, NULL},
	{"rules", 'r', "FILE", "these rules in front of ours, instead of the configuration's",
	 CLI_TEXT, offsetof(struct log_options, rules), 0, NULL},
	CLI_JSON(struct log_options),
	CLI_SEGMENT(struct log_options),
	{0}};

static const struct cli_syntax syntax = {
	.command = "replay",
	.arguments = "LOG",
	.min = 1,
	.max = 1,
	.about =
		"Prints what tollgated would have done with the outcomes in LOG (\"-\": standard input), "
		"under the log's own timestamps, then a table by destination, and the state of each flow "
		"at the end. --segment says whose configuration is in force.",
	.options = option_rows,
};

struct run {
	struct log_input *input;
	struct replay *replay;
	struct json_writer writer;
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
	struct flows_table table = {.json = run->input->options->json};
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

/* ---- the log --------------------------------------------------------------------------------- */

static int event_take(void *arg, const struct ingest_event *event)
{
	struct run *run = arg;
	int error = replay_event(run->replay, event, run->input->source.lines.number);

	if (error != -EINVAL)
		return error;
	run->input->source.timeless++;
	return 0;
}

static int log_replay(struct run *run)
{
	struct log_source *source = &run->input->source;
	int error = log_source_read(source, run->input->options->path, event_take);

	if (error == 0 && !run->input->options->json)
		totals_print(run->replay);
	if (error == 0)
		error = flows_print(run, run->input->config);
	log_source_counts(source);
	log_source_left_out(source, replay_intake(run->replay));
	/* A log of which nothing could be read is the wrong file. */
	return error == 0 && fflush(stdout) == 0 && !json_failed(&run->writer) &&
			       (source->events > source->timeless ||
				source->bad + source->timeless == 0)
		       ? 0
		       : 1;
}

static int replay_run(struct log_input *input, void *arg)
{
	struct run run = {.input = input};
	const struct replay_setup setup = {input->config, input->classifier, input->rules,
					   &input->log};
	int status;

	(void)arg;
	input->source.arg = &run;
	status = replay_create(&setup, input->options->json ? act_json : act_text, &run,
			       &run.replay);
	status = status == 0 ? log_replay(&run) : 1;
	replay_free(run.replay);
	json_writer_free(&run.writer);
	return status;
}

int cli_replay(int argc, char **argv)
{
	struct log_options options;

	log_input_options(&syntax, &option_rows[0], argc, argv, &options);
	return log_input_run(&options, replay_run, NULL);
}
