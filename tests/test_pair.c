/* SPDX-License-Identifier: MIT
 *
 * Deciding by pair, one by one and in batches, among many flows: as tg_flow and tg_admit do it.
 */
#include <criterion/criterion.h>

#include "tests/segment_fixture.h"

#define SIDE  20 /* sources and destinations */
#define FLOWS (SIDE * SIDE)

struct crowd {
	struct fixture f;
	struct tg *tg;
	struct tg_source sources[SIDE];
	struct tg_destination destinations[SIDE];
	uint32_t burst[FLOWS]; /* 0: the flow is not known to the sidecar; its defaults are
				  unlimited */
};

/* The processor's counter as the clock, so that what is quick is what is tried: one tick a
 * nanosecond is near enough. */
static void clock_publish(struct segment *segment)
{
	struct layout_scale *scale = &segment->live->scale[0];

	atomic_store(&scale->counter_base, clock_counter());
	atomic_store(&scale->ns_base, clock_vdso());
	atomic_store(&scale->mult, UINT64_C(1) << 32);
	atomic_store(&scale->span, UINT64_MAX);
}

static void crowd_begin(struct crowd *crowd, bool counter)
{
	uint64_t state = 11;
	char address[32], name[32];

	fixture_open(&crowd->f);
	if (counter)
		clock_publish(crowd->f.segment);
	crowd->tg = fixture_attach(&crowd->f);
	for (int i = 0; i < FLOWS; i++) {
		struct publish_limits limits;

		crowd->burst[i] = random_next(&state) % 4;
		limits = fixture_rate(HOUR, crowd->burst[i], crowd->burst[i], crowd->burst[i]);
		if (random_next(&state) % 3 == 0)
			limits.day_cap[TG_TRANSACTIONAL] = limits.day_cap[TG_ENGAGED] =
				limits.day_cap[TG_BULK] = 1000000;
		snprintf(address, sizeof(address), "198.51.100.%d", i % SIDE);
		snprintf(name, sizeof(name), "d%d.example", i / SIDE);
		cr_assert_eq(tg_source(crowd->tg, address, &crowd->sources[i % SIDE]), 0);
		cr_assert_eq(tg_destination(crowd->tg, name, &crowd->destinations[i / SIDE]), 0);
		if (crowd->burst[i])
			fixture_flow(crowd->f.segment, address, name, &limits, clock_vdso());
	}
}

static void crowd_end(struct crowd *crowd)
{
	tg_detach(crowd->tg);
	fixture_end(&crowd->f);
}

/* Each flow is asked six times; exactly its burst passes, and what is refused is refused as
 * tg_admit does it. */
static void crowd_check(struct crowd *crowd, const uint32_t *admitted,
			const struct tg_verdict *last)
{
	for (int i = 0; i < FLOWS; i++) {
		struct tg_flow flow;
		struct tg_verdict verdict;

		cr_assert_eq(admitted[i], crowd->burst[i] ? crowd->burst[i] : 6,
			     "flow %d: %u of %u", i, admitted[i], crowd->burst[i]);
		if (!crowd->burst[i])
			continue;
		cr_assert_eq(tg_flow(crowd->tg, &crowd->sources[i % SIDE],
				     &crowd->destinations[i / SIDE], &flow),
			     0);
		verdict = tg_admit(crowd->tg, &flow, TG_BULK, 1);
		cr_assert_eq(last[i].reason, TG_REFUSED_RATE);
		cr_assert_eq(last[i].reason, verdict.reason);
		cr_assert_eq(last[i].at_ns, verdict.at_ns);
	}
}

static void pairs_try(bool counter)
{
	static struct crowd crowd;
	static uint32_t admitted[FLOWS];
	static struct tg_verdict last[FLOWS];

	crowd_begin(&crowd, counter);
	for (int round = 0; round < 6; round++)
		for (int i = 0; i < FLOWS; i++) {
			last[i] = tg_admit_pair(crowd.tg, &crowd.sources[i % SIDE],
						&crowd.destinations[i / SIDE],
						round % 2 ? TG_BULK : TG_TRANSACTIONAL, 1);
			admitted[i] += last[i].reason == TG_ADMITTED;
		}
	crowd_check(&crowd, admitted, last);
	crowd_end(&crowd);
}

Test(pair, admits_as_flow_and_admit_do)
{
	pairs_try(true);
}

Test(pair, admits_the_same_where_the_clock_is_slow)
{
	pairs_try(false);
}

Test(pair, batches_admit_the_same)
{
	static struct crowd crowd;
	static uint32_t admitted[FLOWS];
	static struct tg_verdict last[FLOWS];
	static struct tg_request requests[FLOWS];

	crowd_begin(&crowd, true);
	for (int i = 0; i < FLOWS; i++)
		requests[i] =
			(struct tg_request){&crowd.sources[i % SIDE], &crowd.destinations[i / SIDE],
					    i % 2 ? TG_BULK : TG_TRANSACTIONAL, 1};
	for (int round = 0; round < 6; round++) {
		tg_admit_batch(crowd.tg, requests, last, FLOWS);
		for (int i = 0; i < FLOWS; i++)
			admitted[i] += last[i].reason == TG_ADMITTED;
	}
	crowd_check(&crowd, admitted, last);
	/* What was admitted and refused was counted, whichever way it went. */
	struct layout_worker *worker = tg_worker(crowd.tg);
	uint64_t counted = 0, wanted = 0;

	for (int shard = 0; shard < LAYOUT_SHARDS; shard++)
		counted += atomic_load(&worker->shards[shard].verdicts[TG_ADMITTED]);
	for (int i = 0; i < FLOWS; i++)
		wanted += admitted[i];
	cr_assert_eq(counted, wanted);
	crowd_end(&crowd);
}

Test(pair, decides_a_batch_in_its_order)
{
	static struct crowd crowd;
	struct tg_request requests[8];
	struct tg_verdict verdicts[8];
	int flow = 0;

	crowd_begin(&crowd, true);
	while (crowd.burst[flow] != 3)
		flow++;
	for (int i = 0; i < 8; i++)
		requests[i] = (struct tg_request){&crowd.sources[flow % SIDE],
						  &crowd.destinations[flow / SIDE], TG_BULK, 1};
	tg_admit_batch(crowd.tg, requests, verdicts, 8);
	for (int i = 0; i < 8; i++)
		cr_assert_eq(verdicts[i].reason, i < 3 ? TG_ADMITTED : TG_REFUSED_RATE, "%d", i);
	crowd_end(&crowd);
}

Test(pair, refuses_what_cannot_be)
{
	static struct crowd crowd;
	int flow = 0;

	crowd_begin(&crowd, true);
	while (crowd.burst[flow] != 3)
		flow++;
	cr_expect_eq(tg_admit_pair(crowd.tg, &crowd.sources[flow % SIDE],
				   &crowd.destinations[flow / SIDE], TG_BULK, 4)
			     .reason,
		     TG_REFUSED_NEVER);
	cr_expect_neq(tg_admit_pair(crowd.tg, &crowd.sources[flow % SIDE],
				    &crowd.destinations[flow / SIDE], (enum tg_class)77, 1)
			      .reason,
		      TG_ADMITTED);
	crowd_end(&crowd);
}
