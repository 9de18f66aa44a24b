/* SPDX-License-Identifier: MIT
 *
 * Many outcomes in one table: how each policy fares in the middle and at worst.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/simulate/report.h"

static int by_number(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static bool is_oracle(const struct simulate_result *result)
{
	return strcmp(result->policy, "oracle") == 0;
}

/* Whether no other policy, the oracle apart, has a better score. */
static bool is_best(const struct simulate_outcome *outcome, size_t policy)
{
	double score = simulate_score(&outcome->results[policy], &outcome->oracle);

	for (size_t i = 0; i < outcome->count; i++)
		if (!is_oracle(&outcome->results[i]) &&
		    simulate_score(&outcome->results[i], &outcome->oracle) > score)
			return false;
	return true;
}

#define MEASURES 5 /* of which a summary sorts the values of all runs */

struct summary {
	double share_median, share_min;
	double avoidable_median, avoidable_max;
	double delayed_median, delayed_max;
	double late_median, late_max; /* share of the transactional mail */
	double score_median;
	size_t blocked; /* runs with a block that began after the first hour */
	size_t late;	/* runs with a p99 of late transactional mail where the oracle's is not */
	size_t best;
};

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof *values, by_number);
	return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

static struct summary summarise(const struct simulate_outcome *outcomes, size_t count,
				size_t policy, double *values)
{
	double *shares = values, *avoidable = values + count, *scores = values + 2 * count;
	double *delayed = values + 3 * count, *late = values + 4 * count;
	struct summary summary = {0};

	for (size_t i = 0; i < count; i++) {
		const struct simulate_result *result = &outcomes[i].results[policy];

		shares[i] = simulate_share(result, &outcomes[i].oracle);
		avoidable[i] = simulate_avoidable_per_1000(result);
		scores[i] = simulate_score(result, &outcomes[i].oracle);
		delayed[i] = simulate_delayed_per_1000(result);
		late[i] = isnan(result->transactional_late) ? 0 : result->transactional_late;
		summary.blocked += result->blocked_after_first_hour > 0;
		summary.late += result->transactional_p99_s > SIMULATE_LATE_S &&
				outcomes[i].oracle.transactional_p99_s <= SIMULATE_LATE_S;
		summary.best += is_best(&outcomes[i], policy);
	}
	summary.share_median = median(shares, count);
	summary.share_min = shares[0];
	summary.avoidable_median = median(avoidable, count);
	summary.avoidable_max = avoidable[count - 1];
	summary.delayed_median = median(delayed, count);
	summary.delayed_max = delayed[count - 1];
	summary.late_median = median(late, count);
	summary.late_max = late[count - 1];
	summary.score_median = median(scores, count);
	return summary;
}

/* Two digits where they say something, none where the number is large. */
static const char *number(double value, char text[24])
{
	snprintf(text, 24, fabs(value) < 1000 ? "%.2f" : "%.0f", value);
	return text;
}

int simulate_report_summary(FILE *out, const struct simulate_outcome *outcomes, size_t count)
{
	double *values = malloc(MEASURES * count * sizeof *values);

	if (!values)
		return -ENOMEM;
	fprintf(out, "%zu runs\n\n", count);
	fputs("| policy | share of the oracle: median, least | avoidable deferrals per 1,000: "
	      "median, most "
	      "| messages delayed per 1,000: median, most | blocked after the first hour "
	      "| transactional over 60 s: median, most | p99 over 60 s, oracle's not "
	      "| score: median | best |\n"
	      "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
	      out);
	for (size_t policy = 0; policy < outcomes[0].count; policy++) {
		const struct simulate_result *first = &outcomes[0].results[policy];
		struct summary summary = summarise(outcomes, count, policy, values);
		char middle[24], max[24], delayed[24], most[24], score[24], best[24] = "–";

		if (!is_oracle(first))
			snprintf(best, sizeof best, "%zu", summary.best);
		fprintf(out,
			"| %s | %.3f, %.3f | %s, %s | %s, %s | %zu | %.2f%%, %.2f%% | %zu | %s | %s "
			"|\n",
			first->policy, summary.share_median, summary.share_min,
			number(summary.avoidable_median, middle),
			number(summary.avoidable_max, max), number(summary.delayed_median, delayed),
			number(summary.delayed_max, most), summary.blocked,
			100 * summary.late_median, 100 * summary.late_max, summary.late,
			number(summary.score_median, score), best);
	}
	free(values);
	return 0;
}
