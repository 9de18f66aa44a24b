/* SPDX-License-Identifier: MIT
 *
 * The policy tollgate: the controller, the arithmetic and the classifier that run in production,
 * under the simulator's clock.
 *
 * What a worker would see of a flow's limits decides about each message; what a worker would report
 * goes to the controller: deferrals one by one, deliveries one by one while the limits ask for it
 * and else as counts once a second. Nothing of the receiver is seen but its replies.
 */
#include "sidecar/simulate_policy.h"

#include <errno.h>
#include <stdlib.h>

#include "shm/gcra.h"
#include "sidecar/control.h"
#include "sidecar/simulate_reply.h"
#include "sidecar/units.h"

/* The segment's clock runs from some time before the run, as a machine's does from its boot. */
#define EPOCH UNITS_DAY_NS

/* A destination of which the configuration says nothing but the defaults. */
static const struct control_bounds bounds = {
	.rate_max = 0,
	.rate_min = 1.0 / 600,
	.rate_start = 1,
	.burst = {[TG_TRANSACTIONAL] = 4, [TG_ENGAGED] = 2, [TG_BULK] = 1},
	.connections = POLICY_WORKERS,
	.per_connection = 100,
	.wall_offset_ns = -(int64_t)EPOCH,
};

struct gate_window {
	uint64_t period;
	uint32_t count;
};

struct gate_flow {
	struct control_state control;
	struct control_limits limits;
	uint64_t next_ns; /* when the limits change by themselves */
	uint64_t tick_ns; /* of the last tick */
	uint64_t tat;
	struct gate_window hour;
	struct gate_window day;
	uint32_t delivered; /* since the last tick */
	uint32_t deferred;
};

struct gate {
	size_t flow_count;
	struct gate_flow flows[];
};

/* The limits anew; what was used stays used. */
static void gate_publish(struct gate_flow *flow, uint64_t now_ns)
{
	uint64_t old_ns = flow->limits.interval_ns;
	uint64_t new_ns;

	flow->next_ns = control_limits(&flow->control, &bounds, now_ns, &flow->limits);
	new_ns = gcra_interval(gcra_rate(flow->limits.interval_ns, 1));
	flow->limits.interval_ns = new_ns;
	flow->tat = gcra_rescale(flow->tat, now_ns, old_ns, new_ns);
}

static int gate_create(const struct policy_world *world, void **ret)
{
	size_t count = world->source_count * world->receiver_count;
	struct gate *gate = calloc(1, sizeof *gate + count * sizeof gate->flows[0]);

	if (!gate)
		return -ENOMEM;
	gate->flow_count = count;
	for (size_t i = 0; i < count; i++) {
		control_init(&gate->flows[i].control, &bounds, EPOCH);
		gate->flows[i].tick_ns = EPOCH;
		gate_publish(&gate->flows[i], EPOCH);
	}
	*ret = gate;
	return 0;
}

static struct gate_flow *gate_flow(void *self, uint32_t flow)
{
	return &((struct gate *)self)->flows[flow];
}

/* Number of the window that now_ns lies in, and when it ends. Two windows are added so that those
 * that begin before the run's midnight have numbers too. */
static uint64_t gate_period(uint64_t now_ns, uint64_t length_ns, uint64_t phase_ns,
			    uint64_t *ret_end)
{
	uint64_t wall = now_ns + 2 * length_ns - phase_ns % length_ns - EPOCH % length_ns;

	*ret_end = now_ns + length_ns - wall % length_ns;
	return wall / length_ns;
}

static uint64_t gate_window_until(const struct gate_window *window, uint32_t cap,
				  uint64_t length_ns, uint64_t phase_ns, uint64_t now_ns)
{
	uint64_t end;

	if (!cap || gate_period(now_ns, length_ns, phase_ns, &end) != window->period)
		return now_ns;
	return window->count >= cap ? end : now_ns;
}

static void gate_window_count(struct gate_window *window, uint64_t length_ns, uint64_t phase_ns,
			      uint64_t now_ns)
{
	uint64_t end;
	uint64_t period = gate_period(now_ns, length_ns, phase_ns, &end);

	if (window->period != period)
		*window = (struct gate_window){.period = period};
	window->count++;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t gate_earliest(void *self, uint32_t index, enum tg_class traffic, uint64_t at_ns)
{
	const struct gate_flow *flow = gate_flow(self, index);
	const struct control_limits *limits = &flow->limits;
	uint64_t now = at_ns + EPOCH;
	uint64_t at = later(now, limits->hold_until_ns[traffic]);

	if (limits->interval_ns && !limits->burst[traffic])
		return UINT64_MAX;
	if (limits->interval_ns)
		at = later(at, gcra_earliest(flow->tat, limits->interval_ns, limits->burst[traffic],
					     1));
	at = later(at, gate_window_until(&flow->hour, limits->hour_cap, UNITS_HOUR_NS,
					 limits->hour_phase_s * UNITS_SECOND_NS, now));
	at = later(at, gate_window_until(&flow->day, limits->day_cap, UNITS_DAY_NS,
					 limits->day_phase_min * UNITS_MINUTE_NS, now));
	return at == UINT64_MAX ? at : at - EPOCH;
}

static void gate_admit(void *self, uint32_t index, enum tg_class traffic, uint64_t at_ns)
{
	struct gate_flow *flow = gate_flow(self, index);
	uint64_t now = at_ns + EPOCH;

	flow->tat = gcra_charge(flow->tat, now, flow->limits.interval_ns, 1);
	gate_window_count(&flow->hour, UNITS_HOUR_NS, flow->limits.hour_phase_s * UNITS_SECOND_NS,
			  now);
	gate_window_count(&flow->day, UNITS_DAY_NS, flow->limits.day_phase_min * UNITS_MINUTE_NS,
			  now);
}

static void gate_reply(void *self, uint32_t index, const struct policy_reply *reply, uint64_t at_ns)
{
	struct gate_flow *flow = gate_flow(self, index);
	uint64_t now = at_ns + EPOCH;
	struct simulate_class class = {REPLY_DELIVERED, REPLY_LIMIT_NONE};
	struct control_observation seen = {
		.traffic = reply->traffic,
		.stage = reply->stage,
		.place = reply->place,
		.open_connections = reply->open_connections,
		.admitted_ns = reply->admitted_ns + EPOCH,
	};

	flow->delivered += reply->delivered;
	flow->deferred += !reply->delivered;
	if (reply->delivered && !flow->limits.report_delivered)
		return;
	if (!reply->delivered)
		simulate_reply_class(reply->text, &class);
	seen.class = class.class;
	seen.limit = class.limit;
	if (control_observe(&flow->control, &bounds, &seen, now))
		gate_publish(flow, now);
}

static uint32_t gate_connections(void *self, uint32_t flow)
{
	return gate_flow(self, flow)->limits.connections;
}

static uint32_t gate_per_connection(void *self, uint32_t flow)
{
	return gate_flow(self, flow)->limits.per_connection;
}

/* The source that could have sent longest ago, as tg_pick spreads by room. */
static double gate_rank(void *self, uint32_t index, uint64_t at_ns)
{
	return (double)gate_flow(self, index)->tat;
}

static uint64_t gate_wake(void *self, uint32_t index)
{
	const struct gate_flow *flow = gate_flow(self, index);
	uint64_t wake = flow->next_ns;

	if ((flow->delivered || flow->deferred) && flow->tick_ns + UNITS_SECOND_NS < wake)
		wake = flow->tick_ns + UNITS_SECOND_NS;
	return wake == UINT64_MAX ? wake : later(wake, EPOCH) - EPOCH;
}

static void gate_tick(void *self, uint32_t index, uint64_t at_ns)
{
	struct gate_flow *flow = gate_flow(self, index);
	uint64_t now = at_ns + EPOCH;
	bool changed = control_tick(&flow->control, &bounds, flow->delivered, flow->deferred, now);

	flow->delivered = 0;
	flow->deferred = 0;
	flow->tick_ns = now;
	if (changed || now >= flow->next_ns)
		gate_publish(flow, now);
}

static double gate_rate(void *self, uint32_t index)
{
	const struct control_limits *limits = &gate_flow(self, index)->limits;

	return limits->interval_ns ? (double)UNITS_SECOND_NS / (double)limits->interval_ns : 0;
}

const struct policy policy_gate = {
	.name = "tollgate",
	.create = gate_create,
	.destroy = free,
	.earliest = gate_earliest,
	.admit = gate_admit,
	.reply = gate_reply,
	.connections = gate_connections,
	.per_connection = gate_per_connection,
	.rank = gate_rank,
	.wake = gate_wake,
	.tick = gate_tick,
	.rate = gate_rate,
};
