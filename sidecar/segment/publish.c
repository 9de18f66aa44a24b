/* SPDX-License-Identifier: MIT */
#include "sidecar/segment/publish.h"

#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shm/window.h"

static bool store64(_Atomic uint64_t *word, uint64_t value)
{
	if (atomic_load_explicit(word, memory_order_relaxed) == value)
		return false;
	segment_step();
	/* Release: a word never overtakes the words that were ordered before it. */
	atomic_store_explicit(word, value, memory_order_release);
	return true;
}

static bool store32(_Atomic uint32_t *word, uint32_t value)
{
	if (atomic_load_explicit(word, memory_order_relaxed) == value)
		return false;
	segment_step();
	atomic_store_explicit(word, value, memory_order_release);
	return true;
}

void publish_unlimited(struct publish_limits *limits)
{
	memset(limits, 0, sizeof(*limits));
	for (int c = 0; c < TG_CLASSES; c++) {
		limits->burst[c] = UINT32_MAX;
		limits->hour_cap[c] = limits->day_cap[c] = PUBLISH_NO_CAP;
	}
}

static bool capped(const uint32_t cap[TG_CLASSES])
{
	return cap[TG_TRANSACTIONAL] != PUBLISH_NO_CAP;
}

static uint64_t flags_word(const struct publish_limits *l, uint64_t now_ns)
{
	uint64_t flags = l->flags & (LAYOUT_SOURCE | LAYOUT_DESTINATION | LAYOUT_REPORT_DELIVERED |
				     LAYOUT_COUNT_RECIPIENTS | LAYOUT_PROBING);

	flags |= capped(l->hour_cap) ? LAYOUT_HOUR : 0;
	flags |= capped(l->day_cap) ? LAYOUT_DAY : 0;
	flags |= l->hold_lower_ns > now_ns ? LAYOUT_HOLD_LOWER : 0;
	return flags | (uint64_t)(l->hour_phase_s % 3600) << LAYOUT_HOUR_PHASE_SHIFT |
	       (uint64_t)(l->day_phase_min % 1440) << LAYOUT_DAY_PHASE_SHIFT;
}

/* The rates of a slot, and the state that they share. */
struct rates {
	_Atomic uint64_t *words;
	int count;
	_Atomic uint32_t *before;
	_Atomic uint64_t *tat;
	_Atomic uint64_t *reserved_until; /* NULL: nothing is reserved of it */
	uint64_t reserve_ns;
};

/* What held before a change: of the slot itself, or the defaults where it was never filled. */
struct in_force_before {
	uint64_t rate;
	uint32_t before;
};

#define PRICE_UNKNOWN UINT64_MAX

/* The interval at which a state of this epoch was charged. */
static uint64_t interval_of(const struct in_force_before *old, uint64_t epoch)
{
	if (epoch == gcra_epoch(old->rate))
		return gcra_interval(old->rate);
	if (epoch + GCRA_EPOCH_ONE == gcra_epoch(old->rate) && gcra_interval(old->before) != 0)
		return gcra_interval(old->before);
	return PRICE_UNKNOWN;
}

/* The last slot that was promised, where it is still to come; else now. */
static uint64_t promised_until(const struct rates *r, uint64_t now_ns)
{
	/* M1 pairs with M0 in shm/decide.c: the mark is there before the state that it is of, which
	 * was read before the fence in segment_now_after_load. */
	uint64_t reserved = r->reserved_until
				    ? atomic_load_explicit(r->reserved_until, memory_order_relaxed)
				    : 0;

	if (reserved <= now_ns)
		return now_ns;
	return reserved - now_ns < r->reserve_ns ? reserved : now_ns + r->reserve_ns;
}

/* What a state becomes at the new interval: the debt in messages stays. What was reserved ahead
 * leaves when it was told to, at the old interval, so on a raise the debt is that of the moment at
 * which the last of it leaves. A debt at a price that nobody knows any more is a full bucket. */
static uint64_t debt_at(const struct rates *r, uint64_t tat, uint64_t old_ns, uint64_t new_ns,
			uint64_t bound_ns, uint64_t now_ns)
{
	uint64_t from = now_ns;

	if (new_ns < old_ns)
		from = promised_until(r, now_ns);
	if (old_ns == PRICE_UNKNOWN)
		return from + bound_ns - r->reserve_ns;
	return gcra_clamp(gcra_rescale(tat, from, old_ns, new_ns), now_ns, bound_ns);
}

/* Where a state is to go. */
struct target {
	uint64_t interval_ns, bound_ns;
	uint64_t until_ns; /* what a held flow's state may be at most; 0: no hold */
	uint64_t epoch;
};

/* Moves a state on by compare-and-swap. Of a held flow so much is forgiven that one message can go
 * when the hold ends, its probe, and no more, unless what was reserved leaves after that. The state
 * is in the target's epoch after that, from which moment on workers charge the price of that epoch.
 */
static void state_move(const struct segment *s, const struct rates *r,
		       const struct in_force_before *old, const struct target *to, uint64_t now_ns)
{
	uint64_t until_ns = to->until_ns;
	uint64_t seen = atomic_load_explicit(r->tat, memory_order_relaxed);
	uint64_t next, old_ns;

	do {
		if (seen == LAYOUT_POISON)
			return;
		/* A debt is measured from a time that is no older than it. */
		now_ns = segment_now_after_load(s, now_ns);
		/* A state that was never charged may have been at the new price by now. */
		old_ns = gcra_epoch(seen) == to->epoch ? to->interval_ns
						       : interval_of(old, gcra_epoch(seen));
		next = seen == 0 ? 0
				 : debt_at(r, seen ^ gcra_epoch(seen), old_ns, to->interval_ns,
					   to->bound_ns, now_ns);
		if (until_ns != 0 && next > until_ns && promised_until(r, now_ns) <= until_ns)
			next = until_ns;
		next |= to->epoch;
		if (next == seen)
			return;
		segment_step();
		/* E0 pairs with E1 in shm/decide.c. */
	} while (!atomic_compare_exchange_weak_explicit(r->tat, &seen, next, memory_order_release,
							memory_order_relaxed));
}

/* P0 pairs with P1 in shm/decide.c, shm/decide.h and shm/decide_fast.h. The last first: the first
 * one says that a slot is filled (LAYOUT_DEFAULT_FLOW and its like hold until then), so that no
 * reader takes a word that is not there yet for "unlimited". */
static bool rates_store(_Atomic uint64_t *words, const uint64_t *rates, int count)
{
	bool changed = false;

	for (int i = count - 1; i >= 0; i--)
		changed |= store64(&words[i], rates[i]);
	return changed;
}

/* What a sidecar that died left undone: rates of an epoch that the state is not in yet. */
static void rates_finish(const struct segment *s, const struct rates *r, uint64_t now_ns)
{
	struct in_force_before own = {
		.rate = atomic_load_explicit(&r->words[0], memory_order_relaxed),
		.before = atomic_load_explicit(r->before, memory_order_relaxed),
	};
	uint64_t seen = atomic_load_explicit(r->tat, memory_order_relaxed);
	uint64_t interval = gcra_interval(own.rate);

	if (gcra_epoch(seen) == gcra_epoch(own.rate) || own.rate == 0)
		return;
	state_move(s, r, &own,
		   &(struct target){.interval_ns = interval,
				    .bound_ns = gcra_burst(own.rate) * interval + r->reserve_ns,
				    .epoch = gcra_epoch(own.rate)},
		   now_ns);
}

/* A changed interval is an epoch of its own: first stands there what holds for the epoch before,
 * then the rates of the new one, then the state is converted to it. A worker charges the price of
 * the epoch that it finds the state in, so none is charged at another, however long either of both
 * is stopped in between; and workers go on if this process dies here, at the old price. Bursts that
 * grow do so last, so that none goes with the old price. `old` is what held: of a slot that is
 * filled for the first time the defaults, in whose epochs its state is then. */
static bool rates_publish(const struct segment *s, const struct rates *r, const uint64_t *rates,
			  const struct in_force_before *old, uint64_t until_ns, uint64_t now_ns)
{
	uint64_t own = atomic_load_explicit(&r->words[0], memory_order_relaxed), seen, old_ns;
	struct in_force_before in_force = {own,
					   atomic_load_explicit(r->before, memory_order_relaxed)};
	uint64_t new_ns = gcra_interval(rates[0]);
	uint64_t bound = gcra_burst(rates[0]) * new_ns + r->reserve_ns;
	uint64_t epoch, first[TG_CLASSES], last[TG_CLASSES];
	struct target to;
	bool changed, another;

	if (own != 0) {
		rates_finish(s, r, now_ns);
		old = &in_force;
	}
	seen = atomic_load_explicit(r->tat, memory_order_relaxed);
	epoch = own != 0 || seen == 0 || seen == LAYOUT_POISON ? gcra_epoch(old->rate)
							       : gcra_epoch(seen);
	old_ns = interval_of(old, epoch);
	/* From and to unlimited nothing is converted. But a charge of the limit before may be under
	 * way when another begins. */
	another = new_ns != old_ns && new_ns != 0 && old->rate != 0;
	if (another)
		epoch += GCRA_EPOCH_ONE;
	to = (struct target){new_ns, bound, until_ns, epoch};
	for (int i = 0; i < r->count; i++) {
		uint64_t was = atomic_load_explicit(&r->words[i], memory_order_relaxed);
		uint32_t burst = gcra_burst(was ? was : old->rate);

		last[i] = rates[i] | epoch;
		first[i] = epoch | (uint32_t)rates[i] |
			   (uint64_t)(burst < gcra_burst(rates[i]) ? burst : gcra_burst(rates[i]))
				   << 32;
	}
	if (!another) {
		if (own == 0)
			store32(r->before, old->before);
		changed = rates_store(r->words, last, r->count);
		if (until_ns != 0 || gcra_burst(rates[0]) < gcra_burst(old->rate))
			state_move(s, r, &(struct in_force_before){rates[0] | epoch, old->before},
				   &to, now_ns);
		return changed;
	}
	/* Of no price that is known: nobody charges until the state is converted. */
	store32(r->before, old_ns == PRICE_UNKNOWN			     ? 0
			   : old_ns == 0				     ? (uint32_t)rates[0]
			   : epoch - GCRA_EPOCH_ONE == gcra_epoch(old->rate) ? (uint32_t)old->rate
									     : old->before);
	changed = rates_store(r->words, first, r->count);
	state_move(s, r, old, &to, now_ns);
	changed |= rates_store(r->words, last, r->count);
	return changed;
}

struct publish_in_force publish_in_force(const struct segment *s, uint32_t slot)
{
	const struct segment_slot *known = segment_slot(s, slot);
	uint32_t index = known->kind == SEGMENT_SOURCE	      ? LAYOUT_DEFAULT_SOURCE
			 : known->kind == SEGMENT_DESTINATION ? LAYOUT_DEFAULT_DESTINATION
			 : known->kind == SEGMENT_STREAM      ? LAYOUT_DEFAULT_STREAM
							      : LAYOUT_DEFAULT_FLOW;

	if (atomic_load_explicit(&s->limits[slot].rate[TG_TRANSACTIONAL], memory_order_relaxed))
		return (struct publish_in_force){&s->limits[slot], &s->more[slot]};
	if (known->kind == SEGMENT_FLOW && known->destination < s->view.slots)
		index = publish_default_index(s, known->destination);
	return (struct publish_in_force){&s->defaults[index].limits, &s->defaults[index].more};
}

static void caps_read(const _Atomic uint32_t *words, bool on, uint32_t ret[TG_CLASSES])
{
	for (int c = 0; c < TG_CLASSES; c++)
		ret[c] =
			on ? atomic_load_explicit(&words[c], memory_order_relaxed) : PUBLISH_NO_CAP;
}

void publish_read(const struct segment *s, uint32_t slot, struct publish_limits *ret)
{
	struct publish_in_force at = publish_in_force(s, slot);
	uint64_t flags = atomic_load_explicit(&at.limits->flags, memory_order_relaxed);
	uint64_t connections = atomic_load_explicit(&at.more->connections, memory_order_relaxed);
	uint64_t rate =
		atomic_load_explicit(&at.limits->rate[TG_TRANSACTIONAL], memory_order_relaxed);

	publish_unlimited(ret);
	ret->interval_ns = gcra_interval(rate);
	for (int c = 0; c < TG_CLASSES; c++) {
		uint64_t cap = connections >> 16 * c & 0xffff;

		ret->burst[c] =
			gcra_burst(atomic_load_explicit(&at.limits->rate[c], memory_order_relaxed));
		ret->connections[c] = cap == 0xffff ? 0 : (uint32_t)cap;
	}
	ret->per_connection = (uint32_t)(connections >> 48);
	ret->hold_until_ns = atomic_load_explicit(&at.limits->hold_until_ns, memory_order_relaxed);
	ret->hold_lower_ns = atomic_load_explicit(&at.more->hold_lower_ns, memory_order_relaxed);
	caps_read(at.limits->hour_cap, flags & LAYOUT_HOUR, ret->hour_cap);
	caps_read(at.limits->day_cap, flags & LAYOUT_DAY, ret->day_cap);
}

/* A phase that moves back makes the next window begin earlier: its number is put in force first,
 * with the count of this one, so that no window is granted anew. */
static void phase_prepare(struct segment *s, uint32_t slot, uint64_t old_flags, uint64_t new_flags,
			  uint64_t now_ns)
{
	const struct layout_calendar *calendar = s->calendar;
	struct {
		_Atomic uint64_t *word;
		uint64_t *remembered;
		uint32_t before, after;
	} windows[] = {
		{&s->view.counters[slot].hour, &segment_slot(s, slot)->hour,
		 window_hour(calendar, old_flags, now_ns),
		 window_hour(calendar, new_flags, now_ns)},
		{&s->view.counters[slot].day, &segment_slot(s, slot)->day,
		 window_day(calendar, old_flags, now_ns), window_day(calendar, new_flags, now_ns)},
	};

	for (int i = 0; i < 2; i++) {
		uint64_t seen = atomic_load_explicit(windows[i].word, memory_order_relaxed);

		/* The old number lies ahead now, where none can be: it is repaired to this. */
		if (windows[i].after < windows[i].before)
			*windows[i].remembered = (uint64_t)windows[i].after << 32 | (uint32_t)seen;
		while (windows[i].after > windows[i].before &&
		       (uint32_t)(seen >> 32) == windows[i].before &&
		       !atomic_compare_exchange_weak_explicit(
			       windows[i].word, &seen,
			       (uint64_t)windows[i].after << 32 | (uint32_t)seen,
			       memory_order_relaxed, memory_order_relaxed))
			;
	}
}

static bool caps_store(_Atomic uint32_t *words, const uint32_t cap[TG_CLASSES])
{
	bool changed = false;

	if (!capped(cap))
		return false;
	for (int c = 0; c < TG_CLASSES; c++)
		changed |= store32(&words[c], cap[c]);
	return changed;
}

static uint64_t connections_word(const struct publish_limits *l)
{
	uint64_t word = (uint64_t)(l->per_connection < 0xffff ? l->per_connection : 0xffff) << 48;

	for (int c = 0; c < TG_CLASSES; c++) {
		uint64_t cap = l->connections[c] ? l->connections[c] : 0xffff;

		word |= (cap < 0xffff ? cap : 0xffff) << (16 * c);
	}
	return word;
}

static void rates_pack(const struct publish_limits *l, uint64_t rates[TG_CLASSES])
{
	for (int c = 0; c < TG_CLASSES; c++) {
		rates[c] = gcra_rate(l->interval_ns, l->burst[c]);
		/* The word 0 would say "never filled". */
		if (rates[c] == 0)
			rates[c] = gcra_rate(GCRA_SPAN_MAX, 0);
	}
}

/* The state with which one message of the lowest class passes when the hold ends; 0: there is no
 * hold. */
static uint64_t probe_state(const struct publish_limits *l, uint64_t now_ns)
{
	uint64_t until = l->hold_until_ns > now_ns ? l->hold_until_ns : l->hold_lower_ns;
	uint64_t rate = gcra_rate(l->interval_ns, l->burst[TG_BULK]);
	uint64_t rest = gcra_burst(rate) > 1 ? (gcra_burst(rate) - 1) * gcra_interval(rate) : 0;

	if (until <= now_ns || until > GCRA_SPAN_MAX)
		return 0;
	return until + rest;
}

/* W1 pairs with W0 in shm/wait.c: the count is raised (release) after the limits were stored. Never
 * back to 0, which says "never filled". A system call, but only where something changed. */
static void waiters_wake(_Atomic uint32_t *changes)
{
	uint32_t next = atomic_load_explicit(changes, memory_order_relaxed) + 1;

	store32(changes, next ? next : 1);
	syscall(SYS_futex, changes, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

bool publish_slot(struct segment *s, uint32_t slot, const struct publish_limits *l, uint64_t now_ns)
{
	struct layout_limits *limits = &s->limits[slot];
	struct layout_limits_more *more = &s->more[slot];
	struct layout_counters *counters = &s->view.counters[slot];
	struct publish_in_force before = publish_in_force(s, slot);
	struct in_force_before old = {
		atomic_load_explicit(&before.limits->rate[TG_TRANSACTIONAL], memory_order_relaxed),
		atomic_load_explicit(&before.more->before, memory_order_relaxed)};
	struct in_force_before old_connections = {
		atomic_load_explicit(&before.more->connection_rate, memory_order_relaxed),
		atomic_load_explicit(&before.more->connection_before, memory_order_relaxed)};
	uint64_t flags = flags_word(l, now_ns);
	uint64_t old_flags = atomic_load_explicit(&before.limits->flags, memory_order_relaxed);
	uint64_t rates[TG_CLASSES];
	uint64_t connection_rate = gcra_rate(l->connection_interval_ns, l->connection_burst);
	bool changed;

	rates_pack(l, rates);
	if ((flags ^ old_flags) & ~LAYOUT_FLAG_BITS)
		phase_prepare(s, slot, old_flags, flags, now_ns);
	/* A hold first of all: it is what a deferral asks for. */
	changed = store64(&more->hold_lower_ns, l->hold_lower_ns);
	changed |= store64(&limits->hold_until_ns, l->hold_until_ns);
	changed |= caps_store(limits->hour_cap, l->hour_cap);
	changed |= caps_store(limits->day_cap, l->day_cap);
	changed |= store64(&limits->flags, flags);
	changed |= store64(&more->connections, connections_word(l));
	if (segment_kind(s, slot) != SEGMENT_DESTINATION)
		changed |= rates_publish(s,
					 &(struct rates){&more->connection_rate, 1,
							 &more->connection_before,
							 &counters->connection_tat, NULL, 0},
					 &connection_rate, &old_connections, 0, now_ns);
	else
		changed |= store64(&more->connection_rate, connection_rate);
	/* Last, since from then on the slot is filled. */
	changed |= rates_publish(s,
				 &(struct rates){limits->rate, TG_CLASSES, &more->before,
						 &counters->tat, &counters->reserved_until,
						 s->header.reserve_max_ns},
				 rates, &old, probe_state(l, now_ns), now_ns);
	if (changed || atomic_load_explicit(&more->changes, memory_order_relaxed) == 0)
		waiters_wake(&more->changes);
	return changed;
}

/* Another price of a default is another epoch, too. The states that were charged under it cannot be
 * found and converted: they go on at the price of the epoch before until their slot is filled, and
 * one that is older refuses until then, as all refuse for the moment (or the death) in which the
 * rates and the price before are of two minds. `old` is what held for these states until now. */
static void default_rates(_Atomic uint64_t *words, _Atomic uint32_t *before, uint64_t *rates,
			  int count, const struct in_force_before *old)
{
	bool another = old->rate != 0 && gcra_interval(rates[0]) != gcra_interval(old->rate);
	uint64_t epoch = gcra_epoch(old->rate) + (another ? GCRA_EPOCH_ONE : 0);
	uint32_t last = !another		   ? old->before
			: gcra_interval(old->rate) ? (uint32_t)old->rate
						   : (uint32_t)rates[0];

	for (int i = 0; i < count; i++)
		rates[i] |= epoch;
	if (another)
		store32(before, 0);
	rates_store(words, rates, count);
	/* B0 pairs with B1 in shm/decide.c: by now the rates are those of the later epoch. */
	store32(before, last);
}

static struct in_force_before rates_of(const struct layout_default_limits *d)
{
	return (struct in_force_before){
		atomic_load_explicit(&d->limits.rate[TG_TRANSACTIONAL], memory_order_relaxed),
		atomic_load_explicit(&d->more.before, memory_order_relaxed)};
}

static struct in_force_before connections_of(const struct layout_default_limits *d)
{
	return (struct in_force_before){
		atomic_load_explicit(&d->more.connection_rate, memory_order_relaxed),
		atomic_load_explicit(&d->more.connection_before, memory_order_relaxed)};
}

/* `from`: the defaults that held for the same flows until now. */
static void default_store(struct layout_default_limits *at, const struct publish_limits *l,
			  const struct layout_default_limits *from)
{
	struct in_force_before old = rates_of(from), old_connections = connections_of(from);
	uint64_t rates[TG_CLASSES];
	uint64_t connection_rate = gcra_rate(l->connection_interval_ns, l->connection_burst);

	rates_pack(l, rates);
	caps_store(at->limits.hour_cap, l->hour_cap);
	caps_store(at->limits.day_cap, l->day_cap);
	store64(&at->limits.flags, flags_word(l, 0));
	store64(&at->more.connections, connections_word(l));
	default_rates(&at->more.connection_rate, &at->more.connection_before, &connection_rate, 1,
		      &old_connections);
	default_rates(at->limits.rate, &at->more.before, rates, TG_CLASSES, &old);
}

void publish_default(struct segment *s, uint32_t index, const struct publish_limits *l)
{
	default_store(&s->defaults[index], l, &s->defaults[index]);
}

uint32_t publish_default_index(const struct segment *s, uint32_t destination_slot)
{
	uint32_t index = atomic_load_explicit(&s->more[destination_slot].default_index,
					      memory_order_relaxed);

	return index >= LAYOUT_DEFAULT_FIRST && index < LAYOUT_DEFAULTS ? index
									: LAYOUT_DEFAULT_FLOW;
}

void publish_default_own(struct segment *s, uint32_t destination_slot, uint32_t index,
			 const struct publish_limits *l)
{
	default_store(&s->defaults[index], l, &s->defaults[LAYOUT_DEFAULT_FLOW]);
	/* D0 pairs with D1 in shm/decide.c: the record is there before its index. */
	store32(&s->more[destination_slot].default_index, index);
}

void publish_generation(struct segment *s)
{
	segment_step();
	atomic_fetch_add_explicit(&s->live->generation, 1, memory_order_release);
}
