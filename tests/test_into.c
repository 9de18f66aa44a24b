/* SPDX-License-Identifier: MIT
 *
 * The functions without structs by value say what the others say.
 */
#include <criterion/criterion.h>

#include "tests/segment_fixture.h"

Test(into, the_reason_is_returned_and_the_rest_is_where_the_caller_wants_it)
{
	struct publish_limits limits = fixture_rate(3000 * SECOND, 2, 2, 2);
	struct tg_reservation slot;
	struct tg_verdict verdict = {0};
	struct tg_flow flow;
	struct tg_lease lease;
	struct fixture f;
	struct tg *tg;
	uint64_t wait_ns = 1, before_ns;

	fixture_open(&f);
	tg = fixture_attach(&f);
	before_ns = tg_now(tg);
	flow = fixture_flow(f.segment, "192.0.2.1", "provider", &limits, before_ns);
	cr_expect_eq(tg_admit_into(tg, &flow, TG_BULK, 1, &verdict, &wait_ns), TG_ADMITTED);
	cr_expect(verdict.at_ns >= before_ns && verdict.at_ns <= tg_now(tg));
	cr_expect_eq(wait_ns, 0);
	cr_expect_eq(tg_wait_into(tg, &flow, TG_BULK, 1, UINT64_MAX, NULL, NULL), TG_ADMITTED);
	cr_expect_eq(tg_wait_into(tg, &flow, TG_BULK, 1, 0, &verdict, &wait_ns), TG_REFUSED_RATE);
	/* An interval is rounded up when it is packed, see shm/gcra.h. */
	cr_expect(wait_ns > 2000 * SECOND && wait_ns <= 3000 * SECOND + (3000 * SECOND >> 25));
	cr_expect_eq(verdict.reason, TG_REFUSED_RATE);
	cr_expect_eq(tg_admit_into(tg, &flow, TG_BULK, 3, NULL, &wait_ns), TG_REFUSED_NEVER);
	cr_expect_eq(wait_ns, UINT64_MAX);
	cr_expect_eq(tg_reserve_into(tg, &flow, TG_BULK, 1, SECOND, &slot, &verdict, NULL),
		     TG_REFUSED_RATE);
	cr_expect_eq(tg_connect_into(tg, &flow, TG_BULK, &lease, NULL, &wait_ns), TG_ADMITTED);
	cr_expect_eq(tg_disconnect(tg, &lease), 0);
	limits = fixture_rate(SECOND / 1000000, 2, 2, 2);
	publish_slot(f.segment, flow.slot, &limits, tg_now(tg));
	cr_expect_eq(tg_reserve_into(tg, &flow, TG_BULK, 1, SECOND, &slot, &verdict, &wait_ns),
		     TG_ADMITTED);
	while (tg_now(tg) < slot.at_ns)
		;
	cr_expect_eq(tg_redeem_into(tg, &slot, &verdict, &wait_ns), TG_ADMITTED);
	tg_detach(tg);
	fixture_end(&f);
}

Test(into, a_pair_without_a_handle)
{
	struct tg_source source;
	struct tg_destination destination;
	struct tg_verdict verdict;
	struct fixture f;
	struct tg *tg;

	fixture_open(&f);
	tg = fixture_attach(&f);
	cr_assert_eq(tg_source(tg, "192.0.2.1", &source), 0);
	cr_assert_eq(tg_destination(tg, "provider", &destination), 0);
	cr_expect_eq(tg_admit_pair_into(tg, &source, &destination, TG_BULK, 1, &verdict, NULL),
		     verdict.reason);
	cr_expect(verdict.flags & TG_DEFAULTS);
	tg_detach(tg);
	fixture_end(&f);
}
