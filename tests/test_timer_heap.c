/* SPDX-License-Identifier: MIT
 *
 * Which slot is due next, against a model that looks at all of them.
 */
#include <criterion/criterion.h>

#include "sidecar/base/alloc.h"
#include "sidecar/base/random.h"
#include "sidecar/base/timer_heap.h"

#define SLOTS 61

static uint64_t model_next(const uint64_t at[SLOTS])
{
	uint64_t next = UINT64_MAX;

	for (int i = 0; i < SLOTS; i++)
		next = at[i] < next ? at[i] : next;
	return next;
}

Test(timers, agrees_with_a_model_whatever_is_set_and_taken)
{
	uint64_t at[SLOTS], seed = 1;
	struct timer_heap *timers;

	cr_assert_eq(timer_heap_create(SLOTS, &timers), 0);
	for (int i = 0; i < SLOTS; i++)
		at[i] = UINT64_MAX;
	for (int step = 0; step < 200000; step++) {
		uint64_t now_ns = random_below(&seed, 1000);
		uint32_t slot = (uint32_t)random_below(&seed, SLOTS);
		uint32_t what = (uint32_t)random_below(&seed, 16);

		if (what < 12) {
			at[slot] = what == 0 ? UINT64_MAX : now_ns;
			cr_assert_eq(timer_heap_set(timers, slot, at[slot]), 0);
		} else if ((slot = timer_heap_take(timers, now_ns)) != UINT32_MAX) {
			cr_assert_eq(at[slot], model_next(at));
			at[slot] = UINT64_MAX;
		} else {
			cr_assert(model_next(at) > now_ns);
		}
		cr_assert_eq(timer_heap_next(timers), model_next(at), "step %d", step);
	}
	timer_heap_free(timers);
}

Test(timers, a_slot_that_is_put_off_for_ever_takes_no_memory)
{
	struct alloc_stats before, after;
	struct timer_heap *timers;

	cr_assert_eq(timer_heap_create(SLOTS, &timers), 0);
	timer_heap_set(timers, 1, 1);
	alloc_stats(&before);
	for (uint64_t at_ns = 2; at_ns < 1000000; at_ns++)
		timer_heap_set(timers, 1, at_ns);
	alloc_stats(&after);
	cr_expect_lt(after.allocated, before.allocated + 65536);
	cr_expect_eq(timer_heap_take(timers, 999998), UINT32_MAX);
	cr_expect_eq(timer_heap_take(timers, 999999), 1);
	cr_expect_eq(timer_heap_take(timers, UINT64_MAX - 1), UINT32_MAX);
	timer_heap_free(timers);
}

Test(timers, what_is_never_due_is_not_taken_at_the_end_of_time)
{
	struct timer_heap *timers;

	cr_assert_eq(timer_heap_create(SLOTS, &timers), 0);
	timer_heap_set(timers, 3, UINT64_MAX);
	cr_expect_eq(timer_heap_next(timers), UINT64_MAX);
	cr_expect_eq(timer_heap_take(timers, UINT64_MAX), UINT32_MAX);
	timer_heap_free(timers);
}
