/* SPDX-License-Identifier: MIT
 *
 * The flow table in mapped memory: limits in, counts out.
 *
 * The kernel program claims slots and writes states and counters; this side writes limits, and the
 * states only by compare-and-swap, to rescale them. A slot is emptied in two steps a second apart,
 * so that no program that found it before is still at work in it when it is zeroed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ebpf/gate.h"
#include "ebpf/gate_internal.h"
#include "shm/gcra.h"

/* Pairs with the exchange on ready in flow_claimed(): who sees ready sees the key. */
static int flow_ready(const struct gate_flow *flow)
{
	return __atomic_load_n(&flow->tag, __ATOMIC_RELAXED) > GATE_TAG_DYING &&
	       __atomic_load_n(&flow->ready, __ATOMIC_ACQUIRE);
}

void gate_table_configure(struct gate_table *table, const struct gate_options *options, uint32_t hz,
			  uint32_t syn_linear)
{
	struct gate_control *control = table->control;

	control->version = GATE_VERSION;
	control->hz = hz;
	control->syn_linear = syn_linear;
	control->stale_ns = options->stale_ns;
	control->max_wait_ns = options->max_wait_ns ? options->max_wait_ns : 12 * NS_PER_S;
	control->token = options->token;
	control->stale_policy = options->stale_policy;
	control->refuse_errno = (uint32_t)(options->refuse_errno ? options->refuse_errno : EPERM);
	/* Ports are set before the old ones go: a restarted loader leaves none ungated for a
	 * moment. */
	for (size_t i = 0; i < options->port_count; i++)
		table->ports[options->ports[i] / 64] |= UINT64_C(1) << options->ports[i] % 64;
	for (uint32_t port = 1; port < 65536; port++) {
		size_t i = 0;

		while (i < options->port_count && options->ports[i] != port)
			i++;
		if (i == options->port_count)
			table->ports[port / 64] &= ~(UINT64_C(1) << port % 64);
	}
}

uint32_t gate_table_find(struct gate_table *table, const struct gate_key *key,
			 uint64_t now_kernel_ns)
{
	uint64_t tag = gate_key_tag(key, table->control->seed);
	uint32_t base = gate_tag_bucket(tag, table->mask) * GATE_WAYS;

	/* As gate_find() in the kernel: twice, since a claim may be lost to another key. */
	for (int try = 0; try < 2; try++) {
		struct gate_flow *empty = NULL;
		uint64_t seen = GATE_TAG_FREE;

		for (uint32_t way = 0; way < GATE_WAYS; way++) {
			uint32_t slot = base + (gate_tag_way(tag) + way) % GATE_WAYS;
			struct gate_flow *flow = &table->flows[slot];
			uint64_t there = __atomic_load_n(&flow->tag, __ATOMIC_ACQUIRE);

			if (there == tag)
				return slot;
			if (there == GATE_TAG_FREE && !empty)
				empty = flow;
		}
		if (!empty)
			return GATE_NO_SLOT;
		if (__atomic_compare_exchange_n(&empty->tag, &seen, tag, 0, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED)) {
			empty->key = *key;
			empty->claimed_ns = empty->seen_ns = now_kernel_ns;
			/* Pairs with flow_ready(). */
			__atomic_store_n(&empty->ready, 1, __ATOMIC_RELEASE);
			return (uint32_t)(empty - table->flows);
		}
	}
	return GATE_NO_SLOT;
}

static const struct gate_limits *gate_table_limits(const struct gate_table *table,
						   const struct gate_flow *flow)
{
	uint32_t id = flow->key.destination_id;

	if (flow->limits.generation)
		return &flow->limits;
	if (id < table->destination_count && table->destinations[id].limits.generation)
		return &table->destinations[id].limits;
	return &table->destinations[0].limits;
}

/* ---- limits that change ----------------------------------------------------------------------
 *
 * A price is one word and the state another, so a price holds for one epoch, and a state says in
 * its top bits in which it is (gcra.h). A change stores the price before, the rates of the next
 * epoch with the smaller of both bursts, converts each state by compare-and-swap, and lets the
 * bursts grow. In between the kernel charges a state the price of its own epoch. Who dies here
 * leaves the price before in force; the next look, once a second, finishes. No change begins before
 * all states are in the epoch of the last. Epoch 0 is nobody's after the first change: the word 0
 * is a state that was never charged. */

#define EPOCHS 16

/* One record of limits, with the prices before. */
struct gate_flow_record {
	struct gate_limits *limits;
	__u64 *before;
};

static uint64_t epoch_next(uint64_t epoch)
{
	return ((epoch >> GCRA_EPOCH_SHIFT) % (EPOCHS - 1) + 1) << GCRA_EPOCH_SHIFT;
}

/* What applies to a flow of destination id. */
static struct gate_flow_record record_of(const struct gate_table *table, struct gate_flow *flow,
					 uint32_t id)
{
	if (flow->limits.generation)
		return (struct gate_flow_record){&flow->limits, flow->before};
	if (id >= table->destination_count || !table->destinations[id].limits.generation)
		id = 0;
	return (struct gate_flow_record){&table->destinations[id].limits,
					 table->destinations[id].before};
}

/* The program's clock, now: CLOCK_MONOTONIC of the initial time namespace. */
static uint64_t kernel_now(const struct gate_table *table)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec +
	       (uint64_t)table->clock_offset_ns;
}

/* What a state is in the epoch of rate: used stays used, counted in connections. One of an epoch
 * that is neither counts as a burst used up, as in the kernel (price_choose()). */
static uint64_t state_in_epoch(uint64_t old, uint64_t now, uint64_t rate, uint64_t before)
{
	uint64_t interval = gcra_interval(rate), was = gcra_interval(before);
	uint64_t time = old ^ gcra_epoch(old);

	if (old != 0 && gcra_epoch(old) != gcra_epoch(before))
		time = now + gcra_burst(rate) * interval;
	else if (interval && was)
		time = gcra_rescale(time, now, was, interval);
	return gcra_epoch(rate) | time;
}

/* The clock is read after the state: against an earlier one a debt would look greater than it is,
 * and more of it be forgiven by a raise. Release: who sees the state sees the rates of its epoch
 * (pairs with the fetch-and-add in gate_price*()). */
static void state_convert(const struct gate_table *table, __u64 *tat, uint64_t rate,
			  uint64_t before)
{
	__u64 old = __atomic_load_n(tat, __ATOMIC_ACQUIRE), new;

	do {
		if (gcra_epoch(old) == gcra_epoch(rate))
			return;
		new = state_in_epoch(old, kernel_now(table), rate, before);
	} while (!__atomic_compare_exchange_n(tat, &old, new, 1, __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE));
}

/* Brings the states of a flow into the epochs of the record that applies to it. */
static void flow_convert(const struct gate_table *table, struct gate_flow *flow,
			 struct gate_flow_record record)
{
	for (int i = 0; i < GATE_RATES; i++)
		state_convert(table, &flow->tat[i], record.limits->rate[i], record.before[i]);
}

static void all_convert(const struct gate_table *table, const struct gate_limits *limits)
{
	for (uint32_t i = 0; i < table->flow_count; i++) {
		struct gate_flow *flow = &table->flows[i];
		struct gate_flow_record record;

		if (!flow_ready(flow))
			continue;
		record = record_of(table, flow, flow->key.destination_id);
		if (record.limits == limits)
			flow_convert(table, flow, record);
	}
}

/* The next price: of the next epoch where it differs or the burst shrinks. A burst that grows does
 * so later. */
static uint64_t rate_begin(uint64_t was, uint64_t is)
{
	uint64_t epoch = gcra_epoch(was);
	uint32_t burst = gcra_burst(is);

	if ((uint32_t)was != (uint32_t)is || burst < gcra_burst(was))
		epoch = epoch_next(epoch);
	if (gcra_interval(was) && gcra_burst(was) < burst)
		burst = gcra_burst(was);
	return epoch | (uint64_t)burst << 32 | (uint32_t)is;
}

/* Word by word: the kernel may read between any two. generation last (pairs with its load there,
 * which on every architecture at hand is ordered by the dependency on the branch or costs one stale
 * decision). */
static void limits_store(struct gate_limits *to, const struct gate_limits *from)
{
	static uint32_t generation;

	/* Release: who sees the price sees the one before. */
	for (int i = 0; i < GATE_RATES; i++)
		__atomic_store_n(&to->rate[i], from->rate[i], __ATOMIC_RELEASE);
	__atomic_store_n(&to->hold_until_ns, from->hold_until_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&to->max_wait_ns, from->max_wait_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&to->connections, from->connections, __ATOMIC_RELAXED);
	__atomic_store_n(&to->modes, from->modes, __ATOMIC_RELAXED);
	if (++generation == 0)
		generation = 1;
	__atomic_store_n(&to->generation, generation, __ATOMIC_RELEASE);
}

/* The prices before, then those of the next epoch. `was` applied until now: the same record, or the
 * wider one, whose epochs go on. */
static void record_begin(struct gate_flow_record to, struct gate_flow_record was,
			 const struct gate_limits *limits)
{
	struct gate_limits next = *limits;

	for (int i = 0; i < GATE_RATES; i++) {
		uint64_t rate = was.limits->rate[i], before = was.before[i];

		next.rate[i] = rate_begin(rate, limits->rate[i]);
		if (gcra_epoch(next.rate[i]) != gcra_epoch(rate))
			before = gcra_epoch(rate) | (uint32_t)rate;
		__atomic_store_n(&to.before[i], before, __ATOMIC_RELAXED);
	}
	limits_store(to.limits, &next);
	/* A flow that is not ready at the look that follows reads the rates after this. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void record_end(struct gate_flow_record to, const struct gate_limits *limits)
{
	for (int i = 0; i < GATE_RATES; i++) {
		uint64_t epoch = gcra_epoch(to.limits->rate[i]);

		__atomic_store_n(&to.limits->rate[i],
				 epoch | (limits->rate[i] ^ gcra_epoch(limits->rate[i])),
				 __ATOMIC_RELEASE);
	}
}

int gate_table_flow_set(struct gate_table *table, const struct gate_key *key,
			const struct gate_limits *limits, uint64_t now_kernel_ns)
{
	uint32_t slot = gate_table_find(table, key, now_kernel_ns);
	struct gate_flow *flow;
	struct gate_flow_record to, was;

	if (slot == GATE_NO_SLOT)
		return -ENOSPC;
	flow = &table->flows[slot];
	to = (struct gate_flow_record){&flow->limits, flow->before};
	/* By the id that was asked for: a program that has just claimed the slot may not have
	 * written the key. */
	was = record_of(table, flow, key->destination_id);
	flow_convert(table, flow, was);
	record_begin(to, was, limits);
	flow_convert(table, flow, to);
	record_end(to, limits);
	return 0;
}

int gate_table_destination_set(struct gate_table *table, uint32_t destination,
			       const struct gate_limits *limits, uint64_t now_kernel_ns)
{
	struct gate_destination *is;
	struct gate_flow_record to, was;

	(void)now_kernel_ns;
	if (destination >= table->destination_count)
		return -EINVAL;
	is = &table->destinations[destination];
	to = was = (struct gate_flow_record){&is->limits, is->before};
	if (!is->limits.generation)
		was = (struct gate_flow_record){&table->destinations[0].limits,
						table->destinations[0].before};
	all_convert(table, was.limits);
	record_begin(to, was, limits);
	all_convert(table, to.limits);
	record_end(to, limits);
	return 0;
}

/* ---- counts ---------------------------------------------------------------------------------- */

/* Relaxed: each counter is a figure by itself. A connection changes one of these, whatever happens.
 */
static uint64_t flow_attempts(const struct gate_flow *flow)
{
	static const enum gate_counter parts[] = {GATE_PASSED,
						  GATE_HELD,
						  GATE_REFUSED_RATE,
						  GATE_REFUSED_HOLD,
						  GATE_REFUSED_CONNECTIONS,
						  GATE_PREADMITTED};
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		sum += __atomic_load_n(&flow->count[parts[i]], __ATOMIC_RELAXED);
	return sum;
}

static void history_add(struct gate_table *table, uint32_t slot)
{
	struct gate_flow *flow = &table->flows[slot];
	uint64_t attempts = flow_attempts(flow);
	struct gate_history *history = table->history[slot];
	uint64_t second = table->second % GATE_SECONDS, minute = table->second / 60 % GATE_MINUTES;
	uint32_t n;

	if (!history)
		history = table->history[slot] = calloc(1, sizeof *history);
	if (!history)
		return;
	if (history->tag != flow->tag) {
		memset(history, 0, sizeof *history);
		history->tag = flow->tag;
	}
	/* One that waited and is refused leaves one count before it enters the other. */
	n = attempts > history->last ? (uint32_t)(attempts - history->last) : 0;
	history->last = attempts;
	history->second[second] = n;
	if (table->second % 60 == 0)
		history->minute[minute] = 0;
	history->minute[minute] += n;
}

static int flow_idle(const struct gate_table *table, const struct gate_flow *flow, uint64_t now)
{
	uint64_t idle = table->idle_ns;

	if (flow->open || flow->adopted || flow->preadmitted_open ||
	    flow->limits.hold_until_ns > now)
		return 0;
	for (int i = 0; i < GATE_RATES; i++)
		if ((flow->tat[i] ^ gcra_epoch(flow->tat[i])) > now)
			return 0;
	return now > flow->seen_ns + idle && now > flow->claimed_ns + idle;
}

/* Empties slots that nobody has used for long, so that the table never fills with what was. */
static void slot_housekeep(struct gate_table *table, uint32_t slot, uint64_t now)
{
	struct gate_flow *flow = &table->flows[slot];
	uint64_t tag = __atomic_load_n(&flow->tag, __ATOMIC_ACQUIRE);

	if (tag == GATE_TAG_FREE)
		return;
	if (tag == GATE_TAG_DYING) {
		memset(&flow->key, 0, sizeof *flow - sizeof flow->tag);
		/* Pairs with the compare-and-swap of a claim: it finds an empty slot. */
		__atomic_store_n(&flow->tag, GATE_TAG_FREE, __ATOMIC_RELEASE);
		free(table->history[slot]);
		table->history[slot] = NULL;
	} else if (flow_idle(table, flow, now)) {
		__atomic_compare_exchange_n(&flow->tag, &tag, GATE_TAG_DYING, 0, __ATOMIC_ACQ_REL,
					    __ATOMIC_RELAXED);
	} else if (flow_ready(flow)) {
		/* What a loader that died left, or a program that was slow at a new flow. */
		flow_convert(table, flow, record_of(table, flow, flow->key.destination_id));
		history_add(table, slot);
	}
}

void gate_table_housekeep(struct gate_table *table, uint64_t now_kernel_ns)
{
	table->second++;
	for (uint32_t slot = 0; slot < table->flow_count; slot++)
		slot_housekeep(table, slot, now_kernel_ns);
}

static uint64_t sum(const uint32_t *n, size_t count)
{
	uint64_t all = 0;

	for (size_t i = 0; i < count; i++)
		all += n[i];
	return all;
}

static void gate_table_count(const struct gate_table *table, uint32_t slot, struct gate_count *ret)
{
	const struct gate_flow *flow = &table->flows[slot];
	const struct gate_history *history = table->history[slot];

	memset(ret, 0, sizeof *ret);
	ret->slot = slot;
	ret->tag = flow->tag;
	ret->key = flow->key;
	ret->limits = *gate_table_limits(table, flow);
	for (int i = 0; i < GATE_RATES; i++)
		ret->limits.rate[i] ^= gcra_epoch(ret->limits.rate[i]);
	ret->open = __atomic_load_n(&flow->open, __ATOMIC_RELAXED);
	ret->adopted = flow->adopted;
	ret->attempts = flow_attempts(flow);
	ret->preadmitted_open = __atomic_load_n(&flow->preadmitted_open, __ATOMIC_RELAXED);
	/* Relaxed: each counter is a figure by itself. */
	for (int i = 0; i < GATE_COUNTERS; i++)
		ret->count[i] = __atomic_load_n(&flow->count[i], __ATOMIC_RELAXED);
	ret->first_ns = flow->claimed_ns - (uint64_t)table->clock_offset_ns;
	ret->seen_ns = flow->seen_ns - (uint64_t)table->clock_offset_ns;
	if (!history || history->tag != flow->tag)
		return;
	ret->last_second = history->second[table->second % GATE_SECONDS];
	ret->last_minute = sum(history->second, GATE_SECONDS);
	ret->last_hour = sum(history->minute, GATE_MINUTES);
}

void gate_counts(const struct gate *gate, void (*each)(void *arg, const struct gate_count *count),
		 void *arg)
{
	struct gate_count count;

	for (uint32_t slot = 0; slot < gate->table.flow_count; slot++) {
		if (!flow_ready(&gate->table.flows[slot]))
			continue;
		gate_table_count(&gate->table, slot, &count);
		each(arg, &count);
	}
}

int gate_count_of(const struct gate *gate, uint32_t slot, struct gate_count *ret)
{
	if (slot >= gate->table.flow_count || !flow_ready(&gate->table.flows[slot]))
		return -ENOENT;
	gate_table_count(&gate->table, slot, ret);
	return 0;
}

void gate_table_free(struct gate_table *table)
{
	for (uint32_t slot = 0; table->history && slot < table->flow_count; slot++)
		free(table->history[slot]);
	free(table->history);
}
