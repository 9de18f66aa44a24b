/* SPDX-License-Identifier: MIT */
#include "sidecar/ingest/format.h"

#include <string.h>

#include "sidecar/ingest/csv.h"

const struct ingest_format ingest_formats[INGEST_FORMATS] = {
	{"postfix", postfix_parse, false, "maillog by syslog, postlogd or journald"},
	{"exim", exim_parse, false, "main log"},
	{"powermta", powermta_parse, true, "accounting file (CSV)"},
	{"kumomta", kumomta_parse, false, "JSON log"},
	{"haraka", haraka_parse, false, "default, logfmt and JSON"},
	{"sendgrid", sendgrid_parse, false, "event webhook, a body a line"},
	{"json", json_log_parse, false, "JSON lines: time, source, destination, reply"},
};

const struct ingest_format *ingest_format_named(const char *name)
{
	for (size_t i = 0; i < INGEST_FORMATS; i++)
		if (strcmp(ingest_formats[i].name, name) == 0)
			return &ingest_formats[i];
	return NULL;
}

/* Outcomes count for, what is not understood against; 0: no outcome. */
static int64_t score(const struct ingest_format *format, char *bytes, size_t length,
		     uint64_t now_ns)
{
	struct ingest_stream stream = {.clock.now_ns = now_ns};
	int64_t events = 0, bad = 0;
	size_t at = 0;

	while (at < length) {
		const char *stop = memchr(bytes + at, '\n', length - at);
		size_t whole = format->csv ? csv_record(bytes + at, length - at)
			       : stop	   ? (size_t)(stop + 1 - bytes) - at
					   : 0;
		struct ingest_line line = {bytes + at, whole ? whole - 1 : length - at, 0, 0};
		enum ingest_result result;
		struct ingest_event event;

		do {
			result = format->parse(&stream, &line, &event);
			events += result == INGEST_EVENT;
			bad += result == INGEST_BAD;
		} while (result == INGEST_EVENT && line.at > 0);
		at += whole ? whole : length - at;
	}
	return events > 0 ? events * 2 - bad : 0;
}

const struct ingest_format *ingest_format_guess(const char *bytes, size_t length, uint64_t now_ns,
						char *scratch)
{
	const struct ingest_format *best = NULL;
	int64_t best_score = 0;

	for (size_t i = 0; i < INGEST_FORMATS; i++) {
		int64_t found;

		memcpy(scratch, bytes, length);
		found = score(&ingest_formats[i], scratch, length, now_ns);
		if (found > best_score) {
			best = &ingest_formats[i];
			best_score = found;
		} else if (found == best_score && found > 0) {
			best = NULL;
		}
	}
	return best;
}
