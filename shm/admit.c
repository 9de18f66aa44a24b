/* SPDX-License-Identifier: MIT
 *
 * The decisions of tollgate.h: the library's clock, the decision, the worker's own counts.
 */
#include <errno.h>
#include <stddef.h>

#include "shm/decide_fast.h"
#include "shm/handle.h"

static const char *const reason_names[TG_REASONS] = {
	[TG_ADMITTED] = "admitted",
	[TG_REFUSED_HOLD] = "hold",
	[TG_REFUSED_RATE] = "rate",
	[TG_REFUSED_HOUR] = "hour",
	[TG_REFUSED_DAY] = "day",
	[TG_REFUSED_SOURCE] = "source",
	[TG_REFUSED_DESTINATION] = "destination",
	[TG_REFUSED_STREAM] = "stream",
	[TG_REFUSED_CONNECTIONS] = "connections",
	[TG_REFUSED_DIRECTORY] = "directory",
	[TG_REFUSED_NEVER] = "never",
	[TG_REFUSED_SIDECAR_DOWN] = "sidecar-down",
	[TG_RETIRED] = "retired",
};

const char *tg_reason_name(enum tg_reason reason)
{
	return (unsigned)reason < TG_REASONS ? reason_names[reason] : "invalid";
}

uint64_t admit_clock_slow(const struct tg *tg, enum tg_reason *ret_override)
{
	const struct layout_live *live = tg->live;
	uint64_t now_ns = clock_vdso();
	uint64_t heartbeat, after;

	if (atomic_load_explicit(&live->state, memory_order_acquire) != LAYOUT_LIVE) {
		*ret_override = TG_RETIRED;
		return now_ns;
	}
	heartbeat = atomic_load_explicit(&live->heartbeat_ns, memory_order_relaxed);
	after = atomic_load_explicit(&live->down_after_ns, memory_order_relaxed);
	if (now_ns <= heartbeat || now_ns - heartbeat <= after)
		return now_ns;
	switch (atomic_load_explicit(&live->on_down, memory_order_relaxed)) {
	case LAYOUT_DOWN_FAIL_OPEN: *ret_override = TG_REASONS; break;
	case LAYOUT_DOWN_FAIL_CLOSED: *ret_override = TG_REFUSED_SIDECAR_DOWN; break;
	default: break;
	}
	return now_ns;
}

struct tg_verdict admit_override(enum tg_reason override, uint64_t now_ns)
{
	struct tg_verdict verdict = {.at_ns = now_ns};

	if (override == TG_REASONS)
		return verdict;
	verdict.reason = override;
	verdict.flags = TG_ESTIMATE;
	if (override == TG_REFUSED_SIDECAR_DOWN)
		verdict.at_ns += UINT64_C(1000000000);
	return verdict;
}

struct tg_verdict admit_finish(struct tg *tg, struct layout_worker *worker,
			       struct tg_verdict verdict)
{
	/* A retired segment's states are poisoned, so every straggler comes here by being refused.
	 */
	if (verdict.reason != TG_ADMITTED &&
	    atomic_load_explicit(&tg->live->state, memory_order_acquire) == LAYOUT_RETIRED)
		verdict = (struct tg_verdict){.at_ns = verdict.at_ns, .reason = TG_RETIRED};
	count_one(worker, (enum tg_reason)verdict.reason);
	return verdict;
}

/* While a probe is out its reply decides when a flow goes on: what its rate says is the time at
 * which the sidecar stops waiting for that reply. So that is a guess, and a short one. A hold says
 * when the probe goes, and is known. */
static struct tg_verdict probe_guess(const struct tg *tg, const struct tg_flow *flow,
				     enum tg_class traffic, struct tg_verdict verdict,
				     uint64_t now_ns)
{
	uint64_t flags, held;

	if (verdict.reason != TG_REFUSED_RATE || flow->slot >= tg->view.slots)
		return verdict;
	flags = fast_load(&tg->view.limits[flow->slot].flags);
	held = fast_load(&tg->view.limits[flow->slot].hold_until_ns);
	if ((flags & LAYOUT_HOLD_LOWER) && traffic != TG_TRANSACTIONAL &&
	    fast_load(&tg->view.more[flow->slot].hold_lower_ns) > held)
		held = fast_load(&tg->view.more[flow->slot].hold_lower_ns);
	if (!(flags & LAYOUT_PROBING) || held > now_ns)
		return verdict;
	if (verdict.at_ns > now_ns + DECIDE_ESTIMATE_NS)
		verdict.at_ns = now_ns + DECIDE_ESTIMATE_NS;
	verdict.flags |= TG_ESTIMATE;
	return verdict;
}

static __attribute__((noinline, cold)) struct tg_verdict admit_count(struct layout_worker *worker,
								     struct tg_verdict verdict)
{
	count_one(worker, TG_ADMITTED);
	return verdict;
}

static inline struct tg_verdict admit_counted(struct layout_worker *worker,
					      struct tg_verdict verdict)
{
	return __builtin_expect(count_own(worker, TG_ADMITTED, 1), 1)
		       ? verdict
		       : admit_count(worker, verdict);
}

/* What does not go straight through: no worker slot yet, the slow clock, a sidecar that is gone. */
static __attribute__((noinline)) struct tg_verdict
admit_slow(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic, uint32_t n)
{
	struct layout_worker *worker = tg_worker(tg);
	enum tg_reason override = TG_ADMITTED;
	uint64_t now_ns = clock_now(tg, &override);
	struct tg_verdict verdict;

	if (__builtin_expect(override != TG_ADMITTED, 0))
		return admit_finish(tg, worker, admit_override(override, now_ns));
	verdict = decide_admit(&tg->view, flow, traffic, n, now_ns);
	if (__builtin_expect(verdict.reason == TG_ADMITTED, 1))
		return admit_counted(worker, verdict);
	return admit_finish(tg, worker, probe_guess(tg, flow, traffic, verdict, now_ns));
}

static __attribute__((noinline)) struct tg_verdict
admit_all(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic, uint32_t n,
	  uint64_t now_ns, struct layout_worker *worker)
{
	struct tg_verdict verdict = decide_all(&tg->view, flow, traffic, n, now_ns);

	return admit_finish(tg, worker, probe_guess(tg, flow, traffic, verdict, now_ns));
}

static __attribute__((noinline)) struct tg_verdict
admit_windows(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic, uint32_t n,
	      uint64_t now_ns, struct layout_worker *worker)
{
	uint64_t flags = fast_load(&tg->view.limits[flow->slot].flags);

	enum fast_outcome outcome = fast_windows_admit(&tg->view, flow, flags, traffic, n, now_ns);

	if (__builtin_expect(outcome == FAST_ADMITTED, 1))
		return admit_counted(worker, decide_admitted(now_ns));
	return outcome == FAST_LEFT ? admit_all(tg, flow, traffic, n, now_ns, worker)
				    : admit_finish(tg, worker, decide_refund_failed(now_ns));
}

static __attribute__((noinline)) struct tg_verdict
admit_scopes(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic, uint32_t n,
	     uint64_t now_ns, struct layout_worker *worker)
{
	uint64_t flags = fast_load(&tg->view.limits[flow->slot].flags);

	enum fast_outcome outcome = fast_scopes_admit(&tg->view, flow, flags, traffic, n, now_ns);

	if (__builtin_expect(outcome == FAST_ADMITTED, 1))
		return admit_counted(worker, decide_admitted(now_ns));
	return outcome == FAST_LEFT ? admit_all(tg, flow, traffic, n, now_ns, worker)
				    : admit_finish(tg, worker, decide_refund_failed(now_ns));
}

/* Every way that is not the commonest is a call in tail position, so that the commonest saves no
 * register: fewer instructions are more decisions that the processor has under way at once. */
struct tg_verdict tg_admit(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic,
			   uint32_t n)
{
	/* Acquire: pairs with the release in worker_claim; the slot was made ready before. */
	struct layout_worker *worker =
		atomic_load_explicit(&tg->process->worker, memory_order_acquire);
	uint64_t now_ns = __builtin_expect(tg->vdso, 0) ? 0 : clock_scaled(tg->live);
	struct tg_verdict verdict;
	uint64_t flags;

	if (__builtin_expect(worker == NULL || now_ns == 0 || flow->slot >= tg->view.slots ||
				     (unsigned)traffic >= TG_CLASSES,
			     0))
		return admit_slow(tg, flow, traffic, n);
	flags = fast_load(&tg->view.limits[flow->slot].flags) & DECIDE_SINGLE_MASK;
	if (flags == 0 && decide_single(&tg->view, flow, traffic, n, now_ns, &verdict)) {
		if (__builtin_expect(verdict.reason == TG_ADMITTED, 1))
			return admit_counted(worker, verdict);
		return admit_finish(tg, worker, verdict);
	}
	if (fast_windows(flow, flags))
		return admit_windows(tg, flow, traffic, n, now_ns, worker);
	if (fast_scopes(flow, flags))
		return admit_scopes(tg, flow, traffic, n, now_ns, worker);
	return admit_all(tg, flow, traffic, n, now_ns, worker);
}

static __attribute__((noinline)) struct tg_verdict
pair_slow(struct tg *tg, const struct tg_source *source, const struct tg_destination *destination,
	  enum tg_class traffic, uint32_t n)
{
	struct tg_flow flow;

	tg_flow(tg, source, destination, &flow);
	return tg_admit(tg, &flow, traffic, n);
}

/* The slot of a key, where a search from `slot` on comes to it before a free slot, the end of
 * the table and the end of a search; else LAYOUT_NONE: directory_find has to look, or the key is
 * not there. */
static inline uint32_t fast_search(const struct view *view, const struct hash_key *key,
				   uint32_t slot)
{
	const struct layout_counters *at = &view->counters[slot];
	const struct layout_counters *last =
		at +
		(view->slots - slot < DIRECTORY_PROBES ? view->slots - slot : DIRECTORY_PROBES);

	while (fast_load(&at->key[0]) != key->half[0] || fast_load(&at->key[1]) != key->half[1]) {
		if (fast_load(&at->key[0]) == 0 || ++at == last)
			return LAYOUT_NONE;
	}
	return (uint32_t)(at - view->counters);
}

/* The commonest case alone: a filled flow with a rate and nothing else, which admits, for any class
 * but the one that has reserves. False: nothing was taken. */
static inline bool fast_admit(const struct view *view, uint32_t slot, enum tg_class traffic,
			      uint32_t n, uint64_t now_ns)
{
	struct layout_counters *counters = &view->counters[slot];
	const struct layout_limits *limits = &view->limits[slot];
	uint64_t rate, word, next;

	if (__builtin_expect(traffic - 1u >= TG_CLASSES - 1u, 0))
		return false;
	rate = fast_rate(limits, traffic);
	word = fast_load(&counters->tat);
	return __builtin_expect(
		!(fast_load(&limits->flags) & DECIDE_SINGLE_MASK) &&
			fast_load(&limits->hold_until_ns) <= now_ns &&
			gcra_conforms(word, rate, gcra_burst(rate), n, now_ns, &next) &&
			fast_swap(&counters->tat, word, next),
		1);
}

/* What costs here is how few lookups the processor has under way at once, and that is the number of
 * instructions of each. So only the commonest case stands here, and every other one is tg_flow's
 * and tg_admit's: nothing has been taken then. */
struct tg_verdict tg_admit_pair(struct tg *tg, const struct tg_source *source,
				const struct tg_destination *destination, enum tg_class traffic,
				uint32_t n)
{
	struct hash_key key = hash_pair(source->key, destination->key);
	uint32_t slot = hash_slot(&key, tg->view.slots);
	struct layout_worker *worker;
	uint64_t now_ns;

	__builtin_prefetch(&tg->view.counters[slot], 1);
	__builtin_prefetch(&tg->view.limits[slot]);
	worker = atomic_load_explicit(&tg->process->worker, memory_order_acquire);
	now_ns = clock_scaled(tg->live);
	if (__builtin_expect(worker == NULL || now_ns == 0 || tg->vdso, 0))
		return pair_slow(tg, source, destination, traffic, n);
	slot = fast_search(&tg->view, &key, slot);
	if (__builtin_expect(
		    slot == LAYOUT_NONE || !fast_admit(&tg->view, slot, traffic, n, now_ns), 0))
		return pair_slow(tg, source, destination, traffic, n);
	return admit_counted(worker, decide_admitted(now_ns));
}

#define BATCH 16

/* Where each request's search begins; the lines there, and the next one, are on their way after
 * this. */
static inline void batch_fetch(struct tg *tg, const struct tg_request *requests,
			       struct hash_key *keys, uint32_t *slots, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		keys[i] = hash_pair(requests[i].source->key, requests[i].destination->key);
		slots[i] = hash_slot(&keys[i], tg->view.slots);
		__builtin_prefetch(&tg->view.counters[slots[i]], 1);
		__builtin_prefetch(&tg->view.counters[slots[i]] + 1, 1);
		__builtin_prefetch(&tg->view.limits[slots[i]], 0);
	}
}

static void batch_decide(struct tg *tg, const struct tg_request *requests,
			 struct tg_verdict *verdicts, size_t count)
{
	struct layout_worker *worker = tg_worker(tg);
	uint64_t now_ns, admitted = 0;
	struct hash_key keys[BATCH];
	uint32_t slots[BATCH];

	batch_fetch(tg, requests, keys, slots, count);
	for (size_t i = 0; i < count; i++) {
		slots[i] = fast_search(&tg->view, &keys[i], slots[i]);
		__builtin_prefetch(&tg->view.limits[slots[i]], 0);
	}
	now_ns = __builtin_expect(tg->vdso, 0) ? 0 : clock_scaled(tg->live);
	for (size_t i = 0; i < count; i++) {
		const struct tg_request *request = &requests[i];

		if (__builtin_expect(now_ns != 0 && slots[i] != LAYOUT_NONE &&
					     fast_admit(&tg->view, slots[i],
							(enum tg_class)request->traffic, request->n,
							now_ns),
				     1)) {
			verdicts[i] = decide_admitted(now_ns);
			admitted++;
		} else {
			verdicts[i] = pair_slow(tg, request->source, request->destination,
						(enum tg_class)request->traffic, request->n);
		}
	}
	if (admitted)
		count_some(worker, TG_ADMITTED, admitted);
}

void tg_admit_batch(struct tg *tg, const struct tg_request *requests, struct tg_verdict *verdicts,
		    size_t count)
{
	for (size_t done = 0; done < count; done += BATCH)
		batch_decide(tg, requests + done, verdicts + done,
			     count - done < BATCH ? count - done : BATCH);
}

struct tg_verdict tg_reserve(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic,
			     uint32_t n, uint64_t max_wait_ns, struct tg_reservation *ret)
{
	struct layout_worker *worker = tg_worker(tg);
	enum tg_reason override = TG_ADMITTED;
	uint64_t now_ns = clock_now(tg, &override);
	struct tg_reservation taken = {
		.flow = *flow, .taken_ns = now_ns, .traffic = traffic, .n = n};
	struct decide_taken charged = {.hour = DECIDE_NO_PERIOD, .day = DECIDE_NO_PERIOD};
	struct tg_verdict verdict;

	if (override != TG_ADMITTED) {
		verdict = admit_override(override, now_ns);
		taken.n = 0; /* nothing was charged: nothing is to be given back */
	} else
		verdict = decide_reserve(&tg->view, flow, traffic, n, now_ns,
					 max_wait_ns > UINT64_MAX - now_ns ? UINT64_MAX
									   : now_ns + max_wait_ns,
					 &charged);
	taken.left = charged.left;
	taken.hour = charged.hour;
	taken.day = charged.day;
	verdict = admit_finish(tg, worker, probe_guess(tg, flow, traffic, verdict, now_ns));
	taken.at_ns = verdict.at_ns;
	if (verdict.reason == TG_ADMITTED)
		*ret = taken;
	return verdict;
}

struct tg_verdict tg_redeem(struct tg *tg, const struct tg_reservation *reservation)
{
	struct layout_worker *worker = tg_worker(tg);
	enum tg_reason override = TG_ADMITTED;
	uint64_t now_ns = clock_now(tg, &override);
	uint32_t traffic = __atomic_load_n(&reservation->traffic, __ATOMIC_RELAXED);

	if (traffic >= TG_CLASSES)
		return admit_finish(
			tg, worker,
			(struct tg_verdict){.at_ns = UINT64_MAX, .reason = TG_REFUSED_NEVER});
	if (override != TG_ADMITTED)
		return admit_finish(tg, worker, admit_override(override, now_ns));
	return admit_finish(tg, worker,
			    decide_redeem(&tg->view, &reservation->flow, (enum tg_class)traffic,
					  reservation->n, now_ns));
}

int tg_cancel(struct tg *tg, struct tg_reservation *reservation)
{
	/* Exchanged: given back a second time, or by a second thread, it would take from the counts
	 * what others have charged. Relaxed: nothing else is published. */
	uint32_t traffic = __atomic_exchange_n(&reservation->traffic, TG_CLASSES, __ATOMIC_RELAXED);

	if (traffic >= TG_CLASSES)
		return -EINVAL;
	return decide_cancel(&tg->view, &reservation->flow, (enum tg_class)traffic, reservation->n,
			     reservation->at_ns,
			     &(struct decide_taken){.left = reservation->left,
						    .hour = reservation->hour,
						    .day = reservation->day});
}

uint64_t tg_now(const struct tg *tg)
{
	enum tg_reason override = TG_ADMITTED;

	return clock_now(tg, &override);
}

uint64_t tg_until(const struct tg *tg, uint64_t at_ns)
{
	uint64_t now_ns = tg_now(tg);

	if (at_ns == UINT64_MAX)
		return UINT64_MAX;
	return at_ns > now_ns ? at_ns - now_ns : 0;
}
