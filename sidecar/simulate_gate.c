/* SPDX-License-Identifier: MIT
 *
 * The policy tollgate: what runs in production, under the simulator's clock.
 *
 * The limits of all flows stand in a segment in memory of its own. The sidecar's code publishes
 * them there, the library's code decides there; what a worker would report goes to the classifier
 * and the controller: deferrals one by one, deliveries one by one while the limits ask for it and
 * else as counts once a second. Nothing of the receiver is seen but its replies.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/control.h"
#include "sidecar/publish.h"
#include "sidecar/simulate_classifier.h"
#include "sidecar/simulate_policy.h"
#include "sidecar/units.h"

/* The segment's clock runs from some time before the run, as a machine's does from its boot. A
 * whole number of days, so that a calendar of zeroes has its hours and days begin with those of the
 * run. */
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

struct gate_flow {
	struct control_state control;
	struct control_limits limits;
	uint64_t next_ns;   /* when the limits change by themselves */
	uint64_t tick_ns;   /* of the last tick */
	uint32_t delivered; /* since the last tick */
	uint32_t deferred;
};

struct gate {
	const struct policy_world *world;
	struct segment segment; /* flow i has slot i */
	struct gate_flow *flows;
};

/* ---- limits ------------------------------------------------------------------------------- */

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static struct publish_limits gate_limits(const struct control_limits *from)
{
	struct publish_limits to = {
		.interval_ns = from->interval_ns,
		.hold_until_ns = from->hold_until_ns[TG_TRANSACTIONAL],
		.hold_lower_ns =
			later(from->hold_until_ns[TG_ENGAGED], from->hold_until_ns[TG_BULK]),
		.hour_phase_s = from->hour_phase_s,
		.day_phase_min = from->day_phase_min,
		.flags = from->report_delivered ? LAYOUT_REPORT_DELIVERED : 0,
		.per_connection = from->per_connection,
	};

	for (int class = 0; class < TG_CLASSES; class ++) {
		to.burst[class] = from->burst[class];
		to.hour_cap[class] = from->hour_cap ? from->hour_cap : PUBLISH_NO_CAP;
		to.day_cap[class] = from->day_cap ? from->day_cap : PUBLISH_NO_CAP;
		to.connections[class] = from->connections;
	}
	return to;
}

static void gate_publish(struct gate *gate, uint32_t index, uint64_t now_ns)
{
	struct gate_flow *flow = &gate->flows[index];
	struct publish_limits limits;

	flow->next_ns = control_limits(&flow->control, &bounds, now_ns, &flow->limits);
	limits = gate_limits(&flow->limits);
	publish_slot(&gate->segment, index, &limits, now_ns);
}

/* ---- the segment -------------------------------------------------------------------------- */

static void gate_destroy(void *self)
{
	struct gate *gate = self;

	if (!gate)
		return;
	free(gate->flows);
	free(gate->segment.calendars);
	free(gate->segment.defaults);
	free(gate->segment.limits);
	free(gate->segment.more);
	free(gate->segment.slots);
	free(gate->segment.view.counters);
	free(gate->segment.view.counters_more);
	free(gate);
}

/* The arrays of a segment as the three files would hold them; there are no workers, so no rings. */
static int gate_segment(struct segment *segment, uint32_t slots)
{
	segment->calendars = calloc(LAYOUT_CALENDARS, sizeof *segment->calendars);
	segment->defaults = calloc(LAYOUT_DEFAULTS, sizeof *segment->defaults);
	segment->limits = aligned_alloc(LAYOUT_LINE, slots * sizeof *segment->limits);
	segment->more = calloc(slots, sizeof *segment->more);
	segment->slots = calloc(slots, sizeof *segment->slots);
	segment->view = (struct view){
		.limits = segment->limits,
		.more = segment->more,
		.defaults = segment->defaults,
		.calendars = segment->calendars,
		.counters = aligned_alloc(LAYOUT_LINE, slots * sizeof *segment->view.counters),
		.counters_more = calloc(slots, sizeof *segment->view.counters_more),
		.slots = slots,
	};
	if (!segment->calendars || !segment->defaults || !segment->limits || !segment->more ||
	    !segment->slots || !segment->view.counters || !segment->view.counters_more)
		return -ENOMEM;
	memset(segment->limits, 0, slots * sizeof *segment->limits);
	memset(segment->view.counters, 0, slots * sizeof *segment->view.counters);
	return 0;
}

static int gate_create(const struct policy_world *world, void **ret)
{
	uint32_t count = (uint32_t)(world->source_count * world->receiver_count);
	struct gate *gate = calloc(1, sizeof *gate);

	if (!gate)
		return -ENOMEM;
	gate->world = world;
	gate->flows = calloc(count, sizeof *gate->flows);
	if (!gate->flows || gate_segment(&gate->segment, count) != 0) {
		gate_destroy(gate);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < count; i++) {
		control_init(&gate->flows[i].control, &bounds, EPOCH);
		gate->flows[i].tick_ns = EPOCH;
		gate_publish(gate, i, EPOCH);
	}
	*ret = gate;
	return 0;
}

/* ---- deciding ----------------------------------------------------------------------------- */

/* Only the flow has limits here, its parents have none. */
static struct tg_flow gate_slot(uint32_t index)
{
	return (struct tg_flow){index, LAYOUT_NONE, LAYOUT_NONE, LAYOUT_NONE};
}

static uint64_t gate_earliest(void *self, uint32_t index, enum tg_class traffic, uint64_t at_ns)
{
	struct gate *gate = self;
	struct tg_flow flow = gate_slot(index);
	uint32_t room;
	struct tg_verdict verdict =
		decide_ask(&gate->segment.view, &flow, traffic, 1, at_ns + EPOCH, &room);

	if (verdict.reason == TG_ADMITTED)
		return at_ns;
	return verdict.at_ns == UINT64_MAX ? UINT64_MAX : verdict.at_ns - EPOCH;
}

static void gate_admit(void *self, uint32_t index, enum tg_class traffic, uint64_t at_ns)
{
	struct gate *gate = self;
	struct tg_flow flow = gate_slot(index);
	struct tg_verdict verdict =
		decide_admit(&gate->segment.view, &flow, traffic, 1, at_ns + EPOCH);

	/* Nobody else is there to take what was free a moment ago. */
	assert(verdict.reason == TG_ADMITTED);
	(void)verdict;
}

/* ---- learning ----------------------------------------------------------------------------- */

static struct gate_flow *gate_flow(void *self, uint32_t index)
{
	return &((struct gate *)self)->flows[index];
}

static void gate_reply(void *self, uint32_t index, const struct policy_reply *reply, uint64_t at_ns)
{
	struct gate_flow *flow = gate_flow(self, index);
	uint64_t now = at_ns + EPOCH;
	const struct policy_world *world = ((struct gate *)self)->world;
	struct classification class = {.class = REPLY_DELIVERED};
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
		simulate_classify(world->classifier,
				  world->destinations[index % world->receiver_count], reply->text,
				  &class);
	seen.class = class.class;
	seen.limit = class.limit;
	if (control_observe(&flow->control, &bounds, &seen, now))
		gate_publish(self, index, now);
}

static uint32_t gate_connections(void *self, uint32_t flow)
{
	return gate_flow(self, flow)->limits.connections;
}

static uint32_t gate_per_connection(void *self, uint32_t flow)
{
	return gate_flow(self, flow)->limits.per_connection;
}

/* The source that was used least of late goes first, as tg_pick spreads by room. */
static double gate_rank(void *self, uint32_t index, uint64_t at_ns)
{
	const struct gate *gate = self;

	return (double)atomic_load_explicit(&gate->segment.view.counters[index].tat,
					    memory_order_relaxed);
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
		gate_publish(self, index, now);
}

static double gate_rate(void *self, uint32_t index)
{
	const struct control_limits *limits = &gate_flow(self, index)->limits;

	return limits->interval_ns ? (double)UNITS_SECOND_NS / (double)limits->interval_ns : 0;
}

const struct policy policy_gate = {
	.name = "tollgate",
	.create = gate_create,
	.destroy = gate_destroy,
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
