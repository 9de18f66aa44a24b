/* SPDX-License-Identifier: MIT
 *
 * A log as the commands read it: a file or standard input, its format named or guessed.
 */
#ifndef SIDECAR_CLI_LOG_SOURCE_H
#define SIDECAR_CLI_LOG_SOURCE_H

#include <stdio.h>

#include "sidecar/config/config.h"
#include "sidecar/ingest/format.h"
#include "sidecar/ingest/intake.h"
#include "sidecar/ingest/lines.h"

struct log_source {
	const struct ingest_format *format; /* NULL: by what stands at the start of the log */
	struct ingest_stream stream;
	struct lines lines; /* .number: of the line that an event stands in */
	uint64_t events;
	uint64_t bad;	   /* lines that were not understood */
	uint64_t timeless; /* events without a time, counted by who takes them */
	uint32_t shown;	   /* so many of the lines that were not understood are shown */
	const char *path;  /* as it is being read */
	void *arg;	   /* of log_source_event */
};

/* The format of that name, "auto" for a guess. -EINVAL: there is none, and that was printed. */
int log_source_begin(const char *format, struct log_source *ret);
void log_source_free(struct log_source *source);

/* What --help says of --format: the names of all. */
const char *log_source_formats(void);

/* Reads it all ("-": standard input), calling event until it returns other than 0, which is
 * returned. -errno; what is wrong with the log itself is printed. */
typedef int log_source_event(void *arg, const struct ingest_event *event);
int log_source_read(struct log_source *source, const char *path, log_source_event *event);

/* What the configuration says of a log: of one with this path, or else of the only one of this
 * format; and, where source is not NULL, whose it is. -EINVAL: that is none, and it was printed. */
int log_source_configured(const struct config *config, const char *path, const char *format,
			  const char *source, struct config_mta_log *ret);

/* "12 lines read, 10 events, 1 not understood", to standard error. */
void log_source_counts(const struct log_source *source);

/* Which of the events were of no use, and why; the same. */
void log_source_left_out(const struct log_source *source, const struct intake_totals *totals);

#endif
