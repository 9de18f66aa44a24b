/* SPDX-License-Identifier: MIT
 *
 * Sleeping until messages may go: what most senders call.
 *
 * A waiter takes a slot shortly ahead (tg_reserve), so that waiters leave one by one; where the
 * slot is further off it sleeps until shortly before, each a little differently, so that they do
 * not all ask at the same instant. It sleeps on the word that counts the changes of the limits of
 * the slot that refuses (layout_limits_more.changes), which the sidecar writes and wakes, and no
 * worker can: it is mapped read-only, which FUTEX_WAIT allows on shared mappings of files.
 *
 * W0 pairs with W1 in sidecar/segment/publish.c: the count is loaded before the limits are asked,
 * and raised after they were stored. So either the answer is of the new limits or the sleep ends at
 * once.
 *
 * No sleep is longer than SLICE_NS, whoever is dead or hostile: a sidecar that is gone wakes
 * nobody, and nobody wakes those of a segment that was replaced. Whatever counters say only leads
 * to a refusal, and its time is bounded here as well.
 */
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shm/handle.h"

#define SLICE_NS UINT64_C(1000000000) /* the longest sleep without another look */
#define AHEAD_NS UINT64_C(250000000)  /* a slot further off is not worth holding */
#define LATE_NS	 UINT64_C(1000000000) /* how much later than its slot a message may go */
#define SOON_NS	 UINT64_C(1000000)    /* nobody asks more often */

/* The slot whose limits, if they change, may end what was refused. */
static uint32_t slot_refusing(const struct tg_flow *flow, uint32_t reason)
{
	switch (reason) {
	case TG_REFUSED_SOURCE: return flow->source;
	case TG_REFUSED_DESTINATION: return flow->destination;
	case TG_REFUSED_STREAM: return flow->stream;
	default: return flow->slot;
	}
}

struct seen {
	uint32_t flow, source, destination, stream;
};

static const _Atomic uint32_t *changes_of(const struct tg *tg, uint32_t slot)
{
	return slot < tg->view.slots ? &tg->view.more[slot].changes : NULL;
}

static uint32_t changes_load(const struct tg *tg, uint32_t slot)
{
	const _Atomic uint32_t *word = changes_of(tg, slot);

	return word ? atomic_load_explicit(word, memory_order_acquire) : 0; /* W0 */
}

static struct seen seen_load(const struct tg *tg, const struct tg_flow *flow)
{
	return (struct seen){changes_load(tg, flow->slot), changes_load(tg, flow->source),
			     changes_load(tg, flow->destination), changes_load(tg, flow->stream)};
}

static uint32_t seen_of(const struct seen *seen, uint32_t reason)
{
	switch (reason) {
	case TG_REFUSED_SOURCE: return seen->source;
	case TG_REFUSED_DESTINATION: return seen->destination;
	case TG_REFUSED_STREAM: return seen->stream;
	default: return seen->flow;
	}
}

/* Sleeps until at_ns, a change, a signal, or the end of a slice. */
static void sleep_until(const struct tg *tg, uint32_t slot, uint32_t seen, uint64_t at_ns,
			uint64_t now_ns)
{
	const _Atomic uint32_t *word = changes_of(tg, slot);
	uint64_t until = at_ns - now_ns > SLICE_NS ? now_ns + SLICE_NS : at_ns;
	struct timespec time = {(time_t)(until / 1000000000), (long)(until % 1000000000)};

	/* Not FUTEX_PRIVATE_FLAG: the sidecar is another process. */
	if (word)
		syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen, &time, NULL,
			FUTEX_BITSET_MATCH_ANY);
	else
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

/* When to ask again: shortly before the slot comes within reach, some sooner, some later. */
static uint64_t ask_again(const struct tg *tg, const struct tg_verdict *verdict, uint64_t now_ns)
{
	uint64_t early = AHEAD_NS / 2 + tg_random(tg) % (AHEAD_NS / 2);

	if (verdict->at_ns <= now_ns + SOON_NS)
		return now_ns + SOON_NS;
	if ((verdict->flags & TG_ESTIMATE) || verdict->at_ns == UINT64_MAX)
		return verdict->at_ns;
	return verdict->at_ns > now_ns + SOON_NS + early ? verdict->at_ns - early
							 : now_ns + SOON_NS;
}

static bool final(const struct tg_verdict *verdict)
{
	return verdict->reason == TG_REFUSED_NEVER || verdict->reason == TG_RETIRED;
}

/* Is a slot that was refused at its time still good? Not after a hold, whose end lets one message
 * go, nor late: slots that gathered would all leave at once. */
static bool slot_good(const struct tg_reservation *slot, const struct tg_verdict *verdict)
{
	return verdict->reason != TG_REFUSED_HOLD && !final(verdict) &&
	       verdict->at_ns <= slot->at_ns + LATE_NS;
}

/* Waits for the time of a slot, and asks then what holds for departure. A refusal: the slot was
 * given back. */
static struct tg_verdict slot_await(struct tg *tg, struct tg_reservation *slot, uint32_t flags,
				    uint64_t deadline_ns)
{
	struct tg_verdict verdict = {.at_ns = slot->at_ns, .flags = flags};
	uint64_t now_ns = tg_now(tg);

	if (slot->at_ns <= now_ns && !(flags & TG_REDEEM))
		return verdict;
	do {
		/* Never before its time; it is AHEAD_NS away at most. */
		while (now_ns < verdict.at_ns) {
			sleep_until(tg, LAYOUT_NONE, 0, verdict.at_ns, now_ns);
			now_ns = tg_now(tg);
		}
		verdict = tg_redeem(tg, slot);
		now_ns = tg_now(tg);
	} while (verdict.reason != TG_ADMITTED && slot_good(slot, &verdict) &&
		 verdict.at_ns <= deadline_ns);
	if (verdict.reason != TG_ADMITTED)
		tg_cancel(tg, slot);
	return verdict;
}

/* Limits that change all the time, those of a busy source, do not make a waiter ask all the time.
 */
static void pace(const struct tg *tg, uint64_t asked_ns)
{
	uint64_t now_ns = tg_now(tg);

	if (asked_ns != 0 && now_ns < asked_ns + SOON_NS)
		sleep_until(tg, LAYOUT_NONE, 0, asked_ns + SOON_NS, now_ns);
}

struct tg_verdict tg_wait(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic,
			  uint32_t n, uint64_t deadline_ns)
{
	for (uint64_t asked_ns = 0;; pace(tg, asked_ns)) {
		struct seen seen = seen_load(tg, flow);
		uint64_t now_ns = asked_ns = tg_now(tg), at_ns;
		uint64_t left = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
		struct tg_reservation slot;
		struct tg_verdict verdict =
			tg_reserve(tg, flow, traffic, n, left < AHEAD_NS ? left : AHEAD_NS, &slot);

		if (verdict.reason == TG_ADMITTED)
			verdict = slot_await(tg, &slot, verdict.flags, deadline_ns);
		verdict.flags &= ~(uint32_t)TG_REDEEM;
		now_ns = tg_now(tg);
		if (verdict.reason == TG_ADMITTED || final(&verdict) || now_ns >= deadline_ns)
			return verdict;
		at_ns = ask_again(tg, &verdict, now_ns);
		sleep_until(tg, slot_refusing(flow, verdict.reason), seen_of(&seen, verdict.reason),
			    at_ns < deadline_ns ? at_ns : deadline_ns, now_ns);
	}
}
