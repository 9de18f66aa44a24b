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
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/base/log.h"
#include "sidecar/base/units.h"
#include "sidecar/engine/engine.h"
#include "sidecar/simulate/policies.h"
#include "sidecar/simulate/sim_config.h"

/* The segment's clock runs from some time before the run, as a machine's does from its boot. A
 * whole number of days, so that a calendar of zeroes has its hours and days begin with those of the
 * run. */
#define EPOCH UNITS_DAY_NS
/* Room for what the configuration names besides the scenario. */
#define SPARE_FLOWS 512
#define NAMES_MIN   (UINT32_C(1) << 20)
#define WORK_MAX    16

struct tollgate_policy {
	const struct sim_env *env;
	struct segment *segment;
	struct engine *engine;
	struct tg_flow *flows;
	uint64_t work_ns;   /* when the engine wants to be called */
	uint64_t second_ns; /* of its last look at the counts */
	bool counted;	    /* whether there is anything new to look at */
};

/* ---- making ---------------------------------------------------------------------------------- */

/* The files stay open and mapped; without their names nothing is left behind, however a run ends.
 */
static void folder_vanish(const struct segment *segment)
{
	int fd = openat(segment->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!folder && fd >= 0)
		close(fd);
	while (folder && (entry = readdir(folder)))
		unlinkat(segment->folder, entry->d_name, 0);
	if (folder)
		closedir(folder);
	rmdir(segment->path);
}

static int segment_make(const struct config *config, uint32_t flows, struct segment **ret)
{
	static const char *const places[] = {"/dev/shm", "/tmp"};
	char path[64], reason[SEGMENT_REASON] = "no place to make a folder";
	struct segment_options options = {
		.path = path,
		.owner = -1,
		.group = -1,
		.reserve_max_ns = config->segment.max_reservation.value,
		.sizes = {.flows = flows,
			  .workers = 1,
			  .ring_records = 2,
			  .minutes = 1,
			  .leases = 1,
			  .names_bytes = NAMES_MIN},
	};
	int rc = -ENOENT;

	engine_shape(&options);
	while (options.sizes.names_bytes < config->table_length * 2)
		options.sizes.names_bytes *= 2;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		snprintf(path, sizeof path, "%s/tollgate-simulate-XXXXXX", places[i]);
		if (!mkdtemp(path))
			continue;
		rc = segment_open(&options, ret, reason);
		if (!rc) {
			/* The run's time is the only one: debts are not measured by the machine's.
			 */
			(*ret)->clock = NULL;
			folder_vanish(*ret);
		} else {
			rmdir(path);
		}
		break;
	}
	if (rc)
		log_error("segment", "%s", reason);
	return rc;
}

static void gate_destroy(void *self)
{
	struct tollgate_policy *gate = self;

	if (!gate)
		return;
	engine_free(gate->engine);
	segment_close(gate->segment, false);
	free(gate->flows);
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

static int gate_claim(struct tollgate_policy *gate, const struct sim_env *env)
{
	for (size_t i = 0; i < env->source_count * env->receiver_count; i++) {
		uint8_t address[16];
		uint32_t slot;

		address_of(env->addresses[i / env->receiver_count], address);
		slot = engine_claim(gate->engine, address,
				    env->destinations[i % env->receiver_count], EPOCH);
		if (slot == LAYOUT_NONE)
			return -ENOSPC;
		gate->flows[i] = (struct tg_flow){
			.slot = slot,
			.source = segment_slot(gate->segment, slot)->source,
			.destination = segment_slot(gate->segment, slot)->destination,
			.stream = LAYOUT_NONE,
		};
	}
	return 0;
}

static void gate_work(struct tollgate_policy *gate, uint64_t now_ns)
{
	/* Piece by piece, as the loop calls it; what is due again at this instant waits for the
	 * next. */
	for (int i = 0; i < WORK_MAX; i++) {
		gate->work_ns = engine_work(gate->engine, now_ns);
		if (gate->work_ns > now_ns)
			return;
	}
}

static int gate_start(struct tollgate_policy *gate, const struct sim_env *env)
{
	size_t flows = env->source_count * env->receiver_count;
	const struct config *config = simulate_config_of(env->config);
	int rc = segment_make(config, (uint32_t)flows * 3 + config->effective_count + SPARE_FLOWS,
			      &gate->segment);

	gate->flows = calloc(flows, sizeof *gate->flows);
	if (!rc && !gate->flows)
		rc = -ENOMEM;
	if (!rc)
		rc = engine_create(gate->segment, &gate->engine);
	if (rc)
		return rc;
	engine_wall_offset(gate->engine, -(int64_t)EPOCH);
	rc = engine_configure(gate->engine, config, simulate_config_classifier(env->config),
			      simulate_config_rules(env->config), EPOCH);
	if (!rc)
		rc = gate_claim(gate, env);
	if (!rc)
		gate_work(gate, EPOCH);
	gate->second_ns = EPOCH;
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

/* ---- a worker -------------------------------------------------------------------------------- */

static uint64_t at_of(uint64_t ns)
{
	return ns == UINT64_MAX ? UINT64_MAX : ns - EPOCH;
}

static uint64_t gate_earliest(void *self, uint32_t flow, enum tg_class traffic, uint64_t at_ns)
{
	struct tollgate_policy *gate = self;
	uint32_t room;
	struct tg_verdict verdict = decide_ask(&gate->segment->view, &gate->flows[flow], traffic, 1,
					       at_ns + EPOCH, &room);

	return verdict.reason == TG_ADMITTED ? at_ns : at_of(verdict.at_ns);
}

static void gate_admit(void *self, uint32_t flow, enum tg_class traffic, uint64_t at_ns)
{
	struct tollgate_policy *gate = self;
	struct tg_verdict verdict =
		decide_admit(&gate->segment->view, &gate->flows[flow], traffic, 1, at_ns + EPOCH);

	/* Nobody else is there to take what was free a moment ago. */
	assert(verdict.reason == TG_ADMITTED);
	(void)verdict;
	gate->counted = true;
}

/* What tg_connect would say, without taking anything. */
static uint64_t gate_connect(void *self, uint32_t index, enum tg_class traffic, uint32_t open,
			     uint64_t at_ns)
{
	struct tollgate_policy *gate = self;
	const struct tg_flow *flow = &gate->flows[index];
	const struct layout_limits_more *more = decide_more(&gate->segment->view, flow);
	uint64_t rate = atomic_load_explicit(&more->connection_rate, memory_order_relaxed);
	uint64_t words = atomic_load_explicit(&more->connections, memory_order_relaxed);
	uint64_t tat = atomic_load_explicit(
		&gate->segment->view.counters[flow->slot].connection_tat, memory_order_relaxed);
	uint64_t earliest;

	if (open >= (words >> (16 * traffic) & 0xffff) || gcra_burst(rate) == 0)
		return UINT64_MAX;
	earliest = gcra_earliest(tat ^ gcra_epoch(tat), gcra_interval(rate), gcra_burst(rate), 1);
	return earliest > at_ns + EPOCH ? earliest - EPOCH : at_ns;
}

static void gate_connected(void *self, uint32_t flow, enum tg_class traffic, uint64_t at_ns)
{
	struct tollgate_policy *gate = self;

	decide_connect(&gate->segment->view, &gate->flows[flow], traffic, false, at_ns + EPOCH);
}

static uint32_t gate_per_connection(void *self, uint32_t flow)
{
	struct tollgate_policy *gate = self;
	const struct layout_limits_more *more =
		decide_more(&gate->segment->view, &gate->flows[flow]);
	uint32_t max =
		(uint32_t)(atomic_load_explicit(&more->connections, memory_order_relaxed) >> 48);

	return max ? max : UINT32_MAX;
}

/* The source that was used least of late goes first, as tg_pick spreads by room. */
static double gate_rank(void *self, uint32_t flow, uint64_t at_ns)
{
	const struct tollgate_policy *gate = self;
	uint64_t tat = atomic_load_explicit(
		&gate->segment->view.counters[gate->flows[flow].slot].tat, memory_order_relaxed);

	return (double)(tat ^ gcra_epoch(tat));
}

static double gate_rate(void *self, uint32_t flow)
{
	const struct tollgate_policy *gate = self;
	uint64_t interval = gcra_interval(
		atomic_load_explicit(&gate->segment->limits[gate->flows[flow].slot].rate[TG_BULK],
				     memory_order_relaxed));

	return interval ? (double)UNITS_SECOND_NS / (double)interval : 0;
}

/* For people: what was heard, and what came of it. */
static void gate_trace(struct tollgate_policy *gate, uint32_t index, const char *text,
		       uint64_t at_ns)
{
	char state[256] = "";
	struct control_limits control;
	struct control_bounds bounds;
	struct effective effective;
	struct engine_life life;
	uint64_t now = at_ns + EPOCH, held;
	uint32_t slot = gate->flows[index].slot;

	if (engine_effective(gate->engine, slot, now, &effective, &control, &bounds) != 0)
		return;
	life = engine_life(gate->engine, slot, now);
	control_describe(&life.control, &bounds, now, state, sizeof state);
	held = effective.limits.hold_until_ns > now ? effective.limits.hold_until_ns - now : 0;
	fprintf(gate->env->trace, "%.1f\t%u\t%.60s\t%.2f/min, burst %u %u %u\theld %.1fs\t%s\n",
		(double)at_ns / UNITS_SECOND_NS, index, text, 60 * gate_rate(gate, index),
		effective.limits.burst[TG_TRANSACTIONAL], effective.limits.burst[TG_ENGAGED],
		effective.limits.burst[TG_BULK], (double)held / UNITS_SECOND_NS, state);
}

/* As tg_report: counts first, then a record, but of a plain delivery only where it is asked for. */
static void gate_reply(void *self, uint32_t index, const struct policy_reply *reply, uint64_t at_ns)
{
	struct tollgate_policy *gate = self;
	const struct tg_flow *flow = &gate->flows[index];
	struct layout_counters_more *counts = &gate->segment->view.counters_more[flow->slot];
	struct tg_reply parsed = {.code = 250};
	struct layout_record record;

	if (reply->text)
		tg_reply_parse(reply->text, strlen(reply->text), &parsed);
	atomic_fetch_add_explicit(reply->delivered     ? &counts->delivered
				  : parsed.code >= 500 ? &counts->bounced
						       : &counts->deferred,
				  1, memory_order_relaxed);
	gate->counted = true;
	if (reply->delivered &&
	    !(decide_flags(&gate->segment->view, flow) & LAYOUT_REPORT_DELIVERED))
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
	engine_record(gate->engine, &record, at_ns + EPOCH);
	gate_work(gate, at_ns + EPOCH);
	if (gate->env->trace && !reply->delivered)
		gate_trace(gate, index, reply->text, at_ns);
}

/* ---- the sidecar's loop ---------------------------------------------------------------------- */

static uint64_t gate_wake(void *self)
{
	const struct tollgate_policy *gate = self;
	uint64_t second_ns = gate->second_ns + UNITS_SECOND_NS;

	return at_of(gate->counted && second_ns < gate->work_ns ? second_ns : gate->work_ns);
}

static void gate_tick(void *self, uint64_t at_ns)
{
	struct tollgate_policy *gate = self;
	uint64_t now = at_ns + EPOCH;

	if (gate->counted && now >= gate->second_ns + UNITS_SECOND_NS) {
		engine_housekeep(gate->engine, now);
		gate->second_ns = now;
		gate->counted = false;
	}
	gate_work(gate, now);
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
	.wake = gate_wake,
	.tick = gate_tick,
	.rate = gate_rate,
};
