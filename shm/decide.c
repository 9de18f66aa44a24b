/* SPDX-License-Identifier: MIT
 *
 * Decisions over several limits: see decide.h for what they promise.
 *
 * A scope is a slot whose limits count: the flow, then its source, destination and stream. Each has
 * a hold, a rate, an hour and a day. Checking a scope adds what would have to be taken to a list;
 * taking goes through the list.
 */
#include "shm/decide.h"

#include <errno.h>

#include "shm/headroom.h"
#include "shm/pause.h"
#include "shm/window.h"

enum charge_kind { CHARGE_RATE, CHARGE_HOUR, CHARGE_DAY, CHARGE_HEADROOM };

#define SCOPES	    4
#define CHARGES_MAX (SCOPES * 3 + 1) /* rate, hour, day; and the flow's reserve */
#define RETRIES	    8

struct limit_scope {
	const struct layout_limits *limits;
	const struct layout_limits_more *more;
	struct layout_counters *counters;
	enum tg_reason refusal; /* what a refusal here is called, TG_REFUSED_RATE: by its limit's
				   own name */
};

/* What one limit would take: a word, what was seen there, and what it would become. */
struct charge {
	_Atomic uint64_t *word;
	uint64_t seen;
	uint64_t next;
	uint64_t rate;	    /* of a rate; 0: an overtaker, which has been counted before */
	uint64_t period_ns; /* of a reserve; of an overtaker what it adds */
	uint32_t cap;	    /* of a window or reserve */
	uint32_t period;
	enum charge_kind kind;
};

struct decision {
	const struct view *view;
	enum tg_class traffic;
	uint32_t n;
	uint64_t now_ns;
	uint64_t at_ns; /* the latest time at which a limit that refuses would let it go */
	enum tg_reason reason;
	uint32_t flags;
	uint32_t charges;
	uint32_t room;
	bool refund_failed; /* a charge could not be given back: enough for one call */
	bool again;	    /* limits were changed while they were read: look again */
	struct charge charge[CHARGES_MAX];
};

static inline uint64_t load(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

static void decision_refuse(struct decision *d, enum tg_reason reason, uint64_t at_ns)
{
	if (at_ns <= d->at_ns && d->reason != TG_ADMITTED)
		return;
	d->at_ns = at_ns;
	d->reason = reason;
}

static enum tg_reason scope_reason(const struct limit_scope *scope, enum tg_reason own)
{
	return scope->refusal == TG_REFUSED_RATE ? own : scope->refusal;
}

/* A slot that was never filled has the defaults of its kind, a flow those of its destination. */
static struct limit_scope scope_of(const struct view *view, uint32_t slot, enum layout_default kind,
				   uint32_t destination, enum tg_reason refusal, struct decision *d)
{
	struct limit_scope scope = {&view->limits[slot], &view->more[slot], &view->counters[slot],
				    refusal};
	uint32_t index = kind;

	/* P1 pairs with P0 in sidecar/segment/publish.c: the transactional rate comes last, so
	 * where it is there the others are. */
	if (__builtin_expect(atomic_load_explicit(&scope.limits->rate[TG_TRANSACTIONAL],
						  memory_order_acquire) != 0,
			     1))
		return scope;
	if (kind == LAYOUT_DEFAULT_FLOW && destination < view->slots) {
		/* D1 pairs with D0 in sidecar/segment/publish.c. */
		uint32_t own = atomic_load_explicit(&view->more[destination].default_index,
						    memory_order_acquire);

		if (own >= LAYOUT_DEFAULT_FIRST && own < LAYOUT_DEFAULTS)
			index = own;
	}
	scope.limits = &view->defaults[index].limits;
	scope.more = &view->defaults[index].more;
	d->flags |= TG_DEFAULTS;
	return scope;
}

/* A state with the price that holds for it. */
struct price {
	uint64_t word; /* the state, as it stands there */
	uint64_t tat;  /* … without its epoch */
	uint64_t rate; /* of the state's epoch */
};

/* The rates of which one is asked for, with what goes with them. */
struct rates_read {
	const _Atomic uint64_t *rate;
	const _Atomic uint64_t *last; /* the one that is stored last: it is in force with all */
	const _Atomic uint32_t *before;
	const _Atomic uint64_t *state;
};

/* The price of a state's own epoch: the rate's interval or, while the sidecar is between storing
 * another rate and converting the state to it (it may die there), that of the epoch before. A state
 * that was never charged is in the epoch that all the rates are in. False: neither, so the limits
 * are being changed, or the state is damaged. */
static bool price_of(const struct rates_read *r, struct price *ret)
{
	for (int i = 0; i < 2; i++) {
		/* E1 pairs with E0 in sidecar/segment/publish.c: the rates of an epoch stand there
		 * before the state is in it. */
		uint64_t word = atomic_load_explicit(r->state, memory_order_acquire);
		/* P1 pairs with P0 in sidecar/segment/publish.c. */
		uint64_t epoch = gcra_epoch(
			word ? word : atomic_load_explicit(r->last, memory_order_acquire));
		uint64_t rate = atomic_load_explicit(r->rate, memory_order_acquire);

		*ret = (struct price){word, word, rate};
		if (word == LAYOUT_POISON || gcra_interval(rate) == 0)
			return true;
		ret->tat = word ? word ^ epoch : 0;
		if (epoch == gcra_epoch(rate))
			return true;
		if (epoch + GCRA_EPOCH_ONE == gcra_epoch(rate)) {
			/* B1 pairs with B0 in sidecar/segment/publish.c: if it is a later epoch's
			 * by now, so are the rates. */
			ret->rate = epoch | (uint64_t)gcra_burst(rate) << 32 |
				    atomic_load_explicit(r->before, memory_order_acquire);
			if (gcra_interval(ret->rate) != 0 &&
			    gcra_epoch(load(r->rate)) == gcra_epoch(rate))
				return true;
		}
	}
	return false;
}

/* Here a hold suspends the flow until it ends. */
static void check_hold(struct decision *d, const struct limit_scope *scope, uint64_t flags)
{
	uint64_t until = load(&scope->limits->hold_until_ns);

	if ((flags & LAYOUT_HOLD_LOWER) && d->traffic != TG_TRANSACTIONAL) {
		uint64_t lower = load(&scope->more->hold_lower_ns);

		until = lower > until ? lower : until;
	}
	if (until > d->now_ns)
		decision_refuse(d, scope_reason(scope, TG_REFUSED_HOLD), until);
}

/* The reserve of a flow, for what may use it; 0: there is none. */
static uint32_t reserve_of(const struct decision *d, const struct limit_scope *scope, uint64_t rate,
			   uint64_t *ret_period_ns)
{
	uint32_t engaged = gcra_burst(load(&scope->limits->rate[TG_ENGAGED]));
	uint32_t reserve = gcra_burst(rate) > engaged ? gcra_burst(rate) - engaged : 0;
	uint64_t span;

	/* Parents have no reservations to overtake. */
	if (d->traffic != TG_TRANSACTIONAL || scope->refusal != TG_REFUSED_RATE)
		return 0;
	reserve = reserve < HEADROOM_COUNT_MAX ? reserve : HEADROOM_COUNT_MAX;
	span = reserve * gcra_interval(rate);
	*ret_period_ns = span + (span > d->view->reserve_max_ns ? span : d->view->reserve_max_ns);
	return reserve;
}

/* The word of the reserve; a damaged one reads as used up, until the sidecar has repaired it. */
static uint64_t headroom_seen(const struct decision *d, const struct limit_scope *scope)
{
	uint64_t seen = load(&scope->counters->headroom);

	return headroom_sound(seen, d->now_ns) == seen ? seen : LAYOUT_POISON;
}

/* May it overtake what was reserved ahead of now? Adds both charges, or says when. */
static bool check_headroom(struct decision *d, const struct limit_scope *scope,
			   const struct price *price, uint64_t *at_ns)
{
	uint64_t reserved = load(&scope->counters->reserved_until);
	uint64_t rate = price->rate, tat = price->tat, interval = gcra_interval(rate);
	uint64_t period, earliest, next = 0, headroom;
	uint32_t reserve;

	if (reserved <= d->now_ns || tat == LAYOUT_POISON ||
	    gcra_earliest(tat, interval, gcra_burst(rate), d->n) > reserved)
		return false;
	reserve = reserve_of(d, scope, rate, &period);
	headroom = headroom_seen(d, scope);
	if (reserve == 0 || headroom == LAYOUT_POISON)
		return false;
	if (!headroom_charge(headroom, d->now_ns, period, reserve, d->n, &next, &earliest)) {
		*at_ns = earliest < *at_ns ? earliest : *at_ns;
		return false;
	}
	d->charge[d->charges++] = (struct charge){.word = &scope->counters->headroom,
						  .seen = headroom,
						  .next = next,
						  .period_ns = period,
						  .cap = reserve,
						  .kind = CHARGE_HEADROOM};
	d->charge[d->charges++] = (struct charge){.word = &scope->counters->tat,
						  .seen = price->word,
						  .next = price->word + d->n * interval,
						  .period_ns = d->n * interval,
						  .kind = CHARGE_RATE};
	return true;
}

/* The charge of a rate at `slot_ns`. Where engaged mail would have had to wait it uses the reserve,
 * and that is counted; where it would not, the charge says so: should somebody be faster, it is
 * worked out anew before the reserve is touched. */
static void charge_rate(struct decision *d, const struct limit_scope *scope,
			const struct price *price, uint64_t slot_ns)
{
	uint64_t rate = price->rate, tat = price->tat, epoch = gcra_epoch(rate);
	uint64_t interval = gcra_interval(rate), period = 0, next = 0, never;
	uint32_t reserve = reserve_of(d, scope, rate, &period);
	uint32_t engaged = gcra_burst(load(&scope->limits->rate[TG_ENGAGED]));
	uint64_t under = rate;

	if (reserve > 0 && d->n <= engaged &&
	    gcra_earliest(tat, interval, engaged, d->n) <= slot_ns)
		under = epoch | (uint64_t)engaged << 32 | (uint32_t)rate;
	else if (reserve > 0) {
		uint64_t headroom = headroom_seen(d, scope);

		headroom_charge(headroom, d->now_ns, period, HEADROOM_ANY, d->n, &next, &never);
		d->charge[d->charges++] = (struct charge){.word = &scope->counters->headroom,
							  .seen = headroom,
							  .next = next,
							  .period_ns = period,
							  .cap = HEADROOM_ANY,
							  .kind = CHARGE_HEADROOM};
	}
	d->charge[d->charges++] =
		(struct charge){.word = &scope->counters->tat,
				.seen = price->word,
				.next = gcra_charge(tat, d->now_ns, interval, d->n) ^ epoch,
				.rate = under,
				.kind = CHARGE_RATE};
}

/* Does a state lie further ahead than any charge can have brought it? `ahead_ns` is what honest
 * writers may add to a full bucket. Then it refuses, until the sidecar has looked at it. */
static bool state_damaged(struct decision *d, uint64_t state, uint64_t max, uint64_t ahead_ns,
			  enum tg_reason reason)
{
	if (state == LAYOUT_POISON ||
	    gcra_clamp(state, d->now_ns, max + max / 8 + ahead_ns + WINDOW_SECOND_NS) == state)
		return false;
	decision_refuse(d, reason, d->now_ns + WINDOW_SECOND_NS);
	d->flags |= TG_ESTIMATE;
	return true;
}

static bool tat_damaged(struct decision *d, const struct limit_scope *scope, uint64_t rate,
			uint64_t tat)
{
	return state_damaged(d, tat,
			     gcra_burst(load(&scope->limits->rate[TG_TRANSACTIONAL])) *
				     gcra_interval(rate),
			     d->view->reserve_max_ns, scope_reason(scope, TG_REFUSED_RATE));
}

/* Where the price is not known: again at once, or else as an estimate. */
static void price_unknown(struct decision *d, enum tg_reason reason)
{
	decision_refuse(d, reason, d->now_ns + WINDOW_SECOND_NS);
	d->flags |= TG_ESTIMATE;
	d->again = true;
}

static bool level_price(struct decision *d, const struct limit_scope *scope, struct price *ret)
{
	struct rates_read rates = {&scope->limits->rate[d->traffic],
				   &scope->limits->rate[TG_TRANSACTIONAL], &scope->more->before,
				   &scope->counters->tat};

	if (price_of(&rates, ret))
		return true;
	price_unknown(d, scope_reason(scope, TG_REFUSED_RATE));
	return false;
}

static void check_rate(struct decision *d, const struct limit_scope *scope)
{
	struct price price;
	uint64_t rate, interval, tat, earliest;
	uint32_t burst;

	if (!level_price(d, scope, &price))
		return;
	rate = price.rate;
	interval = gcra_interval(rate);
	burst = gcra_burst(rate);
	if (interval == 0)
		return;
	if (d->n > burst) {
		decision_refuse(d, TG_REFUSED_NEVER, UINT64_MAX);
		return;
	}
	tat = price.tat;
	earliest = gcra_earliest(tat, interval, burst, d->n);
	if (earliest > d->now_ns) {
		if (tat_damaged(d, scope, rate, tat))
			return;
		if (!check_headroom(d, scope, &price, &earliest))
			decision_refuse(d, scope_reason(scope, TG_REFUSED_RATE), earliest);
		return;
	}
	uint64_t room =
		tat > d->now_ns ? burst - (tat - d->now_ns + interval - 1) / interval : burst;

	d->room = room < d->room ? (uint32_t)room : d->room;
	charge_rate(d, scope, &price, d->now_ns);
}

static uint32_t period_at(const struct decision *d, uint64_t flags, enum charge_kind kind,
			  uint64_t now_ns)
{
	const struct layout_calendar *calendar = d->view->calendar;

	return kind == CHARGE_HOUR ? window_hour(calendar, flags, now_ns)
				   : window_day(calendar, flags, now_ns);
}

/* What the hour cap or the day cap says (window_fits). */
static void check_window(struct decision *d, const struct limit_scope *scope, uint64_t flags,
			 enum charge_kind kind)
{
	const struct layout_calendar *calendar = d->view->calendar;
	bool hour = kind == CHARGE_HOUR;
	struct charge charge = {
		.word = hour ? &scope->counters->hour : &scope->counters->day,
		.cap = atomic_load_explicit(hour ? &scope->limits->hour_cap[d->traffic]
						 : &scope->limits->day_cap[d->traffic],
					    memory_order_relaxed),
		.period = period_at(d, flags, kind, d->now_ns),
		.kind = kind,
	};
	uint32_t now_period = charge.period, count;

	/* A later period than ours stays: numbers never go back. */
	charge.seen = load(charge.word);
	if (window_period(charge.seen) >= now_period)
		charge.period = window_period(charge.seen);
	if (charge.period - now_period > 1 && charge.seen != LAYOUT_POISON) {
		decision_refuse(d, scope_reason(scope, hour ? TG_REFUSED_HOUR : TG_REFUSED_DAY),
				d->now_ns + WINDOW_SECOND_NS);
		d->flags |= TG_ESTIMATE;
		return;
	}
	count = window_period(charge.seen) < charge.period ? 0 : (uint32_t)charge.seen;
	if (!window_fits(count, charge.cap, d->n)) {
		uint64_t end = hour ? window_hour_end(calendar, flags, charge.period)
				    : window_day_end(calendar, flags, charge.period);

		if (d->n > charge.cap && charge.cap > 0)
			decision_refuse(d, TG_REFUSED_NEVER, UINT64_MAX);
		else
			decision_refuse(
				d, scope_reason(scope, hour ? TG_REFUSED_HOUR : TG_REFUSED_DAY),
				end);
		return;
	}
	d->room = charge.cap - count < d->room ? charge.cap - count : d->room;
	charge.next = (uint64_t)charge.period << 32 | (count + d->n);
	d->charge[d->charges++] = charge;
}

static void check_scope(struct decision *d, const struct limit_scope *scope)
{
	uint64_t flags = load(&scope->limits->flags);

	check_hold(d, scope, flags);
	check_rate(d, scope);
	if (flags & LAYOUT_HOUR)
		check_window(d, scope, flags, CHARGE_HOUR);
	if (flags & LAYOUT_DAY)
		check_window(d, scope, flags, CHARGE_DAY);
}

/* Works a charge out again after somebody was faster. False: the limit refuses now. */
static bool charge_recompute(struct charge *c, const struct decision *d)
{
	uint64_t never;
	uint32_t period, count;

	/* A segment that was retired meanwhile: no charge there counts any more. */
	if (c->seen == LAYOUT_POISON)
		return false;
	switch (c->kind) {
	case CHARGE_RATE:
		/* Another price holds by now. */
		if (gcra_epoch(c->seen) != gcra_epoch(c->next))
			return false;
		if (c->rate == 0) {
			c->next = c->seen + c->period_ns;
			return true;
		}
		return gcra_conforms(c->seen, c->rate, gcra_burst(c->rate), d->n, d->now_ns,
				     &c->next);
	case CHARGE_HEADROOM:
		return headroom_charge(c->seen, d->now_ns, c->period_ns, c->cap, d->n, &c->next,
				       &never);
	default:
		period = window_period(c->seen);
		count = period < c->period ? 0 : (uint32_t)c->seen;
		c->next =
			(uint64_t)(period > c->period ? period : c->period) << 32 | (count + d->n);
		return window_fits(count, c->cap, d->n);
	}
}

/* Takes one charge. */
static bool charge_take(struct charge *c, const struct decision *d)
{
	while (!atomic_compare_exchange_strong_explicit(
		c->word, &c->seen, c->next, memory_order_relaxed, memory_order_relaxed)) {
		pause_briefly();
		if (!charge_recompute(c, d))
			return false;
	}
	return true;
}

/* Back to what was seen, if nobody has come since; else the refund fails. */
static bool charge_refund(struct charge *c, uint32_t n)
{
	uint64_t left = c->next;

	if (c->kind == CHARGE_HOUR || c->kind == CHARGE_DAY)
		return fast_window_refund(c->word, window_period(c->next), n);
	return atomic_compare_exchange_strong_explicit(c->word, &left, c->seen,
						       memory_order_relaxed, memory_order_relaxed);
}

static void decision_refund(struct decision *d, uint32_t taken)
{
	while (taken-- > 0)
		d->refund_failed |= !charge_refund(&d->charge[taken], d->n);
}

static bool decision_commit(struct decision *d)
{
	for (uint32_t i = 0; i < d->charges; i++) {
		if (charge_take(&d->charge[i], d))
			continue;
		decision_refund(d, i);
		return false;
	}
	return true;
}

static struct tg_verdict decision_verdict(const struct decision *d)
{
	return (struct tg_verdict){.at_ns = d->reason == TG_ADMITTED ? d->now_ns : d->at_ns,
				   .reason = d->reason,
				   .flags = d->flags};
}

static void decision_begin(struct decision *d, const struct view *view, enum tg_class traffic,
			   uint32_t n, uint64_t now_ns)
{
	d->view = view;
	d->traffic = traffic;
	d->n = n;
	d->now_ns = now_ns;
	d->at_ns = 0;
	d->reason = TG_ADMITTED;
	d->flags = 0;
	d->charges = 0;
	d->room = UINT32_MAX;
	d->refund_failed = false;
	d->again = false;
}

static struct tg_verdict verdict_no_slot(uint64_t now_ns)
{
	return (struct tg_verdict){.at_ns = now_ns + WINDOW_SECOND_NS,
				   .reason = TG_REFUSED_DIRECTORY,
				   .flags = TG_ESTIMATE};
}

/* The parents that a flow has limits at; `flags` are the flow's. */
static void check_parents(struct decision *d, const struct tg_flow *flow, uint64_t flags)
{
	const struct {
		uint64_t wanted;
		uint32_t slot;
		enum layout_default kind;
		enum tg_reason refusal;
	} parents[] = {
		{flags & LAYOUT_SOURCE, flow->source, LAYOUT_DEFAULT_SOURCE, TG_REFUSED_SOURCE},
		{flags & LAYOUT_DESTINATION, flow->destination, LAYOUT_DEFAULT_DESTINATION,
		 TG_REFUSED_DESTINATION},
		{flow->stream != LAYOUT_NONE, flow->stream, LAYOUT_DEFAULT_STREAM,
		 TG_REFUSED_STREAM},
	};

	for (unsigned i = 0; i < sizeof(parents) / sizeof(parents[0]); i++) {
		if (!parents[i].wanted)
			continue;
		if (parents[i].slot >= d->view->slots) {
			decision_refuse(d, TG_REFUSED_DIRECTORY, d->now_ns + WINDOW_SECOND_NS);
			d->flags |= TG_ESTIMATE;
			continue;
		}
		struct limit_scope scope = scope_of(d->view, parents[i].slot, parents[i].kind,
						    LAYOUT_NONE, parents[i].refusal, d);
		check_scope(d, &scope);
	}
}

static struct limit_scope flow_scope(struct decision *d, const struct tg_flow *flow)
{
	return scope_of(d->view, flow->slot, LAYOUT_DEFAULT_FLOW, flow->destination,
			TG_REFUSED_RATE, d);
}

typedef void decision_check(struct decision *d, const struct tg_flow *flow,
			    const struct limit_scope *scope);

/* Looks, then takes, until nobody was faster in between. In line: the checks are known where it
 * stands. `busy` is what it is called where others were faster each time: they made progress. */
static inline __attribute__((always_inline)) struct tg_verdict
decision_make(const struct view *view, const struct tg_flow *flow, enum tg_class traffic,
	      uint32_t n, uint64_t now_ns, decision_check *check, enum tg_reason busy)
{
	struct decision d;

	if (flow->slot >= view->slots || (unsigned)traffic >= TG_CLASSES)
		return verdict_no_slot(now_ns);
	for (int i = 0; i < RETRIES; i++) {
		struct limit_scope scope;

		decision_begin(&d, view, traffic, n, now_ns);
		scope = flow_scope(&d, flow);
		check(&d, flow, &scope);
		if (d.again && i + 1 < RETRIES)
			continue;
		if (d.reason != TG_ADMITTED || decision_commit(&d))
			return decision_verdict(&d);
		if (d.refund_failed)
			break;
	}
	d.flags |= TG_ESTIMATE;
	decision_refuse(&d, busy, now_ns + DECIDE_ESTIMATE_NS);
	return decision_verdict(&d);
}

static void check_all(struct decision *d, const struct tg_flow *flow,
		      const struct limit_scope *scope)
{
	check_scope(d, scope);
	check_parents(d, flow, load(&scope->limits->flags));
}

struct tg_verdict decide_all(const struct view *view, const struct tg_flow *flow,
			     enum tg_class traffic, uint32_t n, uint64_t now_ns)
{
	return decision_make(view, flow, traffic, n, now_ns, check_all, TG_REFUSED_RATE);
}

struct tg_verdict decide_several(const struct view *view, const struct tg_flow *flow,
				 enum tg_class traffic, uint32_t n, uint64_t now_ns)
{
	if (flow->slot < view->slots && (unsigned)traffic < TG_CLASSES) {
		uint64_t flags = load(&view->limits[flow->slot].flags);

		enum fast_outcome outcome =
			fast_windows(flow, flags)
				? fast_windows_admit(view, flow, flags, traffic, n, now_ns)
			: fast_scopes(flow, flags)
				? fast_scopes_admit(view, flow, flags, traffic, n, now_ns)
				: FAST_LEFT;

		if (outcome == FAST_ADMITTED)
			return decide_admitted(now_ns);
		if (outcome == FAST_REFUND_FAILED)
			return decide_refund_failed(now_ns);
	}
	return decide_all(view, flow, traffic, n, now_ns);
}

struct tg_verdict decide_ask(const struct view *view, const struct tg_flow *flow,
			     enum tg_class traffic, uint32_t n, uint64_t now_ns, uint32_t *ret_room)
{
	struct decision d;
	struct limit_scope scope;

	*ret_room = 0;
	if (flow->slot >= view->slots || (unsigned)traffic >= TG_CLASSES)
		return verdict_no_slot(now_ns);
	decision_begin(&d, view, traffic, n, now_ns);
	scope = flow_scope(&d, flow);
	check_scope(&d, &scope);
	check_parents(&d, flow, load(&scope.limits->flags));
	if (d.reason == TG_ADMITTED)
		*ret_room = d.room;
	return decision_verdict(&d);
}

/* Refuses where the slot lies beyond the window that is now: its count is not there yet. */
static void check_same_window(struct decision *d, const struct limit_scope *scope, uint64_t flags,
			      uint64_t slot_ns)
{
	const struct layout_calendar *calendar = d->view->calendar;

	if (flags & LAYOUT_HOUR) {
		uint64_t end =
			window_hour_end(calendar, flags, window_hour(calendar, flags, d->now_ns));

		if (slot_ns >= end)
			decision_refuse(d, scope_reason(scope, TG_REFUSED_HOUR), end);
	}
	if (flags & LAYOUT_DAY) {
		uint64_t end =
			window_day_end(calendar, flags, window_day(calendar, flags, d->now_ns));

		if (slot_ns >= end)
			decision_refuse(d, scope_reason(scope, TG_REFUSED_DAY), end);
	}
}

/* The slot that the flow's rate has next; the charge for it goes on the list. */
static uint64_t next_slot(struct decision *d, const struct limit_scope *scope, uint64_t until_ns)
{
	struct price price;
	uint64_t rate, interval, slot;

	if (!level_price(d, scope, &price))
		return d->now_ns;
	rate = price.rate;
	interval = gcra_interval(rate);
	if (interval == 0)
		return d->now_ns;
	if (d->n > gcra_burst(rate)) {
		decision_refuse(d, TG_REFUSED_NEVER, UINT64_MAX);
		return d->now_ns;
	}
	if (tat_damaged(d, scope, rate, price.tat))
		return d->now_ns;
	slot = gcra_earliest(price.tat, interval, gcra_burst(rate), d->n);
	if (slot > d->now_ns && check_headroom(d, scope, &price, &slot))
		return d->now_ns;
	if (slot <= d->now_ns)
		slot = d->now_ns;
	if (slot > until_ns)
		decision_refuse(d, scope_reason(scope, TG_REFUSED_RATE), slot);
	charge_rate(d, scope, &price, slot);
	return slot;
}

/* Takes what is on the list as it was seen, or nothing: a slot is only good for the state it was
 * worked out from. */
static bool decision_commit_as_seen(struct decision *d)
{
	for (uint32_t i = 0; i < d->charges; i++) {
		uint64_t seen = d->charge[i].seen;

		/* M0 pairs with M1 in sidecar/segment/publish.c. */
		if (atomic_compare_exchange_strong_explicit(d->charge[i].word, &seen,
							    d->charge[i].next, memory_order_release,
							    memory_order_relaxed))
			continue;
		decision_refund(d, i);
		return false;
	}
	return true;
}

static void raise_to(_Atomic uint64_t *word, uint64_t value)
{
	uint64_t seen = load(word);

	while (seen < value && seen != LAYOUT_POISON &&
	       !atomic_compare_exchange_weak_explicit(word, &seen, value, memory_order_relaxed,
						      memory_order_relaxed))
		pause_briefly();
}

/* The period in which a decision was counted, whatever the limits say by now. */
static uint32_t period_charged(const struct decision *d, enum charge_kind kind)
{
	for (uint32_t i = 0; i < d->charges; i++)
		if (d->charge[i].kind == kind)
			return window_period(d->charge[i].next);
	return DECIDE_NO_PERIOD;
}

struct tg_verdict decide_reserve(const struct view *view, const struct tg_flow *flow,
				 enum tg_class traffic, uint32_t n, uint64_t now_ns,
				 uint64_t until_ns, struct decide_taken *ret_taken)
{
	struct decision d;

	if (flow->slot >= view->slots || (unsigned)traffic >= TG_CLASSES)
		return verdict_no_slot(now_ns);
	if (until_ns - now_ns > view->reserve_max_ns)
		until_ns = now_ns + view->reserve_max_ns;
	for (int i = 0; i < RETRIES * RETRIES; i++) {
		struct tg_verdict verdict;
		struct limit_scope scope;
		uint64_t flags, slot;

		decision_begin(&d, view, traffic, n, now_ns);
		scope = flow_scope(&d, flow);
		flags = load(&scope.limits->flags);
		check_hold(&d, &scope, flags);
		slot = next_slot(&d, &scope, until_ns);
		ret_taken->left = d.charges ? d.charge[d.charges - 1].next : 0;
		check_same_window(&d, &scope, flags, slot);
		if (flags & LAYOUT_HOUR)
			check_window(&d, &scope, flags, CHARGE_HOUR);
		if (flags & LAYOUT_DAY)
			check_window(&d, &scope, flags, CHARGE_DAY);
		verdict = decision_verdict(&d);
		if (d.again && i + 1 < RETRIES * RETRIES)
			continue;
		if (d.reason != TG_ADMITTED)
			return verdict;
		/* First the mark, then the state: whoever finds the state finds the mark. One that
		 * is left too far ahead lets more overtake, and what overtakes is counted. */
		if (slot > now_ns)
			raise_to(&scope.counters->reserved_until, slot);
		if (!decision_commit_as_seen(&d)) {
			if (d.refund_failed)
				break;
			pause_briefly();
			continue;
		}
		ret_taken->hour = period_charged(&d, CHARGE_HOUR);
		ret_taken->day = period_charged(&d, CHARGE_DAY);
		verdict.at_ns = slot;
		if ((flags & (LAYOUT_SOURCE | LAYOUT_DESTINATION)) || flow->stream != LAYOUT_NONE)
			verdict.flags |= TG_REDEEM;
		return verdict;
	}
	return decide_refund_failed(now_ns);
}

/* The flow's own rate and windows were charged when the slot was taken. */
static void check_departure(struct decision *d, const struct tg_flow *flow,
			    const struct limit_scope *scope)
{
	uint64_t flags = load(&scope->limits->flags);

	check_hold(d, scope, flags);
	check_parents(d, flow, flags);
}

struct tg_verdict decide_redeem(const struct view *view, const struct tg_flow *flow,
				enum tg_class traffic, uint32_t n, uint64_t now_ns)
{
	return decision_make(view, flow, traffic, n, now_ns, check_departure, TG_REFUSED_RATE);
}

int decide_cancel(const struct view *view, const struct tg_flow *flow, enum tg_class traffic,
		  uint32_t n, uint64_t at_ns, const struct decide_taken *taken)
{
	struct decision d;
	struct limit_scope scope;
	struct price price;
	uint64_t interval, left = taken->left;

	if (flow->slot >= view->slots || (unsigned)traffic >= TG_CLASSES)
		return -EINVAL;
	decision_begin(&d, view, traffic, n, at_ns);
	scope = flow_scope(&d, flow);
	if (taken->hour != DECIDE_NO_PERIOD)
		fast_window_refund(&scope.counters->hour, taken->hour, n);
	if (taken->day != DECIDE_NO_PERIOD)
		fast_window_refund(&scope.counters->day, taken->day, n);
	/* Charged at another price, or after: the refund fails. */
	if (left != 0 && (!level_price(&d, &scope, &price) || price.word != left))
		return -EAGAIN;
	interval = left != 0 ? gcra_interval(price.rate) : 0;
	/* Nothing was charged to a rate that was unlimited then, or is now. */
	if (interval == 0)
		return 0;
	/* The mark stays: another slot may have been promised for the same time. */
	return atomic_compare_exchange_strong_explicit(&scope.counters->tat, &left,
						       left - n * interval, memory_order_relaxed,
						       memory_order_relaxed)
		       ? 0
		       : -EAGAIN;
}

static void check_connection_rate(struct decision *d, const struct limit_scope *scope)
{
	struct rates_read rates = {&scope->more->connection_rate, &scope->more->connection_rate,
				   &scope->more->connection_before,
				   &scope->counters->connection_tat};
	uint64_t rate, interval, max, tat, earliest;
	struct price price;

	if (!price_of(&rates, &price)) {
		price_unknown(d, TG_REFUSED_CONNECTIONS);
		return;
	}
	rate = price.rate;
	interval = gcra_interval(rate);
	max = gcra_burst(rate) * interval;
	if (interval == 0)
		return;
	if (gcra_burst(rate) == 0) {
		decision_refuse(d, TG_REFUSED_NEVER, UINT64_MAX);
		return;
	}
	tat = price.tat;
	if (state_damaged(d, tat, max, 0, TG_REFUSED_CONNECTIONS))
		return;
	earliest = gcra_earliest(tat, interval, gcra_burst(rate), 1);
	if (earliest > d->now_ns)
		decision_refuse(d, TG_REFUSED_CONNECTIONS, earliest);
	d->charge[d->charges++] =
		(struct charge){.word = &scope->counters->connection_tat,
				.seen = price.word,
				.next = gcra_charge(tat, d->now_ns, interval, 1) ^ gcra_epoch(rate),
				.rate = rate,
				.kind = CHARGE_RATE};
}

static void check_connection(struct decision *d, const struct tg_flow *flow,
			     const struct limit_scope *scope)
{
	check_hold(d, scope, load(&scope->limits->flags));
	check_connection_rate(d, scope);
}

static void check_connection_full(struct decision *d, const struct tg_flow *flow,
				  const struct limit_scope *scope)
{
	check_connection(d, flow, scope);
	decision_refuse(d, TG_REFUSED_CONNECTIONS, d->now_ns + DECIDE_ESTIMATE_NS);
	d->flags |= TG_ESTIMATE;
}

struct tg_verdict decide_connect(const struct view *view, const struct tg_flow *flow,
				 enum tg_class traffic, bool full, uint64_t now_ns)
{
	if (full)
		return decision_make(view, flow, traffic, 1, now_ns, check_connection_full,
				     TG_REFUSED_CONNECTIONS);
	return decision_make(view, flow, traffic, 1, now_ns, check_connection,
			     TG_REFUSED_CONNECTIONS);
}

const struct layout_limits_more *decide_more(const struct view *view, const struct tg_flow *flow)
{
	struct decision d = {.view = view};

	return flow_scope(&d, flow).more;
}

uint64_t decide_flags(const struct view *view, const struct tg_flow *flow)
{
	struct decision d = {.view = view};

	return load(&flow_scope(&d, flow).limits->flags);
}
