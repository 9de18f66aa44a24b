/* SPDX-License-Identifier: MIT
 *
 * Hours and days of flows: zones, clocks that change, phases, and a sidecar that is gone for years.
 *
 * The calendar is filled here from the zone database by the C library, the windows are then
 * compared with what localtime says.
 */
#include <criterion/criterion.h>
#include <time.h>

#include "shm/window.h"
#include "tests/segment_fixture.h"

/* Monotonic 0 in these tests: 20 March 2026, 05:17:23 UTC. */
#define BOOT INT64_C(1773983843)

static int64_t zone_offset(int64_t wall)
{
	time_t at = (time_t)wall;
	struct tm local;

	localtime_r(&at, &local);
	return local.tm_gmtoff;
}

/* When the local day that `wall` is in begins. */
static int64_t day_begin(int64_t wall, int days_on)
{
	time_t at = (time_t)wall;
	struct tm local;

	localtime_r(&at, &local);
	local.tm_hour = local.tm_min = local.tm_sec = 0;
	local.tm_mday += days_on;
	local.tm_isdst = -1;
	return mktime(&local);
}

/* As the sidecar publishes it at that time: offsets of now, the starts of yesterday and the days
 * on. */
static void calendar_fill(struct layout_calendar *calendar, const char *zone, int64_t wall,
			  int days)
{
	int64_t offset;

	setenv("TZ", zone, 1);
	tzset();
	offset = zone_offset(wall);
	memset(calendar, 0, sizeof(*calendar));
	calendar->hour_offset_ns = (uint64_t)(BOOT + offset) * SECOND;
	calendar->day_offset_ns = (uint64_t)(BOOT + offset) * SECOND;
	for (int i = -1; i < days; i++) {
		int64_t begin = day_begin(wall, i);
		/* The number of the day by its noon, so that no change of the clock moves it. */
		uint64_t number = (uint64_t)((begin + 12 * 3600 + offset) / 86400);

		calendar->day_start_ns[number % LAYOUT_DAYS] = (uint64_t)(begin - BOOT) * SECOND;
	}
}

static uint64_t mono(int64_t wall)
{
	return (uint64_t)(wall - BOOT) * SECOND;
}

Test(window, days_begin_where_the_zone_has_them_begin)
{
	static const char *const zones[] = {
		"UTC",		"Europe/Berlin",    "America/New_York",	  "Australia/Lord_Howe",
		"Asia/Kolkata", "Antarctica/Troll", "Pacific/Kiritimati", "America/St_Johns"};

	for (size_t z = 0; z < sizeof(zones) / sizeof(zones[0]); z++) {
		struct layout_calendar calendar;
		uint32_t before;

		calendar_fill(&calendar, zones[z], BOOT, 60);
		before = window_day(&calendar, 0, mono(BOOT));
		for (int64_t wall = BOOT; wall < BOOT + 55 * 86400; wall += 421) {
			uint32_t number = window_day(&calendar, 0, mono(wall));
			uint64_t end = window_day_end(&calendar, 0, number);

			cr_assert(number == before || number == before + 1, "%s: %u after %u",
				  zones[z], number, before);
			cr_assert_eq(end, mono(day_begin(wall, 1)), "%s at %ld", zones[z], wall);
			cr_assert_eq(window_day(&calendar, 0, end - 1), number);
			cr_assert_eq(window_day(&calendar, 0, end), number + 1);
			before = number;
		}
	}
}

Test(window, days_of_23_and_25_hours_are_one_window_each)
{
	static const struct {
		const char *zone;
		int64_t noon;
		int hours;
	} rows[] = {
		{"Europe/Berlin", 1774778400 - 3600 * 2, 23},	 /* 29 March 2026 */
		{"America/New_York", 1772985600, 23},		 /* 8 March 2026 */
		{"Europe/Berlin", 1792926000, 25},		 /* 25 October 2026 */
		{"Antarctica/Troll", 1774778400 - 3600 * 2, 22}, /* two hours at once */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct layout_calendar calendar;
		int64_t begin;

		/* Published the day before, as the last that the sidecar did. */
		calendar_fill(&calendar, rows[i].zone, rows[i].noon - 86400, 60);
		begin = day_begin(rows[i].noon, 0);
		uint32_t number = window_day(&calendar, 0, mono(begin));

		cr_expect_eq(day_begin(rows[i].noon, 1) - begin, rows[i].hours * 3600,
			     "row %zu is not that day", i);
		cr_expect_eq(window_day(&calendar, 0, mono(begin) - 1), number - 1);
		cr_expect_eq(
			window_day(&calendar, 0, mono(begin) + (uint64_t)rows[i].hours * HOUR - 1),
			number);
		cr_expect_eq(window_day(&calendar, 0, mono(begin) + (uint64_t)rows[i].hours * HOUR),
			     number + 1);
	}
}

Test(window, numbers_never_go_back_and_never_jump)
{
	struct layout_calendar calendar;

	/* Published once, asked for ten years: the sidecar is gone. */
	calendar_fill(&calendar, "Europe/Berlin", BOOT, 60);
	for (uint32_t phase = 0; phase < 1440; phase += 477) {
		uint64_t flags = (uint64_t)phase << LAYOUT_DAY_PHASE_SHIFT |
				 (uint64_t)(phase * 2) << LAYOUT_HOUR_PHASE_SHIFT;
		uint32_t day = window_day(&calendar, flags, 0),
			 hour = window_hour(&calendar, flags, 0);

		for (uint64_t now = 0; now < 3653 * DAY; now += 17 * MINUTE) {
			uint32_t next_day = window_day(&calendar, flags, now);
			uint32_t next_hour = window_hour(&calendar, flags, now);

			cr_assert(next_day == day || next_day == day + 1, "%u after %u", next_day,
				  day);
			cr_assert(next_hour == hour || next_hour == hour + 1);
			cr_assert(window_day_end(&calendar, flags, next_day) > now);
			cr_assert(window_day_end(&calendar, flags, next_day) - now <= 27 * HOUR);
			cr_assert(window_hour_end(&calendar, flags, next_hour) > now);
			cr_assert(window_hour_end(&calendar, flags, next_hour) - now <= HOUR);
			day = next_day;
			hour = next_hour;
		}
	}
}

Test(window, an_empty_table_means_days_of_24_hours)
{
	struct layout_calendar calendar = {.hour_offset_ns = 5 * HOUR,
					   .day_offset_ns = 20454 * DAY + HOUR};

	/* Within hours of boot an entry of 0 must not pass for a day that begins at boot. */
	for (uint64_t now = 0; now < 100 * DAY; now += 7 * MINUTE)
		cr_assert_eq(window_day(&calendar, 0, now), (now + 20454 * DAY + HOUR) / DAY);
}

Test(window, phases_move_both_ends)
{
	struct layout_calendar calendar;
	uint64_t hour_phase = UINT64_C(1500) << LAYOUT_HOUR_PHASE_SHIFT;
	uint64_t day_phase = UINT64_C(390) << LAYOUT_DAY_PHASE_SHIFT;

	calendar_fill(&calendar, "America/New_York", BOOT, 60);
	for (uint64_t now = 2 * DAY; now < 20 * DAY; now += 11 * MINUTE) {
		cr_assert_eq(window_hour(&calendar, hour_phase, now),
			     window_hour(&calendar, 0, now - 1500 * SECOND));
		cr_assert_eq(window_day(&calendar, day_phase, now),
			     window_day(&calendar, 0, now - 390 * MINUTE));
		cr_assert_eq(window_day_end(&calendar, day_phase, 20534),
			     window_day_end(&calendar, 0, 20534) + 390 * MINUTE);
	}
}

Test(window, a_machine_that_just_booted_is_in_a_window_that_began_before)
{
	struct layout_calendar calendar;
	uint64_t late = UINT64_C(1439) << LAYOUT_DAY_PHASE_SHIFT |
			UINT64_C(3599) << LAYOUT_HOUR_PHASE_SHIFT;

	calendar_fill(&calendar, "Asia/Kolkata", BOOT, 60);
	cr_expect_eq(window_day(&calendar, late, 0) + 1, window_day(&calendar, 0, 0));
	cr_expect_eq(window_hour(&calendar, late, 0) + 1, window_hour(&calendar, 0, 0));
	cr_expect(window_day_end(&calendar, late, window_day(&calendar, late, 0)) <= DAY);
	cr_expect(window_hour_end(&calendar, late, window_hour(&calendar, late, 0)) <= HOUR);
}

Test(window, stale_days_of_the_table_are_not_believed)
{
	struct layout_calendar calendar;
	uint32_t number;

	calendar_fill(&calendar, "Europe/Berlin", BOOT, 60);
	number = window_day(&calendar, 0, 30 * DAY);
	/* Somebody else's day in the same place, 64 days before. */
	atomic_fetch_sub(&calendar.day_start_ns[(number + 1) % LAYOUT_DAYS], 64 * DAY);
	cr_expect_eq(window_day(&calendar, 0, 30 * DAY), number);
	cr_expect(window_day_end(&calendar, 0, number) - 30 * DAY <= 26 * HOUR);
}
