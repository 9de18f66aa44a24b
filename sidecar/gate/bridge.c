/* SPDX-License-Identifier: MIT
 *
 * The sidecar's end of the gate: every tenth of a second events and the heartbeat, every second the
 * limits of each flow, worked out anew and written where they changed.
 */
#include "sidecar/gate/bridge.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "shm/destination.h"
#include "shm/lease.h"
#include "sidecar/base/log.h"
#include "sidecar/gate/addresses.h"
#include "sidecar/gate/count_json.h"
#include "sidecar/gate/gated.h"
#include "sidecar/gate/limits.h"
#include "sidecar/io/dns.h"

#define BEAT_NS	  UINT64_C(100000000)
#define SECOND_NS UINT64_C(1000000000)
#define PIN_PATH  "/sys/fs/bpf/tollgate"
/* What the split writes holds for so long, should the sidecar not come to write it again. */
#define SPLIT_NS   (5 * SECOND_NS)
#define SPLIT_NAME "ebpf-split"
#define PAGE_FLOWS 100 /* lines of an answer at a time */
#define DEMAND_MAX 1000000
#define LEARNED_NS (86400 * SECOND_NS)
/* RFC 5321, 4.2.3 */
#define BAD_SEQUENCE 503

/* What the bridge remembers of a slot of the gate's table. */
struct bridge_flow {
	uint64_t tag;
	uint32_t slot; /* of the segment; LAYOUT_NONE: no room there */
	uint32_t set;
	uint64_t kernel, worker; /* demand in messages, decaying by an eighth a second */
	uint64_t attempts;	 /* granted and unpaid, as last seen */
	uint32_t messages;	 /* of workers, as last seen, low half */
	struct gate_limits limits;
};

struct gate_bridge {
	struct loop *loop;
	struct segment *segment;
	struct engine *engine;
	const struct config *config;
	struct gate *gate; /* NULL: off, or missing */
	struct gate_addresses names;
	struct dns *resolve;
	struct bridge_flow *flows;
	uint64_t flows_max;
	struct connections *connections;
	struct gated *gated;	 /* NULL: no memory, or no gate */
	int soon;		 /* a timer: limits have changed */
	int64_t clock_offset_ns; /* the kernel's clock less ours */
	uint64_t unseen;	 /* gate_unseen, as last looked at */
	uint64_t full;		 /* connections that found no room, as was said last */
	uint64_t full_said_ns;
	uint64_t replies; /* heard in the kernel */
	uint64_t look;	  /* the next of them to be looked at */
	uint64_t looked_ns;
	uint64_t second_ns;
	int watches[2];
	int timer;
	char missing[256];
};

/* ---- one flow -------------------------------------------------------------------------------- */

static const char *flow_name(const struct gate_bridge *b, const struct gate_key *key, char *text,
			     size_t size)
{
	const char *name = gate_addresses_text(&b->names, key->destination_id);
	uint8_t address[16];

	if (name)
		return name;
	memcpy(address, key->destination, sizeof(address));
	return destination_address_text(address, text, size);
}

/* Of all who send in the flow. */
static uint64_t messages_all(const struct gate_bridge *b, uint32_t slot)
{
	const struct layout_counters_more *totals = &b->segment->view.counters_more[slot];

	/* Relaxed: figures that workers write, each by itself. */
	return atomic_load_explicit(&totals->delivered, memory_order_relaxed) +
	       atomic_load_explicit(&totals->deferred, memory_order_relaxed) +
	       atomic_load_explicit(&totals->bounced, memory_order_relaxed);
}

/* Of workers alone, modulo 2^32: what a log, a filter or the kernel told went through connections
 * that the kernel paces. */
static uint32_t worker_messages(const struct gate_bridge *b, uint32_t slot)
{
	return (uint32_t)messages_all(b, slot) - engine_heard_count(b->engine, slot);
}

/* Messages a connection, as measured: those of marked sockets; or all, where no worker has ever
 * charged the flow, so that what is reported of it went through the connections seen here. */
static uint32_t messages_milli(const struct gate_bridge *b, const struct bridge_flow *flow,
			       const struct gate_count *count)
{
	uint64_t messages = messages_all(b, flow->slot);
	uint64_t connections = count->count[GATE_PREADMITTED];
	uint64_t milli;

	if (connections == 0 && atomic_load_explicit(&b->segment->view.counters[flow->slot].tat,
						     memory_order_relaxed) == 0)
		connections = count->count[GATE_ESTABLISHED];
	if (connections == 0 || messages / DEMAND_MAX > connections)
		return EBPF_MILLI;
	milli = messages * EBPF_MILLI / connections;
	return milli < EBPF_MILLI	   ? EBPF_MILLI
	       : milli > 1000 * EBPF_MILLI ? 1000 * EBPF_MILLI
					   : (uint32_t)milli;
}

/* The kernel's share, by how much each world has sent lately. */
static uint32_t flow_share(const struct gate_bridge *b, struct bridge_flow *flow,
			   const struct gate_count *count, uint32_t milli)
{
	/* What each was granted, not what it tried: one that tries a thousand times a second wants
	 * no more than one that waits. Who uses less than his share loses the rest of it to the
	 * other. */
	uint64_t attempts = count->count[GATE_PASSED] + count->count[GATE_HELD];
	uint32_t messages = worker_messages(b, flow->slot), sent = messages - flow->messages;
	uint64_t more = attempts - flow->attempts;

	flow->kernel -= flow->kernel / 8;
	flow->worker -= flow->worker / 8;
	if (flow->set) {
		flow->kernel += (more < DEMAND_MAX ? more : 0) * milli;
		flow->worker += (uint64_t)(sent < DEMAND_MAX ? sent : 0) * EBPF_MILLI;
	}
	flow->attempts = attempts;
	flow->messages = messages;
	/* Below a message in the window it is nothing. */
	return gate_limits_share(flow->kernel / EBPF_MILLI, flow->worker / EBPF_MILLI);
}

/* What is in force for the flow, but for what the split itself has set. -ENOENT: nothing; 1: a probe
 * decides. */
static int flow_effective(const struct gate_bridge *b, uint32_t slot, const uint8_t source[16],
			  const char *name, uint64_t now_ns, struct effective *ret)
{
	struct control_limits control;
	struct control_bounds bounds;
	struct constraint constraints[CONSTRAINTS];
	struct resolved_limits resolved;
	double peaks[BASELINE_SPANS];
	uint32_t caps[BASELINE_SPANS];
	bool split = false, probing;
	int error = engine_effective(b->engine, slot, now_ns, ret, &control, &bounds);

	if (error)
		return error;
	probing = ret->rate_by == BY_CONTROL &&
		  (control.phase == CONTROL_HELD || control.phase == CONTROL_PROBING);
	memcpy(constraints, engine_effects(b->engine, slot), sizeof(constraints));
	for (int i = 0; i < CONSTRAINTS; i++) {
		if (constraints[i].kind == CONSTRAINT_NONE ||
		    strcmp(constraints[i].name, SPLIT_NAME) != 0)
			continue;
		constraints[i].kind = CONSTRAINT_NONE;
		split = true;
	}
	if (!split)
		return probing;
	limits_resolve_flow(b->config, source, name, &resolved);
	effective_merge(&resolved.limits, resolved.limits.flags & FLOW_ADAPT ? &control : NULL,
			constraints, 0, now_ns, ret);
	if (engine_history(b->engine, slot, now_ns, peaks, caps))
		effective_baseline(ret, caps);
	effective_share(ret, constraints, now_ns);
	return probing;
}

static void split_apply(const struct gate_bridge *b, uint32_t slot, enum constraint_kind kind,
			uint64_t value, uint64_t now_ns)
{
	struct constraint constraint = {
		.kind = kind, .value = value, .from_ns = now_ns, .until_ns = now_ns + SPLIT_NS};

	snprintf(constraint.name, sizeof(constraint.name), SPLIT_NAME);
	snprintf(constraint.why, sizeof(constraint.why),
		 "the rest is for connections paced in the kernel");
	engine_constraint_add(b->engine, slot, &constraint, now_ns);
}

/* The workers' part, where both send. */
static void workers_limit(const struct gate_bridge *b, uint32_t slot,
			  const struct publish_limits *limits, uint32_t share, uint64_t open,
			  uint64_t now_ns)
{
	uint32_t rest = EBPF_MILLI - share, cap = limits->connections[TG_TRANSACTIONAL];
	uint32_t hour = limits->hour_cap[TG_TRANSACTIONAL];

	if (rest == 0)
		return;
	if (limits->interval_ns)
		split_apply(b, slot, CONSTRAINT_INTERVAL,
			    (uint64_t)((unsigned __int128)limits->interval_ns * EBPF_MILLI / rest),
			    now_ns);
	if (hour != PUBLISH_NO_CAP)
		split_apply(b, slot, CONSTRAINT_HOUR, (uint64_t)hour * rest / EBPF_MILLI, now_ns);
	if (cap && open)
		split_apply(b, slot, CONSTRAINT_CONNECTIONS, cap > open ? cap - open : 1, now_ns);
}

static uint32_t worker_open(const struct gate_bridge *b, uint32_t slot)
{
	uint64_t gauge = atomic_load_explicit(&b->segment->view.counters_more[slot].gauge,
					      memory_order_relaxed);

	return lease_count(gauge);
}

static void flow_limit(struct gate_bridge *b, struct bridge_flow *flow,
		       const struct gate_count *count, const char *name, uint64_t now_ns)
{
	struct ebpf_use use = {.messages_milli = EBPF_MILLI, .share_milli = EBPF_MILLI};
	struct gate_limits limits;
	struct effective effective;
	struct ebpf_rule rule;
	uint8_t source[16];
	int probing;

	memcpy(source, count->key.source, sizeof(source));
	probing = flow_effective(b, flow->slot, source, name, now_ns, &effective);
	if (probing < 0)
		return;
	use.probing = probing;
	use.worker_open = worker_open(b, flow->slot);
	use.messages_milli = messages_milli(b, flow, count);
	use.share_milli = flow_share(b, flow, count, use.messages_milli);
	if (flow->kernel >= EBPF_MILLI && flow->worker >= EBPF_MILLI)
		workers_limit(b, flow->slot, &effective.limits, use.share_milli,
			      count->open + count->adopted, now_ns);
	gate_limits_rule(&b->config->ebpf, name, &rule);
	gate_limits_of(&effective.limits, &rule, &use, now_ns, &limits);
	if (flow->set && memcmp(&limits, &flow->limits, sizeof(limits)) == 0)
		return;
	if (gate_flow_set_key(b->gate, &count->key, &limits, now_ns) == 0) {
		flow->limits = limits;
		flow->set = 1;
	}
}

static void flow_look(void *arg, const struct gate_count *count)
{
	struct gate_bridge *b = arg;
	struct bridge_flow *flow = &b->flows[count->slot];
	char text[64];
	const char *name = flow_name(b, &count->key, text, sizeof(text));
	uint64_t now_ns = loop_now();

	if (flow->tag != count->tag) {
		uint8_t source[16];

		memset(flow, 0, sizeof(*flow));
		flow->tag = count->tag;
		memcpy(source, count->key.source, sizeof(source));
		flow->slot = engine_claim(b->engine, source, name, now_ns);
	}
	/* Without room in the segment the destination's defaults go on in the kernel. */
	if (flow->slot == LAYOUT_NONE)
		return;
	gated_see(b->gated, flow->slot, count->slot, now_ns);
	flow_limit(b, flow, count, name, now_ns);
}

static void defaults_set(struct gate_bridge *b, uint32_t id, const char *name, uint64_t now_ns)
{
	const struct ebpf_use use = {.messages_milli = EBPF_MILLI, .share_milli = EBPF_MILLI};
	struct publish_limits limits;
	struct gate_limits gate;
	struct ebpf_rule rule;
	struct resolved_limits resolved;

	limits_resolve_flow(b->config, NULL, name, &resolved);
	effective_plain(&resolved.limits, &limits);
	gate_limits_rule(&b->config->ebpf, name, &rule);
	gate_limits_of(&limits, &rule, &use, now_ns, &gate);
	gate_destination_set(b->gate, id, &gate, now_ns);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void failed_take(struct gate_bridge *b, const struct gate_event *event)
{
	static const char *const texts[] = {[GATE_FAILED_RESET] = "connection refused",
					    [GATE_FAILED_TIMEOUT] = "connection timed out",
					    [GATE_FAILED_OTHER] = "connection failed"};
	const struct bridge_flow *flow = &b->flows[event->slot];
	struct engine_heard heard = {
		.stage = TG_STAGE_CONNECT, .n = 1, .by = ENGINE_BY_GATE, .peer_known = true};

	if (flow->tag != event->tag || flow->slot == LAYOUT_NONE ||
	    event->reason > GATE_FAILED_OTHER || !texts[event->reason])
		return;
	memcpy(heard.peer, event->remote, sizeof(heard.peer));
	heard.replied_ns = heard.admitted_ns = loop_now();
	heard.text = texts[event->reason];
	heard.length = strlen(heard.text);
	engine_heard(b->engine, flow->slot, &heard, heard.replied_ns);
}

/* The reply alone, without the end of its last line and what was pipelined behind it. */
static size_t reply_length(const char *text, size_t length)
{
	for (size_t line = 0; line < length;) {
		const char *feed = memchr(text + line, '\n', length - line);
		size_t end = feed ? (size_t)(feed - text) : length;

		if (end - line < 4 || text[line + 3] != '-' || feed == NULL)
			return end > line && text[end - 1] == '\r' ? end - 1 : end;
		line = end + 1;
	}
	return length;
}

/* What a receiver answered, for an MTA whose log or filter nobody reads. A text that has no code is
 * none; 503 answers a command that came behind a refused one. */
static void reply_take(struct gate_bridge *b, const struct gate_reply *reply)
{
	const struct gate_event *event = &reply->event;
	const struct bridge_flow *flow = &b->flows[event->slot];
	const char *text = (const char *)reply->text;
	struct engine_heard heard = {
		.n = 1, .replied_ns = loop_now(), .by = ENGINE_BY_KERNEL, .peer_known = true};
	struct tg_reply line;

	if (flow->tag != event->tag || flow->slot == LAYOUT_NONE ||
	    reply->length > sizeof(reply->text) ||
	    tg_reply_parse(text, reply_length(text, reply->length), &line) != 0 ||
	    line.code == BAD_SEQUENCE)
		return;
	heard.code = line.code;
	heard.enhanced = (unsigned)line.enhanced[0] << 20 | (unsigned)line.enhanced[1] << 10 |
			 line.enhanced[2];
	heard.stage = event->reason ? TG_STAGE_GREETING : TG_STAGE_MESSAGE;
	heard.admitted_ns = event->due_ns - (uint64_t)b->clock_offset_ns;
	memcpy(heard.peer, event->remote, sizeof(heard.peer));
	heard.text = line.text;
	heard.length = line.length;
	b->replies++;
	engine_heard(b->engine, flow->slot, &heard, heard.replied_ns);
}

/* A worker went where no prefix pointed, and said whose address that is. Its word is as good as
 * that of any in the group, so it holds for a day and never against the configuration. */
static void preadmitted_take(struct gate_bridge *b, const struct gate_event *event)
{
	const struct hash_key key = {{event->destination[0], event->destination[1]}};
	uint32_t slot = segment_find(b->segment, &key, false), id;
	uint8_t address[16];
	char name[DESTINATION_NAME_MAX + 1];

	if (slot == LAYOUT_NONE || segment_kind(b->segment, slot) != SEGMENT_DESTINATION)
		return;
	segment_name(b->segment, slot, name, sizeof(name));
	memcpy(address, event->remote, sizeof(address));
	id = name[0] ? gate_addresses_id(&b->names, name) : 0;
	if (id == 0 || gate_addresses_add(&b->names, address, 128, id, EBPF_LEARNED,
					  loop_now() + LEARNED_NS) != 0)
		return;
	defaults_set(b, id, name, loop_now());
}

/* What the connections are told of an event, in our clock. */
static void connection_take(struct gate_bridge *b, const struct gate_event *event,
			    const struct gate_key *key)
{
	uint64_t due_ns = event->due_ns - (uint64_t)b->clock_offset_ns;
	uint64_t at_ns = event->at_ns - (uint64_t)b->clock_offset_ns;
	const struct connection_seen seen = {.source = (const uint8_t *)key->source,
					     .remote = (const uint8_t *)event->remote,
					     .began_ns = due_ns - event->wait_ns,
					     .due_ns = due_ns,
					     .tag = event->tag,
					     .slot = event->slot};

	if (b->connections == NULL)
		return;
	if (event->kind == GATE_EVENT_OPENED)
		connections_opened(b->connections, &seen);
	else
		connections_ended(b->connections, &seen, at_ns, event->kind == GATE_EVENT_CLOSED);
}

static void event_take(void *arg, const struct gate_event *event, const struct gate_key *key)
{
	struct gate_bridge *b = arg;
	struct gate_count count;

	if (event->slot >= b->flows_max)
		return;
	if (event->kind == GATE_EVENT_FLOW && gate_count_of(b->gate, event->slot, &count) == 0)
		flow_look(b, &count);
	else if (event->kind == GATE_EVENT_FAILED)
		failed_take(b, event);
	else if (event->kind == GATE_EVENT_REPLY)
		reply_take(b, (const struct gate_reply *)event);
	else if (event->kind == GATE_EVENT_PAID)
		preadmitted_take(b, event);
	if (event->kind == GATE_EVENT_OPENED || event->kind == GATE_EVENT_CLOSED ||
	    event->kind == GATE_EVENT_FAILED)
		connection_take(b, event, key);
}

/* From within the engine: what has changed is looked at when that is done. */
static void change_seen(void *arg, const struct engine_change *change, uint64_t now_ns)
{
	struct gate_bridge *b = arg;

	if (gated_change(b->gated, change->slot, now_ns))
		loop_timer_set(b->loop, b->soon, now_ns);
}

static void changes_take(void *arg, uint64_t now_ns)
{
	struct gate_bridge *b = arg;
	struct gate_count count;
	uint32_t slot;

	while (gated_next(b->gated, &slot))
		if (slot < b->flows_max && gate_count_of(b->gate, slot, &count) == 0)
			flow_look(b, &count);
}

static void unseen_look(struct gate_bridge *b)
{
	uint64_t unseen = gate_unseen(b->gate);

	if (unseen != b->unseen)
		connections_lost(b->connections, loop_now());
	b->unseen = unseen;
}

int gate_bridge_source(struct gate_bridge *b, const struct connection_query *query, bool connecting,
		       uint8_t ret[16])
{
	if (b->connections == NULL)
		return -ENOENT;
	gate_consume(b->gate); /* the line may have come before the event */
	unseen_look(b);
	if (!connecting)
		return connections_source(b->connections, query, ret);
	return connections_failed(b->connections, query) ? -EALREADY : -ENOENT;
}

bool gate_bridge_gated(const struct gate_bridge *b, uint32_t slot)
{
	return gated_has(b->gated, slot, loop_now());
}

bool gate_bridge_kept(struct gate_bridge *b, uint32_t slot, const struct connection_query *query)
{
	if (b->connections == NULL || !gate_bridge_gated(b, slot))
		return false;
	gate_consume(b->gate);
	unseen_look(b);
	return !connections_failed(b->connections, query);
}

static void readable(void *arg, int revents)
{
	struct gate_bridge *b = arg;

	gate_consume(b->gate);
}

/* A part at each beat, each flow once a second: all of them at once would keep the loop. A beat
 * that comes late does the part of those that were missed, or what the split sets would run out
 * before it is set again. */
static void flows_look(struct gate_bridge *b, uint64_t now_ns)
{
	uint64_t passed_ns = now_ns - b->looked_ns;
	uint64_t part =
		passed_ns < SECOND_NS ? b->flows_max * passed_ns / SECOND_NS + 1 : b->flows_max;
	struct gate_count count;

	b->looked_ns = now_ns;
	for (; part > 0; part--, b->look = b->look + 1 < b->flows_max ? b->look + 1 : 0)
		if (gate_count_of(b->gate, (uint32_t)b->look, &count) == 0)
			flow_look(b, &count);
}

/* What finds no room passes, also where the mode is deny. Said once a minute while it goes on. */
static void full_say(struct gate_bridge *b, uint64_t now_ns)
{
	struct gate_status status;

	if (b->full_said_ns && now_ns - b->full_said_ns < 60 * SECOND_NS)
		return;
	gate_status(b->gate, &status);
	if (status.total[GATE_TOTAL_FULL] <= b->full)
		return;
	log_warning("gate",
		    "%llu connections passed without a limit: the kernel's table of %llu flows had "
		    "no room for them; raise ebpf.flows",
		    (unsigned long long)(status.total[GATE_TOTAL_FULL] - b->full),
		    (unsigned long long)b->flows_max);
	b->full = status.total[GATE_TOTAL_FULL];
	b->full_said_ns = now_ns;
}

static void beat(void *arg, uint64_t now_ns)
{
	struct gate_bridge *b = arg;

	loop_timer_set(b->loop, b->timer, now_ns + BEAT_NS);
	gate_consume(b->gate);
	gate_tick(b->gate, now_ns);
	flows_look(b, now_ns);
	if (now_ns - b->second_ns < SECOND_NS)
		return;
	b->second_ns = now_ns;
	gate_addresses_expire(&b->names, now_ns);
	full_say(b, now_ns);
}

/* ---- addresses from DNS ---------------------------------------------------------------------- */

/* An address of an MX host: it belongs to the destination that the host's name belongs to. */
static void resolved(void *arg, const char *host, const uint8_t address[16], uint64_t until_ns)
{
	struct gate_bridge *b = arg;
	struct destination_match match;
	uint32_t known = b->names.count, id;

	if (destination_match(b->config->table, b->config->table_length, host, &match) != 0)
		return;
	id = gate_addresses_id(&b->names, match.name);
	/* Those of a name that was known are set: it takes a walk through all flows. */
	if (id && gate_addresses_add(&b->names, address, 128, id, EBPF_RESOLVED, until_ns) == 0 &&
	    id > known)
		defaults_set(b, id, match.name, loop_now());
}

static void resolve_configure(struct gate_bridge *b)
{
	dns_clear(b->resolve);
	if (b->resolve == NULL || !b->config->ebpf.resolve.value)
		return;
	for (uint32_t i = 0; i < b->config->effective_count; i++) {
		uint32_t count;
		char *const *domains = config_domains(b->config->effective[i], &count);

		for (uint32_t d = 0; d < count; d++)
			if (strchr(domains[d], '*') == NULL)
				dns_domain(b->resolve, domains[d]);
	}
}

/* ---- the configuration ----------------------------------------------------------------------- */

void gate_bridge_renewed(struct gate_bridge *b)
{
	if (b && b->gate) {
		gated_free(b->gated);
		b->gated = gated_create(b->segment->view.slots);
	}
	for (uint64_t i = 0; b && b->flows && i < b->flows_max; i++)
		b->flows[i] = (struct bridge_flow){.slot = LAYOUT_NONE};
}

void gate_bridge_configure(struct gate_bridge *b, const struct config *config)
{
	const struct config *old = b->config;
	uint64_t now_ns = loop_now();

	b->config = config;
	if (b->gate == NULL)
		return;
	if (old != config && old->ebpf.cgroups_count != config->ebpf.cgroups_count)
		log_warning(
			"gate",
			"changed cgroups, ports, flows and pins are taken up at the next start");
	gate_addresses_configure(&b->names, config);
	defaults_set(b, 0, "", now_ns);
	for (uint32_t id = 1; id <= b->names.count; id++)
		defaults_set(b, id, b->names.names[id - 1], now_ns);
	for (uint32_t i = 0; i < config->ebpf.cgroups_count; i++)
		gate_cgroup_mode(b->gate, i, (uint32_t)config->ebpf.mode.value + GATE_OBSERVE);
	resolve_configure(b);
	gate_counts(b->gate, flow_look, b);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* What proves to the kernel that a worker is attached to the segment, which only its group can
 * read. */
static uint64_t token_make(void)
{
	uint64_t token = 0;

	if (getrandom(&token, sizeof(token), 0) != sizeof(token))
		token = 0; /* no worker can mark: it is charged twice at worst */
	return token;
}

static void token_publish(const struct gate_bridge *b, uint64_t token)
{
	/* Relaxed: a word by itself. */
	atomic_store_explicit(&b->segment->live->gate_token, token, memory_order_relaxed);
}

static int gate_begin(struct gate_bridge *b)
{
	const struct config_ebpf *ebpf = &b->config->ebpf;
	struct gate_cgroup cgroups[GATE_CGROUPS];
	struct gate_options options = {
		.cgroups = cgroups,
		.cgroup_count = ebpf->cgroups_count,
		.ports = ebpf->ports,
		.port_count = ebpf->ports_count,
		.flows = (uint32_t)ebpf->flows.value,
		.max_wait_ns = ebpf->max_wait.value,
		.stale_ns = ebpf->heartbeat_timeout.value,
		.stale_policy = ebpf->on_timeout.value == CONFIG_GATE_FAIL_CLOSED
					? GATE_STALE_CLOSED
					: GATE_STALE_OPEN,
		.refuse_errno = (int)ebpf->refuse_errno.value,
		.pin = ebpf->pin.value ? PIN_PATH : NULL,
		.token = token_make(),
		.replies = ebpf->replies.value != 0,
		.event = event_take,
		.arg = b,
	};
	int error;

	for (uint32_t i = 0; i < ebpf->cgroups_count && i < GATE_CGROUPS; i++)
		cgroups[i] = (struct gate_cgroup){ebpf->cgroups[i],
						  (uint32_t)ebpf->mode.value + GATE_OBSERVE};
	error = gate_open(&options, &b->gate, b->missing, sizeof(b->missing));
	if (!error)
		token_publish(b, options.token);
	return error;
}

static const char *state_text(const struct gate_bridge *b, char *text, size_t size)
{
	static const char *const modes[] = {"observe", "pace", "deny"};
	struct gate_status status;

	if (b->gate == NULL) {
		snprintf(text, size, "%s", b->missing[0] ? b->missing : "off");
		return text;
	}
	gate_status(b->gate, &status);
	snprintf(text, size, "%s: %u of %u cgroups, %llu flows, %u addresses%s%s",
		 modes[b->config->ebpf.mode.value % 3], status.attached, status.cgroups,
		 (unsigned long long)status.flows, b->names.address_count,
		 status.taken_over ? ", taken over" : "",
		 status.total[GATE_TOTAL_FULL] ? ", the table was full" : "");
	return text;
}

static int watches_begin(struct gate_bridge *b)
{
	const struct engine_watcher watcher = {.arg = b, .change = change_seen};
	int fds[2];

	gate_fds(b->gate, fds);
	for (int i = 0; i < 2; i++) {
		b->watches[i] = loop_watch(b->loop, fds[i], POLLIN, readable, b);
		if (b->watches[i] < 0)
			return b->watches[i];
	}
	b->timer = loop_timer(b->loop, beat, b);
	b->soon = loop_timer(b->loop, changes_take, b);
	if (b->timer < 0 || b->soon < 0)
		return -ENOMEM;
	b->looked_ns = loop_now();
	loop_timer_set(b->loop, b->timer, b->looked_ns + BEAT_NS);
	return engine_watch(b->engine, &watcher);
}

static void open_add(void *arg, const struct gate_count *count)
{
	*(uint64_t *)arg += count->open + count->adopted + count->preadmitted_open;
}

static uint64_t open_count(const struct gate_bridge *b)
{
	uint64_t open = 0;

	gate_counts(b->gate, open_add, &open);
	return open;
}

static int bridge_begin(struct gate_bridge *b)
{
	struct gate_status status;
	char text[160];
	int error = gate_begin(b);

	if (error) {
		token_publish(b, 0);
		log_warning("gate", "connections are not gated: %s", b->missing);
		return 0;
	}
	gate_status(b->gate, &status);
	b->flows_max = status.flows_max;
	b->flows = calloc(b->flows_max, sizeof(*b->flows));
	if (b->flows == NULL)
		return -ENOMEM;
	b->gated = gated_create(b->segment->view.slots);
	b->clock_offset_ns = status.clock_offset_ns;
	b->unseen = gate_unseen(b->gate);
	if (connections_create(loop_now(), open_count(b) > 0, &b->connections) != 0)
		return -ENOMEM;
	b->names.gate = b->gate;
	if (dns_create(b->loop, resolved, b, &b->resolve) != 0)
		log_warning("gate",
			    "no DNS: destinations are known by their configured addresses alone");
	error = watches_begin(b);
	if (error)
		return error;
	log_notice("gate", "%s", state_text(b, text, sizeof(text)));
	return 0;
}

int gate_bridge_privileges(const struct gate_bridge *b, bool user_changed)
{
	if (b->gate == NULL)
		return 0;
	return user_changed ? gate_capabilities_drop(b->gate) : gate_capabilities_trim();
}

/* ---- what is said ---------------------------------------------------------------------------- */

bool gate_bridge_on(const struct gate_bridge *b)
{
	return b->gate != NULL;
}

void gate_bridge_put(const struct gate_bridge *b, struct json_writer *writer, const char *key)
{
	struct gate_status status;
	char text[300];

	json_put_object(writer, key);
	json_put_text(writer, "state", state_text(b, text, sizeof(text)));
	json_put_bool(writer, "on", b->gate != NULL);
	if (b->gate) {
		gate_status(b->gate, &status);
		json_put_u64(writer, "cgroups", status.attached);
		json_put_u64(writer, "flows", status.flows);
		json_put_u64(writer, "events", status.total[GATE_TOTAL_EVENTS]);
		json_put_u64(writer, "events_dropped", status.total[GATE_TOTAL_DROPPED]);
		json_put_u64(writer, "replies", b->replies);
		json_put_u64(writer, "replies_cut", status.total[GATE_TOTAL_REPLIES_CUT]);
		json_put_u64(writer, "full", status.total[GATE_TOTAL_FULL]);
		json_put_u64(writer, "stale", status.total[GATE_TOTAL_STALE]);
		json_put_u64(writer, "hz", status.hz);
		json_put_u64(writer, "addresses", b->names.address_count);
	}
	json_put_end(writer);
}

static int answer_connections(void *arg, struct control_call *call)
{
	struct gate_bridge *b = arg;
	struct gate_count count;
	char text[64];
	int lines = 0;

	if (b->gate == NULL) {
		snprintf(call->reason, sizeof(call->reason), "no connections are gated: %.200s",
			 b->missing[0] ? b->missing : "the configuration names no cgroup");
		return -ENOENT;
	}
	gate_consume(b->gate);
	for (; call->cursor < b->flows_max && lines < PAGE_FLOWS; call->cursor++) {
		if (gate_count_of(b->gate, (uint32_t)call->cursor, &count) != 0)
			continue;
		count_json_put(&count, flow_name(b, &count.key, text, sizeof(text)), call->answer);
		lines++;
	}
	return call->cursor < b->flows_max ? SERVER_MORE : SERVER_DONE;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* What was pinned before would go on without us where it is not to be taken over. */
static void pins_forget(void)
{
	int got = gate_pins_remove(PIN_PATH, loop_now());

	if (got == 1)
		log_notice("gate",
			   "what an earlier tollgated had pinned in the kernel is taken away");
	else if (got < 0 && got != -EBUSY)
		log_warning(
			"gate",
			"an earlier tollgated has pinned programs in the kernel, which go on by "
			"on_timeout; " PIN_PATH " cannot be removed: %s",
			strerror(-got));
}

int gate_bridge_create(struct loop *loop, struct segment *segment, struct engine *engine,
		       struct control_socket *server, const struct config *config,
		       struct gate_bridge **ret)
{
	struct gate_bridge *b = calloc(1, sizeof(*b));
	int error = 0;

	if (b == NULL)
		return -ENOMEM;
	b->loop = loop;
	b->segment = segment;
	b->engine = engine;
	b->config = config;
	b->watches[0] = b->watches[1] = -1;
	if (config->ebpf.cgroups_count == 0 || !config->ebpf.pin.value)
		pins_forget();
	if (config->ebpf.cgroups_count > 0)
		error = bridge_begin(b);
	if (!error)
		error = control_socket_handle(server, "connections", false, answer_connections, b);
	if (error) {
		gate_bridge_free(b);
		return error;
	}
	*ret = b;
	return 0;
}

void gate_bridge_free(struct gate_bridge *b)
{
	if (b == NULL)
		return;
	engine_unwatch(b->engine, b);
	dns_free(b->resolve);
	for (int i = 0; i < 2; i++)
		if (b->watches[i] >= 0)
			loop_unwatch(b->loop, b->watches[i]);
	if (b->gate && !b->config->ebpf.pin.value)
		token_publish(b, 0);
	gate_close(b->gate, 0);
	gate_addresses_free(&b->names);
	connections_free(b->connections);
	gated_free(b->gated);
	free(b->flows);
	free(b);
}
