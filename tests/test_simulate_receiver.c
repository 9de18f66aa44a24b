/* SPDX-License-Identifier: MIT
 *
 * The model of a receiver, limit by limit.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "sidecar/base/units.h"
#include "sidecar/simulate/receiver.h"

#define SECOND UNITS_SECOND_NS
#define MINUTE UNITS_MINUTE_NS
#define HOUR   UNITS_HOUR_NS

static struct scenario *scenario;
static struct sim_receiver receiver;

/* A receiver with these further lines, of two sources. */
static void open_receiver(const char *accept, const char *lines)
{
	char text[4096], error[512];
	int length = snprintf(
		text, sizeof text,
		"duration: 9d\n"
		"sources: [{address: 192.0.2.1}, {address: 192.0.2.2}]\n"
		"receivers:\n"
		"  - destination: x\n"
		"    accept: {%s}\n"
		"    over: {rate: 450 rate, connections: 421 connections, per_connection: 450 "
		"place, hour: 450 hour, day: 450 day}\n%s",
		accept, lines);

	cr_assert_eq(scenario_parse(text, (size_t)length, "x", &scenario, error, sizeof error), 0,
		     "%s", error);
	cr_assert_eq(receiver_init(&receiver, scenario, 0), 0);
}

static void close_receiver(void)
{
	receiver_free(&receiver);
	scenario_free(scenario);
}

static enum receiver_cause take_from(size_t source, uint64_t now_ns, const char **ret_text)
{
	/* Luck that is never noise. */
	struct receiver_message message = {.place = 1, .draw = UINT64_MAX};

	return receiver_take(&receiver, source, &message, now_ns, ret_text);
}

static enum receiver_cause take(uint64_t now_ns)
{
	const char *text = NULL;

	return take_from(0, now_ns, &text);
}

/* Four sources: two of one network and pool, a third of that network alone, a fourth apart. */
static void open_shared(const char *lines)
{
	char text[4096], error[512];
	int length = snprintf(text, sizeof text,
			      "sources: [{address: 192.0.2.1, pool: a}, {address: 192.0.2.2, pool: "
			      "a},\n"
			      "  {address: 192.0.2.3, pool: b}, {address: 198.51.100.3, pool: c}]\n"
			      "receivers:\n  - destination: x\n    accept: {rate: 60/min, burst: "
			      "5, connections: 1}\n%s",
			      lines);

	cr_assert_eq(scenario_parse(text, (size_t)length, "x", &scenario, error, sizeof error), 0,
		     "%s", error);
	cr_assert_eq(receiver_init(&receiver, scenario, 0), 0);
}

/* How many of `tries` at one instant are accepted. */
static int accepted(uint64_t now_ns, int tries)
{
	int count = 0;

	while (tries-- > 0)
		count += take(now_ns) == RECEIVER_ACCEPTED;
	return count;
}

Test(simulate_receiver, accepts_the_burst_and_then_the_rate)
{
	const char *text = NULL;

	open_receiver("rate: 60/min, burst: 5", "");
	cr_expect_eq(accepted(0, 20), 5);
	cr_expect_eq(take_from(0, SECOND / 2, &text), RECEIVER_RATE);
	cr_expect_str_eq(text, "450 rate");
	cr_expect_eq(take(SECOND), RECEIVER_ACCEPTED, "refused ones used nothing up");
	cr_expect_eq(accepted(60 * SECOND, 20), 5, "no more than the burst is saved up");
	cr_expect_eq(take_from(1, 60 * SECOND, &text), RECEIVER_ACCEPTED, "each source by itself");
	close_receiver();
}

Test(simulate_receiver, counts_together_those_that_share_a_limit)
{
	static const struct {
		const char *line;
		bool shared[4]; /* whether what the first used is missing there */
	} cases[] = {
		{"", {true, false, false, false}},
		{"    per: address\n", {true, false, false, false}},
		{"    per: pool\n", {true, true, false, false}},
		{"    per: network\n", {true, true, true, false}},
		{"    per: all\n", {true, true, true, true}},
	};
	const char *text = NULL;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		open_shared(cases[i].line);
		cr_expect_eq(accepted(0, 20), 5);
		for (size_t s = 0; s < 4; s++) {
			uint64_t earliest = receiver_earliest(&receiver, s, 0);

			cr_expect_eq(earliest > 0, cases[i].shared[s], "case %zu, source %zu", i,
				     s);
			cr_expect_eq(take_from(s, 0, &text),
				     cases[i].shared[s] ? RECEIVER_RATE : RECEIVER_ACCEPTED,
				     "case %zu, source %zu", i, s);
		}
		close_receiver();
	}
}

Test(simulate_receiver, blocks_all_for_what_one_of_them_did_but_counts_connections_apart)
{
	const char *text = NULL;

	open_shared("    per: network\n    penalty: {when: 3 in 10m, hold: 1h}\n");
	for (size_t s = 0; s < 3; s++)
		cr_expect_eq(receiver_connect(&receiver, s, 0, &text), RECEIVER_ACCEPTED);
	accepted(0, 7);
	cr_expect_eq(take_from(2, 0, &text), RECEIVER_RATE, "the third refusal, of another");
	for (size_t s = 0; s < 3; s++)
		cr_expect_eq(take_from(s, MINUTE, &text), RECEIVER_BLOCKED);
	cr_expect_eq(take_from(3, MINUTE, &text), RECEIVER_ACCEPTED);
	close_receiver();
}

Test(simulate_receiver, keeps_what_was_used_when_the_rate_changes)
{
	open_receiver("rate: 60/min, burst: 5", "    changes: [{at: 2s, rate: 6/min}]\n");
	cr_expect_eq(accepted(0, 20), 5);
	receiver_change(&receiver, &scenario->receivers[0].changes[0], 2 * SECOND);
	cr_expect_eq(accepted(2 * SECOND, 20), 2, "earned at the old rate");
	cr_expect_eq(accepted(11 * SECOND, 20), 0);
	cr_expect_eq(accepted(12 * SECOND, 20), 1, "one in ten seconds from then on");
	close_receiver();
}

Test(simulate_receiver, a_refused_connection_holds_no_place)
{
	const char *text = NULL;

	open_receiver("rate: 60/min, connections: 2", "");
	cr_expect_eq(receiver_connect(&receiver, 0, 0, &text), RECEIVER_ACCEPTED);
	cr_expect_eq(receiver_connect(&receiver, 0, 0, &text), RECEIVER_ACCEPTED);
	for (int i = 0; i < 10; i++)
		cr_expect_eq(receiver_connect(&receiver, 0, 0, &text), RECEIVER_CONNECTIONS);
	cr_expect_str_eq(text, "421 connections");
	cr_expect_eq(receiver.sources[0].open, 2);
	receiver_close(&receiver, 0);
	cr_expect_eq(receiver_connect(&receiver, 0, 0, &text), RECEIVER_ACCEPTED);
	cr_expect_eq(receiver_connect(&receiver, 1, 0, &text), RECEIVER_ACCEPTED, "another source");
	close_receiver();
}

Test(simulate_receiver, counts_messages_in_a_connection)
{
	struct receiver_message message = {.place = 3, .draw = UINT64_MAX};
	const char *text = NULL;

	open_receiver("rate: 60/min, per_connection: 3", "");
	cr_expect_eq(receiver_take(&receiver, 0, &message, 0, &text), RECEIVER_ACCEPTED);
	message.place = 4;
	cr_expect_eq(receiver_take(&receiver, 0, &message, 0, &text), RECEIVER_PER_CONNECTION);
	cr_expect_str_eq(text, "450 place");
	close_receiver();
}

Test(simulate_receiver, opens_fixed_windows_on_the_hour)
{
	open_receiver("rate: 6000/min, burst: 1000, hour: 10, day: 15", "");
	cr_expect_eq(accepted(10 * MINUTE, 100), 10);
	cr_expect_eq(take(HOUR - 1), RECEIVER_HOUR);
	cr_expect_eq(accepted(HOUR, 100), 5, "then the day is full");
	cr_expect_eq(take(2 * HOUR), RECEIVER_DAY);
	cr_expect_eq(take(24 * HOUR - 1), RECEIVER_DAY);
	cr_expect_eq(accepted(24 * HOUR, 100), 10);
	close_receiver();
}

Test(simulate_receiver, moves_windows_by_the_phase)
{
	open_receiver("rate: 6000/min, burst: 1000, hour: 10", "    windows: {phase: 23m}\n");
	cr_expect_eq(accepted(10 * MINUTE, 100), 10);
	cr_expect_eq(take(23 * MINUTE - 1), RECEIVER_HOUR);
	cr_expect_eq(accepted(23 * MINUTE, 100), 10);
	cr_expect_eq(take(HOUR), RECEIVER_HOUR);
	cr_expect_eq(take(83 * MINUTE), RECEIVER_ACCEPTED);
	close_receiver();
}

Test(simulate_receiver, slides_windows_in_sixtieths)
{
	open_receiver("rate: 6000/min, burst: 1000, hour: 10", "    windows: {kind: sliding}\n");
	cr_expect_eq(accepted(50 * MINUTE, 6), 6);
	cr_expect_eq(accepted(70 * MINUTE, 100), 4);
	cr_expect_eq(take(109 * MINUTE), RECEIVER_HOUR);
	cr_expect_eq(accepted(110 * MINUTE, 100), 6, "what was taken an hour ago is free again");
	cr_expect_eq(accepted(130 * MINUTE, 100), 4);
	cr_expect_eq(accepted(500 * MINUTE, 100), 10);
	close_receiver();
}

Test(simulate_receiver, blocks_who_hammers_longer_each_time)
{
	const char *text = NULL;

	open_receiver("rate: 1/hr, burst: 1",
		      "    penalty: {when: 3 in 10m, hold: 1h, repeat: 2, reply: 451 blocked}\n");
	cr_expect_eq(accepted(0, 1), 1);
	/* Two in ten minutes, again and again, are patience. */
	for (uint64_t t = MINUTE; t < 40 * MINUTE; t += 6 * MINUTE)
		cr_expect_eq(take(t), RECEIVER_RATE);
	cr_expect_eq(take(50 * MINUTE), RECEIVER_RATE);
	cr_expect_eq(take(51 * MINUTE), RECEIVER_RATE);
	cr_expect_eq(take(52 * MINUTE), RECEIVER_RATE, "the third is told the limit, then blocked");
	cr_expect_eq(take_from(0, 53 * MINUTE, &text), RECEIVER_BLOCKED);
	cr_expect_str_eq(text, "451 blocked");
	cr_expect_eq(take_from(1, 53 * MINUTE, &text), RECEIVER_ACCEPTED,
		     "the other source is not");
	cr_expect_eq(take(112 * MINUTE - 1), RECEIVER_BLOCKED);
	cr_expect_eq(receiver.accounts[0].blocked_ns, HOUR);
	cr_expect_eq(receiver.accounts[0].blocked_late_ns, 0, "began within the first hour");
	cr_expect_eq(take(112 * MINUTE), RECEIVER_ACCEPTED, "the rate's bucket filled meanwhile");
	for (int i = 0; i < 3; i++)
		take(113 * MINUTE);
	cr_expect_eq(take(232 * MINUTE), RECEIVER_BLOCKED, "two hours now");
	cr_expect_eq(receiver.accounts[0].blocked_ns, 3 * HOUR);
	cr_expect_eq(receiver.accounts[0].blocked_late_ns, 2 * HOUR);
	close_receiver();
}

Test(simulate_receiver, forgets_blocks_after_a_quiet_day)
{
	open_receiver("rate: 1/d, burst: 1",
		      "    penalty: {when: 2 in 10m, hold: 1h, repeat: 3}\n");
	accepted(0, 3);
	cr_expect_eq(receiver.accounts[0].blocked_ns, HOUR);
	accepted(25 * HOUR, 3);
	cr_expect_eq(receiver.accounts[0].blocked_ns, 4 * HOUR, "just a day: three times as long");
	accepted(54 * HOUR, 3);
	cr_expect_eq(receiver.accounts[0].blocked_ns, 5 * HOUR, "more: as the first time");
	close_receiver();
}

Test(simulate_receiver, counts_a_block_only_to_the_end_of_the_run)
{
	open_receiver("rate: 1/d, burst: 1", "    penalty: {when: 1 in 10m, hold: 300d}\n");
	accepted(8 * 24 * HOUR, 2);
	cr_expect_eq(receiver.accounts[0].blocked_ns, 24 * HOUR);
	close_receiver();
}

Test(simulate_receiver, refuses_what_is_far_above_the_history)
{
	open_receiver("rate: 6000/min, burst: 10000",
		      "    history: {factor: 2, floor: 10/hr, over: 451 history}\n");
	cr_expect_eq(accepted(0, 100), 10, "the floor");
	cr_expect_eq(take(HOUR - 1), RECEIVER_HISTORY);
	cr_expect_eq(accepted(HOUR, 100), 20, "twice the best hour that has ended");
	cr_expect_eq(accepted(2 * HOUR, 100), 40);
	cr_expect_eq(accepted(9 * HOUR, 100), 80, "the peak is not forgotten");
	close_receiver();
}

Test(simulate_receiver, greylists_each_message_until_the_delay_has_passed)
{
	struct receiver_message message = {.place = 1, .draw = UINT64_MAX};
	const char *text = NULL;

	open_receiver("rate: 60/min", "    greylist: {delay: 5m, reply: 450 grey}\n");
	cr_expect_eq(receiver_take(&receiver, 0, &message, SECOND, &text), RECEIVER_GREYLIST);
	cr_expect_str_eq(text, "450 grey");
	message.first_seen_ns = SECOND;
	cr_expect_eq(receiver_take(&receiver, 0, &message, 5 * MINUTE, &text), RECEIVER_GREYLIST);
	cr_expect_eq(receiver_take(&receiver, 0, &message, 5 * MINUTE + SECOND, &text),
		     RECEIVER_ACCEPTED);
	close_receiver();
}

Test(simulate_receiver, is_noisy_by_share_whatever_the_rate)
{
	const char *text = NULL;
	int first = 0, second = 0;

	open_receiver("rate: 60000/min, burst: 20000",
		      "    noise: [{share: 0.25, reply: 451 one}, {share: 0.5, reply: 451 two}]\n");
	for (uint64_t i = 0; i < 10000; i++) {
		struct receiver_message message = {.place = 1, .draw = i * (UINT64_MAX / 10000)};

		if (receiver_take(&receiver, 0, &message, 0, &text) != RECEIVER_NOISE)
			continue;
		first += text[4] == 'o';
		second += text[4] == 't';
	}
	cr_expect_float_eq(first, 2500, 2);
	cr_expect_float_eq(second, 5000, 2);
	close_receiver();
}

Test(simulate_receiver, answers_an_outage_without_counting_anything)
{
	const char *text = NULL;

	open_receiver("rate: 60/min, burst: 3, connections: 1",
		      "    outage: [{at: 10m, for: 5m, reply: 421 gone}]\n"
		      "    penalty: {when: 2 in 10m, hold: 1h}\n");
	for (int i = 0; i < 20; i++) {
		cr_expect_eq(take_from(0, 10 * MINUTE, &text), RECEIVER_OUTAGE);
		cr_expect_eq(receiver_connect(&receiver, 0, 10 * MINUTE, &text), RECEIVER_OUTAGE);
	}
	cr_expect_str_eq(text, "421 gone");
	cr_expect_eq(receiver.sources[0].open, 0);
	cr_expect_eq(receiver.accounts[0].blocked_ns, 0);
	cr_expect_eq(accepted(15 * MINUTE, 10), 3);
	close_receiver();
}

Test(simulate_receiver, tells_the_oracle_when_a_message_would_pass)
{
	static const struct {
		const char *accept, *lines;
		int before; /* messages taken at minute 9 */
		uint64_t expected;
	} cases[] = {
		{"rate: 60/min, burst: 2", "", 1, 9 * MINUTE},
		{"rate: 60/min, burst: 2", "", 2, 9 * MINUTE + SECOND},
		{"rate: 60/min, hour: 2", "", 2, HOUR},
		{"rate: 60/min, hour: 2", "    windows: {kind: sliding}\n", 2, 10 * MINUTE},
		{"rate: 60/min, day: 2", "    windows: {phase: 30m}\n", 2, 30 * MINUTE},
		{"rate: 60/min", "    outage: [{at: 9m, for: 20m}]\n", 0, 29 * MINUTE},
		{"rate: 60/min, burst: 1", "    penalty: {when: 1 in 10m, hold: 1h}\n", 2,
		 69 * MINUTE},
		{"rate: 60/min", "    history: {factor: 2, floor: 3/hr}\n", 3, HOUR},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint64_t at;

		open_receiver(cases[i].accept, cases[i].lines);
		accepted(9 * MINUTE, cases[i].before);
		at = receiver_earliest(&receiver, 0, 9 * MINUTE);
		cr_expect(at >= cases[i].expected && at <= cases[i].expected + 10, "case %zu: %llu",
			  i, (unsigned long long)at);
		close_receiver();
	}
}
