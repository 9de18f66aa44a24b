/* SPDX-License-Identifier: MIT
 *
 * tg_wait with real sleeps: woken by a change of the limits, one by one, bounded where nobody
 * wakes, and never more than the rate. Processes and threads; times are only lower bounds of what
 * must not happen, or so far apart that a busy machine does not matter.
 */
#include <pthread.h>
#include <signal.h>

#include "tests/segment_fixture.h"

#define WAITERS 6

static struct fixture f;

static void *waits(void *at)
{
	struct tg_flow *flow = at;
	struct tg *tg = fixture_attach(&f);
	struct tg_verdict verdict = tg_wait(tg, flow, TG_BULK, 1, tg_now(tg) + 600 * SECOND);

	must(verdict.reason == TG_ADMITTED);
	must(!(verdict.flags & TG_REDEEM));
	tg_detach(tg);
	return NULL;
}

/* Held for ten minutes, released after a moment: nobody sleeps on. The child that is waited for is
 * in the kernel, or will see the change before it sleeps. */
static void a_release_wakes_all(void)
{
	struct publish_limits limits = fixture_rate(SECOND / 100, 1, 1, 1);
	struct tg *tg = fixture_attach(&f);
	uint64_t begin_ns = tg_now(tg);
	struct tg_flow flow;
	pthread_t threads[WAITERS];

	limits.hold_until_ns = begin_ns + 3000 * SECOND;
	flow = fixture_flow(f.segment, "192.0.2.1", "provider", &limits, begin_ns);
	for (int i = 0; i < WAITERS; i++)
		must(pthread_create(&threads[i], NULL, waits, &flow) == 0);
	usleep(50000);
	limits.hold_until_ns = 0;
	publish_slot(f.segment, flow.slot, &limits, tg_now(tg));
	for (int i = 0; i < WAITERS; i++)
		must(pthread_join(threads[i], NULL) == 0);
	must(tg_now(tg) - begin_ns < 300 * SECOND);
	/* One by one: the last no sooner than its slot. */
	must(tg_now(tg) - begin_ns >= (WAITERS - 1) * SECOND / 100);
	tg_detach(tg);
}

static void nobody_waits_beyond_the_deadline(void)
{
	struct publish_limits limits = fixture_rate(SECOND, 1, 1, 1);
	struct tg *tg = fixture_attach(&f);
	uint64_t begin_ns = tg_now(tg), end_ns = begin_ns + SECOND / 5;
	struct tg_flow flow;
	struct tg_verdict verdict;

	limits.hold_until_ns = begin_ns + 3000 * SECOND;
	flow = fixture_flow(f.segment, "192.0.2.2", "provider", &limits, begin_ns);
	verdict = tg_wait(tg, &flow, TG_BULK, 1, end_ns);
	must(verdict.reason == TG_REFUSED_HOLD && verdict.at_ns == limits.hold_until_ns);
	must(tg_now(tg) >= end_ns);
	/* A deadline that has passed is a plain question. */
	verdict = tg_wait(tg, &flow, TG_BULK, 1, 0);
	must(verdict.reason == TG_REFUSED_HOLD);
	verdict = tg_wait(tg, &flow, TG_BULK, 2, begin_ns + 3000 * SECOND);
	must(verdict.reason == TG_REFUSED_NEVER);
	tg_detach(tg);
}

/* While a probe is out the time is a short guess; at the end of the probe the waiter goes. */
static void a_probe_is_a_short_guess(void)
{
	struct publish_limits limits = fixture_rate(60 * SECOND, 1, 1, 1);
	struct tg *tg = fixture_attach(&f);
	uint64_t now_ns = tg_now(tg);
	struct tg_flow flow;
	struct tg_verdict verdict;
	pthread_t thread;

	limits.flags |= LAYOUT_PROBING;
	flow = fixture_flow(f.segment, "192.0.2.3", "provider", &limits, now_ns);
	must(tg_admit(tg, &flow, TG_BULK, 1).reason == TG_ADMITTED);
	verdict = tg_admit(tg, &flow, TG_BULK, 1);
	must(verdict.reason == TG_REFUSED_RATE && (verdict.flags & TG_ESTIMATE));
	must(verdict.at_ns <= tg_now(tg) + DECIDE_ESTIMATE_NS);
	must(pthread_create(&thread, NULL, waits, &flow) == 0);
	limits = fixture_rate(SECOND / 100, 1, 1, 1);
	publish_slot(f.segment, flow.slot, &limits, tg_now(tg));
	must(pthread_join(thread, NULL) == 0);
	verdict = tg_admit(tg, &flow, TG_BULK, 20);
	must(verdict.reason == TG_REFUSED_NEVER);
	tg_detach(tg);
}

struct ends {
	struct tg *tg;
	struct tg_flow flow;
};

/* Retired under a waiter, and nobody to wake it. */
static void *waits_for_the_end(void *at)
{
	struct ends *ends = at;
	struct tg_verdict verdict =
		tg_wait(ends->tg, &ends->flow, TG_BULK, 1, tg_now(ends->tg) + 3000 * SECOND);

	must(verdict.reason == TG_RETIRED);
	return NULL;
}

static void a_retired_segment_is_seen(void)
{
	struct publish_limits limits = fixture_rate(SECOND, 1, 1, 1);
	struct ends ends = {.tg = fixture_attach(&f)};
	pthread_t thread;

	limits.hold_until_ns = clock_vdso() + 3000 * SECOND;
	ends.flow = fixture_flow(f.segment, "192.0.2.4", "provider", &limits, clock_vdso());
	must(pthread_create(&thread, NULL, waits_for_the_end, &ends) == 0);
	usleep(50000);
	atomic_store(&f.segment->live->state, LAYOUT_RETIRED);
	must(pthread_join(thread, NULL) == 0);
	tg_detach(ends.tg);
}

int main(void)
{
	fixture_open(&f);
	a_release_wakes_all();
	nobody_waits_beyond_the_deadline();
	a_probe_is_a_short_guess();
	a_retired_segment_is_seen();
	fixture_end(&f);
	return 0;
}
