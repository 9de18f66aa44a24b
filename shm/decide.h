/* SPDX-License-Identifier: MIT
 *
 * Whether n messages of a flow may go at now_ns: the decision itself, with time as an argument.
 *
 * The library calls it with its clock, the simulator and the tests with theirs. It reads limits,
 * and writes counters by compare-and-swap alone; it neither blocks nor allocates.
 *
 * All limits are checked first, read-only, and then taken in the same order. When one refuses in
 * the race, what was taken before is given back by compare-and-swap from the value that was left
 * there, else the refund fails: a blind refund would erase somebody else's charge. So never more
 * than any limit allows; at most n less per limit and call.
 *
 * Reservations and the reserve. tg_reserve moves a flow's TAT ahead of time by up to the longest
 * reservation L, and transactional mail must not wait behind what bulk reserved. `reserved_until`
 * tells how far ahead TAT is for that reason; so far transactional mail may overtake, as long as it
 * keeps inside the reserve R = burst(transactional) - burst(engaged). `headroom` counts what it
 * used of the reserve, by overtaking or because engaged mail would have had to wait: at most R in
 * any window of max(L, R * T) + R * T (shm/headroom.h). What overtook is charged to TAT as well, so
 * later reservations yield.
 *
 * Why no window of w then holds more than burst(transactional) + w / T: let j be the last charged
 * of the messages in it that left the reserve alone. Those charged up to j are burst(engaged) + (d
 * - a) / T at most, where a is the window's start and d when j leaves, since TAT covers them all;
 * those charged after j used the reserve, and leave within L of j's charge and the rest of the
 * window: R + (a + w - d) / T at most. What used the reserve by TAT alone is bounded by TAT, and
 * counted, so that the next to overtake finds it used.
 *
 * The mark `reserved_until` is raised before the state is charged, so that who changes the price of
 * a state knows what was promised ahead of it, and is never lowered. So it may lie further ahead
 * than what is out, where a slot was cancelled or went to somebody else: then more may overtake,
 * which the reserve bounds and counts all the same.
 *
 * Two paths. decide_single and decide_fast.h look at the limits that most flows have and swap each
 * word once; whatever is not plain they leave to decide_all, with nothing taken. Both paths run at
 * once on the same words, in this and in other processes, and any interleaving comes to what one
 * after the other would: each word is only ever charged by a swap from the very value that its
 * limit was checked against, so a charge in between makes the swap fail and the limit is checked
 * again. Between the words of one decision others may charge; that is the race in which a later
 * limit refuses and what was taken is given back, on either path by the same rules: a rate only
 * from the value that was left there, a count within its period, since sums commute. Where the fast
 * path gave all back decide_all starts afresh; where it could not, the call ends there.
 *
 * Damage. A word that no honest writer can have left (a state beyond a full bucket and the longest
 * reservation or of an epoch whose price is not known, a period to come) refuses, as an estimate,
 * and is left alone: it is the sidecar's to repair (sidecar/segment/repair.c), within a second. A
 * worker cannot tell damage from a limit that changes at that moment (bursts shrink before the
 * state is converted, and a state may be two epochs on by the time its rate is read), or from what
 * others left while it was stopped itself.
 */
#ifndef TG_DECIDE_H
#define TG_DECIDE_H

#include <stdbool.h>

#include "shm/decide_fast.h"

/* Where several limits count: tries the plain cases at once, leaves the others to decide_all. */
struct tg_verdict decide_several(const struct view *view, const struct tg_flow *flow,
				 enum tg_class traffic, uint32_t n, uint64_t now_ns);

/* All of it: several limits, defaults, refusals. */
struct tg_verdict decide_all(const struct view *view, const struct tg_flow *flow,
			     enum tg_class traffic, uint32_t n, uint64_t now_ns);

/* What a reservation took, for decide_cancel. */
struct decide_taken {
	uint64_t left;	    /* the state as it was left; 0: the rate was unlimited */
	uint32_t hour, day; /* the periods in which it was counted, or DECIDE_NO_PERIOD */
};

#define DECIDE_NO_PERIOD UINT32_MAX

/* Takes a slot at or after now_ns and not after until_ns. The flow's own rate and windows are
 * charged; parents are not, since their rates hold for the time of departure: decide_redeem asks
 * them then (the verdict says so by TG_REDEEM). ret_taken: for
 * decide_cancel. */
struct tg_verdict decide_reserve(const struct view *view, const struct tg_flow *flow,
				 enum tg_class traffic, uint32_t n, uint64_t now_ns,
				 uint64_t until_ns, struct decide_taken *ret_taken);

/* At the slot's time: what the parents say. */
struct tg_verdict decide_redeem(const struct view *view, const struct tg_flow *flow,
				enum tg_class traffic, uint32_t n, uint64_t now_ns);

/* Gives a reservation back as far as possible. 0, or -EAGAIN: some could not be refunded. */
int decide_cancel(const struct view *view, const struct tg_flow *flow, enum tg_class traffic,
		  uint32_t n, uint64_t at_ns, const struct decide_taken *taken);

/* When could n messages go, without taking anything? at_ns and reason as a verdict. ret_room: how
 * many of this class could go at once at now_ns (0 where none could). */
struct tg_verdict decide_ask(const struct view *view, const struct tg_flow *flow,
			     enum tg_class traffic, uint32_t n, uint64_t now_ns,
			     uint32_t *ret_room);

/* A guess of when to ask again where nobody can know. */
#define DECIDE_ESTIMATE_NS UINT64_C(100000000)

/* The rate of new connections (lease.c counts the concurrent ones). full: as many are open as may
 * be, so nothing is taken from the rate: who asks again and again must not use it up. */
struct tg_verdict decide_connect(const struct view *view, const struct tg_flow *flow,
				 enum tg_class traffic, bool full, uint64_t now_ns);

/* The limits in force for connections of a flow: its own, or its destination's defaults. */
const struct layout_limits_more *decide_more(const struct view *view, const struct tg_flow *flow);
uint64_t decide_flags(const struct view *view, const struct tg_flow *flow);

/* Counts a reply in the totals of a flow's slot (ring.c). */
void ring_count_reply(const struct view *view, uint32_t slot, unsigned code, uint32_t n);

static inline struct tg_verdict decide_admitted(uint64_t now_ns)
{
	return (struct tg_verdict){.at_ns = now_ns, .reason = TG_ADMITTED};
}

/* Others were faster, and what this call took it could not give back: that is enough for one call.
 */
static inline struct tg_verdict decide_refund_failed(uint64_t now_ns)
{
	return (struct tg_verdict){.at_ns = now_ns + DECIDE_ESTIMATE_NS,
				   .reason = TG_REFUSED_RATE,
				   .flags = TG_ESTIMATE};
}

/* The common case in line: one filled flow with a rate and nothing else. False: decide_several has
 * to say; nothing was taken. */
static inline __attribute__((always_inline)) bool
decide_single(const struct view *view, const struct tg_flow *flow, enum tg_class traffic,
	      uint32_t n, uint64_t now_ns, struct tg_verdict *ret)
{
	const struct layout_limits *limits;
	_Atomic uint64_t *tat;
	uint64_t rate, word, next, interval, ahead;
	uint32_t burst;

	if (__builtin_expect(flow->slot >= view->slots || (unsigned)traffic >= TG_CLASSES, 0))
		return false;
	limits = &view->limits[flow->slot];
	tat = &view->counters[flow->slot].tat;
	/* P1 pairs with P0 in sidecar/segment/publish.c: where a slot's rate is there, so are its
	 * flags and its hold. Relaxed below: each word is valid by itself, and a charge publishes
	 * nothing but itself. */
	rate = atomic_load_explicit(&limits->rate[traffic], memory_order_acquire);
	interval = gcra_interval(rate);
	burst = decide_burst_outside(limits, traffic, rate);
	if (__builtin_expect((atomic_load_explicit(&limits->flags, memory_order_relaxed) &
			      DECIDE_SINGLE_MASK) ||
				     flow->stream != LAYOUT_NONE || interval == 0 || n > burst ||
				     atomic_load_explicit(&limits->hold_until_ns,
							  memory_order_relaxed) > now_ns,
			     0))
		return false;
	word = atomic_load_explicit(tat, memory_order_relaxed);
	while (gcra_conforms(word, rate, burst, n, now_ns, &next)) {
		if (__builtin_expect(atomic_compare_exchange_strong_explicit(tat, &word, next,
									     memory_order_relaxed,
									     memory_order_relaxed),
				     1)) {
			*ret = decide_admitted(now_ns);
			return true;
		}
		pause_briefly();
	}
	/* A state that no honest writer left, one of another epoch, one that reservations moved
	 * ahead, or a reserve. */
	ahead = word ^ gcra_epoch(rate);
	if (burst != gcra_burst(rate) || ahead - now_ns > (uint64_t)burst * interval ||
	    atomic_load_explicit(&view->counters[flow->slot].reserved_until, memory_order_relaxed) >
		    now_ns)
		return false;
	*ret = (struct tg_verdict){.at_ns = gcra_earliest(ahead, interval, burst, n),
				   .reason = TG_REFUSED_RATE};
	return true;
}

static inline struct tg_verdict decide_admit(const struct view *view, const struct tg_flow *flow,
					     enum tg_class traffic, uint32_t n, uint64_t now_ns)
{
	struct tg_verdict verdict;

	if (__builtin_expect(decide_single(view, flow, traffic, n, now_ns, &verdict), 1))
		return verdict;
	return decide_several(view, flow, traffic, n, now_ns);
}

#endif
