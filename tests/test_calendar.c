/* SPDX-License-Identifier: MIT
 *
 * What the sidecar publishes of its time zone. Windows over it are test_window.c's.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "shm/clock.h"
#include "shm/window.h"
#include "sidecar/segment/calendar.h"

#define HOUR_NS ((int64_t)WINDOW_HOUR_NS)

static struct layout_calendar calendar;

/* How far the day's beginning lies east of UTC, in hours. */
static int64_t published(const char *zone)
{
	struct segment segment = {.calendar = &calendar};
	int64_t offset;

	calendar_publish(&segment, zone);
	offset = (int64_t)calendar.day_offset_ns - calendar_wall_offset();
	return (offset + (offset < 0 ? -HOUR_NS : HOUR_NS) / 2) / HOUR_NS;
}

Test(calendar, without_a_zone_it_is_the_systems_again)
{
	setenv("TZ", "ABC-3", 1);
	cr_expect_eq(published(NULL), 3);
	cr_expect_eq(published("YYY+5"), -5);
	cr_expect_eq(published(NULL), 3);
}

Test(calendar, without_a_zone_and_without_tz_it_is_that_of_the_machine)
{
	int64_t here;

	unsetenv("TZ");
	here = published(NULL);
	cr_expect_eq(published(here == 7 ? "YYY-8" : "YYY-7"), here == 7 ? 8 : 7);
	cr_expect_eq(published(NULL), here);
}

Test(calendar, days_follow_each_other_and_today_is_among_them)
{
	uint64_t now_ns = clock_vdso();
	uint32_t today;

	published("YYY-7");
	today = window_day(&calendar, 0, now_ns);
	for (uint32_t day = today; day < today + LAYOUT_DAYS - 3; day++)
		cr_expect_eq(window_day_end(&calendar, 0, day + 1) -
				     window_day_end(&calendar, 0, day),
			     WINDOW_DAY_NS, "day %u", day);
	cr_expect_gt(window_day_end(&calendar, 0, today), now_ns);
	cr_expect_leq(window_day_end(&calendar, 0, today), now_ns + WINDOW_DAY_NS);
}
