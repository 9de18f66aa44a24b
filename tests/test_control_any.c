/* SPDX-License-Identifier: MIT
 *
 * What no sequence of replies may bring a flow to: any replies, in any order, at any times.
 */
#include <criterion/criterion.h>
#include <math.h>

#include "sidecar/base/random.h"
#include "sidecar/control/control.h"

#define SECOND	 UINT64_C(1000000000)
#define HOUR	 (3600 * SECOND)
#define START	 (1000 * HOUR)
#define STAMP	 (SECOND / 100) /* how finely a state keeps time */
#define RUNS	 300
#define REPLIES	 1000
#define HOLD_MAX (24 * HOUR)

static uint64_t seed;

static uint32_t any(uint32_t below)
{
	return (uint32_t)random_below(&seed, below);
}

static struct control_bounds bounds_any(void)
{
	static const double rates[] = {0, 0.05, 1, 10, 500};
	struct control_bounds b = {
		.rate_max = rates[any(5)],
		.rate_min = any(2) ? 6 / 3600.0 : 0.01,
		.rate_start = rates[any(5)],
		.burst = {10, 8, 7},
		.hour_cap = any(2) ? 1 + any(5000) : 0,
		.day_cap = any(2) ? 1 + any(50000) : 0,
		.connections = any(2) ? 1 + any(50) : 0,
		.per_connection = any(2) ? 1 + any(100) : 0,
		.wall_offset_ns = (int64_t)any(7200) * (int64_t)SECOND,
	};

	if (b.rate_max > 0 && (b.rate_start == 0 || b.rate_start > b.rate_max))
		b.rate_start = b.rate_max;
	return b;
}

/* Mostly what real receivers mix, sometimes nothing but trouble. */
static struct control_observation reply_any(uint64_t now_ns, uint32_t limit_estimate)
{
	uint64_t age =
		any(4) ? (uint64_t)any(5000) * (SECOND / 1000) : (uint64_t)any(7200) * SECOND;

	return (struct control_observation){
		.class = any(100) < limit_estimate ? any(REPLY_CLASSES) : REPLY_DELIVERED,
		.limit = any(REPLY_LIMITS),
		.traffic = any(TG_CLASSES),
		.stage = any(TG_STAGES),
		.place = any(120),
		.open_connections = any(60),
		.admitted_ns = any(10) ? now_ns - age : 0,
	};
}

static bool lower_or_equal(uint32_t value, uint32_t max)
{
	return max == 0 || (value != 0 && value <= max);
}

static void within_bounds(const struct control_limits *l, const struct control_bounds *b,
			  uint64_t now_ns, int run)
{
	double rate = l->interval_ns ? 1e9 / (double)l->interval_ns : INFINITY;
	bool held = l->phase == CONTROL_HELD || l->phase == CONTROL_PROBING;

	cr_assert(b->rate_max == 0 || rate <= b->rate_max * 1.001, "run %d: %g above %g", run, rate,
		  b->rate_max);
	cr_assert(held || rate >= b->rate_min * 0.999 ||
			  (b->rate_max > 0 && rate >= b->rate_max * 0.999),
		  "run %d: %g below %g, %s", run, rate, b->rate_min, control_phase_name(l->phase));
	for (int c = 0; c < TG_CLASSES; c++) {
		cr_assert(l->hold_until_ns[c] < now_ns + HOLD_MAX, "run %d: a hold of %g h", run,
			  (double)(l->hold_until_ns[c] - now_ns) / (double)HOUR);
		cr_assert(l->interval_ns == 0 || l->burst[c] <= b->burst[c], "run %d: burst %u",
			  run, l->burst[c]);
	}
	cr_assert(lower_or_equal(l->hour_cap, b->hour_cap), "run %d: hour %u of %u", run,
		  l->hour_cap, b->hour_cap);
	cr_assert(lower_or_equal(l->day_cap, b->day_cap), "run %d: day %u of %u", run, l->day_cap,
		  b->day_cap);
	cr_assert(lower_or_equal(l->connections, b->connections), "run %d: connections %u", run,
		  l->connections);
	cr_assert(lower_or_equal(l->per_connection, b->per_connection), "run %d: per connection %u",
		  run, l->per_connection);
	cr_assert(l->hour_phase_s < 3600 && l->day_phase_min < 1440);
}

/* Raised while mail flows: a hold's end is a change of another kind. */
static bool raised(const struct control_limits *before, const struct control_limits *after)
{
	return before->phase != CONTROL_HELD && before->phase != CONTROL_PROBING &&
	       after->phase != CONTROL_HELD && after->phase != CONTROL_PROBING &&
	       before->interval_ns != 0 &&
	       (double)after->interval_ns < 0.999 * (double)before->interval_ns;
}

/* One message whenever it may go, transactional, all of them delivered. */
static bool ends_when_taken(struct control_state *state, const struct control_bounds *b,
			    uint64_t now_ns)
{
	struct control_limits l;

	for (int i = 0; i < 20; i++) {
		struct control_observation taken = {.class = REPLY_DELIVERED,
						    .traffic = TG_TRANSACTIONAL,
						    .stage = TG_STAGE_MESSAGE,
						    .place = 1};
		struct control_change change;

		control_limits(state, b, now_ns, &l);
		if (l.phase != CONTROL_HELD && l.phase != CONTROL_PROBING)
			return true;
		if (l.hold_until_ns[TG_TRANSACTIONAL] > now_ns)
			now_ns = l.hold_until_ns[TG_TRANSACTIONAL];
		control_tick(state, b, 0, now_ns, &change);
		taken.admitted_ns = now_ns;
		now_ns += SECOND;
		control_observe(state, b, &taken, now_ns, &change);
	}
	return false;
}

Test(control, no_sequence_of_replies_leaves_the_bounds_climbs_in_leaps_or_ends_held_for_good)
{
	for (int run = 0; run < RUNS; run++) {
		struct control_bounds b;
		struct control_state state;
		struct control_limits l, before;
		uint64_t now_ns = START, raised_ns = 0;
		uint32_t limit_estimate, pace;

		seed = (uint64_t)run + 1;
		b = bounds_any();
		limit_estimate = any(4) ? any(30) : 100;
		pace = 1 + any(any(2) ? 2000 : 200000);
		control_init(&state, &b, now_ns);
		for (int i = 0; i < REPLIES; i++) {
			struct control_observation seen;
			struct control_change change;

			control_limits(&state, &b, now_ns, &before);
			now_ns += (uint64_t)any(pace) * (SECOND / 1000);
			seen = reply_any(now_ns, limit_estimate);
			control_observe(&state, &b, &seen, now_ns, &change);
			if (any(4) == 0)
				control_tick(&state, &b, any(50), now_ns, &change);
			cr_assert(control_valid(&state), "run %d, reply %d", run, i);
			cr_assert_eq(control_limits(&state, &b, now_ns, &l), change.next_ns);
			cr_assert_eq(l.interval_ns, change.after.interval_ns);
			cr_assert_eq(l.phase, change.after.phase);
			within_bounds(&l, &b, now_ns, run);
			if (raised(&before, &l)) {
				cr_assert(now_ns - raised_ns >= SECOND - STAMP,
					  "run %d, reply %d: raised again after %g s", run, i,
					  (double)(now_ns - raised_ns) / (double)SECOND);
				raised_ns = now_ns;
			}
		}
		cr_assert(ends_when_taken(&state, &b, now_ns), "run %d: held whatever is taken",
			  run);
	}
}
