/* SPDX-License-Identifier: MIT
 *
 * How many replies a second one core classifies: the whole of a file of replies, over and over, in
 * the processor time of this thread. `--json` prints one line.
 *
 *   build/bench/classify [--json] [FILE]
 *
 * FILE holds a reply a line: destination, three columns that are not looked at, ... as in the
 * corpus (provider, code, enhanced code, text, ...). Without it the corpus beside the tree is
 * taken, else the replies of the tests, and the output says which.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sidecar/cli/options.h"
#include "sidecar/rules/classify.h"

#define CORPUS "../shared/corpus/replies.tsv"
#define OWN    "tests/replies.tsv"
#define RUNS   9

struct sample {
	char *destination;
	struct reply_line line;
};

static struct sample *samples;
static size_t sample_count;

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Column 1 is the destination, column 4 the reply. */
static int samples_read(const char *path)
{
	FILE *in = fopen(path, "r");
	char *text = NULL;
	size_t room = 0;

	if (in == NULL)
		return -1;
	while (getline(&text, &room, in) > 0) {
		char *rest = text, *column[4] = {NULL};
		struct sample *more;

		text[strcspn(text, "\n")] = '\0';
		for (int i = 0; i < 4 && rest != NULL; i++)
			column[i] = strsep(&rest, "\t");
		if (text[0] == '#' || column[3] == NULL)
			continue;
		more = realloc(samples, (sample_count + 1) * sizeof(*samples));
		if (more == NULL)
			break;
		samples = more;
		samples[sample_count].destination = strdup(column[0]);
		reply_line_parse(strdup(column[3]), strlen(column[3]), &samples[sample_count].line);
		sample_count++;
	}
	free(text);
	fclose(in);
	return sample_count > 0 ? 0 : -1;
}

static double pass_ns(const struct classifier *classifier, struct classify_scratch *scratch,
		      unsigned passes)
{
	struct classification found;
	uint64_t start = cpu_ns();

	for (unsigned pass = 0; pass < passes; pass++)
		for (size_t i = 0; i < sample_count; i++)
			classify(classifier, scratch, samples[i].destination, &samples[i].line,
				 &found);
	return (double)(cpu_ns() - start) / ((double)passes * (double)sample_count);
}

/* The median of the runs; *ret_best: the fastest, which a busy machine disturbs least. */
static double measure(const struct classifier *classifier, double *ret_best)
{
	struct classify_scratch *scratch;
	double runs[RUNS];

	if (classify_scratch_create(classifier, &scratch) != 0)
		return 0;
	pass_ns(classifier, scratch, 20);
	for (int i = 0; i < RUNS; i++)
		runs[i] = pass_ns(classifier, scratch, 1 + 100000 / (unsigned)sample_count);
	classify_scratch_free(scratch);
	qsort(runs, RUNS, sizeof(runs[0]), compare);
	*ret_best = runs[0];
	return runs[RUNS / 2];
}

int main(int argc, char **argv)
{
	struct options {
		bool json;
	} options = {false};
	static const struct cli_option rows[] = {CLI_JSON(struct options), {0}};
	static const struct cli_syntax syntax = {
		.program = "classify",
		.arguments = "[FILE]",
		.max = 1,
		.about = "Measures how many replies of FILE a core classifies in a second. The top "
			 "of the source describes the FILE.",
		.options = rows,
	};
	const char *path = access(CORPUS, R_OK) == 0 ? CORPUS : OWN;
	char **files;
	struct rule_file *file;
	struct classifier *classifier;
	struct classify_error fault;
	struct yaml_error error;
	uint64_t start = cpu_ns();
	double ns, best = 0, create_ms;

	if (options_read(&syntax, argc, argv, &options, &files) > 0)
		path = files[0];
	if (samples_read(path) != 0 || rule_file_builtin(&file, NULL, &error) != 0 ||
	    classifier_create(NULL, file, &classifier, &fault) != 0) {
		fprintf(stderr, "classify: cannot read %s or the rules\n", path);
		return 1;
	}
	create_ms = (double)(cpu_ns() - start) / 1e6;
	ns = measure(classifier, &best);
	if (options.json)
		printf("{\"case\": \"classify\", \"ns\": %.1f, \"best_ns\": %.1f, \"per_second\": "
		       "%.0f, \"replies\": "
		       "%zu, "
		       "\"create_ms\": %.0f, \"file\": \"%s\"}\n",
		       ns, best, 1e9 / ns, sample_count, create_ms, path);
	else
		printf("%zu replies of %s: %.0f ns each (at best %.0f), %.2f million a second and "
		       "core; rules "
		       "compiled in "
		       "%.0f ms\n",
		       sample_count, path, ns, best, 1e3 / ns, create_ms);
	classifier_free(classifier);
	rule_file_free(file);
	return 0;
}
