/* SPDX-License-Identifier: MIT
 *
 * tollgate seed FILE: what flows had sent before the gate was there, told to the sidecar.
 *
 * Days are summed by flow, names of a destination brought together by the configuration in force.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sidecar/cli/command.h"
#include "sidecar/cli/feed_file.h"
#include "sidecar/cli/request.h"
#include "sidecar/cli/rules_source.h"
#include "sidecar/engine/baseline.h"
#include "sidecar/feeds/history.h"

#define DAY_S	      86400
#define FLOWS_AT_ONCE 200 /* in a request, which must not be longer than SERVER_REQUEST_MAX */

static const struct cli_option option_rows[] = {
	REQUEST_FLAG("new", "the flows are new, not misspelt", new),
	REQUEST_JSON,
	REQUEST_SEGMENT,
	{0}};

static const struct cli_syntax syntax = {
	.command = "seed",
	.arguments = "FILE",
	.min = 1,
	.max = 1,
	.about =
		"Tells the sidecar what flows had sent before, so that a baseline does not hold them to "
		"its floor. A line of FILE (\"-\": standard input) is a day of a flow: "
		"\"2026-11-02,192.0.2.1,google,9000\", followed by the largest minute and hour of the "
		"day if they are known; or an object of JSON with the members day, source, destination, "
		"delivered, minute and hour. `tollgate history` writes such lines. A day that is already "
		"known with a larger number keeps it. Malformed lines are reported and skipped; the "
		"status is 1 if no line was used, or a flow was refused. --json prints an object for "
		"each flow.\n\nA source or destination that neither the configuration nor a worker has "
		"named is taken for a mistake, unless --new is given. Only root and the sidecar's user "
		"may do this.",
	.options = option_rows,
};

struct seed {
	struct client_request request;
	const struct config *config;
	struct history_rows rows;
	int64_t today;
	struct json_writer query;
	uint64_t pending, told, refused;
};

/* By the configuration's calendar, as the gate's days are. */
static int64_t today_of(const struct config *config)
{
	time_t now = time(NULL);
	struct tm tm;

	if (config->time_zone) {
		setenv("TZ", config->time_zone, 1);
		tzset();
	}
	localtime_r(&now, &tm);
	return (int64_t)(timegm(&tm) / DAY_S);
}

static int line_take(void *arg, struct ingest_line *line, const char **ret_why)
{
	struct seed *seed = arg;
	struct destination_match match;
	struct history_row row;

	switch (history_read(line, &row, ret_why)) {
	case HISTORY_REMARK: return 0;
	case HISTORY_BAD: return -EINVAL;
	default: break;
	}
	/* A day elsewhere on earth may have begun before ours. */
	if (row.day > seed->today + 1) {
		*ret_why = "the day has yet to come";
		return -EINVAL;
	}
	if (destination_match(seed->config->table, seed->config->table_length, row.destination,
			      &match) != 0) {
		*ret_why = "the destination is no name";
		return -EINVAL;
	}
	snprintf(row.destination, sizeof(row.destination), "%s", match.name);
	return history_add(&seed->rows, &row);
}

/* ---- to the sidecar -------------------------------------------------------------------------- */

static int refused_print(void *arg, const struct json *json, const char *text, size_t length)
{
	struct seed *seed = arg;

	seed->refused++;
	fprintf(stderr, "tollgate seed: %s at %s: %s\n", json_get_text(json, "source", "?"),
		json_get_text(json, "destination", "?"), json_get_text(json, "error", "?"));
	return 0;
}

static void query_begin(struct seed *seed)
{
	request_begin(&seed->request, &seed->query);
	json_put_array(&seed->query, "flows");
}

static int query_send(struct seed *seed)
{
	char reason[CLIENT_REASON];

	json_put_end(&seed->query);
	seed->told += seed->pending;
	seed->pending = 0;
	return request_run(&seed->request, &seed->query, refused_print, seed, false, reason);
}

static void put_flow(struct json_writer *out, const struct history_row *row,
		     const double peaks[BASELINE_SPANS])
{
	char source[64];

	json_put_object(out, NULL);
	json_put_text(out, "source", destination_address_text(row->source, source, sizeof(source)));
	json_put_text(out, "destination", row->destination);
	json_put_number(out, "minute", peaks[BASELINE_MINUTE], 1);
	json_put_number(out, "hour", peaks[BASELINE_HOUR], 1);
	json_put_number(out, "day", peaks[BASELINE_DAY], 1);
	json_put_end(out);
}

static void flow_print(const struct history_row *row, const double peaks[BASELINE_SPANS])
{
	struct json_writer writer = {.text = NULL};

	put_flow(&writer, row, peaks);
	json_put_newline(&writer);
	fwrite(writer.text, 1, writer.length, stdout);
	json_writer_free(&writer);
}

static bool same_flow(const struct history_row *a, const struct history_row *b)
{
	return memcmp(a->source, b->source, sizeof(a->source)) == 0 &&
	       strcmp(a->destination, b->destination) == 0;
}

/* Peaks of a flow's days as they are remembered today; returns the index behind its last row. */
static size_t flow_peaks(const struct seed *seed, size_t from, double ret[BASELINE_SPANS])
{
	const struct history_row *rows = seed->rows.rows;
	size_t i = from;

	memset(ret, 0, BASELINE_SPANS * sizeof(*ret));
	for (; i < seed->rows.count && same_flow(&rows[from], &rows[i]); i++) {
		const uint64_t most[] = {rows[i].minute, rows[i].hour, rows[i].delivered};
		/* That of yesterday has not faded yet. */
		double days = (double)(seed->today - rows[i].day - 1);

		for (int span = 0; span < BASELINE_SPANS; span++)
			ret[span] = fmax(ret[span], baseline_faded((double)most[span], days));
	}
	return i;
}

static int flows_tell(struct seed *seed)
{
	int error = 0;

	history_fold(&seed->rows);
	for (size_t i = 0; i < seed->rows.count && error == 0;) {
		const struct history_row *row = &seed->rows.rows[i];
		double peaks[BASELINE_SPANS];

		i = flow_peaks(seed, i, peaks);
		if (seed->pending == 0)
			query_begin(seed);
		put_flow(&seed->query, row, peaks);
		if (seed->request.json)
			flow_print(row, peaks);
		if (++seed->pending == FLOWS_AT_ONCE)
			error = query_send(seed);
	}
	if (error == 0 && seed->pending)
		error = query_send(seed);
	return error;
}

static int file_seed(struct seed *seed)
{
	struct feed_file file = {.command = "seed",
				 .path = seed->request.arguments[0],
				 .take = line_take,
				 .arg = seed};
	int error = feed_file_read(&file);

	if (error == 0)
		error = flows_tell(seed);
	if (error)
		return 1;
	if (!seed->request.json)
		printf("%" PRIu64 " lines read, %" PRIu64 " malformed, %" PRIu64
		       " flows told, %" PRIu64 " refused\n",
		       file.lines, file.bad, seed->told, seed->refused);
	return seed->told > seed->refused && seed->refused == 0 ? 0 : 1;
}

int cli_seed(int argc, char **argv)
{
	struct seed seed = {.config = NULL};
	struct config *config;
	int status;

	request_read(&syntax, argc, argv, &seed.request);
	config = rules_source_config_in_force(seed.request.segment);
	if (config == NULL)
		return 1;
	seed.config = config;
	seed.today = today_of(config);
	status = file_seed(&seed);
	history_free(&seed.rows);
	json_writer_free(&seed.query);
	config_free(config);
	return status;
}
