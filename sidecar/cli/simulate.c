/* SPDX-License-Identifier: MIT
 *
 * tollgate simulate: runs scenarios, prints how each policy fared.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sidecar/base/log.h"
#include "sidecar/base/units.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/options.h"
#include "sidecar/simulate/random.h"
#include "sidecar/simulate/report.h"
#include "sidecar/simulate/sim_config.h"
#include "sidecar/simulate/simulate.h"

#define SEEDS_MAX     64
#define RANDOM_MAX    100000
#define SCENARIO_TEXT 8192

struct simulate_command {
	bool json;
	bool replies;
	bool summary;
	const char *config; /* NULL: the built-in one */
	const char *plot;
	const char *trace;
	const char *write; /* folder that random scenarios are written to */
	uint64_t random;   /* how many; 0: none */
	uint64_t seeds[SEEDS_MAX];
	size_t seed_count; /* 0: the scenario's own */
	const struct simulate_policy *policies[SIMULATE_POLICIES_MAX];
	size_t policy_count;
	char **files;
	int file_count;
};

/* ---- options --------------------------------------------------------------------------------- */

static const char *policies_take(void *into, const char *option, char *names)
{
	struct simulate_command *options = into;
	bool all = strcmp(names, "all") == 0;

	options->policy_count = 0;
	for (size_t i = 0; all && simulate_policies[i]; i++)
		options->policies[options->policy_count++] = simulate_policies[i];
	for (char *name = all ? NULL : strtok(names, ","); name; name = strtok(NULL, ",")) {
		const struct simulate_policy *policy = simulate_policy_find(name);

		if (!policy)
			return "no such policy";
		if (options->policy_count == SIMULATE_POLICIES_MAX)
			return "too many";
		options->policies[options->policy_count++] = policy;
	}
	return options->policy_count ? NULL : "no policy";
}

static const char *seeds_take(void *into, const char *option, char *texts)
{
	struct simulate_command *options = into;
	const char *reason;

	for (char *text = strtok(texts, ","); text; text = strtok(NULL, ",")) {
		if (options->seed_count == SEEDS_MAX)
			return "too many seeds";
		if (units_count(text, &options->seeds[options->seed_count++], &reason) != 0)
			return reason;
	}
	return NULL;
}

#define FLAG(member, help)                                                                      \
	{                                                                                       \
#member, 0, NULL, help, CLI_FLAG, offsetof(struct simulate_command, member), 0, \
			NULL                                                                    \
	}
#define TEXT(member, value, help)                                                                \
	{                                                                                        \
#member, 0, value, help, CLI_TEXT, offsetof(struct simulate_command, member), 0, \
			NULL                                                                     \
	}
#define READ(name, value, read, help)                      \
	{                                                  \
		name, 0, value, help, CLI_READ, 0, 0, read \
	}

static const struct cli_option option_rows[] = {
	READ("policy", "P[,P...]", policies_take,
	     "only these: tollgate, none, sliding-window, cooldown, backoff, oracle, calendar; or all but the last"),
	READ("seed", "S", seeds_take,
	     "another seed than the scenario's; with --random, of the first scenario"),
	READ("seeds", "S[,S...]", seeds_take, "several seeds, one after the other"),
	TEXT(config, "FILE", "tollgate's configuration; without it, the built-in one"),
	TEXT(plot, "FILE.svg", "draw accepted rates beside the hidden limit"),
	TEXT(trace, "FILE", "write what tollgate makes of each deferral"),
	FLAG(replies, "also print how often each kind of answer was given"),
	FLAG(summary, "one table over all scenarios and seeds, nothing else"),
	{"random", 0, "N", "N scenarios at random, those that went worst first", CLI_COUNT,
	 offsetof(struct simulate_command, random), RANDOM_MAX, NULL},
	TEXT(write, "DIR", "write the random scenarios there as well, as random-SEED.yaml"),
	CLI_JSON(struct simulate_command),
	{0}};

static const struct cli_syntax syntax = {
	.command = "simulate",
	.arguments = "SCENARIO...\n--random N [--seed S]",
	.max = -1,
	.about =
		"Runs scenarios, and prints a line with the results of each policy. tollgate-simulate(5) "
		"describes scenarios and what is printed.",
	.options = option_rows,
};

/* 0, or the exit status. */
static int take_options(struct simulate_command *options, int argc, char **argv)
{
	options->file_count = options_read(&syntax, argc, argv, options, &options->files);
	if ((options->file_count == 0) == (options->random == 0))
		return options_wrong(&syntax, "name scenarios, or ask for --random ones");
	if (options->plot &&
	    (options->random + (uint64_t)options->file_count > 1 || options->seed_count > 1))
		return options_wrong(&syntax, "--plot draws one scenario at one seed");
	return 0;
}

/* ---- running --------------------------------------------------------------------------------- */

struct runs {
	struct simulate_config *config;
	FILE *trace;
	struct simulate_outcome *outcomes;
	size_t count;
};

static void outcome_free(struct simulate_outcome *outcome)
{
	simulate_result_free(&outcome->oracle);
	for (size_t i = 0; i < outcome->count; i++)
		simulate_result_free(&outcome->results[i]);
}

/* Runs the scenario under each policy, and the oracle, whom the others are measured by, in any
 * case. */
static int run_policies(const struct simulate_command *options, const struct scenario *scenario,
			struct simulate_config *config, const struct runs *runs,
			struct simulate_outcome *outcome)
{
	struct simulate_options plain = {.seed = outcome->seed}, wanted = plain;
	int rc = simulate_run(scenario, &policy_oracle, config, &plain, &outcome->oracle);

	wanted.series = options->plot != NULL;
	wanted.trace = runs->trace;
	for (size_t i = 0; !rc && i < options->policy_count; i++) {
		rc = simulate_run(scenario, options->policies[i], config, &wanted,
				  &outcome->results[i]);
		outcome->count += !rc;
	}
	return rc;
}

static int run_scenario(const struct simulate_command *options, const struct scenario *scenario,
			const char *name, uint64_t seed, struct runs *runs)
{
	struct simulate_outcome *outcome = &runs->outcomes[runs->count++];
	struct simulate_config *config;
	const char *what = name;
	int rc = simulate_config_with(runs->config, scenario, &config);

	snprintf(outcome->name, sizeof outcome->name, "%s", name);
	outcome->seed = seed;
	if (!rc)
		rc = run_policies(options, scenario, config ? config : runs->config, runs, outcome);
	simulate_config_free(config);
	if (!rc && options->plot) {
		what = options->plot;
		rc = simulate_report_plot(options->plot, scenario, outcome);
	}
	if (rc)
		fprintf(stderr, "tollgate simulate: %s: %s\n", what, strerror(-rc));
	return rc;
}

static int run_file(const struct simulate_command *options, const char *path, struct runs *runs)
{
	struct scenario *scenario;
	char error[512];
	int rc = scenario_read(path, &scenario, error, sizeof error);

	if (rc) {
		fprintf(stderr, "tollgate simulate: %s\n", error);
		return rc;
	}
	if (!options->seed_count)
		rc = run_scenario(options, scenario, path, scenario->seed, runs);
	for (size_t i = 0; !rc && i < options->seed_count; i++)
		rc = run_scenario(options, scenario, path, options->seeds[i], runs);
	scenario_free(scenario);
	return rc;
}

static int random_write(const struct simulate_command *options, const char *name, const char *text)
{
	char path[4096];
	FILE *file;
	int rc = 0;

	if (mkdir(options->write, 0777) != 0 && errno != EEXIST)
		rc = -errno;
	snprintf(path, sizeof path, "%s/%s.yaml", options->write, name);
	file = rc ? NULL : fopen(path, "we");
	if (file && fputs(text, file) == EOF)
		rc = -EIO;
	if (!rc && !file)
		rc = -errno;
	if (file && fclose(file) != 0 && !rc)
		rc = -errno;
	if (rc)
		fprintf(stderr, "tollgate simulate: %s: %s\n", path, strerror(-rc));
	return rc;
}

static int run_random(const struct simulate_command *options, uint64_t seed, struct runs *runs)
{
	struct scenario *scenario;
	char text[SCENARIO_TEXT], name[64], error[512];
	int rc, length = simulate_random(seed, text, sizeof text);

	if (length < 0)
		return length;
	snprintf(name, sizeof name, "random-%llu", (unsigned long long)seed);
	rc = options->write ? random_write(options, name, text) : 0;
	if (rc)
		return rc;
	rc = scenario_parse(text, (size_t)length, name, &scenario, error, sizeof error);
	if (rc) {
		fprintf(stderr, "tollgate simulate: %s\n", error);
		return rc;
	}
	rc = run_scenario(options, scenario, name, seed, runs);
	scenario_free(scenario);
	return rc;
}

static int run_all(const struct simulate_command *options, struct runs *runs)
{
	size_t seeds = options->seed_count ? options->seed_count : 1;
	size_t max = options->random ? options->random : (size_t)options->file_count * seeds;
	uint64_t first = options->seed_count ? options->seeds[0] : 1;
	int rc = simulate_config_load(options->config, &runs->config);

	runs->outcomes = calloc(max + 1, sizeof *runs->outcomes);
	if (!rc && !runs->outcomes)
		rc = -ENOMEM;
	if (!rc && options->trace && !(runs->trace = fopen(options->trace, "we"))) {
		rc = -errno;
		fprintf(stderr, "tollgate simulate: %s: %s\n", options->trace, strerror(-rc));
		return rc;
	}
	if (rc) {
		fprintf(stderr, "tollgate simulate: configuration: %s\n", strerror(-rc));
		return rc;
	}
	for (int i = 0; !rc && i < options->file_count; i++)
		rc = run_file(options, options->files[i], runs);
	for (uint64_t i = 0; !rc && i < options->random; i++)
		rc = run_random(options, first + i, runs);
	return rc;
}

/* ---- printing -------------------------------------------------------------------------------- */

/* By the score of the first policy that was asked for. */
static int worst_first(const void *a, const void *b)
{
	const struct simulate_outcome *x = a, *y = b;
	double at_x = simulate_score(&x->results[0], &x->oracle);
	double at_y = simulate_score(&y->results[0], &y->oracle);

	if (at_x != at_y)
		return at_x < at_y ? -1 : 1;
	return x->seed < y->seed ? -1 : x->seed > y->seed;
}

static void print_outcome(const struct simulate_command *options,
			  const struct simulate_outcome *outcome, bool named)
{
	if (options->random)
		printf("%s (again: --random 1 --seed %llu)\n", outcome->name,
		       (unsigned long long)outcome->seed);
	else if (named)
		printf("%s, seed %llu\n", outcome->name, (unsigned long long)outcome->seed);
	simulate_report_table(stdout, outcome);
	if (options->replies)
		simulate_report_replies(stdout, outcome);
	if (named)
		putchar('\n');
}

static int print_all(const struct simulate_command *options, const struct runs *runs)
{
	bool named = options->random || runs->count > 1;

	for (size_t i = 0; i < runs->count && !options->summary; i++)
		if (options->json) /* of several scenarios each line says which */
			simulate_report_json(stdout, &runs->outcomes[i],
					     options->random || options->file_count > 1);
		else
			print_outcome(options, &runs->outcomes[i], named);
	if (options->summary || (named && !options->json))
		return simulate_report_summary(stdout, runs->outcomes, runs->count);
	return 0;
}

int cli_simulate(int argc, char **argv)
{
	struct simulate_command options = {0};
	struct runs runs = {0};
	char all[] = "all", two[] = "tollgate,oracle";
	int rc = take_options(&options, argc, argv);

	/* What the engine would log happens in a world that is not there. */
	log_configure(LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	if (rc)
		return rc;
	if (!options.policy_count)
		policies_take(&options, NULL, options.random ? two : all);
	rc = run_all(&options, &runs);
	if (!rc && options.random)
		qsort(runs.outcomes, runs.count, sizeof *runs.outcomes, worst_first);
	if (!rc)
		rc = print_all(&options, &runs);
	for (size_t i = 0; i < runs.count; i++)
		outcome_free(&runs.outcomes[i]);
	free(runs.outcomes);
	if (runs.trace && fclose(runs.trace) != 0 && !rc)
		rc = -errno;
	simulate_config_free(runs.config);
	return rc ? 1 : 0;
}
