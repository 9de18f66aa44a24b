/* SPDX-License-Identifier: MIT */
#include "sidecar/cli/log_source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shm/source.h"

#define GUESS_BYTES (256u << 10)

const char *log_source_formats(void)
{
	static char text[256];
	size_t used = 0;

	for (size_t i = 0; i < INGEST_FORMATS; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s, ",
					 ingest_formats[i].name);
	snprintf(text + used, sizeof(text) - used, "or auto (the default)");
	return text;
}

int log_source_begin(const char *format, struct log_source *ret)
{
	struct timespec now;

	*ret = (struct log_source){.format = ingest_format_named(format)};
	if (ret->format == NULL && strcmp(format, "auto") != 0) {
		fprintf(stderr, "tollgate: no format \"%s\"; it is one of %s\n", format,
			log_source_formats());
		return -EINVAL;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	ret->stream.clock.now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	ret->lines.csv = ret->format != NULL && ret->format->csv;
	return 0;
}

void log_source_free(struct log_source *source)
{
	lines_free(&source->lines);
}

/* -EINVAL: it cannot be told. */
static int format_guess(struct log_source *source)
{
	size_t length = source->lines.end - source->lines.start;
	char *scratch = malloc(length ? length : 1);

	if (scratch == NULL)
		return -ENOMEM;
	source->format = ingest_format_guess(source->lines.bytes + source->lines.start, length,
					     source->stream.clock.now_ns, scratch);
	free(scratch);
	if (source->format == NULL)
		return length > 0 ? -EINVAL : 0;
	source->lines.csv = source->format->csv;
	return 0;
}

static int line_take(struct log_source *source, struct ingest_line *line, log_source_event *take)
{
	enum ingest_result result;
	struct ingest_event event;
	int stop = 0;

	do {
		result = source->format->parse(&source->stream, line, &event);
		if (result == INGEST_BAD && source->bad++ < source->shown)
			fprintf(stderr, "%s:%" PRIu64 ": not understood\n", source->path,
				source->lines.number);
		if (result == INGEST_EVENT) {
			source->events++;
			stop = take(source->arg, &event);
		}
	} while (result == INGEST_EVENT && stop == 0 && line->at > 0);
	return stop;
}

static int all_read(struct log_source *source, int fd, log_source_event *take)
{
	struct ingest_line line;
	bool end = false;
	int stop = 0;

	while (!end && stop == 0) {
		stop = lines_read(&source->lines, fd, &end);
		if (stop == 0 && source->format == NULL && !end &&
		    source->lines.end - source->lines.start < GUESS_BYTES)
			continue;
		if (stop == 0 && source->format == NULL)
			stop = format_guess(source);
		while (stop == 0 && source->format != NULL &&
		       lines_next(&source->lines, end, &line))
			stop = line_take(source, &line, take);
	}
	return stop;
}

int log_source_read(struct log_source *source, const char *path, log_source_event *take)
{
	int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	int error;

	source->path = path;
	error = fd < 0 ? -errno : all_read(source, fd, take);
	if (fd > STDIN_FILENO)
		close(fd);
	if (error == -EINVAL && source->format == NULL)
		fprintf(stderr,
			"%s: no known format finds an outcome in it, or two do: say --format\n",
			path);
	else if (error < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(-error));
	return error;
}

void log_source_counts(const struct log_source *source)
{
	fprintf(stderr, "%" PRIu64 " lines read, %" PRIu64 " events, %" PRIu64 " not understood\n",
		source->lines.next, source->events, source->bad + source->lines.too_long);
}

void log_source_left_out(const struct log_source *source, const struct intake_totals *totals)
{
	const struct {
		uint64_t count;
		const char *what;
	} rows[] = {
		{source->timeless, "have no time"},
		{totals->no_attempt, "were no attempt to deliver"},
		{totals->repeated, "repeat what was said already"},
		{totals->no_source, "do not say which address of ours it was: see --source"},
		{totals->no_destination, "do not say what receiver it was"},
		{totals->no_room, "are of more flows than there is room for: raise segment.flows"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].count)
			fprintf(stderr, "%" PRIu64 " of them %s\n", rows[i].count, rows[i].what);
}

static const struct config_mta_log *log_of(const struct config *config, const char *path,
					   const char *format)
{
	const struct config_mta_log *alike = NULL;
	unsigned count = 0;

	for (uint32_t i = 0; i < config->logs_count; i++) {
		if (strcmp(config->logs[i].path, path) == 0)
			return &config->logs[i];
		if (strcmp(config->logs[i].format.text, format) == 0) {
			alike = &config->logs[i];
			count++;
		}
	}
	return count == 1 ? alike : NULL;
}

int log_source_configured(const struct config *config, const char *path, const char *format,
			  const char *source, struct config_mta_log *ret)
{
	const struct config_mta_log *configured = log_of(config, path, format);

	*ret = configured ? *configured : (struct config_mta_log){.source = NULL};
	if (source == NULL)
		return 0;
	ret->source = (char *)source;
	if (source_read(source, ret->source_address) == 0)
		return 0;
	fprintf(stderr, "tollgate: %s: neither an address nor a source's name\n", source);
	return -EINVAL;
}
