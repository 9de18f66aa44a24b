/* SPDX-License-Identifier: MIT
 *
 * Every schedule of workers and a change of limits, over the code itself: decisions, publications
 * and repairs stop before each access to a word that they share (tests/explore.h), and the sidecar
 * may die before each word that it writes; another follows then.
 *
 * While the clock stands still exactly the burst passes, however they are interleaved: never more,
 * and never less where nothing is documented as forfeited. Where it moves, or slots are reserved
 * ahead, no window holds more than the burst and the fastest rate that was in force. With TG_SOAK
 * there are more workers, and each tries more often.
 */
#include <criterion/criterion.h>

#include <sys/syscall.h>
#include <unistd.h>

#include "tests/explore.h"
#pragma GCC diagnostic ignored "-Wshadow"

#define segment_step explore_change_step

#include "shm/decide.c"
#undef FIELD
#include "shm/admit.c"
/* Nobody sleeps: whom to wake stays out. */
#define syscall(...) ((void)0)
#include "sidecar/segment/publish.c"
#undef syscall
#include "sidecar/segment/repair.c"
#include "tests/segment_fixture.h"

void explore_change_step(void)
{
}

#define NOW   FIXTURE_NOW
#define SHORT (UINT64_C(1) << 30)
#define LONG  (SHORT << 3)
#define SLOTS 3

#define TIMES 24

/* Whether rate and hour are swapped at once (decide_fast.h). Else a charge of the rate is forfeited
 * where somebody else took the hour, or the rate, in between. */
#if defined(__x86_64__) && defined(__GCC_HAVE_SYNC_COMPARE_AND_SWAP_16) && \
	!defined(__SANITIZE_THREAD__)
#define ONE_SWAP 1
#else
#define ONE_SWAP 0
#endif

/* All that is written, by the code or by the test. */
static struct world {
	struct layout_limits limits[SLOTS];
	struct layout_counters counters[SLOTS];
	struct layout_limits_more more[SLOTS];
	struct layout_default_limits defaults[LAYOUT_DEFAULT_FIRST + 2];
	_Atomic uint64_t clock;
	/* Nobody looks at what another one writes here. */
	uint32_t index[SLOTS];
	struct segment_slot known[SLOTS + 1];
	uint64_t died;
	uint64_t count;
	uint64_t times[TIMES]; /* at which what was admitted leaves, in order */
} world __attribute__((aligned(64)));

_Static_assert(sizeof(world) <= EXPLORE_WORLD, "fits");

static struct segment segment;
static struct layout_live live;
static struct layout_worker shards;
static struct process_state process = {.worker = &shards};
static struct tg tg;
static struct tg_source source;
static struct tg_destination destination = {.slot = 2};
static const struct tg_flow flow = {0, 1, 2, LAYOUT_NONE};

/* ---- what workers do ------------------------------------------------------------------------- */

static void note(uint64_t at_ns, uint32_t n)
{
	if (explore.tracing)
		fprintf(stderr, "      %u admitted\n", n);
	for (; n > 0; n--) {
		uint64_t i = world.count++;

		must(i < TIMES);
		for (; i > 0 && world.times[i - 1] > at_ns; i--)
			world.times[i] = world.times[i - 1];
		world.times[i] = at_ns;
	}
}

static void forget(uint64_t at_ns, uint32_t n)
{
	for (; n > 0; n--) {
		uint64_t i = 0;

		while (world.times[i] != at_ns)
			must(++i < world.count);
		for (world.count--; i < world.count; i++)
			world.times[i] = world.times[i + 1];
		world.times[i] = 0;
	}
}

static uint64_t now(void)
{
	return atomic_load_explicit(&world.clock, memory_order_relaxed);
}

static void admit_class(enum tg_class traffic, uint32_t n)
{
	uint64_t now_ns = now();

	if (decide_admit(&segment.view, &flow, traffic, n, now_ns).reason == TG_ADMITTED)
		note(now_ns, n);
}

static void admit_bulk(uint32_t n)
{
	admit_class(TG_BULK, n);
}

static void admit_engaged(uint32_t n)
{
	admit_class(TG_ENGAGED, n);
}

static void admit_transactional(uint32_t n)
{
	admit_class(TG_TRANSACTIONAL, n);
}

/* The public calls, whose clock stands still. */
static void call_admit(uint32_t n)
{
	if (tg_admit(&tg, &flow, TG_BULK, n).reason == TG_ADMITTED)
		note(NOW, n);
}

static void call_pair(uint32_t n)
{
	if (tg_admit_pair(&tg, &source, &destination, TG_BULK, n).reason == TG_ADMITTED)
		note(NOW, n);
}

static void call_batch(uint32_t n)
{
	struct tg_request requests[2];
	struct tg_verdict verdicts[2];

	for (int i = 0; i < 2; i++)
		requests[i] = (struct tg_request){&source, &destination, TG_BULK, n};
	tg_admit_batch(&tg, requests, verdicts, 2);
	for (int i = 0; i < 2; i++)
		if (verdicts[i].reason == TG_ADMITTED)
			note(NOW, n);
}

static void connect_once(uint32_t n)
{
	if (decide_connect(&segment.view, &flow, TG_BULK, false, NOW).reason == TG_ADMITTED)
		note(NOW, 1);
}

static bool reserve_one(uint32_t n, struct decide_taken *ret_taken, uint64_t *ret_at_ns)
{
	uint64_t now_ns = now();
	struct tg_verdict verdict = decide_reserve(&segment.view, &flow, TG_BULK, n, now_ns,
						   now_ns + MINUTE, ret_taken);

	if (verdict.reason != TG_ADMITTED)
		return false;
	note(verdict.at_ns, n);
	*ret_at_ns = verdict.at_ns;
	return true;
}

static void reserve(uint32_t n)
{
	struct decide_taken taken = {.hour = DECIDE_NO_PERIOD, .day = DECIDE_NO_PERIOD};
	uint64_t at_ns;

	reserve_one(n, &taken, &at_ns);
}

static void reserve_and_cancel(uint32_t n)
{
	struct decide_taken taken = {.hour = DECIDE_NO_PERIOD, .day = DECIDE_NO_PERIOD};
	uint64_t at_ns;

	if (!reserve_one(n, &taken, &at_ns))
		return;
	/* It does not leave from here on. */
	forget(at_ns, n);
	decide_cancel(&segment.view, &flow, TG_BULK, n, at_ns, &taken);
}

typedef void act(uint32_t n);

/* ---- what is published ----------------------------------------------------------------------- */

struct terms {
	uint64_t interval_ns;
	uint32_t burst[TG_CLASSES];
	uint32_t flags;
	uint32_t cap; /* an hour, and a day; 0: none */
	enum { OF_SLOT, OF_GENERAL, OF_DESTINATION } of;
};

struct scenario {
	const char *name;
	struct terms before, after[3]; /* one after the other, where there are more */
	act *acts[3];		       /* of each worker */
	uint32_t tries, n;	       /* of each, and messages at once; 0: 1 */
	uint32_t taken;		       /* before all */
	bool unfilled;		       /* `before` are the defaults */
	uint64_t passes_ns;	       /* so much goes by at some moment */
	uint32_t forfeited;	       /* so many may be lost */
	uint32_t forfeited_by_death;   /* … if the sidecar dies */
};

static const struct scenario *scenario;

static struct publish_limits limits_of(const struct terms *terms)
{
	struct publish_limits limits =
		fixture_rate(terms->interval_ns, terms->burst[0], terms->burst[1], terms->burst[2]);

	limits.connection_interval_ns = terms->interval_ns;
	limits.connection_burst = terms->burst[0];
	limits.flags = terms->flags;
	for (int c = 0; c < TG_CLASSES && terms->cap; c++)
		limits.hour_cap[c] = limits.day_cap[c] = terms->cap;
	return limits;
}

static const struct terms *terms_last(void)
{
	int last = 2;

	while (scenario->after[last].burst[0] == 0)
		last--;
	return &scenario->after[last];
}

static void publish_terms(const struct terms *terms)
{
	struct publish_limits limits = limits_of(terms);
	uint32_t index = publish_default_index(&segment, flow.destination);

	if (terms->of == OF_SLOT)
		publish_slot(&segment, flow.slot, &limits, now());
	else if (terms->of == OF_GENERAL)
		publish_default(&segment, LAYOUT_DEFAULT_FLOW, &limits);
	else if (index == LAYOUT_DEFAULT_FLOW)
		publish_default_own(&segment, flow.destination, LAYOUT_DEFAULT_FIRST + 1, &limits);
	else
		publish_default(&segment, index, &limits);
}

/* ---- the routines ---------------------------------------------------------------------------- */

static void work(void *arg)
{
	act *const *what = arg;

	for (uint32_t i = 0; i < (scenario->tries ? scenario->tries : 1); i++)
		(*what)(scenario->n ? scenario->n : 1);
}

static void sidecar(void *arg)
{
	for (int i = 0; i < 3 && scenario->after[i].burst[0]; i++)
		publish_terms(&scenario->after[i]);
}

static void next_sidecar(void *arg)
{
	world.died |= arg != NULL;
	publish_terms(terms_last());
}

static void pass_time(void *arg)
{
	atomic_store_explicit(&world.clock, NOW + scenario->passes_ns, memory_order_relaxed);
}

/* ---- what must hold in the end --------------------------------------------------------------- */

static bool expect(bool holds, const char *what, uint64_t a, uint64_t b)
{
	if (!holds) {
		fprintf(stderr, "%s: %s (%lu, %lu); at", scenario->name, what, a, b);
		for (uint64_t i = 0; i < world.count; i++)
			fprintf(stderr, " %.3f", (double)(world.times[i] - NOW) / (double)SHORT);
		fprintf(stderr, " of the short interval:\n");
	}
	return holds;
}

static uint32_t burst_highest(void)
{
	uint32_t highest = scenario->before.burst[0];

	for (int i = 0; i < 3; i++)
		if (scenario->after[i].burst[0] > highest)
			highest = scenario->after[i].burst[0];
	return highest;
}

static uint64_t interval_least(void)
{
	uint64_t least = scenario->before.interval_ns;

	for (int i = 0; i < 3 && scenario->after[i].burst[0]; i++)
		if (scenario->after[i].interval_ns < least)
			least = scenario->after[i].interval_ns;
	return least;
}

/* Any window of w holds at most the burst and what the fastest interval allows in it. */
static bool windows_hold(void)
{
	uint64_t interval = interval_least();

	for (uint64_t i = 0; i < world.count; i++)
		for (uint64_t j = i; j < world.count; j++) {
			uint64_t window = world.times[j] - world.times[i] + 1;
			uint64_t most = burst_highest() + (window + interval - 1) / interval - 1;

			if (!expect(j - i + 1 <= most, "a window holds more", j - i + 1, most))
				return false;
		}
	return true;
}

/* Takes what there is to take, for so long as there is room to note it. */
static void drain(act *by, uint64_t until_ns)
{
	for (uint64_t before = UINT64_MAX; before != world.count && world.count + 2 < TIMES;) {
		before = world.count;
		by(1);
		while (before == world.count && now() < until_ns) {
			atomic_store(&world.clock, now() + SHORT / 4);
			by(1);
		}
	}
}

static bool end_standing(void)
{
	act *by = scenario->acts[0] == connect_once ? connect_once : admit_transactional;
	uint32_t last = terms_last()->burst[0];
	uint32_t forfeited = scenario->forfeited + (world.died ? scenario->forfeited_by_death : 0);

	drain(by, 0);
	if (!expect(world.count <= burst_highest(), "more than the burst passed", world.count,
		    burst_highest()) ||
	    !expect(world.count + forfeited >= last, "less than the burst passed", world.count,
		    last))
		return false;
	/* Nothing is stuck: after the longest debt all of it passes again. */
	world.count = 0;
	memset(world.times, 0, sizeof(world.times));
	atomic_store(&world.clock, NOW + 10 * HOUR);
	if (by == connect_once)
		return true;
	drain(by, 0);
	return expect(world.count == last, "afterwards", world.count, last);
}

static bool end_moving(void)
{
	drain(admit_bulk, NOW + 12 * LONG);
	return windows_hold();
}

static bool end(void)
{
	next_sidecar(NULL);
	segment_repair(&segment, 0, SLOTS, now());
	for (size_t i = 0; i < 3 && scenario->acts[i]; i++)
		if (scenario->acts[i] == reserve || scenario->acts[i] == reserve_and_cancel)
			return end_moving();
	return scenario->passes_ns ? end_moving() : end_standing();
}

/* ---- setting out ----------------------------------------------------------------------------- */

static uint64_t clock_read(void)
{
	return now();
}

/* Keys whose search begins, and ends, at slot 0. */
static void keys_set(void)
{
	struct hash_key key;

	do {
		source.key[0]++;
		key = hash_pair(source.key, destination.key);
	} while (hash_slot(&key, SLOTS) != 0);
	for (int half = 0; half < 2; half++) {
		world.known[1].key[half] = key.half[half];
		atomic_store(&world.counters[0].key[half], key.half[half]);
	}
}

static void world_set(void)
{
	struct publish_limits limits;

	memset((void *)&world, 0, sizeof(world));
	atomic_store(&world.clock, NOW);
	segment = (struct segment){.limits = world.limits,
				   .more = world.more,
				   .index = world.index,
				   .known = world.known,
				   .known_room = SLOTS + 1,
				   .defaults = world.defaults,
				   .calendar = fixture_shared(sizeof(struct layout_calendar)),
				   .clock = clock_read};
	segment.header.reserve_max_ns = MINUTE;
	segment.view = (struct view){.limits = world.limits,
				     .more = world.more,
				     .defaults = world.defaults,
				     .calendar = segment.calendar,
				     .counters = world.counters,
				     .slots = SLOTS,
				     .reserve_max_ns = MINUTE};
	segment.live = &live;
	atomic_store(&live.state, LAYOUT_LIVE);
	atomic_store(&live.scale[0].ns_base, NOW);
	atomic_store(&live.scale[0].span, UINT64_MAX);
	tg = (struct tg){.view = segment.view, .live = &live, .process = &process};
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		world.index[slot] = slot + 1;
		world.known[slot + 1].slot = slot;
		world.known[slot + 1].kind = SEGMENT_FLOW + slot;
	}
	world.known[flow.slot + 1].source = flow.source;
	world.known[flow.slot + 1].destination = flow.destination;
	keys_set();
	limits = fixture_rate(1024, 1000, 1000, 1000);
	publish_slot(&segment, 1, &limits, NOW);
	publish_slot(&segment, 2, &limits, NOW);
	limits = limits_of(&scenario->before);
	if (scenario->unfilled)
		publish_default(&segment, LAYOUT_DEFAULT_FLOW, &limits);
	else
		publish_slot(&segment, 0, &limits, NOW);
	for (uint32_t i = 0; i < scenario->taken; i++)
		(scenario->acts[0] == connect_once ? connect_once : admit_transactional)(1);
}

static void routines_set(void)
{
	explore.count = 0;
	for (size_t i = 0; i < 3 && scenario->acts[i]; i++) {
		size_t same = 0;

		/* Those that do the same are the same. */
		while (scenario->acts[same] != scenario->acts[i])
			same++;
		explore.routines[explore.count++] =
			(struct explore_routine){work, (void *)&scenario->acts[same], NULL};
	}
	if (scenario->passes_ns)
		explore.routines[explore.count++] = (struct explore_routine){pass_time, NULL, NULL};
	explore.routines[explore.count++] =
		(struct explore_routine){sidecar, (void *)scenario, next_sidecar};
}

/* With at most so many preemptions; negative: all schedules. */
static void scenario_run(const struct scenario *one, int preemptions)
{
	scenario = one;
	explore.world = (char *)&world;
	explore.bytes = sizeof(world);
	explore.plain = offsetof(struct world, index);
	explore.end = end;
	explore.preemptions = preemptions;
	world_set();
	routines_set();
	cr_expect(explore_all(), "%s", one->name);
	if (preemptions < 0)
		printf("  %-40s every schedule: ", one->name);
	else
		printf("  %-40s %d preemptions: ", one->name, preemptions);
	printf("%lu states, %lu steps\n", explore.states, explore.steps);
	fflush(stdout);
}

/* Where all schedules are too many, those with few preemptions. */
static void scenarios_run(const struct scenario *table, size_t count, int usual, int soak)
{
	for (size_t i = 0; i < count; i++)
		scenario_run(&table[i], getenv("TG_SOAK") ? soak : usual);
}

#define RUN(table, usual, soak) \
	scenarios_run((table), sizeof(table) / sizeof((table)[0]), (usual), (soak))
#define FAST(...)                                              \
	{                                                      \
		.interval_ns = SHORT, .burst = { __VA_ARGS__ } \
	}
#define SLOW(...)                                             \
	{                                                     \
		.interval_ns = LONG, .burst = { __VA_ARGS__ } \
	}
#define BULK_TWICE  .acts = {admit_bulk, admit_bulk}
#define BULK_THRICE .acts = {admit_bulk, admit_bulk, admit_bulk}
#define ALL	    -1

Test(explore, every_schedule_of_two_workers_and_a_change)
{
	static const struct scenario table[] = {
		{"cut", FAST(3, 3, 3), {SLOW(3, 3, 3)}, BULK_TWICE, .taken = 1},
		{"raise", SLOW(3, 3, 3), {FAST(3, 3, 3)}, BULK_TWICE, .taken = 1},
	};

	RUN(table, ALL, ALL);
}

Test(explore, prices_that_change)
{
	static const struct scenario table[] = {
		/* A state that was never charged has rules of its own. */
		{"cut, never charged", FAST(3, 3, 3), {SLOW(3, 3, 3)}, BULK_TWICE},
		{"raise, never charged", SLOW(3, 3, 3), {FAST(3, 3, 3)}, BULK_TWICE},
		{"cut and raise",
		 FAST(3, 3, 3),
		 {SLOW(3, 3, 3), FAST(3, 3, 3)},
		 BULK_TWICE,
		 .taken = 1},
		{"raise and cut",
		 SLOW(3, 3, 3),
		 {FAST(3, 3, 3), SLOW(3, 3, 3)},
		 BULK_TWICE,
		 .taken = 1},
		{"cut, twice each", FAST(3, 3, 3), {SLOW(3, 3, 3)}, BULK_TWICE, .tries = 2},
		{"raise, two at once", SLOW(4, 4, 4), {FAST(4, 4, 4)}, BULK_TWICE, .n = 2},
		{"cut, three workers", FAST(3, 3, 3), {SLOW(3, 3, 3)}, BULK_THRICE, .taken = 1},
		{"raise, three workers", SLOW(3, 3, 3), {FAST(3, 3, 3)}, BULK_THRICE, .taken = 1},
	};

	RUN(table, 2, 4);
}

Test(explore, bursts_that_change)
{
	static const struct scenario table[] = {
		{"a burst grows", FAST(2, 2, 2), {FAST(4, 4, 4)}, BULK_TWICE, .tries = 2},
		{"a burst shrinks", FAST(4, 4, 4), {FAST(2, 2, 2)}, BULK_TWICE, .taken = 1},
		{"cut, and a burst grows", FAST(2, 2, 2), {SLOW(4, 4, 4)}, BULK_TWICE, .taken = 1},
		{"raise, and a burst grows",
		 SLOW(2, 2, 2),
		 {FAST(4, 4, 4)},
		 BULK_TWICE,
		 .taken = 1},
		{"cut, and a burst shrinks",
		 FAST(4, 4, 4),
		 {SLOW(2, 2, 2)},
		 BULK_TWICE,
		 .taken = 1},
		{"raise, and a burst shrinks",
		 SLOW(4, 4, 4),
		 {FAST(2, 2, 2)},
		 BULK_TWICE,
		 .taken = 1},
		{"cut, with a reserve",
		 FAST(4, 3, 2),
		 {SLOW(4, 3, 2)},
		 .acts = {admit_transactional, admit_engaged, admit_bulk},
		 .taken = 1},
	};

	RUN(table, 2, 4);
}

Test(explore, every_way_in)
{
	static const struct scenario table[] = {
		{"tg_admit, cut",
		 FAST(3, 3, 3),
		 {SLOW(3, 3, 3)},
		 .acts = {call_admit, call_admit},
		 .taken = 1},
		{"tg_admit_pair, raise",
		 SLOW(3, 3, 3),
		 {FAST(3, 3, 3)},
		 .acts = {call_pair, call_admit},
		 .taken = 1},
		{"tg_admit_batch, cut",
		 FAST(4, 4, 4),
		 {SLOW(4, 4, 4)},
		 .acts = {call_batch, call_pair},
		 .taken = 1},
		{"hour and day, cut",
		 {.interval_ns = SHORT, .burst = {3, 3, 3}, .cap = 1000},
		 {{.interval_ns = LONG, .burst = {3, 3, 3}, .cap = 1000}},
		 .acts = {call_admit, admit_bulk},
		 .taken = 1,
		 .forfeited = ONE_SWAP ? 0 : 1},
		{"a source, cut",
		 {.interval_ns = SHORT, .burst = {3, 3, 3}, .flags = LAYOUT_SOURCE},
		 {{.interval_ns = LONG, .burst = {3, 3, 3}, .flags = LAYOUT_SOURCE}},
		 .acts = {call_admit, admit_bulk},
		 .taken = 1},
		{"connections, cut",
		 FAST(3, 3, 3),
		 {SLOW(3, 3, 3)},
		 .acts = {connect_once, connect_once},
		 .taken = 1},
		{"connections, raise",
		 SLOW(3, 3, 3),
		 {FAST(3, 3, 3)},
		 .acts = {connect_once, connect_once}},
	};

	RUN(table, 2, 4);
}

Test(explore, a_slot_that_is_filled)
{
	static const struct scenario table[] = {
		{"filled, slower",
		 FAST(3, 3, 3),
		 {SLOW(3, 3, 3)},
		 BULK_TWICE,
		 .taken = 1,
		 .unfilled = true},
		{"filled, faster",
		 SLOW(3, 3, 3),
		 {FAST(3, 3, 3)},
		 BULK_TWICE,
		 .taken = 1,
		 .unfilled = true},
		{"filled, never charged",
		 FAST(3, 3, 3),
		 {SLOW(3, 3, 3)},
		 BULK_TWICE,
		 .unfilled = true},
		{"filled and cut",
		 FAST(3, 3, 3),
		 {FAST(3, 3, 3), SLOW(3, 3, 3)},
		 BULK_TWICE,
		 .taken = 1,
		 .unfilled = true},
		{"filled with a larger burst",
		 FAST(2, 2, 2),
		 {FAST(4, 4, 4)},
		 BULK_TWICE,
		 .taken = 1,
		 .unfilled = true},
		{"filled, connections",
		 SLOW(3, 3, 3),
		 {FAST(3, 3, 3)},
		 .acts = {connect_once, connect_once},
		 .taken = 1,
		 .unfilled = true},
	};

	RUN(table, 2, 4);
}

#define GENERAL(interval, ...)                                                      \
	{                                                                           \
		.interval_ns = (interval), .burst = {__VA_ARGS__}, .of = OF_GENERAL \
	}
#define DESTINATION(interval, ...)                                                      \
	{                                                                               \
		.interval_ns = (interval), .burst = {__VA_ARGS__}, .of = OF_DESTINATION \
	}

/* States under defaults are not converted: they go on at the price before, and where that is not
 * known any more the flow starts with a full bucket. */
Test(explore, defaults_that_change)
{
	static const struct scenario table[] = {
		{"its destination's own, slower",
		 FAST(3, 3, 3),
		 {DESTINATION(LONG, 3, 3, 3), SLOW(3, 3, 3)},
		 BULK_TWICE,
		 .taken = 1,
		 .unfilled = true},
		{"its destination's own, faster",
		 SLOW(3, 3, 3),
		 {DESTINATION(SHORT, 3, 3, 3), FAST(3, 3, 3)},
		 BULK_TWICE,
		 .taken = 1,
		 .unfilled = true},
		{"connections of its destination's own",
		 FAST(3, 3, 3),
		 {DESTINATION(LONG, 3, 3, 3), SLOW(3, 3, 3)},
		 .acts = {connect_once, connect_once},
		 .taken = 1,
		 .unfilled = true},
	};

	RUN(table, 2, 4);
}

/* What takes more steps. */
Test(explore, general_defaults_and_defaults_that_change_twice)
{
	static const struct scenario table[] = {
		{"general, faster",
		 SLOW(3, 3, 3),
		 {GENERAL(SHORT, 3, 3, 3), FAST(3, 3, 3)},
		 BULK_TWICE,
		 .taken = 1,
		 .unfilled = true,
		 .forfeited_by_death = 3},
		{"general, slower",
		 FAST(3, 3, 3),
		 {GENERAL(LONG, 3, 3, 3), SLOW(3, 3, 3)},
		 BULK_TWICE,
		 .taken = 1,
		 .unfilled = true,
		 .forfeited_by_death = 3},
		{"general, twice",
		 FAST(3, 3, 3),
		 {GENERAL(LONG, 3, 3, 3), GENERAL(2 * LONG, 3, 3, 3), SLOW(3, 3, 3)},
		 BULK_TWICE,
		 .taken = 1,
		 .unfilled = true,
		 .forfeited = 3},
		{"its destination's own, twice",
		 FAST(3, 3, 3),
		 {DESTINATION(LONG, 3, 3, 3), DESTINATION(SHORT, 3, 3, 3), FAST(3, 3, 3)},
		 BULK_TWICE,
		 .taken = 1,
		 .unfilled = true,
		 .forfeited = 3},
	};

	RUN(table, 1, 3);
}

Test(explore, slots_that_are_reserved)
{
	static const struct scenario table[] = {
		{"reserved, raise",
		 SLOW(1, 1, 1),
		 {FAST(1, 1, 1)},
		 .acts = {reserve, admit_bulk},
		 .taken = 1},
		{"reserved, raise, a burst of two",
		 SLOW(2, 2, 2),
		 {FAST(2, 2, 2)},
		 .acts = {reserve, reserve},
		 .taken = 2},
		{"reserved two at once, raise",
		 SLOW(3, 3, 3),
		 {FAST(3, 3, 3)},
		 .acts = {reserve, admit_bulk},
		 .taken = 3,
		 .n = 2},
		{"reserved, cut",
		 FAST(2, 2, 2),
		 {SLOW(2, 2, 2)},
		 .acts = {reserve, reserve},
		 .taken = 2},
		{"cancelled, raise",
		 SLOW(1, 1, 1),
		 {FAST(1, 1, 1)},
		 .acts = {reserve_and_cancel, reserve},
		 .taken = 1},
		{"cancelled, cut",
		 FAST(2, 2, 2),
		 {SLOW(2, 2, 2)},
		 .acts = {reserve_and_cancel, admit_bulk},
		 .taken = 1},
	};

	RUN(table, 2, 4);
}

Test(explore, time_that_passes_over_two_changes)
{
	static const struct scenario table[] = {
		{"cut and raise, later",
		 FAST(2, 2, 2),
		 {SLOW(2, 2, 2), FAST(2, 2, 2)},
		 BULK_TWICE,
		 .taken = 2,
		 .passes_ns = SHORT},
	};

	RUN(table, 1, 3);
}

Test(explore, time_that_passes)
{
	static const struct scenario table[] = {
		{"cut, later",
		 FAST(2, 2, 2),
		 {SLOW(2, 2, 2)},
		 BULK_TWICE,
		 .taken = 2,
		 .passes_ns = SHORT},
		{"raise, later",
		 SLOW(2, 2, 2),
		 {FAST(2, 2, 2)},
		 BULK_TWICE,
		 .taken = 2,
		 .passes_ns = LONG},
	};

	RUN(table, 2, 4);
}
