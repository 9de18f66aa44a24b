/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The kernel's side of a decision: find the flow, load its limits, take a place and a slot.
 *
 * Only gate.bpf.c includes this. The functions that the verifier would otherwise walk once for each
 * path that leads to them are global and noinline: it checks those once, by themselves. Without
 * CAP_PERFMON it refuses pointers that differ by path, so what is chosen by path is copied to the
 * stack first.
 */
#ifndef TG_DECIDE_BPF_H
#define TG_DECIDE_BPF_H

#define TRIES  8 /* of a compare-and-swap: each failure means that somebody else went on */
#define ROUNDS 4 /* of taking all rates at one time */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gate_control);
} control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, GATE_TOTALS);
	__type(key, __u32);
	__type(value, __u64);
} totals SEC(".maps");

/* The flow table: buckets of GATE_WAYS slots, found by the hash of the key. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16384); /* the loader sets it */
	__type(key, __u32);
	__type(value, struct gate_flow);
} flows SEC(".maps");

/* The limits of destinations by id; 0 is what applies to all others. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4096); /* the loader sets it */
	__type(key, __u32);
	__type(value, struct gate_destination);
} destinations SEC(".maps");

/* Address to destination. Apart, because a lookup's cost grows with the length of the key. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536); /* the loader sets it */
	__type(key, struct gate_prefix4);
	__type(value, __u32);
} prefixes4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536); /* the loader sets it */
	__type(key, struct gate_prefix6);
	__type(value, __u32);
} prefixes6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

const volatile __u32 gate_buckets_mask = 16384 / GATE_WAYS - 1;
const volatile __u64 gate_seed = 0;

static __always_inline void total_add(__u32 which)
{
	__u64 *total = bpf_map_lookup_elem(&totals, &which);

	if (total)
		__sync_fetch_and_add(total, 1);
}

static __always_inline struct gate_control *control_of(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

static __always_inline int control_stale(const struct gate_control *ctl, __u64 now)
{
	__u64 beat = *(const volatile __u64 *)&ctl->heartbeat_ns;

	return ctl->stale_ns && now > beat && now - beat > ctl->stale_ns;
}

/* An event on the ring, empty; NULL where there is no room. */
static __always_inline struct gate_event *event_begin(void)
{
	struct gate_event *event = bpf_ringbuf_reserve(&events, sizeof *event, 0);

	if (!event)
		total_add(GATE_TOTAL_DROPPED);
	else
		__builtin_memset(event, 0, sizeof *event);
	return event;
}

/* The reader is woken for 16 KiB at a time (a wake-up costs a connect() as much as everything else
 * together) and looks by itself every tenth of a second. */
static __always_inline void event_end(struct gate_event *event)
{
	total_add(GATE_TOTAL_EVENTS);
	bpf_ringbuf_submit(event, bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= 16 * 1024
					  ? BPF_RB_FORCE_WAKEUP
					  : BPF_RB_NO_WAKEUP);
}

static __always_inline void flow_claimed(struct gate_flow *flow, __u32 slot,
					 const struct gate_request *request)
{
	struct gate_event *event;

	flow->key = request->key;
	flow->claimed_ns = request->now_ns;
	/* Exchange is a full barrier: who reads ready sees the key. */
	__sync_lock_test_and_set(&flow->ready, 1);
	event = event_begin();
	if (!event)
		return;
	event->kind = GATE_EVENT_FLOW;
	event->slot = slot;
	event->tag = request->tag;
	event->at_ns = request->now_ns;
	event_end(event);
}

/* The slot of a bucket that holds tag, else its first free one, else GATE_NO_SLOT. Each tag begins
 * at a way of its own, where it mostly stands: one line of memory is touched, not eight. */
__noinline __u32 gate_look(__u32 base, __u64 tag)
{
	__u32 free = GATE_NO_SLOT, first = gate_tag_way(tag);

	for (__u32 way = 0; way < GATE_WAYS; way++) {
		__u32 slot = base + ((first + way) & (GATE_WAYS - 1));
		struct gate_flow *flow = bpf_map_lookup_elem(&flows, &slot);
		__u64 seen;

		if (!flow)
			return GATE_NO_SLOT;
		seen = *(volatile __u64 *)&flow->tag;
		if (seen == tag)
			return slot;
		if (seen == GATE_TAG_FREE && free == GATE_NO_SLOT)
			free = slot;
	}
	return free;
}

/* Looks for the key, claims a free slot if it is new. GATE_NO_SLOT: full, or lost to another key.
 * Two that claim the same key at once see the same first free slot: the one whose compare-and-swap
 * fails finds the other's tag there. */
static __always_inline __u32 flow_claim(struct gate_request *request, __u32 base)
{
	__u32 slot = gate_look(base, request->tag);
	struct gate_flow *flow = bpf_map_lookup_elem(&flows, &slot);
	__u64 seen;

	if (!flow)
		return GATE_NO_SLOT;
	seen = *(volatile __u64 *)&flow->tag;
	if (seen == request->tag)
		return slot;
	seen = __sync_val_compare_and_swap(&flow->tag, GATE_TAG_FREE, request->tag);
	if (seen == GATE_TAG_FREE)
		flow_claimed(flow, slot, request);
	return seen == GATE_TAG_FREE || seen == request->tag ? slot : GATE_NO_SLOT;
}

/* The slot of ask->tag, claimed if it is new; GATE_NO_SLOT where its bucket is full. */
__noinline __u32 gate_find(struct gate_request *request)
{
	__u32 base, slot;

	if (!request)
		return GATE_NO_SLOT;
	base = gate_tag_bucket(request->tag, gate_buckets_mask) * GATE_WAYS;
	slot = flow_claim(request, base);
	return slot != GATE_NO_SLOT ? slot : flow_claim(request, base);
}

/* The slot of ask->key, by the shortest way where it stands in its first place. */
static __always_inline __u32 flow_slot(struct gate_request *request)
{
	struct gate_flow *flow;
	__u32 slot;

	request->tag = gate_key_tag(&request->key, gate_seed);
	slot = gate_tag_bucket(request->tag, gate_buckets_mask) * GATE_WAYS +
	       gate_tag_way(request->tag);
	flow = bpf_map_lookup_elem(&flows, &slot);
	return flow && *(volatile __u64 *)&flow->tag == request->tag ? slot : gate_find(request);
}

static __always_inline void limits_copy(struct gate_limits *to, const struct gate_limits *from)
{
	to->rate[0] = from->rate[0];
	to->rate[1] = from->rate[1];
	to->rate[2] = from->rate[2];
	to->hold_until_ns = from->hold_until_ns;
	to->max_wait_ns = from->max_wait_ns;
	to->connections = from->connections;
	to->modes = from->modes;
}

static __always_inline void limits_load(struct gate_limits *to, const struct gate_flow *flow,
					__u32 id)
{
	struct gate_destination *wider;

	if (flow->limits.generation) {
		limits_copy(to, &flow->limits);
		return;
	}
	wider = bpf_map_lookup_elem(&destinations, &id);
	if (wider && wider->limits.generation) {
		limits_copy(to, &wider->limits);
		return;
	}
	id = 0;
	wider = bpf_map_lookup_elem(&destinations, &id);
	if (wider)
		limits_copy(to, &wider->limits);
}

/* Until when a flow is held, by what applies to it. */
static __always_inline __u64 hold_of(const struct gate_flow *flow)
{
	__u32 id = flow->key.destination_id;
	struct gate_destination *wider;

	if (flow->limits.generation)
		return flow->limits.hold_until_ns;
	wider = bpf_map_lookup_elem(&destinations, &id);
	if (!wider || !wider->limits.generation) {
		id = 0;
		wider = bpf_map_lookup_elem(&destinations, &id);
	}
	return wider ? wider->limits.hold_until_ns : 0;
}

/* Has it an interval? By the mantissa alone, which is 0 in no other. */
static __always_inline int rate_limits(__u64 rate)
{
	return (rate & ((1U << GCRA_MANTISSA_BITS) - 1)) != 0;
}

/* One rate of one flow, and what was done to it. */
struct rate_ask {
	__u64 rate; /* the price that is charged: that of the state's own epoch */
	__u64 word; /* the state as it stood there … */
	__u64 time; /* … and what it means without its epoch */
	__u64 now_ns;
	__u64 at_ns;   /* to be taken then or later; answer: when it was taken, or could be */
	__u64 last_ns; /* but not later than this */
	__u64 max_wait_ns;
	__u64 had, left; /* to give it back */
	__u32 slot;
	__u32 destination_id;
};

/* As far ahead of now as a state can honestly lie. */
static __always_inline __u64 rate_span(const struct rate_ask *request)
{
	return gcra_burst(request->rate) * gcra_interval(request->rate) + request->max_wait_ns +
	       GATE_SLACK_NS;
}

static __always_inline __u64 rate_earliest(__u64 tat, const struct rate_ask *request)
{
	__u64 interval = gcra_interval(request->rate);
	__u32 burst = gcra_burst(request->rate);

	if (!burst)
		return ~0ull;
	return gcra_earliest(tat, interval, burst, 1);
}

/* The record that applies by now: its price, and the one before. */
#define PRICES_READ(record, limits, i)                            \
	{                                                         \
		rate = *(volatile __u64 *)&(limits).rate[i];      \
		before = *(volatile __u64 *)&(record)->before[i]; \
	}

/* The price of a state whose epoch is not that of the rate which was loaded: the loader changes it,
 * or died over it. That of the epoch before holds until the state is converted. A state of an epoch
 * that is neither was left by nobody who is still at work: it counts as a burst used up. */
static __always_inline void price_choose(struct rate_ask *request, __u64 rate, __u64 before)
{
	__u64 epoch = gcra_epoch(request->word);

	request->time = request->word ^ epoch;
	request->rate = rate;
	if (!request->word || epoch == gcra_epoch(rate))
		return;
	if (epoch != gcra_epoch(before))
		request->time = request->now_ns + gcra_burst(rate) * gcra_interval(rate);
	else if (rate_limits(before))
		request->rate = epoch | (__u64)gcra_burst(rate) << 32 | (__u32)before;
	/* Else it was not limited before: the time stands. */
}

/* A function for each rate, of one text: without CAP_PERFMON the verifier refuses an index here.
 * The state is read first, by an atomic, which is a full barrier: the rates of its epoch were
 * stored before it was (pairs with state_convert() in gate_table.c). */
#define GATE_PRICE(i)                                                     \
	__noinline int gate_price##i(struct rate_ask *request)            \
	{                                                                 \
		struct gate_destination *wider;                           \
		struct gate_flow *flow;                                   \
		__u64 rate = 0, before = 0;                               \
		__u32 key;                                                \
                                                                          \
		if (!request)                                             \
			return -1;                                        \
		key = request->slot;                                      \
		flow = bpf_map_lookup_elem(&flows, &key);                 \
		if (!flow)                                                \
			return -1;                                        \
		request->word = __sync_fetch_and_add(&flow->tat[i], 0);   \
		if (flow->limits.generation) {                            \
			PRICES_READ(flow, flow->limits, i)                \
			price_choose(request, rate, before);              \
			return 0;                                         \
		}                                                         \
		key = request->destination_id;                            \
		wider = bpf_map_lookup_elem(&destinations, &key);         \
		if (!wider || !wider->limits.generation) {                \
			key = 0;                                          \
			wider = bpf_map_lookup_elem(&destinations, &key); \
		}                                                         \
		if (!wider)                                               \
			return -1;                                        \
		PRICES_READ(wider, wider->limits, i)                      \
		price_choose(request, rate, before);                      \
		return 0;                                                 \
	}

GATE_PRICE(0)
GATE_PRICE(1)
GATE_PRICE(2)

/* Does the price that was loaded hold for the state? Then ask has it without its epoch. */
static __always_inline int price_holds(struct rate_ask *request, __u64 word)
{
	request->word = word;
	request->time = word ^ gcra_epoch(word);
	return !word || gcra_epoch(word) == gcra_epoch(request->rate);
}

/* Takes one connection at the first time from at_ns to last_ns that conforms. 1: taken at at_ns. 0:
 * it conforms at at_ns only, which is too late. -1: somebody else changed the state. What no
 * honest writer left is brought back for good, not only for this decision: seen against a now that
 * moves on it would stay as far ahead as ever, and the flow blocked. */
static __always_inline int tat_take(__u64 *tat, struct rate_ask *request)
{
	__u64 interval = gcra_interval(request->rate), epoch = gcra_epoch(request->rate);
	__u64 clamped = gcra_clamp(request->time, request->now_ns, rate_span(request));
	__u64 earliest = rate_earliest(clamped, request), at = request->at_ns, left;

	if (earliest > at)
		at = earliest;
	left = epoch | (at > request->last_ns ? clamped : gcra_charge(clamped, at, interval, 1));
	if (left != request->word &&
	    __sync_val_compare_and_swap(tat, request->word, left) != request->word)
		return -1;
	/* Given back, a state that was empty stays in its epoch: the word 0 would fit any. */
	request->had = request->word ? request->word : epoch;
	request->left = left;
	request->at_ns = at;
	return at <= request->last_ns;
}

/* Unrolled: without CAP_PERFMON the verifier follows what a processor may guess past the end of a
 * loop, and this one it would follow for ever. */
#define GATE_TAKE(i)                                                                     \
	__noinline int gate_take##i(struct rate_ask *request)                            \
	{                                                                                \
		struct gate_flow *flow;                                                  \
		__u32 slot;                                                              \
                                                                                         \
		if (!request)                                                            \
			return -1;                                                       \
		slot = request->slot;                                                    \
		flow = bpf_map_lookup_elem(&flows, &slot);                               \
		if (!flow)                                                               \
			return -1;                                                       \
		_Pragma("clang loop unroll(full)") for (int try = 0; try < TRIES; try++) \
		{                                                                        \
			int got;                                                         \
                                                                                         \
			if (!price_holds(request, *(volatile __u64 *)&flow->tat[i])) {   \
				if (gate_price##i(request) < 0)                          \
					return -1;                                       \
				if (!rate_limits(request->rate)) {                       \
					request->left = 0;                               \
					return 1;                                        \
				}                                                        \
			}                                                                \
			got = tat_take(&flow->tat[i], request);                          \
			if (got >= 0)                                                    \
				return got;                                              \
		}                                                                        \
		return -1;                                                               \
	}

GATE_TAKE(0)
GATE_TAKE(1)
GATE_TAKE(2)

/* A place among the connections at once: 1 if there was one. cap 0: always. */
__noinline int gate_connection_slot(__u32 slot, __u32 cap)
{
	struct gate_flow *flow = bpf_map_lookup_elem(&flows, &slot);

	if (!flow)
		return 0;
	if (!cap) {
		__sync_fetch_and_add(&flow->open, 1);
		return 1;
	}
	for (int try = 0; try < TRIES; try++) {
		__u64 open = *(volatile __u64 *)&flow->open;

		if (open + flow->adopted >= cap)
			return 0;
		if (__sync_val_compare_and_swap(&flow->open, open, open + 1) == open)
			return 1;
	}
	return 0;
}

/* Only from the value it left: a blind refund would erase somebody else's charge. */
static __always_inline void rate_refund(struct gate_flow *flow, __u64 left, __u64 had, __u32 which)
{
	if (left)
		__sync_val_compare_and_swap(&flow->tat[which], left, had);
}

/* Moves ask->at_ns to the earliest time at which a state conforms to ask->rate, not before it. */
static __always_inline void tat_await(__u64 *tat, struct rate_ask *request)
{
	__u64 clamped = gcra_clamp(request->time, request->now_ns, rate_span(request));
	__u64 earliest = rate_earliest(clamped, request);

	if (clamped != request->time)
		__sync_val_compare_and_swap(tat, request->word,
					    clamped | gcra_epoch(request->rate));
	if (earliest > request->at_ns)
		request->at_ns = earliest;
}

/* 0: ask->at_ns is known. */
#define GATE_AWAIT(i)                                                          \
	__noinline int gate_await##i(struct rate_ask *request)                 \
	{                                                                      \
		struct gate_flow *flow;                                        \
		__u32 slot;                                                    \
                                                                               \
		if (!request)                                                  \
			return -1;                                             \
		slot = request->slot;                                          \
		flow = bpf_map_lookup_elem(&flows, &slot);                     \
		if (!flow)                                                     \
			return -1;                                             \
		if (!price_holds(request, *(volatile __u64 *)&flow->tat[i]) && \
		    gate_price##i(request))                                    \
			return -1;                                             \
		if (rate_limits(request->rate))                                \
			tat_await(&flow->tat[i], request);                     \
		return 0;                                                      \
	}

GATE_AWAIT(0)
GATE_AWAIT(1)
GATE_AWAIT(2)

/* Moves who->at_ns to the earliest time at which every rate conforms, not before it. 0: it is
 * known. Global, as the round is: with both in its loop gate_reserve() has more branches than the
 * verifier follows without CAP_PERFMON. */
__noinline int gate_earliest(struct gate_request *who, const struct gate_limits *limits)
{
	struct rate_ask request = {};
	int error = 0;

	if (!who || !limits)
		return -1;
	request.now_ns = who->now_ns;
	request.at_ns = who->at_ns;
	request.max_wait_ns = limits->max_wait_ns;
	request.slot = who->slot;
	request.destination_id = who->key.destination_id;
	request.rate = limits->rate[0];
	if (rate_limits(request.rate))
		error = gate_await0(&request);
	request.rate = limits->rate[1];
	if (!error && rate_limits(request.rate))
		error = gate_await1(&request);
	request.rate = limits->rate[2];
	if (!error && rate_limits(request.rate))
		error = gate_await2(&request);
	who->at_ns = request.at_ns;
	return error ? -1 : 0;
}

/* One round of taking all rates at who->at_ns: 1 taken; 0 when one of them wants a later time (then
 * who->at_ns is that, and what had been taken is given back); -1 contended. */
__noinline int gate_round(struct gate_request *who, const struct gate_limits *limits)
{
	struct rate_ask request = {};
	__u64 had0 = 0, left0 = 0, had1 = 0, left1 = 0;
	struct gate_flow *flow;
	__u32 slot;
	int got = 1;

	if (!who || !limits)
		return -1;
	slot = who->slot;
	flow = bpf_map_lookup_elem(&flows, &slot);
	if (!flow)
		return -1;
	request.now_ns = who->now_ns;
	request.at_ns = request.last_ns = who->at_ns;
	request.max_wait_ns = limits->max_wait_ns;
	request.slot = slot;
	request.destination_id = who->key.destination_id;
	if (rate_limits(limits->rate[0])) {
		request.rate = limits->rate[0];
		got = gate_take0(&request);
		had0 = request.had;
		left0 = got == 1 ? request.left : 0;
	}
	if (got == 1 && rate_limits(limits->rate[1])) {
		request.rate = limits->rate[1];
		got = gate_take1(&request);
		had1 = request.had;
		left1 = got == 1 ? request.left : 0;
	}
	if (got == 1 && rate_limits(limits->rate[2])) {
		request.rate = limits->rate[2];
		got = gate_take2(&request);
	}
	who->at_ns = request.at_ns;
	if (got != 1) {
		rate_refund(flow, left0, had0, 0);
		rate_refund(flow, left1, had1, 1);
	}
	return got;
}

static __always_inline void flow_count(struct gate_flow *flow, __u32 which, __u64 n)
{
	__u64 *count = &flow->count[which];

	/* Keeps the compiler from merging branches into one addition at an address chosen by path.
	 */
	asm volatile("" : "+r"(count));
	__sync_fetch_and_add(count, n);
}

/* One rate alone, as most flows have: one look and one compare-and-swap, here, in registers. Where
 * the price does not hold or somebody was faster it is a round's: GATE_ALONE_LEFT, with nothing
 * taken. Else 1 and ask->at_ns, or 0. A function of its own, so that its stack is not below that of
 * a round. */
#define GATE_ALONE_LEFT (-2)

__noinline int gate_alone(struct gate_request *request, const struct gate_limits *limits)
{
	struct rate_ask one = {};
	struct gate_flow *flow;
	__u32 slot;
	int got;

	if (!request || !limits)
		return 0;
	slot = request->slot;
	flow = bpf_map_lookup_elem(&flows, &slot);
	if (!flow)
		return GATE_ALONE_LEFT;
	one.rate = limits->rate[0];
	one.now_ns = request->now_ns;
	one.at_ns = request->at_ns;
	one.last_ns = request->now_ns + limits->max_wait_ns;
	one.max_wait_ns = limits->max_wait_ns;
	one.slot = slot;
	one.destination_id = request->key.destination_id;
	if (!price_holds(&one, *(volatile __u64 *)&flow->tat[0]))
		return GATE_ALONE_LEFT;
	got = tat_take(&flow->tat[0], &one);
	if (got < 0)
		return GATE_ALONE_LEFT;
	request->at_ns = one.at_ns;
	return got;
}

/* Unrolled: the verifier takes rounds that differ in nothing but memory for an endless loop. */
static __always_inline int reserve_all(struct gate_request *request,
				       const struct gate_limits *limits)
{
	int got = gate_earliest(request, limits);

#pragma clang loop unroll(full)
	for (int round = 0; round < ROUNDS; round++) {
		if (got == 0 && request->at_ns - request->now_ns > limits->max_wait_ns)
			return 0;
		if (got == 0)
			got = gate_round(request, limits);
	}
	return got;
}

/* All rates of the flow at one time within the longest wait: 1 and ask->at_ns, or 0. */
__noinline int gate_reserve(struct gate_request *request, const struct gate_limits *limits)
{
	__u64 now;
	int got = GATE_ALONE_LEFT;

	if (!request || !limits)
		return 0;
	now = request->now_ns;
	request->at_ns = limits->hold_until_ns > now ? limits->hold_until_ns : now;
	if (request->at_ns - now > limits->max_wait_ns)
		return 0;
	if (rate_limits(limits->rate[0]) && !rate_limits(limits->rate[1]) &&
	    !rate_limits(limits->rate[2]))
		got = gate_alone(request, limits);
	if (got == GATE_ALONE_LEFT)
		got = reserve_all(request, limits);
	if (got < 0)
		total_add(GATE_TOTAL_CONTENDED);
	return got == 1;
}

static __always_inline int decide_observe(struct gate_flow *flow, struct gate_request *request,
					  const struct gate_limits *limits)
{
	__u64 now = request->now_ns;

	if (!gate_connection_slot(request->slot, limits->connections)) {
		gate_connection_slot(request->slot, 0);
		flow_count(flow, GATE_WOULD_REFUSE, 1);
	} else if (!gate_reserve(request, limits)) {
		flow_count(flow, GATE_WOULD_REFUSE, 1);
	} else if (request->at_ns > now) {
		flow_count(flow, GATE_WOULD_HOLD, 1);
	}
	flow_count(flow, GATE_PASSED, 1);
	request->at_ns = now;
	return GATE_ANSWER_PASS;
}

static __always_inline int decide_refused(struct gate_flow *flow,
					  const struct gate_request *request,
					  const struct gate_limits *limits)
{
	if (limits->hold_until_ns > request->now_ns)
		flow_count(flow, GATE_REFUSED_HOLD, 1);
	else
		flow_count(flow, GATE_REFUSED_RATE, 1);
	return GATE_ANSWER_REFUSE;
}

static __always_inline int decide_gated(struct gate_flow *flow, struct gate_request *request,
					const struct gate_limits *limits)
{
	if (!limits->connections) {
		__sync_fetch_and_add(&flow->open, 1);
	} else if (!gate_connection_slot(request->slot, limits->connections)) {
		if (request->mode != GATE_PACE) {
			flow_count(flow, GATE_REFUSED_CONNECTIONS, 1);
			return GATE_ANSWER_REFUSE;
		}
		if (!request->retry)
			flow_count(flow, GATE_HELD, 1);
		return GATE_ANSWER_WAIT;
	}
	if (!gate_reserve(request, limits)) {
		__sync_fetch_and_add(&flow->open, -1);
		return decide_refused(flow, request, limits);
	}
	if (request->at_ns > request->now_ns) {
		if (!request->retry)
			flow_count(flow, GATE_HELD, 1);
		flow_count(flow, GATE_HELD_NS, request->at_ns - request->now_ns);
	} else if (!request->retry) {
		flow_count(flow, GATE_PASSED, 1);
	}
	return GATE_ANSWER_PASS;
}

/* May a connection of ask->key leave, and when? cgroup_mode is what applies where neither the flow
 * nor its destination says. Returns enum gate_answer. */
__noinline int gate_decide(struct gate_request *request, __u32 cgroup)
{
	struct gate_limits limits = {};
	struct gate_control *ctl = control_of();
	struct gate_flow *flow;
	__u32 slot;

	if (!request || !ctl || cgroup >= GATE_CGROUPS)
		return GATE_ANSWER_IGNORE;
	if (control_stale(ctl, request->now_ns)) {
		total_add(GATE_TOTAL_STALE);
		return ctl->stale_policy == GATE_STALE_CLOSED ? GATE_ANSWER_REFUSE
							      : GATE_ANSWER_IGNORE;
	}
	slot = flow_slot(request);
	request->slot = slot;
	request->at_ns = request->now_ns;
	flow = bpf_map_lookup_elem(&flows, &slot);
	if (!flow) {
		total_add(GATE_TOTAL_FULL);
		return GATE_ANSWER_IGNORE;
	}
	limits_load(&limits, flow, request->key.destination_id);
	request->mode = gate_mode_of(limits.modes, cgroup);
	if (request->mode == GATE_INHERIT)
		request->mode = ctl->cgroup_mode[cgroup];
	if (request->mode == GATE_DENY)
		limits.max_wait_ns = 0;
	else if (!limits.max_wait_ns)
		limits.max_wait_ns = ctl->max_wait_ns;
	flow->seen_ns = request->now_ns;
	if (request->mode == GATE_OBSERVE)
		return decide_observe(flow, request, &limits);
	return decide_gated(flow, request, &limits);
}

#endif
