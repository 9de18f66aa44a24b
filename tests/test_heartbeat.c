/* SPDX-License-Identifier: MIT
 *
 * The scale of the processor's counter, as the sidecar measures it.
 */
#include <criterion/criterion.h>
#include <stdint.h>

#include "sidecar/segment/heartbeat.h"
#include "tests/segment_fixture.h"

#define LATER_NS UINT64_C(20000000)

/* As if the last beat were 20 ms ago, of a counter of that frequency: long enough for it to be
 * measured. */
static void beat_later(struct heartbeat *heartbeat, uint64_t mult, struct segment *segment)
{
	heartbeat->base_ns -= LATER_NS;
	heartbeat->base_counter -= (uint64_t)(((unsigned __int128)LATER_NS << 32) / mult);
	heartbeat_beat(heartbeat, segment);
}

static bool near(uint64_t a, uint64_t b)
{
	return a > b - b / 50 && a < b + b / 50;
}

/* The kernel's word is given here, so that the tests run whatever the machine keeps time by. */
static void clocksource_say(const char *path, const char *name)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	fputs(name, file);
	fclose(file);
	heartbeat_clocksource = path;
}

static void clocksource_counter(const struct fixture *f, char *path, size_t size)
{
	snprintf(path, size, "%s/clocksource", f->path);
#ifdef __aarch64__
	clocksource_say(path, "arch_sys_counter\n");
#else
	clocksource_say(path, "tsc\n");
#endif
}

/* One beat at another frequency is not believed, the second one is measured anew. In the first row
 * the counter has run on while the clock has not (a machine that slept), in the second the counter
 * itself is another (a machine that moved). */
Test(heartbeat, believes_the_second_beat_at_another_frequency)
{
	for (int moved = 0; moved < 2; moved++) {
		struct heartbeat heartbeat;
		struct fixture f;
		uint64_t mult, kept;
		char path[128];

		fixture_open(&f);
		clocksource_counter(&f, path, sizeof(path));
		heartbeat_begin(&heartbeat, f.segment);
		mult = kept = heartbeat.mult;
		if (mult == 0)
			cr_skip_test("the processor has no counter");
		if (moved)
			heartbeat.mult = kept = mult / 2;
		else
			heartbeat.base_counter /= 2;
		beat_later(&heartbeat, mult, f.segment);
		cr_expect_eq(heartbeat.mult, kept, "row %d", moved);
		beat_later(&heartbeat, mult, f.segment);
		cr_expect(near(heartbeat.mult, mult), "row %d", moved);
		unlink(path);
		fixture_end(&f);
	}
}

static uint64_t span(const struct segment *s)
{
	return atomic_load(&s->live->scale[atomic_load(&s->live->scale_index) & 1].span);
}

/* "Clocksource tsc is unstable": the kernel goes on by another clock, and workers must as well. */
Test(heartbeat, leaves_a_counter_that_the_kernel_gives_up)
{
	struct heartbeat heartbeat;
	struct fixture f;
	char path[128];

	fixture_open(&f);
	clocksource_counter(&f, path, sizeof(path));
	heartbeat_begin(&heartbeat, f.segment);
	if (heartbeat.mult == 0)
		cr_skip_test("the processor has no counter");
	cr_expect_neq(span(f.segment), 0);
	clocksource_say(path, "hpet\n");
	beat_later(&heartbeat, heartbeat.mult, f.segment);
	cr_expect_eq(span(f.segment), 0, "workers ask the vDSO");
	cr_expect(!heartbeat.counter);
	unlink(path);
	fixture_end(&f);
}
