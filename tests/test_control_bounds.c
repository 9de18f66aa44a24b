/* SPDX-License-Identifier: MIT
 *
 * What a new configuration does to a flow that lives already.
 */
#include <criterion/criterion.h>

#include "sidecar/control/control.h"
#include "sidecar/engine/effective.h"

#define MINUTE UINT64_C(60000000000)

static uint64_t interval(const struct control_state *state, const struct control_bounds *bounds,
			 uint64_t now_ns)
{
	struct control_limits limits;

	control_limits(state, bounds, now_ns, &limits);
	return limits.interval_ns;
}

Test(control_bounds, lower_and_raise_a_flow_that_has_seen_no_trouble_at_once)
{
	struct control_bounds bounds = {.rate_max = 2, .rate_min = 0.001, .burst = {20, 16, 14}};
	struct control_state state;

	control_init(&state, &bounds, MINUTE);
	cr_expect_eq(interval(&state, &bounds, MINUTE), 500000000);
	bounds.rate_max = 1;
	cr_expect(control_rebound(&state, &bounds));
	cr_expect_eq(interval(&state, &bounds, MINUTE), 1000000000);
	bounds.rate_max = 4;
	cr_expect(control_rebound(&state, &bounds));
	cr_expect_eq(interval(&state, &bounds, MINUTE), 250000000);
	cr_expect_not(control_rebound(&state, &bounds));
	cr_expect(control_valid(&state));
}

Test(control_bounds, do_not_lift_what_trouble_has_slowed)
{
	struct control_bounds bounds = {.rate_max = 2, .rate_min = 0.001, .burst = {20, 16, 14}};
	struct control_observation seen = {
		.class = REPLY_RATE, .limit = REPLY_LIMIT_MESSAGES, .admitted_ns = 2 * MINUTE};
	struct control_change change;
	struct control_state state;
	uint64_t slowed;

	control_init(&state, &bounds, MINUTE);
	cr_assert(control_observe(&state, &bounds, &seen, 2 * MINUTE, &change));
	/* The hold ends by hand, at the rate that is remembered. */
	control_release(&state, &bounds, 3 * MINUTE);
	slowed = interval(&state, &bounds, 3 * MINUTE);
	cr_expect_gt(slowed, 500000000);
	bounds.rate_max = 100;
	control_rebound(&state, &bounds);
	cr_expect_eq(interval(&state, &bounds, 3 * MINUTE), slowed);
}

Test(effective, never_passes_the_configured_ceiling_whatever_the_controller_says)
{
	struct flow_limits configured = {.interval_ns = 1000000007,
					 .ceiling_interval_ns = 1000000007,
					 .burst = {5, 5, 5},
					 .flags = FLOW_ADAPT};
	struct control_limits control = {.interval_ns = 1000000000, .burst = {5, 5, 5}};
	struct effective effective;

	effective_merge(&configured, &control, NULL, 0, MINUTE, &effective);
	cr_expect_eq(effective.limits.interval_ns, 1000000007);
	control.interval_ns = 0;
	effective_merge(&configured, &control, NULL, 0, MINUTE, &effective);
	cr_expect_eq(effective.limits.interval_ns, 1000000007);
	configured.ceiling_interval_ns = 0;
	effective_merge(&configured, &control, NULL, 0, MINUTE, &effective);
	cr_expect_eq(effective.limits.interval_ns, 0);
}
