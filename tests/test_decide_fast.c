/* SPDX-License-Identifier: MIT
 *
 * The quick way of deciding over the usual limits agrees with the whole one, in verdict and in what
 * is written, whatever the limits, the states and the time.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "shm/decide.h"
#include "shm/window.h"
#include "sidecar/base/random.h"

#define SLOTS 4 /* flow, source, destination, and one that is not used */
#define NOW   (100 * WINDOW_DAY_NS + 7 * WINDOW_HOUR_NS)

struct decide_fixture {
	struct layout_limits limits[SLOTS];
	struct layout_limits_more more[SLOTS];
	struct layout_calendar calendar;
	struct layout_counters counters[SLOTS];
	struct layout_counters_more counters_more[SLOTS];
};

static struct layout_default_limits defaults[LAYOUT_DEFAULTS];
static uint64_t state = 42;

static uint64_t draw(uint64_t below)
{
	return random_below(&state, below);
}

static struct view view_of(struct decide_fixture *world)
{
	return (struct view){.limits = world->limits,
			     .more = world->more,
			     .defaults = defaults,
			     .calendar = &world->calendar,
			     .counters = world->counters,
			     .counters_more = world->counters_more,
			     .slots = SLOTS,
			     .reserve_max_ns = 60 * WINDOW_SECOND_NS};
}

static uint64_t draw_rate(void)
{
	if (draw(8) == 0)
		return GCRA_UNLIMITED;
	return gcra_rate(1 + draw(5 * WINDOW_SECOND_NS), (uint32_t)draw(6));
}

/* A count in this period, the one before, the next, one that cannot be, or nothing yet. */
static uint64_t draw_window(uint32_t period)
{
	static const int64_t apart[] = {0, 0, 0, 0, -1, 1, 5, -100};

	if (draw(16) == 0)
		return draw(2) ? 0 : LAYOUT_POISON;
	return (uint64_t)(uint32_t)(period + apart[draw(8)]) << 32 | draw(12);
}

static void draw_slot(struct decide_fixture *world, uint32_t slot, uint64_t flags)
{
	struct layout_limits *limits = &world->limits[slot];
	struct layout_counters *counters = &world->counters[slot];
	const struct layout_calendar *calendar = &world->calendar;

	bool filled = draw(8) != 0;

	for (int class = 0; class < TG_CLASSES; class ++) {
		limits->rate[class] = filled ? draw_rate() : 0;
		limits->hour_cap[class] = (uint32_t)draw(12);
		limits->day_cap[class] = (uint32_t)draw(12);
	}
	limits->hold_until_ns = draw(8) ? 0 : NOW - 5 + draw(10);
	limits->flags = flags;
	world->more[slot].hold_lower_ns = draw(2) ? 0 : NOW + draw(100);
	counters->tat = draw(3) ? NOW - WINDOW_SECOND_NS + draw(8 * WINDOW_SECOND_NS) : draw(NOW);
	counters->hour = draw_window(window_hour(calendar, flags, NOW));
	counters->day = draw_window(window_day(calendar, flags, NOW));
}

static uint64_t draw_flags(uint64_t mask)
{
	uint64_t flags = draw(64) & mask;

	if (draw(2))
		flags |= draw(3600) << LAYOUT_HOUR_PHASE_SHIFT | draw(1440)
									 << LAYOUT_DAY_PHASE_SHIFT;
	return flags;
}

/* Days that begin in time zones and summer times; entries that are missing or of another year. */
static void draw_calendar(struct layout_calendar *calendar)
{
	uint64_t offset = draw(48) * WINDOW_HOUR_NS / 2;
	uint64_t first = (NOW + offset) / WINDOW_DAY_NS - 3;

	calendar->hour_offset_ns = 50 * WINDOW_DAY_NS + draw(WINDOW_HOUR_NS);
	calendar->day_offset_ns = offset;
	for (uint64_t day = first; day < first + 7; day++) {
		uint64_t start = day * WINDOW_DAY_NS - offset;

		if (day >= first + 3 + draw(2))
			start += draw(3) * WINDOW_HOUR_NS - WINDOW_HOUR_NS;
		if (draw(10) == 0)
			start = draw(2) ? 0 : start - 64 * WINDOW_DAY_NS;
		calendar->day_start_ns[day % LAYOUT_DAYS] = start;
	}
}

static void draw_world(struct decide_fixture *world)
{
	memset(world, 0, sizeof(*world));
	draw_calendar(&world->calendar);
	draw_slot(world, 0,
		  draw_flags(draw(2)   ? LAYOUT_HOUR | LAYOUT_DAY
			     : draw(4) ? LAYOUT_SOURCE | LAYOUT_DESTINATION
				       : 63));
	draw_slot(world, 1, draw_flags(draw(4) ? 0 : 63));
	draw_slot(world, 2, draw_flags(draw(4) ? 0 : 63));
	for (int i = 0; i < LAYOUT_DEFAULT_FIRST; i++)
		defaults[i].limits.rate[TG_BULK] = gcra_rate(WINDOW_SECOND_NS, 3);
}

Test(decide_plain, agrees_with_the_whole_decision)
{
	static struct decide_fixture world, quick, whole;
	uint64_t admitted = 0, refused = 0;

	for (int i = 0; i < 400000; i++) {
		struct tg_flow flow = {0, draw(20) ? 1 : LAYOUT_NONE, draw(20) ? 2 : 77,
				       LAYOUT_NONE};
		enum tg_class traffic = draw(TG_CLASSES);
		uint32_t n = 1 + (uint32_t)draw(3);
		struct view a = view_of(&quick), b = view_of(&whole);
		struct tg_verdict x, y;

		draw_world(&world);
		quick = world;
		whole = world;
		x = decide_admit(&a, &flow, traffic, n, NOW);
		y = decide_all(&b, &flow, traffic, n, NOW);
		cr_assert(x.at_ns == y.at_ns && x.reason == y.reason,
			  "world %d: %d at %lu, not %d at %lu", i, x.reason, x.at_ns, y.reason,
			  y.at_ns);
		cr_assert_arr_eq(quick.counters, whole.counters, sizeof(quick.counters), "world %d",
				 i);
		*(x.reason == TG_ADMITTED ? &admitted : &refused) += 1;
	}
	/* Both ways were gone often enough to mean something. */
	cr_assert_gt(admitted, 20000);
	cr_assert_gt(refused, 20000);
}

Test(decide_plain, takes_nothing_from_a_retired_segment)
{
	static struct decide_fixture world;
	struct view view = view_of(&world);
	struct tg_flow flow = {0, 1, 2, LAYOUT_NONE};

	draw_world(&world);
	for (uint64_t flags = 0; flags < 16; flags++) {
		for (int slot = 0; slot < 3; slot++) {
			memset(&world.limits[slot], 0, sizeof(world.limits[slot]));
			for (int class = 0; class < TG_CLASSES; class ++) {
				world.limits[slot].rate[class] = gcra_rate(1000, 100);
				world.limits[slot].hour_cap[class] = UINT32_MAX;
				world.limits[slot].day_cap[class] = UINT32_MAX;
			}
			world.counters[slot].tat = LAYOUT_POISON;
			world.counters[slot].hour = LAYOUT_POISON;
			world.counters[slot].day = LAYOUT_POISON;
		}
		world.limits[0].flags = flags;
		cr_assert_neq(decide_admit(&view, &flow, TG_BULK, 1, NOW).reason, TG_ADMITTED);
		for (int slot = 0; slot < 3; slot++)
			cr_assert(world.counters[slot].tat == LAYOUT_POISON &&
				  world.counters[slot].hour == LAYOUT_POISON &&
				  world.counters[slot].day == LAYOUT_POISON);
	}
}
