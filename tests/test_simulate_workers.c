/* SPDX-License-Identifier: MIT
 *
 * Workers that sleep: each with a queue and a connection of its own; the sidecar that ends and
 * comes back; what sources may send in all.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sidecar/base/log.h"
#include "sidecar/base/units.h"
#include "sidecar/simulate/mta.h"
#include "sidecar/simulate/sim_config.h"
#include "sidecar/simulate/simulate.h"
#include "tests/scenario_case.h"

static struct simulate_result run(const struct scenario *scenario,
				  const struct simulate_policy *policy,
				  struct simulate_config *config)
{
	struct simulate_options options = {.seed = scenario->seed};
	struct simulate_result result;

	cr_assert_eq(simulate_run(scenario, policy, config, &options, &result), 0);
	return result;
}

/* ---- workers --------------------------------------------------------------------------------- */

Test(simulate_workers, have_one_message_under_way_each)
{
	static const struct {
		int count, sources;
	} cases[] = {{1, 1}, {3, 1}, {2, 3}};
	struct simulate_policy policy = policy_none;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct scenario *scenario;
		struct simulate_result result;
		char text[512];
		double each;

		snprintf(text, sizeof text,
			 "duration: 1h\nworkers: {model: sleep, count: %d}\nsources: [{address: "
			 "192.0.2.1}%s]\ntraffic: [{messages: 9000, over: 0s}]\nreceivers: "
			 "[{destination: x, accept: {rate: unlimited}, latency: 10s}]\n",
			 cases[i].count,
			 cases[i].sources == 3 ? ", {address: 192.0.2.2}, {address: 192.0.2.3}"
					       : "");
		scenario = scenario_of(text);
		result = run(scenario, &policy, NULL);
		/* A connection carries 20 messages, of which the first takes twice as long. */
		each = 10.0 * 21 / 20;
		cr_expect_float_eq((double)result.delivered,
				   3600 / each * cases[i].count * cases[i].sources,
				   0.03 * 3600 / each * cases[i].count * cases[i].sources,
				   "case %zu: %llu", i, (unsigned long long)result.delivered);
		scenario_free(scenario);
	}
}

Test(simulate_workers, are_dealt_the_mail_of_their_pool_in_turn)
{
	struct scenario *scenario = scenario_of(
		"workers: {model: sleep, count: 2}\n"
		"sources: [{address: 192.0.2.1, pool: a}, {address: 192.0.2.2, pool: b},\n"
		"  {address: 192.0.2.3, pool: b}]\n"
		"receivers: [{destination: x, accept: {rate: 1/min}},\n"
		"  {destination: y, accept: {rate: 1/min}}]\n");
	/* Pool and receiver of each message, and the worker that it comes to. */
	static const uint32_t dealt[][3] = {
		{0, 0, 0}, {0, 1, 1}, {1, 1, 2}, {0, 0, 0},
		{1, 0, 3}, {1, 0, 4}, {1, 1, 5}, {1, 0, 2},
	};
	struct simulate_message messages[8] = {0};
	struct mta mta = {.scenario = scenario, .policy = &policy_none, .messages = messages};

	cr_assert_eq(mta_workers_make(&mta), 0);
	cr_expect_eq(mta.worker_count, 6);
	for (uint32_t i = 0; i < 8; i++) {
		messages[i].queue = dealt[i][0] * 2 + dealt[i][1];
		messages[i].class = TG_BULK;
		mta_worker_deal(&mta, i);
		cr_expect_eq(messages[i].queue, dealt[i][2] * 2 + dealt[i][1], "message %u: %u", i,
			     messages[i].queue);
	}
	free(mta.workers);
	free(mta.teams);
	scenario_free(scenario);
}

/* A policy with a slot each ten seconds, of which each third is taken back; from a minute on it
 * has none for an hour, until it changes its mind at a tick. */
struct slots {
	uint64_t next_ns, tick_ns;
	uint32_t changes;
	int reserved, redeemed, refused;
	uint64_t last_sent_ns;
	bool wrong;
};
static struct slots slots;

static int slots_create(const struct sim_env *env, void **ret)
{
	slots = (struct slots){.next_ns = 10 * SECOND, .tick_ns = 200 * SECOND};
	*ret = NULL;
	return 0;
}

static void slots_destroy(void *self)
{
}

static uint64_t slots_reserve(void *self, uint32_t flow, enum tg_class traffic, uint64_t now_ns,
			      uint64_t until_ns, struct policy_slot *ret)
{
	uint64_t at = slots.next_ns;

	if (at > MINUTE && slots.changes == 0)
		return 2 * HOUR;
	if (at < now_ns)
		at = now_ns;
	if (at > until_ns)
		return at;
	ret->at_ns = at;
	slots.next_ns = at + 10 * SECOND;
	slots.reserved++;
	return at;
}

static bool slots_redeem(void *self, uint32_t flow, enum tg_class traffic,
			 const struct policy_slot *slot, uint64_t now_ns)
{
	slots.wrong |= now_ns != slot->at_ns;
	if (slots.reserved % 3 == 0) {
		slots.refused++;
		return false;
	}
	slots.redeemed++;
	slots.last_sent_ns = now_ns;
	return true;
}

static uint32_t slots_changes(void *self, uint32_t flow)
{
	return slots.changes;
}

static uint64_t slots_wake(void *self)
{
	return slots.changes ? UINT64_MAX : slots.tick_ns;
}

static void slots_tick(void *self, uint64_t now_ns)
{
	slots.changes++;
	slots.next_ns = now_ns;
}

Test(simulate_workers, sleep_until_their_slot_or_a_change)
{
	struct scenario *scenario =
		scenario_of("duration: 205s\nworkers: {model: sleep, count: 2}\n"
			    "traffic: [{messages: 100, over: 0s}]\nreceivers: "
			    "[{destination: x, accept: {rate: unlimited}}]\n");
	struct simulate_policy policy = policy_none;
	struct simulate_result result;

	policy.create = slots_create;
	policy.destroy = slots_destroy;
	policy.reserve = slots_reserve;
	policy.redeem = slots_redeem;
	policy.changes = slots_changes;
	policy.wake = slots_wake;
	policy.tick = slots_tick;
	result = run(scenario, &policy, NULL);
	cr_expect(!slots.wrong, "each goes at its slot's time");
	cr_expect_eq(slots.reserved, 7, "10 to 60 s, and at the change: %d", slots.reserved);
	cr_expect_eq(slots.refused, 2);
	cr_expect_eq(slots.redeemed, 5);
	cr_expect_eq(slots.last_sent_ns, 200 * SECOND, "at once when the limits change");
	cr_expect_eq(result.delivered, 5);
	scenario_free(scenario);
}

Test(simulate_workers, ask_for_a_connection_before_a_slot)
{
	struct scenario *scenario = scenario_of(
		"duration: 1h\nworkers: {model: sleep, count: 10}\n"
		"traffic: [{messages: 9000, over: 0s}]\nreceivers: "
		"[{destination: x, accept: {rate: unlimited, connections: 4}, latency: 1s}]\n");
	struct simulate_result result = run(scenario, &policy_none, NULL);

	cr_expect_eq(result.deferrals, 0, "four is what the policy lets them have");
	cr_expect_gt(result.delivered, 12000 * 2 / 3);
	scenario_free(scenario);
}

Test(simulate_workers, let_the_oracle_be_as_good_as_can_be)
{
	static const char rest[] =
		"duration: 2h\ntraffic: [{messages: 9000, over: 1h}]\nreceivers: "
		"[{destination: x, accept: {rate: 30/min}}]\n";
	struct scenario *shared = scenario_of(rest), *sleep;
	char text[512];

	snprintf(text, sizeof text, "workers: {model: sleep, count: 1}\n%s", rest);
	sleep = scenario_of(text);
	cr_expect_eq(run(shared, &policy_oracle, NULL).delivered,
		     run(sleep, &policy_oracle, NULL).delivered);
	scenario_free(shared);
	scenario_free(sleep);
}

/* ---- the sidecar ----------------------------------------------------------------------------- */

static struct simulate_config *configured(const char *text)
{
	struct simulate_config *config = NULL;
	char path[] = "/tmp/tollgate-test-XXXXXX";
	int fd = mkstemp(path);

	log_configure(LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	cr_assert_eq(simulate_config_load(path, &config), 0);
	unlink(path);
	return config;
}

Test(simulate_workers, go_on_while_the_sidecar_is_away)
{
	static const struct {
		const char *model, *down, *restart;
		double min, max; /* share of the run without a restart */
		bool refused;	 /* much more than in that */
	} cases[] = {
		{"shared", "keep", "{at: 20m, for: 10s}", 0.97, 1.03, false},
		{"sleep", "keep", "{at: 20m, for: 10s}, {at: 30m, for: 10s}", 0.97, 1.03, false},
		/* By the limits of the first minute, for ever, and nobody learns from refusals. */
		{"shared", "keep", "{at: 1m, for: 3h}", 0.9, 1.1, true},
		{"sleep", "keep", "{at: 1m, for: 3h}", 0.9, 1.1, true},
		{"shared", "fail-closed", "{at: 20m, for: 20m}", 0.45, 0.55, false},
		{"sleep", "fail-closed", "{at: 20m, for: 20m}", 0.45, 0.55, false},
		{"shared", "fail-open", "{at: 20m, for: 10m}", 0.5, 1.1, true},
		{"sleep", "fail-open", "{at: 20m, for: 10m}", 0.5, 1.1, true},
	};
	struct simulate_config *config = NULL;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct simulate_result with, without;
		double share;
		char text[1024];

		snprintf(text, sizeof text, "on_sidecar_down: %s\nsidecar_timeout: 5s\n",
			 cases[i].down);
		/* Rules take a moment to compile. */
		if (i == 0 || strcmp(cases[i].down, cases[i - 1].down) != 0) {
			simulate_config_free(config);
			config = configured(text);
		}
		for (int restarted = 0; restarted < 2; restarted++) {
			struct scenario *scenario;

			snprintf(
				text, sizeof text,
				"duration: 40m\nworkers: {model: %s, count: 3}\nrestart: [%s]\n"
				"traffic: [{messages: 4000, over: 0s}]\nreceivers:\n"
				"  - {destination: x, accept: {rate: 60/min}, over: 450 4.7.1 Rate "
				"limit exceeded}\n",
				cases[i].model, restarted ? cases[i].restart : "");
			scenario = scenario_of(text);
			*(restarted ? &with : &without) = run(scenario, &policy_tollgate, config);
			scenario_free(scenario);
		}
		share = (double)with.delivered / (double)without.delivered;
		cr_expect(share >= cases[i].min && share <= cases[i].max, "case %zu: %f", i, share);
		cr_expect_eq(with.avoidable > 10 * without.avoidable + 100, cases[i].refused,
			     "case %zu: %llu, %llu", i, (unsigned long long)with.avoidable,
			     (unsigned long long)without.avoidable);
	}
	simulate_config_free(config);
}

/* ---- totals ---------------------------------------------------------------------------------- */

Test(simulate_workers, keep_what_a_source_may_send_in_all)
{
	static const struct {
		const char *total;
		double delivered;
	} cases[] = {
		{"{rate: 30/min, burst: 10}", 10 + 30 * 180},
		{"{rate: 2.5/min, burst: 1}", 1 + 2.5 * 180},
		{"{hour: 500, day: 1200}", 1200},
		{"{rate: 30/min, burst: 10, day: 4000}", 4000},
	};
	struct simulate_config *base = NULL, *config = NULL;

	log_configure(LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	cr_assert_eq(simulate_config_load(NULL, &base), 0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct simulate_result oracle, gate;
		struct scenario *scenario;
		char text[1024];

		snprintf(text, sizeof text,
			 "duration: 3h\nsources: [{address: 192.0.2.1, total: %s}]\ntraffic: "
			 "[{destination: a, messages: 9000, over: 0s}, {destination: b, messages: "
			 "9000, over: 0s}]\nreceivers: [{destination: a, accept: {rate: "
			 "300/min}},\n  {destination: b, accept: {rate: 300/min}}]\n",
			 cases[i].total);
		scenario = scenario_of(text);
		cr_assert_eq(simulate_config_with(base, scenario, &config), 0);
		oracle = run(scenario, &policy_oracle, base);
		gate = run(scenario, &policy_tollgate, config);
		cr_expect_float_eq((double)oracle.delivered, cases[i].delivered, 3,
				   "case %zu: %llu", i, (unsigned long long)oracle.delivered);
		cr_expect_leq(gate.delivered, oracle.delivered + 1, "case %zu: %llu", i,
			      (unsigned long long)gate.delivered);
		cr_expect_geq((double)gate.delivered, 0.8 * cases[i].delivered, "case %zu: %llu", i,
			      (unsigned long long)gate.delivered);
		simulate_config_free(config);
		scenario_free(scenario);
	}
	simulate_config_free(base);
}
