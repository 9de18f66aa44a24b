/* SPDX-License-Identifier: MIT
 *
 * Schedules of warm-up: what each day of them allows, and which holds for a flow.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "sidecar/config/config.h"
#include "sidecar/config/warmup.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))

static struct config *load(const char *text)
{
	struct diagnostics report = {0};
	struct config *config = NULL;
	char problem[512] = "";

	config_load(&(struct config_text){text, strlen(text), "t.yaml", NULL}, NULL, &config,
		    &report);
	if (report.count)
		diagnostic_text(&report.problems[0], problem, sizeof(problem));
	cr_assert(config && report.count == 0, "%s", problem);
	diagnostics_free(&report);
	return config;
}

Test(schedule, that_is_published_is_there_by_name)
{
	static const struct {
		const char *name;
		uint32_t day; /* from 1 on */
		struct schedule_step step;
	} rows[] = {
		{"sparkpost", 1, {200, 0}},
		{"sparkpost", 9, {50000, 0}},
		{"sparkpost", 29, {10000000, 0}},
		{"sendgrid", 1, {480, 20}},
		{"sendgrid", 15, {53328, 2222}},
		{"sendgrid", 16, {74640, 3110}},
		{"sendgrid", 42, {470123304, 19588471}},
		{"mailtrap", 1, {300, 60}},
		{"mailtrap", 6, {1118, 221}},
		{"mailtrap", 21, {57000, 11267}},
		{"customer.io", 1, {1000, 100}},
		{"customer.io", 15, {250000, 50000}},
	};
	static const uint32_t lengths[][2] = {{0, 29}, {3, 42}, {7, 21}, {10, 15}};
	struct config *config = load("");

	for (size_t i = 0; i < N(rows); i++) {
		const struct config_schedule *s = config_schedule_named(config, rows[i].name);
		const struct schedule_step *step = &s->steps[rows[i].day - 1];

		cr_assert_leq(rows[i].day, s->steps_count, "%s", rows[i].name);
		cr_expect(step->day == rows[i].step.day && step->hour == rows[i].step.hour,
			  "%s, day %u: %u a day, %u an hour", rows[i].name, rows[i].day, step->day,
			  step->hour);
	}
	for (size_t i = 0; i < N(lengths); i++)
		cr_expect_eq(config_schedule_named(config, rows[lengths[i][0]].name)->steps_count,
			     lengths[i][1], "%s", rows[lengths[i][0]].name);
	cr_expect_null(config_schedule_named(config, "nobody's"));
	config_free(config);
}

Test(schedule, of_ones_own_grows_from_its_first_value_to_its_end)
{
	struct config *config = load("warmup:\n  schedules:\n"
				     "  - {name: mine, days: [100], factor: 1.5, end: 500}\n"
				     "  - {name: sparkpost, days: [7]}\n"
				     "  - {name: slow, days: [3], factor: 1.1, end: 6}\n");
	static const uint32_t mine[] = {100, 150, 225, 337, 500};
	const struct config_schedule *s = config_schedule_named(config, "mine");

	cr_assert_eq(s->steps_count, N(mine));
	for (size_t i = 0; i < N(mine); i++)
		cr_expect_eq(s->steps[i].day, mine[i], "day %zu: %u", i + 1, s->steps[i].day);
	cr_expect_eq(config_schedule_named(config, "sparkpost")->steps_count, 1,
		     "one's own stands in the place of the built-in");
	s = config_schedule_named(config, "slow");
	cr_expect_eq(s->steps_count, 4, "a day grows by one at least");
	config_free(config);
}

/* Sources 192.0.2.x are in the pool "new", 198.51.100.x in none. */
static const char whose[] =
	"pools: [{name: new, sources: [192.0.2.0/24]}, {name: old, sources: [203.0.113.0/24]}]\n"
	"warmup:\n"
	"  flows:\n"
	"  - {pool: new, schedule: sparkpost}\n"
	"  - {pool: new, destination: google, schedule: sendgrid, volume: 1000}\n"
	"  - {source: 192.0.2.7, schedule: mailtrap}\n"
	"  - {source: 192.0.2.7, destination: yahoo, schedule: customer.io}\n"
	"  - {source: 198.51.100.0/24, destination: example.org, schedule: sparkpost}\n";

Test(schedule, of_a_flow_is_that_of_the_most_specific_line)
{
	static const struct {
		uint8_t network, host;
		const char *destination;
		const char *schedule; /* NULL: none */
		uint32_t volume;
	} rows[] = {
		{192, 1, "apple", "sparkpost", 10000000},
		{192, 1, "google", "sendgrid", 1000},
		{192, 7, "apple", "mailtrap", 57000},
		{192, 7, "google", "mailtrap", 57000},
		{192, 7, "yahoo", "customer.io", 250000},
		{192, 1, "example.org", NULL, 0}, /* the configuration does not name it */
		{198, 1, "example.org", "sparkpost", 10000000},
		{198, 1, "google", NULL, 0},
		{203, 1, "google", NULL, 0},
	};
	struct config *config = load(whose);

	for (size_t i = 0; i < N(rows); i++) {
		static const uint8_t rest[][2] = {{0, 2}, {51, 100}, {0, 113}};
		const uint8_t *middle = rest[rows[i].network == 198   ? 1
					     : rows[i].network == 203 ? 2
								      : 0];
		uint8_t source[16] = {[10] = 0xff,	[11] = 0xff,	  [12] = rows[i].network,
				      [13] = middle[0], [14] = middle[1], [15] = rows[i].host};
		const struct config_warmup_flow *flow =
			config_warmup_of(config, source, rows[i].destination);

		cr_expect_eq(!flow, !rows[i].schedule, "row %zu", i);
		if (!flow || !rows[i].schedule)
			continue;
		cr_expect_str_eq(flow->by->name, rows[i].schedule, "row %zu", i);
		cr_expect_eq(config_warmup_volume(flow), rows[i].volume, "row %zu", i);
	}
	config_free(config);
}
