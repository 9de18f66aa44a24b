/* SPDX-License-Identifier: MIT
 *
 * tollgate parse [--format F] [-c FILE] [--rules FILE] LOG
 *
 * What is in a log: a line of JSON for each outcome, and counts of lines on standard error. LOG is
 * "-" for standard input.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shm/destination.h"
#include "sidecar/base/json.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/log_source.h"
#include "sidecar/cli/options.h"
#include "sidecar/cli/rules_source.h"
#include "sidecar/config/config.h"

struct parse_options {
	const char *format, *config, *rules;
};

static struct cli_option option_rows[] = {
	{"format", 'f', "F", NULL, CLI_TEXT, offsetof(struct parse_options, format), 0, NULL},
	{"config", 'c', "FILE", "destinations of this configuration, and its rules", CLI_TEXT,
	 offsetof(struct parse_options, config), 0, NULL},
	{"rules", 'r', "FILE", "these rules in front of ours, instead of the configuration's",
	 CLI_TEXT, offsetof(struct parse_options, rules), 0, NULL},
	{0}};

static const struct cli_syntax syntax = {
	.command = "parse",
	.arguments = "LOG",
	.min = 1,
	.max = 1,
	.about =
		"Prints a line of JSON for each outcome in LOG (\"-\": standard input): line, source, "
		"domain, mx, outcome, code, enhanced, text, class; null if the log does not say. "
		"Standard error tells the numbers of lines, of outcomes, and of lines that were not "
		"understood.",
	.options = option_rows,
};

struct parser {
	const struct loaded_rules *rules;
	const struct config *config;
	struct log_source source;
	struct json_writer writer;
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
	classify(parser->rules->classifier, parser->rules->scratch, destination, &reply, &found);
	return reply_class_name(found.class);
}

static int event_print(void *arg, const struct ingest_event *event)
{
	struct parser *parser = arg;
	struct json_writer *writer = &parser->writer;

	json_writer_clear(writer);
	json_put_object(writer, NULL);
	if (event->index > 0)
		json_put_format(writer, "line", "%" PRIu64 ".%u", parser->source.lines.number,
				event->index);
	else
		json_put_u64(writer, "line", parser->source.lines.number);
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
	return 0;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int log_parse(struct parser *parser, const char *path)
{
	int error = log_source_read(&parser->source, path, event_print);

	log_source_counts(&parser->source);
	return error == 0 && fflush(stdout) == 0 && !json_failed(&parser->writer) ? 0 : 1;
}

static int parse_run(const struct parse_options *options, const char *path)
{
	struct loaded_rules rules = {0};
	struct parser parser = {.rules = &rules};
	struct config *config;
	int status = 1;

	if (log_source_begin(options->format, &parser.source) != 0)
		return 2;
	parser.source.arg = &parser;
	config = rules_source_config(options->config);
	if (config == NULL)
		return 1;
	parser.config = config;
	if (rules_source_load_with(options->rules, options->rules == NULL ? &config->rules : NULL,
				   &rules) == 0)
		status = log_parse(&parser, path);
	rules_source_free(&rules);
	log_source_free(&parser.source);
	json_writer_free(&parser.writer);
	config_free(config);
	return status;
}

int cli_parse(int argc, char **argv)
{
	struct parse_options options = {.format = "auto"};
	char **logs;

	option_rows[0].help = log_source_formats();
	options_read(&syntax, argc, argv, &options, &logs);
	return parse_run(&options, logs[0]);
}
