/* SPDX-License-Identifier: MIT
 *
 * A flow's life and effects as bytes: by another clock, of another version, damaged.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/engine/saved.h"
#include "tests/guard.h"

#define SECOND	   UINT64_C(1000000000)
#define OFFSET	   ((int64_t)(1700000000 * SECOND))
#define NOW	   (500000 * SECOND)
#define BOOT_LATER ((int64_t)(600000 * SECOND)) /* by which the second boot is later */

static struct control_bounds bounds = {
	.rate_max = 10, .rate_min = 0.01, .rate_start = 1, .burst = {10, 8, 7}};

/* In trouble for ten minutes. */
static struct engine_life life_of(uint64_t now_ns)
{
	struct engine_life life = {.trouble_ns = now_ns - 600 * SECOND,
				   .pace = {now_ns - 20 * SECOND, 7, 90},
				   .baseline = {.count = {1, 20, 300},
						.peak = {1000, 2000, 3000},
						.best = {400, 500},
						.minute = 60000,
						.hour = 200,
						.day = 40000,
						.paced = 3,
						.minute_before = 150,
						.hour_before = 160,
						.day_before = 170,
						.ahead = -100}};

	control_init(&life.control, &bounds, now_ns - 700 * SECOND);
	for (int i = 0; i < 20; i++) {
		struct control_observation seen = {
			.class = i % 4 ? REPLY_DELIVERED : REPLY_RATE,
			.limit = i % 4 ? REPLY_LIMIT_NONE : REPLY_LIMIT_HOUR,
			.stage = TG_STAGE_MESSAGE,
			.admitted_ns = now_ns - (uint64_t)(620 - i) * SECOND};
		struct control_change change;

		control_observe(&life.control, &bounds, &seen, seen.admitted_ns + SECOND, &change);
	}
	return life;
}

static struct engine_life fresh_of(uint64_t now_ns)
{
	struct engine_life life = {.trouble_ns = 0};

	control_init(&life.control, &bounds, now_ns);
	return life;
}

static struct saved_map map_of(const char *names)
{
	struct saved_map map;

	cr_assert_eq(saved_map_read(names, &map), 0);
	return map;
}

Test(saved, a_life_is_the_same_by_the_same_clock)
{
	char names[SAVED_NAMES_BYTES];
	struct saved_map map = map_of(saved_names(names));
	struct engine_life life = life_of(NOW), again = fresh_of(NOW);
	uint8_t bytes[SAVED_LIFE_BYTES];
	size_t length = saved_life_write(&life, OFFSET, bytes);

	cr_expect(saved_life_read(bytes, length, &map, OFFSET, &again));
	cr_expect_eq(memcmp(&life, &again, sizeof(life)), 0);
}

/* All that a caller can see of a flow is as much later as the clock is. */
Test(saved, a_life_goes_on_by_the_clock_of_another_boot)
{
	char names[SAVED_NAMES_BYTES];
	struct saved_map map = map_of(saved_names(names));
	int64_t offset = OFFSET + BOOT_LATER - (int64_t)(7 * SECOND);
	struct engine_life life = life_of(NOW + BOOT_LATER), again = fresh_of(NOW);
	uint8_t bytes[SAVED_LIFE_BYTES];
	size_t length = saved_life_write(&life, OFFSET, bytes);
	struct control_limits before, after;
	struct control_bounds other = bounds;
	uint64_t moved = (uint64_t)(offset - OFFSET), wake_before, wake_after;

	other.wall_offset_ns = offset;
	bounds.wall_offset_ns = OFFSET;
	cr_expect(saved_life_read(bytes, length, &map, offset, &again));
	cr_expect_eq(again.trouble_ns, life.trouble_ns - moved);
	cr_expect_eq(again.pace.minute_ns, life.pace.minute_ns - moved);
	wake_before = control_limits(&life.control, &bounds, NOW + BOOT_LATER, &before);
	wake_after = control_limits(&again.control, &other, NOW + BOOT_LATER - moved, &after);
	cr_expect_eq(before.phase, after.phase);
	cr_expect_eq(before.hour_cap, after.hour_cap);
	cr_expect_float_eq((double)before.interval_ns, (double)after.interval_ns,
			   1e-3 * (double)before.interval_ns);
	if (before.hold_until_ns[TG_BULK])
		cr_expect_eq(before.hold_until_ns[TG_BULK] - moved, after.hold_until_ns[TG_BULK]);
	cr_expect_eq(wake_before == UINT64_MAX, wake_after == UINT64_MAX);
	if (wake_before != UINT64_MAX)
		cr_expect_lt(wake_before - moved - wake_after + SECOND / 10, SECOND / 5,
			     "%f s, %f s", (double)(wake_before - moved) / 1e9,
			     (double)wake_after / 1e9);
}

Test(saved, what_another_version_knows_is_found_by_name)
{
	/* Values as they are written: 5000, 7, 90, 1. */
	static const uint8_t bytes[] = {0x88, 0x27, 7, 90, 1};
	struct saved_map map = map_of("someday.new pace.count pace.peak gone");
	struct engine_life life = fresh_of(NOW), fresh = life;

	cr_expect(saved_life_read(bytes, sizeof(bytes), &map, OFFSET, &life));
	cr_expect_eq(life.pace.count, 7);
	cr_expect_eq(life.pace.peak, 90);
	cr_expect_eq(memcmp(&life.control, &fresh.control, sizeof(fresh.control)), 0);
}

Test(saved, damaged_bytes_change_nothing)
{
	char names[SAVED_NAMES_BYTES];
	struct saved_map map = map_of(saved_names(names));
	struct engine_life life = life_of(NOW), again = fresh_of(NOW), fresh = again;
	uint8_t bytes[SAVED_LIFE_BYTES];
	size_t length = saved_life_write(&life, OFFSET, bytes);

	for (size_t cut = 0; cut < length; cut++) {
		char *copy = guard_copy((const char *)bytes, cut);

		cr_expect_not(saved_life_read((const uint8_t *)copy, cut, &map, OFFSET, &again),
			      "%zu", cut);
		cr_expect_eq(memcmp(&again, &fresh, sizeof(fresh)), 0, "%zu", cut);
		guard_free(copy, cut);
	}
	for (size_t i = 0; i < length; i++) {
		uint8_t was = bytes[i];

		for (int byte = 0; byte < 256; byte += 5) {
			bytes[i] = (uint8_t)byte;
			again = fresh;
			if (saved_life_read(bytes, length, &map, OFFSET, &again))
				cr_expect(control_valid(&again.control));
			else
				cr_expect_eq(memcmp(&again, &fresh, sizeof(fresh)), 0);
		}
		bytes[i] = was;
	}
}

static struct engine_shared shared_of(bool known)
{
	struct engine_shared shared = {.pool = 0xfedcba9876543210};

	memset(&shared.kept, 0, sizeof(shared.kept));
	shared.kept.refuted = 2;
	shared.kept.changed_ns = NOW - 600 * SECOND;
	shared.kept.again_ns = NOW + 60 * SECOND;
	if (!known)
		return shared;
	shared.kept.known = 1;
	shared.kept.confirmed = 3;
	shared.kept.proven = 1;
	shared.kept.tested = 1.5F;
	shared.kept.control = life_of(NOW).control;
	return shared;
}

Test(saved, a_shared_limit_is_the_same_by_the_same_clock_and_goes_on_by_another)
{
	char names[SAVED_NAMES_BYTES];
	struct saved_map map = map_of(saved_names(names));

	for (int known = 0; known < 2; known++) {
		struct engine_shared shared = shared_of(known), again = {.pool = 0};
		uint8_t bytes[SAVED_SHARED_BYTES];
		size_t length = saved_shared_write(&shared, OFFSET, bytes);

		cr_assert(saved_shared_read(bytes, length, &map, OFFSET, &again));
		cr_expect_eq(memcmp(&shared, &again, sizeof(shared)), 0, "known %d", known);
		cr_assert(saved_shared_read(bytes, length, &map, OFFSET + (int64_t)SECOND, &again));
		cr_expect_eq(again.kept.again_ns, shared.kept.again_ns - SECOND);
	}
}

Test(saved, damaged_bytes_are_no_shared_limit)
{
	char names[SAVED_NAMES_BYTES];
	struct saved_map map = map_of(saved_names(names));
	struct engine_shared shared = shared_of(true), again = {.pool = 0}, fresh = again;
	uint8_t bytes[SAVED_SHARED_BYTES];
	size_t length = saved_shared_write(&shared, OFFSET, bytes);

	for (size_t cut = 0; cut < length; cut++) {
		char *copy = guard_copy((const char *)bytes, cut);

		cr_expect_not(saved_shared_read((const uint8_t *)copy, cut, &map, OFFSET, &again),
			      "%zu", cut);
		guard_free(copy, cut);
	}
	for (size_t i = 0; i < length; i++) {
		uint8_t was = bytes[i];

		for (int byte = 0; byte < 256; byte += 5) {
			bytes[i] = (uint8_t)byte;
			again = fresh;
			if (saved_shared_read(bytes, length, &map, OFFSET, &again))
				cr_expect(sharing_kept_valid(&again.kept));
		}
		bytes[i] = was;
	}
}

Test(saved, effects_that_hold_are_kept_with_their_texts)
{
	struct constraint effects[CONSTRAINTS] = {
		{.kind = CONSTRAINT_HOLD,
		 .by_operator = 1,
		 .from_ns = NOW - SECOND,
		 .until_ns = UINT64_MAX,
		 .why = "the list was bought"},
		{.kind = CONSTRAINT_DAY, .value = 500, .until_ns = NOW - 1, .name = "ended"},
		{.kind = CONSTRAINT_INTERVAL,
		 .value = 3 * SECOND,
		 .from_ns = NOW,
		 .until_ns = NOW + 60 * SECOND,
		 .name = "slower"},
	};
	struct constraint ended[CONSTRAINTS] = {effects[1]};
	struct constraint again[CONSTRAINTS];
	uint8_t bytes[SAVED_EFFECT_BYTES];
	size_t length = saved_effects_write(effects, OFFSET, NOW, bytes);

	cr_assert(saved_effects_read(bytes, length, OFFSET + (int64_t)SECOND, again));
	cr_expect_eq(again[0].kind, CONSTRAINT_HOLD);
	cr_expect_eq(again[0].until_ns, UINT64_MAX);
	cr_expect_eq(again[0].from_ns, NOW - 2 * SECOND);
	cr_expect_str_eq(again[0].why, "the list was bought");
	cr_expect_eq(again[1].kind, CONSTRAINT_INTERVAL);
	cr_expect_eq(again[1].value, 3 * SECOND);
	cr_expect_eq(again[1].until_ns, NOW + 59 * SECOND);
	cr_expect_str_eq(again[1].name, "slower");
	cr_expect_eq(again[2].kind, CONSTRAINT_NONE);
	for (size_t cut = 0; cut < length; cut++)
		cr_expect_not(saved_effects_read(bytes, cut, OFFSET, again), "%zu", cut);
	cr_expect_eq(saved_effects_write(ended, OFFSET, NOW, bytes), 0);
}
