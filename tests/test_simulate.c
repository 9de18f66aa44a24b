/* SPDX-License-Identifier: MIT
 *
 * The simulator is honest: limits hold for what is really attempted, what is deferred comes back by
 * the MTA's schedule, replies come a round trip later, nothing but replies reaches a policy, and
 * the oracle, whom all are measured by, never exceeds a limit.
 */
#include <criterion/criterion.h>
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "sidecar/base/random.h"
#include "sidecar/base/units.h"
#include "sidecar/simulate/event_queue.h"
#include "sidecar/simulate/random.h"
#include "sidecar/simulate/sim_config.h"
#include "sidecar/simulate/simulate.h"
#include "sidecar/simulate/traffic.h"
#include "tests/scenario_case.h"

static struct scenario *from_file(const char *name)
{
	struct scenario *scenario = NULL;
	char path[256], error[512] = "";

	snprintf(path, sizeof path, "tests/scenarios/%s.yaml", name);
	cr_assert_eq(scenario_read(path, &scenario, error, sizeof error), 0, "%s", error);
	return scenario;
}

static struct simulate_result run(const struct scenario *scenario,
				  const struct simulate_policy *policy)
{
	struct simulate_options options = {.seed = scenario->seed};
	struct simulate_result result;

	cr_assert_eq(simulate_run(scenario, policy, NULL, &options, &result), 0);
	return result;
}

#define STEADY                                                     \
	"duration: 8h\n"                                           \
	"traffic: [{messages: 60000, over: 4h, arrival: burst},\n" \
	"          {messages: 1000, class: transactional}]\n"      \
	"receivers:\n"                                             \
	"  - destination: x\n"                                     \
	"    accept: {rate: 60/min, burst: 30, connections: 5, per_connection: 50}\n"

Test(simulate, lets_none_reach_the_oracle_where_nothing_is_punished_but_by_deferrals)
{
	struct scenario *scenario = scenario_of(STEADY);
	struct simulate_result none = run(scenario, &policy_none);
	struct simulate_result oracle = run(scenario, &policy_oracle);

	cr_expect_gt(simulate_share(&none, &oracle), 0.97, "%f", simulate_share(&none, &oracle));
	cr_expect_gt(simulate_avoidable_per_1000(&none), 3000);
	cr_expect_eq(none.blocked_ip_hours, 0);
	scenario_free(scenario);
}

Test(simulate, keeps_none_blocked_where_hammering_is_punished)
{
	struct scenario *scenario =
		scenario_of(STEADY "    penalty: {when: 20 in 10m, hold: 2h, repeat: 2}\n");
	struct simulate_result none = run(scenario, &policy_none);
	struct simulate_result oracle = run(scenario, &policy_oracle);

	cr_expect_lt(simulate_share(&none, &oracle), 0.02);
	cr_expect_gt(none.blocked_ip_hours, 7.5);
	cr_expect_leq(none.blocked_ip_hours, 8.0);
	cr_expect_float_eq(none.blocked_share, none.blocked_ip_hours / 8, 1e-9);
	cr_expect_float_eq(none.blocked_after_first_hour, 6, 0.01,
			   "two hours, then four, cut at the end");
	cr_expect_eq(oracle.blocked_ip_hours, 0);
	scenario_free(scenario);
}

static void expect_within_limits(const struct scenario *scenario, const char *name)
{
	struct simulate_result oracle = run(scenario, &policy_oracle);

	for (int cause = RECEIVER_AVOIDABLE; cause < RECEIVER_CAUSES; cause++)
		cr_expect_eq(oracle.causes[cause], 0, "%s: cause %d: %llu", name, cause,
			     (unsigned long long)oracle.causes[cause]);
	cr_expect_eq(oracle.avoidable, 0, "%s", name);
	cr_expect_eq(oracle.causes[RECEIVER_OUTAGE], 0, "%s: sits out outages", name);
	cr_expect_eq(oracle.blocked_ip_hours, 0, "%s", name);
	cr_expect_gt(oracle.delivered, 0, "%s", name);
}

Test(simulate, never_lets_the_oracle_exceed_a_limit)
{
	static const char *const names[] = {
		"steady",      "falls",	 "rises",    "burst",	    "noisy",
		"limit-noise", "outage", "greylist", "penalty",	    "several-ips",
		"day",	       "hour",	 "hour-off", "sliding",	    "connections",
		"history",     "slow",	 "fast",     "oscillating", "slow-replies",
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct scenario *scenario = from_file(names[i]);

		expect_within_limits(scenario, names[i]);
		scenario_free(scenario);
	}
}

Test(simulate, never_lets_the_oracle_exceed_a_limit_of_any_kind)
{
	glob_t found;

	cr_assert_eq(glob("tests/scenarios/kinds/*.yaml", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct scenario *scenario = NULL;
		char error[512] = "";

		cr_assert_eq(scenario_read(found.gl_pathv[i], &scenario, error, sizeof error), 0,
			     "%s", error);
		expect_within_limits(scenario, found.gl_pathv[i]);
		scenario_free(scenario);
	}
	globfree(&found);
}

Test(simulate, never_lets_the_oracle_exceed_a_limit_of_random_scenarios)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct scenario *scenario;
		char text[8192], name[32];

		simulate_random(seed, text, sizeof text);
		snprintf(name, sizeof name, "random-%llu", (unsigned long long)seed);
		scenario = scenario_of(text);
		expect_within_limits(scenario, name);
		scenario_free(scenario);
	}
}

Test(simulate, shares_a_limit_among_addresses_and_destinations)
{
	struct scenario *scenario = scenario_of(
		"duration: 8h\n"
		"sources: [{address: 192.0.2.1}, {address: 192.0.2.2}, {address: 192.0.2.3}]\n"
		"traffic: [{destination: a, messages: 30000, over: 1h},\n"
		"          {destination: b, messages: 30000, over: 1h}]\n"
		"receivers:\n"
		"  - {destination: a, accept: {rate: 60/min, burst: 30}, per: network,\n"
		"     penalty: {when: 20 in 10m, hold: 2h}, changes: [{at: 4h, rate: 30/min}]}\n"
		"  - {destination: b, same_as: a}\n");
	struct simulate_result oracle = run(scenario, &policy_oracle);
	struct simulate_result none = run(scenario, &policy_none);

	cr_expect_float_eq((double)oracle.delivered, 30 + 4 * 3600 + 2 * 3600, 5,
			   "the burst, one a second, then one in two: once for all");
	cr_expect_eq(oracle.avoidable, 0);
	cr_expect_gt(none.blocked_ip_hours, 6 * 2, "three addresses at two destinations");
	cr_expect_leq(none.blocked_share, 1);
	scenario_free(scenario);
}

/* A policy as fast as it goes, which notes what it hears. */
static int heard_silence, heard_at_connect;
static uint64_t heard_ns;

static void silence_reply(void *self, uint32_t flow, const struct policy_reply *reply,
			  uint64_t now_ns)
{
	if (reply->delivered || reply->text)
		return;
	heard_silence++;
	heard_at_connect += reply->stage == TG_STAGE_CONNECT;
	heard_ns = now_ns - reply->admitted_ns;
}

Test(simulate, tells_of_silence_when_the_wait_is_over)
{
	static const struct {
		const char *reply;
		uint64_t min_ns, max_ns;
	} cases[] = {{"drop", 150 * SECOND / 1000, 500 * SECOND / 1000},
		     {"timeout", 5 * MINUTE, 5 * MINUTE}};
	struct simulate_policy policy = policy_none;

	policy.reply = silence_reply;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (int connect = 0; connect < 2; connect++) {
			struct scenario *scenario;
			struct simulate_result result;
			char text[512];

			snprintf(
				text, sizeof text,
				"duration: 1h\ntraffic: [{messages: 4, over: 0s}]\nreceivers: "
				"[{destination: x, accept: {rate: 60/min, burst: 1%s}, over: %s}]\n",
				connect ? ", connections: 1" : "", cases[i].reply);
			scenario = scenario_of(text);
			heard_silence = heard_at_connect = 0;
			result = run(scenario, &policy);
			cr_expect_gt(heard_silence, 0);
			cr_expect_eq((uint64_t)heard_silence, result.deferrals);
			cr_expect_eq(heard_at_connect > 0, connect);
			cr_expect(heard_ns >= cases[i].min_ns && heard_ns <= cases[i].max_ns,
				  "case %zu: %llu", i, (unsigned long long)heard_ns);
			scenario_free(scenario);
		}
}

Test(simulate, tells_what_a_user_sees)
{
	static const struct {
		const char *lines;
		double late, delayed; /* least and most of one, exactly of the other */
	} cases[] = {
		{"", 0, 0},
		/* Each is tried again after five minutes. */
		{"    greylist: {delay: 1m}\n", 1, 1000},
		{"    noise: {share: 1, reply: 550 no}\n", 1, 0},
		{"    outage: [{at: 0s, for: 4h}]\n", 0.5, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[512];
		struct scenario *scenario;
		struct simulate_result oracle;

		snprintf(text, sizeof text,
			 "duration: 8h\ntraffic: [{messages: 800, class: transactional, arrival: "
			 "uniform}]\nreceivers:\n  - destination: x\n    accept: {rate: 600/min, "
			 "burst: 600}\n%s",
			 cases[i].lines);
		scenario = scenario_of(text);
		oracle = run(scenario, &policy_oracle);
		cr_expect_float_eq(oracle.transactional_late, cases[i].late, 0.01, "case %zu: %f",
				   i, oracle.transactional_late);
		cr_expect_float_eq(simulate_delayed_per_1000(&oracle), cases[i].delayed, 15,
				   "case %zu: %f", i, simulate_delayed_per_1000(&oracle));
		scenario_free(scenario);
	}
}

Test(simulate, lets_the_oracle_fill_the_limit)
{
	struct scenario *scenario = scenario_of(STEADY);
	struct simulate_result oracle = run(scenario, &policy_oracle);

	/* The burst, and one a second for eight hours. */
	cr_expect_float_eq((double)oracle.delivered, 30 + 8 * 3600, 5);
	scenario_free(scenario);
}

Test(simulate, gives_the_oracle_the_same_noise)
{
	struct scenario *scenario =
		scenario_of("duration: 8h\ntraffic: [{messages: 20000, over: 7h}]\n"
			    "receivers: [{destination: x, accept: {rate: 600/min, "
			    "burst: 600}, noise: {share: 0.1}}]\n");
	struct simulate_result none = run(scenario, &policy_none);
	struct simulate_result oracle = run(scenario, &policy_oracle);

	cr_expect_eq(none.causes[RECEIVER_NOISE], oracle.causes[RECEIVER_NOISE]);
	cr_expect_float_eq((double)oracle.causes[RECEIVER_NOISE] / 20000, 0.111, 0.01);
	cr_expect_eq(oracle.avoidable, 0);
	cr_expect_eq(simulate_avoidable_per_1000(&none), 0, "noise cannot be avoided");
	cr_expect_gt(simulate_deferrals_per_1000(&none), 90);
	scenario_free(scenario);
}

Test(simulate, repeats_exactly)
{
	struct scenario *scenario = from_file("outage");
	const struct simulate_policy *const policies[] = {&policy_none, &policy_sliding_window,
							  &policy_oracle};

	for (size_t i = 0; i < 3; i++) {
		struct simulate_result one = run(scenario, policies[i]),
				       two = run(scenario, policies[i]);

		cr_expect_eq(one.delivered, two.delivered);
		cr_expect_eq(one.attempts, two.attempts);
		cr_expect_eq(one.deferrals, two.deferrals);
		cr_expect_float_eq(one.transactional_p99_s, two.transactional_p99_s, 0);
	}
	scenario_free(scenario);
}

Test(simulate, changes_with_the_seed)
{
	struct scenario *scenario = from_file("noisy");
	struct simulate_options options = {.seed = 1};
	struct simulate_result one, two;

	cr_assert_eq(simulate_run(scenario, &policy_oracle, NULL, &options, &one), 0);
	options.seed = 2;
	cr_assert_eq(simulate_run(scenario, &policy_oracle, NULL, &options, &two), 0);
	cr_expect_neq(one.causes[RECEIVER_NOISE], two.causes[RECEIVER_NOISE]);
	scenario_free(scenario);
}

/* ---- what a policy gets to see --------------------------------------------------------------- */

/* A policy that writes down what it is told, and sends one message a second. */
static struct {
	uint64_t next_ns;
	uint64_t admitted[64];
	uint64_t replied[64];
	uint32_t place[64], flow[64], open[64];
	enum tg_class traffic[64];
	char text[64][128];
	size_t admits, replies;
	bool saw_receivers, delivered_with_text, deferred_without;
} spy;

static int spy_create(const struct sim_env *env, void **ret)
{
	spy.saw_receivers = env->receivers != NULL;
	*ret = NULL;
	return 0;
}

static uint64_t spy_earliest(void *self, uint32_t flow, enum tg_class traffic, uint64_t now_ns)
{
	return spy.next_ns > now_ns ? spy.next_ns : now_ns;
}

static void spy_admit(void *self, uint32_t flow, enum tg_class traffic, uint64_t now_ns)
{
	spy.next_ns = now_ns + SECOND;
	if (spy.admits == 64)
		return;
	spy.traffic[spy.admits] = traffic;
	spy.flow[spy.admits] = flow;
	spy.admitted[spy.admits++] = now_ns;
}

static void spy_reply(void *self, uint32_t flow, const struct policy_reply *reply, uint64_t now_ns)
{
	spy.delivered_with_text |= reply->delivered && reply->text;
	spy.deferred_without |= !reply->delivered && !reply->text;
	if (spy.replies == 64)
		return;
	snprintf(spy.text[spy.replies], sizeof spy.text[0], "%s", reply->text ? reply->text : "");
	spy.place[spy.replies] = reply->place;
	spy.open[spy.replies] = reply->open_connections;
	spy.replied[spy.replies++] = now_ns - reply->admitted_ns;
}

static uint64_t spy_connect(void *self, uint32_t flow, enum tg_class traffic, uint32_t open,
			    uint64_t now_ns)
{
	return open ? UINT64_MAX : now_ns;
}

static uint32_t spy_two(void *self, uint32_t flow)
{
	return 2;
}

static const struct simulate_policy policy_spy = {
	.name = "spy",
	.create = spy_create,
	.destroy = free,
	.earliest = spy_earliest,
	.admit = spy_admit,
	.reply = spy_reply,
	.connect = spy_connect,
	.per_connection = spy_two,
};

Test(simulate, shows_the_receivers_to_the_oracle_alone)
{
	struct scenario *scenario = scenario_of(STEADY);

	for (size_t i = 0; policy_list[i]; i++)
		cr_expect_eq(policy_list[i]->sees_truth, policy_list[i] == &policy_oracle, "%s",
			     policy_list[i]->name);
	run(scenario, &policy_spy);
	cr_expect_not(spy.saw_receivers);
	cr_expect_not(spy.delivered_with_text);
	cr_expect_not(spy.deferred_without);
	scenario_free(scenario);
}

Test(simulate, reports_a_round_trip_after_the_attempt)
{
	struct scenario *scenario =
		scenario_of("duration: 1h\ntraffic: [{messages: 100, over: 0s}]\n"
			    "receivers: [{destination: x, accept: {rate: 6/min}, latency: 3s}]\n");

	run(scenario, &policy_spy);
	cr_assert_gt(spy.replies, 10);
	/* A quarter more or less; twice as long on a new connection. */
	for (size_t i = 0; i < spy.replies; i++) {
		double seconds = (double)spy.replied[i] / SECOND / (spy.place[i] == 1 ? 2 : 1);

		cr_expect(seconds >= 2.25 && seconds <= 3.7501, "%f", seconds);
	}
	scenario_free(scenario);
}

Test(simulate, uses_a_connection_as_often_as_the_policy_says)
{
	struct scenario *scenario =
		scenario_of("duration: 1h\ntraffic: [{messages: 6, over: 0s}]\n"
			    "receivers: [{destination: x, accept: {rate: 600/min}}]\n");

	run(scenario, &policy_spy);
	cr_assert_eq(spy.replies, 6);
	for (size_t i = 0; i < 6; i++) {
		cr_expect_eq(spy.place[i], 1 + i % 2, "%zu: %u", i, spy.place[i]);
		cr_expect_eq(spy.open[i], 0, "its own connection does not count");
	}
	scenario_free(scenario);
}

Test(simulate, tells_a_refused_connection_by_its_place)
{
	/* The receiver has room for one connection, of two that the policy would open at once. */
	struct scenario *scenario =
		scenario_of("duration: 1h\ntraffic: [{messages: 8, over: 0s}]\n"
			    "receivers: [{destination: x, accept: {rate: 600/min, "
			    "connections: 1}, latency: 5s}]\n");
	struct simulate_policy wide = policy_spy;
	struct simulate_result result;

	wide.connect = policy_none.connect;
	result = run(scenario, &wide);
	cr_expect_gt(result.causes[RECEIVER_CONNECTIONS], 0);
	cr_expect_eq(result.delivered, 8, "what was refused comes again");
	for (size_t i = 0; i < spy.replies; i++) {
		bool refused = spy.text[i][0] == '4';

		cr_expect_eq(spy.place[i] == 0, refused);
		cr_expect_leq(spy.open[i], refused, "only the one that was let in is open");
	}
	scenario_free(scenario);
}

Test(simulate, sends_over_the_sources_of_the_pool_alone)
{
	struct scenario *scenario = scenario_of(
		"duration: 1h\n"
		"sources: [{address: 192.0.2.1, pool: a}, {address: 192.0.2.2, pool: b}, {address: "
		"192.0.2.3, pool: b}]\n"
		"traffic: [{pool: b, destination: y, messages: 20, over: 0s}]\n"
		"receivers: [{destination: x, accept: {rate: 60/min}}, {destination: y, accept: "
		"{rate: "
		"60/min}}]\n");
	struct simulate_result result = run(scenario, &policy_spy);

	cr_expect_eq(result.delivered, 20);
	for (size_t i = 0; i < spy.admits; i++)
		cr_expect(spy.flow[i] == 1 * 2 + 1 || spy.flow[i] == 2 * 2 + 1, "%u", spy.flow[i]);
	scenario_free(scenario);
}

Test(simulate, counts_blocked_hours_of_pairs_with_mail_alone)
{
	struct scenario *scenario =
		scenario_of("duration: 10h\nsources: [{address: 192.0.2.1, pool: a}, {address: "
			    "192.0.2.2, pool: b}]\n"
			    "traffic: [{pool: a, destination: x, messages: 3, over: 0s}]\n"
			    "receivers: [{destination: x, accept: {rate: 1/hr, burst: 1}, penalty: "
			    "{when: 2 in 10m, hold: "
			    "5h}},\n            {destination: y, accept: {rate: 60/min}}]\n");
	struct simulate_result result = run(scenario, &policy_none);

	cr_expect_float_eq(result.blocked_ip_hours, 5, 0.01);
	cr_expect_float_eq(result.blocked_share, 0.5, 0.001, "one pair of four has mail");
	scenario_free(scenario);
}

Test(simulate, decides_when_it_arrives)
{
	/* The limit falls while the reply is on its way: the message is accepted all the same. */
	struct scenario *scenario = scenario_of(
		"duration: 10m\ntraffic: [{messages: 2, start: 60s, over: 0s}]\nreceivers:\n"
		"  - {destination: x, accept: {rate: 60/min, burst: 1}, latency: 3s,\n"
		"     changes: [{at: 60500ms, rate: 1/hr}]}\n");
	struct simulate_result result = run(scenario, &policy_spy);

	cr_expect_eq(result.delivered, 1);
	cr_expect_eq(spy.admitted[0], MINUTE);
	scenario_free(scenario);
}

Test(simulate, tries_deferred_messages_again_by_the_schedule)
{
	struct scenario *scenario =
		scenario_of("duration: 2h\ntraffic: [{messages: 1, over: 0s}]\nreceivers:\n"
			    "  - {destination: x, accept: {rate: 60/min}, latency: 1ms,\n"
			    "     greylist: {delay: 30m}}\n");
	static const double minutes[] = {0, 5, 15, 35};
	struct simulate_result result = run(scenario, &policy_spy);

	cr_assert_eq(spy.admits, 4);
	for (size_t i = 0; i < 4; i++) {
		double at = (double)spy.admitted[i] / MINUTE;

		cr_expect(at >= minutes[i] && at <= minutes[i] * 1.1 + 0.01, "%zu: %f", i, at);
	}
	cr_expect_eq(result.delivered, 1);
	cr_expect_eq(result.avoidable, 0, "greylisting cannot be avoided");
	scenario_free(scenario);
}

Test(simulate, puts_the_address_into_the_reply)
{
	struct scenario *scenario =
		scenario_of("duration: 1h\nsources: [{address: 192.0.2.7}]\ntraffic: "
			    "[{messages: 9, over: 0s}]\n"
			    "receivers: [{destination: x, accept: {rate: 1/hr, "
			    "burst: 1}, over: \"450 [%s] 100%\"}]\n");

	run(scenario, &policy_spy);
	cr_expect_str_eq(spy.text[1], "450 [192.0.2.7] 100%");
	scenario_free(scenario);
}

Test(simulate, sends_the_most_urgent_class_first)
{
	struct scenario *scenario =
		scenario_of("duration: 1h\ntraffic:\n"
			    "  - {messages: 3, over: 0s}\n"
			    "  - {messages: 3, over: 0s, class: engaged}\n"
			    "  - {messages: 3, over: 0s, class: transactional}\n"
			    "receivers: [{destination: x, accept: {rate: 60/min}}]\n");

	run(scenario, &policy_spy);
	cr_assert_eq(spy.admits, 9);
	/* What had arrived first found the gate open. */
	for (size_t i = 0; i < 9; i++)
		cr_expect_eq(spy.traffic[i], i / 3, "%zu", i);
	scenario_free(scenario);
}

Test(simulate, loses_what_is_refused_for_good)
{
	struct scenario *scenario =
		scenario_of("duration: 2h\ntraffic: [{messages: 10, over: 0s}]\n"
			    "receivers: [{destination: x, accept: {rate: 1/hr, burst: 1},\n"
			    "             over: \"554 5.7.1 daily limit\"}]\n");
	struct simulate_result result = run(scenario, &policy_none);

	cr_expect_eq(result.delivered, 1);
	cr_expect_eq(result.bounced, 9);
	cr_expect_eq(result.attempts, 10, "nothing is tried again");
	cr_expect_eq(result.avoidable, 9);
	scenario_free(scenario);
}

Test(simulate, counts_undelivered_transactional_mail_with_its_age)
{
	struct scenario *scenario =
		scenario_of("duration: 2h\ntraffic: [{messages: 100, start: 1h, "
			    "over: 0s, class: transactional}]\n"
			    "receivers: [{destination: x, accept: {rate: 60/min}, "
			    "outage: [{at: 0s, for: 2h}]}]\n");
	struct simulate_result result = run(scenario, &policy_none);

	cr_expect_eq(result.delivered, 0);
	cr_expect_float_eq(result.transactional_p50_s, 3600, 1e-6);
	cr_expect_float_eq(result.transactional_p99_s, 3600, 1e-6);
	cr_expect(isnan(result.makespan_s));
	cr_expect_eq(result.avoidable, 0, "an outage cannot be avoided");
	scenario_free(scenario);
}

Test(simulate, reckons_the_score_as_documented)
{
	struct simulate_result oracle = {.delivered = 2000};
	struct simulate_result result = {
		.delivered = 1000, .deferrals = 9, .avoidable = 5, .blocked_share = 0.125};

	cr_expect_float_eq(simulate_share(&result, &oracle), 0.5, 1e-12);
	cr_expect_float_eq(simulate_deferrals_per_1000(&result), 9, 1e-12);
	cr_expect_float_eq(simulate_avoidable_per_1000(&result), 5, 1e-12);
	cr_expect_float_eq(simulate_score(&result, &oracle), 0.5 - 0.05 - 0.125, 1e-12);
	oracle.delivered = result.delivered = 0;
	cr_expect_float_eq(simulate_share(&result, &oracle), 1, 0, "nothing could be delivered");
}

/* ---- the peers ------------------------------------------------------------------------------- */

static struct sim_env one_flow(struct simulate_config *config)
{
	static const char *const address = "192.0.2.1", *const destination = "x";

	return (struct sim_env){.source_count = 1,
				.receiver_count = 1,
				.addresses = &address,
				.destinations = &destination,
				.config = config};
}

Test(simulate_policy, fixed_sends_ten_in_any_minute)
{
	struct sim_env env = one_flow(NULL);
	uint64_t sent[100], now = 0;
	void *self;

	cr_assert_eq(policy_sliding_window.create(&env, &self), 0);
	for (size_t i = 0; i < 100; i++) {
		now = policy_sliding_window.earliest(self, 0, TG_BULK, now + (i % 3) * SECOND);
		policy_sliding_window.admit(self, 0, TG_BULK, now);
		sent[i] = now;
		cr_expect(i < 10 || now - sent[i - 10] >= MINUTE);
	}
	cr_expect_leq(now, 10 * MINUTE, "and no fewer");
	policy_sliding_window.destroy(self);
}

static void tell(const struct simulate_policy *policy, void *self, const char *text,
		 uint64_t admitted_ns, uint64_t now_ns)
{
	struct policy_reply reply = {.delivered = !text, .text = text, .admitted_ns = admitted_ns};

	policy->reply(self, 0, &reply, now_ns);
}

static const char limit_text[] =
	"451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited "
	"due to IP reputation. (S775)";
static const char noise_text[] = "451 4.7.0 Temporary server error. Please try again later. PRX4";

Test(simulate_policy, timed_slows_for_ninety_minutes_after_each_pattern)
{
	struct simulate_config *config;
	struct sim_env env;
	void *self;

	cr_assert_eq(simulate_config_load(NULL, &config), 0);
	env = one_flow(config);
	cr_assert_eq(policy_cooldown.create(&env, &self), 0);
	policy_cooldown.admit(self, 0, TG_BULK, HOUR);
	tell(&policy_cooldown, self, noise_text, HOUR, HOUR);
	cr_expect_eq(policy_cooldown.earliest(self, 0, TG_BULK, HOUR), HOUR, "noise is no pattern");
	tell(&policy_cooldown, self, limit_text, HOUR, HOUR);
	cr_expect_eq(policy_cooldown.earliest(self, 0, TG_BULK, HOUR), HOUR + MINUTE);
	tell(&policy_cooldown, self, NULL, HOUR, HOUR + MINUTE);
	policy_cooldown.admit(self, 0, TG_BULK, HOUR + 89 * MINUTE);
	cr_expect_eq(policy_cooldown.earliest(self, 0, TG_BULK, HOUR + 89 * MINUTE),
		     HOUR + 90 * MINUTE);
	cr_expect_eq(policy_cooldown.earliest(self, 0, TG_BULK, HOUR + 90 * MINUTE),
		     HOUR + 90 * MINUTE);
	policy_cooldown.destroy(self);
	simulate_config_free(config);
}

Test(simulate_policy, backoff_ends_with_a_success_or_after_an_hour)
{
	struct simulate_config *config;
	struct sim_env env;
	void *self;

	cr_assert_eq(simulate_config_load(NULL, &config), 0);
	env = one_flow(config);
	cr_assert_eq(policy_backoff.create(&env, &self), 0);
	tell(&policy_backoff, self, limit_text, HOUR - SECOND, HOUR);
	cr_expect_eq(policy_backoff.earliest(self, 0, TG_BULK, HOUR), HOUR + MINUTE);
	tell(&policy_backoff, self, NULL, HOUR - SECOND, HOUR + SECOND);
	cr_expect_eq(policy_backoff.earliest(self, 0, TG_BULK, HOUR + SECOND), HOUR + MINUTE,
		     "what was sent before does not end it");
	tell(&policy_backoff, self, NULL, HOUR + MINUTE, HOUR + MINUTE);
	cr_expect_eq(policy_backoff.earliest(self, 0, TG_BULK, HOUR + MINUTE), HOUR + MINUTE);
	tell(&policy_backoff, self, limit_text, 2 * HOUR, 2 * HOUR);
	policy_backoff.admit(self, 0, TG_BULK, 3 * HOUR - SECOND);
	cr_expect_eq(policy_backoff.earliest(self, 0, TG_BULK, 3 * HOUR), 3 * HOUR,
		     "an hour has passed");
	policy_backoff.destroy(self);
	simulate_config_free(config);
}

/* ---- parts ----------------------------------------------------------------------------------- */

Test(simulate_event, takes_events_in_the_order_of_time_and_then_of_adding)
{
	struct simulate_events events = {0};
	struct simulate_event event, last = {0};
	uint64_t seed = 1;

	cr_expect_eq(simulate_events_next(&events), UINT64_MAX);
	cr_expect_not(simulate_events_take(&events, &event));
	for (uint32_t i = 0; i < 5000; i++) {
		cr_assert_eq(
			simulate_events_add(
				&events, (struct simulate_event){.at_ns = random_below(&seed, 100),
								 .id = i}),
			0);
	}
	cr_expect_eq(simulate_events_next(&events), 0);
	for (uint32_t i = 0; i < 5000; i++) {
		cr_assert(simulate_events_take(&events, &event));
		cr_assert(i == 0 || event.at_ns > last.at_ns ||
			  (event.at_ns == last.at_ns && event.id > last.id));
		last = event;
	}
	cr_expect_not(simulate_events_take(&events, &event));
	simulate_events_free(&events);
}

Test(simulate_traffic, arrives_as_the_scenario_says)
{
	struct scenario *scenario = scenario_of(
		"duration: 5h\ntraffic:\n"
		"  - {messages: 1200, start: 1h, over: 2h, arrival: burst}\n"
		"  - {messages: 60, start: 1h, over: 1h, arrival: uniform, class: engaged}\n"
		"  - {messages: 3000, over: 10h, arrival: poisson, class: transactional}\n"
		"receivers: [{destination: x, accept: {rate: 60/min}}]\n");
	struct simulate_message *messages;
	size_t count, lumps[12] = {0}, uniform = 0, poisson = 0;

	cr_assert_eq(simulate_traffic(scenario, 1, &messages, &count), 0);
	for (size_t i = 0; i < count; i++) {
		cr_assert(i == 0 || messages[i].arrival_ns >= messages[i - 1].arrival_ns);
		cr_assert_lt(messages[i].arrival_ns, 5 * HOUR,
			     "what arrives after the run is left out");
		if (messages[i].class == TG_BULK) {
			cr_assert_eq((messages[i].arrival_ns - HOUR) % (10 * MINUTE), 0);
			lumps[(messages[i].arrival_ns - HOUR) / (10 * MINUTE)]++;
		} else if (messages[i].class == TG_ENGAGED) {
			cr_expect_eq(messages[i].arrival_ns, HOUR + uniform++ * MINUTE);
		} else {
			poisson++;
		}
	}
	for (size_t i = 0; i < 12; i++)
		cr_expect_eq(lumps[i], 100);
	cr_expect_eq(uniform, 60);
	cr_expect_float_eq((double)poisson, 1500, 100);
	free(messages);
	scenario_free(scenario);
}
