/* SPDX-License-Identifier: MIT
 *
 * Scenarios: what each key means, what holds where it is not written, where errors are said to be,
 * and that the random ones are scenarios.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "sidecar/base/units.h"
#include "sidecar/simulate/random.h"
#include "sidecar/simulate/scenario.h"
#include "tests/guard.h"

#define HOUR UNITS_HOUR_NS

static int parse(const char *text, struct scenario **ret, char *error, size_t size)
{
	char *guarded = guard_copy(text, strlen(text));

	return scenario_parse(guarded, strlen(text), "s.yaml", ret, error, size);
}

static struct scenario *good(const char *text)
{
	struct scenario *scenario = NULL;
	char error[512] = "";

	cr_assert_eq(parse(text, &scenario, error, sizeof error), 0, "%s", error);
	return scenario;
}

static const char whole[] =
	"duration: 8h\n"
	"seed: 7\n"
	"sources:    [{address: 192.0.2.10, pool: shared}, {address: '2001:db8::1', pool: other}]\n"
	"traffic:\n"
	"  - {pool: shared, destination: a, class: bulk, messages: \"200,000\", start: 1h, over: "
	"4h, "
	"arrival: burst}\n"
	"  - {pool: other, destination: b, class: transactional, messages: 3000, over: 8h, "
	"arrival: "
	"uniform}\n"
	"receivers:\n"
	"  - destination: a\n"
	"    accept: {rate: 60/min, burst: 30, connections: 5, per_connection: 50, hour: 3000, "
	"day: 40000}\n"
	"    windows: {kind: sliding, phase: 23m}\n"
	"    over: \"451 4.7.650 [%s] limited\"\n"
	"    penalty: {when: 20 in 10m, hold: 2h, repeat: 2, reply: \"451 blocked\"}\n"
	"    history: {factor: 3, floor: 200/hr, over: \"451 4.7.500 busy\"}\n"
	"    greylist: {delay: 5m, reply: \"450 4.7.1 Greylisted\"}\n"
	"    noise: {share: 0.005, reply: \"451 4.7.0 PRX4\"}\n"
	"    changes: [{at: 6h, rate: 90/min}, {at: 3h, rate: 2.5/min, connections: 2, hour: "
	"unlimited}]\n"
	"    outage: [{at: 5h, for: 20m, reply: \"421 4.3.2 gone\"}]\n"
	"    latency: 350ms\n"
	"  - destination: b\n"
	"    accept: {rate: unlimited}\n"
	"    over: {rate: \"450 rate\", connections: \"421 connections\", hour: \"550 hour\"}\n"
	"    noise:\n"
	"      - {share: 0.1}\n"
	"      - {share: 0.2, reply: \"451 two\"}\n"
	"    windows: sliding\n";

Test(simulate_scenario, reads_every_key)
{
	struct scenario *s = good(whole);
	const struct scenario_receiver *a = &s->receivers[0];

	cr_expect_eq(s->duration_ns, 8 * HOUR);
	cr_expect_eq(s->seed, 7);
	cr_expect_eq(s->pool_count, 2);
	cr_expect_str_eq(s->sources[1].address, "2001:db8::1");
	cr_expect_eq(s->traffic[0].messages, 200000);
	cr_expect_eq(s->traffic[0].start_ns, HOUR);
	cr_expect_eq(s->traffic[0].arrival, SCENARIO_BURST);
	cr_expect_eq(s->traffic[1].receiver, 1);
	cr_expect_eq(s->traffic[1].pool, 1);
	cr_expect_eq(s->traffic[1].class, TG_TRANSACTIONAL);
	cr_expect_float_eq(a->accept.rate, 1, 1e-9);
	cr_expect_float_eq(a->accept.burst, 30, 0);
	cr_expect_eq(a->accept.connections, 5);
	cr_expect_eq(a->accept.per_connection, 50);
	cr_expect_eq(a->accept.hour, 3000);
	cr_expect_eq(a->accept.day, 40000);
	cr_expect(a->sliding);
	cr_expect_eq(a->phase_ns, 23 * UNITS_MINUTE_NS);
	cr_expect_eq(a->penalty.count, 20);
	cr_expect_eq(a->penalty.window_ns, 10 * UNITS_MINUTE_NS);
	cr_expect_eq(a->penalty.hold_ns, 2 * HOUR);
	cr_expect_float_eq(a->penalty.repeat, 2, 0);
	cr_expect_str_eq(a->penalty.reply, "451 blocked");
	cr_expect_float_eq(a->history.factor, 3, 0);
	cr_expect_float_eq(a->history.floor, 200, 1e-9);
	cr_expect_eq(a->greylist.delay_ns, 5 * UNITS_MINUTE_NS);
	cr_expect_float_eq(a->noises[0].share, 0.005, 1e-12);
	cr_expect_eq(a->outages[0].at_ns, 5 * HOUR);
	cr_expect_eq(a->outages[0].for_ns, 20 * UNITS_MINUTE_NS);
	cr_expect_eq(a->latency_ns, 350 * UNITS_SECOND_NS / 1000);
	scenario_free(s);
}

Test(simulate_scenario, takes_each_form_of_over_noise_and_windows)
{
	struct scenario *s = good(whole);
	const struct scenario_receiver *a = &s->receivers[0], *b = &s->receivers[1];

	for (int i = 0; i < SCENARIO_LIMITS; i++)
		cr_expect_str_eq(a->over[i], "451 4.7.650 [%s] limited");
	cr_expect_str_eq(b->over[SCENARIO_RATE], "450 rate");
	cr_expect_str_eq(b->over[SCENARIO_CONNECTIONS], "421 connections");
	cr_expect_str_eq(b->over[SCENARIO_HOUR], "550 hour");
	cr_expect_str_eq(b->over[SCENARIO_DAY], "450 rate",
			 "what has no text of its own takes rate's");
	cr_expect_eq(b->noise_count, 2);
	cr_expect_str_eq(b->noises[1].reply, "451 two");
	cr_expect(b->sliding);
	cr_expect(isinf(b->accept.rate));
	scenario_free(s);
}

Test(simulate_scenario, sorts_changes_and_lets_each_keep_what_it_does_not_name)
{
	struct scenario *s = good(whole);
	const struct scenario_change *changes = s->receivers[0].changes;

	cr_assert_eq(s->receivers[0].change_count, 2);
	cr_expect_eq(changes[0].at_ns, 3 * HOUR);
	cr_expect_float_eq(changes[0].accept.rate, 2.5 / 60, 1e-12);
	cr_expect_eq(changes[0].accept.connections, 2);
	cr_expect_eq(changes[0].accept.hour, 0);
	cr_expect_eq(changes[0].accept.day, 40000);
	cr_expect_float_eq(changes[0].accept.burst, 30, 0);
	cr_expect_float_eq(changes[1].accept.rate, 1.5, 1e-12);
	cr_expect_eq(changes[1].accept.connections, 2, "as the change before left it");
	scenario_free(s);
}

Test(simulate_scenario, needs_a_destination_and_a_rate_and_nothing_else)
{
	struct scenario *s = good("receivers: [{destination: x, accept: {rate: 120/min}}]\n");
	const struct scenario_receiver *x = &s->receivers[0];

	cr_expect_eq(s->duration_ns, 8 * HOUR);
	cr_expect_eq(s->source_count, 1);
	cr_expect_eq(s->traffic_count, 2);
	cr_expect_gt(s->message_count, 0);
	cr_expect_float_eq(x->accept.burst, 60, 1e-9, "half a minute's worth");
	cr_expect_eq(x->accept.connections + x->accept.per_connection + x->accept.hour +
			     x->accept.day,
		     0);
	cr_expect_eq(x->penalty.count, 0);
	cr_expect_float_eq(x->history.factor, 0, 0);
	cr_expect_eq(x->greylist.delay_ns, 0);
	cr_expect_eq(x->noise_count + x->change_count + x->outage_count, 0);
	cr_expect_eq(x->latency_ns, 200 * UNITS_SECOND_NS / 1000);
	scenario_free(s);
}

#define RECEIVER "receivers:\n  - destination: x\n    accept: {rate: 60/min}\n"

Test(simulate_scenario, says_where_and_why_a_file_is_wrong)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"receivers: [{destination: x}]\n", "s.yaml:1:"},
		{"duration: 8h\n", "s.yaml:1:"},
		{"receivers:\n  - destination: x\n    accept: {burst: 3}\n", "s.yaml:3:"},
		{"receivers:\n  - destination: x\n    accept: {rate: 60}\n", "s.yaml:3:20: 60: "},
		{"receivers:\n  - destination: x\n    accept: {rate: 1.x/min}\n",
		 "s.yaml:3:20: 1.x/min: not a number before the slash"},
		{"receivers:\n  - destination: x\n    accept: {rate: 60/fortnight}\n",
		 "s.yaml:3:20: "},
		{RECEIVER "    colour: red\n", "s.yaml:4:"},
		{RECEIVER "    over: {rat: \"450 x\"}\n", "s.yaml:4:"},
		{RECEIVER "    over: \"slow down\"\n",
		 "s.yaml:4:11: slow down: must begin with a reply code of 4xx or 5xx"},
		{RECEIVER "    windows: {kind: round}\n",
		 "s.yaml:4:21: round: must be one of fixed, sliding"},
		{RECEIVER "    penalty: {when: often}\n",
		 "s.yaml:4:21: often: must be written as \"20 in 10m\""},
		{RECEIVER "    penalty: {when: 0 in 10m}\n", "s.yaml:4:21: 0: must be 1 to 100000"},
		{RECEIVER "    noise: {share: 2}\n", "s.yaml:4:20: 2: must be 0 to 1"},
		{RECEIVER "    noise:\n      - {share: 0.1}\n      - {share: x}\n",
		 "s.yaml:6:17: x: not a number"},
		{RECEIVER "    changes: [{at: 3x, rate: 1/min}]\n", "s.yaml:4:20: 3x: "},
		{RECEIVER "    outage:\n      - {at: 1h, for: ever}\n", "s.yaml:5:23: ever: "},
		{RECEIVER "sources: [{address: nowhere}]\n",
		 "s.yaml:4:21: nowhere: not an address"},
		{RECEIVER "sources: [{address: 192.0.2.1}, {address: 192.0.2.1}]\n",
		 "s.yaml:4:43: 192.0.2.1: named before"},
		{RECEIVER "traffic: [{pool: other}]\n",
		 "s.yaml:4:18: other: no source is in this pool"},
		{RECEIVER "traffic: [{destination: y}]\n",
		 "s.yaml:4:25: y: no receiver of this name"},
		{RECEIVER "traffic: [{class: spam}]\n",
		 "s.yaml:4:19: spam: must be one of transactional, engaged, bulk"},
		{RECEIVER "traffic: [{messages: many}]\n", "s.yaml:4:22: many: "},
		{RECEIVER "duration: 10s\n", "s.yaml:4:11: 10s: shorter than a minute"},
		{RECEIVER "  - destination: x\n    accept: {rate: 1/min}\n",
		 "s.yaml:4:18: x: named before"},
		{RECEIVER "    per: house\n",
		 "s.yaml:4:10: house: must be one of address, network, pool, all"},
		{RECEIVER "  - {destination: y, same_as: z}\n",
		 "s.yaml:4:31: z: no receiver of this name"},
		{RECEIVER "  - {destination: y, same_as: y}\n",
		 "s.yaml:4:31: y: is another name itself"},
		{RECEIVER "  - {destination: y, same_as: x, latency: 1s}\n",
		 "s.yaml:4:43: latency: stands beside same_as"},
		{RECEIVER "  - {destination: y, same_as: x, accept: {rate: 1/min}}\n",
		 "s.yaml:4:49: accept.rate: stands beside same_as"},
		{RECEIVER "    penalty: {when: 0% in 10m}\n",
		 "s.yaml:4:21: 0%: must be more than 0% and at most 100000%"},
		{RECEIVER "    penalty: {when: 20% in 10s}\n",
		 "s.yaml:4:21: 10s: shorter than a minute"},
		{RECEIVER "    soft: {from: 2, full: 1}\n",
		 "s.yaml:4:11: full must be more than from"},
		{RECEIVER "    soft: {from: 0}\n", "s.yaml:4:11: from must be more than 0"},
		{RECEIVER "    blocks: [{address: 192.0.2.9}]\n",
		 "s.yaml:4:13: 192.0.2.9: no source"},
		{RECEIVER "    noise: {customer: loud}\n",
		 "s.yaml:4:12: loud: no traffic is of this customer"},
		{RECEIVER "restart: [{at: 1h, for: 2h}, {at: 2h}]\n",
		 "s.yaml:4:10: one begins before the one before it is over"},
		{RECEIVER "workers: {count: 0}\n", "s.yaml:4:18: 0: must be 1 to 200"},
		{RECEIVER "    growth: {of: hour}\n",
		 "s.yaml:4:18: hour: must be one of day, caps, all"},
		{"receivers: [\n", "s.yaml:"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct scenario *scenario = NULL;
		char error[512] = "";
		int rc = parse(cases[i].text, &scenario, error, sizeof error);

		cr_expect_eq(rc, -EINVAL, "%s", cases[i].text);
		cr_expect_null(scenario);
		cr_expect_eq(strncmp(error, cases[i].error, strlen(cases[i].error)), 0,
			     "of\n%swas said \"%s\", not \"%s…\"", cases[i].text, error,
			     cases[i].error);
	}
}

Test(simulate_scenario, reads_what_a_receiver_may_do_besides)
{
	struct scenario *s = good(
		"sources: [{address: 192.0.2.1}, {address: 192.0.2.2}]\n"
		"traffic: [{messages: 1}, {messages: 2, customer: loud}, {messages: 3, customer: "
		"loud}]\n"
		"receivers:\n"
		"  - destination: a\n"
		"    accept: {rate: 60/min}\n"
		"    over: timeout\n"
		"    penalty: {when: 20% in 24h, prolong: 10m}\n"
		"    noise: {share: 0.1, customer: loud, each: message, reply: drop}\n"
		"    growth: {factor: 3, used: 0.25, of: caps, max: 9000}\n"
		"    soft: {}\n"
		"    blocks: [{address: 192.0.2.2}, {at: 1h}]\n"
		"    latency: {idle: 1s, full: 2s, refused: 3s}\n"
		"    timeout: 4m\n");
	const struct scenario_receiver *a = &s->receivers[0];

	cr_expect(scenario_silent(a->over[SCENARIO_DAY]));
	cr_expect_eq(a->penalty.count, 0);
	cr_expect_float_eq(a->penalty.part, 0.2, 1e-12);
	cr_expect_eq(a->penalty.window_ns, 24 * HOUR);
	cr_expect_eq(a->penalty.prolong_ns, 10 * UNITS_MINUTE_NS);
	cr_expect_eq(a->noises[0].customer, 1);
	cr_expect_eq(a->noises[0].sticky, 1);
	cr_expect_eq(s->traffic[0].customer_index, SCENARIO_NOBODY);
	cr_expect_eq(s->traffic[2].customer_index, 1);
	cr_expect_float_eq(a->growth.factor, 3, 0);
	cr_expect_eq(a->growth.of, SCENARIO_GROWS_CAPS);
	cr_expect_eq(a->growth.max, 9000);
	cr_expect_float_eq(a->soft.full, 2, 0);
	cr_expect_eq(a->blocks[0].source, 1);
	cr_expect_eq(a->blocks[1].source, SCENARIO_NOBODY);
	cr_expect_eq(a->blocks[1].for_ns, 2 * HOUR);
	cr_expect_eq(a->latency_ns, UNITS_SECOND_NS);
	cr_expect_eq(a->latency_full_ns, 2 * UNITS_SECOND_NS);
	cr_expect_eq(a->latency_refused_ns, 3 * UNITS_SECOND_NS);
	cr_expect_eq(a->timeout_ns, 4 * UNITS_MINUTE_NS);
	scenario_free(s);
}

Test(simulate_scenario, reads_what_the_mta_and_its_sidecar_do)
{
	struct scenario *s = good("workers: {model: sleep, count: 7}\n"
				  "restart: [{at: 2h, for: 1m}, {at: 1h}]\n"
				  "sources: [{address: 192.0.2.1, total: {rate: 30/min, hour: 9}}, "
				  "{address: 192.0.2.2}]\n"
				  "receivers: [{destination: a, accept: {rate: 60/min}}]\n");

	cr_expect(s->workers.sleep);
	cr_expect_eq(s->workers.count, 7);
	cr_assert_eq(s->restart_count, 2);
	cr_expect_eq(s->restarts[0].at_ns, HOUR, "in the order of time");
	cr_expect_eq(s->restarts[0].for_ns, 10 * UNITS_SECOND_NS);
	cr_expect_eq(s->restarts[1].for_ns, UNITS_MINUTE_NS);
	cr_expect(scenario_totalled(&s->sources[0]));
	cr_expect_float_eq(s->sources[0].total.rate, 0.5, 1e-12);
	cr_expect_float_eq(s->sources[0].total.burst, 15, 1e-9, "half a minute's worth");
	cr_expect_eq(s->sources[0].total.hour, 9);
	cr_expect_not(scenario_totalled(&s->sources[1]));
	scenario_free(s);
}

Test(simulate_scenario, makes_another_name_the_same_receiver)
{
	struct scenario *s =
		good("receivers:\n"
		     "  - {destination: a, same_as: b}\n"
		     "  - {destination: b, accept: {rate: 90/min}, latency: 1s, per: all}\n"
		     "  - {destination: c, accept: {rate: 30/min}}\n"
		     "sources: [{address: 192.0.2.1}, {address: 192.0.2.2}]\n");

	cr_expect_eq(s->receivers[0].host, 1);
	cr_expect_eq(s->receivers[1].host, 1);
	cr_expect_eq(s->receivers[2].host, 2);
	cr_expect_str_eq(s->receivers[0].destination, "a");
	cr_expect_float_eq(s->receivers[0].accept.rate, 1.5, 1e-9);
	cr_expect_eq(s->receivers[0].latency_ns, UNITS_SECOND_NS);
	cr_expect_eq(scenario_account(s, 0, 1), 0);
	cr_expect_eq(scenario_account(s, 2, 1), 1);
	scenario_free(s);
}

Test(simulate_scenario, bounds_what_it_takes)
{
	struct scenario *scenario = NULL;
	char error[512];

	cr_expect_eq(
		parse(RECEIVER "traffic: [{messages: 99000000}]\n", &scenario, error, sizeof error),
		-EINVAL);
	cr_expect_eq(parse(RECEIVER "duration: 500d\n", &scenario, error, sizeof error), -EINVAL);
	cr_expect_eq(scenario_read("/nonexistent/x.yaml", &scenario, error, sizeof error), -ENOENT);
	cr_expect_null(scenario);
}

Test(simulate_scenario, draws_the_same_scenario_for_the_same_seed_and_others_for_others)
{
	char one[8192], again[8192], other[8192];

	cr_assert_gt(simulate_random(5, one, sizeof one), 0);
	cr_assert_gt(simulate_random(5, again, sizeof again), 0);
	cr_assert_gt(simulate_random(6, other, sizeof other), 0);
	cr_expect_str_eq(one, again);
	/* The first line names the seed. */
	cr_expect_str_neq(strchr(one, '\n'), strchr(other, '\n'));
	cr_expect_eq(simulate_random(5, one, 100), -ENOSPC);
}

Test(simulate_scenario, draws_scenarios_that_are_in_order)
{
	for (uint64_t seed = 0; seed < 500; seed++) {
		struct scenario *scenario = NULL;
		char text[8192], error[512] = "";
		int length = simulate_random(seed, text, sizeof text);

		cr_assert_gt(length, 0);
		cr_assert_eq(scenario_parse(text, (size_t)length, "random", &scenario, error,
					    sizeof error),
			     0, "seed %llu: %s\n%s", (unsigned long long)seed, error, text);
		cr_expect_geq(scenario->receivers[0].accept.rate, 1.9 / 60);
		cr_expect_leq(scenario->receivers[0].accept.rate, 600.1 / 60);
		cr_expect_gt(scenario->message_count, 0);
		scenario_free(scenario);
	}
}
