/* SPDX-License-Identifier: MIT
 *
 * tollgate destination NAME...: which destination does an MX host, a domain or an address belong
 * to, and why? Asks the table that workers would be given for this configuration; needs no running
 * sidecar.
 */
#include "shm/destination.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "sidecar/base/json.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/options.h"
#include "sidecar/config/config.h"

struct destination_options {
	const char *config;
	bool json;
};

static const struct cli_option option_rows[] = {
	{"config", 'c', "FILE",
	 "by this configuration; without it " CONFIG_PATH_DEFAULT
	 " if it is there, else the built-in one",
	 CLI_TEXT, offsetof(struct destination_options, config), 0, NULL},
	CLI_JSON(struct destination_options),
	{0}};

static const struct cli_syntax syntax = {
	.command = "destination",
	.arguments = "NAME...",
	.min = 1,
	.max = -1,
	.about =
		"Prints which destination each MX host, recipient's domain or address belongs to, and "
		"how that was found: exact, suffix, address, registrable (by the Public Suffix List), or "
		"default. Status 1: a NAME is neither a name nor an address (its destination is null).",
	.options = option_rows,
};

/* ---- why ------------------------------------------------------------------------------------- */

/* Whether an entry of mx matches the name, on a label boundary. */
static bool suffix_matches(const char *name, const char *suffix)
{
	size_t dot = suffix[0] == '.';
	size_t length = strlen(name);
	size_t tail = strlen(suffix) - dot;

	if (tail > 0 && suffix[dot + tail - 1] == '.')
		tail--;
	if (length < tail || strncasecmp(name + length - tail, suffix + dot, tail) != 0)
		return false;
	return length == tail ? !dot : name[length - tail - 1] == '.';
}

/* The longest of a destination's entries that is the reason for an answer, or NULL. */
static const char *reason_suffix(const struct config_destination *destination, const char *name)
{
	const char *best = NULL;
	uint32_t count;
	char *const *mx = config_mx(destination, &count);

	for (uint32_t i = 0; i < count; i++)
		if (suffix_matches(name, mx[i]) && (!best || strlen(mx[i]) > strlen(best)))
			best = mx[i];
	return best;
}

static const char *reason_domain(const struct config_destination *destination, const char *name)
{
	uint32_t count;
	char *const *domains = config_domains(destination, &count);
	char entry[DESTINATION_NAME_MAX + 1];

	for (uint32_t i = 0; i < count; i++) {
		size_t length = strlen(domains[i]);

		if (destination_normalise(domains[i], entry) > 0 && strcmp(entry, name) == 0)
			return domains[i];
		if (length > 1 && domains[i][length - 1] == '*' &&
		    strncasecmp(domains[i], name, length - 1) == 0)
			return domains[i];
	}
	return NULL;
}

static const char *reason_address(const struct config_destination *destination,
				  const uint8_t address[16])
{
	const char *best = NULL;
	struct address_range range;
	uint8_t narrow[16];
	const char *why;
	uint32_t count;
	char *const *addresses = config_addresses(destination, &count);

	for (uint32_t i = 0; i < count; i++) {
		if (address_range_read(addresses[i], &range, &why) < 0 ||
		    !address_range_has(&range, address) ||
		    (best && memcmp(range.first, narrow, 16) < 0))
			continue;
		best = addresses[i];
		memcpy(narrow, range.first, 16);
	}
	return best;
}

static void print_reason(const struct config *config, const struct destination_match *match,
			 const char *name)
{
	const struct config_destination *destination =
		match->index >= 0 ? config->effective[match->index] : NULL;
	char normal[DESTINATION_NAME_MAX + 1];
	const char *entry = NULL;

	if (destination_normalise(name, normal) < 0)
		normal[0] = '\0';
	if (destination && match->by == DESTINATION_SUFFIX)
		entry = reason_suffix(destination, normal);
	else if (destination && match->by == DESTINATION_EXACT)
		entry = reason_domain(destination, normal);
	else if (destination && match->by == DESTINATION_ADDRESS)
		entry = reason_address(destination, match->address);
	if (entry)
		printf(" %s", entry);
	else if (match->by == DESTINATION_EXACT)
		printf(" (its own name)");
	else if (match->by == DESTINATION_REGISTRABLE && destination)
		printf(" (its registrable domain belongs to it)");
	else if (match->by == DESTINATION_DEFAULT)
		printf(match->is_address ? " (an address that no destination names)"
					 : " (a public suffix, or a name without a domain)");
}

static void print_json(const char *name, const struct destination_match *match)
{
	struct json_writer writer = {.text = NULL};

	json_put_object(&writer, NULL);
	json_put_text(&writer, "name", name);
	json_put_text(&writer, "destination", match ? match->name : NULL);
	json_put_text(&writer, "by", match ? destination_by_name(match->by) : NULL);
	json_put_end(&writer);
	json_put_newline(&writer);
	if (!json_failed(&writer))
		fwrite(writer.text, 1, writer.length, stdout);
	json_writer_free(&writer);
}

static bool print_name(const struct config *config, const char *name, bool json)
{
	struct destination_match match;
	bool good = destination_match(config->table, config->table_length, name, &match) == 0;

	if (json) {
		print_json(name, good ? &match : NULL);
		return good;
	}
	if (!good) {
		fputs("tollgate: ", stderr);
		for (const char *c = name; *c; c++)
			fputc((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c, stderr);
		fputs(": neither a name nor an address\n", stderr);
		return false;
	}
	printf("%-40s %-24s by %s", name, match.name, destination_by_name(match.by));
	print_reason(config, &match, name);
	putchar('\n');
	return true;
}

/* ---- the command ----------------------------------------------------------------------------- */

/* The configuration asked for; what is wrong with it goes to standard error. */
static struct config *config_open(const char *path)
{
	struct diagnostics report = {.count = 0};
	struct config *config = NULL;
	char text[1024];

	if (!path && access(CONFIG_PATH_DEFAULT, F_OK) == 0)
		path = CONFIG_PATH_DEFAULT;
	if (path)
		config_read(path, NULL, &config, &report);
	else
		config_load(&(struct config_text){"", 0, "(no file)", NULL}, NULL, &config,
			    &report);
	diagnostics_sort(&report);
	for (uint32_t i = 0; i < report.count; i++)
		if (report.problems[i].error || !config || report.problems[i].mark.line == 0)
			fprintf(stderr, "%s\n",
				diagnostic_text(&report.problems[i], text, sizeof(text)));
	diagnostics_free(&report);
	return config;
}

int cli_destination(int argc, char **argv)
{
	struct destination_options options = {0};
	struct config *config;
	char **names;
	int status = 0, count = options_read(&syntax, argc, argv, &options, &names);

	config = config_open(options.config);
	if (!config)
		return 1;
	for (int i = 0; i < count; i++)
		if (!print_name(config, names[i], options.json))
			status = 1;
	config_free(config);
	return status;
}
