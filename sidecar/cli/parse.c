/* SPDX-License-Identifier: MIT
 *
 * tollgate parse [--format F] [-c FILE] [--rules FILE] LOG
 *
 * What is in a log: a line of JSON for each outcome, and counts of lines on standard error. LOG is
 * "-" for standard input.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shm/destination.h"
#include "sidecar/base/json.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/rules_source.h"
#include "sidecar/config/config.h"
#include "sidecar/ingest/format.h"
#include "sidecar/ingest/lines.h"

#define GUESS_BYTES (256u << 10)

static const char usage[] =
	"usage: tollgate parse [--format F] [-c FILE] [--rules FILE] LOG\n"
	"A line of JSON for each outcome in LOG (\"-\": standard input): line, source, domain, mx,\n"
	"outcome, code, enhanced, text, class; null where the log does not say. How many lines there\n"
	"were, how many outcomes, and how many lines were not understood, goes to standard error.\n"
	"  --format F    ";

static int usage_print(FILE *out, int status)
{
	fputs(usage, out);
	for (size_t i = 0; i < INGEST_FORMATS; i++)
		fprintf(out, "%s%s", i ? ", " : "", ingest_formats[i].name);
	fputs(", or auto (the default)\n"
	      "  -c FILE       destinations of this configuration, and its rules\n"
	      "  --rules FILE  these rules in front of ours (instead of the configuration's)\n",
	      out);
	return status;
}

struct parser {
	const struct loaded_rules *rules;
	const struct config *config;
	const struct ingest_format *format;
	struct ingest_stream stream;
	struct lines lines;
	struct json_writer writer;
	uint64_t events, bad;
};

/* ---- an event -------------------------------------------------------------------------------- */

static void put_text(struct json_writer *writer, const char *key, struct ingest_text text)
{
	if (text.at != NULL)
		json_put_bytes(writer, key, text.at, text.length);
	else
		json_put_null(writer, key);
}

static const char *class_of(const struct parser *parser, const struct ingest_event *event)
{
	struct ingest_text name = event->mx.at ? event->mx : event->domain;
	char text[DESTINATION_NAME_MAX + 1];
	const char *destination = NULL;
	struct destination_match match;
	struct classification found;
	struct reply_line reply;

	if (!ingest_event_reply(event, &reply))
		return NULL;
	if (name.at != NULL && name.length < sizeof(text)) {
		memcpy(text, name.at, name.length);
		text[name.length] = '\0';
		if (destination_match(parser->config->table, parser->config->table_length, text,
				      &match) == 0)
			destination = match.name;
	}
	classify(parser->rules->classifier, parser->rules->scratch, destination, reply.code,
		 reply.enhanced, reply.text, reply.len, &found);
	return reply_class_name(found.class);
}

static void event_print(struct parser *parser, const struct ingest_event *event)
{
	struct json_writer *writer = &parser->writer;

	json_writer_clear(writer);
	json_put_object(writer, NULL);
	if (event->index > 0)
		json_put_format(writer, "line", "%" PRIu64 ".%u", parser->lines.number,
				event->index);
	else
		json_put_u64(writer, "line", parser->lines.number);
	put_text(writer, "source", event->source);
	put_text(writer, "domain", event->domain);
	put_text(writer, "mx", event->mx);
	json_put_text(writer, "outcome", ingest_outcome_name(event->outcome));
	if (event->code != 0)
		json_put_u64(writer, "code", event->code);
	else
		json_put_null(writer, "code");
	if (event->enhanced != 0)
		json_put_format(writer, "enhanced", "%u.%u.%u", event->enhanced >> 20,
				event->enhanced >> 10 & 0x3FF, event->enhanced & 0x3FF);
	else
		json_put_null(writer, "enhanced");
	put_text(writer, "text", event->text);
	json_put_text(writer, "class", class_of(parser, event));
	json_put_end(writer);
	json_put_newline(writer);
	fwrite(writer->text, 1, writer->length, stdout);
}

static void line_parse(struct parser *parser, struct ingest_line *line)
{
	struct ingest_event event;
	enum ingest_result result;

	do {
		result = parser->format->parse(&parser->stream, line, &event);
		parser->bad += result == INGEST_BAD;
		if (result == INGEST_EVENT) {
			parser->events++;
			event_print(parser, &event);
		}
	} while (result == INGEST_EVENT && line->at > 0);
}

/* ---- the log --------------------------------------------------------------------------------- */

/* By what stands at its start. -EINVAL: it cannot be told. */
static int format_guess(struct parser *parser)
{
	size_t length = parser->lines.end - parser->lines.start;
	char *scratch = malloc(length ? length : 1);

	if (scratch == NULL)
		return -ENOMEM;
	parser->format = ingest_format_guess(parser->lines.bytes + parser->lines.start, length,
					     parser->stream.clock.now_ns, scratch);
	free(scratch);
	if (parser->format == NULL)
		return length > 0 ? -EINVAL : 0;
	parser->lines.csv = parser->format->csv;
	return 0;
}

static int log_read(struct parser *parser, int fd)
{
	struct ingest_line line;
	bool end = false;
	int error = 0;

	while (!end && error == 0) {
		size_t room;
		char *into = lines_room(&parser->lines, &room);
		ssize_t n = into != NULL ? read(fd, into, room) : -1;

		if (into == NULL)
			return -ENOMEM;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		end = n == 0;
		lines_filled(&parser->lines, (size_t)n);
		if (parser->format == NULL && !end &&
		    parser->lines.end - parser->lines.start < GUESS_BYTES)
			continue;
		if (parser->format == NULL)
			error = format_guess(parser);
		while (error == 0 && parser->format != NULL &&
		       lines_next(&parser->lines, end, &line))
			line_parse(parser, &line);
	}
	return error;
}

static int log_parse(struct parser *parser, const char *path)
{
	int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	int error = fd < 0 ? -errno : log_read(parser, fd);
	uint64_t bad = parser->bad + parser->lines.too_long;

	if (fd > STDIN_FILENO)
		close(fd);
	if (error == -EINVAL)
		fprintf(stderr,
			"%s: no known format finds an outcome in it, or two do: say --format\n",
			path);
	else if (error != 0)
		fprintf(stderr, "%s: %s\n", path, strerror(-error));
	fprintf(stderr, "%" PRIu64 " lines read, %" PRIu64 " events, %" PRIu64 " not understood\n",
		parser->lines.next, parser->events, bad);
	return error == 0 && fflush(stdout) == 0 && !json_failed(&parser->writer) ? 0 : 1;
}

static int parse_run(const char *format, const char *config_path, const char *rules_path,
		     const char *path)
{
	struct parser parser = {.format = ingest_format_named(format)};
	struct loaded_rules rules = {0};
	struct config *config;
	struct timespec now;
	int status = 1;

	if (parser.format == NULL && strcmp(format, "auto") != 0) {
		fprintf(stderr, "tollgate: no format \"%s\"\n\n", format);
		return usage_print(stderr, 2);
	}
	config = rules_source_config(config_path);
	if (config == NULL)
		return 1;
	clock_gettime(CLOCK_REALTIME, &now);
	parser.stream.clock.now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	parser.lines.csv = parser.format != NULL && parser.format->csv;
	parser.config = config;
	parser.rules = &rules;
	if (rules_source_load_with(rules_path, rules_path == NULL ? &config->rules : NULL,
				   &rules) == 0)
		status = log_parse(&parser, path);
	rules_source_free(&rules);
	lines_free(&parser.lines);
	json_writer_free(&parser.writer);
	config_free(config);
	return status;
}

int cli_parse(int argc, char **argv)
{
	static const struct option options[] = {{"format", required_argument, NULL, 'f'},
						{"config", required_argument, NULL, 'c'},
						{"rules", required_argument, NULL, 'r'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	const char *format = "auto", *config_path = NULL, *rules_path = NULL;
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "c:f:h", options, NULL)) != -1) {
		switch (option) {
		case 'f': format = optarg; break;
		case 'c': config_path = optarg; break;
		case 'r': rules_path = optarg; break;
		case 'h': return usage_print(stdout, 0);
		default: return usage_print(stderr, 2);
		}
	}
	if (optind + 1 != argc)
		return usage_print(stderr, 2);
	return parse_run(format, config_path, rules_path, argv[optind]);
}
