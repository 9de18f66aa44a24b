/* SPDX-License-Identifier: MIT
 *
 * The policy tollgate: what runs in production, under the simulator's clock.
 *
 * A segment of its own, the sidecar's engine (classes, rules, control, publishing) on one side of
 * it and the library's decisions on the other. Here stands only what an MTA's worker would do (ask,
 * count, report) and what the sidecar's loop would (hand reports over, call when something is due).
 * Nothing of the receiver is seen but its replies.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/engine/scratch.h"
#include "sidecar/simulate/policies.h"
#include "sidecar/simulate/reboot.h"
#include "sidecar/simulate/scenario.h"
#include "sidecar/simulate/sim_config.h"

#define EPOCH SCRATCH_EPOCH_NS
/* Room for what the configuration names besides the scenario. */
#define SPARE_FLOWS 512

struct tollgate_policy {
	const struct sim_env *env;
	struct scratch_setup setup;
	struct scratch scratch;
	struct tg_flow *flows;
	size_t restart;		    /* the next one, or that under way */
	int error;		    /* of a sidecar that could not start: it stays away */
	struct layout_record *ring; /* what workers report meanwhile */
	size_t ring_count, ring_room;
};

/* ---- making ---------------------------------------------------------------------------------- */

static void gate_destroy(void *self)
{
	struct tollgate_policy *gate = self;

	if (!gate)
		return;
	scratch_close(&gate->scratch);
	free(gate->flows);
	free(gate->ring);
	free(gate);
}

/* An address as the segment has it: IPv6, or IPv4 mapped. */
static void address_of(const char *text, uint8_t ret[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	memcpy(ret, mapped, sizeof mapped);
	if (inet_pton(AF_INET, text, ret + 12) != 1)
		inet_pton(AF_INET6, text, ret);
}

static int gate_claim(struct tollgate_policy *gate, const struct sim_env *env, uint64_t now_ns)
{
	for (size_t i = 0; i < env->source_count * env->receiver_count; i++) {
		uint8_t address[16];
		uint32_t slot;

		address_of(env->addresses[i / env->receiver_count], address);
		slot = engine_claim(gate->scratch.engine, address,
				    env->destinations[i % env->receiver_count], now_ns);
		if (slot == LAYOUT_NONE)
			return -ENOSPC;
		gate->flows[i] = (struct tg_flow){
			.slot = slot,
			.source = segment_slot(gate->scratch.segment, slot)->source,
			.destination = segment_slot(gate->scratch.segment, slot)->destination,
			.stream = LAYOUT_NONE,
		};
	}
	return 0;
}

static bool before_of(const struct scenario_before *before, const struct sim_env *env, size_t flow)
{
	return (!before->pool_name ||
		strcmp(before->pool_name, env->pools[flow / env->receiver_count]) == 0) &&
	       (!before->destination ||
		strcmp(before->destination, env->destinations[flow % env->receiver_count]) == 0);
}

/* What was sent before the run, as `tollgate seed` tells it. */
static int gate_seed(struct tollgate_policy *gate, const struct sim_env *env)
{
	size_t flows = env->source_count * env->receiver_count;
	int rc = 0;

	for (size_t i = 0; i < flows * env->before_count && !rc; i++) {
		size_t flow = i / env->before_count;
		const struct scenario_before *before = &env->befores[i % env->before_count];

		if (before_of(before, env, flow))
			rc = engine_seed(gate->scratch.engine, gate->flows[flow].slot,
					 (double[]){(double)before->minute, (double)before->hour,
						    (double)before->day},
					 EPOCH);
	}
	return rc;
}

static int gate_start(struct tollgate_policy *gate, const struct sim_env *env)
{
	size_t flows = env->source_count * env->receiver_count;
	const struct config *config = simulate_config_of(env->config);
	int rc;

	gate->setup = (struct scratch_setup){
		.config = config,
		.classifier = simulate_config_classifier(env->config),
		.rules = simulate_config_rules(env->config),
		.flows = (uint32_t)flows * 3 + config->effective_count + SPARE_FLOWS,
		.wall_offset_ns = -(int64_t)EPOCH,
	};
	rc = scratch_open(&gate->setup, &gate->scratch);
	gate->flows = calloc(flows, sizeof *gate->flows);
	if (!rc && (!gate->flows || !gate->scratch.segment))
		rc = -ENOMEM;
	/* As many as the rings of a flow's workers hold. */
	gate->ring_room = POLICY_WORKERS * (size_t)config->segment.ring.value;
	if (!rc && env->restart_count)
		gate->ring = calloc(gate->ring_room, sizeof *gate->ring);
	if (!rc && env->restart_count && !gate->ring)
		rc = -ENOMEM;
	if (!rc)
		rc = gate_claim(gate, env, EPOCH);
	if (!rc)
		rc = gate_seed(gate, env);
	if (!rc)
		scratch_work(&gate->scratch, EPOCH);
	return rc;
}

static int gate_create(const struct sim_env *env, void **ret)
{
	struct tollgate_policy *gate = calloc(1, sizeof *gate);
	int rc = -ENOMEM;

	if (gate) {
		gate->env = env;
		rc = gate_start(gate, env);
	}
	if (rc)
		gate_destroy(gate);
	else
		*ret = gate;
	return rc;
}

static const struct scenario_restart *gate_down(const struct tollgate_policy *gate)
{
	return gate->scratch.engine ? NULL : &gate->env->restarts[gate->restart];
}

/* What the library says in place of limits, once the sidecar has been gone for too long: false,
 * nothing; else when to go. */
static bool gate_alone(const struct tollgate_policy *gate, uint64_t at_ns, uint64_t *ret_at)
{
	const struct config *config = gate->setup.config;
	const struct scenario_restart *down = gate_down(gate);

	if (down == NULL)
		return false;
	if (down->reboot && !gate->error) {
		*ret_at = down->at_ns + down->for_ns;
		return true;
	}
	if (config->on_sidecar_down.value == CONFIG_DOWN_KEEP ||
	    at_ns <= down->at_ns + config->sidecar_timeout.value)
		return false;
	*ret_at = at_ns;
	if (config->on_sidecar_down.value == CONFIG_DOWN_FAIL_CLOSED)
		*ret_at += UNITS_SECOND_NS;
	return true;
}

/* ---- a worker -------------------------------------------------------------------------------- */

static uint64_t at_of(uint64_t ns)
{
	return ns == UINT64_MAX ? UINT64_MAX : ns - EPOCH;
}

static uint64_t gate_earliest(void *self, uint32_t flow, enum tg_class traffic, uint64_t at_ns)
{
	struct tollgate_policy *gate = self;
	struct tg_verdict verdict;
	uint64_t alone_ns;
	uint32_t room;

	if (gate_alone(gate, at_ns, &alone_ns))
		return alone_ns;
	verdict = decide_ask(&gate->scratch.segment->view, &gate->flows[flow], traffic, 1,
			     at_ns + EPOCH, &room);
	return verdict.reason == TG_ADMITTED ? at_ns : at_of(verdict.at_ns);
}

static void gate_admit(void *self, uint32_t flow, enum tg_class traffic, uint64_t at_ns)
{
	struct tollgate_policy *gate = self;
	struct tg_verdict verdict;
	uint64_t alone_ns;

	if (gate_alone(gate, at_ns, &alone_ns))
		return;
	verdict = decide_admit(&gate->scratch.segment->view, &gate->flows[flow], traffic, 1,
			       at_ns + EPOCH);
	/* Nobody else is there to take what was free a moment ago. */
	assert(verdict.reason == TG_ADMITTED);
	(void)verdict;
	gate->scratch.counted = true;
}

static uint64_t gate_reserve(void *self, uint32_t flow, enum tg_class traffic, uint64_t at_ns,
			     uint64_t until_ns, struct policy_slot *ret)
{
	struct tollgate_policy *gate = self;
	uint64_t later = until_ns + 1;
	struct tg_verdict verdict;

	*ret = (struct policy_slot){.taken = {.hour = DECIDE_NO_PERIOD, .day = DECIDE_NO_PERIOD}};
	if (gate_alone(gate, at_ns, &ret->at_ns))
		return ret->at_ns;
	verdict = decide_reserve(&gate->scratch.segment->view, &gate->flows[flow], traffic, 1,
				 at_ns + EPOCH, until_ns + EPOCH, &ret->taken);
	ret->at_ns = at_of(verdict.at_ns);
	if (verdict.reason == TG_ADMITTED) {
		gate->scratch.counted = true;
		return ret->at_ns;
	}
	return ret->at_ns > later ? ret->at_ns : later;
}

static bool gate_redeem(void *self, uint32_t flow, enum tg_class traffic,
			const struct policy_slot *slot, uint64_t at_ns)
{
	struct tollgate_policy *gate = self;
	const struct view *view = &gate->scratch.segment->view;
	uint64_t alone_ns;

	if (gate_alone(gate, at_ns, &alone_ns) && alone_ns <= at_ns)
		return true;
	if (decide_redeem(view, &gate->flows[flow], traffic, 1, at_ns + EPOCH).reason ==
	    TG_ADMITTED)
		return true;
	decide_cancel(view, &gate->flows[flow], traffic, 1, slot->at_ns + EPOCH, &slot->taken);
	return false;
}

static uint32_t gate_room(void *self, uint32_t flow, enum tg_class traffic, uint64_t at_ns)
{
	struct tollgate_policy *gate = self;
	uint32_t room = 0;

	decide_ask(&gate->scratch.segment->view, &gate->flows[flow], traffic, 1, at_ns + EPOCH,
		   &room);
	return room;
}

static uint32_t gate_changes(void *self, uint32_t flow)
{
	const struct tollgate_policy *gate = self;

	return atomic_load_explicit(
		&gate->scratch.segment->view.more[gate->flows[flow].slot].changes,
		memory_order_relaxed);
}

/* What tg_connect would say, without taking anything. */
static uint64_t gate_connect(void *self, uint32_t index, enum tg_class traffic, uint32_t open,
			     uint64_t at_ns)
{
	struct tollgate_policy *gate = self;
	const struct tg_flow *flow = &gate->flows[index];
	const struct layout_limits_more *more = decide_more(&gate->scratch.segment->view, flow);
	uint64_t rate = atomic_load_explicit(&more->connection_rate, memory_order_relaxed);
	uint64_t words = atomic_load_explicit(&more->connections, memory_order_relaxed);
	uint64_t tat = atomic_load_explicit(
		&gate->scratch.segment->view.counters[flow->slot].connection_tat,
		memory_order_relaxed);
	uint64_t earliest;

	if (gate_alone(gate, at_ns, &earliest))
		return earliest;
	if (open >= (words >> (16 * traffic) & 0xffff) || gcra_burst(rate) == 0)
		return UINT64_MAX;
	earliest = gcra_earliest(tat ^ gcra_epoch(tat), gcra_interval(rate), gcra_burst(rate), 1);
	return earliest > at_ns + EPOCH ? earliest - EPOCH : at_ns;
}

static void gate_connected(void *self, uint32_t flow, enum tg_class traffic, uint64_t at_ns)
{
	struct tollgate_policy *gate = self;

	decide_connect(&gate->scratch.segment->view, &gate->flows[flow], traffic, false,
		       at_ns + EPOCH);
}

static uint32_t gate_per_connection(void *self, uint32_t flow)
{
	struct tollgate_policy *gate = self;
	const struct layout_limits_more *more =
		decide_more(&gate->scratch.segment->view, &gate->flows[flow]);
	uint32_t max =
		(uint32_t)(atomic_load_explicit(&more->connections, memory_order_relaxed) >> 48);

	return max ? max : UINT32_MAX;
}

/* The source that was used least of late goes first, as tg_pick spreads by room. */
static double gate_rank(void *self, uint32_t flow, uint64_t at_ns)
{
	const struct tollgate_policy *gate = self;
	uint64_t tat = atomic_load_explicit(
		&gate->scratch.segment->view.counters[gate->flows[flow].slot].tat,
		memory_order_relaxed);

	return (double)(tat ^ gcra_epoch(tat));
}

static double gate_rate(void *self, uint32_t flow)
{
	const struct tollgate_policy *gate = self;
	uint64_t interval = gcra_interval(atomic_load_explicit(
		&gate->scratch.segment->limits[gate->flows[flow].slot].rate[TG_BULK],
		memory_order_relaxed));

	return interval ? (double)UNITS_SECOND_NS / (double)interval : 0;
}

/* For people: what was heard, and what came of it. */
static void gate_trace(struct tollgate_policy *gate, uint32_t index, const char *text,
		       uint64_t at_ns)
{
	char state[512] = "";
	struct control_limits control;
	struct control_bounds bounds;
	struct effective effective;
	uint64_t now = at_ns + EPOCH, held;
	uint32_t slot = gate->flows[index].slot;

	if (engine_effective(gate->scratch.engine, slot, now, &effective, &control, &bounds) != 0)
		return;
	engine_describe(gate->scratch.engine, slot, now, state, sizeof state);
	held = effective.limits.hold_until_ns > now ? effective.limits.hold_until_ns - now : 0;
	fprintf(gate->env->trace, "%.1f\t%u\t%.60s\t%.2f/min, burst %u %u %u\theld %.1fs\t%s\n",
		(double)at_ns / UNITS_SECOND_NS, index, text ? text : "(no word)",
		60 * gate_rate(gate, index), effective.limits.burst[TG_TRANSACTIONAL],
		effective.limits.burst[TG_ENGAGED], effective.limits.burst[TG_BULK],
		(double)held / UNITS_SECOND_NS, state);
}

/* As tg_report: counts first, then a record, but of a plain delivery only where it is asked for. */
static void gate_reply(void *self, uint32_t index, const struct policy_reply *reply, uint64_t at_ns)
{
	struct tollgate_policy *gate = self;
	const struct tg_flow *flow = &gate->flows[index];
	struct layout_counters_more *counts =
		&gate->scratch.segment->view.counters_more[flow->slot];
	struct tg_reply parsed = {.code = reply->delivered ? 250 : 0};
	struct layout_record record;

	if (reply->text)
		tg_reply_parse(reply->text, strlen(reply->text), &parsed);
	atomic_fetch_add_explicit(reply->delivered     ? &counts->delivered
				  : parsed.code >= 500 ? &counts->bounced
						       : &counts->deferred,
				  1, memory_order_relaxed);
	gate->scratch.counted = true;
	if (reply->delivered &&
	    !(decide_flags(&gate->scratch.segment->view, flow) & LAYOUT_REPORT_DELIVERED))
		return;
	record = (struct layout_record){
		.kind = LAYOUT_RECORD_REPLY,
		.slot = flow->slot,
		.source = flow->source,
		.destination = flow->destination,
		.replied_ns = at_ns + EPOCH,
		.admitted_ns = reply->admitted_ns + EPOCH,
		.n = 1,
		.code = parsed.code,
		.enhanced = {parsed.enhanced[0], parsed.enhanced[1], parsed.enhanced[2]},
		.place = (uint16_t)reply->place,
		.traffic = (uint8_t)reply->traffic,
		.stage = (uint8_t)reply->stage,
		.length = (uint16_t)(parsed.length < LAYOUT_TEXT ? parsed.length : LAYOUT_TEXT),
		.open = reply->open_connections + 1,
	};
	if (record.length)
		memcpy(record.text, parsed.text, record.length);
	if (!gate->scratch.engine) {
		if (gate->ring_count < gate->ring_room)
			gate->ring[gate->ring_count++] = record;
		return;
	}
	engine_record(gate->scratch.engine, &record, at_ns + EPOCH);
	scratch_work(&gate->scratch, at_ns + EPOCH);
	if (gate->env->trace && !reply->delivered)
		gate_trace(gate, index, reply->text, at_ns);
}

/* ---- the sidecar's loop ---------------------------------------------------------------------- */

/* When the sidecar ends or begins next. */
static uint64_t gate_turn(const struct tollgate_policy *gate)
{
	const struct scenario_restart *restart;

	if (gate->restart == gate->env->restart_count || gate->error)
		return UINT64_MAX;
	restart = &gate->env->restarts[gate->restart];
	return gate->scratch.engine ? restart->at_ns : restart->at_ns + restart->for_ns;
}

/* The machine is up again: a segment is made, and what was kept is put back. */
static int gate_reboot(struct tollgate_policy *gate, uint64_t now_ns)
{
	size_t count = gate->env->source_count * gate->env->receiver_count;
	struct scratch before = gate->scratch;
	struct tg_flow *flows = calloc(count, sizeof *flows);
	int error = flows ? scratch_open(&gate->setup, &gate->scratch) : -ENOMEM;

	if (!error) {
		memcpy(flows, gate->flows, count * sizeof *flows);
		error = gate_claim(gate, gate->env, now_ns);
	}
	for (size_t i = 0; !error && i < count; i++) {
		const struct tg_flow *to = &gate->flows[i];

		error = reboot_flow(before.segment, flows[i].slot, &gate->scratch, to->slot,
				    gate->setup.wall_offset_ns, now_ns);
		reboot_usage(before.segment, flows[i].source, &gate->scratch, to->source);
		reboot_usage(before.segment, flows[i].destination, &gate->scratch, to->destination);
	}
	if (!error)
		engine_sharing_resume(gate->scratch.engine, now_ns);
	/* Those that did not fit stay where they were: the sidecar stays away. */
	if (error && flows) {
		scratch_close(&gate->scratch);
		gate->scratch = before;
		memcpy(gate->flows, flows, count * sizeof *flows);
	} else if (!error) {
		scratch_close(&before);
	}
	free(flows);
	return error;
}

/* A new sidecar adopts the segment, or makes one, and reads first what the rings hold. */
static void gate_begin(struct tollgate_policy *gate, uint64_t at_ns)
{
	if (gate->env->restarts[gate->restart].reboot) {
		gate->error = gate_reboot(gate, at_ns + EPOCH);
		/* Whatever workers had to report is gone, but for what they counted. */
		gate->ring_count = 0;
	} else {
		gate->error = scratch_adopt(&gate->scratch, &gate->setup, at_ns + EPOCH);
	}
	if (gate->error) {
		scratch_end(&gate->scratch);
		return;
	}
	for (size_t i = 0; i < gate->ring_count; i++)
		engine_record(gate->scratch.engine, &gate->ring[i], at_ns + EPOCH);
	gate->ring_count = 0;
	gate->scratch.counted = true;
	gate->restart++;
}

static uint64_t gate_wake(void *self)
{
	const struct tollgate_policy *gate = self;
	uint64_t work_ns = at_of(scratch_wake(&gate->scratch)), turn_ns = gate_turn(gate);

	return work_ns < turn_ns ? work_ns : turn_ns;
}

static void gate_tick(void *self, uint64_t at_ns)
{
	struct tollgate_policy *gate = self;

	while (at_ns >= gate_turn(gate)) {
		if (gate->scratch.engine)
			scratch_end(&gate->scratch);
		else
			gate_begin(gate, at_ns);
	}
	if (gate->scratch.engine)
		scratch_run(&gate->scratch, at_ns + EPOCH);
}

const struct simulate_policy policy_tollgate = {
	.name = "tollgate",
	.create = gate_create,
	.destroy = gate_destroy,
	.earliest = gate_earliest,
	.admit = gate_admit,
	.reply = gate_reply,
	.connect = gate_connect,
	.connected = gate_connected,
	.per_connection = gate_per_connection,
	.rank = gate_rank,
	.reserve = gate_reserve,
	.redeem = gate_redeem,
	.room = gate_room,
	.changes = gate_changes,
	.wake = gate_wake,
	.tick = gate_tick,
	.rate = gate_rate,
};
