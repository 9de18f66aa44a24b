/* SPDX-License-Identifier: MIT
 *
 * Tables and JSON lines. plot.c draws, summary.c sums up.
 */
#include "sidecar/simulate/report.h"

#include <math.h>
#include <string.h>

#include "sidecar/base/json.h"

static const char *const cause_names[RECEIVER_CAUSES] = {
	[RECEIVER_ACCEPTED] = "accepted",
	[RECEIVER_NOISE] = "noise",
	[RECEIVER_GREYLIST] = "greylist",
	[RECEIVER_OUTAGE] = "outage",
	[RECEIVER_LISTED] = "listed",
	[RECEIVER_RATE] = "rate",
	[RECEIVER_CONNECTIONS] = "connections",
	[RECEIVER_PER_CONNECTION] = "per-conn",
	[RECEIVER_HOUR] = "hour",
	[RECEIVER_DAY] = "day",
	[RECEIVER_MINUTE] = "minute",
	[RECEIVER_CONNECTION_RATE] = "conn-rate",
	[RECEIVER_HISTORY] = "history",
	[RECEIVER_BLOCKED] = "blocked",
};

/* A number of seconds, or that there is none. */
static const char *seconds(double value, char text[24])
{
	if (isnan(value))
		snprintf(text, 24, "-");
	else
		snprintf(text, 24, value < 100 ? "%.1f" : "%.0f", value);
	return text;
}

static const char *percent(double share, char text[24])
{
	if (isnan(share))
		snprintf(text, 24, "-");
	else
		snprintf(text, 24, "%.2f%%", 100 * share);
	return text;
}

void simulate_report_table(FILE *out, const struct simulate_outcome *outcome)
{
	fprintf(out, "%-14s %10s %6s %11s %11s %9s %8s %8s %8s %9s %9s %9s %9s\n", "policy",
		"delivered", "share", "deferrals", "avoidable", "delayed", "blocked", "after",
		"score", "transact.", "transact.", "transact.", "last");
	fprintf(out, "%-14s %10s %6s %11s %11s %9s %8s %8s %8s %9s %9s %9s %9s\n", "", "", "",
		"per 1,000", "per 1,000", "per 1,000", "IP-hours", "hour 1", "", "p50 s", "p99 s",
		"> 60 s", "s");
	for (size_t i = 0; i < outcome->count; i++) {
		const struct simulate_result *result = &outcome->results[i];
		char p50[24], p99[24], late[24], last[24];

		fprintf(out,
			"%-14s %10llu %6.3f %11.2f %11.2f %9.2f %8.2f %8.2f %8.3f %9s %9s %9s %9s\n",
			result->policy, (unsigned long long)result->delivered,
			simulate_share(result, &outcome->oracle),
			simulate_deferrals_per_1000(result), simulate_avoidable_per_1000(result),
			simulate_delayed_per_1000(result), result->blocked_ip_hours,
			result->blocked_after_first_hour, simulate_score(result, &outcome->oracle),
			seconds(result->transactional_p50_s, p50),
			seconds(result->transactional_p99_s, p99),
			percent(result->transactional_late, late),
			seconds(result->makespan_s, last));
	}
}

static void text_print(FILE *out, const char *text)
{
	size_t left = strlen(text);

	fputc('"', out);
	while (left > 0) {
		char escaped[8];
		size_t taken, length = json_escape(text, left, escaped, &taken);

		fwrite(escaped, 1, length, out);
		text += taken;
		left -= taken;
	}
	fputc('"', out);
}

static void json_number(FILE *out, const char *key, double value, int digits)
{
	if (isnan(value))
		fprintf(out, ", \"%s\": null", key);
	else
		fprintf(out, ", \"%s\": %.*f", key, digits, value);
}

static void json_seconds(FILE *out, const char *key, double value)
{
	json_number(out, key, value, 3);
}

static void json_result(FILE *out, const struct simulate_result *result,
			const struct simulate_result *oracle)
{
	fprintf(out,
		"\"policy\": \"%s\", \"delivered\": %llu, \"share\": %.6f, "
		"\"deferrals_per_1000\": %.4f, \"avoidable_per_1000\": %.4f, "
		"\"blocked_ip_hours\": %.4f, \"blocked_after_first_hour\": %.4f, \"score\": %.6f",
		result->policy, (unsigned long long)result->delivered,
		simulate_share(result, oracle), simulate_deferrals_per_1000(result),
		simulate_avoidable_per_1000(result), result->blocked_ip_hours,
		result->blocked_after_first_hour, simulate_score(result, oracle));
	json_seconds(out, "transactional_p50_s", result->transactional_p50_s);
	json_seconds(out, "transactional_p99_s", result->transactional_p99_s);
	json_seconds(out, "makespan_s", result->makespan_s);
	json_number(out, "transactional_late_share", result->transactional_late, 6);
	fprintf(out, ", \"delayed_per_1000\": %.4f", simulate_delayed_per_1000(result));
	json_seconds(out, "bulk_max_s", result->bulk_max_s);
	fprintf(out, ", \"blocked_days\": %u, \"delivered_by_day\": [", result->blocked_days);
	for (uint32_t day = 0; day < result->days; day++)
		fprintf(out, "%s%u", day ? ", " : "", result->delivered_by_day[day]);
	fputc(']', out);
}

void simulate_report_json(FILE *out, const struct simulate_outcome *outcome, bool named)
{
	for (size_t i = 0; i < outcome->count; i++) {
		fputc('{', out);
		if (named) {
			fputs("\"scenario\": ", out);
			text_print(out, outcome->name);
			fprintf(out, ", \"seed\": %llu, ", (unsigned long long)outcome->seed);
		}
		json_result(out, &outcome->results[i], &outcome->oracle);
		fputs("}\n", out);
	}
}

void simulate_report_replies(FILE *out, const struct simulate_outcome *outcome)
{
	fprintf(out, "%-9s", "policy");
	for (int cause = 0; cause < RECEIVER_CAUSES; cause++)
		fprintf(out, " %11s", cause_names[cause]);
	fputc('\n', out);
	for (size_t i = 0; i < outcome->count; i++) {
		fprintf(out, "%-9s", outcome->results[i].policy);
		for (int cause = 0; cause < RECEIVER_CAUSES; cause++)
			fprintf(out, " %11llu",
				(unsigned long long)outcome->results[i].causes[cause]);
		fputc('\n', out);
	}
}
