/* SPDX-License-Identifier: MIT
 *
 * tollgate log: what changed of limits, when, and why. Reads the store itself, so it needs no
 * running sidecar.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shm/destination.h"
#include "shm/source.h"
#include "sidecar/base/json.h"
#include "sidecar/base/units.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/rules_source.h"
#include "sidecar/config/state_folder.h"
#include "sidecar/store/db.h"

#define SECOND_NS INT64_C(1000000000)

struct asked {
	const char *config, *folder, *source, *destination, *since;
	bool json;
	struct json_writer line;
};

static int usage(FILE *out, int status)
{
	fputs("usage: tollgate log [-c FILE] [--state DIR] [--flow SOURCE DESTINATION] [--since T] [--json]\n\n"
	      "Prints each change of a flow's limits that the store holds, the oldest first: when, which flow,\n"
	      "what changed, who decided it (configuration, control, rule, operator), and the rule and the reply\n"
	      "that led to it. --since: as long ago (\"2h\", \"3d\"), or a day (2026-11-28). --state: the store's\n"
	      "folder, else the one of the configuration FILE, or of the one in force. Root and the sidecar's\n"
	      "user may read it.\n",
	      out);
	return status;
}

/* ---- printing -------------------------------------------------------------------------------- */

static int print_json(struct asked *asked, const struct db_change *change, const char *source)
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
	struct asked *asked = arg;
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

static int changes_print(struct asked *asked, const struct config *config, const char *folder)
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

static int run(struct asked *asked)
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
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
						{"state", required_argument, NULL, 'd'},
						{"flow", required_argument, NULL, 'f'},
						{"since", required_argument, NULL, 's'},
						{"json", no_argument, NULL, 'j'},
						{"help", no_argument, NULL, 'h'},
						{NULL, 0, NULL, 0}};
	struct asked asked = {.json = false};
	int option;

	while ((option = getopt_long(argc, argv, "+c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c': asked.config = optarg; break;
		case 'd': asked.folder = optarg; break;
		case 'f':
			asked.source = optarg;
			if (optind >= argc)
				return usage(stderr, 2);
			asked.destination = argv[optind++];
			break;
		case 's': asked.since = optarg; break;
		case 'j': asked.json = true; break;
		case 'h': return usage(stdout, 0);
		default: return usage(stderr, 2);
		}
	}
	return optind < argc ? usage(stderr, 2) : run(&asked);
}
