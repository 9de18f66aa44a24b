/* SPDX-License-Identifier: MIT
 *
 * tollgate history [--format F] [--source SOURCE] [-c FILE] LOG: what each flow sent by day, as
 * `tollgate seed` reads it, from a log of an MTA.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sidecar/base/units.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/log_input.h"
#include "sidecar/engine/scratch.h"
#include "sidecar/feeds/history.h"
#include "sidecar/ingest/intake.h"

#define DAY_S 86400

static struct cli_option option_rows[] = {LOG_INPUT_FORMAT,
					  LOG_INPUT_SOURCE,
					  {"config", 'c', "FILE",
					   "this configuration, not the one in force", CLI_TEXT,
					   offsetof(struct log_options, config), 0, NULL},
					  CLI_SEGMENT(struct log_options),
					  {0}};

static const struct cli_syntax syntax = {
	.command = "history",
	.arguments = "LOG",
	.min = 1,
	.max = 1,
	.about =
		"Prints what each flow delivered on each day of LOG (\"-\": standard input), with its "
		"largest minute and hour, as lines of CSV for `tollgate seed`. Days are those of the "
		"configuration's time zone. LOG is read as the configuration says for the log with that "
		"path, or else for the only log of its format.",
	.options = option_rows,
};

/* The day of a flow that is being counted. */
struct history_day {
	struct history_row row;
	uint64_t minute, hour; /* numbers of those under way */
	uint64_t in_minute, in_hour;
};

struct history_reading {
	struct log_input *input;
	struct scratch scratch;
	struct intake intake;
	struct intake_memory *memory;
	struct history_day *flows; /* by slot */
	struct history_rows rows;
};

/* ---- counting -------------------------------------------------------------------------------- */

static void time_split(uint64_t time_ns, int64_t *ret_day, uint64_t *ret_hour)
{
	time_t seconds = (time_t)(time_ns / UNITS_SECOND_NS);
	struct tm tm;

	localtime_r(&seconds, &tm);
	/* By the clock on the wall, as the gate's hours are. */
	seconds = timegm(&tm);
	*ret_day = seconds / DAY_S;
	*ret_hour = (uint64_t)seconds / 3600;
}

static void count_one(uint64_t *under_way, uint64_t *count, uint64_t *most, uint64_t number,
		      uint32_t messages)
{
	if (*under_way != number)
		*count = 0;
	*under_way = number;
	*count += messages;
	*most = *count > *most ? *count : *most;
}

/* Several lines of an MTA may not be in order by a little: a day that comes again is added up in
 * the end. */
static int delivered(struct history_reading *run, const struct intake_place *place,
		     uint64_t time_ns)
{
	struct history_day *flow = &run->flows[place->flow.slot];
	uint32_t messages = place->heard.n ? place->heard.n : 1;
	uint64_t hour;
	int64_t day;
	int error = 0;

	time_split(time_ns, &day, &hour);
	if (flow->row.delivered && flow->row.day != day)
		error = history_add(&run->rows, &flow->row);
	if (flow->row.delivered == 0 || flow->row.day != day) {
		*flow = (struct history_day){.row = {.day = day}};
		memcpy(flow->row.source, place->flow.source, sizeof(flow->row.source));
		snprintf(flow->row.destination, sizeof(flow->row.destination), "%s",
			 place->flow.destination);
	}
	flow->row.delivered += messages;
	count_one(&flow->minute, &flow->in_minute, &flow->row.minute, time_ns / UNITS_MINUTE_NS,
		  messages);
	count_one(&flow->hour, &flow->in_hour, &flow->row.hour, hour, messages);
	return error;
}

static int event_take(void *arg, const struct ingest_event *event)
{
	struct history_reading *run = arg;
	struct intake_place place;

	if (event->time_ns == 0) {
		run->input->source.timeless++;
		return 0;
	}
	if (!intake_find(&run->intake, event, event->time_ns, SCRATCH_EPOCH_NS, &place) ||
	    event->outcome != INGEST_DELIVERED)
		return 0;
	return delivered(run, &place, event->time_ns);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int rows_print(struct history_reading *run)
{
	int error = 0;

	for (uint32_t slot = 0; slot < run->scratch.segment->view.slots && !error; slot++)
		if (run->flows[slot].row.delivered)
			error = history_add(&run->rows, &run->flows[slot].row);
	history_fold(&run->rows);
	puts(HISTORY_HEADING);
	for (size_t i = 0; i < run->rows.count; i++)
		history_write(stdout, &run->rows.rows[i]);
	return error ? error : fflush(stdout) == 0 ? 0 : -errno;
}

static int log_count(struct history_reading *run)
{
	struct log_input *input = run->input;
	const struct scratch_setup setup = {
		.config = input->config,
		.classifier = input->classifier,
		.rules = input->rules,
		.flows = (uint32_t)input->config->segment.flows.value,
	};
	int error = scratch_open(&setup, &run->scratch);

	if (error)
		return error;
	run->flows = calloc(run->scratch.segment->view.slots, sizeof(*run->flows));
	run->memory = calloc(1, sizeof(*run->memory));
	if (run->flows == NULL || run->memory == NULL)
		return -ENOMEM;
	run->intake = (struct intake){.engine = run->scratch.engine,
				      .config = input->config,
				      .log = &input->log,
				      .memory = run->memory};
	error = log_source_read(&input->source, input->options->path, event_take);
	return error ? error : rows_print(run);
}

static int history_run(struct log_input *input, void *arg)
{
	struct history_reading run = {.input = input};
	int error;

	(void)arg;
	if (input->config->time_zone) {
		setenv("TZ", input->config->time_zone, 1);
		tzset();
	}
	input->source.arg = &run;
	error = log_count(&run);
	if (error == 0) {
		log_source_counts(&input->source);
		log_source_left_out(&input->source, &run.intake.totals);
	}
	free(run.flows);
	free(run.memory);
	history_free(&run.rows);
	scratch_close(&run.scratch);
	/* A log of which nothing could be read is the wrong file. */
	return error == 0 && run.rows.count + input->source.events > 0 ? 0 : 1;
}

int cli_history(int argc, char **argv)
{
	struct log_options options;

	log_input_options(&syntax, &option_rows[0], argc, argv, &options);
	return log_input_run(&options, history_run, NULL);
}
