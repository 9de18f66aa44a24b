/* SPDX-License-Identifier: MIT
 *
 * The model of a receiver, limit by limit.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "sidecar/base/units.h"
#include "sidecar/simulate/receiver.h"
#include "sidecar/simulate/traffic.h"

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
	struct receiver_message message = {.place = 1, .draw = UINT64_MAX, .content = UINT64_MAX};

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

Test(simulate_receiver, paces_connections_and_tells_the_oracle_when)
{
	const char *text = NULL;
	uint64_t at;

	open_receiver("rate: 600/min, connection_rate: 6/min, connection_burst: 2",
		      "    changes: [{at: 1m, connection_rate: 60/min}]\n");
	cr_expect_eq(receiver_connect(&receiver, 0, 0, &text), RECEIVER_ACCEPTED);
	cr_expect_eq(receiver_connect_earliest(&receiver, 0, 0), 0);
	cr_expect_eq(receiver_connect(&receiver, 0, 0, &text), RECEIVER_ACCEPTED);
	cr_expect_eq(receiver_connect(&receiver, 0, 0, &text), RECEIVER_CONNECTION_RATE);
	cr_expect_eq(receiver.sources[0].open, 2, "it holds no place");
	at = receiver_connect_earliest(&receiver, 0, SECOND);
	cr_expect_geq(at, 10 * SECOND);
	cr_expect_leq(at, 10 * SECOND + 2);
	cr_expect_eq(receiver_connect(&receiver, 0, at - SECOND, &text), RECEIVER_CONNECTION_RATE);
	cr_expect_eq(receiver_connect(&receiver, 0, at, &text), RECEIVER_ACCEPTED);
	cr_expect_eq(receiver_connect(&receiver, 0, 4 * MINUTE, &text), RECEIVER_ACCEPTED);
	receiver_change(&receiver, &scenario->receivers[0].changes[0], 4 * MINUTE);
	cr_expect_eq(receiver_connect(&receiver, 0, 4 * MINUTE, &text), RECEIVER_ACCEPTED);
	cr_expect_leq(receiver_connect_earliest(&receiver, 0, 4 * MINUTE), 4 * MINUTE + SECOND + 2);
	close_receiver();
}

Test(simulate_receiver, counts_messages_in_a_connection)
{
	struct receiver_message message = {.place = 3, .draw = UINT64_MAX, .content = UINT64_MAX};
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

/* So many tries in the given day, a second apart. Returns how many were accepted. */
static unsigned tries(uint64_t day, unsigned count, enum receiver_cause *ret_last)
{
	unsigned accepted = 0;

	for (unsigned i = 0; i < count; i++) {
		*ret_last = take(day * 24 * HOUR + (i + 1) * SECOND);
		accepted += *ret_last == RECEIVER_ACCEPTED;
	}
	return accepted;
}

Test(simulate_receiver, takes_in_a_day_by_what_it_took_before)
{
	static const struct {
		uint64_t day;
		unsigned tried, accepted;
		enum receiver_cause last;
	} rows[] = {
		{0, 5, 5, RECEIVER_ACCEPTED},	{1, 30, 20, RECEIVER_DAY}, /* 10 always */
		{2, 30, 30, RECEIVER_ACCEPTED}, {3, 7, 7, RECEIVER_ACCEPTED},
		{5, 100, 60, RECEIVER_DAY}, /* twice the 30 of three days before */
		{8, 121, 120, RECEIVER_DAY},
	};
	enum receiver_cause last;

	open_receiver("rate: unlimited", "    allowance: {base: 20, factor: 2, days: 3}\n");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		unsigned accepted = tries(rows[i].day, rows[i].tried, &last);

		cr_expect_eq(accepted, rows[i].accepted, "row %zu: %u", i, accepted);
		cr_expect_eq(last, rows[i].last, "row %zu: %d", i, (int)last);
	}
	/* Too long ago. */
	cr_expect_eq(tries(12, 100, &last), 20);
	close_receiver();
}

Test(simulate_receiver, punishes_who_tries_more_in_a_day)
{
	static const struct {
		const char *lines;
		unsigned accepted; /* of 100 on the first day */
		unsigned tried;	   /* of these, before the block */
	} rows[] = {
		{"    allowance: {base: 20, factor: 4, growth: 2, hold: 30h, reply: 451 no}\n", 20,
		 40},
		{"    allowance: {base: 20, factor: 2, tolerance: 1.2, hold: 30h, reply: 451 no}\n",
		 20, 24},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		enum receiver_cause last;
		const char *text = NULL;

		open_receiver("rate: unlimited", rows[i].lines);
		cr_expect_eq(tries(0, rows[i].tried, &last), rows[i].accepted);
		cr_expect_eq(last, RECEIVER_DAY, "row %zu: %d", i, (int)last);
		cr_expect_eq(receiver_earliest(&receiver, 0, HOUR), 24 * HOUR);
		cr_expect_eq(take_from(0, HOUR, &text), RECEIVER_BLOCKED);
		cr_expect_str_eq(text, "451 no");
		cr_expect_eq(tries(1, 10, &last), 0, "until it is over");
		cr_expect_eq(receiver.sources[0].account->blocked_days, 1);
		cr_expect_eq(receiver_earliest(&receiver, 0, 25 * HOUR), 31 * HOUR);
		cr_expect_eq(take(31 * HOUR), RECEIVER_ACCEPTED);
		cr_expect_eq(take_from(1, HOUR, &text), RECEIVER_ACCEPTED, "the other address");
		close_receiver();
	}
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
	struct receiver_message message = {.place = 1, .draw = UINT64_MAX, .content = UINT64_MAX};
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

Test(simulate_receiver, refuses_with_a_chance_that_rises_with_the_load)
{
	static const struct {
		double load; /* as a part of the rate */
		double refused, most;
	} cases[] = {{0.5, 0, 0}, {0.95, 0, 0.01}, {1.5, 0.2, 0.3}, {2, 0.45, 0.55}, {4, 0.99, 1}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int refused = 0;

		open_receiver("rate: 600/min, burst: 100", "    soft: {from: 1, full: 3}\n");
		/* For ten times as long as the load is remembered, and then two minutes. */
		for (uint64_t n = 0; n < 2200 * cases[i].load; n++) {
			uint64_t at = (uint64_t)((double)n * SECOND / 10 / cases[i].load);
			struct receiver_message message = {
				.place = 1, .draw = simulate_luck(1, n, 0), .customer = 0};
			const char *text = NULL;

			if (receiver_take(&receiver, 0, &message, at, &text) == RECEIVER_RATE)
				refused += at >= 100 * SECOND;
		}
		cr_expect_geq(refused / (1200 * cases[i].load), cases[i].refused, "case %zu: %d", i,
			      refused);
		cr_expect_leq(refused / (1200 * cases[i].load), cases[i].most, "case %zu: %d", i,
			      refused);
		close_receiver();
	}
}

Test(simulate_receiver, doubles_a_cap_after_each_day_that_used_half_of_it)
{
	static const struct {
		int sent[4]; /* in each day, at its noon */
		int last;    /* what the fifth takes of a thousand */
	} cases[] = {
		{{0, 0, 0, 0}, 10},	 {{5, 0, 0, 0}, 20},   {{4, 0, 0, 0}, 10},
		{{10, 10, 20, 50}, 150}, {{10, 9, 20, 0}, 40}, {{99, 99, 99, 99}, 150},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		open_receiver("rate: 6000/min, burst: 1000, day: 10",
			      "    growth: {factor: 2, used: 0.5, max: 150}\n");
		for (uint64_t day = 0; day < 4; day++)
			accepted((24 * day + 12) * HOUR, cases[i].sent[day]);
		cr_expect_eq(accepted(108 * HOUR, 1000), cases[i].last, "case %zu", i);
		cr_expect_eq(receiver_earliest(&receiver, 0, 108 * HOUR), 120 * HOUR);
		close_receiver();
	}
}

Test(simulate_receiver, lets_grow_what_is_said_to)
{
	static const struct {
		const char *of;
		int burst, hour; /* taken on the second day, of the burst and in the hour */
	} cases[] = {{"day", 5, 8}, {"caps", 5, 16}, {"all", 10, 16}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char lines[128];

		snprintf(lines, sizeof lines, "    growth: {used: 0.05, of: %s}\n", cases[i].of);
		open_receiver("rate: 60/min, burst: 5, hour: 8, day: 100", lines);
		cr_expect_eq(accepted(0, 5), 5);
		cr_expect_eq(accepted(24 * HOUR, 100), cases[i].burst, "case %zu", i);
		for (uint64_t t = 1; t < 60; t++)
			accepted(24 * HOUR + t * MINUTE, 100);
		cr_expect_eq(receiver.accounts[0].hour.count, cases[i].hour, "case %zu", i);
		close_receiver();
	}
}

Test(simulate_receiver, blocks_by_a_part_of_what_it_allows)
{
	static const struct {
		const char *accept, *when;
		int strikes; /* that it takes to be blocked */
	} cases[] = {
		{"rate: 6/min, burst: 1", "20% in 10m", 12},
		{"rate: 6/min, burst: 1", "150% in 10m", 90},
		{"rate: 6/min, burst: 1, hour: 30", "20% in 2h", 12},
		{"rate: 6/min, burst: 1, day: 50", "20% in 24h", 10},
		{"rate: 1/hr, burst: 1", "20% in 10m", 1},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char lines[128];
		int strikes = 0;

		snprintf(lines, sizeof lines, "    penalty: {when: %s, hold: 1h}\n", cases[i].when);
		open_receiver(cases[i].accept, lines);
		accepted(0, 1);
		while (strikes < 1000 && take(0) != RECEIVER_BLOCKED)
			strikes++;
		cr_expect_eq(strikes, cases[i].strikes, "case %zu: %d", i, strikes);
		close_receiver();
	}
}

Test(simulate_receiver, forgets_strikes_that_are_a_part_when_their_time_has_passed)
{
	open_receiver("rate: 6/min, burst: 1", "    penalty: {when: 20% in 10m, hold: 1h}\n");
	accepted(0, 12);
	cr_expect_eq(take(MINUTE), RECEIVER_ACCEPTED, "eleven are patience");
	cr_expect_eq(accepted(11 * MINUTE, 12), 1);
	cr_expect_eq(take(11 * MINUTE), RECEIVER_RATE, "and eleven more, when those are forgotten");
	cr_expect_eq(take(11 * MINUTE), RECEIVER_BLOCKED);
	close_receiver();
}

Test(simulate_receiver, prolongs_a_block_for_who_goes_on_trying)
{
	open_receiver("rate: 1/hr, burst: 1",
		      "    penalty: {when: 1 in 10m, hold: 1h, prolong: 40m}\n");
	accepted(0, 2);
	cr_expect_eq(take(20 * MINUTE), RECEIVER_BLOCKED, "no longer than it is anyway");
	cr_expect_eq(receiver_earliest(&receiver, 0, 20 * MINUTE), HOUR);
	cr_expect_eq(take(50 * MINUTE), RECEIVER_BLOCKED);
	cr_expect_eq(receiver_earliest(&receiver, 0, 50 * MINUTE), 90 * MINUTE);
	cr_expect_eq(take(80 * MINUTE), RECEIVER_BLOCKED);
	cr_expect_eq(take(120 * MINUTE), RECEIVER_ACCEPTED);
	cr_expect_eq(receiver.accounts[0].blocked_ns, 2 * HOUR);
	cr_expect_eq(receiver.accounts[0].blocked_late_ns, 30 * MINUTE, "what was done late");
	close_receiver();
}

Test(simulate_receiver, blocks_by_itself_whom_it_is_said_to)
{
	const char *text = NULL;

	open_receiver("rate: 60/min",
		      "    blocks: [{at: 1h, for: 1h, reply: 421 all},\n"
		      "             {at: 3h, for: 1h, address: 192.0.2.2, prolong: 30m, reply: 421 "
		      "one}]\n");
	cr_expect_eq(take(HOUR - 1), RECEIVER_ACCEPTED);
	cr_expect_eq(take_from(0, HOUR, &text), RECEIVER_LISTED);
	cr_expect_str_eq(text, "421 all");
	cr_expect_eq(receiver_earliest(&receiver, 1, HOUR), 2 * HOUR);
	cr_expect_eq(take(2 * HOUR), RECEIVER_ACCEPTED);
	cr_expect_eq(receiver.accounts[0].blocked_ns, 0, "nobody brought it about");
	cr_expect_eq(take_from(0, 3 * HOUR, &text), RECEIVER_ACCEPTED);
	cr_expect_eq(take_from(1, 225 * MINUTE, &text), RECEIVER_LISTED);
	cr_expect_str_eq(text, "421 one");
	cr_expect_eq(take_from(1, 4 * HOUR, &text), RECEIVER_LISTED);
	cr_expect_eq(receiver_earliest(&receiver, 1, 4 * HOUR), 270 * MINUTE);
	cr_expect_eq(take_from(1, 270 * MINUTE, &text), RECEIVER_ACCEPTED);
	cr_expect_eq(receiver.accounts[1].blocked_ns, 30 * MINUTE, "but the trying did this");
	close_receiver();
}

Test(simulate_receiver, takes_longer_under_load_and_to_refuse)
{
	static const struct {
		const char *lines;
		int taken; /* at once, of a burst of ten */
		enum receiver_cause cause;
		const char *text;
		uint64_t expected_ms;
	} cases[] = {
		{"    latency: 100ms\n", 10, RECEIVER_ACCEPTED, NULL, 100},
		{"    latency: {idle: 100ms, full: 2s}\n", 0, RECEIVER_ACCEPTED, NULL, 100},
		{"    latency: {idle: 100ms, full: 2s}\n", 5, RECEIVER_ACCEPTED, NULL, 1050},
		{"    latency: {idle: 100ms, full: 2s}\n", 10, RECEIVER_ACCEPTED, NULL, 2000},
		{"    latency: {idle: 100ms, full: 2s}\n", 20, RECEIVER_ACCEPTED, NULL, 3900},
		{"    latency: {idle: 100ms, refused: 30s}\n", 20, RECEIVER_ACCEPTED, NULL, 100},
		{"    latency: {idle: 100ms, refused: 30s}\n", 0, RECEIVER_RATE, "450 x", 30000},
		{"    latency: 100ms\n", 0, RECEIVER_NOISE, "drop", 100},
		{"    latency: 100ms\n", 0, RECEIVER_NOISE, "timeout", 300000},
		{"    latency: {refused: 3s}\n    timeout: 20s\n", 0, RECEIVER_RATE, "timeout",
		 20000},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint64_t ms;

		open_receiver("rate: 60/min, burst: 10", cases[i].lines);
		accepted(0, cases[i].taken);
		ms = receiver_latency(&receiver, 0, cases[i].cause, cases[i].text) / 1000000;
		cr_expect_eq(ms, cases[i].expected_ms, "case %zu: %llu", i, (unsigned long long)ms);
		close_receiver();
	}
}

/* Of ten messages tried three times each, how many are met by noise at every attempt, at some, at
 * none. */
static void meet(uint32_t customer, int met[3])
{
	const char *text = NULL;

	for (uint64_t id = 0; id < 10; id++) {
		int count = 0;

		for (uint64_t n = 0; n < 3; n++) {
			struct receiver_message message = {
				.place = 1,
				.draw = simulate_luck(1, id, n),
				.content = simulate_luck(2, id, 0),
				.customer = customer,
			};

			count += receiver_take(&receiver, 0, &message, 0, &text) == RECEIVER_NOISE;
		}
		met[count == 0 ? 2 : count == 3 ? 0 : 1]++;
	}
}

Test(simulate_receiver, ties_noise_to_a_customers_messages)
{
	static const struct {
		const char *noise;
		int other, some; /* messages of the other one met at all; his met now and then */
	} cases[] = {
		{"{share: 0.5, customer: loud}", 0, 1},
		{"{share: 0.5, customer: loud, each: message}", 0, 0},
		{"{share: 0.5, each: message}", 1, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int other[3] = {0}, his[3] = {0};
		char lines[256];

		snprintf(lines, sizeof lines,
			 "    noise: %s\ntraffic: [{messages: 1, customer: quiet}, {messages: 1, "
			 "customer: loud}]\n",
			 cases[i].noise);
		open_receiver("rate: 6000/min, burst: 1000", lines);
		meet(0, other);
		meet(1, his);
		cr_expect_eq(other[0] + other[1] > 0, cases[i].other, "case %zu", i);
		cr_expect_eq(his[1] > 0, cases[i].some, "case %zu", i);
		cr_expect(his[0] + his[1] > 0 && his[2] + his[1] > 0, "case %zu", i);
		close_receiver();
	}
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
		{"rate: 60/min", "    blocks: [{at: 9m, for: 30m}]\n", 0, 39 * MINUTE},
		/* A load of 12 of 10 is one of 10 after 10 s * ln 1.2. */
		{"rate: 60/min, burst: 10", "    soft: {from: 1, full: 100}\n", 12,
		 9 * MINUTE + 1823215567},
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
