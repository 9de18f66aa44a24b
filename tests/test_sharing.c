/* SPDX-License-Identifier: MIT
 *
 * Limits that several sources share: what makes one suspected, tried, believed and given up.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "sidecar/control/sharing.h"

#define SECOND UINT64_C(1000000000)
#define START  (1000 * SECOND)
#define MANY   4

static const struct control_bounds bounds = {.rate_min = 1 / 60.0,
					     .rate_start = 1,
					     .burst = {20, 10, 5},
					     .connections = 10,
					     .per_connection = 20};
static const struct sharing_trouble on_ground = {.ground = true, .estimate = 0.25, .rate = 0.25};
static const struct sharing_trouble at_first = {.searching = true, .estimate = 0.25, .rate = 1};
static const struct sharing_trouble as_expected = {.estimate = 0.25, .rate = 0.25};

/* Flows at 15/min each, that take turns. */
struct pool {
	struct sharing_member members[MANY];
	struct sharing sharing;
	uint64_t now_ns;
};

static void pool_send(struct pool *pool, unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i++) {
		pool->now_ns += SECOND;
		sharing_accepted(&pool->sharing, i % MANY, &bounds, pool->now_ns);
	}
}

static void pool_begin(struct pool *pool)
{
	*pool = (struct pool){.now_ns = START};
	for (uint32_t i = 0; i < MANY; i++)
		pool->members[i].slot = i;
	pool->sharing =
		(struct sharing){.members = pool->members, .count = MANY, .since_ns = pool->now_ns};
	pool_send(pool, 120);
}

static bool pool_refuse(struct pool *pool, uint32_t member, const struct sharing_trouble *trouble)
{
	return sharing_refused(&pool->sharing, member, trouble, &bounds, pool->now_ns);
}

/* Refusals of two that come together once may be chance. */
static void pool_hint(struct pool *pool)
{
	pool_refuse(pool, MANY - 2, &as_expected);
	pool->now_ns += 2 * SECOND;
	pool_refuse(pool, MANY - 1, &on_ground);
	cr_assert_eq(pool->sharing.state, SHARING_NONE);
	pool_send(pool, 60);
}

static void pool_try(struct pool *pool)
{
	pool_begin(pool);
	pool_hint(pool);
	pool_refuse(pool, 0, &as_expected);
	pool->now_ns += 2 * SECOND;
	pool_refuse(pool, 1, &on_ground);
	cr_assert_eq(pool->sharing.state, SHARING_TRIAL);
}

/* The trier sends at its rate, and so many of each hundred are refused; until the state is another. */
static void pool_alone(struct pool *pool, double rate, unsigned refused, unsigned messages)
{
	enum sharing_state before = pool->sharing.state;
	uint32_t trier = pool->sharing.trier;
	unsigned error = 0;

	for (unsigned i = 0; i < messages && pool->sharing.state == before; i++) {
		pool->now_ns += (uint64_t)(1e9 / rate);
		error += refused;
		if (error >= 100) {
			error -= 100;
			pool_refuse(pool, trier, &as_expected);
		} else {
			sharing_accepted(&pool->sharing, trier, &bounds, pool->now_ns);
		}
	}
}

Test(sharing, is_suspected_by_a_refusal_on_the_ground_soon_after_anothers)
{
	static const struct {
		const char *what;
		uint32_t first;
		double apart_s;
		const struct sharing_trouble *second;
		enum sharing_state state;
		bool once;
		unsigned later_s; /* than the first time */
	} rows[] = {
		{"soon after another's", 1, 2, &on_ground, .state = SHARING_TRIAL},
		{"only once", 1, 2, &on_ground, .state = SHARING_NONE, .once = true},
		{"long after the first time", 1, 2, &on_ground, .state = SHARING_NONE,
		 .later_s = 1000},
		{"long after another's", 1, 60, &on_ground, .state = SHARING_NONE},
		{"after its own", 0, 2, &on_ground, .state = SHARING_NONE},
		{"where it tried more", 1, 2, &as_expected, .state = SHARING_NONE},
	};

	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct pool pool;

		pool_begin(&pool);
		if (!rows[i].once)
			pool_hint(&pool);
		pool_send(&pool, rows[i].later_s);
		cr_expect_not(pool_refuse(&pool, rows[i].first, &as_expected));
		pool.now_ns += (uint64_t)(rows[i].apart_s * 1e9);
		cr_expect_eq(pool_refuse(&pool, 0, rows[i].second), rows[i].state != SHARING_NONE,
			     "%s", rows[i].what);
		cr_expect_eq(pool.sharing.state, rows[i].state, "%s", rows[i].what);
	}
}

Test(sharing, is_not_tried_at_a_trickle)
{
	struct pool pool;

	pool_begin(&pool);
	pool.now_ns += 600 * SECOND;
	pool_refuse(&pool, 0, &as_expected);
	cr_expect_not(pool_refuse(&pool, 1, &on_ground));
}

Test(sharing, is_known_once_one_alone_sends_more_than_a_limit_of_its_own_gives)
{
	struct pool pool;

	pool_try(&pool);
	cr_expect_gt(pool.sharing.rate, 2 * on_ground.estimate, "far above its own");
	cr_expect_leq(pool.sharing.rate, 1.0, "and no more than all have sent");
	pool_alone(&pool, pool.sharing.rate, 0, 12);
	cr_expect_eq(pool.sharing.state, SHARING_TRIAL, "a bucket would give as much");
	pool_alone(&pool, pool.sharing.rate, 0, 60);
	cr_expect_eq(pool.sharing.state, SHARING_KNOWN);
	cr_expect_float_eq(control_estimate(&pool.sharing.control), 1.1, 0.1);
}

Test(sharing, trial_that_is_refused_finds_limits_of_their_own_and_is_not_soon_repeated)
{
	struct pool pool;

	pool_try(&pool);
	pool_alone(&pool, pool.sharing.rate, 60, 60);
	cr_expect_eq(pool.sharing.state, SHARING_NONE);
	pool_send(&pool, 120);
	pool_refuse(&pool, 2, &as_expected);
	cr_expect_not(pool_refuse(&pool, 3, &on_ground), "minutes later");
	pool_send(&pool, 900);
	pool_refuse(&pool, 2, &as_expected);
	cr_expect(pool_refuse(&pool, 3, &on_ground), "a quarter of an hour later");
}

Test(sharing, block_in_a_trial_says_nothing)
{
	struct pool pool;

	pool_try(&pool);
	pool_alone(&pool, pool.sharing.rate, 100, 10);
	cr_expect_eq(pool.sharing.state, SHARING_NONE);
	cr_expect_eq(pool.sharing.refuted, 0);
}

Test(sharing, trial_ends_where_the_trier_has_no_mail)
{
	struct pool pool;

	pool_try(&pool);
	cr_assert_lt(sharing_next(&pool.sharing), pool.now_ns + 120 * SECOND);
	cr_expect_not(sharing_tick(&pool.sharing, sharing_next(&pool.sharing) - 1));
	cr_expect(sharing_tick(&pool.sharing, sharing_next(&pool.sharing)));
	cr_expect_eq(pool.sharing.state, SHARING_NONE);
}

/* Three of four meet their first trouble in the same seconds. */
static void pool_wave(struct pool *pool)
{
	pool_begin(pool);
	pool_refuse(pool, 0, &at_first);
	pool_refuse(pool, 1, &at_first);
	pool_refuse(pool, 2, &at_first);
}

/* … and what all have was found, and is held for long enough to be tested. */
static void pool_test(struct pool *pool)
{
	pool_wave(pool);
	control_adopt(&pool->sharing.control, &bounds, 1, pool->now_ns);
	for (unsigned i = 0; i < 40 && pool->sharing.state == SHARING_KNOWN; i++) {
		struct control_observation seen = {.class = REPLY_DELIVERED,
						   .traffic = TG_BULK,
						   .stage = TG_STAGE_MESSAGE,
						   .admitted_ns = pool->now_ns};

		struct control_change change;

		pool_send(pool, 1);
		seen.admitted_ns = pool->now_ns;
		control_observe(&pool->sharing.control, &bounds, &seen, pool->now_ns, &change);
		sharing_tick(&pool->sharing, pool->now_ns);
	}
	cr_assert_eq(pool->sharing.state, SHARING_TEST);
}

Test(sharing, is_believed_at_once_where_several_meet_their_first_trouble_together)
{
	struct pool pool;

	pool_wave(&pool);
	cr_expect_eq(pool.sharing.state, SHARING_KNOWN);
	cr_expect_eq(pool.sharing.confirmed, 0);
}

Test(sharing, same_message_of_their_connections_is_no_limit_that_they_share)
{
	struct sharing_trouble sixth = at_first;
	struct pool pool;

	sixth.place = 6;
	pool_begin(&pool);
	for (uint32_t i = 0; i < MANY; i++)
		cr_expect_not(pool_refuse(&pool, i, &sixth), "flow %u", i);
}

Test(sharing, what_is_believed_is_given_up_where_no_test_shows_it)
{
	struct pool pool;

	pool_wave(&pool);
	control_release(&pool.sharing.control, &bounds, pool.now_ns);
	for (unsigned i = 0; i < 100 && pool.sharing.state == SHARING_KNOWN; i++) {
		pool.now_ns = sharing_next(&pool.sharing);
		sharing_tick(&pool.sharing, pool.now_ns);
	}
	cr_expect_eq(pool.sharing.state, SHARING_NONE);
	cr_expect_not(sharing_measured(&pool.sharing));
}

Test(sharing, test_tells_a_shared_limit_from_limits_of_their_own)
{
	static const struct {
		const char *what;
		unsigned refused; /* of a hundred of the trier's */
		enum sharing_state state;
		uint8_t confirmed;
	} rows[] = {
		{"nothing is refused", 0, SHARING_KNOWN, 1},
		{"a few are: all were a little too fast", 5, SHARING_KNOWN, 1},
		{"more are: not clear", 20, SHARING_KNOWN, 0},
		{"all but its part is", 60, SHARING_NONE, 0},
		{"everything is: a block", 100, SHARING_KNOWN, 0},
	};

	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct pool pool;

		pool_test(&pool);
		pool_alone(&pool, 0.6, rows[i].refused, 200);
		cr_expect_eq(pool.sharing.state, rows[i].state, "%s", rows[i].what);
		cr_expect_eq(pool.sharing.confirmed, rows[i].confirmed, "%s", rows[i].what);
	}
}

Test(sharing, test_shifts_parts_and_leaves_the_sum)
{
	struct pool pool;
	double sum = 0;

	pool_test(&pool);
	for (unsigned i = 0; i < MANY; i++)
		sum += pool.members[i].most;
	cr_expect_float_eq(sum, 1, 0.001);
	cr_expect_geq(pool.members[pool.sharing.trier].most, 0.6f);
}

Test(sharing, is_divided_by_demand_and_nobody_is_crowded_out)
{
	struct pool pool;

	pool_begin(&pool);
	pool.now_ns += 600 * SECOND;
	for (unsigned i = 0; i < 600; i++) {
		pool.now_ns += SECOND / 2;
		sharing_accepted(&pool.sharing, i % 20 ? 0 : 1, &bounds, pool.now_ns);
	}
	sharing_divide(&pool.sharing, pool.now_ns);
	cr_expect_geq(pool.members[0].most, 0.9f, "who needs most may have what others do not use");
	cr_expect_lt(pool.members[0].most, 1, "but never all");
	cr_expect_geq(pool.members[1].most, 0.06f);
	pool_begin(&pool);
	sharing_divide(&pool.sharing, pool.now_ns);
	for (unsigned i = 0; i < MANY; i++)
		cr_expect_float_eq(pool.members[i].most, 0.625, 0.07);
}

Test(sharing, what_is_known_goes_on_by_what_was_kept)
{
	struct sharing_kept kept, second;
	struct pool pool, again;

	pool_begin(&pool);
	cr_expect_not(sharing_keep(&pool.sharing, &kept), "nothing is known yet");
	pool_test(&pool);
	pool_alone(&pool, 0.6, 0, 200);
	cr_assert_eq(pool.sharing.confirmed, 1);
	cr_assert(sharing_keep(&pool.sharing, &kept));
	cr_expect(sharing_kept_valid(&kept));
	pool_begin(&again);
	again.now_ns = pool.now_ns + 5 * SECOND;
	sharing_resume(&again.sharing, &kept, again.now_ns);
	cr_expect_eq(again.sharing.state, SHARING_KNOWN);
	cr_expect_eq(again.sharing.confirmed, 1);
	cr_expect_float_eq(control_rate(&again.sharing.control),
			   control_rate(&pool.sharing.control), 1e-9);
	cr_expect_eq(sharing_next(&again.sharing), sharing_next(&pool.sharing));
	cr_assert(sharing_keep(&again.sharing, &second));
	cr_expect_eq(memcmp(&kept, &second, sizeof kept), 0);
}

Test(sharing, test_under_way_is_begun_anew)
{
	struct sharing_kept kept;
	struct pool pool, again;

	pool_test(&pool);
	cr_assert(sharing_keep(&pool.sharing, &kept));
	pool_begin(&again);
	sharing_resume(&again.sharing, &kept, pool.now_ns);
	cr_expect_eq(again.sharing.state, SHARING_KNOWN);
	cr_expect_geq(sharing_next(&again.sharing), pool.now_ns + 30 * SECOND);
}

Test(sharing, limits_of_their_own_are_not_tried_again_after_a_restart)
{
	struct sharing_kept kept;
	struct pool pool, again;

	pool_try(&pool);
	pool_alone(&pool, pool.sharing.rate, 60, 60);
	cr_assert_eq(pool.sharing.refuted, 1);
	cr_assert(sharing_keep(&pool.sharing, &kept));
	cr_expect(sharing_kept_valid(&kept));
	pool_begin(&again);
	again.now_ns = pool.now_ns;
	sharing_resume(&again.sharing, &kept, again.now_ns);
	pool_send(&again, 60);
	pool_hint(&again);
	pool_refuse(&again, 2, &as_expected);
	cr_expect_not(pool_refuse(&again, 3, &on_ground));
}

Test(sharing, silent_members_are_forgotten_but_for_the_last_in_trouble_and_the_trier)
{
	struct pool pool;
	struct sharing *s = &pool.sharing;

	pool_begin(&pool);
	pool_refuse(&pool, 3, &as_expected);
	s->trier = 1;
	sharing_forget(s, pool.now_ns + SHARING_FORGET_NS - MANY * SECOND);
	cr_expect_eq(s->count, MANY, "none is silent for so long");
	pool.now_ns += SHARING_FORGET_NS;
	sharing_forget(s, pool.now_ns);
	cr_assert_eq(s->count, 2);
	cr_expect_eq(s->members[s->troubled].slot, 3);
	cr_expect_eq(s->members[s->trier].slot, 1);
	sharing_accepted(s, s->trier, &bounds, pool.now_ns);
	cr_expect_gt(sharing_taken(s, s->trier, pool.now_ns), 0);
}

Test(sharing, is_said_in_words)
{
	struct pool pool;
	char text[512];

	pool_try(&pool);
	cr_expect_gt(sharing_describe(&pool.sharing, pool.now_ns, text, sizeof text), 0);
	cr_expect_not_null(strstr(text, "trial"));
	pool_wave(&pool);
	sharing_describe(&pool.sharing, pool.now_ns, text, sizeof text);
	cr_expect_not_null(strstr(text, "4 sources"));
	pool_begin(&pool);
	cr_expect_eq(sharing_describe(&pool.sharing, pool.now_ns, text, sizeof text), 0);
}
