/* SPDX-License-Identifier: MIT
 *
 * The engine over a segment of its own, under a clock of its own.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sidecar/config/generation.h"
#include "sidecar/engine/engine.h"

#define SECOND UINT64_C(1000000000)
#define BEGIN  (86400 * SECOND)

static struct engine_fixture {
	char path[64], file[96];
	struct segment *segment;
	struct engine *engine;
	struct generation generation;
	uint64_t now;
	uint32_t alerts;
} world;

static const char configuration[] =
	"pools:\n"
	"  - {name: shared, sources: [192.0.2.1-192.0.2.4]}\n"
	"destinations:\n"
	"  - {name: example, domains: [example.com], limits: {rate: 600/min, burst: 20}}\n"
	"rules:\n"
	"  - name: shut\n"
	"    match: {class: [blocklist], destination: [example]}\n"
	"    trigger: 2/hr\n"
	"    action: {hold: 30m, hold_max: 2h, alert: {}}\n"
	"  - name: less\n"
	"    match: {code: [452]}\n"
	"    action: {scale: '0.5', connections: 1, for: 20m}\n";

static void alert(void *arg, const struct rule *rule, const struct rule_action *plan,
		  const struct alert_command_about *about)
{
	world.alerts++;
}

static void setup(void)
{
	char reason[SEGMENT_REASON];
	struct segment_options options = {
		.path = world.path,
		.owner = -1,
		.group = -1,
		.reserve_max_ns = 60 * SECOND,
		/* Many more than are used: none of the others is to be touched. */
		.sizes = {.flows = 500000,
			  .workers = 4,
			  .ring_records = 16,
			  .minutes = 10,
			  .leases = 8,
			  .names_bytes = 1 << 20},
	};
	struct diagnostics report = {0};
	FILE *file;

	engine_shape(&options);

	snprintf(world.path, sizeof(world.path), "/dev/shm/tollgate-engine-%d", (int)getpid());
	snprintf(world.file, sizeof(world.file), "%s.yaml", world.path);
	file = fopen(world.file, "w");
	cr_assert(file != NULL);
	fputs(configuration, file);
	fclose(file);
	cr_assert_eq(segment_open(&options, &world.segment, reason), 0, "%s", reason);
	cr_assert_eq(generation_load(world.file, &world.generation, &report), 0);
	diagnostics_free(&report);
	cr_assert_eq(engine_create(world.segment, &world.engine), 0);
	engine_on_alert(world.engine, alert, NULL);
	engine_wall_offset(world.engine, 0);
	world.now = BEGIN;
	cr_assert_eq(engine_configure(world.engine, world.generation.config,
				      world.generation.classifier, world.generation.rules,
				      world.now),
		     0);
	while (engine_work(world.engine, world.now) <= world.now)
		;
}

/* Another configuration, as a reload brings it. */
static void reconfigure(const char *text)
{
	struct generation before = world.generation;
	struct diagnostics report = {0};
	FILE *file = fopen(world.file, "w");

	cr_assert(file != NULL);
	fputs(text, file);
	fclose(file);
	cr_assert_eq(generation_load(world.file, &world.generation, &report), 0);
	diagnostics_free(&report);
	cr_assert_eq(engine_configure(world.engine, world.generation.config,
				      world.generation.classifier, world.generation.rules,
				      world.now),
		     0);
	generation_free(&before);
}

static void teardown(void)
{
	engine_free(world.engine);
	generation_free(&world.generation);
	segment_close(world.segment, true);
	unlink(world.file);
}

TestSuite(engine, .init = setup, .fini = teardown);

static uint32_t flow(unsigned last)
{
	uint8_t address[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, (uint8_t)last};
	uint32_t slot = engine_claim(world.engine, address, "example", world.now);

	cr_assert_neq(slot, LAYOUT_NONE);
	return slot;
}

static void reply_of(uint32_t slot, uint32_t source, uint32_t destination, const char *text)
{
	struct tg_reply parsed = {0};
	struct layout_record record = {.kind = LAYOUT_RECORD_REPLY,
				       .slot = slot,
				       .source = source,
				       .destination = destination,
				       .n = 1,
				       .traffic = TG_BULK,
				       .replied_ns = world.now,
				       .admitted_ns = world.now,
				       .place = 1};

	cr_assert_eq(tg_reply_parse(text, strlen(text), &parsed), 0);
	record.code = parsed.code;
	memcpy(record.enhanced, parsed.enhanced, sizeof(record.enhanced));
	record.length = record.length_original = (uint16_t)strlen(text);
	memcpy(record.text, text, record.length);
	if (parsed.code >= 300)
		atomic_fetch_add(&world.segment->view.counters_more[slot].deferred, 1);
	engine_record(world.engine, &record, world.now);
}

static void reply(uint32_t slot, const char *text)
{
	const struct segment_slot *known = segment_slot(world.segment, slot);

	reply_of(slot, known->source, known->destination, text);
}

static void pass(unsigned seconds)
{
	while (seconds-- > 0) {
		world.now += SECOND;
		for (int i = 0; i < 10 && engine_work(world.engine, world.now) <= world.now; i++)
			;
		engine_housekeep(world.engine, world.now);
		while (engine_work(world.engine, world.now) <= world.now)
			;
	}
}

static struct effective inforce(uint32_t slot)
{
	struct control_limits control;
	struct control_bounds bounds;
	struct effective effective;

	cr_assert_eq(engine_effective(world.engine, slot, world.now, &effective, &control, &bounds),
		     0);
	return effective;
}

#define REFUSED \
	"451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. (S775)"
#define LISTED \
	"550 5.7.1 Service unavailable; client host [192.0.2.1] blocked using zen.spamhaus.org"

Test(engine, a_reputation_reply_holds_its_flow_alone)
{
	uint32_t one = flow(1), two = flow(2);

	reply(one, REFUSED);
	cr_expect_gt(inforce(one).limits.hold_until_ns, world.now);
	cr_expect_eq(inforce(one).hold_by, BY_CONTROL);
	cr_expect_eq(inforce(two).limits.hold_until_ns, 0);
	cr_expect_eq(atomic_load(&world.segment->limits[one].hold_until_ns),
		     inforce(one).limits.hold_until_ns, "what is worked out is what is published");
}

Test(engine, what_is_said_of_a_senders_domain_leaves_the_limits_alone)
{
	static const char *const rows[] = {
		"421-4.7.28 Gmail has detected an unusual rate of mail originating from your DKIM domain",
		"550 Domain frequency limited",
		"550 MAX RCPT TO DAILY LIMIT",
	};
	uint32_t one = flow(1);
	struct effective before = inforce(one);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* Some of many: where all are refused, that outranks what they say. */
		for (int n = 0; n < 1000; n++)
			reply(one, n % 25 ? "250 2.0.0 ok" : rows[i]);
		cr_expect_eq(inforce(one).limits.hold_until_ns, 0, "%s", rows[i]);
		cr_expect_leq(inforce(one).limits.interval_ns, before.limits.interval_ns, "%s",
			      rows[i]);
	}
	for (int n = 0; n < 50; n++)
		reply(one, "550 Ip frequency limited");
	cr_expect_gt(inforce(one).limits.interval_ns, before.limits.interval_ns);
}

static uint64_t memory_taken(void)
{
	uint64_t bytes = 0;
	struct stat st;

	for (int file = 0; file < LAYOUT_FILES; file++) {
		cr_assert_eq(fstat(world.segment->fds[file], &st), 0);
		bytes += (uint64_t)st.st_blocks * 512;
	}
	return bytes;
}

/* Beyond what workers touch, which is there from the beginning. */
Test(engine, touches_only_the_memory_of_what_is_known)
{
	uint64_t before = memory_taken();

	flow(1);
	pass(2);
	cr_expect_lt(memory_taken() - before, 1 << 20, "%lu bytes more", memory_taken() - before);
}

Test(engine, a_rule_acts_at_its_threshold_and_says_so)
{
	uint32_t one = flow(1);

	reply(one, LISTED);
	cr_expect_neq(inforce(one).hold_by, BY_RULE, "one is below 2/hr");
	world.now += 60 * SECOND;
	reply(one, LISTED);
	cr_expect_eq(inforce(one).hold_by, BY_RULE);
	cr_expect_eq(inforce(one).limits.hold_until_ns, world.now + 1800 * SECOND);
	cr_expect_str_eq(engine_effects(world.engine, one)[inforce(one).hold_constraint].name,
			 "shut");
	cr_expect_eq(world.alerts, 1);
	cr_expect_eq(engine_release(world.engine, one, world.now), 0);
	cr_expect_leq(inforce(one).limits.hold_until_ns, world.now);
}

Test(engine, a_scaled_rate_and_a_cap_stand_for_their_time)
{
	uint32_t one = flow(1);
	uint64_t before = inforce(one).limits.interval_ns;

	reply(one, "452 4.3.1 Insufficient system storage");
	cr_expect_eq(inforce(one).rate_by, BY_RULE);
	cr_expect_eq(inforce(one).limits.interval_ns, before * 2);
	cr_expect_eq(inforce(one).limits.connections[TG_BULK], 1);
	world.now += 1201 * SECOND;
	cr_expect_neq(inforce(one).rate_by, BY_RULE);
	cr_expect_neq(inforce(one).limits.connections[TG_BULK], 1);
}

Test(engine, a_pool_whose_sources_are_refused_at_once_has_one_limit)
{
	uint32_t flows[4], destination;

	for (unsigned i = 0; i < 4; i++)
		flows[i] = flow(i + 1);
	destination = segment_slot(world.segment, flows[0])->destination;
	pass(2);
	for (unsigned i = 0; i < 3; i++)
		reply(flows[i], "450 4.7.1 Too much mail from your network, rate limit exceeded");
	for (unsigned i = 0; i < 4; i++)
		cr_expect(inforce(flows[i]).limits.flags & LAYOUT_DESTINATION, "flow %u", i);
	cr_expect_gt(atomic_load(&world.segment->view.limits[destination].hold_until_ns), world.now,
		     "one probe for all");
}

/* Whether three that are refused at once are under one limit from then on. */
static bool three_share(const char *pools)
{
	bool shared = true;

	reconfigure(pools);
	for (unsigned i = 1; i <= 3; i++)
		flow(i);
	pass(2);
	for (unsigned i = 1; i <= 3; i++)
		reply(flow(i), "450 4.7.1 Too much mail from your network, rate limit exceeded");
	for (unsigned i = 1; i <= 3; i++)
		shared = shared && inforce(flow(i)).limits.flags & LAYOUT_DESTINATION;
	return shared;
}

Test(engine, addresses_with_a_pool_each_share_as_if_they_were_in_none)
{
	cr_expect(three_share("pools:\n"
			      "  - {name: much, sources: [192.0.2.1]}\n"
			      "  - {name: some, sources: [192.0.2.2]}\n"));
}

Test(engine, pools_of_several_addresses_do_not_share_with_others)
{
	cr_expect_not(three_share("pools:\n"
				  "  - {name: much, sources: [192.0.2.1, 192.0.2.4]}\n"
				  "  - {name: some, sources: [192.0.2.2-192.0.2.3]}\n"));
}

Test(engine, the_refusals_of_a_limit_that_all_share_are_no_trouble_of_the_pool)
{
	uint32_t flows[4];

	for (unsigned i = 0; i < 4; i++)
		flows[i] = flow(i + 1);
	pass(2);
	for (unsigned i = 0; i < 3; i++)
		reply(flows[i], "450 4.7.1 Too much mail from your network, rate limit exceeded");
	cr_assert_neq(engine_life(world.engine, flows[0], world.now).trouble_ns, 0);
	for (unsigned i = 0; i < 4; i++)
		atomic_fetch_add(&world.segment->view.counters_more[flows[i]].deferred, 1);
	pass(10);
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(engine_life(world.engine, flows[i], world.now).trouble_ns, 0,
			     "flow %u", i);
}

Test(engine, a_limit_that_hundreds_of_sources_share_is_in_force_for_each)
{
	uint32_t flows[250];

	for (unsigned i = 0; i < 250; i++)
		flows[i] = flow(i + 5); /* in no pool */
	pass(2);
	for (unsigned i = 0; i < 250; i++)
		reply(flows[i], "450 4.7.1 Too much mail from your network, rate limit exceeded");
	for (unsigned i = 0; i < 250; i++) {
		char text[512];

		cr_expect(inforce(flows[i]).limits.flags & LAYOUT_DESTINATION, "flow %u", i);
		engine_describe(world.engine, flows[i], world.now, text, sizeof(text));
		cr_expect_not_null(strstr(text, "sources of the pool share"), "%s", text);
	}
}

/* As a sidecar that starts finds the segment. */
static void engine_again(void)
{
	engine_free(world.engine);
	cr_assert_eq(engine_create(world.segment, &world.engine), 0);
	engine_wall_offset(world.engine, 0);
	cr_assert_eq(engine_configure(world.engine, world.generation.config,
				      world.generation.classifier, world.generation.rules,
				      world.now),
		     0);
	while (engine_work(world.engine, world.now) <= world.now)
		;
}

/* The same flows in other slots, without those that nobody wants kept. */
static void segment_again(void)
{
	char reason[SEGMENT_REASON];
	struct segment_options options = {.path = world.path,
					  .owner = -1,
					  .group = -1,
					  .reserve_max_ns = 60 * SECOND,
					  .sizes = world.segment->header.sizes};

	engine_shape(&options);
	cr_assert_eq(segment_renew(world.segment, &options, NULL, NULL, world.now, reason), 0, "%s",
		     reason);
	cr_assert_eq(engine_renewed(world.engine, world.now), 0);
	segment_live(world.segment);
	while (engine_work(world.engine, world.now) <= world.now)
		;
}

static void reload_again(void)
{
	reconfigure(configuration);
}

Test(engine, a_limit_that_sources_share_outlives_the_sidecar_a_reload_and_the_segment)
{
	void (*const again[])(void) = {engine_again, reload_again, segment_again, engine_again};
	char before[512], after[512];

	for (unsigned i = 0; i < 4; i++)
		flow(i + 1);
	pass(2);
	for (unsigned i = 0; i < 3; i++)
		reply(flow(i + 1),
		      "450 4.7.1 Too much mail from your network, rate limit exceeded");
	engine_describe(world.engine, flow(1), world.now, before, sizeof(before));
	cr_assert_not_null(strstr(before, "sources of the pool share"), "%s", before);
	for (unsigned i = 0; i < 4; i++) {
		uint32_t destination;

		again[i]();
		destination = segment_slot(world.segment, flow(1))->destination;
		engine_describe(world.engine, flow(1), world.now, after, sizeof(after));
		cr_expect_not_null(strstr(after, "sources of the pool share"), "%u: %s", i, after);
		for (unsigned last = 1; last <= 4; last++)
			cr_expect(inforce(flow(last)).limits.flags & LAYOUT_DESTINATION,
				  "%u: flow %u", i, last);
		cr_expect_gt(atomic_load(&world.segment->view.limits[destination].hold_until_ns),
			     world.now, "%u: one probe for all", i);
	}
	/* In another pool's name it says nothing. */
	reconfigure("pools:\n  - {name: other, sources: [192.0.2.1-192.0.2.4]}\n");
	engine_describe(world.engine, flow(1), world.now, after, sizeof(after));
	cr_expect_null(strstr(after, "sources of the pool share"), "%s", after);
}

Test(engine, most_of_a_pool_in_trouble_does_not_move_the_flood_to_the_last_healthy_one)
{
	uint32_t flows[4];

	for (unsigned i = 0; i < 4; i++)
		flows[i] = flow(i + 1);
	for (unsigned minute = 0; minute < 3; minute++) {
		for (unsigned i = 0; i < 4; i++)
			atomic_fetch_add(&world.segment->view.counters_more[flows[i]].delivered,
					 30);
		pass(60);
	}
	cr_expect_neq(inforce(flows[3]).rate_by, BY_RULE);
	for (unsigned second = 0; second < 60; second++) {
		for (unsigned i = 0; i < 3; i++)
			if (second >= 6 * i &&
			    (second == 6 * i ||
			     inforce(flows[i]).limits.hold_until_ns <= world.now))
				reply(flows[i], REFUSED);
		pass(1);
	}
	cr_expect_eq(inforce(flows[3]).rate_by, BY_RULE);
	cr_expect_str_eq(
		engine_effects(world.engine, flows[3])[inforce(flows[3]).rate_constraint].name,
		"pool-trouble");
	/* Thirty a minute before, a tenth more now, less what has faded since. */
	cr_expect_geq(inforce(flows[3]).limits.interval_ns, 60 * SECOND / 33);
	cr_expect_leq(inforce(flows[3]).limits.interval_ns, 60 * SECOND / 20);
	for (unsigned i = 0; i < 3; i++)
		engine_release(world.engine, flows[i], world.now);
	pass(30);
	cr_expect_neq(inforce(flows[3]).rate_by, BY_RULE, "it ends when the pool is well");
}

Test(engine, what_was_learned_survives_the_engine)
{
	uint32_t one = flow(1);
	uint64_t until;

	reply(one, REFUSED);
	until = inforce(one).limits.hold_until_ns;
	engine_again();
	cr_expect_eq(inforce(one).limits.hold_until_ns, until);
	cr_expect_eq(engine_reset(world.engine, one, world.now), 0);
	cr_expect_eq(inforce(one).limits.hold_until_ns, 0);
}

Test(engine, what_was_delivered_before_a_reset_is_not_delivered_again)
{
	uint32_t one = flow(1);

	atomic_fetch_add(&world.segment->view.counters_more[one].delivered, 5000);
	pass(1);
	cr_expect_eq(engine_life(world.engine, one, world.now).pace.count, 5000);
	cr_expect_eq(engine_reset(world.engine, one, world.now), 0);
	atomic_fetch_add(&world.segment->view.counters_more[one].delivered, 7);
	pass(1);
	cr_expect_eq(engine_life(world.engine, one, world.now).pace.count, 7);
}

/* As a worker claims a flow whose announcement finds the ring full. */
static uint32_t unannounced(const uint8_t address[16], uint32_t destination)
{
	struct hash_key key = hash_flow(address, segment_slot(world.segment, destination)->key,
					world.segment->header.seed);

	return segment_find(world.segment, &key, true);
}

Test(engine, a_reply_tells_of_a_flow_that_was_never_announced)
{
	const uint8_t address[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 2};
	const struct segment_slot *other = segment_slot(world.segment, flow(1));
	uint32_t source = segment_source(world.segment, address);
	uint32_t slot = unannounced(address, other->destination);

	cr_assert_eq(segment_slot(world.segment, slot)->kind, SEGMENT_UNKNOWN);
	reply_of(slot, other->source, other->destination, REFUSED);
	cr_expect_eq(segment_slot(world.segment, slot)->kind, SEGMENT_UNKNOWN,
		     "that is another's source");
	reply_of(slot, LAYOUT_NONE, other->destination, REFUSED);
	cr_expect_eq(segment_slot(world.segment, slot)->kind, SEGMENT_UNKNOWN);
	reply_of(slot, source, other->destination, REFUSED);
	cr_assert_eq(segment_slot(world.segment, slot)->kind, SEGMENT_FLOW);
	cr_expect_gt(inforce(slot).limits.hold_until_ns, world.now, "and the reply counts");
}

/* Which record of defaults it has says by which prices the states of its flows were charged. */
Test(engine, a_destination_keeps_its_defaults_wherever_it_is_configured)
{
	static const char other[] =
		"destinations:\n"
		"  - {name: another, domains: [example.net], limits: {rate: 6/min, burst: 20}}\n"
		"  - {name: example, domains: [example.com], limits: {rate: 60/min, burst: 20}}\n";
	const uint8_t address[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 3};
	uint32_t destination = segment_slot(world.segment, flow(1))->destination;
	uint32_t index = publish_default_index(world.segment, destination);
	struct tg_flow unknown = {unannounced(address, destination), LAYOUT_NONE, destination,
				  LAYOUT_NONE};
	uint32_t used = 0, more = 0;

	cr_expect_geq(index, LAYOUT_DEFAULT_FIRST);
	unknown.source = segment_source(world.segment, address);
	while (used < 100 &&
	       decide_admit(&world.segment->view, &unknown, TG_TRANSACTIONAL, 1, world.now)
			       .reason == TG_ADMITTED)
		used++;
	cr_expect_eq(used, 20);
	reconfigure(other);
	cr_expect_eq(publish_default_index(world.segment, destination), index);
	cr_expect_neq(
		publish_default_index(world.segment, segment_destination(world.segment, "another")),
		index);
	while (more < 100 &&
	       decide_admit(&world.segment->view, &unknown, TG_TRANSACTIONAL, 1, world.now)
			       .reason == TG_ADMITTED)
		more++;
	cr_expect_eq(more, 0, "%u", more);
}

static uint32_t flow_to(unsigned last, const char *destination)
{
	uint8_t address[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, (uint8_t)last};
	uint32_t slot = engine_claim(world.engine, address, destination, world.now);

	cr_assert_neq(slot, LAYOUT_NONE);
	return slot;
}

static uint32_t used_this_hour(uint32_t slot)
{
	return (uint32_t)atomic_load(&world.segment->view.counters[slot].hour);
}

/* How many a worker is let go at once. */
static uint32_t admitted(uint32_t slot, uint32_t tries)
{
	const struct segment_slot *known = segment_slot(world.segment, slot);
	struct tg_flow it = {slot, known->source, known->destination, LAYOUT_NONE};
	uint32_t n = 0;

	while (n < tries &&
	       decide_admit(&world.segment->view, &it, TG_TRANSACTIONAL, 1, world.now).reason ==
		       TG_ADMITTED)
		n++;
	return n;
}

#define LIMITS "limits: {rate: 600/min, burst: 20, hour: 1000}}\n"

/* What the configuration before and after says; the destination that the flow is of before, and
 * where its hosts are after: NULL, nothing moves. */
static const struct move_case {
	const char *before, *after, *from, *to;
} move_cases[] = {
	{"  - {name: one, domains: [example.com], " LIMITS,
	 "  - {name: two, domains: [example.com], " LIMITS, "one", "two"},
	{"  - {name: one, mx: [.mx.example.net], " LIMITS,
	 "  - {name: two, mx: [.mx.example.net], " LIMITS, "one", "two"},
	{"  - {name: one, mx: [mx.example.net], " LIMITS,
	 "  - {name: two, mx: [example.net], " LIMITS, "one", "two"},
	{"  - {name: one, domains: [example.*], " LIMITS,
	 "  - {name: two, domains: [example.com], " LIMITS, "one", "two"},
	{"  - {name: one, addresses: [198.51.100.0/24], " LIMITS,
	 "  - {name: two, addresses: [198.51.100.0/25], " LIMITS, "one", "two"},
	/* One of its hosts alone. */
	{"  - {name: one, domains: [example.com, example.net], " LIMITS,
	 "  - {name: one, domains: [example.com], " LIMITS
	 "  - {name: two, domains: [example.net], " LIMITS,
	 "one", "two"},
	/* Into the configuration, and out of it. */
	{"  - {name: one, domains: [example.com], " LIMITS,
	 "  - {name: one, domains: [example.com, example.org], " LIMITS, "example.org", "one"},
	{"  - {name: one, domains: [example.com], " LIMITS,
	 "  - {name: two, domains: [example.org], " LIMITS, "one", "example.com"},
	{"  - {name: one, domains: [example.com], " LIMITS,
	 "  - {name: one, domains: [example.com], " LIMITS, "one", NULL},
	{"  - {name: one, domains: [example.com], " LIMITS,
	 "  - {name: one, domains: [example.com], " LIMITS
	 "  - {name: two, domains: [example.org], " LIMITS,
	 "one", NULL},
};

static void configure(const char *destinations)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 "limits: {rate: 600/min, burst: 20, hour: 1000}\n"
		 "destinations:\n%s",
		 destinations);
	reconfigure(text);
}

Test(engine, what_was_used_learned_and_held_goes_with_the_hosts)
{
	const struct constraint hold = {.kind = CONSTRAINT_HOLD,
					.by_operator = 1,
					.until_ns = UINT64_MAX,
					.name = "operator",
					.why = "asked to"};
	struct diagnostics report = {0};
	struct generation same; /* so that its patterns need not be compiled for each row */

	cr_assert_eq(generation_load(NULL, &same, &report), 0);
	for (size_t i = 0; i < sizeof(move_cases) / sizeof(move_cases[0]); i++) {
		const struct move_case *row = &move_cases[i];
		uint32_t used, held, learned, count;
		const struct engine_move *moves;
		uint64_t interval;

		configure(row->before);
		used = flow_to(1, row->from);
		held = flow_to(2, row->from);
		learned = flow_to(3, row->from);
		admitted(used, 20);
		cr_assert_eq(engine_constraint_add(world.engine, held, &hold, world.now), 0);
		reply(learned, REFUSED);
		interval = engine_life(world.engine, learned, world.now).control.flow.hold_seconds;
		configure(row->after);
		moves = engine_moves(world.engine, &count);
		cr_expect_eq(count, row->to != NULL, "row %zu: %u", i, count);
		if (row->to && count == 1) {
			cr_expect_str_eq(moves[0].from, row->from);
			cr_expect_str_eq(moves[0].to, row->to);
			cr_expect_eq(moves[0].flows, 3, "row %zu: %u", i, moves[0].flows);
			cr_expect_eq(admitted(flow_to(1, row->to), 20), 0, "row %zu", i);
			cr_expect_eq(used_this_hour(flow_to(1, row->to)), used_this_hour(used));
			cr_expect_eq(inforce(flow_to(2, row->to)).limits.hold_until_ns, UINT64_MAX);
			cr_expect_eq(engine_life(world.engine, flow_to(3, row->to), world.now)
					     .control.flow.hold_seconds,
				     interval);
			/* Once: the next reload finds nothing that moved. */
			configure(row->after);
			engine_moves(world.engine, &count);
			cr_expect_eq(count, 0, "row %zu: again %u", i, count);
			cr_expect_eq(used_this_hour(flow_to(1, row->to)), used_this_hour(used));
		}
		teardown();
		setup();
	}
	generation_free(&same);
}

/* What the other has used is used of both, and of an hour's cap no more than is left. */
Test(engine, hosts_that_move_to_a_destination_add_to_what_it_has_used)
{
	configure("  - {name: one, domains: [example.com], " LIMITS
		  "  - {name: two, domains: [example.net], " LIMITS);
	cr_expect_eq(admitted(flow_to(1, "one"), 12), 12);
	cr_expect_eq(admitted(flow_to(1, "two"), 6), 6);
	configure("  - {name: two, domains: [example.com, example.net], " LIMITS);
	cr_expect_eq(used_this_hour(flow_to(1, "two")), 18);
	cr_expect_eq(admitted(flow_to(1, "two"), 20), 2);
}

Test(engine, deliveries_of_flows_that_are_not_known_are_asked_for)
{
	for (uint32_t i = 0; i < world.generation.config->effective_count; i++)
		cr_expect(atomic_load(
				  &world.segment->defaults[LAYOUT_DEFAULT_FIRST + i].limits.flags) &
			  LAYOUT_REPORT_DELIVERED);
	cr_expect(atomic_load(&world.segment->defaults[LAYOUT_DEFAULT_FLOW].limits.flags) &
		  LAYOUT_REPORT_DELIVERED);
}

Test(engine, the_source_of_an_announced_flow_is_known_though_its_own_announcement_was_lost)
{
	const uint8_t address[16] = {[10] = 0xff, [11] = 0xff, 198, 51, 100, 7};
	uint32_t destination = segment_slot(world.segment, flow(1))->destination;
	struct hash_key key = hash_bytes(HASH_SOURCE, address, 16, world.segment->header.seed);
	struct layout_record record = {.kind = LAYOUT_RECORD_FLOW,
				       .slot = unannounced(address, destination),
				       .source = segment_find(world.segment, &key, true),
				       .destination = destination,
				       .length = 16,
				       .length_original = 16};

	memcpy(record.text, address, 16);
	/* It sends before its name is read. */
	atomic_fetch_add(&world.segment->view.counters_more[record.slot].delivered, 7);
	engine_record(world.engine, &record, world.now);
	cr_expect_eq(segment_slot(world.segment, record.slot)->kind, SEGMENT_FLOW);
	cr_expect_eq(segment_slot(world.segment, record.source)->kind, SEGMENT_SOURCE);
	pass(1);
	cr_expect_eq(engine_life(world.engine, record.slot, world.now).pace.count, 7);
}

static bool has(uint32_t slot, enum engine_pool pool)
{
	return segment_block(world.segment, slot, pool) != NULL;
}

Test(engine, keeps_of_a_flow_what_there_is_to_keep)
{
	uint32_t calm = flow(1), troubled = flow(2);
	uint64_t until;

	for (uint32_t pool = 0; pool < SEGMENT_POOLS; pool++)
		cr_expect(!has(calm, pool), "pool %u of a flow that has done nothing", pool);
	atomic_fetch_add(&world.segment->view.counters_more[calm].delivered, 3);
	reply(troubled, REFUSED);
	pass(1);
	cr_expect(has(calm, ENGINE_LIFE) && has(calm, ENGINE_MINUTES));
	cr_expect(!has(calm, ENGINE_REPLIES) && !has(calm, ENGINE_EFFECTS));
	cr_expect(has(troubled, ENGINE_LIFE) && has(troubled, ENGINE_REPLIES));
	until = inforce(troubled).limits.hold_until_ns;
	world.now += 3 * 3600 * SECOND;
	pass(2);
	cr_expect(!has(calm, ENGINE_LIFE) && !has(calm, ENGINE_MINUTES), "its hour has passed");
	cr_expect(has(troubled, ENGINE_LIFE) && has(troubled, ENGINE_REPLIES));
	cr_expect_gt(until, 0);
}

Test(engine, effects_go_with_their_last)
{
	uint32_t one = flow(1);
	struct constraint hold = {.kind = CONSTRAINT_HOLD,
				  .by_operator = 1,
				  .from_ns = world.now,
				  .until_ns = world.now + 10 * SECOND};

	cr_expect_eq(engine_constraint_add(world.engine, one, &hold, world.now), 0);
	cr_expect(has(one, ENGINE_EFFECTS));
	pass(11);
	cr_expect(!has(one, ENGINE_EFFECTS));
	cr_expect_eq(inforce(one).limits.hold_until_ns, 0);
	cr_expect_eq(engine_constraint_add(world.engine, one, &hold, world.now - 11 * SECOND), 0);
	cr_expect_eq(engine_constraint_remove(world.engine, one, CONSTRAINT_HOLD, world.now), 0);
	cr_expect(!has(one, ENGINE_EFFECTS));
}

Test(engine, flows_whose_announcement_was_lost_are_found)
{
	const struct segment_slot *other = segment_slot(world.segment, flow(1));
	uint32_t destination = other->destination, slots[64];

	for (unsigned i = 0; i < 64; i++) {
		uint8_t address[16] = {[10] = 0xff, [11] = 0xff, 198, 51, 100, (uint8_t)i};

		cr_assert_neq(segment_source(world.segment, address), LAYOUT_NONE);
		slots[i] = unannounced(address, destination);
		cr_assert_eq(segment_kind(world.segment, slots[i]), SEGMENT_UNKNOWN);
	}
	pass(15);
	for (unsigned i = 0; i < 64; i++) {
		cr_expect_eq(segment_kind(world.segment, slots[i]), SEGMENT_FLOW, "%u", i);
		cr_expect_neq(atomic_load(&world.segment->limits[slots[i]].rate[0]), 0);
	}
}

/* ---- what is heard ------------------------------------------------------------------------------- */

static const struct heard_case {
	const char *what;
	uint8_t by[3]; /* in this order; ENGINE_HEARINGS: nobody more */
	int first[3];
	uint32_t deferred; /* counted */
	uint64_t judged;
} heard_cases[] = {
	{"log alone", {ENGINE_BY_LOG, ENGINE_HEARINGS, 0}, {3, 0, 0}, 1, 1},
	{"gate alone", {ENGINE_BY_GATE, ENGINE_HEARINGS, 0}, {2, 0, 0}, 0, 1},
	{"gate, then log", {ENGINE_BY_GATE, ENGINE_BY_LOG, ENGINE_HEARINGS}, {2, 1, 0}, 1, 1},
	{"log, then gate", {ENGINE_BY_LOG, ENGINE_BY_GATE, ENGINE_HEARINGS}, {3, 0, 0}, 1, 1},
	{"filter, gate, log", {ENGINE_BY_FILTER, ENGINE_BY_GATE, ENGINE_BY_LOG}, {3, 0, 0}, 1, 1},
	{"gate, filter, log", {ENGINE_BY_GATE, ENGINE_BY_FILTER, ENGINE_BY_LOG}, {2, 1, 0}, 1, 1},
	{"log twice: two of them",
	 {ENGINE_BY_LOG, ENGINE_BY_LOG, ENGINE_HEARINGS},
	 {3, 3, 0},
	 2,
	 2},
};

Test(engine, counts_and_judges_a_failed_connection_once_whoever_hears_it)
{
	for (size_t i = 0; i < sizeof(heard_cases) / sizeof(heard_cases[0]); i++) {
		const struct heard_case *now = &heard_cases[i];
		uint32_t slot = flow(100 + (unsigned)i);
		uint64_t before = engine_totals(world.engine)->replies;

		for (int k = 0; k < 3 && now->by[k] != ENGINE_HEARINGS; k++) {
			struct engine_heard heard = {.stage = TG_STAGE_CONNECT,
						     .n = 1,
						     .by = now->by[k],
						     .replied_ns = world.now + (uint64_t)k * SECOND,
						     .text = k ? "other words" : "words",
						     .length = 5,
						     .peer_known = true,
						     .peer = {[15] = 7}};
			int first = engine_heard(world.engine, slot, &heard, world.now);

			cr_expect_eq(first, now->first[k], "%s, %d: %d", now->what, k, first);
		}
		cr_expect_eq(world.segment->view.counters_more[slot].deferred, now->deferred, "%s",
			     now->what);
		cr_expect_eq(engine_totals(world.engine)->replies - before, now->judged, "%s",
			     now->what);
	}
}

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

Test(engine, paces_a_burst_into_what_the_flow_has_sent_before)
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

Test(engine, what_a_flow_has_sent_outlives_the_sidecar_a_reset_and_a_day_of_silence)
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

Test(engine, what_a_flow_has_sent_goes_with_its_hosts)
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
