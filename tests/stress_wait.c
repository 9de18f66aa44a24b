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

static uint64_t refused(struct tg *tg)
{
	struct layout_worker *worker = &tg->workers[tg->process->index];
	uint64_t sum = 0;

	for (int i = 0; i < LAYOUT_SHARDS; i++)
		sum += atomic_load(&worker->shards[i].verdicts[TG_REFUSED_RATE]);
	return sum;
}

struct queue {
	struct tg *tg;
	struct tg_flow flow;
	_Atomic uint32_t gone;
};

static void *queues(void *at)
{
	struct queue *queue = at;
	uint64_t deadline_ns = tg_now(queue->tg) + 3000 * SECOND;

	must(tg_wait(queue->tg, &queue->flow, TG_BULK, 1, deadline_ns).reason == TG_ADMITTED);
	atomic_fetch_add(&queue->gone, 1);
	return NULL;
}

/* A waiter holds a slot a quarter of a second ahead at most: where bulk mail queues, what is kept
 * for the higher classes is there, less the one slot that is held. */
static void a_queue_leaves_the_reserve_alone(void)
{
	struct publish_limits limits = fixture_rate(600 * SECOND, 20, 10, 6);
	struct queue queue = {.tg = fixture_attach(&f)};
	uint32_t passed[TG_CLASSES] = {0};
	pthread_t threads[WAITERS];

	queue.flow = fixture_flow(f.segment, "192.0.2.5", "provider", &limits, tg_now(queue.tg));
	while (tg_wait(queue.tg, &queue.flow, TG_BULK, 1, 0).reason == TG_ADMITTED)
		passed[TG_BULK]++;
	for (int i = 0; i < WAITERS; i++)
		must(pthread_create(&threads[i], NULL, queues, &queue) == 0);
	while (refused(queue.tg) < 1 + WAITERS)
		usleep(1000);
	while (tg_wait(queue.tg, &queue.flow, TG_ENGAGED, 1, 0).reason == TG_ADMITTED)
		passed[TG_ENGAGED]++;
	while (tg_wait(queue.tg, &queue.flow, TG_TRANSACTIONAL, 1, 0).reason == TG_ADMITTED)
		passed[TG_TRANSACTIONAL]++;
	must(passed[TG_BULK] == 6 && passed[TG_ENGAGED] == 4 && passed[TG_TRANSACTIONAL] == 10);
	must(atomic_load(&queue.gone) == 0);
	limits = fixture_rate(SECOND / 1000, 20, 10, 6);
	publish_slot(f.segment, queue.flow.slot, &limits, tg_now(queue.tg));
	for (int i = 0; i < WAITERS; i++)
		must(pthread_join(threads[i], NULL) == 0);
	tg_detach(queue.tg);
}

#define QUEUE 60

/* Many behind one flow: each asks a few times, and not all at once. Polled each millisecond they
 * would ask fifty times as often. */
static void a_queue_is_no_herd(void)
{
	struct publish_limits limits = fixture_rate(SECOND / 50, 1, 1, 1);
	struct queue queue = {.tg = fixture_attach(&f)};
	uint64_t begin_ns = tg_now(queue.tg), took_ns, asked;
	pthread_t threads[QUEUE];

	queue.flow = fixture_flow(f.segment, "192.0.2.6", "provider", &limits, begin_ns);
	for (int i = 0; i < QUEUE; i++)
		must(pthread_create(&threads[i], NULL, queues, &queue) == 0);
	for (int i = 0; i < QUEUE; i++)
		must(pthread_join(threads[i], NULL) == 0);
	took_ns = tg_now(queue.tg) - begin_ns;
	asked = refused(queue.tg);
	must(took_ns >= (QUEUE - 1) * limits.interval_ns);
	must(asked <= QUEUE * (2 + took_ns / (SECOND / 25)));
	tg_detach(queue.tg);
}

static _Atomic uint32_t churned;

static void *churns(void *at)
{
	const struct tg_flow *flow = at;
	struct publish_limits limits = fixture_rate(SECOND, 1, 1, 1);

	for (uint64_t i = 0; !atomic_load(&churned); i++) {
		limits.hold_until_ns = clock_vdso() + (3000 + i % 2) * SECOND;
		publish_slot(f.segment, flow->slot, &limits, clock_vdso());
	}
	return NULL;
}

/* Limits that change without end: a waiter is woken each time, but asks once a millisecond. */
static void a_change_without_end_is_no_spin(void)
{
	struct publish_limits limits = fixture_rate(SECOND, 1, 1, 1);
	struct tg *tg = fixture_attach(&f);
	struct layout_worker *worker = &tg->workers[tg->process->index];
	uint64_t begin_ns = tg_now(tg), asked = 0;
	struct tg_flow flow;
	pthread_t thread;

	limits.hold_until_ns = begin_ns + 3000 * SECOND;
	flow = fixture_flow(f.segment, "192.0.2.7", "provider", &limits, begin_ns);
	must(pthread_create(&thread, NULL, churns, &flow) == 0);
	must(tg_wait(tg, &flow, TG_BULK, 1, begin_ns + SECOND / 2).reason == TG_REFUSED_HOLD);
	atomic_store(&churned, 1);
	must(pthread_join(thread, NULL) == 0);
	for (int i = 0; i < LAYOUT_SHARDS; i++)
		asked += atomic_load(&worker->shards[i].verdicts[TG_REFUSED_HOLD]);
	must(asked >= 2 && asked <= 2 + (tg_now(tg) - begin_ns) / (SECOND / 1000));
	tg_detach(tg);
}

/* Limits of any content, as a broken sidecar could leave them: bounded by the deadline. */
static void limits_of_any_content_are_bounded(void)
{
	struct publish_limits limits = fixture_rate(SECOND, 1, 1, 1);
	struct tg *tg = fixture_attach(&f);
	struct tg_flow flow;
	uint64_t seed = 11;

	flow = fixture_flow(f.segment, "192.0.2.8", "provider", &limits, tg_now(tg));
	for (int round = 0; round < 300; round++) {
		_Atomic uint64_t *words = (void *)&f.segment->limits[flow.slot];
		uint64_t deadline_ns = tg_now(tg) + SECOND / 500;
		struct tg_verdict verdict;

		for (size_t i = 0; i < sizeof(struct layout_limits) / 8; i++)
			atomic_store(&words[i], random_next(&seed) >> (random_next(&seed) % 64));
		atomic_store(&f.segment->more[flow.slot].before, (uint32_t)random_next(&seed));
		atomic_store(&f.segment->view.counters[flow.slot].tat,
			     random_next(&seed) >> (random_next(&seed) % 64));
		atomic_store(&f.segment->view.counters[flow.slot].reserved_until,
			     random_next(&seed) >> (random_next(&seed) % 64));
		verdict = tg_wait(tg, &flow, (enum tg_class)(round % TG_CLASSES), 1, deadline_ns);
		must(verdict.reason < TG_REASONS);
		must(verdict.reason == TG_ADMITTED || verdict.reason == TG_REFUSED_NEVER ||
		     tg_now(tg) >= deadline_ns);
	}
	tg_detach(tg);
}

int main(void)
{
	fixture_open(&f);
	a_release_wakes_all();
	nobody_waits_beyond_the_deadline();
	a_probe_is_a_short_guess();
	a_queue_leaves_the_reserve_alone();
	a_queue_is_no_herd();
	a_change_without_end_is_no_spin();
	limits_of_any_content_are_bounded();
	a_retired_segment_is_seen();
	fixture_end(&f);
	return 0;
}
