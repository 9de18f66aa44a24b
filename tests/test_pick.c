/* SPDX-License-Identifier: MIT
 *
 * Picking a source of a pool: the one that can send soonest, spread by room, read-only.
 */
#include <criterion/criterion.h>

#include "tests/segment_fixture.h"

#define SOURCES 4

struct pick_fixture {
	struct fixture f;
	struct tg *tg;
	struct tg_destination destination;
	struct tg_flow flow[SOURCES + 1]; /* by the last byte of the address */
};

static void pick_open(struct pick_fixture *fixture)
{
	struct publish_limits limits = fixture_rate(HOUR, 20, 10, 10);

	fixture_open(&fixture->f);
	for (int i = 1; i <= SOURCES; i++) {
		char address[32];

		snprintf(address, sizeof(address), "192.0.2.%d", i);
		fixture->flow[i] =
			fixture_flow(fixture->f.segment, address, "provider", &limits, 0);
	}
	fixture->tg = fixture_attach(&fixture->f);
	cr_assert_eq(tg_destination(fixture->tg, "mx.provider.test", &fixture->destination), 0);
}

static void pick_close(struct pick_fixture *fixture)
{
	tg_detach(fixture->tg);
	fixture_end(&fixture->f);
}

static int pick(struct pick_fixture *fixture, uint64_t *ret_at_ns)
{
	struct tg_source source;

	cr_assert_eq(
		tg_pick(fixture->tg, "pool", &fixture->destination, TG_BULK, &source, ret_at_ns),
		0);
	cr_assert(source.address[15] >= 1 && source.address[15] <= SOURCES);
	return source.address[15];
}

static void hold(struct pick_fixture *fixture, int source, uint64_t for_ns)
{
	struct publish_limits limits = fixture_rate(HOUR, 20, 10, 10);

	limits.hold_until_ns = tg_now(fixture->tg) + for_ns;
	publish_slot(fixture->f.segment, fixture->flow[source].slot, &limits, tg_now(fixture->tg));
}

Test(pick, spreads_by_room)
{
	uint32_t picked[SOURCES + 1] = {0};
	struct pick_fixture fixture;
	uint64_t at;

	pick_open(&fixture);
	/* Rooms of 10, 5, 2 and 0. */
	for (int i = 0; i < 5; i++)
		tg_admit(fixture.tg, &fixture.flow[2], TG_BULK, 1);
	for (int i = 0; i < 8; i++)
		tg_admit(fixture.tg, &fixture.flow[3], TG_BULK, 1);
	for (int i = 0; i < 10; i++)
		tg_admit(fixture.tg, &fixture.flow[4], TG_BULK, 1);
	for (int i = 0; i < 17000; i++)
		picked[pick(&fixture, &at)]++;
	cr_expect(picked[1] > 9000 && picked[1] < 11000, "%u", picked[1]);
	cr_expect(picked[2] > 4500 && picked[2] < 5500, "%u", picked[2]);
	cr_expect(picked[3] > 1700 && picked[3] < 2300, "%u", picked[3]);
	cr_expect_eq(picked[4], 0);
	pick_close(&fixture);
}

Test(pick, goes_round_a_hold_and_else_takes_the_first_to_be_free)
{
	struct pick_fixture fixture;
	uint64_t at, now;

	pick_open(&fixture);
	hold(&fixture, 1, HOUR);
	hold(&fixture, 2, HOUR);
	hold(&fixture, 4, HOUR);
	for (int i = 0; i < 50; i++)
		cr_expect_eq(pick(&fixture, &at), 3);
	hold(&fixture, 3, 2 * HOUR);
	hold(&fixture, 2, 10 * MINUTE);
	now = tg_now(fixture.tg);
	cr_expect_eq(pick(&fixture, &at), 2);
	cr_expect(at > now + 9 * MINUTE && at <= now + 10 * MINUTE);
	pick_close(&fixture);
}

/* Sources that warm up have caps of an hour and a day. */
Test(pick, goes_to_warm_sources_when_the_cap_of_a_cold_one_is_used_up)
{
	struct publish_limits cold = fixture_rate(1000, 100, 100, 100);
	struct pick_fixture fixture;
	unsigned first = 0;
	uint64_t at, now;

	pick_open(&fixture);
	for (int c = 0; c < TG_CLASSES; c++) {
		cold.hour_cap[c] = 8;
		cold.day_cap[c] = 12;
	}
	publish_slot(fixture.f.segment, fixture.flow[1].slot, &cold, tg_now(fixture.tg));
	for (int i = 0; i < 1000; i++)
		first += pick(&fixture, &at) == 1;
	cr_expect(first > 100 && first < 400, "by its room, %u", first);
	for (int i = 0; i < 8; i++)
		cr_expect_eq(tg_admit(fixture.tg, &fixture.flow[1], TG_BULK, 1).reason,
			     TG_ADMITTED);
	for (int i = 0; i < 200; i++)
		cr_expect_neq(pick(&fixture, &at), 1);
	for (int i = 2; i <= SOURCES; i++)
		hold(&fixture, i, 20 * HOUR);
	now = tg_now(fixture.tg);
	cr_expect_eq(pick(&fixture, &at), 1, "all are full: the next window");
	cr_expect(at > now && at <= now + HOUR);
	pick_close(&fixture);
}

Test(pick, names_a_source_of_the_pool_also_where_none_can_ever_send)
{
	struct publish_limits closed = fixture_rate(HOUR, 0, 0, 0);
	struct pick_fixture fixture;
	uint64_t at;

	pick_open(&fixture);
	for (int i = 1; i <= SOURCES; i++)
		publish_slot(fixture.f.segment, fixture.flow[i].slot, &closed, 0);
	pick(&fixture, &at);
	cr_expect_eq(at, UINT64_MAX);
	pick_close(&fixture);
}

Test(pick, writes_nothing_that_decides)
{
	struct pick_fixture fixture;
	uint64_t at, before[SOURCES + 1];

	pick_open(&fixture);
	for (int i = 1; i <= SOURCES; i++)
		before[i] =
			atomic_load(&fixture.f.segment->view.counters[fixture.flow[i].slot].tat);
	for (int i = 0; i < 100; i++)
		pick(&fixture, &at);
	for (int i = 1; i <= SOURCES; i++)
		cr_expect_eq(
			atomic_load(&fixture.f.segment->view.counters[fixture.flow[i].slot].tat),
			before[i]);
	pick_close(&fixture);
}

Test(pick, answers_what_it_does_not_know)
{
	struct tg_source source = {.slot = 77};
	struct pick_fixture fixture;
	uint64_t at = 55;

	pick_open(&fixture);
	cr_expect_eq(tg_pick(fixture.tg, "nobody", &fixture.destination, TG_BULK, &source, &at),
		     -ENOENT);
	cr_expect_eq(tg_pick(fixture.tg, NULL, &fixture.destination, TG_BULK, &source, &at),
		     -EINVAL);
	cr_expect_eq(
		tg_pick(fixture.tg, "pool", &fixture.destination, (enum tg_class)9, &source, &at),
		-EINVAL);
	cr_expect(source.slot == 77 && at == 55);
	pick_close(&fixture);
}

Test(pick, takes_a_source_that_nobody_has_used)
{
	struct pick_fixture fixture;
	struct tg_destination fresh;
	struct tg_source source;
	struct tg_flow flow;
	uint64_t at;

	pick_open(&fixture);
	cr_assert_eq(tg_destination(fixture.tg, "elsewhere.example", &fresh), 0);
	cr_assert_eq(tg_pick(fixture.tg, "pool", &fresh, TG_BULK, &source, &at), 0);
	cr_expect_leq(at, tg_now(fixture.tg));
	cr_expect_eq(tg_flow(fixture.tg, &source, &fresh, &flow), 0);
	pick_close(&fixture);
}

/* A prefork MTA: the parent has drawn already, its children must not draw the same. */
Test(pick, children_draw_differently)
{
	enum { CHILDREN = 8, DRAWS = 64 };
	uint8_t(*drawn)[DRAWS] = fixture_shared(CHILDREN * DRAWS);
	struct pick_fixture fixture;
	uint64_t at;

	pick_open(&fixture);
	pick(&fixture, &at);
	for (int c = 0; c < CHILDREN; c++) {
		pid_t child = fork();

		cr_assert(child >= 0);
		if (child == 0) {
			for (int i = 0; i < DRAWS; i++)
				drawn[c][i] = (uint8_t)pick(&fixture, &at);
			_exit(0);
		}
		waitpid(child, NULL, 0);
	}
	for (int a = 0; a < CHILDREN; a++)
		for (int b = 0; b < a; b++)
			cr_expect_neq(memcmp(drawn[a], drawn[b], DRAWS), 0, "%d as %d", a, b);
	pick_close(&fixture);
}
