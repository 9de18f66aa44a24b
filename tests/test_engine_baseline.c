/* SPDX-License-Identifier: MIT
 *
 * The engine and what a flow has sent before: the caps that follow from it, and what keeps it.
 */
#include "tests/engine_world.h"

TestSuite(engine_baseline, .init = setup, .fini = teardown);

#define PACED                                                                   \
	"pools:\n"                                                              \
	"  - {name: shared, sources: [192.0.2.1-192.0.2.4]}\n"                  \
	"destinations:\n"                                                       \
	"  - name: example\n"                                                   \
	"    domains: [example.com]\n"                                          \
	"    limits: {rate: 6000/min, burst: 200, adapt: false, baseline: 2,\n" \
	"             baseline_floor: {minute: 20, hour: 400, day: 1000}}\n"

static void deliver(uint32_t slot, uint32_t messages)
{
	atomic_fetch_add(&world.segment->view.counters_more[slot].delivered, messages);
	pass(1);
}

/* As exact as a history is kept. */
static bool near(uint32_t a, uint32_t b)
{
	return (a > b ? a - b : b - a) <= b / 1000;
}

static void expect_caps(uint32_t slot, uint32_t hour, uint32_t day)
{
	struct effective now = inforce(slot);
	struct publish_limits published;

	publish_read(world.segment, slot, &published);
	cr_expect(near(now.limits.hour_cap[TG_TRANSACTIONAL], hour), "hour %u, wanted %u",
		  now.limits.hour_cap[TG_TRANSACTIONAL], hour);
	cr_expect(near(now.limits.day_cap[TG_TRANSACTIONAL], day), "day %u, wanted %u",
		  now.limits.day_cap[TG_TRANSACTIONAL], day);
	cr_expect_eq(published.day_cap[TG_TRANSACTIONAL], now.limits.day_cap[TG_TRANSACTIONAL],
		     "in force %u", published.day_cap[TG_TRANSACTIONAL]);
	cr_expect_eq(now.rate_by, BY_BASELINE);
	cr_expect_eq(now.day_by, BY_BASELINE);
}

Test(engine_baseline, paces_a_burst_into_what_the_flow_has_sent_before)
{
	uint32_t one, two;
	double peaks[BASELINE_SPANS];
	uint32_t caps[BASELINE_SPANS];

	reconfigure(PACED);
	one = flow(1);
	two = flow(2);
	pass(1);
	expect_caps(one, 400, 1000);
	deliver(one, 3000);
	expect_caps(one, 400, 1000);
	/* It is idle at midnight, and has other caps then all the same. */
	world.now += 86400 * SECOND;
	pass(2);
	expect_caps(one, 6000, 6000);
	expect_caps(two, 400, 1000);
	world.now += 30 * 86400 * SECOND;
	pass(2);
	expect_caps(one, 3000, 3000);
	cr_expect(engine_history(world.engine, one, world.now, peaks, caps));
	cr_expect(peaks[BASELINE_DAY] > 1495 && peaks[BASELINE_DAY] < 1505, "%g",
		  peaks[BASELINE_DAY]);
	reconfigure("builtin: true\n");
	pass(1);
	cr_expect_not(engine_history(world.engine, one, world.now, peaks, caps), "off");
	cr_expect_eq(inforce(one).limits.day_cap[TG_TRANSACTIONAL], PUBLISH_NO_CAP);
}

Test(engine_baseline, what_a_flow_has_sent_outlives_the_sidecar_a_reset_and_a_day_of_silence)
{
	uint32_t one;

	reconfigure(PACED);
	one = flow(1);
	pass(1);
	cr_expect_eq(engine_seed(world.engine, one, (double[]){0, 0, 8000}, world.now), 0);
	expect_caps(one, 2000, 16000);
	cr_expect_eq(engine_reset(world.engine, one, world.now), 0);
	expect_caps(one, 2000, 16000);
	engine_again();
	pass(1);
	expect_caps(one, 2000, 16000);
	/* Longer than what was learned of a receiver would be kept. */
	world.now += 20 * 3600 * SECOND;
	pass(5);
	expect_caps(one, 2000, 16000);
}

Test(engine_baseline, what_a_flow_has_sent_goes_with_its_hosts)
{
	uint8_t address[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1};
	uint32_t one, moved;

	reconfigure(PACED);
	one = flow(1);
	pass(1);
	cr_expect_eq(engine_seed(world.engine, one, (double[]){0, 0, 8000}, world.now), 0);
	reconfigure("destinations:\n"
		    "  - {name: other, domains: [example.com], limits: {baseline: 2}}\n");
	pass(1);
	moved = engine_claim(world.engine, address, "other", world.now);
	expect_caps(moved, 2000, 16000);
}
