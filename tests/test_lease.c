/* SPDX-License-Identifier: MIT
 *
 * Leases: counted exactly, also where a process dies between the two words that a lease changes.
 */
#include <criterion/criterion.h>

#include "shm/lease.h"
#include "tests/segment_fixture.h"

#define FLOW 5

static uint32_t gauge(const struct segment *s, uint32_t slot)
{
	return lease_count(atomic_load(&s->view.counters_more[slot].gauge));
}

static int take(struct segment *s, uint32_t worker, uint32_t entry, uint32_t cap,
		uint32_t *ret_sequence)
{
	return lease_take(&s->view, s->leases, &s->header.sizes, worker, entry, FLOW, cap,
			  ret_sequence);
}

static int give(struct segment *s, uint32_t worker, uint32_t entry, uint32_t sequence)
{
	return lease_return(&s->view, s->leases, &s->header.sizes, worker, entry, sequence);
}

static bool reclaim(struct segment *s, uint32_t worker, uint32_t entry)
{
	return lease_reclaim(&s->view, s->leases, &s->header.sizes, worker, entry);
}

static _Atomic uint64_t *entry_of(struct segment *s, uint32_t worker, uint32_t entry)
{
	return &s->leases[(uint64_t)worker * s->header.sizes.leases + entry];
}

static uint64_t with_state(uint64_t word, enum lease_state state)
{
	return (word & ~(UINT64_C(3) << 62)) | (uint64_t)state << 62;
}

Test(lease, holds_up_to_the_cap_and_returns)
{
	struct segment *s = fixture_memory(16);
	uint32_t sequence[4] = {0};

	for (uint32_t i = 0; i < 3; i++)
		cr_expect_eq(take(s, i, 0, 3, &sequence[i]), 0);
	cr_expect_eq(take(s, 3, 0, 3, &sequence[3]), -EAGAIN);
	cr_expect_eq(lease_state(atomic_load(entry_of(s, 3, 0))), LEASE_FREE);
	cr_expect_eq(gauge(s, FLOW), 3);
	cr_expect_eq(give(s, 1, 0, sequence[1]), 0);
	cr_expect_eq(gauge(s, FLOW), 2);
	cr_expect_eq(take(s, 3, 0, 3, &sequence[3]), 0);
}

Test(lease, is_returned_once_and_by_its_own_sequence)
{
	struct segment *s = fixture_memory(16);
	uint32_t first = 0, second = 0;

	cr_expect_eq(take(s, 0, 7, 9, &first), 0);
	cr_expect_eq(take(s, 0, 7, 9, &second), -EUSERS, "that entry is taken");
	cr_expect_eq(give(s, 0, 7, first + 1), -EINVAL);
	cr_expect_eq(give(s, 0, 7, first), 0);
	cr_expect_eq(give(s, 0, 7, first), -EINVAL);
	cr_expect_eq(take(s, 0, 7, 9, &second), 0);
	cr_expect_neq(first, second);
	cr_expect_eq(give(s, 0, 7, first), -EINVAL, "an old handle does not return the new lease");
	cr_expect_eq(gauge(s, FLOW), 1);
}

/* A worker that dies in the middle of taking: before and after the gauge was changed, with and
 * without others coming by since. */
Test(lease, a_half_taken_lease_is_reclaimed_whether_it_was_counted_or_not)
{
	for (int counted = 0; counted < 2; counted++)
		for (int others = 0; others < 3; others++) {
			struct segment *s = fixture_memory(16);
			uint32_t sequence = 0, other = 0;
			uint64_t held, before;

			cr_assert_eq(take(s, 1, 1, 9, &other), 0);
			before = atomic_load(&s->view.counters_more[FLOW].gauge);
			cr_assert_eq(take(s, 0, 0, 9, &sequence), 0);
			/* Back to what the dead one left. */
			held = atomic_load(entry_of(s, 0, 0));
			atomic_store(entry_of(s, 0, 0), with_state(held, LEASE_INTENT));
			if (!counted)
				atomic_store(&s->view.counters_more[FLOW].gauge, before);
			if (others >= 1)
				cr_assert_eq(take(s, 2, 2, 9, &other), 0);
			if (others == 2)
				cr_assert_eq(give(s, 2, 2, other), 0);
			cr_expect_eq(reclaim(s, 0, 0), counted, "counted %d, others %d", counted,
				     others);
			cr_expect_eq(lease_state(atomic_load(entry_of(s, 0, 0))), LEASE_FREE);
			cr_expect_eq(gauge(s, FLOW), others == 1 ? 2 : 1, "counted %d, others %d",
				     counted, others);
			cr_expect(!reclaim(s, 0, 0), "once");
			cr_expect_eq(gauge(s, FLOW), others == 1 ? 2 : 1);
		}
}

Test(lease, a_half_returned_lease_is_reclaimed_whether_it_was_counted_or_not)
{
	for (int lowered = 0; lowered < 2; lowered++)
		for (int others = 0; others < 3; others++) {
			struct segment *s = fixture_memory(16);
			uint32_t sequence = 0, other = 0;
			uint64_t held, before;

			cr_assert_eq(take(s, 1, 1, 9, &other), 0);
			cr_assert_eq(take(s, 0, 0, 9, &sequence), 0);
			before = atomic_load(&s->view.counters_more[FLOW].gauge);
			held = atomic_load(entry_of(s, 0, 0));
			cr_assert_eq(give(s, 0, 0, sequence), 0);
			atomic_store(entry_of(s, 0, 0), with_state(held, LEASE_RELEASING));
			if (!lowered)
				atomic_store(&s->view.counters_more[FLOW].gauge, before);
			if (others >= 1)
				cr_assert_eq(take(s, 2, 2, 9, &other), 0);
			if (others == 2)
				cr_assert_eq(give(s, 2, 2, other), 0);
			reclaim(s, 0, 0);
			cr_expect_eq(lease_state(atomic_load(entry_of(s, 0, 0))), LEASE_FREE);
			cr_expect_eq(gauge(s, FLOW), others == 1 ? 2 : 1, "lowered %d, others %d",
				     lowered, others);
			reclaim(s, 0, 0);
			cr_expect_eq(gauge(s, FLOW), others == 1 ? 2 : 1);
		}
}

/* A sidecar that reclaims dies at each point; the next one repeats it. */
Test(lease, reclaiming_may_be_repeated_from_any_point)
{
	static const enum lease_state states[] = {LEASE_INTENT, LEASE_HELD, LEASE_RELEASING};

	for (size_t i = 0; i < 3; i++) {
		struct segment *s = fixture_memory(16);
		uint32_t sequence = 0;

		cr_assert_eq(take(s, 0, 0, 9, &sequence), 0);
		atomic_store(entry_of(s, 0, 0),
			     with_state(atomic_load(entry_of(s, 0, 0)), states[i]));
		for (int again = 0; again < 3; again++)
			reclaim(s, 0, 0);
		cr_expect_eq(gauge(s, FLOW), 0, "state %d", states[i]);
		cr_expect_eq(lease_state(atomic_load(entry_of(s, 0, 0))), LEASE_FREE);
	}
}

Test(lease, sequences_wrap_without_confusion)
{
	struct segment *s = fixture_memory(16);
	uint32_t sequence = 0;

	/* 15 bits of it stand in the gauge; run over them, on two flows in turn. */
	for (uint32_t i = 0; i < 70000; i++) {
		uint32_t flow = i % 3 ? FLOW : FLOW + 1;

		cr_assert_eq(
			lease_take(&s->view, s->leases, &s->header.sizes, 0, 0, flow, 9, &sequence),
			0);
		cr_assert_eq(gauge(s, flow), 1);
		cr_assert_eq(give(s, 0, 0, sequence), 0);
		cr_assert_eq(gauge(s, flow), 0);
	}
	atomic_store(entry_of(s, 0, 0), UINT64_C(0x3fffffff) << 32 | FLOW);
	cr_expect_eq(take(s, 0, 0, 9, &sequence), 0);
	cr_expect_eq(sequence, 0);
	cr_expect_eq(give(s, 0, 0, sequence), 0);
	cr_expect_eq(gauge(s, FLOW), 0);
}

Test(lease, damaged_words_do_no_harm_elsewhere)
{
	struct segment *s = fixture_memory(16);
	uint32_t sequence = 0;
	uint64_t seed = 4;

	for (int i = 0; i < 20000; i++) {
		atomic_store(&s->view.counters_more[FLOW].gauge, random_next(&seed));
		atomic_store(entry_of(s, 3, 3), random_next(&seed));
		if (take(s, 0, 0, UINT16_MAX - 1, &sequence) == 0)
			give(s, 0, 0, sequence);
		atomic_store(entry_of(s, 0, 0), 0);
		reclaim(s, 3, 3);
		cr_assert_eq(lease_state(atomic_load(entry_of(s, 3, 3))), LEASE_FREE);
	}
	/* Neighbours of the last entry and the last slot are not touched: the arrays end at a guard
	 * page or hold zeros. */
	for (uint32_t entry = 0; entry < s->header.sizes.leases; entry++)
		cr_assert_eq(atomic_load(entry_of(s, 15, entry)), 0);
}

Test(lease, a_closed_gauge_takes_and_returns_nothing)
{
	struct segment *s = fixture_memory(16);
	uint32_t held = 0, other = 0;

	cr_assert_eq(take(s, 0, 0, 9, &held), 0);
	cr_assert_eq(take(s, 1, 0, 9, &other), 0);
	/* It died between the gauge and its entry: the closing completes it. */
	atomic_store(entry_of(s, 1, 0), with_state(atomic_load(entry_of(s, 1, 0)), LEASE_INTENT));
	lease_close(&s->view, s->leases, &s->header.sizes, FLOW);
	cr_expect_eq(lease_state(atomic_load(entry_of(s, 1, 0))), LEASE_HELD);
	cr_expect_eq(take(s, 2, 0, UINT32_MAX, &other), -EAGAIN);
	cr_expect_eq(lease_state(atomic_load(entry_of(s, 2, 0))), LEASE_FREE);
	cr_expect_eq(give(s, 0, 0, held), 0, "its entry is freed all the same");
	cr_expect_eq(atomic_load(&s->view.counters_more[FLOW].gauge), LAYOUT_POISON);
}

/* ---- connections of the library -------------------------------------------------------------- */

Test(connect, gives_leases_up_to_the_cap_of_the_class_with_the_advice)
{
	struct fixture f;
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	struct tg_lease lease[4];
	struct tg_verdict verdict;
	struct tg_flow flow;
	struct tg *tg;

	limits.connections[TG_TRANSACTIONAL] = 3;
	limits.connections[TG_ENGAGED] = limits.connections[TG_BULK] = 2;
	limits.per_connection = 20;
	limits.flags = LAYOUT_COUNT_RECIPIENTS;
	fixture_open(&f);
	flow = fixture_flow(f.segment, "192.0.2.1", "example.org", &limits, 0);
	tg = fixture_attach(&f);
	cr_expect_eq(tg_connect(tg, &flow, TG_BULK, &lease[0]).reason, TG_ADMITTED);
	cr_expect_eq(lease[0].advice.connections, 2);
	cr_expect_eq(lease[0].advice.messages_per_connection, 20);
	cr_expect_eq(lease[0].advice.flags, TG_COUNT_RECIPIENTS);
	cr_expect_eq(tg_connect(tg, &flow, TG_BULK, &lease[1]).reason, TG_ADMITTED);
	verdict = tg_connect(tg, &flow, TG_BULK, &lease[2]);
	cr_expect_eq(verdict.reason, TG_REFUSED_CONNECTIONS);
	cr_expect(verdict.flags & TG_ESTIMATE);
	cr_expect_eq(tg_connect(tg, &flow, TG_TRANSACTIONAL, &lease[2]).reason, TG_ADMITTED);
	cr_expect_eq(tg_connect(tg, &flow, TG_TRANSACTIONAL, &lease[3]).reason,
		     TG_REFUSED_CONNECTIONS);
	for (int i = 0; i < 3; i++)
		cr_expect_eq(tg_disconnect(tg, &lease[i]), 0);
	cr_expect_eq(tg_disconnect(tg, &lease[1]), -EINVAL);
	cr_expect_eq(gauge(f.segment, flow.slot), 0);
	tg_detach(tg);
	fixture_end(&f);
}

Test(connect, a_worker_without_a_free_entry_is_refused_and_leaves_the_gauge)
{
	struct fixture f;
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	struct tg_lease lease;
	struct tg_flow flow;
	struct tg *tg;

	fixture_open(&f);
	flow = fixture_flow(f.segment, "192.0.2.1", "example.org", &limits, 0);
	tg = fixture_attach(&f);
	for (uint32_t i = 0; i < 16; i++)
		cr_expect_eq(tg_connect(tg, &flow, TG_BULK, &lease).reason, TG_ADMITTED);
	cr_expect_eq(tg_connect(tg, &flow, TG_BULK, &lease).reason, TG_REFUSED_CONNECTIONS);
	cr_expect_eq(gauge(f.segment, flow.slot), 16);
	tg_detach(tg);
	cr_expect_eq(gauge(f.segment, flow.slot), 0, "detaching returns what is held");
	fixture_end(&f);
}
