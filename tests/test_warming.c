/* SPDX-License-Identifier: MIT
 *
 * Warm-up in the engine: in force before the first message, named by who asks, moved on by days and
 * replies, and there again after a restart.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shm/window.h"
#include "sidecar/config/generation.h"
#include "sidecar/engine/saved.h"
#include "sidecar/engine/scratch.h"

#define SECOND UINT64_C(1000000000)
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)

static struct generation generation;
static struct scratch_setup made;
static struct scratch scratch;
static uint64_t now;
static unsigned alerts;

static const char configuration[] =
	"pools: [{name: new, sources: [192.0.2.0/24]}]\n"
	"destinations:\n"
	"- {name: example, domains: [example.com], limits: {hour: 100_000, day: 1_000_000}}\n"
	"- {name: capped, domains: [capped.com], limits: {day: 50}}\n"
	"warmup:\n"
	"  flows: [{pool: new, schedule: sparkpost, volume: 50_000}]\n"
	"  alert: {command: [/bin/true]}\n";

static void alert(void *arg, const struct rule *rule, const struct rule_action *plan,
		  const struct alert_command_about *about)
{
	alerts += strcmp(about->rule, "warm-up") == 0 && rule->action.alert->command_count == 1 &&
		  plan->alert_timeout_ns > 0;
}

static void setup(void)
{
	struct diagnostics report = {0};
	char file[64];
	FILE *out;

	snprintf(file, sizeof(file), "/dev/shm/tollgate-warming-%d.yaml", (int)getpid());
	out = fopen(file, "w");
	cr_assert(out != NULL);
	fputs(configuration, out);
	fclose(out);
	cr_assert_eq(generation_load(file, &generation, &report), 0);
	unlink(file);
	diagnostics_free(&report);
	made = (struct scratch_setup){.config = generation.config,
				      .classifier = generation.classifier,
				      .rules = generation.rules,
				      .flows = 1000,
				      .wall_offset_ns = -(int64_t)SCRATCH_EPOCH_NS};
	now = SCRATCH_EPOCH_NS;
	cr_assert_eq(scratch_open(&made, &scratch), 0);
	engine_on_alert(scratch.engine, alert, NULL);
	scratch_work(&scratch, now);
}

static void teardown(void)
{
	scratch_close(&scratch);
	generation_free(&generation);
}

TestSuite(warming, .init = setup, .fini = teardown);

static uint32_t flow_of(uint8_t source, const char *destination)
{
	const uint8_t address[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, source};
	uint32_t slot = engine_claim(scratch.engine, address, destination, now);

	cr_assert_neq(slot, LAYOUT_NONE);
	return slot;
}

static uint32_t flow_to(const char *destination)
{
	return flow_of(1, destination);
}

static void run_to(uint64_t to)
{
	while (now < to) {
		uint64_t wake = scratch_wake(&scratch);

		now = wake > now && wake < to ? wake : to;
		scratch_run(&scratch, now);
	}
}

static void delivered(uint32_t slot, uint64_t count)
{
	atomic_fetch_add(&scratch.segment->view.counters_more[slot].delivered, count);
	scratch.counted = true;
	run_to(now + 2 * SECOND);
}

static void refused(uint32_t slot, const char *text)
{
	struct tg_reply parsed = {0};
	struct layout_record record = {.kind = LAYOUT_RECORD_REPLY,
				       .slot = slot,
				       .source = segment_slot(scratch.segment, slot)->source,
				       .destination =
					       segment_slot(scratch.segment, slot)->destination,
				       .n = 1,
				       .traffic = TG_BULK,
				       .replied_ns = now,
				       .admitted_ns = now,
				       .place = 1};

	cr_assert_eq(tg_reply_parse(text, strlen(text), &parsed), 0);
	record.code = parsed.code;
	memcpy(record.enhanced, parsed.enhanced, sizeof(record.enhanced));
	record.length = (uint16_t)parsed.length;
	memcpy(record.text, parsed.text, record.length);
	engine_record(scratch.engine, &record, now);
	atomic_fetch_add(&scratch.segment->view.counters_more[slot].deferred, 1);
	scratch.counted = true;
}

static struct effective in_force(uint32_t slot)
{
	struct effective effective;
	struct control_limits control;
	struct control_bounds bounds;

	cr_assert_eq(engine_effective(scratch.engine, slot, now, &effective, &control, &bounds), 0);
	return effective;
}

static uint32_t published_day(uint32_t slot)
{
	struct publish_limits limits;

	publish_read(scratch.segment, slot, &limits);
	return limits.day_cap[TG_TRANSACTIONAL];
}

Test(warming, is_in_force_before_the_first_message)
{
	uint32_t slot = flow_to("example"), capped = flow_to("capped"), other = flow_to("some.org");
	struct effective effective = in_force(slot);

	cr_expect_eq(published_day(slot), 200);
	cr_expect(effective.day_by == BY_WARMUP && effective.hour_by == BY_WARMUP);
	cr_expect_eq(effective.limits.hour_cap[TG_TRANSACTIONAL], 9);
	cr_expect_lt(effective.limits.hour_cap[TG_BULK], 9);
	effective = in_force(capped);
	cr_expect_eq(published_day(capped), 50, "the strictest holds");
	cr_expect_eq(effective.day_by, BY_CONFIGURATION);
	cr_expect_eq(published_day(other), PUBLISH_NO_CAP, "not one that is named");
}

Test(warming, goes_on_by_days_with_mail)
{
	uint32_t slot = flow_to("example");
	struct engine_warmup warmup;

	delivered(slot, 200);
	run_to(SCRATCH_EPOCH_NS + DAY + SECOND);
	cr_expect_eq(published_day(slot), 400);
	run_to(SCRATCH_EPOCH_NS + 3 * DAY + SECOND);
	cr_expect_eq(published_day(slot), 400, "days without mail");
	delivered(slot, 300);
	run_to(SCRATCH_EPOCH_NS + 4 * DAY + SECOND);
	cr_expect_eq(published_day(slot), 600);
	cr_assert_eq(engine_warmup(scratch.engine, slot, now, &warmup), 0);
	cr_expect_eq(warmup.state->step, 2);
	cr_expect_str_eq(warmup.schedule, "sparkpost");
	cr_expect_eq(warmup.plan.volume, 50000);
}

/* What comes of a pool together is at most twice its best day, whenever its sources begin. */
Test(warming, of_a_source_that_begins_later_takes_from_the_others)
{
	uint32_t sources[5], count = 1, before = 0, all = 200;

	sources[0] = flow_of(1, "example");
	for (uint64_t day = 0; day < 12; day++) {
		if (day > 0 && day % 2 == 0 && count < 5)
			sources[count] = flow_of((uint8_t)(count + 1), "example"), count++;
		all = 0;
		for (uint32_t i = 0; i < count; i++) {
			uint32_t cap = published_day(sources[i]);

			cr_expect_geq(cap, 1);
			delivered(sources[i], cap);
			all += cap;
		}
		cr_expect(day == 0 || all <= 2 * before + count, "day %u: %u after %u",
			  (unsigned)day, all, before);
		cr_expect_geq(all, before, "and does not shrink");
		before = all;
		/* Some begin in the middle of a day, when the others have had theirs. */
		if (day == 7)
			sources[count] = flow_of((uint8_t)(count + 1), "example"), count++;
		run_to(SCRATCH_EPOCH_NS + (day + 1) * DAY + SECOND);
	}
	cr_expect_eq(count, 5);
	cr_expect_gt(all, 100000, "and it gets there: %u", all);
	for (uint32_t i = 0; i < count; i++)
		cr_expect_gt(published_day(sources[i]), 2000, "source %u: %u", i,
			     published_day(sources[i]));
}

Test(warming, of_sources_that_begin_at_once_is_their_own)
{
	uint32_t a = flow_of(1, "example"), b = flow_of(2, "example"), other;

	cr_expect(published_day(a) == 200 && published_day(b) == 200);
	delivered(a, 200);
	delivered(b, 200);
	run_to(SCRATCH_EPOCH_NS + DAY + SECOND);
	cr_expect(published_day(a) == 400 && published_day(b) == 400);
	other = flow_of(3, "some.org");
	cr_expect_eq(published_day(other), PUBLISH_NO_CAP, "elsewhere");
	other = flow_of(3, "example");
	cr_expect_eq(published_day(other), 1, "the others have today's");
	delivered(a, 400);
	delivered(b, 400);
	run_to(SCRATCH_EPOCH_NS + 2 * DAY + SECOND);
	cr_expect_leq(published_day(a) + published_day(b) + published_day(other), 1600);
	cr_expect_gt(published_day(other), 100);
}

Test(warming, spreads_its_day)
{
	uint32_t slot = flow_to("example");

	cr_expect_eq(in_force(slot).rate_by, BY_WARMUP);
	cr_expect_eq(in_force(slot).limits.interval_ns, 400 * SECOND, "9 in an hour");
	delivered(slot, 9);
	run_to(SCRATCH_EPOCH_NS + HOUR + SECOND);
	cr_expect_eq(in_force(slot).limits.hour_cap[TG_TRANSACTIONAL], 9, "191 in 23 hours");
	run_to(SCRATCH_EPOCH_NS + 20 * HOUR);
	cr_expect_eq(in_force(slot).limits.hour_cap[TG_TRANSACTIONAL], 20, "a tenth of the day");
}

/* As the sidecar publishes the days around a change of the clock. */
Test(warming, has_days_of_23_and_25_hours)
{
	static const struct {
		uint64_t hours;
		uint32_t hour_cap; /* of a day of 200 */
	} rows[] = {{22, 10}, {23, 9}, {25, 8}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct layout_calendar *calendar;
		uint32_t slot, tomorrow;
		uint64_t end;

		teardown();
		setup();
		calendar = scratch.segment->calendar;
		tomorrow = window_day(calendar, 0, now) + 1;
		end = SCRATCH_EPOCH_NS + rows[i].hours * HOUR;
		calendar->day_start_ns[tomorrow % LAYOUT_DAYS] = end;
		slot = flow_to("example");
		cr_expect_eq(in_force(slot).limits.hour_cap[TG_TRANSACTIONAL], rows[i].hour_cap,
			     "%u hours", (unsigned)rows[i].hours);
		delivered(slot, 200);
		run_to(end - SECOND);
		cr_expect_eq(published_day(slot), 200, "%u hours", (unsigned)rows[i].hours);
		run_to(end + SECOND);
		cr_expect_eq(published_day(slot), 400, "%u hours", (unsigned)rows[i].hours);
	}
}

/* A zone of half hours: a day's last hour is none of the next. */
Test(warming, has_days_that_end_within_an_hour)
{
	struct layout_calendar *calendar = scratch.segment->calendar;
	uint64_t end = SCRATCH_EPOCH_NS + 18 * HOUR + HOUR / 2;
	uint32_t slot;

	calendar->day_offset_ns = calendar->hour_offset_ns = 11 * HOUR / 2;
	slot = flow_to("example");
	cr_expect_eq(in_force(slot).limits.hour_cap[TG_TRANSACTIONAL], 11, "200 in 19 hours");
	delivered(slot, 200);
	run_to(end - SECOND);
	cr_expect_eq(published_day(slot), 200);
	run_to(end + SECOND);
	cr_expect_eq(published_day(slot), 400);
	run_to(end + DAY - SECOND);
	cr_expect_eq(published_day(slot), 400);
}

/* The wall clock is put forward by days, and back: as the sidecar publishes it then. */
Test(warming, goes_on_when_a_wrong_clock_is_put_right)
{
	struct layout_calendar *calendar = scratch.segment->calendar;
	uint32_t slot = flow_to("example");

	delivered(slot, 200);
	calendar->day_offset_ns = 5 * DAY;
	run_to(now + 2 * HOUR);
	cr_expect_eq(published_day(slot), 400);
	delivered(slot, 300);
	calendar->day_offset_ns = 0;
	run_to(SCRATCH_EPOCH_NS + DAY - SECOND);
	cr_expect_eq(published_day(slot), 400, "no day anew");
	run_to(SCRATCH_EPOCH_NS + DAY + SECOND);
	cr_expect_eq(published_day(slot), 600, "nor one that never ends");
}

/* A quarter of an hour apart, for an hour. */
static void hour_of_refusals(uint32_t slot, const char *text)
{
	for (int i = 0; i < 5; i++) {
		refused(slot, text);
		run_to(now + 900 * SECOND);
	}
}

Test(warming, tells_a_wall_from_trouble)
{
	static const struct {
		const char *text;
		uint32_t flags;
	} rows[] = {
		{"421 RP-001 Too many messages today", WARMUP_WALL},
		{"451 4.7.650 The mail server has been temporarily rate limited due to IP reputation",
		 WARMUP_TROUBLE},
		{"421 4.3.2 Service not available", 0},
		{"450 4.2.1 The user is receiving mail at a rate that is too high", 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct engine_warmup warmup;
		char name[32];
		uint32_t slot;

		teardown();
		setup();
		snprintf(name, sizeof(name), "example");
		slot = flow_to(name);
		delivered(slot, 60);
		hour_of_refusals(slot, rows[i].text);
		cr_assert_eq(engine_warmup(scratch.engine, slot, now, &warmup), 0);
		cr_expect_eq(warmup_today(warmup.state)->flags, rows[i].flags, "%s: %u",
			     rows[i].text, warmup_today(warmup.state)->flags);
	}
}

Test(warming, says_that_it_steps_back)
{
	uint32_t slot = flow_to("example");

	for (uint64_t day = 1; day <= 4; day++) {
		delivered(slot, 100 << day);
		run_to(SCRATCH_EPOCH_NS + day * DAY + SECOND);
	}
	cr_expect_eq(published_day(slot), 3200);
	hour_of_refusals(slot, "451 4.7.650 The mail server has been temporarily rate limited due "
			       "to IP reputation");
	cr_expect_eq(published_day(slot), 1600, "today already");
	cr_expect_eq(alerts, 0);
	run_to(SCRATCH_EPOCH_NS + 5 * DAY + SECOND);
	cr_expect_eq(alerts, 1);
	cr_expect_eq(published_day(slot), 1600);
}

Test(warming, is_there_again_after_a_restart_and_a_reboot)
{
	uint32_t slot = flow_to("example");
	uint8_t bytes[SAVED_WARMUP_BYTES];
	struct engine_warmup warmup;
	struct warmup found;
	size_t length;

	delivered(slot, 200);
	run_to(SCRATCH_EPOCH_NS + DAY + SECOND);
	delivered(slot, 50);
	scratch_end(&scratch);
	now += 3 * HOUR;
	cr_assert_eq(scratch_adopt(&scratch, &made, now), 0);
	scratch_work(&scratch, now);
	cr_expect_eq(published_day(slot), 400);
	cr_assert_eq(engine_warmup(scratch.engine, slot, now, &warmup), 0);
	cr_expect_eq(warmup_today(warmup.state)->sent, 50);
	length = saved_warmup_write(warmup.state, bytes);
	teardown();
	setup();
	cr_assert(saved_warmup_read(bytes, length, &found));
	slot = segment_flow(scratch.segment,
			    (const uint8_t[16]){[10] = 0xff, [11] = 0xff, 192, 0, 2, 1}, "example");
	engine_restore_warmup(scratch.engine, slot, &found);
	now = SCRATCH_EPOCH_NS + DAY + 5 * HOUR;
	engine_settle(scratch.engine, slot, now);
	cr_expect_eq(published_day(slot), 400);
	cr_assert_eq(engine_warmup(scratch.engine, slot, now, &warmup), 0);
	cr_expect_eq(warmup_today(warmup.state)->sent, 50);
	cr_expect_eq(warmup_before(warmup.state, 0)->delivered, 200);
}

Test(warming, does_as_the_operator_says)
{
	uint32_t slot = flow_to("example"), other = flow_to("some.org");

	cr_expect_eq(engine_warmup_order(scratch.engine, other, WARMUP_SKIP, now), -ENOENT);
	cr_expect_eq(engine_warmup_order(scratch.engine, slot, WARMUP_RESUME, now), -EALREADY);
	cr_expect_eq(engine_warmup_order(scratch.engine, slot, WARMUP_SKIP, now), 0);
	cr_expect_eq(published_day(slot), 400);
	cr_expect_eq(engine_warmup_order(scratch.engine, slot, WARMUP_RESTART, now), 0);
	cr_expect_eq(published_day(slot), 200);
	cr_expect(engine_keeps(scratch.engine, slot, now), "is not forgotten");
}

Test(warming, as_bytes_that_are_damaged_is_none)
{
	uint8_t bytes[SAVED_WARMUP_BYTES];
	const struct schedule_step steps[] = {{200, 0}};
	const struct warmup_plan plan = {steps, 1, 100, 30};
	struct warmup w, found = {.step = 77}, again;
	size_t length;

	warmup_begin(&w, &plan, 1);
	for (uint32_t day = 2; day < 100; day++) {
		const struct warmup_clock clock = {day, day, 24};

		warmup_count(&w, UINT32_MAX, 3, 1);
		warmup_advance(&w, &plan, &clock);
	}
	length = saved_warmup_write(&w, bytes);
	cr_assert_leq(length, sizeof(bytes));
	for (size_t cut = 0; cut < length; cut++)
		cr_expect(!saved_warmup_read(bytes, cut, &found), "%zu bytes", cut);
	bytes[length] = 0;
	cr_expect(!saved_warmup_read(bytes, length + 1, &found), "more than there is");
	cr_expect_eq(found.step, 77, "it is as it was");
	cr_assert(saved_warmup_read(bytes, length, &again));
	cr_expect_eq(warmup_today(&again)->day, 99);
	cr_expect_eq(warmup_before(&again, WARMUP_DAYS - 2)->day,
		     warmup_before(&w, WARMUP_DAYS - 2)->day);
	cr_expect_eq(again.growth, w.growth);
}
