/* SPDX-License-Identifier: MIT
 *
 * A log through classes and rules: its times, its lines, what would have been done.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/ingest/replay.h"
#include "sidecar/segment/minutes.h"
#include "sidecar/segment/ring_reader.h"
#include "tests/guard.h"
#include "tests/segment_fixture.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))

Test(replay, writes_times)
{
	char text[40];

	cr_expect_str_eq(replay_time_text(UINT64_C(1772017959245000000), text, sizeof(text)),
			 "2026-02-25T11:12:39.245Z");
	cr_expect_str_eq(replay_time_text(0, text, sizeof(text)), "1970-01-01T00:00:00.000Z");
}

static const char rules_text[] =
	"builtin_rules: no\n"
	"classes:\n"
	"  - {name: fine, class: delivered, code: [2xx]}\n"
	"  - {name: slow, class: rate, limit: messages, text: [slow]}\n"
	"rules:\n"
	"  - {name: thrice, match: {class: [rate]}, trigger: 3/hr, action: {hold: 10m, hold_max: "
	"1h, rate: 6/hr}}\n"
	"  - {name: half, match: {class: [rate], pool: [shared]}, action: {scale: 0.5}}\n"
	"  - {name: share, match: {class: [rate]}, trigger: 50% of 4 in 1h, action: {alert: {}}}\n";

static char told[2048];
static struct rule_file *file;
static struct classifier *classifier;
static struct rule_set *rules;
static struct config *config;
static struct config_mta_log log_config;
static struct replay *replay;
static struct ingest_stream stream;
static uint64_t lines_read, not_events, refused;

static void tell(void *context, const struct replay_action *action)
{
	size_t at = strlen(told);
	const struct rule_effect *effect = action->engine->effect;

	snprintf(told + at, sizeof(told) - at, "%lu %s %s %g; ", (unsigned long)action->line,
		 effect->rule->name, rule_action_name(action->engine->kind),
		 action->engine->kind == RULE_HOLD ? effect->value / 1e9 : effect->value);
}

static void begin(const char *config_text)
{
	struct yaml_error error = {.reason = ""};
	struct classify_error fault = {.reason = ""};
	struct diagnostics report = {.count = 0};

	cr_assert_eq(rule_file_load(rules_text, strlen(rules_text), "t", &file, NULL, &error), 0,
		     "%s", error.reason);
	cr_assert_eq(classifier_create(file, NULL, &classifier, &fault), 0, "%s", fault.reason);
	cr_assert_eq(rule_set_create(classifier, &rules), 0);
	cr_assert_eq(config_load(&(struct config_text){config_text, strlen(config_text), "t", NULL},
				 NULL, &config, &report),
		     0);
	diagnostics_free(&report);
	cr_assert_eq(replay_create(&(struct replay_setup){config, classifier, rules, &log_config},
				   tell, NULL, &replay),
		     0);
}

static void line_replay(const char *text)
{
	char *copy = guard_copy(text, strlen(text));
	struct ingest_line line = {.bytes = copy, .length = strlen(text)};
	struct ingest_event event;
	int error;

	lines_read++;
	if (json_log_parse(&stream, &line, &event) != INGEST_EVENT) {
		not_events++;
		return;
	}
	error = replay_event(replay, &event, lines_read);
	refused += error == -EINVAL;
	cr_expect(error == 0 || error == -EINVAL, "%s: %d", text, error);
}

static void lines_replay(const char *config_text, const char *const *lines, size_t count,
			 const struct replay_total **ret_totals, unsigned *ret_count)
{
	begin(config_text);
	for (size_t i = 0; i < count; i++)
		line_replay(lines[i]);
	cr_expect_eq(not_events + refused, 0);
	*ret_count = replay_totals(replay, ret_totals);
}

static void release(void)
{
	replay_free(replay);
	rule_set_free(rules);
	config_free(config);
	classifier_free(classifier);
	rule_file_free(file);
}

#define POOL "pools:\n  - {name: shared, sources: [192.0.2.1]}\n"
#define LINE(time, destination, reply)                                                          \
	"{\"time\": 177200" time ", \"source\": \"192.0.2.1\", \"destination\": \"" destination \
	"\", \"reply\": \"" reply "\", \"more\": [1]}"

Test(replay, says_what_would_have_been_done)
{
	static const char *const lines[] = {
		LINE("1000", "hotmail.com", "250 ok"),
		LINE("1100", "x.olc.protection.outlook.com", "451 slow"),
		LINE("1200.5", "microsoft-consumer", "451 slow"),
		LINE("1300", "hotmail.com", "451 slow"), /* the third: 10 min */
		LINE("1400", "hotmail.com", "451 slow"), /* while it would have been held */
		LINE("2000", "hotmail.com", "451 slow"),
		LINE("2100", "hotmail.com", "451 slow"),
		LINE("2200", "hotmail.com", "451 slow"), /* again: 20 min */
		LINE("2200", "gmail.com", "451 slow"),	 /* another flow */
	};
	const struct replay_total *totals;
	unsigned count;

	/* The rules alone. */
	lines_replay("limits: {adapt: false}\n" POOL, lines, N(lines), &totals, &count);
	cr_expect_str_eq(
		told,
		"2 half scale 0.5; 3 half scale 0.5; "
		"4 thrice hold 600; 4 half scale 0.5; 4 thrice rate 0.00166667; 4 share alert 0; "
		"5 half scale 0.5; 6 half scale 0.5; 7 half scale 0.5; "
		"8 thrice hold 1200; 8 half scale 0.5; 8 thrice rate 0.00166667; "
		"9 half scale 0.5; ");
	cr_assert_eq(count, 2);
	cr_expect_str_eq(totals[0].destination, "microsoft-consumer");
	cr_expect_eq(totals[0].replies, 8);
	cr_expect_eq(totals[0].classes[REPLY_DELIVERED], 1);
	cr_expect_eq(totals[0].classes[REPLY_RATE], 7);
	cr_expect_eq(totals[0].actions[RULE_HOLD], 2);
	cr_expect_eq(totals[0].held_ns, 30 * UNITS_MINUTE_NS);
	cr_expect_eq(totals[0].while_held, 1);
	cr_expect_eq(totals[0].first_ns, UINT64_C(1772001100) * UNITS_SECOND_NS);
	cr_expect_str_eq(totals[1].destination, "google");
	release();
}

Test(replay, says_what_the_controller_would_have_done)
{
	static const char *const lines[] = {
		LINE("1000", "hotmail.com", "250 ok"),
		LINE("1100", "hotmail.com", "451 slow"),
		LINE("1200", "hotmail.com", "250 ok"),
	};
	const struct replay_total *totals;
	unsigned count;

	lines_replay("limits: {adapt: true, rate: 60/min}\n", lines, N(lines), &totals, &count);
	cr_expect_neq(strstr(told, "2 controller hold "), NULL, "%s", told);
	cr_expect_eq(totals[0].actions[RULE_HOLD], 1);
	cr_expect_gt(totals[0].held_ns, 0);
}

Test(replay, refuses_lines_that_are_none)
{
	static const char *const lines[] = {
		"1",
		"[]",
		"{",
		"{}",
		"{\"time\": 1}",
		"{\"time\": -1, \"source\": \"192.0.2.1\", \"code\": 451}",
		"{\"time\": \"yesterday\", \"source\": \"192.0.2.1\", \"code\": 451}",
		"{\"time\": 1e300, \"source\": \"192.0.2.1\", \"code\": 451}",
	};
	static const char *const timeless[] = {
		"{\"source\": \"192.0.2.1\", \"destination\": \"b.example\", \"code\": 451}",
		"{\"time\": null, \"source\": \"192.0.2.1\", \"domain\": \"b.example\", \"code\": 451}",
	};

	begin("limits: {adapt: true}\n");
	for (size_t i = 0; i < N(lines); i++)
		line_replay(lines[i]);
	cr_expect_eq(not_events, N(lines), "%lu", (unsigned long)not_events);
	for (size_t i = 0; i < N(timeless); i++)
		line_replay(timeless[i]);
	cr_expect_eq(not_events + refused, N(lines) + N(timeless), "%lu", (unsigned long)refused);
	release();
}

Test(replay, counts_what_belongs_to_no_flow)
{
	static const char *const lines[] = {
		"{\"time\": 1772001000, \"destination\": \"b.example\", \"code\": 451}",
		"{\"time\": 1772001000, \"source\": \"mta.1\", \"destination\": \"b.example\", \"code\": 451}",
		LINE("1000", "b\\u001b[31m", "451"),
		LINE("1000", "a..b", "451"),
		/* A source's name that a pool lists is one, another is none. */
		"{\"time\": 1772001000, \"source\": \"bulk-pool\", \"domain\": \"b.example\", \"code\": 451}",
		"{\"time\": 1772001000, \"source\": \"bulk-poor\", \"domain\": \"b.example\", \"code\": 451}",
	};
	const struct intake_totals *totals;

	begin("pools:\n  - {name: api, sources: [bulk-pool]}\n");
	for (size_t i = 0; i < N(lines); i++)
		line_replay(lines[i]);
	totals = replay_intake(replay);
	cr_expect_eq(not_events + refused, 0);
	cr_expect_eq(totals->events, N(lines));
	cr_expect_eq(totals->no_source, 3);
	cr_expect_eq(totals->no_destination, 2);
	cr_expect_eq(totals->heard, 1);
	release();
}

/* Lines of a log are written by several processes: a step back is taken at the time that was. */
Test(replay, goes_on_where_time_steps_back)
{
	static const char *const lines[] = {
		LINE("1100", "hotmail.com", "250 ok"),
		LINE("1098", "hotmail.com", "451 slow"),
		LINE("1101", "hotmail.com", "250 ok"),
	};
	const struct replay_total *totals;
	unsigned count;

	lines_replay("limits: {adapt: true, rate: 60/min}\n", lines, N(lines), &totals, &count);
	cr_expect_eq(totals[0].classes[REPLY_RATE], 1);
	cr_expect_eq(totals[0].first_ns, UINT64_C(1772001100) * UNITS_SECOND_NS);
	release();
}

/* ---- the same as production ------------------------------------------------------------------ */

/* 1772000000 lies in this day since 1970. */
#define DAY_NS (UINT64_C(20509) * DAY)

/* A worker reports over a ring to an engine on a segment that workers attach to; the clock is the
 * log's on both sides. */
static struct production {
	struct fixture f;
	struct scratch sidecar;
	struct tg *tg;
	uint64_t now_ns;
} production;

static void production_begin(void)
{
	struct production *p = &production;

	fixture_begin(&p->f);
	p->f.options.sizes.names_bytes = 1 << 20;
	engine_shape(&p->f.options);
	fixture_reopen(&p->f);
	p->f.segment->clock = NULL;
	p->sidecar.segment = p->f.segment;
	p->now_ns = p->sidecar.second_ns = SCRATCH_EPOCH_NS;
	cr_assert_eq(engine_create(p->f.segment, &p->sidecar.engine), 0);
	engine_wall_offset(p->sidecar.engine, (int64_t)DAY_NS - (int64_t)SCRATCH_EPOCH_NS);
	cr_assert_eq(
		engine_configure(p->sidecar.engine, config, classifier, rules, SCRATCH_EPOCH_NS),
		0);
	segment_live(p->f.segment);
	p->tg = fixture_attach(&p->f);
	scratch_work(&p->sidecar, p->now_ns);
}

static void record_take(void *arg, const struct layout_record *record, uint32_t worker)
{
	struct layout_record stamped = *record;

	(void)arg;
	(void)worker;
	stamped.replied_ns = production.now_ns;
	engine_record(production.sidecar.engine, &stamped, production.now_ns);
}

/* domain lies at the destination of that name. */
static void production_report(const char *source, const char *domain, const char *name,
			      const char *reply, uint64_t at_ns)
{
	struct production *p = &production;
	struct ring_reader_totals totals = {0};
	struct tg_destination to;
	struct tg_source from;
	struct tg_flow flow;
	uint8_t address[16];
	uint64_t wake_ns;

	while ((wake_ns = scratch_wake(&p->sidecar)) <= at_ns) {
		p->now_ns = wake_ns > p->now_ns ? wake_ns : p->now_ns;
		scratch_run(&p->sidecar, p->now_ns);
	}
	p->now_ns = at_ns;
	/* It was known since the worker asked whether the message may go. */
	fixture_address(source, address);
	cr_assert_neq(engine_claim(p->sidecar.engine, address, name, at_ns), LAYOUT_NONE);
	cr_assert_eq(tg_source(p->tg, source, &from), 0);
	cr_assert_eq(tg_destination(p->tg, domain, &to), 0);
	cr_assert_eq(tg_flow(p->tg, &from, &to, &flow), 0);
	cr_assert_eq(
		tg_report_line(p->tg, &flow, reply, strlen(reply), TG_BULK, TG_STAGE_MESSAGE, 1, 0),
		0);
	for (uint32_t worker = 0; worker < p->f.options.sizes.workers; worker++)
		ring_reader_drain(p->f.segment, worker, 64, UINT64_MAX / 2,
				  &(struct ring_reader_sink){record_take, NULL, &totals});
	cr_assert_eq(totals.damaged, 0);
	p->sidecar.counted = true;
	scratch_work(&p->sidecar, p->now_ns);
}

static void limits_of(struct scratch *scratch, const char *source, const char *destination,
		      uint64_t now_ns, struct publish_limits *ret)
{
	struct effective effective;
	struct control_limits control;
	struct control_bounds bounds;
	uint8_t address[16];
	uint32_t slot;

	fixture_address(source, address);
	slot = segment_flow(scratch->segment, address, destination);
	cr_assert_eq(engine_effective(scratch->engine, slot, now_ns, &effective, &control, &bounds),
		     0);
	*ret = effective.limits;
}

static void expect_same(const char *source, const char *destination)
{
	struct publish_limits here, there;
	uint64_t now_ns;
	struct scratch *scratch = replay_scratch(replay, &now_ns);

	cr_assert_eq(now_ns, production.now_ns);
	limits_of(scratch, source, destination, now_ns, &here);
	limits_of(&production.sidecar, source, destination, now_ns, &there);
	cr_expect_eq(here.interval_ns, there.interval_ns, "%s to %s: %lu, %lu", source, destination,
		     (unsigned long)here.interval_ns, (unsigned long)there.interval_ns);
	cr_expect_eq(here.hold_until_ns, there.hold_until_ns);
	cr_expect_eq(here.hold_lower_ns, there.hold_lower_ns);
	cr_expect_arr_eq(here.burst, there.burst, sizeof(here.burst));
	cr_expect_eq(here.flags, there.flags);
}

Test(replay, comes_to_the_same_limits_as_reports)
{
	static const char *const replies[] = {"250 ok",
					      "250 ok",
					      "250 ok",
					      "250 ok",
					      "250 ok",
					      "451 slow",
					      "450 4.2.1 greylisted, try later",
					      "552 5.2.2 mailbox full"};
	static const char *const sources[] = {"192.0.2.1", "192.0.2.2"};
	static const char *const domains[] = {"hotmail.com", "gmail.com"};
	static const char *const names[] = {"microsoft-consumer", "google"};
	uint64_t random = 7, at_ms = UINT64_C(1772000000000);

	begin("limits: {adapt: true, rate: 60/min}\n" POOL);
	production_begin();
	for (unsigned i = 0; i < 600; i++) {
		uint64_t draw = random_next(&random);
		const char *source = sources[draw & 1], *domain = domains[draw >> 1 & 1];
		const char *reply = replies[(draw >> 8) % N(replies)];
		char line[512];

		at_ms += 50 + (draw >> 16) % 4000;
		snprintf(line, sizeof(line),
			 "{\"time\": %lu.%03lu, \"source\": \"%s\", \"destination\": \"%s\", "
			 "\"reply\": \"%s\"}",
			 (unsigned long)(at_ms / 1000), (unsigned long)(at_ms % 1000), source,
			 domain, reply);
		line_replay(line);
		production_report(source, domain, names[draw >> 1 & 1], reply,
				  SCRATCH_EPOCH_NS + at_ms * 1000000 - DAY_NS);
		for (unsigned s = 0; i % 50 == 49 && s < N(sources); s++)
			for (unsigned d = 0; d < N(names); d++)
				expect_same(sources[s], names[d]);
	}
	cr_expect(strstr(told, "controller") != NULL, "nothing happened that could differ");
	tg_detach(production.tg);
	engine_free(production.sidecar.engine);
	fixture_end(&production.f);
	release();
}
