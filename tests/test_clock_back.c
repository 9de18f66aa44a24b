/* SPDX-License-Identifier: MIT
 *
 * The wall clock was ahead (an RTC in local time, or none at all) and is repaired: flows with an
 * hour's or a day's cap go on at once, by what they have used.
 */
#include <criterion/criterion.h>

#include "tests/segment_fixture.h"

#define NOW FIXTURE_NOW
#define CAP 100

static uint64_t now_ns;

static uint64_t test_clock(void)
{
	return now_ns;
}

/* What a calendar in UTC says when the wall clock is that far from the monotonic one. */
static void wall_set(struct segment *s, int64_t offset_ns)
{
	struct layout_calendar *calendar = s->calendar;
	uint64_t today = (uint64_t)((int64_t)now_ns + offset_ns) / DAY;

	atomic_store(&calendar->hour_offset_ns, (uint64_t)offset_ns);
	atomic_store(&calendar->day_offset_ns, (uint64_t)offset_ns);
	for (uint64_t day = today - 1; day < today + LAYOUT_DAYS - 1; day++)
		atomic_store(&calendar->day_start_ns[day % LAYOUT_DAYS],
			     day * DAY - (uint64_t)offset_ns);
}

static uint32_t admitted(struct segment *s, uint32_t max)
{
	const struct tg_flow flow = {0, 1, 2, LAYOUT_NONE};
	uint32_t count = 0;

	for (uint32_t i = 0; i < max; i++)
		count += decide_admit(&s->view, &flow, TG_BULK, 1, now_ns).reason == TG_ADMITTED;
	return count;
}

struct row {
	const char *what;
	uint64_t ahead_ns;
	bool hour, day;
};

static void row_try(const struct row *row, int64_t right_ns)
{
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	struct segment *s = fixture_memory(4);

	now_ns = NOW;
	s->clock = test_clock;
	segment_slot(s, 0)->kind = SEGMENT_FLOW;
	for (int c = 0; c < TG_CLASSES; c++) {
		limits.hour_cap[c] = row->hour ? CAP : PUBLISH_NO_CAP;
		limits.day_cap[c] = row->day ? CAP : PUBLISH_NO_CAP;
	}
	wall_set(s, right_ns + (int64_t)row->ahead_ns);
	publish_slot(s, 0, &limits, now_ns);
	cr_assert_eq(admitted(s, CAP / 4), CAP / 4, "%s", row->what);
	segment_repair(s, 0, 4, now_ns);
	/* These the sidecar has not seen yet. */
	cr_assert_eq(admitted(s, 5), 5, "%s", row->what);
	now_ns += SECOND;
	wall_set(s, right_ns);
	cr_expect_eq(segment_repair(s, 0, 4, now_ns), 0, "%s: no damage", row->what);
	cr_expect_eq(admitted(s, 2 * CAP), CAP - CAP / 4 - 5, "%s", row->what);
	/* And the next period is a whole one. */
	now_ns += row->day ? DAY : HOUR;
	segment_repair(s, 0, 4, now_ns);
	cr_expect_eq(admitted(s, 2 * CAP), CAP, "%s: the next period", row->what);
}

Test(clock, that_was_ahead_leaves_no_flow_refused_when_it_is_set_right)
{
	static const struct row rows[] = {
		{"1 hour, hour cap", HOUR, true, false},
		{"2 hours, hour cap", 2 * HOUR, true, false},
		{"6 hours, hour cap", 6 * HOUR, true, false},
		{"2 hours, day cap", 2 * HOUR, false, true},
		{"a day, day cap", DAY, false, true},
		{"5 days, both", 5 * DAY, true, true},
		{"10 years, both", 3650 * DAY, true, true},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* At noon, and an hour before midnight, where a clock ahead is in the next day. */
		row_try(&rows[i], (int64_t)(UINT64_C(20000) * DAY + 12 * HOUR + 10 * MINUTE - NOW));
		row_try(&rows[i], (int64_t)(UINT64_C(20000) * DAY + 23 * HOUR - NOW));
	}
}

Test(clock, that_a_sidecar_found_ahead_is_mended_though_the_words_are_scribbled_over)
{
	const int64_t right_ns = (int64_t)(UINT64_C(20000) * DAY + 12 * HOUR - NOW);
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	struct segment *s = fixture_memory(4);

	now_ns = NOW;
	s->clock = test_clock;
	segment_slot(s, 0)->kind = SEGMENT_FLOW;
	for (int c = 0; c < TG_CLASSES; c++)
		limits.day_cap[c] = CAP;
	wall_set(s, right_ns + (int64_t)(3 * DAY));
	publish_slot(s, 0, &limits, now_ns);
	cr_assert_eq(admitted(s, 10), 10);
	segment_repair(s, 0, 4, now_ns);
	wall_set(s, right_ns);
	atomic_store(&s->view.counters[0].day, UINT64_MAX - 1);
	segment_repair(s, 0, 4, now_ns);
	cr_expect_eq(admitted(s, 2 * CAP), CAP - 10, "by what was last seen sound");
}
