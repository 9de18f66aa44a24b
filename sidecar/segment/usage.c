/* SPDX-License-Identifier: MIT
 *
 * See usage.h. Workers charge the words meanwhile, so each is changed by compare-and-swap.
 */
#include "sidecar/segment/usage.h"

#include "shm/window.h"

static uint64_t load(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

static bool swap(_Atomic uint64_t *word, uint64_t *seen, uint64_t next)
{
	return atomic_compare_exchange_weak_explicit(word, seen, next, memory_order_relaxed,
						     memory_order_relaxed);
}

/* How many messages a state is in debt. */
static uint64_t debt_of(const struct segment *s, uint32_t slot, uint64_t now_ns)
{
	uint64_t rate = load(&s->limits[slot].rate[TG_TRANSACTIONAL]),
		 interval = gcra_interval(rate);
	uint64_t word = load(&s->view.counters[slot].tat), tat = word ^ gcra_epoch(word);

	if (word == 0 || word == LAYOUT_POISON || interval == 0 || tat <= now_ns)
		return 0;
	return (tat - now_ns + interval - 1) / interval;
}

static void rate_add(struct segment *s, uint32_t from, uint32_t to, uint64_t now_ns)
{
	uint64_t rate = load(&s->limits[to].rate[TG_TRANSACTIONAL]), interval = gcra_interval(rate);
	_Atomic uint64_t *word = &s->view.counters[to].tat;
	uint64_t debt = debt_of(s, from, now_ns), seen = load(word), next, tat;
	uint64_t full = now_ns + gcra_burst(rate) * interval;

	if (debt == 0 || interval == 0)
		return;
	if (debt > gcra_burst(rate))
		debt = gcra_burst(rate);
	do {
		/* A state that was never charged is in the epoch that the rate is in. */
		uint64_t epoch = gcra_epoch(seen ? seen : rate);

		if (seen == LAYOUT_POISON)
			return;
		tat = seen ? seen ^ epoch : 0;
		next = gcra_charge(tat, now_ns, interval, (uint32_t)debt);
		if (next > full)
			next = tat > full ? tat : full;
		next ^= epoch;
	} while (!swap(word, &seen, next));
}

/* A calendar's number of this hour or day, and what was counted in it. */
struct period {
	_Atomic uint64_t *word;
	uint32_t now;
};

static struct period period_of(const struct segment *s, uint32_t slot, bool day, uint64_t now_ns)
{
	uint64_t flags = load(&s->limits[slot].flags);
	const struct layout_calendar *calendar = s->calendar;
	struct layout_counters *counters = &s->view.counters[slot];

	return day ? (struct period){&counters->day, window_day(calendar, flags, now_ns)}
		   : (struct period){&counters->hour, window_hour(calendar, flags, now_ns)};
}

/* Where the two have other zones or phases, this hour of the one is counted as this hour of the
 * other. */
static void window_add(struct segment *s, uint32_t from, uint32_t to, bool day, uint64_t now_ns)
{
	struct period a = period_of(s, from, day, now_ns), b = period_of(s, to, day, now_ns);
	uint64_t used = load(a.word), seen = load(b.word), count;

	if (used == LAYOUT_POISON || (uint32_t)(used >> 32) < a.now || (uint32_t)used == 0)
		return;
	do {
		if (seen == LAYOUT_POISON || (uint32_t)(seen >> 32) > b.now)
			return;
		count = (uint32_t)(seen >> 32) == b.now ? (uint32_t)seen : 0;
		count += (uint32_t)used;
		if (count > UINT32_MAX - 1)
			count = UINT32_MAX - 1;
	} while (!swap(b.word, &seen, (uint64_t)b.now << 32 | count));
}

void usage_add(struct segment *s, uint32_t from, uint32_t to, uint64_t now_ns)
{
	rate_add(s, from, to, now_ns);
	window_add(s, from, to, false, now_ns);
	window_add(s, from, to, true, now_ns);
}
