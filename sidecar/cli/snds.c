/* SPDX-License-Identifier: MIT
 *
 * tollgate snds import FILE: what Microsoft's SNDS says of our addresses, told to the sidecar.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/destination.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/feed_file.h"
#include "sidecar/cli/request.h"
#include "sidecar/feeds/snds.h"

#define ROWS_AT_ONCE  400   /* in a request, which must not be longer than SERVER_REQUEST_MAX */
#define ADDRESSES_MAX 65536 /* of one range */

static const struct cli_option option_rows[] = {REQUEST_JSON, REQUEST_SEGMENT, {0}};

static const struct cli_syntax syntax = {
	.command = "snds",
	.arguments = "import FILE",
	.min = 2,
	.max = 2,
	.about =
		"Tells the sidecar what Microsoft's Smart Network Data Services say of our addresses. "
		"FILE (\"-\": standard input) is their data or their IP status as CSV, without a "
		"heading, as it is downloaded. A yellow or red address may use a part of its limits at "
		"Microsoft, as `snds` in the configuration says; after green the part doubles each day. "
		"Missing data changes nothing, and old data is forgotten. Malformed lines are reported "
		"and skipped; the status is 1 if no line was good. --json prints the result, an object "
		"for each flow.\n\nOnly root and the sidecar's user may do this.",
	.options = option_rows,
};

struct snds_import {
	struct client_request request;
	struct snds_row *rows; /* of one address each, status and time known */
	size_t count, room;
	uint64_t good, taken, stale, strangers, same;
};

/* ---- the file -------------------------------------------------------------------------------- */

static int row_add(struct snds_import *import, const struct snds_row *row)
{
	if (import->count == import->room) {
		size_t room = import->room ? 2 * import->room : 256;
		struct snds_row *more = reallocarray(import->rows, room, sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		import->rows = more;
		import->room = room;
	}
	import->rows[import->count++] = *row;
	return 0;
}

/* The next address; they stand in network order. */
static void address_next(uint8_t address[16])
{
	for (int i = 15; i >= 0 && ++address[i] == 0; i--)
		;
}

static int range_add(struct snds_import *import, struct snds_row row, const char **ret_why)
{
	uint8_t last[16];
	unsigned left = ADDRESSES_MAX;
	int error = 0;

	memcpy(last, row.last, sizeof(last));
	for (; error == 0 && left > 0; left--) {
		memcpy(row.last, row.first, sizeof(row.last));
		error = row_add(import, &row);
		if (memcmp(row.first, last, sizeof(last)) == 0)
			return error;
		address_next(row.first);
	}
	*ret_why = "the range has more than 65,536 addresses, the first of which were taken";
	return error ? error : -EINVAL;
}

static int line_take(void *arg, struct ingest_line *line, const char **ret_why)
{
	struct snds_import *import = arg;
	struct snds_row row;

	switch (snds_read(line, &row, ret_why)) {
	case SNDS_EMPTY: return 0;
	case SNDS_BAD: return -EINVAL;
	default: break;
	}
	import->good++;
	return row.status == SNDS_NOTHING ? 0 : range_add(import, row, ret_why);
}

/* Those of now come last; the worst of one time too, so that it holds. */
static int by_address_and_time(const void *a, const void *b)
{
	const struct snds_row *x = a, *y = b;
	int order = memcmp(x->first, y->first, sizeof(x->first));

	if (order == 0 && x->at_s != y->at_s)
		return x->at_s == 0 ? 1 : y->at_s == 0 ? -1 : x->at_s < y->at_s ? -1 : 1;
	return order ? order : (int)x->status - (int)y->status;
}

/* ---- to the sidecar -------------------------------------------------------------------------- */

static int outcome_take(void *arg, const struct json *json, const char *text, size_t length)
{
	struct snds_import *import = arg;
	const char *share = json_get_text(json, "share", NULL),
		   *skipped = json_get_text(json, "skipped", "");

	import->taken += share != NULL;
	import->stale += strcmp(skipped, "stale") == 0;
	import->strangers += strcmp(skipped, "not ours") == 0;
	import->same += strcmp(skipped, "nothing new") == 0;
	if (import->request.json)
		return request_print_line(NULL, json, text, length);
	if (share)
		printf("%s at %s: %s of its limits\n", json_get_text(json, "source", "?"),
		       json_get_text(json, "destination", "?"), share);
	return 0;
}

static int rows_send(struct snds_import *import, size_t from, size_t to)
{
	struct json_writer query = {.text = NULL};
	char reason[CLIENT_REASON], text[64];

	request_begin(&import->request, &query);
	json_put_array(&query, "rows");
	for (size_t i = from; i < to; i++) {
		const struct snds_row *row = &import->rows[i];

		json_put_object(&query, NULL);
		json_put_text(&query, "source",
			      destination_address_text(row->first, text, sizeof(text)));
		json_put_text(&query, "status", snds_status_name(row->status));
		if (row->at_s)
			json_put_i64(&query, "at", row->at_s);
		json_put_end(&query);
	}
	json_put_end(&query);
	return request_run(&import->request, &query, outcome_take, import, false, reason);
}

static int import_run(struct snds_import *import, const char *path)
{
	struct feed_file file = {.command = "snds", .path = path, .take = line_take, .arg = import};
	int error = feed_file_read(&file);

	if (import->count)
		qsort(import->rows, import->count, sizeof(*import->rows), by_address_and_time);
	for (size_t i = 0; i < import->count && error == 0; i += ROWS_AT_ONCE)
		error = rows_send(import, i,
				  i + ROWS_AT_ONCE < import->count ? i + ROWS_AT_ONCE
								   : import->count);
	if (error)
		return 1;
	fprintf(stderr,
		"%" PRIu64 " lines read, %" PRIu64 " malformed; %" PRIu64 " changes, %" PRIu64
		" nothing new, %" PRIu64 " stale, %" PRIu64 " not ours\n",
		file.lines, file.bad, import->taken, import->same, import->stale,
		import->strangers);
	return import->good || file.bad == 0 ? 0 : 1;
}

int cli_snds(int argc, char **argv)
{
	struct snds_import import = {.rows = NULL};
	int status;

	request_read(&syntax, argc, argv, &import.request);
	if (strcmp(import.request.arguments[0], "import") != 0)
		return options_wrong(&syntax, "the only thing it does is import");
	status = import_run(&import, import.request.arguments[1]);
	free(import.rows);
	return status;
}
