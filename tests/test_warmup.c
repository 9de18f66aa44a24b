/* SPDX-License-Identifier: MIT
 *
 * Warm-up: which day counts, what is earned, what trouble costs, how a day is spread, and how far
 * it gets with receivers that count day by day.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "sidecar/engine/warmup.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))
#define MINUTE	 UINT64_C(60000000000)

static const struct schedule_step published[] = {{200, 0},   {500, 0},	 {1000, 0},  {2000, 0},
						 {5000, 0},  {10000, 0}, {20000, 0}, {40000, 0},
						 {50000, 0}, {75000, 0}, {100000, 0}};
static const struct warmup_plan plan = {published, N(published), 100000, 30};

static struct warmup w;
static uint32_t day;
static unsigned events;

static void begin(void)
{
	day = 1;
	warmup_begin(&w, &plan, day);
}

static uint32_t cap(void)
{
	return warmup_today(&w)->cap;
}

/* Today ends, and `days` later is today. */
static void pass(uint32_t days)
{
	const struct warmup_clock clock = {day += days, day * 24, 24};

	events = warmup_advance(&w, &plan, &clock);
}

/* A day on which so many were accepted. */
static void accepted(uint32_t count)
{
	warmup_count(&w, count, 0, 0);
	pass(1);
}

static void full(int days)
{
	for (int i = 0; i < days; i++)
		accepted(cap());
}

static void spell(bool trouble)
{
	for (uint64_t minute = 1; minute <= 40; minute += 10)
		warmup_refused(&w, trouble, minute * MINUTE);
}

Test(warmup, grows_by_what_was_accepted_up_to_the_schedule)
{
	static const struct {
		uint32_t accepted, cap; /* of the day after */
	} rows[] = {
		{200, 400}, /* twice the peak, less than the schedule's 500 */
		{400, 800},   {800, 1600},  {500, 1600}, /* the peak is that of the day before */
		{1600, 3200}, {3200, 6400}, {6400, 12800}, {9000, 18000},
	};

	begin();
	cr_expect_eq(cap(), 200);
	for (size_t i = 0; i < N(rows); i++) {
		accepted(rows[i].accepted);
		cr_expect_eq(cap(), rows[i].cap, "row %zu: %u", i, cap());
	}
	begin();
	accepted(300);
	cr_expect_eq(cap(), 500, "more than was allowed earns no more than the schedule has");
}

Test(warmup, counts_a_day_on_which_mail_was_sent)
{
	begin();
	full(3);
	cr_expect_eq(w.step, 3);
	cr_expect_eq(cap(), 1600);
	pass(1);
	pass(2);
	cr_expect_eq(w.step, 3, "a weekend");
	cr_expect_eq(cap(), 1600);
	cr_expect_eq(warmup_before(&w, 0)->day, 3);
	cr_expect_null(warmup_before(&w, 3));
}

Test(warmup, measures_at_a_soft_wall_what_the_receiver_takes)
{
	begin();
	full(3);
	warmup_count(&w, 1200, 0, 0);
	spell(false);
	cr_expect_eq(warmup_today(&w)->flags, WARMUP_WALL);
	pass(1);
	cr_expect_eq(w.step, 4, "the day counts");
	cr_expect_float_eq((double)w.growth, 1.5, 1e-6);
	cr_expect_eq(cap(), 1800);
	/* It comes back by and by. */
	full(3);
	cr_expect_float_eq((double)w.growth, 1.575, 1e-6);
}

Test(warmup, takes_a_hiccup_for_none)
{
	begin();
	full(2);
	warmup_count(&w, 400, 0, 0);
	warmup_refused(&w, true, 1 * MINUTE);
	warmup_refused(&w, true, 25 * MINUTE);
	warmup_count(&w, 1, 0, 0);
	warmup_refused(&w, true, 35 * MINUTE);
	cr_expect_eq(warmup_today(&w)->flags, 0);
	/* At the day's end, when nobody can wait for longer. */
	warmup_refused(&w, true, 40 * MINUTE);
	pass(1);
	cr_expect(events & WARMUP_BACKS);
}

Test(warmup, steps_back_after_trouble_and_climbs_gentler)
{
	begin();
	full(4);
	cr_expect_eq(cap(), 3200);
	warmup_count(&w, 2400, 0, 0);
	spell(true);
	cr_expect_eq(cap(), 2400, "no more today");
	pass(1);
	cr_expect_eq(events, WARMUP_BACKS);
	cr_expect_eq(cap(), 1600, "what was accepted before");
	cr_expect_float_eq((double)w.growth, 0.97 * 1.5, 1e-6);
	full(1);
	cr_expect_eq(cap(), (uint32_t)(2400 * (double)w.growth));
	full(9);
	cr_expect_float_eq((double)w.growth, 0.97 * 1.5, 1e-6, "not forgotten yet");
	full(1);
	cr_expect_gt(w.growth, 0.97f * 1.5f, "forgotten over ten good days");
}

Test(warmup, steps_back_for_two_days_when_trouble_comes_again)
{
	begin();
	full(4);
	warmup_count(&w, 2000, 0, 0);
	warmup_trouble(&w, 1);
	pass(1);
	warmup_count(&w, 1000, 0, 0);
	warmup_trouble(&w, 1);
	pass(1);
	cr_expect_eq(w.back, 2);
	full(1);
	cr_expect_eq(cap(), 1600, "the second day");
	full(1);
	cr_expect_gt(cap(), 1600);
	/* Whatever comes, it does not stand still. */
	for (int i = 0; i < 200; i++) {
		warmup_count(&w, i % 3, 50, 0);
		warmup_trouble(&w, 1);
		pass(1);
		cr_assert(w.growth >= WARMUP_GROWTH_MIN && cap() >= 1);
	}
}

Test(warmup, says_when_there_is_too_little_mail)
{
	unsigned said = 0;

	begin();
	full(3);
	for (int i = 0; i < 6; i++) {
		accepted(300);
		said += events == WARMUP_TOO_LITTLE;
		cr_expect_eq(events & ~(unsigned)WARMUP_TOO_LITTLE, 0);
	}
	cr_expect_eq(said, 1, "once, not each day");
	cr_expect_eq(w.low_days, 6);
	accepted(1500);
	cr_expect_eq(w.low_days, 0);
}

Test(warmup, is_over_at_full_volume_and_must_be_kept_warm)
{
	struct warmup_caps caps;
	const struct warmup_clock clock = {100, 0, 24};
	unsigned cools = 0;

	begin();
	for (int i = 0; i < 15 && w.phase == WARMUP_RUNNING; i++)
		full(1);
	cr_expect_eq(w.phase, WARMUP_WARM);
	cr_expect_eq(events, WARMUP_IS_WARM);
	warmup_caps(&w, &plan, &clock, &caps);
	cr_expect_eq(caps.hour[TG_BULK], UINT32_MAX);
	cr_expect_eq(caps.day[TG_BULK], 2 * 100000, "no licence to jump");
	for (int i = 0; i < 8; i++) {
		accepted(1000);
		cools += events == WARMUP_COOLS;
	}
	cr_expect_eq(cools, 1, "the week's most is a hundredth of what it was warmed up for");
	accepted(90000);
	accepted(1000);
	cr_expect_eq(events, 0);
}

Test(warmup, fades_while_idle_and_begins_anew_after_long)
{
	static const struct {
		uint32_t days, cap;
		unsigned events;
	} rows[] = {
		{6, 6400, 0},  {7, 3200, 0}, {13, 3200, 0},
		{14, 1600, 0}, {29, 400, 0}, {30, 200, WARMUP_ANEW},
	};

	for (size_t i = 0; i < N(rows); i++) {
		begin();
		full(5);
		/* Today is the first day without. */
		pass(rows[i].days - 1);
		cr_expect_eq(cap(), rows[i].cap, "%u days: %u", rows[i].days, cap());
		cr_expect_eq(events, rows[i].events);
	}
	cr_expect_eq(w.step, 0);
	full(1);
	cr_expect_eq(cap(), 400, "what was accepted before has no weight");
}

Test(warmup, keeps_its_day_when_the_clock_is_set_back)
{
	const struct warmup_clock back = {5, 120, 24};

	begin();
	full(5);
	warmup_count(&w, 100, 0, 0);
	cr_expect_eq(warmup_advance(&w, &plan, &back), 0);
	cr_expect_eq(warmup_today(&w)->day, day);
	cr_expect_eq(warmup_today(&w)->sent, 100);
	warmup_count(&w, UINT32_MAX, UINT32_MAX, 1);
	cr_expect_eq(warmup_today(&w)->sent, UINT32_MAX, "full, not around");
}

Test(warmup, is_not_stuck_when_a_wrong_clock_is_put_right)
{
	const struct warmup_clock wrong = {400, 9600, 24}, right = {5, 120, 24},
				  next = {6, 144, 24};

	begin();
	full(4);
	warmup_count(&w, 1000, 0, 0);
	warmup_advance(&w, &plan, &wrong);
	warmup_count(&w, 100, 0, 0);
	warmup_advance(&w, &plan, &right);
	cr_expect_eq(warmup_today(&w)->day, 5);
	cr_expect_eq(warmup_today(&w)->sent, 100, "the day goes on");
	cr_expect(warmup_valid(&w));
	warmup_advance(&w, &plan, &next);
	cr_expect_eq(warmup_today(&w)->day, 6, "and ends");
	cr_expect_eq(warmup_today(&w)->sent, 0);
	for (uint32_t i = 0; warmup_before(&w, i); i++)
		cr_expect_leq(warmup_before(&w, i)->day, 5, "%u", i);
}

Test(warmup, steps_back_while_it_is_blocked)
{
	float growth;

	begin();
	full(4);
	warmup_count(&w, 2400, 0, 0);
	spell(true);
	pass(1);
	growth = w.growth;
	warmup_count(&w, 0, 4, 0);
	spell(true);
	pass(1);
	cr_expect_eq(w.growth, growth, "the same trouble still");
	cr_expect_eq(w.back, 0);
	cr_expect_eq(cap(), (uint32_t)(2400 * (double)growth));
}

Test(warmup, learns_from_a_receiver_that_takes_less_than_its_first_day)
{
	begin();
	warmup_count(&w, 60, 5, 0);
	spell(false);
	pass(1);
	cr_expect_eq(w.growth, WARMUP_GROWTH_MAX, "nothing was accepted before to go by");
	cr_expect_eq(cap(), 120, "not the first day's 200");
	full(1);
	cr_expect_eq(cap(), 240);
}

Test(warmup, comes_back_to_where_trouble_was)
{
	float worst;
	int days = 0;

	begin();
	full(4);
	warmup_count(&w, 2400, 0, 0);
	warmup_trouble(&w, 1);
	pass(1);
	worst = w.worst;
	cr_expect_float_eq((double)worst, 0.97 * 1.5, 1e-6);
	w.growth = 1.3f;
	for (; w.growth < worst && days < 100; days++)
		full(1);
	cr_expect(days >= 9 && days < 15, "%d days", days);
	cr_expect_eq(w.growth, worst, "and no further at once");
}

/* Sends in each hour what bulk may have; the day's beginning is missed by `idle` hours. */
static uint32_t day_of_bulk(uint32_t idle, uint32_t *ret_most)
{
	uint32_t sum = 0;

	*ret_most = 0;
	for (uint32_t hour = 0; hour < 24; hour++) {
		const struct warmup_clock clock = {day, 1000 + hour, 24 - hour};
		struct warmup_caps caps;
		uint32_t sent;

		warmup_advance(&w, &plan, &clock);
		warmup_caps(&w, &plan, &clock, &caps);
		cr_expect_leq(caps.hour[TG_BULK], caps.hour[TG_ENGAGED]);
		cr_expect_leq(caps.hour[TG_ENGAGED], caps.hour[TG_TRANSACTIONAL]);
		cr_expect_leq(caps.day[TG_BULK], caps.day[TG_ENGAGED]);
		cr_expect_eq(caps.day[TG_TRANSACTIONAL], cap());
		sent = hour < idle ? 0 : caps.hour[TG_BULK];
		sent = sent < caps.day[TG_BULK] - sum ? sent : caps.day[TG_BULK] - sum;
		warmup_count(&w, sent, 0, 0);
		sum += sent;
		*ret_most = sent > *ret_most ? sent : *ret_most;
	}
	return sum;
}

Test(warmup, spreads_the_day_over_its_hours)
{
	uint32_t most;

	begin();
	full(5);
	cr_expect_geq(day_of_bulk(0, &most), 6400 * 98 / 100, "all of it goes");
	cr_expect_leq(most, 6400 / 12, "%u in an hour", most);
	pass(1);
	cr_expect_gt(cap(), 12000);
	cr_expect_geq(day_of_bulk(12, &most), cap() * 9 / 10);
	cr_expect_leq(most, cap() / 10, "nothing is made up for: %u", most);
	pass(1);
	cr_expect_leq(day_of_bulk(20, &most), cap() * 4 / 10);
}

Test(warmup, keeps_a_part_for_transactional_mail)
{
	const struct warmup_clock morning = {1, 1, 24}, night = {1, 24, 1};
	struct warmup_caps caps;

	begin();
	warmup_advance(&w, &plan, &morning);
	warmup_caps(&w, &plan, &morning, &caps);
	cr_expect_eq(caps.hour[TG_TRANSACTIONAL], 9);
	cr_expect_eq(caps.hour[TG_ENGAGED], 8);
	cr_expect_eq(caps.hour[TG_BULK], 7);
	cr_expect_eq(caps.day[TG_BULK], 170);
	warmup_count(&w, 150, 0, 0);
	warmup_advance(&w, &plan, &night);
	warmup_caps(&w, &plan, &night, &caps);
	cr_expect_eq(caps.hour[TG_TRANSACTIONAL], 20, "a tenth of the day");
	cr_expect_eq(caps.hour[TG_BULK], 17);
	cr_expect_geq(caps.day[TG_BULK], 198, "little is lost of the day");
}

Test(warmup, has_no_more_in_an_hour_than_the_schedule)
{
	static const struct schedule_step steps[] = {{480, 20}, {672, 28}};
	const struct warmup_plan hourly = {steps, 2, 672, 30};
	const struct warmup_clock evening = {1, 20, 4};
	struct warmup_caps caps;

	warmup_begin(&w, &hourly, 1);
	warmup_advance(&w, &hourly, &evening);
	warmup_caps(&w, &hourly, &evening, &caps);
	cr_expect_eq(caps.hour[TG_TRANSACTIONAL], 20);
}

Test(warmup, does_as_it_is_ordered)
{
	begin();
	full(2);
	cr_expect(!warmup_order(&w, &plan, WARMUP_START) &&
		  !warmup_order(&w, &plan, WARMUP_RESUME));
	cr_expect(warmup_order(&w, &plan, WARMUP_PAUSE));
	cr_expect(!warmup_order(&w, &plan, WARMUP_PAUSE) && !warmup_order(&w, &plan, WARMUP_SKIP));
	full(3);
	cr_expect_eq(cap(), 800, "a pause keeps its cap");
	cr_expect_eq(w.step, 2);
	cr_expect(warmup_order(&w, &plan, WARMUP_RESUME));
	cr_expect(warmup_order(&w, &plan, WARMUP_SKIP));
	cr_expect_eq(cap(), 1600);
	full(1);
	cr_expect_eq(cap(), 3200);
	cr_expect(warmup_order(&w, &plan, WARMUP_RESTART));
	cr_expect_eq(cap(), 200);
	full(1);
	cr_expect_eq(cap(), 400);
	w.phase = WARMUP_WARM;
	cr_expect(warmup_order(&w, &plan, WARMUP_START));
	cr_expect_eq(cap(), 200);
	cr_expect(!warmup_order(&w, &plan, WARMUP_ORDERS));
}

Test(warmup, tells_when_it_will_be_over_and_what_is_to_be_shown)
{
	uint32_t forecast;

	begin();
	cr_expect_eq(warmup_to_show(&w), 180);
	warmup_count(&w, 100, 5, 0);
	cr_expect_eq(warmup_to_show(&w), 80);
	begin();
	forecast = warmup_forecast(&w, &plan);
	while (w.phase == WARMUP_RUNNING) {
		cr_expect_eq(warmup_forecast(&w, &plan), forecast, "day %u: %u, not %u", day,
			     warmup_forecast(&w, &plan), forecast);
		full(1);
	}
	cr_expect_eq(day - 1, forecast, "it came true");
	/* Every second day. */
	begin();
	for (int i = 0; i < 6; i++) {
		warmup_count(&w, cap(), 0, 0);
		pass(2);
	}
	cr_expect_eq(warmup_forecast(&w, &plan), day + 2 * 4, "%u", warmup_forecast(&w, &plan));
	w.phase = WARMUP_PAUSED;
	cr_expect_eq(warmup_forecast(&w, &plan), 0);
}

Test(warmup, found_in_a_file_is_looked_at)
{
	begin();
	full(3);
	cr_expect(warmup_valid(&w));
	w.growth = 2.5f;
	cr_expect(!warmup_valid(&w));
	memset(&w, 0, sizeof(w));
	cr_expect(!warmup_valid(&w));
	memset(&w, 0xff, sizeof(w));
	cr_expect(!warmup_valid(&w));
}

/* ---- receivers ------------------------------------------------------------------------------- */

/* Takes so many times the most of the last seven days, and never less than base; punishes what is
 * attempted beyond `punish` times that: it takes up to there, and nothing on the day after. */
struct receiver {
	double factor, punish; /* punish 0: never */
	uint32_t base, history[400], count;
	bool blocked;
};

static double recent(const struct receiver *r)
{
	double most = r->base;

	for (uint32_t i = r->count > 7 ? r->count - 7 : 0; i < r->count; i++)
		most = r->history[i] > most ? r->history[i] : most;
	return most;
}

static uint32_t limit_of(const struct receiver *r)
{
	uint32_t best = 0;

	for (uint32_t i = r->count > 7 ? r->count - 7 : 0; i < r->count; i++)
		best = r->history[i] > best ? r->history[i] : best;
	return (uint32_t)(r->factor * best > r->base ? r->factor * best : r->base);
}

enum came { CAME_ALL, CAME_WALL, CAME_PUNISHED, CAME_BLOCKED };

static enum came take(struct receiver *r, uint32_t attempted, uint32_t *ret)
{
	uint32_t limit = limit_of(r);
	double bound = r->punish * recent(r);

	*ret = 0;
	if (r->blocked) {
		r->blocked = false;
		r->history[r->count++] = 0;
		return CAME_BLOCKED;
	}
	*ret = attempted < limit ? attempted : limit;
	if (r->punish > 0 && attempted > bound) {
		*ret = (uint32_t)bound < attempted ? (uint32_t)bound : attempted;
		r->blocked = true;
	}
	r->history[r->count++] = *ret;
	return r->blocked ? CAME_PUNISHED : attempted > limit ? CAME_WALL : CAME_ALL;
}

static bool has_mail(int demand, uint32_t on)
{
	return demand == 0 || on % 7 < 5;
}

static const struct schedule_step steep[] = {{200, 0},	 {500, 0},   {1000, 0},
					     {2000, 0},	 {5000, 0},  {10000, 0},
					     {20000, 0}, {40000, 0}, {60000, 0}};
static const struct warmup_plan to_60k = {steep, N(steep), 70000, 30};

/* Knows the receiver, and keeps to the schedule too. */
static int days_of_oracle(struct receiver r, int demand)
{
	uint32_t step = 0;

	for (uint32_t on = 0; on < 100; on++) {
		double limit = limit_of(&r), bound = r.punish * recent(&r);
		uint32_t got;

		if (r.punish > 0 && bound < limit)
			limit = bound;
		if (limit > steep[step].day)
			limit = steep[step].day;
		step += has_mail(demand, on) && step + 1 < N(steep);
		take(&r, has_mail(demand, on) ? (uint32_t)limit : 0, &got);
		if (got >= 50000)
			return (int)on + 1;
	}
	return 1000;
}

static int days_of_warmup(struct receiver r, int demand, int *ret_blocked)
{
	warmup_begin(&w, &to_60k, 1);
	*ret_blocked = 0;
	for (uint32_t on = 0; on < 100; on++) {
		const struct warmup_clock next = {on + 2, on + 2, 24};
		uint32_t wanted = has_mail(demand, on) ? warmup_today(&w)->cap : 0, got;
		enum came came = take(&r, wanted, &got);

		*ret_blocked += came == CAME_BLOCKED && wanted;
		warmup_count(&w, got, came == CAME_ALL ? 0 : 10, 0);
		for (uint64_t minute = 1; wanted && came != CAME_ALL && minute <= 40; minute += 10)
			warmup_refused(&w, came != CAME_WALL, minute * MINUTE);
		warmup_advance(&w, &to_60k, &next);
		if (got >= 50000)
			return (int)on + 1;
	}
	return 1000;
}

/* Knowing the receiver is worth no more than a fifth of the days. */
Test(warmup, gets_far_with_receivers_that_count_by_day)
{
	static const struct receiver rows[] = {
		{.factor = 2, .base = 200},
		{.factor = 1.5, .base = 200},
		{.factor = 3, .base = 2000},
		{.factor = 4, .punish = 2, .base = 200},
		{.factor = 4, .punish = 1.6, .base = 200},
		{.factor = 3, .punish = 2.2, .base = 200},
	};

	for (size_t i = 0; i < 2 * N(rows); i++) {
		const struct receiver *r = &rows[i / 2];
		int demand = i % 2, blocked;
		int oracle = days_of_oracle(*r, demand);
		int days = days_of_warmup(*r, demand, &blocked);

		cr_expect_leq(5 * days, 6 * oracle,
			      "factor %.1f, punished above %.1f, base %u, demand %d: the oracle %d "
			      "days, we %d",
			      r->factor, r->punish, r->base, demand, oracle, days);
		cr_expect_leq(blocked, 1);
	}
}
