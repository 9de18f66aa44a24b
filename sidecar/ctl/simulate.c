/* SPDX-License-Identifier: MIT
 *
 * tollgate simulate: runs scenarios, prints how each policy fared.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sidecar/ctl/command.h"
#include "sidecar/simulate.h"
#include "sidecar/simulate_random.h"
#include "sidecar/simulate_report.h"
#include "sidecar/units.h"

#define POLICIES_MAX  8
#define SEEDS_MAX     64
#define RANDOM_MAX    100000
#define SCENARIO_TEXT 8192

struct options {
	bool json;
	bool causes;
	const char *plot;
	const char *write; /* folder that random scenarios are written to */
	uint64_t random;   /* how many; 0: none */
	uint64_t seeds[SEEDS_MAX];
	size_t seed_count; /* 0: the scenario's own */
	const struct policy *policies[POLICIES_MAX];
	size_t policy_count;
	char **files;
	int file_count;
};

static const char usage[] =
	"usage: tollgate simulate [OPTIONS] SCENARIO...\n"
	"       tollgate simulate [OPTIONS] --random N [--seed S]\n"
	"\n"
	"  --json              a line of JSON a policy\n"
	"  --policy P[,P...]   only these: tollgate, none, fixed, timed, backoff, oracle; or all\n"
	"  --seed S            another seed than the scenario's; with --random, of the first "
	"scenario\n"
	"  --seeds S[,S...]    several seeds, one after the other\n"
	"  --plot FILE.svg     draw accepted rates beside the hidden limit\n"
	"  --causes            also print how often each kind of answer was given\n"
	"  --random N          N scenarios at random, those that went worst first\n"
	"  --write DIR         write the random scenarios there as well, as random-SEED.yaml\n"
	"\n"
	"tollgate-simulate(5) describes scenarios and what is printed.\n";

/* ---- options
 * --------------------------------------------------------------------------------------- */

static int add_policies(struct options *options, char *names)
{
	bool all = strcmp(names, "all") == 0;

	options->policy_count = 0;
	for (size_t i = 0; all && policy_all[i]; i++)
		options->policies[options->policy_count++] = policy_all[i];
	for (char *name = all ? NULL : strtok(names, ","); name; name = strtok(NULL, ",")) {
		const struct policy *policy = policy_find(name);

		if (!policy || options->policy_count == POLICIES_MAX) {
			fprintf(stderr, "tollgate simulate: %s: no such policy\n", name);
			return -EINVAL;
		}
		options->policies[options->policy_count++] = policy;
	}
	return options->policy_count ? 0 : -EINVAL;
}

static int add_number(const char *option, const char *text, uint64_t most, uint64_t *ret)
{
	const char *reason;
	int rc = units_count(text, ret, &reason);

	if (rc == 0 && *ret <= most)
		return 0;
	fprintf(stderr, "tollgate simulate: %s %s: %s\n", option, text, rc ? reason : "too many");
	return -EINVAL;
}

static int add_seeds(struct options *options, char *texts)
{
	for (char *text = strtok(texts, ","); text; text = strtok(NULL, ",")) {
		if (options->seed_count == SEEDS_MAX) {
			fprintf(stderr, "tollgate simulate: more than %d seeds\n", SEEDS_MAX);
			return -EINVAL;
		}
		if (add_number("--seeds", text, UINT64_MAX,
			       &options->seeds[options->seed_count++]) != 0)
			return -EINVAL;
	}
	return 0;
}

static int take_option(struct options *options, int letter)
{
	switch (letter) {
	case 'j': options->json = true; return 0;
	case 'c': options->causes = true; return 0;
	case 'g': options->plot = optarg; return 0;
	case 'w': options->write = optarg; return 0;
	case 'p': return add_policies(options, optarg);
	case 's': return add_seeds(options, optarg);
	case 'r': return add_number("--random", optarg, RANDOM_MAX, &options->random);
	default: return -EINVAL;
	}
}

static int take_options(struct options *options, int argc, char **argv)
{
	static const struct option longs[] = {
		{"json",	 no_argument,	      NULL, 'j'},
		  {"causes", no_argument,	  NULL, 'c'},
		{"policy", required_argument, NULL, 'p'},
		  {"seed",   required_argument, NULL, 's'},
		{"seeds",  required_argument, NULL, 's'},
		  {"plot",   required_argument, NULL, 'g'},
		{"random", required_argument, NULL, 'r'},
		  {"write",  required_argument, NULL, 'w'},
		{"help",	 no_argument,	      NULL, 'h'},
		  {NULL,	 0,		    NULL, 0  },
	};
	int letter;

	optind = 0;
	while ((letter = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (letter == 'h')
			return 1;
		if (take_option(options, letter) != 0)
			return -EINVAL;
	}
	options->files = argv + optind;
	options->file_count = argc - optind;
	if ((options->file_count == 0) == (options->random == 0)) {
		fputs("tollgate simulate: name scenarios, or ask for --random ones\n", stderr);
		return -EINVAL;
	}
	return 0;
}

/* ---- running
 * --------------------------------------------------------------------------------------- */

struct outcome {
	struct simulate_result oracle;
	struct simulate_result results[POLICIES_MAX];
	size_t count;
};

static void outcome_free(struct outcome *outcome)
{
	simulate_result_free(&outcome->oracle);
	for (size_t i = 0; i < outcome->count; i++)
		simulate_result_free(&outcome->results[i]);
}

/* The oracle always runs, since the others are measured by it. */
static int outcome_run(const struct options *options, const struct scenario *scenario,
		       uint64_t seed, struct outcome *ret)
{
	bool series = options->plot != NULL;
	int rc = simulate_run(scenario, &policy_oracle, seed, false, &ret->oracle);

	for (size_t i = 0; !rc && i < options->policy_count; i++) {
		rc = simulate_run(scenario, options->policies[i], seed, series, &ret->results[i]);
		ret->count += !rc;
	}
	if (rc)
		fprintf(stderr, "tollgate simulate: %s\n", strerror(-rc));
	return rc;
}

static int outcome_print(const struct options *options, const struct scenario *scenario,
			 const char *heading, const struct outcome *outcome)
{
	int rc;

	if (options->json) {
		for (size_t i = 0; i < outcome->count; i++)
			simulate_report_json(stdout, NULL, &outcome->results[i], &outcome->oracle);
	} else {
		if (*heading)
			printf("%s\n", heading);
		simulate_report_table(stdout, outcome->results, outcome->count, &outcome->oracle);
		if (options->causes)
			simulate_report_causes(stdout, outcome->results, outcome->count);
	}
	if (!options->plot)
		return 0;
	rc = simulate_report_plot(options->plot, scenario, outcome->results, outcome->count);
	if (rc)
		fprintf(stderr, "tollgate simulate: %s: %s\n", options->plot, strerror(-rc));
	return rc;
}

static int run_file(const struct options *options, const char *path)
{
	size_t seeds = options->seed_count ? options->seed_count : 1;
	bool heads = options->file_count > 1 || seeds > 1;
	struct scenario *scenario;
	char error[512];

	if (scenario_read(path, &scenario, error, sizeof error) != 0) {
		fprintf(stderr, "tollgate simulate: %s\n", error);
		return 1;
	}
	for (size_t i = 0; i < seeds; i++) {
		uint64_t seed = options->seed_count ? options->seeds[i] : scenario->seed;
		struct outcome outcome = {0};
		char heading[512] = "";
		int rc = outcome_run(options, scenario, seed, &outcome);

		if (heads)
			snprintf(heading, sizeof heading, "%s%s, seed %llu", i ? "\n" : "", path,
				 (unsigned long long)seed);
		if (!rc)
			rc = outcome_print(options, scenario, heading, &outcome);
		outcome_free(&outcome);
		if (rc) {
			scenario_free(scenario);
			return 1;
		}
	}
	scenario_free(scenario);
	return 0;
}

/* ---- scenarios at random
 * --------------------------------------------------------------------------- */

struct random_run {
	uint64_t seed;
	double score; /* of the first policy asked for */
	struct outcome outcome;
};

static int random_write(const struct options *options, uint64_t seed, const char *text)
{
	char path[4096];
	FILE *file;
	int rc = 0;

	if (mkdir(options->write, 0777) != 0 && errno != EEXIST)
		rc = -errno;
	snprintf(path, sizeof path, "%s/random-%llu.yaml", options->write,
		 (unsigned long long)seed);
	file = rc ? NULL : fopen(path, "we");
	if (file && fputs(text, file) == EOF)
		rc = -errno;
	if (!rc && (!file || fclose(file) != 0))
		rc = -errno;
	if (rc)
		fprintf(stderr, "tollgate simulate: %s: %s\n", path, strerror(-rc));
	return rc;
}

static int random_run(const struct options *options, struct random_run *run)
{
	struct scenario *scenario;
	char text[SCENARIO_TEXT], name[64], error[512];
	int rc, length = simulate_random(run->seed, text, sizeof text);

	if (length < 0)
		return length;
	if (options->write && random_write(options, run->seed, text) != 0)
		return -EIO;
	snprintf(name, sizeof name, "random-%llu", (unsigned long long)run->seed);
	rc = scenario_parse(text, (size_t)length, name, &scenario, error, sizeof error);
	if (rc) {
		fprintf(stderr, "tollgate simulate: %s\n", error);
		return rc;
	}
	rc = outcome_run(options, scenario, run->seed, &run->outcome);
	if (!rc)
		run->score = simulate_score(&run->outcome.results[0], &run->outcome.oracle);
	if (!rc && options->plot)
		rc = simulate_report_plot(options->plot, scenario, run->outcome.results,
					  run->outcome.count);
	scenario_free(scenario);
	return rc;
}

static int worst_first(const void *a, const void *b)
{
	const struct random_run *x = a, *y = b;

	if (x->score != y->score)
		return x->score < y->score ? -1 : 1;
	return x->seed < y->seed ? -1 : x->seed > y->seed;
}

static int by_number(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* A summary of one policy over all scenarios. */
static void random_summary(const struct random_run *runs, size_t count, size_t policy)
{
	double *shares = malloc(2 * count * sizeof *shares), *avoidable = shares + count;
	size_t blocked = 0;

	if (!shares)
		return;
	for (size_t i = 0; i < count; i++) {
		const struct simulate_result *result = &runs[i].outcome.results[policy];

		shares[i] = simulate_share(result, &runs[i].outcome.oracle);
		avoidable[i] = simulate_avoidable_per_1000(result);
		blocked += result->blocked_after_first_hour > 0;
	}
	qsort(shares, count, sizeof *shares, by_number);
	qsort(avoidable, count, sizeof *avoidable, by_number);
	printf("%-9s share median %.3f, least %.3f; avoidable per 1,000 median %.2f, most %.2f; "
	       "blocked after the first hour in %zu of %zu\n",
	       runs[0].outcome.results[policy].policy, shares[count / 2], shares[0],
	       avoidable[count / 2], avoidable[count - 1], blocked, count);
	free(shares);
}

static void random_print(const struct options *options, const struct random_run *runs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct outcome *outcome = &runs[i].outcome;
		char name[64];

		snprintf(name, sizeof name, "random-%llu", (unsigned long long)runs[i].seed);
		if (options->json) {
			for (size_t j = 0; j < outcome->count; j++)
				simulate_report_json(stdout, name, &outcome->results[j],
						     &outcome->oracle);
			continue;
		}
		printf("%s  (--random 1 --seed %llu)\n", name, (unsigned long long)runs[i].seed);
		simulate_report_table(stdout, outcome->results, outcome->count, &outcome->oracle);
		if (options->causes)
			simulate_report_causes(stdout, outcome->results, outcome->count);
		putchar('\n');
	}
	for (size_t j = 0; !options->json && j < options->policy_count; j++)
		random_summary(runs, count, j);
}

static int run_random(const struct options *options)
{
	uint64_t first = options->seed_count ? options->seeds[0] : 1;
	struct random_run *runs = calloc(options->random, sizeof *runs);
	int rc = runs ? 0 : -ENOMEM;

	for (uint64_t i = 0; !rc && i < options->random; i++) {
		runs[i].seed = first + i;
		rc = random_run(options, &runs[i]);
	}
	if (!rc) {
		qsort(runs, options->random, sizeof *runs, worst_first);
		random_print(options, runs, options->random);
	}
	for (uint64_t i = 0; runs && i < options->random; i++)
		outcome_free(&runs[i].outcome);
	free(runs);
	return rc ? 1 : 0;
}

int ctl_simulate(int argc, char **argv)
{
	struct options options = {0};
	char all[] = "all", two[] = "tollgate,oracle";
	int rc = take_options(&options, argc, argv);
	int status = 0;

	if (rc) {
		fputs(usage, rc > 0 ? stdout : stderr);
		return rc > 0 ? 0 : 2;
	}
	if (!options.policy_count && add_policies(&options, options.random ? two : all) != 0)
		return 2;
	if (options.random)
		return run_random(&options);
	for (int i = 0; i < options.file_count; i++) {
		if (i > 0 && !options.json)
			putchar('\n');
		status |= run_file(&options, options.files[i]);
	}
	return status;
}
