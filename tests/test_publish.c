/* SPDX-License-Identifier: MIT
 *
 * Publishing: what was used stays used when limits change, and at no step is more allowed than the
 * old or the new ones allow, though the sidecar dies there.
 */
#include <criterion/criterion.h>
#include <signal.h>

#include "tests/segment_fixture.h"

#define NOW   FIXTURE_NOW
#define SHORT (UINT64_C(1) << 32) /* an interval that needs no rounding, about 4 s */

static struct tg_flow plain = {0, 1, 2, LAYOUT_NONE};

static uint32_t admitted(const struct segment *s, enum tg_class traffic, uint64_t now_ns,
			 int attempts)
{
	uint32_t count = 0;

	for (int i = 0; i < attempts; i++)
		count += decide_admit(&s->view, &plain, traffic, 1, now_ns).reason == TG_ADMITTED;
	return count;
}

Test(publish, a_cut_grants_no_fresh_burst)
{
	struct segment *s = fixture_memory(4);
	struct publish_limits fast = fixture_rate(SHORT, 10, 10, 10),
			      slow = fixture_rate(8 * SHORT, 10, 10, 10);

	publish_slot(s, 0, &fast, NOW);
	cr_expect_eq(admitted(s, TG_BULK, NOW, 100), 10);
	cr_expect(publish_slot(s, 0, &slow, NOW));
	cr_expect_eq(admitted(s, TG_BULK, NOW + SHORT, 100), 0);
	cr_expect_eq(admitted(s, TG_BULK, NOW + 8 * SHORT - 1, 100), 0);
	cr_expect_eq(admitted(s, TG_BULK, NOW + 8 * SHORT, 100), 1);
	cr_expect_not(publish_slot(s, 0, &slow, NOW), "nothing changed");
}

Test(publish, a_raise_does_not_leave_the_flow_blocked)
{
	struct segment *s = fixture_memory(4);
	struct publish_limits fast = fixture_rate(SHORT, 10, 10, 10),
			      slow = fixture_rate(1000 * SHORT, 10, 10, 10);

	publish_slot(s, 0, &slow, NOW);
	cr_expect_eq(admitted(s, TG_BULK, NOW, 100), 10);
	publish_slot(s, 0, &fast, NOW);
	cr_expect_eq(admitted(s, TG_BULK, NOW, 100), 0, "ten were used, and are");
	cr_expect_eq(admitted(s, TG_BULK, NOW + 3 * SHORT, 100), 3);
}

Test(publish, changes_there_and_back_give_nothing_away)
{
	struct segment *s = fixture_memory(4);
	struct publish_limits limits[2] = {fixture_rate(SHORT, 10, 10, 10),
					   fixture_rate(7 * SHORT, 10, 10, 10)};
	uint32_t sum = 0;

	publish_slot(s, 0, &limits[0], NOW);
	for (int i = 0; i < 1000; i++) {
		sum += admitted(s, TG_BULK, NOW, 3);
		publish_slot(s, 0, &limits[i % 2], NOW);
	}
	cr_expect_eq(sum, 10);
}

Test(publish, unlimited_is_no_way_round)
{
	struct segment *s = fixture_memory(4);
	struct publish_limits limits = fixture_rate(SHORT, 10, 10, 10), open;

	publish_unlimited(&open);
	publish_slot(s, 0, &limits, NOW);
	admitted(s, TG_BULK, NOW, 10);
	publish_slot(s, 0, &open, NOW);
	cr_expect_eq(admitted(s, TG_BULK, NOW, 100), 100);
	publish_slot(s, 0, &limits, NOW);
	cr_expect_leq(admitted(s, TG_BULK, NOW, 100), 10);
}

Test(publish, a_hold_lets_one_probe_go_and_grants_no_burst)
{
	struct segment *s = fixture_memory(4);
	struct publish_limits limits = fixture_rate(SHORT, 10, 10, 10),
			      probing = fixture_rate(1000 * SHORT, 10, 10, 10);

	publish_slot(s, 0, &limits, NOW);
	admitted(s, TG_BULK, NOW, 10);
	probing.hold_until_ns = NOW + SHORT;
	publish_slot(s, 0, &probing, NOW);
	cr_expect_eq(admitted(s, TG_BULK, NOW + SHORT - 1, 100), 0);
	cr_expect_eq(admitted(s, TG_BULK, NOW + SHORT, 100), 1);
	cr_expect_eq(admitted(s, TG_BULK, NOW + 1000 * SHORT, 100), 0);
	cr_expect_eq(admitted(s, TG_BULK, NOW + 1001 * SHORT, 100), 1);
}

Test(publish, a_phase_that_moves_grants_no_window_anew)
{
	for (uint32_t from = 0; from < 3600; from += 600)
		for (uint32_t to = 0; to < 3600; to += 600) {
			struct segment *s = fixture_memory(4);
			struct publish_limits limits;
			uint32_t sum = 0;

			publish_unlimited(&limits);
			limits.hour_cap[0] = limits.hour_cap[1] = limits.hour_cap[2] = 10;
			limits.hour_phase_s = from;
			publish_slot(s, 0, &limits, NOW);
			sum += admitted(s, TG_BULK, NOW, 100);
			limits.hour_phase_s = to;
			publish_slot(s, 0, &limits, NOW);
			sum += admitted(s, TG_BULK, NOW, 100);
			cr_expect_eq(sum, 10, "from %u to %u: %u", from, to, sum);
			cr_expect_eq(admitted(s, TG_BULK, NOW + 2 * HOUR, 100), 10);
		}
}

Test(publish, what_defaults_allowed_counts_when_the_flow_gets_its_own)
{
	struct segment *s = fixture_memory(4);
	struct publish_limits general = fixture_rate(10 * SHORT, 10, 10, 10),
			      own = fixture_rate(SHORT, 10, 10, 10);

	general.connection_interval_ns = 10 * SHORT;
	general.connection_burst = own.connection_burst = 5;
	own.connection_interval_ns = SHORT;
	publish_default(s, LAYOUT_DEFAULT_FLOW, &general);
	cr_expect_eq(admitted(s, TG_BULK, NOW, 100), 10);
	for (int i = 0; i < 5; i++)
		cr_expect_eq(decide_connect(&s->view, &plain, TG_BULK, false, NOW).reason,
			     TG_ADMITTED);
	publish_slot(s, 0, &own, NOW);
	cr_expect_eq(admitted(s, TG_BULK, NOW, 100), 0);
	cr_expect_eq(admitted(s, TG_BULK, NOW + SHORT, 100), 1, "its debt is in messages");
	cr_expect_eq(decide_connect(&s->view, &plain, TG_BULK, false, NOW).reason,
		     TG_REFUSED_CONNECTIONS);
	cr_expect_eq(decide_connect(&s->view, &plain, TG_BULK, false, NOW + SHORT).reason,
		     TG_ADMITTED);
}

Test(publish, caps_of_connections_pack_and_unpack)
{
	static const struct {
		uint32_t given, packed;
	} rows[] = {{0, 0xffff}, {1, 1}, {65534, 65534}, {65535, 0xffff}, {1000000, 0xffff}};
	struct segment *s = fixture_memory(4);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct publish_limits limits = fixture_rate(0, 1, 1, 1);
		uint64_t word;

		limits.connections[TG_ENGAGED] = rows[i].given;
		limits.per_connection = 70000;
		publish_slot(s, 0, &limits, NOW);
		word = atomic_load(&s->more[0].connections);
		cr_expect_eq(word >> 16 & 0xffff, rows[i].packed);
		cr_expect_eq(word & 0xffff, 0xffff);
		cr_expect_eq(word >> 48, 0xffff);
	}
}

/* ---- property: limits that change while mail goes -------------------------------------------- */

#define TIMES 60000

static uint64_t times[TIMES];

/* Under any sequence of intervals no window holds more than the burst and what the fastest rate
 * that was in force in it allows. */
Test(publish, no_window_holds_more_than_the_rates_in_force_allow)
{
	uint64_t seed = 17;

	for (int run = 0; run < 60; run++) {
		struct segment *s = fixture_memory(4);
		uint32_t burst = (uint32_t)(random_next(&seed) % 20 + 1), count = 0;
		uint64_t now = NOW, fastest = UINT64_MAX;

		for (int change = 0; change < 60; change++) {
			uint64_t interval =
				gcra_interval(gcra_rate((random_next(&seed) % 30 + 1) * SECOND, 1));
			struct publish_limits limits = fixture_rate(interval, burst, burst, burst);

			fastest = interval < fastest ? interval : fastest;
			publish_slot(s, 0, &limits, now);
			for (int i = 0; i < 40; i++) {
				while (count < TIMES &&
				       decide_admit(&s->view, &plain, TG_BULK, 1, now).reason ==
					       TG_ADMITTED)
					times[count++] = now;
				now += random_next(&seed) % (3 * interval);
			}
		}
		for (uint32_t from = 0; from < count; from++)
			for (uint32_t to = from; to < count && to < from + 100; to++) {
				uint64_t window = times[to] - times[from] + 1;

				cr_assert(to - from + 1 <=
					  burst + (window + fastest - 1) / fastest - 1);
			}
		cr_assert(count > burst);
	}
}

/* The same for the whole: the sum of what every stretch allowed, and one burst. */
Test(publish, the_whole_run_holds_no_more_than_one_burst_and_each_stretch_s_rate)
{
	uint64_t seed = 29;

	for (int run = 0; run < 200; run++) {
		struct segment *s = fixture_memory(4);
		uint32_t burst = (uint32_t)(random_next(&seed) % 20 + 1), count = 0, changes = 40;
		uint64_t now = NOW;
		long double allowed = burst;

		for (uint32_t change = 0; change < changes; change++) {
			uint64_t interval =
				gcra_interval(gcra_rate((random_next(&seed) % 30 + 1) * SECOND, 1));
			struct publish_limits limits = fixture_rate(interval, burst, burst, burst);
			uint64_t end = now + random_next(&seed) % (20 * interval);

			publish_slot(s, 0, &limits, now);
			allowed += (long double)(end - now) / (long double)interval;
			for (; now < end; now += interval / 3)
				count += admitted(s, TG_BULK, now, 30);
			now = end;
		}
		cr_assert((long double)count <= allowed, "%u of %Lf", count, allowed);
		cr_assert((long double)count >= (allowed - burst) * 0.6L - changes,
			  "%u of %Lf: much was lost", count, allowed);
	}
}

/* ---- a sidecar that dies before each store --------------------------------------------------- */

/* Runs publish_slot in a child that is killed before its step-th store. False: it ended before. */
static bool crash_at(struct segment *s, const struct publish_limits *limits, long step)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		segment_crash_after = step;
		publish_slot(s, 0, limits, NOW);
		_exit(0);
	}
	waitpid(child, &status, 0);
	cr_assert(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

Test(publish, a_first_publication_that_stops_anywhere_lets_nothing_pass_unlimited)
{
	for (long step = 0;; step++) {
		struct segment *s = fixture_memory(4);
		struct publish_limits general = fixture_rate(HOUR, 3, 3, 3),
				      own = fixture_rate(HOUR, 5, 4, 2);
		bool stopped;

		own.hour_cap[0] = own.hour_cap[1] = own.hour_cap[2] = 4;
		own.connections[0] = 7;
		publish_default(s, LAYOUT_DEFAULT_FLOW, &general);
		stopped = crash_at(s, &own, step);
		uint32_t bulk = admitted(s, TG_BULK, NOW, 100),
			 all = bulk + admitted(s, TG_TRANSACTIONAL, NOW, 100);

		cr_expect_leq(bulk, 3, "step %ld: %u", step, bulk);
		cr_expect_leq(all, 5, "step %ld: %u", step, all);
		/* The next sidecar publishes again, and what was used is still used. */
		publish_slot(s, 0, &own, NOW);
		all += admitted(s, TG_BULK, NOW, 100) + admitted(s, TG_TRANSACTIONAL, NOW, 100);
		cr_expect_leq(all, 5, "step %ld: %u", step, all);
		cr_expect_eq(atomic_load(&s->more[0].changes), 1);
		if (!stopped) {
			cr_expect_gt(step, 6);
			break;
		}
	}
}

Test(publish, a_change_that_stops_anywhere_allows_no_more_than_the_old_or_the_new)
{
	static const struct {
		uint64_t interval;
		uint32_t burst, cap;
	} rows[][2] = {
		{{SHORT, 10, 100}, {8 * SHORT, 5, 50}},
		{{8 * SHORT, 5, 50}, {SHORT, 10, 100}},
		{{SHORT, 10, 20}, {SHORT, 3, 10}},
		{{8 * SHORT, 3, 10}, {3 * SHORT, 12, 20}},
	};

	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++)
		for (long step = 0;; step++) {
			struct segment *s = fixture_memory(4);
			uint32_t burst = rows[row][0].burst > rows[row][1].burst
						 ? rows[row][0].burst
						 : rows[row][1].burst;
			struct publish_limits limits[2];
			uint32_t used, after;
			bool stopped;

			for (int i = 0; i < 2; i++) {
				uint32_t b = rows[row][i].burst;

				limits[i] = fixture_rate(rows[row][i].interval, b, b, b);
				limits[i].hour_cap[0] = limits[i].hour_cap[1] =
					limits[i].hour_cap[2] = rows[row][i].cap;
				limits[i].per_connection = (uint32_t)i + 5;
			}
			publish_slot(s, 0, &limits[0], NOW);
			used = admitted(s, TG_TRANSACTIONAL, NOW, 100);
			stopped = crash_at(s, &limits[1], step);
			after = admitted(s, TG_TRANSACTIONAL, NOW, 100);
			cr_expect_leq(used + after, burst, "row %zu, step %ld: %u + %u", row, step,
				      used, after);
			publish_slot(s, 0, &limits[1], NOW);
			after += admitted(s, TG_TRANSACTIONAL, NOW, 100);
			cr_expect_leq(used + after, burst, "row %zu, step %ld: %u + %u", row, step,
				      used, after);
			/* And it is not stuck: within the longest debt everything passes again. */
			after = admitted(s, TG_TRANSACTIONAL, NOW + HOUR, 100);
			cr_expect_eq(after, rows[row][1].burst, "row %zu, step %ld: %u", row, step,
				     after);
			if (!stopped)
				break;
		}
}

/* ---- the sweep ------------------------------------------------------------------------------- */

Test(sweep, leaves_what_is_sound_alone)
{
	uint64_t seed = 31;

	for (int run = 0; run < 200; run++) {
		struct segment *s = fixture_memory(4);
		struct publish_limits limits = fixture_rate(random_next(&seed) % HOUR, 30, 20, 10);
		uint64_t now = NOW;
		struct decide_taken left;

		segment_slot(s, 0)->kind = SEGMENT_FLOW;
		memcpy(segment_slot(s, 0)->key, (uint64_t[2]){7, 7}, 16);
		atomic_store(&s->view.counters[0].key[0], 7);
		atomic_store(&s->view.counters[0].key[1], 7);
		limits.hour_cap[0] = limits.hour_cap[1] = limits.hour_cap[2] = 100;
		limits.connection_interval_ns = HOUR;
		limits.connection_burst = 5;
		/* Half of them under defaults: the slot was never filled. */
		if (run % 2)
			publish_slot(s, 0, &limits, now);
		else
			publish_default(s, LAYOUT_DEFAULT_FLOW, &limits);
		for (int i = 0; i < 50; i++) {
			enum tg_class traffic = (enum tg_class)(random_next(&seed) % 3);

			decide_admit(&s->view, &plain, traffic, 1, now);
			decide_reserve(&s->view, &plain, traffic, 1, now, now + MINUTE, &left);
			decide_connect(&s->view, &plain, traffic, false, now);
			cr_assert_eq(segment_repair(s, 0, 4, now), 0, "run %d", run);
			now += random_next(&seed) % MINUTE;
		}
	}
}

Test(sweep, repairs_whatever_is_scribbled_on_a_known_slot)
{
	uint64_t seed = 37;

	for (int run = 0; run < 2000; run++) {
		struct segment *s = fixture_memory(4);
		struct publish_limits limits = fixture_rate(SECOND, 30, 20, 10);
		uint64_t words[8];

		segment_slot(s, 0)->kind = SEGMENT_FLOW;
		memcpy(segment_slot(s, 0)->key, (uint64_t[2]){7, 7}, 16);
		limits.hour_cap[0] = limits.hour_cap[1] = limits.hour_cap[2] = 100;
		limits.day_cap[0] = limits.day_cap[1] = limits.day_cap[2] = 1000;
		publish_slot(s, 0, &limits, NOW);
		for (int i = 0; i < 8; i++)
			words[i] = random_next(&seed) % 8
					   ? random_next(&seed) >> (random_next(&seed) % 64)
					   : UINT64_MAX;
		memcpy((void *)&s->view.counters[0], words, sizeof(words));
		segment_repair(s, 0, 4, NOW);
		cr_assert_eq(segment_repair(s, 0, 4, NOW), 0, "once is enough");
		cr_assert(atomic_load(&s->view.counters[0].key[0]) == 7 &&
			  atomic_load(&s->view.counters[0].key[1]) == 7);
		/* Never wider open than its burst; and open again within the longest debt. */
		cr_assert(admitted(s, TG_TRANSACTIONAL, NOW, 100) <= 30);
		segment_repair(s, 0, 4, NOW + 2 * HOUR);
		cr_assert_eq(admitted(s, TG_TRANSACTIONAL, NOW + 50 * HOUR, 100), 30, "run %d",
			     run);
		munmap((void *)s->view.counters, 4 * sizeof(*s->view.counters));
		munmap((void *)s->defaults, LAYOUT_DEFAULTS * sizeof(*s->defaults));
	}
}

/* Under defaults a state goes on at the price at which it was charged, until its slot is filled. */
Test(publish, a_default_that_changes_grants_no_fresh_burst)
{
	static const uint64_t pairs[][2] = {{SECOND, 8 * SECOND}, {8 * SECOND, SECOND}};

	for (int i = 0; i < 2; i++) {
		struct segment *s = fixture_memory(8);
		struct publish_limits first = fixture_rate(pairs[i][0], 6, 6, 6),
				      second = fixture_rate(pairs[i][1], 6, 6, 6);

		publish_default(s, LAYOUT_DEFAULT_FLOW, &first);
		cr_assert_eq(admitted(s, TG_BULK, NOW, 100), 6);
		publish_default(s, LAYOUT_DEFAULT_FLOW, &second);
		cr_expect_eq(admitted(s, TG_BULK, NOW, 100), 0, "changed");
		publish_slot(s, 0, &second, NOW);
		cr_expect_eq(admitted(s, TG_BULK, NOW, 100), 0, "filled");
		cr_expect_eq(admitted(s, TG_BULK, NOW + 6 * pairs[i][1], 100), 6,
			     "and all is there again");
	}
}

/* A destination that is configured while its flows are not known gives them another price. */
Test(publish, defaults_of_a_destination_s_own_grant_no_fresh_burst)
{
	static const uint64_t pairs[][2] = {{SECOND, 8 * SECOND}, {8 * SECOND, SECOND}};

	for (int i = 0; i < 2; i++) {
		struct segment *s = fixture_memory(8);
		struct publish_limits general = fixture_rate(pairs[i][0], 6, 6, 6),
				      own = fixture_rate(pairs[i][1], 6, 6, 6);

		s->known[s->index[0]].kind = SEGMENT_FLOW;
		s->known[s->index[0]].destination = plain.destination;
		publish_default(s, LAYOUT_DEFAULT_FLOW, &general);
		cr_assert_eq(admitted(s, TG_BULK, NOW, 100), 6);
		publish_default_own(s, plain.destination, LAYOUT_DEFAULT_FIRST, &own);
		cr_expect_eq(admitted(s, TG_BULK, NOW, 100), 0, "row %d: its own", i);
		cr_expect_eq(admitted(s, TG_BULK, NOW + pairs[i][0], 100), 1,
			     "row %d: at the price at which it was charged", i);
		publish_slot(s, 0, &own, NOW + pairs[i][0]);
		cr_expect_eq(admitted(s, TG_BULK, NOW + pairs[i][0], 100), 0, "row %d: filled", i);
	}
}

/* Twice changed, the price of the first is known no more: nobody charges at a guess. */
Test(publish, a_default_that_changes_twice_refuses_until_the_slot_is_filled)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(8 * SECOND, 6, 6, 6);

	publish_default(s, LAYOUT_DEFAULT_FLOW, &limits);
	cr_assert_eq(admitted(s, TG_BULK, NOW, 3), 3);
	for (int i = 1; i <= 2; i++) {
		limits = fixture_rate((8 >> i) * SECOND, 6, 6, 6);
		publish_default(s, LAYOUT_DEFAULT_FLOW, &limits);
	}
	cr_expect_eq(admitted(s, TG_BULK, NOW, 100), 0);
	publish_slot(s, 0, &limits, NOW);
	cr_expect_eq(admitted(s, TG_BULK, NOW, 100), 0, "a full bucket");
	cr_expect_eq(admitted(s, TG_BULK, NOW + 12 * SECOND, 100), 6);
}

/* Waiters sleep on the count: it moves with each change, with nothing else, and never back to 0. */
Test(publish, counts_each_change_for_who_sleeps)
{
	struct segment *s = fixture_memory(8);
	struct publish_limits limits = fixture_rate(SECOND, 2, 2, 2);
	_Atomic uint32_t *changes = &s->more[0].changes;

	publish_slot(s, 0, &limits, FIXTURE_NOW);
	cr_expect_eq(atomic_load(changes), 1);
	publish_slot(s, 0, &limits, FIXTURE_NOW);
	cr_expect_eq(atomic_load(changes), 1);
	limits.flags |= LAYOUT_PROBING;
	publish_slot(s, 0, &limits, FIXTURE_NOW);
	cr_expect_eq(atomic_load(changes), 2);
	cr_expect(atomic_load(&s->limits[0].flags) & LAYOUT_PROBING);
	atomic_store(changes, UINT32_MAX);
	limits.hold_until_ns = FIXTURE_NOW + SECOND;
	publish_slot(s, 0, &limits, FIXTURE_NOW);
	cr_expect_eq(atomic_load(changes), 1);
}
