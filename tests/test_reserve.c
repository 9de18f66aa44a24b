/* SPDX-License-Identifier: MIT
 *
 * Reservations: slots that follow one another, what may overtake them, and that no window ever
 * holds more than the rate allows, shown by replaying the departures.
 */
#include <criterion/criterion.h>

#include "shm/headroom.h"
#include "tests/segment_fixture.h"

#define NOW   FIXTURE_NOW
#define SHORT (UINT64_C(1) << 32) /* an interval that needs no rounding, about 4 s */

static struct tg_flow plain = {0, 1, 2, LAYOUT_NONE};

static struct tg_verdict reserve(const struct segment *s, enum tg_class traffic, uint32_t n,
				 uint64_t now, uint64_t wait, struct decide_taken *ret_left)
{
	return decide_reserve(&s->view, &plain, traffic, n, now, now + wait, ret_left);
}

Test(reserve, waiters_leave_one_by_one)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(SHORT, 3, 3, 3);
	struct decide_taken left;

	publish_slot(s, 0, &limits, NOW);
	for (uint32_t i = 0; i < 15; i++) {
		struct tg_verdict verdict = reserve(s, TG_BULK, 1, NOW, MINUTE, &left);

		cr_expect_eq(verdict.reason, TG_ADMITTED);
		cr_expect_eq(verdict.at_ns, i < 3 ? NOW : NOW + (i - 2) * SHORT);
	}
}

Test(reserve, a_slot_beyond_the_wait_is_not_taken)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(SHORT, 1, 1, 1);
	struct tg_verdict verdict;
	struct decide_taken left;

	publish_slot(s, 0, &limits, NOW);
	reserve(s, TG_BULK, 1, NOW, 0, &left);
	verdict = reserve(s, TG_BULK, 1, NOW, SHORT - 1, &left);
	cr_expect_eq(verdict.reason, TG_REFUSED_RATE);
	cr_expect_eq(verdict.at_ns, NOW + SHORT);
	cr_expect_eq(atomic_load(&s->view.counters[0].tat), NOW + SHORT);
	cr_expect_eq(reserve(s, TG_BULK, 1, NOW, SHORT, &left).at_ns, NOW + SHORT);
	/* Never further than the segment's longest. */
	for (int i = 0; i < 100; i++)
		verdict = reserve(s, TG_BULK, 1, NOW, UINT64_MAX - NOW, &left);
	cr_expect_eq(verdict.reason, TG_REFUSED_RATE);
	cr_expect(atomic_load(&s->view.counters[0].tat) <= NOW + s->header.reserve_max_ns + SHORT);
	cr_expect_eq(reserve(s, TG_BULK, 2, NOW, MINUTE, &left).reason, TG_REFUSED_NEVER);
}

Test(reserve, a_slot_is_not_taken_beyond_the_window)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(SHORT, 1, 1, 1);
	uint64_t end = (NOW / HOUR + 1) * HOUR;
	struct decide_taken left;
	struct tg_verdict verdict;

	limits.hour_cap[0] = limits.hour_cap[1] = limits.hour_cap[2] = 1000;
	publish_slot(s, 0, &limits, NOW);
	cr_expect_eq(reserve(s, TG_BULK, 1, end - SHORT - 1, MINUTE, &left).reason, TG_ADMITTED);
	cr_expect_eq(reserve(s, TG_BULK, 1, end - SHORT - 1, MINUTE, &left).at_ns, end - 1);
	verdict = reserve(s, TG_BULK, 1, end - SHORT - 1, MINUTE, &left);
	cr_expect_eq(verdict.reason, TG_REFUSED_HOUR);
	cr_expect_eq(verdict.at_ns, end);
	cr_expect_eq((uint32_t)atomic_load(&s->view.counters[0].hour), 2);
}

Test(reserve, a_hold_refuses_and_parents_are_asked_at_departure)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(SHORT, 1, 1, 1),
			      source = fixture_rate(SHORT, 1, 1, 1);
	struct tg_verdict verdict;
	struct decide_taken left;

	limits.flags = LAYOUT_SOURCE;
	publish_slot(s, 0, &limits, NOW);
	publish_slot(s, 1, &source, NOW);
	verdict = reserve(s, TG_BULK, 1, NOW, MINUTE, &left);
	cr_expect_eq(verdict.flags, TG_REDEEM);
	cr_expect_eq(atomic_load(&s->view.counters[1].tat), 0);
	cr_expect_eq(decide_redeem(&s->view, &plain, TG_BULK, 1, NOW).reason, TG_ADMITTED);
	cr_expect_eq(decide_redeem(&s->view, &plain, TG_BULK, 1, NOW).reason, TG_REFUSED_SOURCE);
	cr_expect_eq(decide_redeem(&s->view, &plain, TG_BULK, 1, NOW + SHORT).reason, TG_ADMITTED);
	limits.hold_until_ns = NOW + HOUR;
	publish_slot(s, 0, &limits, NOW);
	cr_expect_eq(reserve(s, TG_BULK, 1, NOW, MINUTE, &left).reason, TG_REFUSED_HOLD);
	cr_expect_eq(decide_redeem(&s->view, &plain, TG_BULK, 1, NOW + 2 * SHORT).reason,
		     TG_REFUSED_HOLD);
}

Test(reserve, the_last_slot_can_be_given_back_and_others_are_forfeited)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(SHORT, 2, 2, 2);
	struct tg_verdict first, second;
	struct decide_taken left[2];

	limits.hour_cap[0] = limits.hour_cap[1] = limits.hour_cap[2] = 10;
	publish_slot(s, 0, &limits, NOW);
	reserve(s, TG_BULK, 2, NOW, 0, &left[0]);
	first = reserve(s, TG_BULK, 1, NOW, MINUTE, &left[0]);
	second = reserve(s, TG_BULK, 1, NOW, MINUTE, &left[1]);
	cr_expect_eq(decide_cancel(&s->view, &plain, TG_BULK, 1, second.at_ns, &left[1]), 0);
	cr_expect_eq(atomic_load(&s->view.counters[0].reserved_until), second.at_ns,
		     "the mark stays: it may be another's, too");
	second = reserve(s, TG_BULK, 1, NOW, MINUTE, &left[1]);
	cr_expect_eq(second.at_ns, first.at_ns + SHORT);
	cr_expect_eq(decide_cancel(&s->view, &plain, TG_BULK, 1, first.at_ns, &left[0]), -EAGAIN);
	cr_expect_eq(reserve(s, TG_BULK, 1, NOW, MINUTE, &left[0]).at_ns, second.at_ns + SHORT,
		     "forfeited");
	cr_expect_eq((uint32_t)atomic_load(&s->view.counters[0].hour), 4,
		     "what windows count is always given back");
}

Test(reserve, giving_back_what_was_taken_when_nothing_was_charged_changes_nothing)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits;
	struct decide_taken left = {.left = 77};

	publish_unlimited(&limits);
	publish_slot(s, 0, &limits, NOW);
	cr_expect_eq(reserve(s, TG_BULK, 5, NOW, MINUTE, &left).reason, TG_ADMITTED);
	limits = fixture_rate(SHORT, 5, 5, 5);
	publish_slot(s, 0, &limits, NOW);
	cr_expect_eq(decide_cancel(&s->view, &plain, TG_BULK, 5, NOW, &left), 0);
	cr_expect_eq(atomic_load(&s->view.counters[0].tat) << 4, 0);
}

/* A phase that moves makes another period of the time at which the slot was taken: what is given
 * back is what was counted, where it was counted. */
Test(reserve, is_given_back_to_the_period_in_which_it_was_counted)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(SHORT, 100, 100, 100);
	uint64_t now = FIXTURE_NOW / HOUR * HOUR + 50 * MINUTE;
	struct decide_taken taken[5];
	uint32_t sent = 0;
	struct tg_verdict verdict;

	limits.hour_cap[0] = limits.hour_cap[1] = limits.hour_cap[2] = 10;
	publish_slot(s, 0, &limits, now);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(reserve(s, TG_BULK, 1, now, MINUTE, &taken[i]).reason, TG_ADMITTED);
	/* The next hour has begun; the phase then says that the slots were taken in it. */
	now += 15 * MINUTE;
	while (decide_admit(&s->view, &plain, TG_BULK, 1, now).reason == TG_ADMITTED)
		sent++;
	cr_assert_eq(sent, 10);
	limits.hour_phase_s = 2400;
	publish_slot(s, 0, &limits, now);
	for (int i = 0; i < 5; i++)
		decide_cancel(&s->view, &plain, TG_BULK, 1, now, &taken[i]);
	verdict = decide_admit(&s->view, &plain, TG_BULK, 1, now);
	cr_expect_eq(verdict.reason, TG_REFUSED_HOUR, "%u", verdict.reason);
}

/* However many leave at the last slot: at that moment the flow owes a whole burst. */
Test(reserve, keeps_its_distance_when_the_limit_is_raised)
{
	static const struct {
		uint32_t burst, n; /* at once */
	} rows[] = {{1, 1}, {2, 1}, {5, 1}, {3, 3}, {5, 2}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct segment *s = fixture_memory(8);
		uint32_t burst = rows[i].burst;
		struct publish_limits limits = fixture_rate(4 * SHORT, burst, burst, burst);
		struct decide_taken left;
		struct tg_verdict last, next;

		publish_slot(s, 0, &limits, NOW);
		reserve(s, TG_BULK, burst, NOW, MINUTE, &left);
		last = reserve(s, TG_BULK, rows[i].n, NOW, MINUTE, &left);
		cr_assert_eq(last.reason, TG_ADMITTED, "row %zu", i);
		limits = fixture_rate(SHORT, burst, burst, burst);
		publish_slot(s, 0, &limits, NOW);
		next = decide_admit(&s->view, &plain, TG_BULK, 1, NOW);
		cr_expect_eq(next.at_ns, last.at_ns + SHORT, "row %zu: %.2f", i,
			     (double)(next.at_ns - last.at_ns) / (double)SHORT);
	}
}

Test(reserve, is_given_back_once_and_is_then_good_for_nothing)
{
	struct publish_limits limits = fixture_rate(SHORT, 1, 1, 1);
	struct tg_reservation first, second, other;
	struct layout_counters *counters;
	struct tg_verdict verdict;
	struct tg_flow flow;
	struct fixture f;
	struct tg *tg;
	uint64_t tat;

	fixture_open(&f);
	tg = fixture_attach(&f);
	limits.hour_cap[0] = limits.hour_cap[1] = limits.hour_cap[2] = 10;
	flow = fixture_flow(f.segment, "192.0.2.1", "a.example", &limits, clock_vdso());
	counters = &f.segment->view.counters[flow.slot];
	tg_reserve(tg, &flow, TG_BULK, 1, MINUTE, &first);
	tg_reserve(tg, &flow, TG_BULK, 1, MINUTE, &second);
	cr_assert_eq(tg_redeem(tg, &second).reason, TG_ADMITTED);
	cr_assert_eq(tg_cancel(tg, &second), 0, "redeemed, and not sent");
	/* Somebody has its slot now: the state is what the second one left. */
	verdict = tg_reserve(tg, &flow, TG_BULK, 1, MINUTE, &other);
	cr_assert_eq(verdict.at_ns, second.at_ns);
	tat = atomic_load(&counters->tat);
	cr_assert_eq(tat, second.left);
	cr_expect_eq(tg_cancel(tg, &second), -EINVAL);
	cr_expect_eq(atomic_load(&counters->tat), tat);
	cr_expect_eq((uint32_t)atomic_load(&counters->hour), 2);
	verdict = tg_redeem(tg, &second);
	cr_expect_eq(verdict.reason, TG_REFUSED_NEVER);
	cr_expect_eq(verdict.at_ns, UINT64_MAX);
	/* What is forfeited in part is given back once as well. */
	cr_expect_eq(tg_cancel(tg, &first), -EAGAIN);
	cr_expect_eq(tg_cancel(tg, &first), -EINVAL);
	cr_expect_eq((uint32_t)atomic_load(&counters->hour), 1);
	tg_detach(tg);
	fixture_end(&f);
}

/* ---- the reserve ----------------------------------------------------------------------------- */

Test(headroom, a_whole_reserve_passes_at_once_and_again_after_its_period)
{
	uint64_t word = 0, at = 0, next = 0, now = NOW;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 7; i++) {
			cr_assert(headroom_charge(word, now, MINUTE, 7, 1, &next, &at));
			word = next;
		}
		cr_assert(!headroom_charge(word, now, MINUTE, 7, 1, &next, &at));
		cr_assert(at > now + MINUTE && at <= now + 2 * MINUTE + SECOND, "%lu", at - now);
		cr_assert(!headroom_charge(word, at - 1, MINUTE, 7, 1, &next, &at));
		now = at;
		cr_assert(headroom_charge(word, now, MINUTE, 7, 7, &next, &at));
	}
	cr_assert(!headroom_charge(0, now, MINUTE, 7, 8, &next, &at));
	cr_expect_eq(at, UINT64_MAX);
}

Test(headroom, no_window_holds_more_than_the_reserve)
{
	uint64_t seed = 23;

	for (int run = 0; run < 200; run++) {
		static uint64_t times[4000];
		uint64_t period = random_next(&seed) % HOUR + SECOND, now = NOW, word = 0, next, at;
		uint32_t reserve_messages = (uint32_t)(random_next(&seed) % 30 + 1), count = 0,
			 from = 0;

		for (int i = 0; i < 2000; i++) {
			now += random_next(&seed) %
			       (i % 40 ? period / reserve_messages + 1 : 3 * period);
			if (!headroom_charge(word, now, period, reserve_messages, 1, &next, &at))
				continue;
			word = next;
			times[count++] = now;
			while (now - times[from] >= period)
				from++;
			cr_assert(count - from <= reserve_messages);
		}
		cr_assert(count > 100);
	}
}

Test(headroom, a_damaged_word_is_a_reserve_just_used_up)
{
	static const uint64_t words[] = {UINT64_MAX - 1, UINT64_C(1) << 63,
					 (NOW + HOUR) >> 22 << 24};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		uint64_t word = headroom_sound(words[i], NOW), next, at = 0;

		cr_expect(!headroom_charge(word, NOW, MINUTE, 5, 1, &next, &at));
		cr_expect(
			headroom_charge(word, NOW + 2 * MINUTE + SECOND, MINUTE, 5, 1, &next, &at));
	}
	cr_expect_eq(headroom_sound(NOW >> 22 << 24, NOW), NOW >> 22 << 24);
	cr_expect_eq(headroom_sound(0, NOW), 0);
}

/* Bulk takes every slot that it can get. */
static void bulk_fill(const struct segment *s, uint64_t now)
{
	struct decide_taken left;

	while (reserve(s, TG_BULK, 1, now, s->header.reserve_max_ns, &left).reason == TG_ADMITTED)
		;
}

Test(reserve, a_continuous_bulk_load_does_not_delay_what_fits_the_reserve)
{
	static const struct {
		uint32_t transactional, engaged, bulk;
		uint64_t interval;
	} rows[] = {{10, 5, 5, SHORT},
		    {10, 5, 2, SHORT},
		    {2, 1, 1, 10 * SHORT},
		    {100, 80, 50, SHORT / 8},
		    {6, 5, 5, SECOND}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct segment *s = fixture_memory(8);
		struct publish_limits limits = fixture_rate(rows[i].interval, rows[i].transactional,
							    rows[i].engaged, rows[i].bulk);
		uint32_t reserve_messages = rows[i].transactional - rows[i].engaged;
		uint64_t span = reserve_messages * rows[i].interval,
			 longest = s->header.reserve_max_ns;
		uint64_t period = 2 * (span + (span > longest ? span : longest)) + SECOND,
			 now = NOW;
		struct decide_taken left;

		publish_slot(s, 0, &limits, NOW);
		for (int round = 0; round < 20; round++, now += period) {
			for (uint64_t at = now; at < now + period; at += period / 50)
				bulk_fill(s, at);
			bulk_fill(s, now + period);
			/* Half by asking, half by reserving. */
			for (uint32_t m = 0; m < reserve_messages; m++) {
				struct tg_verdict verdict =
					m % 2 ? decide_admit(&s->view, &plain, TG_TRANSACTIONAL, 1,
							     now + period)
					      : reserve(s, TG_TRANSACTIONAL, 1, now + period, 0,
							&left);

				cr_assert(verdict.reason == TG_ADMITTED &&
						  verdict.at_ns == now + period,
					  "row %zu, round %d, message %u: %u", i, round, m,
					  verdict.reason);
			}
		}
	}
}

/* ---- replay ---------------------------------------------------------------------------------- */

#define EVENTS 6000

struct test_departure {
	uint64_t at, taken;
	struct decide_taken left;
	uint32_t n;
	enum tg_class traffic;
	bool cancelled;
};

static int by_time(const void *a, const void *b)
{
	uint64_t x = ((const struct test_departure *)a)->at,
		 y = ((const struct test_departure *)b)->at;

	return (x > y) - (x < y);
}

static void replay_check(struct test_departure *list, uint32_t count, uint64_t interval,
			 uint32_t burst, int run)
{
	qsort(list, count, sizeof(*list), by_time);
	for (uint32_t from = 0; from < count; from++) {
		uint64_t sum = 0;

		for (uint32_t to = from; to < count && to < from + 400; to++) {
			uint64_t window = list[to].at - list[from].at + 1;

			sum += list[to].cancelled ? 0 : list[to].n;
			cr_assert(sum <= burst + (window + interval - 1) / interval - 1,
				  "run %d: %lu messages in a window of %.1f intervals, burst %u",
				  run, sum, (double)window / (double)interval, burst);
		}
	}
}

static uint32_t drive(const struct segment *s, const struct publish_limits *limits, uint64_t *seed,
		      struct test_departure *list)
{
	uint64_t now = NOW, interval = gcra_interval(gcra_rate(limits->interval_ns, 1));
	uint64_t bias = random_next(seed) % 4;
	uint32_t count = 0;

	for (int i = 0; i < EVENTS && count < EVENTS; i++) {
		enum tg_class traffic = (enum tg_class)(random_next(seed) % TG_CLASSES);
		uint32_t n = random_next(seed) % 4 ? 1 : (uint32_t)(random_next(seed) % 3 + 1);
		struct test_departure made = {.n = n, .traffic = traffic, .taken = now};
		struct tg_verdict verdict;

		if (traffic == TG_TRANSACTIONAL && random_next(seed) % 4 < bias)
			traffic = made.traffic = TG_BULK;
		if (random_next(seed) % 3 == 0)
			verdict = decide_admit(&s->view, &plain, traffic, n, now);
		else
			verdict = reserve(s, traffic, n, now,
					  random_next(seed) % (s->header.reserve_max_ns + 1),
					  &made.left);
		made.at = verdict.at_ns;
		if (verdict.reason == TG_ADMITTED) {
			cr_assert(verdict.at_ns >= now &&
				  verdict.at_ns <= now + s->header.reserve_max_ns);
			list[count++] = made;
		} else
			cr_assert(verdict.at_ns > now);
		if (count > 0 && random_next(seed) % 16 == 0) {
			struct test_departure *last =
				&list[count - 1 - random_next(seed) % (count < 4 ? count : 4)];

			if (last->left.left && last->at > now && !last->cancelled) {
				decide_cancel(&s->view, &plain, last->traffic, last->n, last->at,
					      &last->left);
				last->cancelled = true;
			}
		}
		if (random_next(seed) % 3 == 0)
			now += random_next(seed) % (random_next(seed) % 40
							    ? interval * 2
							    : s->header.reserve_max_ns * 2);
	}
	return count;
}

Test(reserve, no_window_ever_holds_more_than_the_rate_allows)
{
	static struct test_departure list[EVENTS];
	uint64_t seed = 99;

	for (int run = 0; run < 150; run++) {
		struct segment *s = fixture_memory(4);
		uint32_t bulk = (uint32_t)(random_next(&seed) % 6 + 1);
		uint32_t engaged = bulk + (uint32_t)(random_next(&seed) % 4);
		uint32_t transactional = engaged + (uint32_t)(random_next(&seed) % 8);
		struct publish_limits limits = fixture_rate(
			random_next(&seed) % (20 * SECOND) + SECOND, transactional, engaged, bulk);
		uint32_t count;

		publish_slot(s, 0, &limits, NOW);
		count = drive(s, &limits, &seed, list);
		cr_assert(count > 300, "%u", count);
		replay_check(list, count, gcra_interval(gcra_rate(limits.interval_ns, 1)),
			     transactional, run);
	}
}
