/* SPDX-License-Identifier: MIT
 *
 * The table of log formats.
 */
#ifndef SIDECAR_INGEST_FORMAT_H
#define SIDECAR_INGEST_FORMAT_H

#include "sidecar/ingest/event.h"

struct ingest_format {
	const char *name;
	enum ingest_result (*parse)(struct ingest_stream *stream, struct ingest_line *line,
				    struct ingest_event *ret);
	bool csv; /* records may go on over several lines, under a header */
	const char *help;
};

#define INGEST_FORMATS 7
extern const struct ingest_format ingest_formats[INGEST_FORMATS];

/* NULL: no such format. */
const struct ingest_format *ingest_format_named(const char *name);

/* The format of a log that begins with these bytes: the only one that finds outcomes in it, or the
 * one that finds the most and leaves the least. NULL: none does, or two do alike. `scratch` has
 * room for `length` bytes. now_ns as in struct stamp_clock. */
const struct ingest_format *ingest_format_guess(const char *bytes, size_t length, uint64_t now_ns,
						char *scratch);

#endif
