/* SPDX-License-Identifier: MIT
 *
 * The controller's promises: each transition of a flow's life, and what no sequence of replies may
 * do.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "sidecar/control/control.h"

#define SECOND UINT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define START  (1000 * HOUR)

static const struct control_bounds plain = {.rate_start = 1, .burst = {5, 5, 5}};

struct control_flow {
	struct control_state state;
	struct control_bounds bounds;
	struct control_limits limits;
	uint64_t now_ns;
};

static struct control_flow flow_new(const struct control_bounds *bounds)
{
	struct control_flow flow = {.bounds = *bounds, .now_ns = START};

	control_init(&flow.state, bounds, START);
	control_limits(&flow.state, bounds, START, &flow.limits);
	return flow;
}

/* A reply, half a second after its message was admitted. */
static void flow_reply(struct control_flow *flow, enum reply_class class, enum reply_limit limit)
{
	struct control_observation seen = {
		.class = class,
		.limit = limit,
		.traffic = TG_BULK,
		.stage = TG_STAGE_MESSAGE,
		.admitted_ns = flow->now_ns,
	};
	struct control_change change;

	flow->now_ns += SECOND / 2;
	control_observe(&flow->state, &flow->bounds, &seen, flow->now_ns, &change);
	flow->limits = change.after;
}

/* As many messages as are given, each when it may go, all delivered. */
static void flow_deliver(struct control_flow *flow, int messages)
{
	for (int i = 0; i < messages; i++) {
		if (flow->limits.hold_until_ns[TG_BULK] > flow->now_ns)
			flow->now_ns = flow->limits.hold_until_ns[TG_BULK];
		else
			flow->now_ns += flow->limits.interval_ns > SECOND / 2
						? flow->limits.interval_ns - SECOND / 2
						: 0;
		flow_reply(flow, REPLY_DELIVERED, REPLY_LIMIT_NONE);
	}
}

static double flow_rate(const struct control_flow *flow)
{
	return flow->limits.interval_ns ? 1e9 / (double)flow->limits.interval_ns : 1e9;
}

Test(control, begins_open_at_the_start_rate)
{
	struct control_flow flow = flow_new(&plain);

	cr_expect(control_valid(&flow.state));
	cr_expect_eq(flow.limits.phase, CONTROL_OPEN);
	cr_expect_float_eq(flow_rate(&flow), 1, 1e-6);
}

Test(control, searches_upwards_while_the_rate_is_used)
{
	struct control_flow flow = flow_new(&plain);

	flow_deliver(&flow, 200);
	cr_expect_gt(flow_rate(&flow), 1.9);
	cr_expect_eq(flow.limits.phase, CONTROL_OPEN);
}

Test(control, holds_at_the_first_rate_deferral_and_lets_one_probe_out)
{
	struct control_flow flow = flow_new(&plain);

	flow_deliver(&flow, 30);
	flow_reply(&flow, REPLY_RATE, REPLY_LIMIT_MESSAGES);
	cr_expect_eq(flow.limits.phase, CONTROL_HELD);
	cr_expect_gt(flow.limits.hold_until_ns[TG_BULK], flow.now_ns);
	cr_expect_eq(flow.limits.burst[TG_TRANSACTIONAL], 1);
	cr_expect_geq(flow.limits.interval_ns, 60 * SECOND, "nothing may follow the probe");
	flow_deliver(&flow, 1);
	cr_expect_eq(flow.limits.phase, CONTROL_RECOVERING);
	cr_expect_eq(flow.limits.hold_until_ns[TG_BULK], 0);
}

Test(control, leaves_the_rate_alone_for_what_is_not_about_it)
{
	static const enum reply_class classes[] = {
		REPLY_GREYLIST,	    REPLY_RECIPIENT, REPLY_POLICY,	  REPLY_CONTENT,
		REPLY_UNKNOWN_USER, REPLY_OTHER,     REPLY_INFRASTRUCTURE};

	for (unsigned i = 0; i < sizeof classes / sizeof *classes; i++) {
		struct control_flow flow = flow_new(&plain);
		double before;

		flow_deliver(&flow, 30);
		before = flow_rate(&flow);
		flow_reply(&flow, classes[i], REPLY_LIMIT_NONE);
		cr_expect_eq(flow.limits.phase, CONTROL_OPEN, "%s", reply_class_name(classes[i]));
		cr_expect_geq(flow_rate(&flow), before, "%s", reply_class_name(classes[i]));
	}
}

Test(control, refuses_bytes_that_cannot_be_a_state)
{
	struct control_state state;

	memset(&state, 0, sizeof state);
	cr_expect_not(control_valid(&state));
	memset(&state, 0xff, sizeof state);
	cr_expect_not(control_valid(&state));
}

Test(control, describes_itself_within_the_bound)
{
	struct control_flow flow = flow_new(&plain);
	char text[256];
	char small[16];
	int length = control_describe(&flow.state, &plain, flow.now_ns, text, sizeof text);

	cr_expect_eq((size_t)length, strlen(text));
	cr_expect_eq(control_describe(&flow.state, &plain, flow.now_ns, small, sizeof small),
		     length);
	cr_expect_eq(strlen(small), sizeof small - 1);
}
