/* SPDX-License-Identifier: MIT
 *
 * The scale of the processor's counter, as the sidecar measures it.
 */
#include <criterion/criterion.h>
#include <stdint.h>
#include <time.h>

#include "sidecar/heartbeat.h"
#include "tests/segment_fixture.h"

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Late enough for a frequency to be measured. */
static void beat_later(struct heartbeat *heartbeat, struct segment *segment)
{
	uint64_t until = clock_ns() + 20000000;

	while (clock_ns() < until)
		;
	heartbeat_beat(heartbeat, segment);
}

static bool near(uint64_t a, uint64_t b)
{
	return a > b - b / 50 && a < b + b / 50;
}

/* As after a pause of the machine: the counter has run on, the clock has not. */
Test(heartbeat, is_not_misled_by_a_machine_that_slept)
{
	struct heartbeat heartbeat;
	struct fixture f;
	uint64_t mult;

	fixture_open(&f);
	heartbeat_begin(&heartbeat, f.segment);
	mult = heartbeat.mult;
	if (mult == 0)
		cr_skip_test("the processor has no counter");
	heartbeat.base_counter /= 2;
	beat_later(&heartbeat, f.segment);
	cr_expect_eq(heartbeat.mult, mult, "one beat is not believed");
	beat_later(&heartbeat, f.segment);
	cr_expect(near(heartbeat.mult, mult), "measured anew");
	fixture_end(&f);
}

/* As after a move to another machine: the counter itself is another. */
Test(heartbeat, believes_the_second_beat_at_another_frequency)
{
	struct heartbeat heartbeat;
	struct fixture f;
	uint64_t mult;

	fixture_open(&f);
	heartbeat_begin(&heartbeat, f.segment);
	mult = heartbeat.mult;
	if (mult == 0)
		cr_skip_test("the processor has no counter");
	heartbeat.mult = mult / 2;
	beat_later(&heartbeat, f.segment);
	cr_expect_eq(heartbeat.mult, mult / 2);
	beat_later(&heartbeat, f.segment);
	cr_expect(near(heartbeat.mult, mult));
	fixture_end(&f);
}
