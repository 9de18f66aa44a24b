/* SPDX-License-Identifier: MIT
 *
 * Picking a source of a pool: the one that can send soonest, spread by room, read-only.
 */
#include <criterion/criterion.h>

#include "tests/segment_fixture.h"

#define SOURCES 4

struct rig {
	struct fixture f;
	struct tg *tg;
	struct tg_destination destination;
	struct tg_flow flow[SOURCES + 1]; /* by the last byte of the address */
};

static void rig_open(struct rig *rig)
{
	struct publish_limits limits = fixture_rate(HOUR, 20, 10, 10);

	fixture_open(&rig->f);
	for (int i = 1; i <= SOURCES; i++) {
		char address[32];

		snprintf(address, sizeof(address), "192.0.2.%d", i);
		rig->flow[i] = fixture_flow(rig->f.segment, address, "provider", &limits, 0);
	}
	rig->tg = fixture_attach(&rig->f);
	cr_assert_eq(tg_destination(rig->tg, "mx.provider.test", &rig->destination), 0);
}

static void rig_close(struct rig *rig)
{
	tg_detach(rig->tg);
	fixture_end(&rig->f);
}

static int pick(struct rig *rig, uint64_t *ret_at_ns)
{
	struct tg_source source;

	cr_assert_eq(tg_pick(rig->tg, "pool", &rig->destination, TG_BULK, &source, ret_at_ns), 0);
	cr_assert(source.address[15] >= 1 && source.address[15] <= SOURCES);
	return source.address[15];
}

static void hold(struct rig *rig, int source, uint64_t for_ns)
{
	struct publish_limits limits = fixture_rate(HOUR, 20, 10, 10);

	limits.hold_until_ns = tg_now(rig->tg) + for_ns;
	publish_slot(rig->f.segment, rig->flow[source].slot, &limits, tg_now(rig->tg));
}

Test(pick, spreads_by_room)
{
	uint32_t picked[SOURCES + 1] = {0};
	struct rig rig;
	uint64_t at;

	rig_open(&rig);
	/* Rooms of 10, 5, 2 and 0. */
	for (int i = 0; i < 5; i++)
		tg_admit(rig.tg, &rig.flow[2], TG_BULK, 1);
	for (int i = 0; i < 8; i++)
		tg_admit(rig.tg, &rig.flow[3], TG_BULK, 1);
	for (int i = 0; i < 10; i++)
		tg_admit(rig.tg, &rig.flow[4], TG_BULK, 1);
	for (int i = 0; i < 17000; i++)
		picked[pick(&rig, &at)]++;
	cr_expect(picked[1] > 9000 && picked[1] < 11000, "%u", picked[1]);
	cr_expect(picked[2] > 4500 && picked[2] < 5500, "%u", picked[2]);
	cr_expect(picked[3] > 1700 && picked[3] < 2300, "%u", picked[3]);
	cr_expect_eq(picked[4], 0);
	rig_close(&rig);
}

Test(pick, goes_round_a_hold_and_else_takes_the_first_to_be_free)
{
	struct rig rig;
	uint64_t at, now;

	rig_open(&rig);
	hold(&rig, 1, HOUR);
	hold(&rig, 2, HOUR);
	hold(&rig, 4, HOUR);
	for (int i = 0; i < 50; i++)
		cr_expect_eq(pick(&rig, &at), 3);
	hold(&rig, 3, 2 * HOUR);
	hold(&rig, 2, 10 * MINUTE);
	now = tg_now(rig.tg);
	cr_expect_eq(pick(&rig, &at), 2);
	cr_expect(at > now + 9 * MINUTE && at <= now + 10 * MINUTE);
	rig_close(&rig);
}

Test(pick, names_a_source_of_the_pool_also_where_none_can_ever_send)
{
	struct publish_limits closed = fixture_rate(HOUR, 0, 0, 0);
	struct rig rig;
	uint64_t at;

	rig_open(&rig);
	for (int i = 1; i <= SOURCES; i++)
		publish_slot(rig.f.segment, rig.flow[i].slot, &closed, 0);
	pick(&rig, &at);
	cr_expect_eq(at, UINT64_MAX);
	rig_close(&rig);
}

Test(pick, writes_nothing_that_decides)
{
	struct rig rig;
	uint64_t at, before[SOURCES + 1];

	rig_open(&rig);
	for (int i = 1; i <= SOURCES; i++)
		before[i] = atomic_load(&rig.f.segment->view.counters[rig.flow[i].slot].tat);
	for (int i = 0; i < 100; i++)
		pick(&rig, &at);
	for (int i = 1; i <= SOURCES; i++)
		cr_expect_eq(atomic_load(&rig.f.segment->view.counters[rig.flow[i].slot].tat),
			     before[i]);
	rig_close(&rig);
}

Test(pick, answers_what_it_does_not_know)
{
	struct tg_source source = {.slot = 77};
	struct rig rig;
	uint64_t at = 55;

	rig_open(&rig);
	cr_expect_eq(tg_pick(rig.tg, "nobody", &rig.destination, TG_BULK, &source, &at), -ENOENT);
	cr_expect_eq(tg_pick(rig.tg, NULL, &rig.destination, TG_BULK, &source, &at), -EINVAL);
	cr_expect_eq(tg_pick(rig.tg, "pool", &rig.destination, (enum tg_class)9, &source, &at),
		     -EINVAL);
	cr_expect(source.slot == 77 && at == 55);
	rig_close(&rig);
}

Test(pick, takes_a_source_that_nobody_has_used)
{
	struct rig rig;
	struct tg_destination fresh;
	struct tg_source source;
	struct tg_flow flow;
	uint64_t at;

	rig_open(&rig);
	cr_assert_eq(tg_destination(rig.tg, "elsewhere.example", &fresh), 0);
	cr_assert_eq(tg_pick(rig.tg, "pool", &fresh, TG_BULK, &source, &at), 0);
	cr_expect_leq(at, tg_now(rig.tg));
	cr_expect_eq(tg_flow(rig.tg, &source, &fresh, &flow), 0);
	rig_close(&rig);
}
