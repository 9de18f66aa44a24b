/* SPDX-License-Identifier: MIT
 *
 * The rate of connections: what finds it, what is no sign of it, and what passes to the rate.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "sidecar/control/control.h"

#define SECOND UINT64_C(1000000000)
#define START  (1000 * SECOND)

static const struct control_bounds bounds = {.rate_min = 1 / 60.0,
					     .rate_start = 1,
					     .burst = {20, 10, 5},
					     .connections = 10,
					     .per_connection = 20};

/* A flow whose messages need a connection each, and a receiver that takes so many a second. */
struct door {
	struct control_state state;
	struct control_limits limits;
	double rate, burst, tokens;
	uint64_t now_ns;
	unsigned opened, refused;
	bool permanent;
};

static struct door door_new(double rate, double burst)
{
	struct door door = {.rate = rate, .burst = burst, .tokens = burst, .now_ns = START};

	control_init(&door.state, &bounds, door.now_ns);
	control_limits(&door.state, &bounds, door.now_ns, &door.limits);
	return door;
}

static void door_reply(struct door *door, enum reply_class class, enum reply_limit limit,
		       enum tg_stage stage, uint32_t place)
{
	const struct control_observation seen = {.class = class,
						 .limit = limit,
						 .traffic = TG_BULK,
						 .stage = stage,
						 .place = place,
						 .admitted_ns = door->now_ns - SECOND / 10,
						 .permanent = door->permanent};
	struct control_change change;

	control_observe(&door->state, &bounds, &seen, door->now_ns, &change);
	door->limits = change.after;
}

/* Opens a connection, each as soon as it may, but no more than one in half a second. */
static void door_run(struct door *door, unsigned seconds)
{
	uint64_t end_ns = door->now_ns + seconds * SECOND;

	while (door->now_ns < end_ns) {
		uint64_t wait_ns = door->limits.connection_interval_ns > SECOND / 2
					   ? door->limits.connection_interval_ns
					   : SECOND / 2;

		door->now_ns += wait_ns;
		door->tokens = fmin(door->burst, door->tokens + door->rate * (double)wait_ns / 1e9);
		if (door->tokens >= 1) {
			door->tokens -= 1;
			door->opened++;
			door_reply(door, REPLY_DELIVERED, REPLY_LIMIT_NONE, TG_STAGE_MESSAGE, 1);
		} else {
			door->refused++;
			door_reply(door, REPLY_RATE, REPLY_LIMIT_CONNECTION_RATE, TG_STAGE_CONNECT,
				   0);
		}
	}
}

Test(connection_rate, is_unlimited_until_words_name_it)
{
	struct door door = door_new(10, 10);

	door_run(&door, 600);
	cr_expect_eq(door.limits.connection_interval_ns, 0);
}

Test(connection_rate, is_found_and_followed)
{
	static const struct {
		const char *what;
		double rate, burst, then;
		bool permanent;
	} rows[] = {
		{"ten a minute", 10 / 60.0, 10, 10 / 60.0, .permanent = false},
		{"a large allowance", 30 / 60.0, 60, 30 / 60.0, .permanent = false},
		{"it falls", 40 / 60.0, 10, 8 / 60.0, .permanent = false},
		{"it rises", 8 / 60.0, 10, 40 / 60.0, .permanent = false},
		{"the messages are lost", 20 / 60.0, 5, 20 / 60.0, .permanent = true},
	};

	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct door door = door_new(rows[i].rate, rows[i].burst);

		door.permanent = rows[i].permanent;
		door_run(&door, 3 * 3600);
		cr_expect_geq(door.opened, 0.93 * 3 * 3600 * rows[i].rate, "%s: %u", rows[i].what,
			      door.opened);
		cr_expect_leq(door.refused, 0.02 * door.opened + 5, "%s: %u of %u", rows[i].what,
			      door.refused, door.opened);
		door.rate = rows[i].then;
		door_run(&door, 3 * 3600);
		door.opened = door.refused = 0;
		door_run(&door, 3 * 3600);
		cr_expect_geq(door.opened, 0.93 * 3 * 3600 * rows[i].then, "%s, then: %u",
			      rows[i].what, door.opened);
		cr_expect_leq(door.refused, 0.01 * door.opened + 2, "%s, then: %u of %u",
			      rows[i].what, door.refused, door.opened);
	}
}

/* A month that was idle for the most says nothing of what the receiver takes. */
Test(connection_rate, is_not_measured_over_time_that_was_idle)
{
	struct door door = door_new(10, 20);

	door_run(&door, 1800);
	cr_expect_eq(door.limits.connection_interval_ns, 0);
	door.now_ns += 30 * 86400 * SECOND;
	door_reply(&door, REPLY_RATE, REPLY_LIMIT_CONNECTION_RATE, TG_STAGE_CONNECT, 0);
	cr_expect_gt(door.limits.connection_interval_ns, 0);
	cr_expect_leq(door.limits.connection_interval_ns, 4 * SECOND, "%g s",
		      (double)door.limits.connection_interval_ns / 1e9);
}

/* More connections than are counted at once, none of which was refused. */
Test(connection_rate, goes_on_rising_however_many_were_opened)
{
	struct door door = door_new(0.5, 20);
	uint64_t found_ns;

	door_run(&door, 1800);
	found_ns = door.limits.connection_interval_ns;
	cr_assert_gt(found_ns, 0);
	door.rate = 1e6;
	for (int i = 0; i < 70000; i++) {
		door.now_ns += 10 * found_ns;
		door_reply(&door, REPLY_DELIVERED, REPLY_LIMIT_NONE, TG_STAGE_MESSAGE, 1);
	}
	door_run(&door, 7200);
	cr_expect_lt(door.limits.connection_interval_ns, found_ns);
}

Test(connection_rate, slows_the_door_and_not_the_messages)
{
	struct door door = door_new(10 / 60.0, 10);
	double before = control_rate(&door.state);

	door_reply(&door, REPLY_RATE, REPLY_LIMIT_CONNECTION_RATE, TG_STAGE_CONNECT, 0);
	cr_expect_gt(door.limits.connection_interval_ns, 0);
	cr_expect_eq(control_rate(&door.state), before);
	cr_expect_eq(door.limits.phase, CONTROL_OPEN);
}

Test(connection_rate, refusals_of_one_flight_count_once)
{
	struct door door = door_new(10 / 60.0, 10);
	uint64_t interval_ns;

	door_reply(&door, REPLY_RATE, REPLY_LIMIT_CONNECTION_RATE, TG_STAGE_CONNECT, 0);
	interval_ns = door.limits.connection_interval_ns;
	for (int i = 0; i < 5; i++) {
		door.now_ns += SECOND / 50;
		door_reply(&door, REPLY_RATE, REPLY_LIMIT_CONNECTION_RATE, TG_STAGE_CONNECT, 0);
	}
	cr_expect_eq(door.limits.connection_interval_ns, interval_ns);
}

Test(connection_rate, words_that_are_said_of_later_messages_are_about_the_rate)
{
	struct door door = door_new(10 / 60.0, 10);

	door_reply(&door, REPLY_RATE, REPLY_LIMIT_CONNECTION_RATE, TG_STAGE_CONNECT, 0);
	door.now_ns += 60 * SECOND;
	door_reply(&door, REPLY_RATE, REPLY_LIMIT_CONNECTION_RATE, TG_STAGE_MESSAGE, 4);
	cr_expect_eq(door.limits.connection_interval_ns, 0, "not the door's");
	cr_expect_eq(door.limits.phase, CONTROL_HELD);
}

Test(connection_rate, what_no_slower_pace_cures_passes_to_the_rate)
{
	struct door door = door_new(0, 0);
	unsigned tries = 0;

	for (; tries < 20 && door.limits.phase != CONTROL_HELD; tries++) {
		door.now_ns += door.limits.connection_interval_ns * 4 + SECOND;
		door_reply(&door, REPLY_RATE, REPLY_LIMIT_CONNECTION_RATE, TG_STAGE_CONNECT, 0);
	}
	cr_expect_eq(door.limits.phase, CONTROL_HELD);
	cr_expect_leq(tries, 3, "%u refusals", tries);
}

Test(connection_rate, is_said_in_words)
{
	struct door door = door_new(10 / 60.0, 10);
	char text[512];

	door_run(&door, 3600);
	control_describe(&door.state, &bounds, door.now_ns, text, sizeof text);
	cr_expect_not_null(strstr(text, "a new connection each"), "%s", text);
}
