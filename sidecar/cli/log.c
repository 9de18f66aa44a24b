/* SPDX-License-Identifier: MIT
 *
 * tollgate log: what changed of limits, when, and why. Reads the store itself, so it needs no
 * running sidecar.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shm/destination.h"
#include "shm/source.h"
#include "sidecar/base/json.h"
#include "sidecar/base/units.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/options.h"
#include "sidecar/cli/rules_source.h"
#include "sidecar/config/state_folder.h"
#include "sidecar/store/db.h"

#define SECOND_NS INT64_C(1000000000)

struct log_asked {
	const char *config, *folder, *source, *destination, *since;
	bool json;
	struct json_writer line;
};

static const struct cli_option option_rows[] = {
	{.name = "config",
	 .letter = 'c',
	 .value = "FILE",
	 .help = "the store of this configuration; without it of the one in force",
	 .kind = CLI_TEXT,
	 .offset = offsetof(struct log_asked, config)},
	{.name = "state",
	 .value = "DIR",
	 .help = "the store's folder",
	 .kind = CLI_TEXT,
	 .offset = offsetof(struct log_asked, folder)},
	{.name = "flow",
	 .value = "SOURCE",
	 .help = "of the flow from SOURCE to DESTINATION alone",
	 .kind = CLI_TEXT,
	 .offset = offsetof(struct log_asked, source)},
	{.name = "since",
	 .value = "T",
	 .help = "from so long ago on (2h, 3d), or from a day (2026-11-28)",
	 .kind = CLI_TEXT,
	 .offset = offsetof(struct log_asked, since)},
	CLI_JSON(struct log_asked),
	{.name = NULL},
};

static const struct cli_syntax syntax = {
	.command = "log",
	.arguments = "[DESTINATION]",
	.max = 1,
	.about =
		"Prints each change of a flow's limits that the store holds, the oldest first: when, "
		"which flow, what changed, who decided it (configuration, control, rule, operator), "
		"and the rule and the reply that led to it. Root and the sidecar's user may read it.",
	.options = option_rows,
};

/* ---- printing -------------------------------------------------------------------------------- */

static int print_json(struct log_asked *asked, const struct db_change *change, const char *source)
{
	struct json_writer *line = &asked->line;

	json_writer_clear(line);
	json_put_object(line, NULL);
	json_put_number(line, "at", (double)change->at_ns / 1e9, 3);
	json_put_text(line, "source", source);
	json_put_text(line, "destination", change->name);
	json_put_text(line, "what", change->what);
	json_put_text(line, "by", change->by);
	json_put_text(line, "rule", change->rule);
	json_put_text(line, "reply", change->reply);
	json_put_end(line);
	json_put_newline(line);
	if (json_failed(line))
		return -1;
	fwrite(line->text, 1, line->length, stdout);
	return 0;
}

static int print(void *arg, const struct db_change *change)
{
	struct log_asked *asked = arg;
	time_t at = (time_t)(change->at_ns / SECOND_NS);
	char source[64], when[32];
	struct tm local;

	destination_address_text(change->source, source, sizeof(source));
	if (asked->json)
		return print_json(asked, change, source);
	localtime_r(&at, &local);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &local);
	printf("%s  %s to %s: %s (%s", when, source, change->name, change->what,
	       change->by ? change->by : "?");
	if (change->rule && *change->rule)
		printf(", %s", change->rule);
	printf(")%s%s\n", change->reply && *change->reply ? ": " : "",
	       change->reply ? change->reply : "");
	return 0;
}

/* ---- what was asked for ---------------------------------------------------------------------- */

/* Nanoseconds of the wall clock; -1: not a time. */
static int64_t since_read(const char *text)
{
	struct tm day = {.tm_isdst = -1};
	const char *end;
	uint64_t ago_ns;

	if (text == NULL)
		return 0;
	if (units_duration(text, &ago_ns, NULL) == 0)
		return time(NULL) * SECOND_NS - (int64_t)ago_ns;
	end = strptime(text, "%Y-%m-%d", &day);
	return end && *end == '\0' ? mktime(&day) * SECOND_NS : -1;
}

/* A store by its folder alone knows destinations by the names that it has for them. */
static const char *name_read(const struct config *config, const char *text,
			     struct destination_match *match)
{
	if (config == NULL ||
	    destination_match(config->table, config->table_length, text, match) != 0)
		return text;
	return match->name;
}

static int changes_print(struct log_asked *asked, const struct config *config, const char *folder)
{
	int64_t since_ns = since_read(asked->since);
	char path[512], reason[DB_REASON];
	struct destination_match match;
	uint8_t source[16] = {0};
	struct db *db;
	int error;

	if (since_ns < 0)
		return fprintf(stderr, "tollgate log: %s: neither how long ago nor a day\n",
			       asked->since),
		       2;
	if (asked->source && source_read(asked->source, source) != 0)
		return fprintf(stderr, "tollgate log: %s: not an address, nor a source's name\n",
			       asked->source),
		       2;
	snprintf(path, sizeof(path), "%s/" DB_FILE, folder);
	error = db_open(path, false, &db, reason);
	if (error)
		return fprintf(stderr, "tollgate log: %s: %s\n", path, reason), 1;
	error = db_changes(db, since_ns, source,
			   asked->source ? name_read(config, asked->destination, &match) : NULL,
			   print, asked);
	if (error)
		fprintf(stderr, "tollgate log: %s: %s\n", path, db_error_text(db));
	db_close(db);
	json_writer_free(&asked->line);
	return error ? 1 : 0;
}

static int run(struct log_asked *asked)
{
	struct config *config = NULL;
	const char *folder = asked->folder;
	char text[256];
	int status;

	if (folder == NULL) {
		config = asked->config ? rules_source_config(asked->config)
				       : rules_source_config_in_force(NULL);
		if (config == NULL)
			return 1;
		folder = state_folder(config, text, sizeof(text));
	}
	if (folder)
		status = changes_print(asked, config, folder);
	else
		status = (fputs("tollgate log: the configuration wants no store\n", stderr), 1);
	config_free(config);
	return status;
}

int cli_log(int argc, char **argv)
{
	struct log_asked asked = {.json = false};
	char **arguments;
	int count = options_read(&syntax, argc, argv, &asked, &arguments);

	if ((count > 0) != (asked.source != NULL))
		return options_wrong(&syntax, "a flow is --flow SOURCE DESTINATION");
	asked.destination = count > 0 ? arguments[0] : NULL;
	return run(&asked);
}
