/* SPDX-License-Identifier: MIT
 *
 * Every transition of a flow's life, against receivers small enough to be reckoned by hand.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "sidecar/base/random.h"
#include "sidecar/control/control.h"

#define SECOND UINT64_C(1000000000)
#define HOUR   (3600 * SECOND)
#define START  (1000 * HOUR)
#define DELAY  (SECOND / 2) /* from admission to reply */

/* A receiver: a bucket, an hour's cap, spurious rate-limit replies. */
struct simulated_receiver {
	double rate, burst, tokens;
	uint64_t at_ns;
	uint32_t hour_cap, accepted, connections, per_connection;
	uint64_t hour, phase_ns;
	bool slides; /* the cap holds in any hour, to the minute */
	uint32_t minutes[60];
	uint64_t minute;
	uint32_t chance_every, attempts;
	enum reply_limit text;
};

struct simulated_flow {
	struct control_state state;
	struct control_bounds bounds;
	struct control_limits limits;
	struct simulated_receiver *receiver;
	uint64_t now_ns, next_ns;
	uint64_t every_ns;  /* at the least between two messages: there are no more */
	uint64_t change_ns; /* when the limits change by themselves */
	uint32_t delivered, refused, hour_sent;
	uint64_t hour;
};

static const struct control_bounds plain = {.rate_start = 1, .burst = {5, 5, 5}};

static struct simulated_flow flow_new(struct simulated_receiver *receiver)
{
	struct simulated_flow flow = {
		.bounds = plain, .receiver = receiver, .now_ns = START, .next_ns = START};

	receiver->tokens = receiver->burst;
	receiver->at_ns = START;
	receiver->minute = START / (60 * SECOND);
	receiver->hour = (START - receiver->phase_ns) / HOUR;
	control_init(&flow.state, &flow.bounds, START);
	control_limits(&flow.state, &flow.bounds, START, &flow.limits);
	return flow;
}

/* The hour that ends now. */
static void receiver_slide(struct simulated_receiver *r, uint64_t now_ns)
{
	for (; r->minute < now_ns / (60 * SECOND); r->minute++) {
		r->accepted -= r->minutes[(r->minute + 1) % 60];
		r->minutes[(r->minute + 1) % 60] = 0;
	}
}

/* True: accepted. Else text says which limit refused. */
static bool receiver_takes(struct simulated_receiver *r, uint64_t now_ns)
{
	uint64_t hour = (now_ns - r->phase_ns) / HOUR;

	r->tokens += r->rate * (double)(now_ns - r->at_ns) / 1e9;
	r->tokens = r->tokens < r->burst ? r->tokens : r->burst;
	r->at_ns = now_ns;
	if (r->slides)
		receiver_slide(r, now_ns);
	else if (hour != r->hour)
		r->accepted = 0;
	r->hour = hour;
	r->attempts++;
	r->text =
		r->hour_cap && r->accepted >= r->hour_cap ? REPLY_LIMIT_HOUR : REPLY_LIMIT_MESSAGES;
	if (r->tokens < 1 || r->text == REPLY_LIMIT_HOUR)
		return false;
	r->tokens -= 1;
	r->accepted++;
	r->minutes[r->minute % 60]++;
	return !(r->chance_every && r->attempts % r->chance_every == 0);
}

static void flow_see(struct simulated_flow *flow, const struct control_observation *seen)
{
	struct control_change change;

	control_observe(&flow->state, &flow->bounds, seen, flow->now_ns, &change);
	flow->limits = change.after;
	flow->change_ns = change.next_ns;
}

/* The hour's cap, as the segment's counters keep it. */
static uint64_t flow_within_hour(struct simulated_flow *flow, uint64_t at)
{
	uint64_t phase = flow->limits.hour_phase_s * SECOND;
	uint64_t hour = (at - phase) / HOUR;

	while (hour == flow->hour && flow->limits.hour_cap &&
	       flow->hour_sent + flow->limits.hour_reserve >= flow->limits.hour_cap) {
		at = flow->change_ns > at ? flow->change_ns : at + SECOND;
		flow->change_ns = control_limits(&flow->state, &flow->bounds, at, &flow->limits);
		hour = (at - phase) / HOUR;
	}
	if (hour != flow->hour)
		flow->hour_sent = 0;
	flow->hour = hour;
	flow->hour_sent++;
	return at;
}

static void expect_words(const struct simulated_flow *flow, const char *words)
{
	char text[1024];

	control_describe(&flow->state, &flow->bounds, flow->now_ns, text, sizeof text);
	cr_expect(strstr(text, words), "\"%s\" does not say \"%s\"", text, words);
}

/* Bulk mail without end, one message at a time, until a time. */
static void flow_run(struct simulated_flow *flow, uint64_t until_ns)
{
	while (flow->now_ns < until_ns) {
		struct control_observation seen = {.traffic = TG_BULK, .stage = TG_STAGE_MESSAGE};
		uint64_t hold_ns = flow->limits.hold_until_ns[TG_BULK];
		uint64_t at = hold_ns > flow->next_ns ? hold_ns : flow->next_ns;

		at = flow_within_hour(flow, at > flow->now_ns ? at : flow->now_ns);
		seen.admitted_ns = at;
		seen.class = receiver_takes(flow->receiver, at) ? REPLY_DELIVERED : REPLY_RATE;
		seen.limit = seen.class == REPLY_RATE ? flow->receiver->text : REPLY_LIMIT_NONE;
		flow->delivered += seen.class == REPLY_DELIVERED;
		flow->refused += seen.class != REPLY_DELIVERED;
		flow->now_ns = at + DELAY;
		flow_see(flow, &seen);
		flow->next_ns = at + flow->limits.interval_ns;
		if (flow->limits.phase == CONTROL_HELD || hold_ns)
			flow->next_ns = flow->now_ns + (hold_ns ? flow->limits.interval_ns : 0);
		if (flow->next_ns < at + flow->every_ns)
			flow->next_ns = at + flow->every_ns;
	}
}

static void flow_reply(struct simulated_flow *flow, enum reply_class class, enum reply_limit limit,
		       uint32_t place, uint32_t open)
{
	struct control_observation seen = {.class = class,
					   .limit = limit,
					   .traffic = TG_BULK,
					   .place = place,
					   .stage = TG_STAGE_MESSAGE,
					   .open_connections = open};
	uint64_t hold_ns = flow->limits.hold_until_ns[TG_BULK];

	flow->now_ns = hold_ns > flow->now_ns ? hold_ns : flow->now_ns + SECOND;
	seen.admitted_ns = flow->now_ns;
	flow->now_ns += DELAY;
	flow_see(flow, &seen);
}

static double per_minute(const struct simulated_flow *flow)
{
	return flow->limits.interval_ns ? 60e9 / (double)flow->limits.interval_ns : 1e9;
}

Test(control_life, finds_the_rate_of_a_bucket_whatever_its_burst)
{
	static const double rates[] = {10, 30, 60, 100};
	static const double bursts[] = {5, 30, 100};

	for (unsigned r = 0; r < 4; r++) {
		for (unsigned b = 0; b < 3; b++) {
			struct simulated_receiver receiver = {.rate = rates[r] / 60,
							      .burst = bursts[b]};
			struct simulated_flow flow = flow_new(&receiver);
			uint32_t before;
			double share;

			flow_run(&flow, START + HOUR);
			before = flow.delivered;
			flow_run(&flow, START + 3 * HOUR);
			share = (flow.delivered - before) / (120 * rates[r]);
			cr_expect(share > 0.9 && share < 1.02, "%g/min, burst %g: share %.3f",
				  rates[r], bursts[b], share);
			cr_expect_lt(flow.refused, flow.delivered / 80,
				     "%g/min, burst %g: %u refused", rates[r], bursts[b],
				     flow.refused);
		}
	}
}

Test(control_life, follows_a_limit_that_falls_at_once_and_one_that_rises_within_the_hour)
{
	struct simulated_receiver receiver = {.rate = 1, .burst = 30};
	struct simulated_flow flow = flow_new(&receiver);

	flow_run(&flow, START + HOUR);
	receiver.rate = 20 / 60.0;
	flow_run(&flow, START + HOUR + HOUR / 6);
	cr_expect_lt(per_minute(&flow), 24, "%.1f", per_minute(&flow));
	receiver.rate = 90 / 60.0;
	flow_run(&flow, START + 2 * HOUR + HOUR / 2);
	cr_expect_gt(per_minute(&flow), 60, "%.1f", per_minute(&flow));
}

Test(control_life, comes_back_soon_after_a_fall_of_any_length)
{
	static const struct {
		double rate;
		uint64_t seconds, back;
	} falls[] = {{1 / 60.0, 600, HOUR / 2},
		     {0.5 / 60, 3600, HOUR / 2},
		     {1 / 60.0, 86400, HOUR / 2},
		     /* Six an hour go at the least, and two are taken: so seldom is there anything
		      * to learn from that it takes an hour. */
		     {2 / 3600.0, 6 * 3600, HOUR}};

	for (unsigned i = 0; i < sizeof falls / sizeof *falls; i++) {
		struct simulated_receiver receiver = {.rate = 0.5, .burst = 20};
		struct simulated_flow flow = flow_new(&receiver);
		uint64_t end_ns = START + 3 * HOUR + falls[i].seconds * SECOND;
		uint32_t refused;

		flow_run(&flow, START + 3 * HOUR);
		receiver.rate = falls[i].rate;
		flow_run(&flow, end_ns);
		receiver.rate = 0.5;
		refused = flow.refused;
		flow_run(&flow, end_ns + falls[i].back);
		cr_expect_gt(per_minute(&flow), 0.9 * 30, "fall %u: at %g/min", i,
			     per_minute(&flow));
		cr_expect_leq(flow.refused - refused, 3, "fall %u: %u refused", i,
			      flow.refused - refused);
	}
}

/* No limit was ever met before: that so many were taken is known all the same. */
Test(control_life, comes_back_to_what_was_taken_before_anything_was_refused)
{
	struct simulated_receiver receiver = {.rate = 1, .burst = 30};
	struct simulated_flow flow = flow_new(&receiver);
	uint64_t fallen_ns = START + 4 * HOUR, end_ns = fallen_ns + 12 * HOUR;

	flow.every_ns = 6 * SECOND;
	flow_run(&flow, fallen_ns);
	cr_expect_eq(flow.refused, 0);
	receiver.rate = 2 / 3600.0;
	receiver.burst = 1;
	flow_run(&flow, end_ns);
	receiver.rate = 1;
	receiver.burst = 30;
	flow_run(&flow, end_ns + HOUR);
	cr_expect_gt(per_minute(&flow), 9, "%g/min", per_minute(&flow));
}

Test(control_life, learns_the_hour_of_a_receiver_on_the_clock_and_off_it)
{
	static const uint64_t phases[] = {0, 23 * 60 * SECOND, 41 * 60 * SECOND};

	for (unsigned i = 0; i < 3; i++) {
		struct simulated_receiver receiver = {
			.rate = 1, .burst = 30, .hour_cap = 1500, .phase_ns = phases[i]};
		struct simulated_flow flow = flow_new(&receiver);
		uint32_t before, refused;

		flow_run(&flow, START + 6 * HOUR);
		before = flow.delivered;
		refused = flow.refused;
		flow_run(&flow, START + 12 * HOUR);
		cr_expect_gt(flow.delivered - before, 6 * 1350, "phase %u: %u delivered", i,
			     flow.delivered - before);
		cr_expect_lt(flow.refused - refused, 6 * 12, "phase %u: %u refused", i,
			     flow.refused - refused);
	}
}

Test(control_life, fills_an_hour_that_slides_evenly)
{
	struct simulated_receiver receiver = {
		.rate = 1, .burst = 30, .hour_cap = 100, .slides = true};
	struct simulated_flow flow = flow_new(&receiver);
	uint32_t before, refused;

	flow_run(&flow, START + 6 * HOUR);
	before = flow.delivered;
	refused = flow.refused;
	flow_run(&flow, START + 24 * HOUR);
	cr_expect_gt(flow.delivered - before, 18 * 90, "%u delivered", flow.delivered - before);
	cr_expect_lt(flow.refused - refused, 18 * 2, "%u refused", flow.refused - refused);
	expect_words(&flow, "filled evenly");
}

Test(control_life, takes_one_block_of_two_hours_for_no_cap_of_the_day)
{
	/* Some of them are found to be over just past a full hour. */
	for (unsigned minute = 120; minute < 180; minute += 2) {
		struct simulated_receiver receiver = {.rate = 0.5, .burst = 20};
		struct simulated_flow flow = flow_new(&receiver);
		uint32_t before;

		flow_run(&flow, START + minute * (HOUR / 60));
		receiver.rate = 1e-9;
		receiver.tokens = 0;
		flow_run(&flow, START + (minute + 120) * (HOUR / 60));
		receiver.rate = 0.5;
		flow_run(&flow, START + 6 * HOUR);
		cr_expect_eq(flow.limits.day_cap, 0, "at %u min: %u a day", minute,
			     flow.limits.day_cap);
		before = flow.delivered;
		flow_run(&flow, START + 10 * HOUR);
		cr_expect_gt(flow.delivered - before, 4 * 1800 * 0.8, "at %u min: %u", minute,
			     flow.delivered - before);
	}
}

/* Refuses in the words of a window until a time. */
static unsigned refused_until(struct simulated_flow *flow, enum reply_limit limit, uint64_t end_ns)
{
	unsigned refused = 0;

	do {
		flow_reply(flow, REPLY_RATE, limit, 0, 0);
		refused++;
	} while (flow->limits.hold_until_ns[TG_BULK] < end_ns);
	return refused;
}

/* Hours before its end, the words say that the day is full. */
Test(control_life, shuts_a_day_that_the_words_name)
{
	struct simulated_receiver receiver = {.rate = 1, .burst = 30};
	struct simulated_flow flow = flow_new(&receiver);
	uint64_t end_ns;
	unsigned refused, taken;
	double before;

	flow_run(&flow, START + HOUR / 10);
	end_ns = (flow.now_ns / (24 * HOUR) + 1) * 24 * HOUR;
	before = per_minute(&flow);
	taken = flow.delivered;
	refused = refused_until(&flow, REPLY_LIMIT_DAY, end_ns);
	expect_words(&flow, "the day is full");
	cr_expect_leq(refused, 3 + (end_ns - START) / (2 * HOUR), "%u", refused);
	cr_expect_leq(flow.limits.hold_until_ns[TG_BULK], end_ns + 20 * SECOND);
	flow_reply(&flow, REPLY_DELIVERED, REPLY_LIMIT_NONE, 0, 0);
	cr_expect_gt(per_minute(&flow), 0.8 * before, "it is no rate that was full");
	while (taken-- > 0)
		flow_reply(&flow, REPLY_DELIVERED, REPLY_LIMIT_NONE, 0, 0);
	/* By now it is known when the day ends. */
	cr_expect_eq(refused_until(&flow, REPLY_LIMIT_DAY, end_ns + 24 * HOUR), 1);
	cr_expect_leq(flow.limits.hold_until_ns[TG_BULK], end_ns + 24 * HOUR + 60 * SECOND);
}

/* Words that name an hour or a day while it takes more are not believed a second time. */
Test(control_life, does_not_wait_for_a_window_that_is_not_full)
{
	static const enum reply_limit named[] = {REPLY_LIMIT_HOUR, REPLY_LIMIT_DAY};

	for (unsigned i = 0; i < 2; i++) {
		struct simulated_receiver receiver = {.rate = 1, .burst = 30};
		struct simulated_flow flow = flow_new(&receiver);

		flow_run(&flow, START + HOUR / 4);
		for (int round = 0; round < 2; round++) {
			uint64_t wait_ns;

			while (flow.limits.phase == CONTROL_HELD ||
			       flow.limits.phase == CONTROL_PROBING)
				flow_reply(&flow, REPLY_DELIVERED, REPLY_LIMIT_NONE, 0, 0);
			flow_reply(&flow, REPLY_RATE, named[i], 0, 0);
			wait_ns = flow.limits.hold_until_ns[TG_TRANSACTIONAL] - flow.now_ns;
			cr_expect_leq(wait_ns, (round ? 10 : 60) * SECOND, "%u, round %d: %lu s", i,
				      round, wait_ns / SECOND);
			flow_reply(&flow, REPLY_DELIVERED, REPLY_LIMIT_NONE, 0, 0);
		}
	}
}

Test(control_life, keeps_a_part_of_a_learned_cap_for_transactional_mail_less_as_the_hour_goes_by)
{
	struct simulated_receiver receiver = {.rate = 1, .burst = 30, .hour_cap = 1500};
	struct simulated_flow flow = flow_new(&receiver);
	struct control_limits late;
	uint64_t next_ns, begin_ns;

	flow_run(&flow, START + 4 * HOUR);
	begin_ns = flow.now_ns / HOUR * HOUR + SECOND;
	next_ns = control_limits(&flow.state, &flow.bounds, begin_ns, &flow.limits);
	cr_expect_eq(flow.limits.hour_cap, 1500);
	cr_expect_geq(flow.limits.hour_reserve, 1500 / 20, "%u of bulk mail alone, by chance more",
		      flow.limits.hour_reserve);
	cr_expect_leq(flow.limits.hour_reserve, 1500 / 12, "%u", flow.limits.hour_reserve);
	cr_expect_lt(next_ns, begin_ns + HOUR / 16 + SECOND, "it changes by itself");
	control_limits(&flow.state, &flow.bounds, begin_ns + HOUR / 2, &late);
	cr_expect_lt(late.hour_reserve, flow.limits.hour_reserve);
	control_limits(&flow.state, &flow.bounds, begin_ns + HOUR - 120 * SECOND, &late);
	cr_expect_gt(late.hour_reserve, 0, "two minutes are long to wait");
	cr_expect_lt(late.hour_reserve, 75 * flow.state.flow.rate, "the others can take it yet");
	control_limits(&flow.state, &flow.bounds, begin_ns + HOUR - 40 * SECOND, &late);
	cr_expect_eq(late.hour_reserve, 0, "nothing is lost of the cap");
}

/* Each moment at which it says that it changes, until the hour is over: there, and not before. */
Test(control_life, reserve_changes_in_few_steps_and_when_it_says_so)
{
	struct simulated_receiver receiver = {.rate = 1, .burst = 30, .hour_cap = 1500};
	struct simulated_flow flow = flow_new(&receiver);
	uint64_t at, end, steps = 0;

	flow_run(&flow, START + 4 * HOUR);
	at = flow.now_ns / HOUR * HOUR + SECOND;
	end = at + HOUR - SECOND;
	while (at < end) {
		struct control_limits here, before;
		uint64_t next = control_limits(&flow.state, &flow.bounds, at, &here);

		cr_assert_gt(next, at);
		control_limits(&flow.state, &flow.bounds, next - SECOND / 50, &before);
		if (next - SECOND / 50 > at)
			cr_expect_eq(before.hour_reserve, here.hour_reserve);
		at = next;
		steps++;
	}
	cr_expect_lt(steps, 100, "%lu", steps);
	cr_expect_leq(at, end + SECOND, "and at the hour's end at the latest");
}

Test(control_life, finds_that_the_hours_cap_has_grown)
{
	struct simulated_receiver receiver = {.rate = 1, .burst = 30, .hour_cap = 900};
	struct simulated_flow flow = flow_new(&receiver);
	uint32_t before;

	flow_run(&flow, START + 6 * HOUR);
	receiver.hour_cap = 1800;
	flow_run(&flow, START + 18 * HOUR);
	before = flow.delivered;
	flow_run(&flow, START + 24 * HOUR);
	cr_expect_gt(flow.delivered - before, 6 * 1500, "%u delivered", flow.delivered - before);
}

Test(control_life, tells_texts_by_chance_from_a_limit)
{
	static const struct {
		double rate;
		uint32_t chance_every;
		double share;
	} rows[] = {
		{1, 101, 0.9}, {1, 51, 0.9}, {1, 21, 0.85}, {1 / 6.0, 51, 0.85}, {1.5, 51, 0.9}};

	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct simulated_receiver receiver = {
			.rate = rows[i].rate, .burst = 30, .chance_every = rows[i].chance_every};
		struct simulated_flow flow = flow_new(&receiver);
		uint32_t before;

		flow_run(&flow, START + 2 * HOUR);
		expect_words(&flow, "spurious rate-limit replies");
		before = flow.delivered;
		flow_run(&flow, START + 4 * HOUR);
		cr_expect_gt(flow.delivered - before, 7200 * rows[i].rate * rows[i].share,
			     "row %u: %u", i, flow.delivered - before);
	}
}

/* A limit that falls by and by refuses where nothing should be refused, too. */
Test(control_life, takes_no_limit_for_chance)
{
	struct simulated_receiver receiver = {.rate = 1, .burst = 5};
	struct simulated_flow flow = flow_new(&receiver);

	for (unsigned i = 1; i <= 240; i++) {
		char text[1024];

		flow_run(&flow, START + i * (HOUR / 60));
		receiver.rate = 1 - 0.8 * (i % 120) / 120.0;
		control_describe(&flow.state, &flow.bounds, flow.now_ns, text, sizeof text);
		cr_assert(!strstr(text, "spurious rate-limit"), "minute %u: %s", i, text);
	}
	cr_expect_lt(flow.refused, flow.delivered / 20, "%u of %u", flow.refused, flow.delivered);
}

#define LONGEST (20 * 60 * SECOND) /* in the first hour */

Test(control_life, doubles_the_wait_with_each_probe_that_fails_and_ends_by_one_that_succeeds)
{
	struct simulated_receiver none = {.rate = 1, .burst = 1};
	struct simulated_flow flow = flow_new(&none);
	struct control_change change;
	uint64_t began, wait, last;

	flow_reply(&flow, REPLY_REPUTATION, REPLY_LIMIT_NONE, 0, 0);
	cr_assert_eq(flow.limits.phase, CONTROL_HELD);
	began = flow.now_ns;
	last = flow.limits.hold_until_ns[TG_TRANSACTIONAL] - flow.now_ns;
	for (int i = 0; i < 5; i++) {
		flow_reply(&flow, REPLY_REPUTATION, REPLY_LIMIT_NONE, 0, 0);
		cr_expect_eq(flow.limits.phase, CONTROL_HELD);
		wait = flow.limits.hold_until_ns[TG_TRANSACTIONAL] - flow.now_ns;
		cr_expect_geq(wait, 2 * last < LONGEST ? 2 * last : LONGEST, "probe %d: %lu, %lu",
			      i, last, wait);
		cr_expect_leq(wait, 3 * last, "probe %d: %lu, %lu", i, last, wait);
		last = wait;
	}
	cr_expect_lt(flow.now_ns - began, HOUR);
	cr_expect_leq(flow.limits.hold_until_ns[TG_TRANSACTIONAL],
		      flow.limits.hold_until_ns[TG_BULK], "transactional mail probes first");
	control_tick(&flow.state, &flow.bounds, 0, flow.limits.hold_until_ns[TG_BULK], &change);
	cr_expect_eq(change.after.phase, CONTROL_PROBING, "time alone does not end it");
	flow_reply(&flow, REPLY_DELIVERED, REPLY_LIMIT_NONE, 0, 0);
	cr_expect_eq(flow.limits.phase, CONTROL_RECOVERING);
}

/* A flow that has met trouble, with the message that met it in *ret_seen. */
static struct simulated_flow flow_in_trouble(struct simulated_receiver *receiver,
					     struct control_observation *ret_seen)
{
	struct simulated_flow flow = flow_new(receiver);

	*ret_seen = (struct control_observation){
		.class = REPLY_RATE, .limit = REPLY_LIMIT_MESSAGES, .stage = TG_STAGE_MESSAGE};
	for (int i = 0; i < 40; i++)
		flow_reply(&flow, REPLY_DELIVERED, REPLY_LIMIT_NONE, 0, 0);
	ret_seen->admitted_ns = flow.now_ns;
	flow.now_ns += SECOND;
	flow_see(&flow, ret_seen);
	return flow;
}

Test(control_life, cuts_once_for_the_replies_of_one_flight)
{
	struct simulated_receiver none = {.rate = 1, .burst = 1};
	struct control_observation seen;
	struct simulated_flow flow = flow_in_trouble(&none, &seen);
	struct simulated_flow alone = flow;
	uint64_t until = flow.limits.hold_until_ns[TG_BULK];

	for (int i = 0; i < 4; i++) {
		seen.admitted_ns += SECOND / 20;
		flow_see(&flow, &seen);
	}
	cr_expect_eq(flow.limits.hold_until_ns[TG_BULK], until);
	flow_reply(&alone, REPLY_DELIVERED, REPLY_LIMIT_NONE, 0, 0);
	flow_reply(&flow, REPLY_DELIVERED, REPLY_LIMIT_NONE, 0, 0);
	cr_expect_gt(per_minute(&flow), 0.6 * per_minute(&alone), "%.1f of %.1f", per_minute(&flow),
		     per_minute(&alone));
}

/* Replies to what went before the hold tell nothing new, however late they come: a receiver that
 * tarpits answers a whole flight within half a minute. */
Test(control_life, is_not_held_longer_for_late_replies_to_what_went_before)
{
	struct simulated_receiver none = {.rate = 1, .burst = 1};
	struct control_observation seen;
	struct simulated_flow flow = flow_in_trouble(&none, &seen);
	uint64_t until = flow.limits.hold_until_ns[TG_BULK];

	for (int i = 0; i < 30; i++) {
		seen.admitted_ns += SECOND / 100;
		flow_see(&flow, &seen);
		cr_expect_eq(flow.limits.hold_until_ns[TG_BULK], until, "reply %d", i);
	}
}

/* Once chance is known, one deferral changes nothing, and a limit that falls is found all the same.
 */
Test(control_life, passes_over_chance_and_still_finds_a_limit_that_falls)
{
	struct simulated_receiver receiver = {.rate = 2, .burst = 60, .chance_every = 67};
	struct simulated_flow flow = flow_new(&receiver);
	uint32_t refused;

	flow_run(&flow, START + 2 * HOUR);
	receiver.rate = 0.5;
	flow_run(&flow, START + 2 * HOUR + HOUR / 6);
	refused = flow.refused;
	flow_run(&flow, START + 3 * HOUR);
	cr_expect_lt(per_minute(&flow), 60, "%.1f", per_minute(&flow));
	cr_expect_lt(flow.refused - refused, 3000 * 0.04, "%u", flow.refused - refused);
}

Test(control_life, changes_the_limit_that_was_hit_and_no_other)
{
	static const struct {
		enum reply_limit limit;
		uint32_t place, open, connections, per_connection;
	} rows[] = {
		{REPLY_LIMIT_CONNECTIONS, 1, 3, 3, 20},
		{REPLY_LIMIT_PER_CONNECTION, 6, 0, 4, 5},
	};

	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct simulated_receiver none = {.rate = 1, .burst = 1};
		struct simulated_flow flow = flow_new(&none);
		double before = per_minute(&flow);

		flow_reply(&flow, REPLY_RATE, rows[i].limit, rows[i].place, rows[i].open);
		cr_expect_eq(flow.limits.connections, rows[i].connections, "row %u: %u", i,
			     flow.limits.connections);
		cr_expect_eq(flow.limits.per_connection, rows[i].per_connection, "row %u: %u", i,
			     flow.limits.per_connection);
		cr_expect_float_eq(per_minute(&flow), before, 1e-3);
		cr_expect_eq(flow.limits.phase, CONTROL_OPEN);
	}
}

/* What one connection at a time, or one message in each, does not cure is the rate's. */
Test(control_life, passes_to_the_rate_what_connections_cannot_cure)
{
	static const struct {
		enum reply_limit limit;
		uint32_t place;
	} rows[] = {{REPLY_LIMIT_CONNECTIONS, 2}, {REPLY_LIMIT_PER_CONNECTION, 1}};

	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct simulated_receiver none = {.rate = 1, .burst = 1};
		struct simulated_flow flow = flow_new(&none);
		double before = per_minute(&flow);
		int replies = 0;

		while (flow.limits.phase == CONTROL_OPEN && replies++ < 8)
			flow_reply(&flow, REPLY_RATE, rows[i].limit, rows[i].place, 0);
		cr_assert_eq(flow.limits.phase, CONTROL_HELD, "row %u", i);
		cr_expect_leq(replies, 4, "row %u: %d", i, replies);
		flow_reply(&flow, REPLY_DELIVERED, REPLY_LIMIT_NONE, 1, 0);
		cr_expect_lt(per_minute(&flow), 0.9 * before, "row %u", i);
	}
}

/* Each refusal for good is a message less: there is no second one to wait for. */
Test(control_life, cuts_at_the_first_refusal_where_each_costs_a_message)
{
	for (int lost = 0; lost < 2; lost++) {
		struct simulated_receiver receiver = {.rate = 1, .burst = 10};
		struct simulated_flow flow = flow_new(&receiver);
		struct control_observation seen = {.class = REPLY_RATE,
						   .limit = REPLY_LIMIT_MESSAGES,
						   .stage = TG_STAGE_MESSAGE,
						   .permanent = lost};
		double before;

		flow_run(&flow, START + HOUR);
		while (flow.limits.phase == CONTROL_HELD)
			flow_reply(&flow, REPLY_DELIVERED, REPLY_LIMIT_NONE, 0, 0);
		for (int i = 0; i < 20; i++)
			flow_reply(&flow, REPLY_DELIVERED, REPLY_LIMIT_NONE, 0, 0);
		before = per_minute(&flow);
		seen.admitted_ns = flow.now_ns;
		flow.now_ns += DELAY;
		flow_see(&flow, &seen);
		flow_reply(&flow, REPLY_DELIVERED, REPLY_LIMIT_NONE, 0, 0);
		cr_expect_eq(per_minute(&flow) < 0.99 * before, lost, "%.2f of %.2f",
			     per_minute(&flow), before);
	}
}

Test(control_life, sits_out_an_outage_and_goes_on_at_the_same_rate)
{
	struct simulated_receiver none = {.rate = 1, .burst = 1};
	struct simulated_flow flow = flow_new(&none);
	double before;

	flow_reply(&flow, REPLY_DELIVERED, REPLY_LIMIT_NONE, 0, 0);
	before = per_minute(&flow);
	for (int i = 0; i < 4; i++) {
		flow_reply(&flow, REPLY_INFRASTRUCTURE, REPLY_LIMIT_NONE, 0, 0);
		cr_expect_eq(flow.limits.phase, CONTROL_OPEN, "reply %d", i);
	}
	flow_reply(&flow, REPLY_INFRASTRUCTURE, REPLY_LIMIT_NONE, 0, 0);
	cr_expect_eq(flow.limits.phase, CONTROL_HELD);
	flow_reply(&flow, REPLY_INFRASTRUCTURE, REPLY_LIMIT_NONE, 0, 0);
	cr_expect_eq(flow.limits.phase, CONTROL_HELD);
	flow_reply(&flow, REPLY_DELIVERED, REPLY_LIMIT_NONE, 0, 0);
	cr_expect_eq(flow.limits.phase, CONTROL_OPEN);
	cr_expect_geq(per_minute(&flow), before);
}

/* Bytes that pass control_valid may be anything: they must do no harm, and lead back to mail. */
Test(control_life, lives_with_any_bytes_that_can_be_a_state)
{
	uint64_t seed = 7;
	unsigned tried = 0;

	for (int run = 0; run < 20000; run++) {
		struct simulated_receiver receiver = {.rate = 1, .burst = 10};
		struct simulated_flow flow = flow_new(&receiver);
		uint8_t *bytes = (uint8_t *)&flow.state;

		for (int i = 0; i < 1 + run % 12; i++) {
			size_t at = random_below(&seed, sizeof flow.state);

			bytes[at] = (uint8_t)random_next(&seed);
		}
		if (!control_valid(&flow.state))
			continue;
		tried++;
		control_limits(&flow.state, &flow.bounds, flow.now_ns, &flow.limits);
		for (int i = 0; i < 20; i++) {
			cr_assert_leq(flow.limits.burst[TG_BULK], 5);
			flow_reply(&flow, i % 7 == 3 ? REPLY_RATE : REPLY_DELIVERED,
				   REPLY_LIMIT_NONE, 1, 0);
		}
		cr_assert(control_valid(&flow.state), "run %d", run);
	}
	cr_expect_gt(tried, 1000);
}
