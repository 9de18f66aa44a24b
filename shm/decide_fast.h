/* SPDX-License-Identifier: MIT
 *
 * Decisions over the limits that most flows have, where all of them admit and nobody interferes:
 * rate, hour and day of a flow, or the rates of flow, source and destination.
 *
 * One pass without lists: each limit is looked at, then each is taken. Whatever is not plain (a
 * refusal, a hold, an unlimited or unfilled slot, a new period, a race) is left to decide_all, with
 * nothing taken. Where something could not be given back it is forfeited, and the call ends there,
 * as in decide_all, so that it forfeits no more. So nothing here refuses for a limit, and only what
 * decide_all would have admitted is admitted. In line, because what they cost above the locked
 * operations is the number of their instructions. The caller has seen that flow->slot and traffic
 * are in range.
 */
#ifndef TG_DECIDE_FAST_H
#define TG_DECIDE_FAST_H

#include <stdbool.h>
#include <stddef.h>

#include "shm/gcra.h"
#include "shm/pause.h"
#include "shm/view.h"
#include "shm/window.h"

/* What a flow may not have for decide_single (shm/decide.h) to say. */
#define DECIDE_SINGLE_MASK                                                                   \
	(LAYOUT_HOUR | LAYOUT_DAY | LAYOUT_SOURCE | LAYOUT_DESTINATION | LAYOUT_HOLD_LOWER | \
	 LAYOUT_PROBING)

#define FAST_PARENT_MASK (LAYOUT_HOUR | LAYOUT_DAY | LAYOUT_HOLD_LOWER)

/* How much of a burst a class may use without touching the flow's reserve, whose use is counted. */
static inline uint32_t decide_burst_outside(const struct layout_limits *limits,
					    enum tg_class traffic, uint64_t rate)
{
	uint32_t burst = gcra_burst(rate), engaged;

	if (traffic != TG_TRANSACTIONAL)
		return burst;
	engaged = gcra_burst(atomic_load_explicit(&limits->rate[TG_ENGAGED], memory_order_relaxed));
	return engaged < burst ? engaged : burst;
}

enum fast_outcome { FAST_LEFT, FAST_ADMITTED, FAST_REFUND_FAILED };

/* Which flows are of which kind. */
static inline bool fast_windows(const struct tg_flow *flow, uint64_t flags)
{
	return !(flags & DECIDE_SINGLE_MASK & ~(LAYOUT_HOUR | LAYOUT_DAY)) &&
	       flow->stream == LAYOUT_NONE;
}

static inline bool fast_scopes(const struct tg_flow *flow, uint64_t flags)
{
	return !(flags & DECIDE_SINGLE_MASK & ~(LAYOUT_SOURCE | LAYOUT_DESTINATION)) &&
	       flow->stream == LAYOUT_NONE;
}

/* A rate's word, what was seen there, and what it is to become. */
struct fast_step {
	_Atomic uint64_t *word;
	uint64_t seen, next;
};

/* All words here but the rates are read relaxed: each is valid by itself, a charge publishes
 * nothing. */
static inline uint64_t fast_load(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

/* P1 pairs with P0 in sidecar/segment/publish.c: where a slot's rate is there, so are its flags and
 * its hold, which are to be read after it. */
static inline uint64_t fast_rate(const struct layout_limits *limits, enum tg_class traffic)
{
	return atomic_load_explicit(&limits->rate[traffic], memory_order_acquire);
}

static inline bool fast_swap(_Atomic uint64_t *word, uint64_t seen, uint64_t next)
{
	return __builtin_expect(atomic_compare_exchange_strong_explicit(word, &seen, next,
									memory_order_relaxed,
									memory_order_relaxed),
				1);
}

/* Gives a charge back, unless somebody has come since. */
static __attribute__((noinline, cold, unused)) enum fast_outcome
fast_refund(_Atomic uint64_t *word, uint64_t left, uint64_t before)
{
	return fast_swap(word, left, before) ? FAST_LEFT : FAST_REFUND_FAILED;
}

/* A count may be lowered by whoever raised it, in the period in which it was raised: sums commute.
 */
static __attribute__((noinline, cold, unused)) bool fast_window_refund(_Atomic uint64_t *word,
								       uint32_t period, uint32_t n)
{
	uint64_t seen = fast_load(word);

	while (window_period(seen) == period && (uint32_t)seen >= n &&
	       (uint32_t)seen != UINT32_MAX) {
		if (atomic_compare_exchange_weak_explicit(
			    word, &seen, seen - n, memory_order_relaxed, memory_order_relaxed))
			return true;
		pause_briefly();
	}
	return false;
}

/* False: it refuses, or is not plain. */
static inline bool fast_burst_step(struct fast_step *ret, const struct layout_limits *limits,
				   struct layout_counters *counters, uint64_t rate, uint32_t burst,
				   uint32_t n, uint64_t now_ns)
{
	ret->word = &counters->tat;
	ret->seen = fast_load(&counters->tat);
	return gcra_conforms(ret->seen, rate, burst, n, now_ns, &ret->next) &&
	       fast_load(&limits->hold_until_ns) <= now_ns;
}

/* Of a flow, outside its reserve. */
static inline bool fast_rate_step(struct fast_step *ret, const struct layout_limits *limits,
				  struct layout_counters *counters, enum tg_class traffic,
				  uint32_t n, uint64_t now_ns)
{
	uint64_t rate = fast_rate(limits, traffic);

	return fast_burst_step(ret, limits, counters, rate,
			       decide_burst_outside(limits, traffic, rate), n, now_ns);
}

static inline bool fast_parent_step(struct fast_step *ret, const struct view *view, uint32_t slot,
				    enum tg_class traffic, uint32_t n, uint64_t now_ns)
{
	uint64_t rate;

	if (slot >= view->slots)
		return false;
	rate = fast_rate(&view->limits[slot], traffic);
	if ((fast_load(&view->limits[slot].flags) & FAST_PARENT_MASK) != 0)
		return false;
	return fast_burst_step(ret, &view->limits[slot], &view->counters[slot], rate,
			       gcra_burst(rate), n, now_ns);
}

/* Does the period that a word names hold now, and is there room in it? Starting from the word, not
 * from the time, all but the comparison is done while the clock is still being read. The charge is
 * then `seen + n`. */
static inline bool fast_window_room(uint64_t seen, bool same_period, uint32_t cap, uint32_t n)
{
	return same_period && window_fits((uint32_t)seen, cap, n);
}

static inline bool fast_same_hour(const struct layout_calendar *calendar, uint64_t flags,
				  uint64_t seen, uint64_t now_ns)
{
	uint64_t begin = (seen >> 32) * WINDOW_HOUR_NS + window_hour_phase(flags) -
			 fast_load(&calendar->hour_offset_ns);

	return now_ns - begin < WINDOW_HOUR_NS;
}

static inline bool fast_same_day(const struct layout_calendar *calendar, uint64_t flags,
				 uint64_t seen, uint64_t now_ns)
{
	uint64_t time = now_ns - window_day_phase(flags);
	uint64_t passed = time - (uint64_t)window_day_start(calendar, seen >> 32);

	/* No day is shorter than this, so its end has to be looked up in its last hours alone. */
	return passed < WINDOW_DAY_NS - WINDOW_DST_MAX_NS ||
	       ((int64_t)passed >= 0 &&
		(int64_t)time < window_day_start(calendar, (seen >> 32) + 1));
}

/* Where somebody was faster at a limit that is not the first, it is worked out again, so that what
 * was taken of the first is given up only if the limit refuses. `word` is NULL then. */
static __attribute__((noinline, cold, unused)) struct fast_step
fast_parent_retry(const struct view *view, uint32_t slot, enum tg_class traffic, uint32_t n,
		  uint64_t now_ns)
{
	struct fast_step step;

	while (fast_parent_step(&step, view, slot, traffic, n, now_ns)) {
		if (fast_swap(step.word, step.seen, step.next))
			return step;
		pause_briefly();
	}
	return (struct fast_step){0};
}

static __attribute__((noinline, cold, unused)) bool
fast_window_retry(_Atomic uint64_t *word, uint32_t period, uint32_t cap, uint32_t n)
{
	uint64_t seen = fast_load(word);

	while (window_period(seen) == period && window_fits((uint32_t)seen, cap, n)) {
		if (fast_swap(word, seen, seen + n))
			return true;
		pause_briefly();
		seen = fast_load(word);
	}
	return false;
}

/* ---- rate, hour and day ---------------------------------------------------------------------- */

/* The rate's state and the hour's count stand side by side: where the processor can swap both at
 * once, that is one locked operation instead of two, and nothing to give back between them. */
#if defined(__x86_64__) && defined(__GCC_HAVE_SYNC_COMPARE_AND_SWAP_16) && \
	!defined(__SANITIZE_THREAD__)
_Static_assert(offsetof(struct layout_counters, tat) % 16 == 0 &&
		       offsetof(struct layout_counters, hour) ==
			       offsetof(struct layout_counters, tat) + 8,
	       "a pair");

static inline enum fast_outcome fast_swap_rate_hour(struct layout_counters *counters,
						    const struct fast_step *rate, uint64_t hour,
						    uint32_t n)
{
	unsigned __int128 seen = (unsigned __int128)hour << 64 | rate->seen;
	unsigned __int128 next = (unsigned __int128)(hour + n) << 64 | rate->next;

	return __builtin_expect(__sync_bool_compare_and_swap(
					(unsigned __int128 *)(void *)&counters->tat, seen, next),
				1)
		       ? FAST_ADMITTED
		       : FAST_LEFT;
}
#else
static inline enum fast_outcome fast_swap_rate_hour(struct layout_counters *counters,
						    const struct fast_step *rate, uint64_t hour,
						    uint32_t n)
{
	if (!fast_swap(&counters->tat, rate->seen, rate->next))
		return FAST_LEFT;
	if (fast_swap(&counters->hour, hour, hour + n))
		return FAST_ADMITTED;
	return fast_refund(&counters->tat, rate->next, rate->seen);
}
#endif

/* Takes the rate, and the windows that the flow has. */
static inline enum fast_outcome fast_windows_take(struct layout_counters *counters, uint64_t flags,
						  uint32_t n, const struct fast_step *rate,
						  uint64_t hour, uint64_t day, uint32_t day_cap)
{
	/* A flow without an hour's cap has 0 there: the swap then leaves it as it is. */
	uint32_t hourly = flags & LAYOUT_HOUR ? n : 0;

	enum fast_outcome outcome = fast_swap_rate_hour(counters, rate, hour, hourly);

	if (outcome != FAST_ADMITTED || !(flags & LAYOUT_DAY) ||
	    fast_swap(&counters->day, day, day + n) ||
	    fast_window_retry(&counters->day, window_period(day), day_cap, n))
		return outcome;
	outcome = fast_refund(&counters->tat, rate->next, rate->seen);
	return hourly && !fast_window_refund(&counters->hour, window_period(hour), n)
		       ? FAST_REFUND_FAILED
		       : outcome;
}

static inline enum fast_outcome fast_windows_admit(const struct view *view,
						   const struct tg_flow *flow, uint64_t flags,
						   enum tg_class traffic, uint32_t n,
						   uint64_t now_ns)
{
	const struct layout_limits *limits = &view->limits[flow->slot];
	struct layout_counters *counters = &view->counters[flow->slot];
	const struct layout_calendar *calendar = view->calendar;
	uint64_t hour = fast_load(&counters->hour);
	uint64_t day = fast_load(&counters->day);
	uint32_t day_cap = atomic_load_explicit(&limits->day_cap[traffic], memory_order_relaxed);
	struct fast_step rate;

	if ((flags & LAYOUT_HOUR) &&
	    !fast_window_room(
		    hour, fast_same_hour(calendar, flags, hour, now_ns),
		    atomic_load_explicit(&limits->hour_cap[traffic], memory_order_relaxed), n))
		return FAST_LEFT;
	if ((flags & LAYOUT_DAY) &&
	    !fast_window_room(day, fast_same_day(calendar, flags, day, now_ns), day_cap, n))
		return FAST_LEFT;
	return fast_rate_step(&rate, limits, counters, traffic, n, now_ns)
		       ? fast_windows_take(counters, flags, n, &rate, hour, day, day_cap)
		       : FAST_LEFT;
}

/* ---- rates of flow, source and destination --------------------------------------------------- */

static inline enum fast_outcome fast_scopes_admit(const struct view *view,
						  const struct tg_flow *flow, uint64_t flags,
						  enum tg_class traffic, uint32_t n,
						  uint64_t now_ns)
{
	struct fast_step own, source = {0}, destination = {0};
	enum fast_outcome outcome = FAST_LEFT;

	if (!fast_rate_step(&own, &view->limits[flow->slot], &view->counters[flow->slot], traffic,
			    n, now_ns) ||
	    ((flags & LAYOUT_SOURCE) &&
	     !fast_parent_step(&source, view, flow->source, traffic, n, now_ns)) ||
	    ((flags & LAYOUT_DESTINATION) &&
	     !fast_parent_step(&destination, view, flow->destination, traffic, n, now_ns)))
		return FAST_LEFT;
	if (!fast_swap(own.word, own.seen, own.next))
		return FAST_LEFT;
	if ((flags & LAYOUT_SOURCE) && !fast_swap(source.word, source.seen, source.next)) {
		source = fast_parent_retry(view, flow->source, traffic, n, now_ns);
		if (source.word == NULL)
			goto give_own;
	}
	if (flags & LAYOUT_DESTINATION &&
	    !fast_swap(destination.word, destination.seen, destination.next))
		destination = fast_parent_retry(view, flow->destination, traffic, n, now_ns);
	if (!(flags & LAYOUT_DESTINATION) || destination.word)
		return FAST_ADMITTED;
	if (flags & LAYOUT_SOURCE)
		outcome = fast_refund(source.word, source.next, source.seen);
give_own:
	return fast_refund(own.word, own.next, own.seen) == FAST_REFUND_FAILED ? FAST_REFUND_FAILED
									       : outcome;
}

#endif
