/* SPDX-License-Identifier: MIT
 *
 * Decisions with time as an argument: which limit refuses, until when exactly, and what is charged.
 */
#include <criterion/criterion.h>

#include "shm/headroom.h"
#include "tests/segment_fixture.h"

#define NOW FIXTURE_NOW
/* Intervals that need no rounding: about 4 seconds and 69. */
#define SHORT (UINT64_C(1) << 32)
#define LONG  (UINT64_C(1) << 36)

static struct tg_flow plain = {0, 1, 2, LAYOUT_NONE};

static uint32_t admitted(const struct segment *s, const struct tg_flow *flow, enum tg_class traffic,
			 uint64_t now_ns, int attempts)
{
	uint32_t count = 0;

	for (int i = 0; i < attempts; i++)
		count += decide_admit(&s->view, flow, traffic, 1, now_ns).reason == TG_ADMITTED;
	return count;
}

Test(decide, a_class_leaves_its_reserve_to_the_better_ones)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(LONG, 10, 8, 5);

	publish_slot(s, 0, &limits, NOW);
	cr_expect_eq(admitted(s, &plain, TG_BULK, NOW, 100), 5);
	cr_expect_eq(admitted(s, &plain, TG_ENGAGED, NOW, 100), 3);
	cr_expect_eq(admitted(s, &plain, TG_TRANSACTIONAL, NOW, 100), 2);
	cr_expect_eq(admitted(s, &plain, TG_BULK, NOW + 3 * LONG, 100), 0,
		     "what is used of the reserve comes back first");
	cr_expect_eq(admitted(s, &plain, TG_TRANSACTIONAL, NOW + 3 * LONG, 100), 3);
}

Test(decide, a_refusal_writes_nothing)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(HOUR, 3, 3, 3);
	static unsigned char before[8 * sizeof(struct layout_counters)];

	limits.flags = LAYOUT_SOURCE;
	publish_slot(s, 0, &limits, NOW);
	publish_slot(s, 1, &limits, NOW);
	admitted(s, &plain, TG_BULK, NOW, 5);
	memcpy(before, (void *)s->view.counters, sizeof(before));
	for (int traffic = 0; traffic < TG_CLASSES; traffic++)
		cr_expect_eq(admitted(s, &plain, (enum tg_class)traffic, NOW, 10), 0);
	cr_expect_eq(memcmp(before, (void *)s->view.counters, sizeof(before)), 0);
}

Test(decide, a_parent_that_refuses_leaves_the_flow_uncharged)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits flow = fixture_rate(SECOND, 100, 100, 100),
			      source = fixture_rate(HOUR, 3, 3, 3);

	flow.flags = LAYOUT_SOURCE;
	publish_slot(s, 0, &flow, NOW);
	publish_slot(s, 1, &source, NOW);
	cr_expect_eq(admitted(s, &plain, TG_BULK, NOW, 50), 3);
	cr_expect_eq(atomic_load(&s->view.counters[0].tat), NOW + 3 * SECOND);
}

/* Everything unlimited, then one limit closed: by row. */
enum place { AT_FLOW, AT_SOURCE, AT_DESTINATION, AT_STREAM };

static void close_rate(struct publish_limits *l)
{
	*l = fixture_rate(7 * LONG, 1, 1, 1);
}
static void close_hold(struct publish_limits *l)
{
	l->hold_until_ns = NOW + 5 * MINUTE;
}
static void close_lower(struct publish_limits *l)
{
	l->hold_lower_ns = NOW + 6 * MINUTE;
}
static void close_hour(struct publish_limits *l)
{
	l->hour_cap[0] = l->hour_cap[1] = l->hour_cap[2] = 1;
}
static void close_day(struct publish_limits *l)
{
	l->day_cap[0] = l->day_cap[1] = l->day_cap[2] = 1;
}

Test(decide, says_which_limit_refuses_and_until_when)
{
	static const struct {
		void (*close)(struct publish_limits *);
		enum place place;
		enum tg_reason reason;
		uint64_t at_ns;
	} rows[] = {
		{close_rate, AT_FLOW, TG_REFUSED_RATE, NOW + 7 * LONG},
		{close_hold, AT_FLOW, TG_REFUSED_HOLD, NOW + 5 * MINUTE},
		{close_lower, AT_FLOW, TG_REFUSED_HOLD, NOW + 6 * MINUTE},
		{close_hour, AT_FLOW, TG_REFUSED_HOUR, (NOW / HOUR + 1) * HOUR},
		{close_day, AT_FLOW, TG_REFUSED_DAY, (NOW / DAY + 1) * DAY},
		{close_rate, AT_SOURCE, TG_REFUSED_SOURCE, NOW + 7 * LONG},
		{close_hour, AT_SOURCE, TG_REFUSED_SOURCE, (NOW / HOUR + 1) * HOUR},
		{close_day, AT_DESTINATION, TG_REFUSED_DESTINATION, (NOW / DAY + 1) * DAY},
		{close_hold, AT_DESTINATION, TG_REFUSED_DESTINATION, NOW + 5 * MINUTE},
		{close_rate, AT_STREAM, TG_REFUSED_STREAM, NOW + 7 * LONG},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct segment *s = fixture_memory(8);
		struct tg_flow flow = fixture_plain(true);
		struct tg_verdict verdict;

		for (uint32_t slot = 0; slot < 4; slot++) {
			struct publish_limits limits;

			publish_unlimited(&limits);
			limits.flags = LAYOUT_SOURCE | LAYOUT_DESTINATION;
			if (slot == rows[i].place)
				rows[i].close(&limits);
			if (slot == rows[i].place)
				limits.flags = LAYOUT_SOURCE | LAYOUT_DESTINATION;
			publish_slot(s, slot, &limits, NOW);
		}
		verdict = decide_admit(&s->view, &flow, TG_BULK, 1, NOW);
		if (rows[i].close != close_hold && rows[i].close != close_lower) {
			cr_expect_eq(verdict.reason, TG_ADMITTED, "row %zu", i);
			verdict = decide_admit(&s->view, &flow, TG_BULK, 1, NOW);
		}
		cr_expect_eq(verdict.reason, rows[i].reason, "row %zu: %u", i, verdict.reason);
		cr_expect_eq(verdict.at_ns, rows[i].at_ns, "row %zu: %lu", i, verdict.at_ns);
		cr_expect_eq(verdict.flags, 0, "row %zu", i);
		cr_expect_neq(decide_admit(&s->view, &flow, TG_BULK, 1, verdict.at_ns - 1).reason,
			      TG_ADMITTED, "row %zu", i);
		cr_expect_eq(decide_admit(&s->view, &flow, TG_BULK, 1, verdict.at_ns).reason,
			     TG_ADMITTED, "row %zu", i);
	}
}

Test(decide, of_several_that_refuse_the_latest_is_named)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits flow = fixture_rate(LONG, 1, 1, 1),
			      source = fixture_rate(3 * LONG, 1, 1, 1);
	struct tg_verdict verdict;

	flow.flags = LAYOUT_SOURCE;
	publish_slot(s, 0, &flow, NOW);
	publish_slot(s, 1, &source, NOW);
	decide_admit(&s->view, &plain, TG_BULK, 1, NOW);
	verdict = decide_admit(&s->view, &plain, TG_BULK, 1, NOW);
	cr_expect_eq(verdict.reason, TG_REFUSED_SOURCE);
	cr_expect_eq(verdict.at_ns, NOW + 3 * LONG);
}

Test(decide, more_than_the_burst_or_a_cap_never_passes)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(SECOND, 10, 8, 5);

	publish_slot(s, 0, &limits, NOW);
	cr_expect_eq(decide_admit(&s->view, &plain, TG_BULK, 6, NOW).reason, TG_REFUSED_NEVER);
	cr_expect_eq(decide_admit(&s->view, &plain, TG_BULK, 6, NOW).at_ns, UINT64_MAX);
	cr_expect_eq(decide_admit(&s->view, &plain, TG_TRANSACTIONAL, 10, NOW).reason, TG_ADMITTED);
	publish_unlimited(&limits);
	limits.hour_cap[0] = limits.hour_cap[1] = limits.hour_cap[2] = 4;
	publish_slot(s, 0, &limits, NOW);
	cr_expect_eq(decide_admit(&s->view, &plain, TG_BULK, 5, NOW).reason, TG_REFUSED_NEVER);
	cr_expect_eq(decide_admit(&s->view, &plain, TG_BULK, UINT32_MAX, NOW).reason,
		     TG_REFUSED_NEVER);
	cr_expect_eq(decide_admit(&s->view, &plain, TG_BULK, 4, NOW).reason, TG_ADMITTED);
	cr_expect_eq(decide_admit(&s->view, &plain, TG_BULK, 1, NOW).reason, TG_REFUSED_HOUR);
}

Test(decide, a_hold_of_the_lower_classes_lets_transactional_mail_pass)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(SECOND, 10, 8, 5);

	limits.hold_lower_ns = NOW + HOUR;
	publish_slot(s, 0, &limits, NOW);
	cr_expect_eq(decide_admit(&s->view, &plain, TG_BULK, 1, NOW).reason, TG_REFUSED_HOLD);
	cr_expect_eq(decide_admit(&s->view, &plain, TG_ENGAGED, 1, NOW).reason, TG_REFUSED_HOLD);
	cr_expect_eq(decide_admit(&s->view, &plain, TG_TRANSACTIONAL, 1, NOW).reason, TG_ADMITTED);
}

Test(decide, caps_hold_exactly_and_classes_have_reserves_there_too)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits;
	uint64_t hour = (NOW / HOUR + 1) * HOUR;

	publish_unlimited(&limits);
	for (int c = 0; c < TG_CLASSES; c++) {
		limits.hour_cap[c] = 30 - 10 * (uint32_t)c;
		limits.day_cap[c] = 50 - 10 * (uint32_t)c;
	}
	publish_slot(s, 0, &limits, NOW);
	cr_expect_eq(admitted(s, &plain, TG_BULK, hour, 100), 10);
	cr_expect_eq(admitted(s, &plain, TG_ENGAGED, hour, 100), 10);
	cr_expect_eq(admitted(s, &plain, TG_TRANSACTIONAL, hour + HOUR - 1, 100), 10);
	cr_expect_eq(admitted(s, &plain, TG_BULK, hour + HOUR, 100), 0,
		     "the day's cap for bulk is reached");
	cr_expect_eq(decide_admit(&s->view, &plain, TG_BULK, 1, hour + HOUR).reason,
		     TG_REFUSED_DAY);
	cr_expect_eq(admitted(s, &plain, TG_ENGAGED, hour + HOUR, 100), 10);
	cr_expect_eq(admitted(s, &plain, TG_TRANSACTIONAL, hour + HOUR, 100), 10);
	cr_expect_eq(admitted(s, &plain, TG_TRANSACTIONAL, hour + 2 * HOUR, 100), 0);
	cr_expect_eq(admitted(s, &plain, TG_BULK, (NOW / DAY + 1) * DAY, 100), 10);
}

Test(decide, a_window_that_was_counted_ahead_is_kept_when_the_clock_goes_back)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits;
	uint64_t hour = (NOW / HOUR + 1) * HOUR;

	publish_unlimited(&limits);
	limits.hour_cap[0] = limits.hour_cap[1] = limits.hour_cap[2] = 10;
	publish_slot(s, 0, &limits, NOW);
	cr_expect_eq(admitted(s, &plain, TG_BULK, hour, 4), 4);
	cr_expect_eq(admitted(s, &plain, TG_BULK, hour - 1, 100), 6, "counted in the later hour");
	cr_expect_eq(decide_admit(&s->view, &plain, TG_BULK, 1, hour - 1).at_ns, hour + HOUR);
	cr_expect_eq(admitted(s, &plain, TG_BULK, hour, 100), 0);
}

Test(decide, period_numbers_may_wrap)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits;

	publish_unlimited(&limits);
	limits.hour_cap[0] = limits.hour_cap[1] = limits.hour_cap[2] = 10;
	publish_slot(s, 0, &limits, NOW);
	for (uint64_t offset = UINT32_MAX - 2; offset < (UINT64_C(1) << 32) - 1; offset++) {
		atomic_store(&s->calendar->hour_offset_ns, offset * HOUR - NOW / HOUR * HOUR);
		if (offset * (unsigned __int128)HOUR > UINT64_MAX)
			break; /* 2^32 hours do not fit into 64 bits of nanoseconds: no number can
				  wrap */
		cr_expect_eq(admitted(s, &plain, TG_BULK, NOW, 100), 10);
	}
	cr_expect_gt((unsigned __int128)UINT32_MAX * HOUR, (unsigned __int128)UINT64_MAX / 2);
}

Test(decide, a_new_flow_has_the_defaults_of_its_destination_and_its_parents)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits general = fixture_rate(HOUR, 2, 2, 2),
			      own = fixture_rate(HOUR, 3, 3, 3);
	struct publish_limits source = fixture_rate(HOUR, 1, 1, 1);
	struct tg_verdict verdict;

	publish_default(s, LAYOUT_DEFAULT_FLOW, &general);
	cr_expect_eq(admitted(s, &plain, TG_BULK, NOW, 10), 2);
	publish_default_own(s, 2, LAYOUT_DEFAULT_FIRST + 5, &own);
	cr_expect_eq(admitted(s, &plain, TG_BULK, NOW, 10), 1);
	verdict = decide_admit(&s->view, &plain, TG_BULK, 1, NOW);
	cr_expect_eq(verdict.reason, TG_REFUSED_RATE);
	cr_expect(verdict.flags & TG_DEFAULTS);
	own.flags = LAYOUT_SOURCE;
	publish_default(s, LAYOUT_DEFAULT_FIRST + 5, &own);
	publish_default(s, LAYOUT_DEFAULT_SOURCE, &source);
	cr_expect_eq(admitted(s, &plain, TG_BULK, NOW + 10 * HOUR, 10), 1);
	cr_expect_eq(decide_admit(&s->view, &plain, TG_BULK, 1, NOW + 10 * HOUR).reason,
		     TG_REFUSED_SOURCE);
	/* Filled, it has its own, and owes what it used. */
	publish_slot(s, 0, &general, NOW);
	cr_expect_eq(admitted(s, &plain, TG_BULK, NOW, 10), 0);
	atomic_store(&s->more[2].default_index, UINT32_MAX);
	cr_expect_eq(
		decide_admit(&s->view, &(struct tg_flow){5, 1, 2, LAYOUT_NONE}, TG_BULK, 1, NOW)
			.reason,
		TG_ADMITTED);
}

Test(decide, damaged_handles_are_answered)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(SECOND, 1, 1, 1);
	struct tg_flow none = {LAYOUT_NONE, 1, 2, LAYOUT_NONE}, source = {0, 8, 2, LAYOUT_NONE},
		       stream = {0, 1, 2, 9};

	limits.flags = LAYOUT_SOURCE;
	publish_slot(s, 0, &limits, NOW);
	cr_expect_eq(decide_admit(&s->view, &none, TG_BULK, 1, NOW).reason, TG_REFUSED_DIRECTORY);
	cr_expect_eq(decide_admit(&s->view, &source, TG_BULK, 1, NOW).reason, TG_REFUSED_DIRECTORY);
	cr_expect_eq(decide_admit(&s->view, &stream, TG_BULK, 1, NOW).reason, TG_REFUSED_DIRECTORY);
	cr_expect_eq(decide_admit(&s->view, &plain, (enum tg_class)3, 1, NOW).reason,
		     TG_REFUSED_DIRECTORY);
	cr_expect_eq(decide_admit(&s->view, &plain, TG_BULK, 1, NOW).reason, TG_ADMITTED,
		     "none of them was charged");
}

Test(decide, a_damaged_state_refuses_until_the_sidecar_has_repaired_it)
{
	static const uint64_t states[] = {UINT64_MAX - 1, UINT64_C(1) << 63, NOW + DAY};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct segment *s = fixture_memory(8);
		struct publish_limits limits = fixture_rate(SHORT, 10, 8, 5);
		struct tg_verdict verdict;

		limits.connection_interval_ns = SHORT;
		limits.connection_burst = 4;
		segment_slot(s, 0)->kind = SEGMENT_FLOW;
		publish_slot(s, 0, &limits, NOW);
		atomic_store(&s->view.counters[0].tat, states[i]);
		atomic_store(&s->view.counters[0].connection_tat, states[i]);
		for (int traffic = 0; traffic < TG_CLASSES; traffic++) {
			verdict = decide_admit(&s->view, &plain, (enum tg_class)traffic, 1, NOW);
			cr_expect_eq(verdict.reason, TG_REFUSED_RATE);
			cr_expect(verdict.at_ns == NOW + SECOND && verdict.flags == TG_ESTIMATE);
		}
		verdict = decide_connect(&s->view, &plain, TG_BULK, false, NOW);
		cr_expect(verdict.reason == TG_REFUSED_CONNECTIONS && verdict.flags == TG_ESTIMATE);
		cr_expect_eq(atomic_load(&s->view.counters[0].tat), states[i]);
		cr_expect_eq(segment_repair(s, 0, 8, NOW), 2);
		cr_expect_eq(atomic_load(&s->view.counters[0].tat), NOW + 10 * SHORT);
		cr_expect_eq(admitted(s, &plain, TG_TRANSACTIONAL, NOW + 10 * SHORT, 100), 10);
		cr_expect_eq(decide_connect(&s->view, &plain, TG_BULK, false, NOW).reason,
			     TG_REFUSED_CONNECTIONS);
		cr_expect_eq(
			decide_connect(&s->view, &plain, TG_BULK, false, NOW + 4 * SHORT).reason,
			TG_ADMITTED);
	}
}

Test(decide, a_damaged_window_refuses_until_the_sidecar_has_repaired_it)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits;
	struct tg_verdict verdict;

	publish_unlimited(&limits);
	limits.hour_cap[0] = limits.hour_cap[1] = limits.hour_cap[2] = 10;
	segment_slot(s, 0)->kind = SEGMENT_FLOW;
	publish_slot(s, 0, &limits, NOW);
	cr_expect_eq(admitted(s, &plain, TG_BULK, NOW, 4), 4);
	segment_repair(s, 0, 8, NOW);
	atomic_store(&s->view.counters[0].hour, UINT64_C(0xfffffff0) << 32 | 3);
	verdict = decide_admit(&s->view, &plain, TG_BULK, 1, NOW);
	cr_expect(verdict.reason == TG_REFUSED_HOUR && verdict.at_ns == NOW + SECOND &&
		  verdict.flags == TG_ESTIMATE);
	cr_expect_eq(segment_repair(s, 0, 8, NOW), 1);
	cr_expect_eq(admitted(s, &plain, TG_BULK, NOW, 100), 6,
		     "what was last seen sound is still used");
}

/* A worker that was stopped between reading the clock and deciding must not take what others left
 * for damage. */
Test(decide, an_old_time_erases_nothing)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(SECOND, 10, 8, 5);
	uint64_t later = NOW + DAY, before[8];
	struct decide_taken left;

	limits.hour_cap[0] = limits.hour_cap[1] = limits.hour_cap[2] = 100;
	publish_slot(s, 0, &limits, NOW);
	for (int i = 0; i < 30; i++)
		decide_reserve(&s->view, &plain, (enum tg_class)(i % 3), 1, later, later + MINUTE,
			       &left);
	memcpy(before, (void *)&s->view.counters[0], sizeof(before));
	for (int traffic = 0; traffic < TG_CLASSES; traffic++) {
		cr_expect_eq(admitted(s, &plain, (enum tg_class)traffic, NOW, 10), 0);
		decide_reserve(&s->view, &plain, (enum tg_class)traffic, 1, NOW, NOW + MINUTE,
			       &left);
	}
	cr_expect_eq(memcmp(before, (void *)&s->view.counters[0], sizeof(before)), 0);
}

Test(decide, a_retired_state_admits_nothing)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(SECOND, 10, 5, 5);
	struct decide_taken left;

	limits.hour_cap[0] = limits.hour_cap[1] = limits.hour_cap[2] = 10;
	publish_slot(s, 0, &limits, NOW);
	atomic_store(&s->view.counters[0].hour, LAYOUT_POISON);
	cr_expect_eq(admitted(s, &plain, TG_BULK, NOW, 10), 0);
	atomic_store(&s->view.counters[0].tat, LAYOUT_POISON);
	atomic_store(&s->view.counters[0].hour, 0);
	for (int i = 0; i < 2; i++) {
		for (int traffic = 0; traffic < TG_CLASSES; traffic++) {
			cr_expect_eq(admitted(s, &plain, (enum tg_class)traffic, NOW, 10), 0);
			cr_expect_neq(decide_reserve(&s->view, &plain, (enum tg_class)traffic, 1,
						     NOW, NOW + MINUTE, &left)
					      .reason,
				      TG_ADMITTED);
		}
		/* The mark of the reservations may be poisoned before or after what overtook them.
		 */
		atomic_store(&s->view.counters[0].reserved_until, LAYOUT_POISON);
	}
	cr_expect_eq(atomic_load(&s->view.counters[0].tat), LAYOUT_POISON);
}

Test(decide, asking_takes_nothing_and_counts_the_room)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(SECOND, 10, 8, 5);
	uint32_t room;

	publish_slot(s, 0, &limits, NOW);
	for (uint32_t i = 0; i < 5; i++) {
		cr_expect_eq(decide_ask(&s->view, &plain, TG_BULK, 1, NOW, &room).reason,
			     TG_ADMITTED);
		cr_expect_eq(room, 5 - i);
		decide_admit(&s->view, &plain, TG_BULK, 1, NOW);
	}
	cr_expect_eq(decide_ask(&s->view, &plain, TG_BULK, 1, NOW, &room).at_ns, NOW + SECOND);
	cr_expect_eq(room, 0);
}

/* The line case in decide.h and the general one in decide.c are one rule. */
Test(decide, the_short_way_decides_as_the_long_one)
{
	struct segment *a = fixture_memory(8), *b = fixture_memory(8);
	uint64_t seed = 11, now = NOW;

	for (int run = 0; run < 200; run++) {
		uint32_t bulk = (uint32_t)(random_next(&seed) % 5 + 1),
			 engaged = bulk + (uint32_t)(random_next(&seed) % 3);
		struct publish_limits limits =
			fixture_rate(random_next(&seed) % MINUTE + 1,
				     engaged + (uint32_t)(random_next(&seed) % 3), engaged, bulk);

		publish_slot(a, 0, &limits, now);
		publish_slot(b, 0, &limits, now);
		for (int i = 0; i < 300; i++) {
			enum tg_class traffic = (enum tg_class)(random_next(&seed) % TG_CLASSES);
			uint32_t n = (uint32_t)(random_next(&seed) % 3 + 1);
			struct tg_verdict x = decide_admit(&a->view, &plain, traffic, n, now);
			struct tg_verdict y = decide_all(&b->view, &plain, traffic, n, now);

			cr_assert(x.reason == y.reason && x.at_ns == y.at_ns && x.flags == y.flags);
			cr_assert_eq(atomic_load(&a->view.counters[0].tat),
				     atomic_load(&b->view.counters[0].tat));
			now += random_next(&seed) % (limits.interval_ns + 1);
		}
	}
}

/* ---- connections ----------------------------------------------------------------------------- */

Test(decide, connections_have_a_rate_of_their_own)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(HOUR, 1, 1, 1);
	struct tg_verdict verdict;

	limits.connection_interval_ns = 10 * SECOND;
	limits.connection_burst = 3;
	publish_slot(s, 0, &limits, NOW);
	for (int i = 0; i < 3; i++)
		cr_expect_eq(decide_connect(&s->view, &plain, TG_BULK, false, NOW).reason,
			     TG_ADMITTED);
	verdict = decide_connect(&s->view, &plain, TG_BULK, false, NOW);
	cr_expect_eq(verdict.reason, TG_REFUSED_CONNECTIONS);
	cr_expect_eq(verdict.at_ns, NOW + 10 * SECOND);
	cr_expect_eq(verdict.flags, 0);
	cr_expect_eq(atomic_load(&s->view.counters[0].tat), 0, "messages are not charged");
}

Test(decide, a_full_flow_asks_nothing_of_its_connection_rate)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(HOUR, 1, 1, 1);
	struct tg_verdict verdict;

	limits.connection_interval_ns = 10 * SECOND;
	limits.connection_burst = 1;
	publish_slot(s, 0, &limits, NOW);
	for (int i = 0; i < 10; i++) {
		verdict = decide_connect(&s->view, &plain, TG_BULK, true, NOW);
		cr_expect_eq(verdict.reason, TG_REFUSED_CONNECTIONS);
		cr_expect(verdict.flags & TG_ESTIMATE);
	}
	cr_expect_eq(decide_connect(&s->view, &plain, TG_BULK, false, NOW).reason, TG_ADMITTED);
	limits.hold_until_ns = NOW + HOUR;
	publish_slot(s, 0, &limits, NOW);
	cr_expect_eq(decide_connect(&s->view, &plain, TG_BULK, true, NOW).reason, TG_REFUSED_HOLD,
		     "the later one is named");
}
