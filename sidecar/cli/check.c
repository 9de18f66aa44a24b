/* SPDX-License-Identifier: MIT
 *
 * tollgate check FILE: is this configuration good, and what does it come to?
 *
 * Errors and warnings go to standard error, one a line, "FILE:LINE:COLUMN: error: ...". A good file
 * is answered with the effective limits of each flow that it names, and where each of them comes
 * from. `check --builtin` prints the built-in configuration as it stands, `check --keys` what keys
 * there are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/cli/command.h"
#include "sidecar/cli/options.h"
#include "sidecar/config/config.h"
#include "sidecar/config/limits.h"
#include "sidecar/data/embedded.h"
#include "sidecar/simulate/scenario.h"

struct check_options {
	bool all, elsewhere, builtin, keys;
};

#define FLAG(name, help)                                                                      \
	{                                                                                     \
#name, 0, NULL, help, CLI_FLAG, offsetof(struct check_options, name), 0, NULL \
	}

static const struct cli_option option_rows[] = {
	FLAG(all, "the limits of the built-in destinations, too"),
	FLAG(elsewhere, "users and groups need not be known here"),
	FLAG(builtin, "print the built-in configuration instead"),
	FLAG(keys,
	     "print each key of a configuration and of a scenario instead, with its type, bounds "
	     "and default"),
	{0}};

static const struct cli_syntax syntax = {
	.command = "check",
	.arguments = "FILE\n--builtin\n--keys",
	.max = 1,
	.about =
		"Checks a configuration and prints the effective limits of each flow that it names, with "
		"the line each limit comes from. Status 1: tollgated would not start with it.",
	.options = option_rows,
};

static void print_problems(struct diagnostics *report)
{
	char text[1024];

	diagnostics_sort(report);
	for (uint32_t i = 0; i < report->count; i++)
		fprintf(stderr, "%s\n", diagnostic_text(&report->problems[i], text, sizeof(text)));
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void print_row(const char *name, const char *value, const char *origin)
{
	printf("  %-24s %-36s %s\n", name, value, origin);
}

/* What the rate comes to over the windows that receivers count in. */
static void print_windows(const struct resolved_limits *resolved)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} windows[] = {
		{"a minute", UNITS_MINUTE_NS}, {"an hour", UNITS_HOUR_NS}, {"a day", UNITS_DAY_NS}};
	char text[128] = "";
	char count[32];
	size_t used = 0;

	if (resolved->limits.interval_ns == 0)
		return;
	for (unsigned i = 0; i < 3; i++)
		used += (size_t)snprintf(
			text + used, sizeof(text) - used, "%s%s in %s", i ? ", " : "",
			units_count_text(limits_window_max(&resolved->limits, windows[i].ns), count,
					 sizeof(count)),
			windows[i].name);
	print_row("  (at most, by the rate)", text, "");
}

static void print_policy(const struct resolved_limits *resolved)
{
	static const enum config_limit keys[] = {
		LIMIT_RATE,
		LIMIT_BURST,
		LIMIT_HOUR,
		LIMIT_HOUR_STARTS,
		LIMIT_DAY,
		LIMIT_DAY_STARTS,
		LIMIT_CONNECTIONS,
		LIMIT_CONNECTION_RATE,
		LIMIT_CONNECTION_BURST,
		LIMIT_MESSAGES_PER_CONNECTION,
		LIMIT_COUNT,
		LIMIT_ADAPT,
		LIMIT_FLOOR,
		LIMIT_CEILING,
		LIMIT_START,
		LIMIT_BASELINE,
		LIMIT_BASELINE_MINUTE,
		LIMIT_BASELINE_HOUR,
		LIMIT_BASELINE_DAY,
	};
	char value[128];
	char origin[256];

	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		limits_value_text(resolved, keys[i], value, sizeof(value));
		if (strcmp(value, "-") == 0)
			continue;
		/* What nobody wrote and what has no effect would only fill the page. */
		if (!resolved->origin[keys[i]].file && keys[i] != LIMIT_RATE &&
		    keys[i] != LIMIT_BURST)
			continue;
		print_row(config_limit_name(keys[i]), value,
			  limits_origin_text(resolved, keys[i], origin, sizeof(origin)));
		if (keys[i] == LIMIT_RATE)
			print_windows(resolved);
	}
	putchar('\n');
}

static void print_destination(const struct config *config,
			      const struct config_destination *destination)
{
	struct resolved_limits resolved;

	limits_resolve_flow(config, NULL, destination->name, &resolved);
	printf("any source -> %s\n", destination->name);
	print_policy(&resolved);
	limits_resolve_destination(config, destination->name, &resolved);
	if (!limits_any(&resolved))
		return;
	printf("all sources -> %s\n", destination->name);
	print_policy(&resolved);
}

static void print_sources(const struct config *config)
{
	struct resolved_limits resolved;

	for (uint32_t i = 0; i < config->pools_count; i++) {
		limits_resolve_source(config, config->pools[i].ranges[0].first, &resolved);
		if (!limits_any(&resolved))
			continue;
		printf("each source of pool %s -> all destinations\n", config->pools[i].name);
		print_policy(&resolved);
	}
	for (uint32_t i = 0; i < config->sources_count; i++) {
		limits_resolve_source(config, config->sources[i].range.first, &resolved);
		printf("%s -> all destinations\n", config->sources[i].address);
		print_policy(&resolved);
	}
	limits_resolve_stream(config, "", &resolved);
	if (limits_any(&resolved)) {
		printf("each stream\n");
		print_policy(&resolved);
	}
	for (uint32_t i = 0; i < config->streams_count; i++) {
		limits_resolve_stream(config, config->streams[i].name, &resolved);
		printf("stream %s\n", config->streams[i].name);
		print_policy(&resolved);
	}
}

static void print_overrides(const struct config *config)
{
	for (uint32_t i = 0; i < config->overrides_count; i++) {
		const struct config_override *override = &config->overrides[i];
		struct resolved_limits resolved;

		limits_resolve_flow(config,
				    override->of_pool ? override->of_pool->ranges[0].first
						      : override->range.first,
				    override->canonical, &resolved);
		printf("%s%s -> %s\n", override->of_pool ? "pool " : "",
		       override->of_pool ? override->pool : override->source, override->canonical);
		print_policy(&resolved);
	}
}

static void print_config(const struct config *config, bool all)
{
	struct resolved_limits resolved;

	limits_resolve_flow(config, NULL, "", &resolved);
	printf("any source -> any other destination\n");
	print_policy(&resolved);
	for (uint32_t i = 0; i < config->effective_count; i++)
		if (all || !config->effective[i]->builtin)
			print_destination(config, config->effective[i]);
	print_overrides(config);
	print_sources(config);
}

/* ---- the command ----------------------------------------------------------------------------- */

static int check_builtin(void)
{
	struct diagnostics report = {.count = 0};
	struct config *config = NULL;
	int rc = config_builtin(NULL, &config, &report);

	print_problems(&report);
	diagnostics_free(&report);
	config_free(config);
	fwrite(builtin_config, 1, builtin_config_size(), stdout);
	return rc < 0 ? 1 : 0;
}

static int print_keys(void)
{
	puts("# tollgate.yaml");
	config_keys_print(stdout);
	puts("\n# scenarios of tollgate simulate");
	scenario_keys_print(stdout);
	return 0;
}

/* What a start here would refuse is an error. */
static void count_here(struct diagnostics *report)
{
	for (uint32_t i = 0; i < report->count; i++)
		if (report->problems[i].here) {
			report->problems[i].error = true;
			report->errors++;
			report->warnings--;
		}
}

static int check_file(const char *path, bool all, bool elsewhere)
{
	struct diagnostics report = {.count = 0};
	struct config *config = NULL;
	int rc = config_read(path, NULL, &config, &report);

	if (!elsewhere)
		count_here(&report);
	print_problems(&report);
	if (rc == 0) {
		print_config(config, all);
		config_free(config);
	}
	fflush(stdout);
	if (report.errors || report.warnings || rc == 0)
		fprintf(stderr, "%s: %u error%s, %u warning%s\n", path, report.errors,
			report.errors == 1 ? "" : "s", report.warnings,
			report.warnings == 1 ? "" : "s");
	rc = report.errors ? -1 : rc;
	diagnostics_free(&report);
	return rc < 0 ? 1 : 0;
}

int cli_check(int argc, char **argv)
{
	struct check_options options = {0};
	char **files;
	int count = options_read(&syntax, argc, argv, &options, &files);

	if (count != !(options.builtin || options.keys))
		return options_wrong(&syntax, "name a FILE, or ask for --builtin or --keys");
	if (options.builtin)
		return check_builtin();
	if (options.keys)
		return print_keys();
	return check_file(files[0], options.all, options.elsewhere);
}
