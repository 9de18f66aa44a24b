/* SPDX-License-Identifier: MIT
 *
 * What the sidecar keeps of known slots: side by side, whole whenever a sidecar dies, small.
 */
#include <criterion/criterion.h>
#include <signal.h>

#include "tests/segment_fixture.h"

#define FLOWS 20

static void shaped(struct fixture *f)
{
	fixture_begin(f);
	f->options.shape = (struct segment_shape){16, {64, 0, 0, 128}};
	fixture_reopen(f);
	fixture_names(f->segment, 4);
}

static uint32_t learn(struct segment *s, unsigned i)
{
	uint8_t address[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, (uint8_t)i};
	char name[32];

	snprintf(name, sizeof(name), "d%u.test", i % 5);
	return segment_flow(s, address, name);
}

/* In a process that is killed at the given step. */
static void learn_until(struct fixture *f, long steps)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		segment_crash_after = steps;
		for (unsigned i = 0; i < FLOWS; i++) {
			uint32_t slot = learn(f->segment, i);

			memset(segment_block_take(f->segment, slot, 0), (int)i + 1, 64);
			if (i % 2)
				segment_block_drop(f->segment, slot, 0);
		}
		_exit(0);
	}
	waitpid(pid, &status, 0);
	segment_close(f->segment, false);
}

static void expect_whole(struct segment *s, long steps)
{
	for (uint32_t i = 0; i < segment_count(s); i++) {
		uint32_t slot = segment_nth(s, i);
		const unsigned char *block = segment_block(s, slot, 0);

		cr_expect_neq(segment_kind(s, slot), SEGMENT_UNKNOWN);
		cr_expect_eq(atomic_load(&s->view.counters[slot].key[0]),
			     segment_slot(s, slot)->key[0], "step %ld", steps);
		for (int byte = 1; block && byte < 64; byte++)
			cr_expect(block[byte] == block[0] || block[byte] == 0, "step %ld", steps);
	}
}

Test(segment_record, a_sidecar_that_dies_anywhere_leaves_records_and_blocks_whole)
{
	long steps;

	for (steps = 0; steps < 400; steps += 1 + steps / 20) {
		struct fixture f;
		uint32_t known, blocks[FLOWS], count = 0;

		shaped(&f);
		learn_until(&f, steps);
		fixture_reopen(&f);
		cr_expect(f.segment->adopted, "step %ld", steps);
		expect_whole(f.segment, steps);
		known = segment_count(f.segment);
		for (unsigned i = 0; i < FLOWS; i++) {
			uint32_t slot = learn(f.segment, i);

			cr_assert_neq(slot, LAYOUT_NONE, "step %ld", steps);
			cr_assert_not_null(segment_block_take(f.segment, slot, 0));
			blocks[count++] = *(uint32_t *)segment_engine(f.segment, slot);
		}
		cr_expect_geq(segment_count(f.segment), known);
		for (uint32_t i = 0; i < count; i++)
			for (uint32_t k = 0; k < i; k++)
				cr_expect_neq(blocks[i], blocks[k], "step %ld", steps);
		fixture_end(&f);
	}
}

Test(segment_record, a_block_that_is_given_back_is_taken_again_and_empty)
{
	struct fixture f;
	uint32_t a, b;
	char *block;

	shaped(&f);
	a = learn(f.segment, 1);
	b = learn(f.segment, 2);
	cr_expect_null(segment_block(f.segment, a, 3));
	block = segment_block_take(f.segment, a, 3);
	memset(block, 7, 128);
	cr_expect_eq(segment_block_take(f.segment, a, 3), block, "it has one");
	segment_block_drop(f.segment, a, 3);
	cr_expect_null(segment_block(f.segment, a, 3));
	cr_expect_eq(segment_block_take(f.segment, b, 3), block, "the lowest is taken first");
	for (int i = 0; i < 128; i++)
		cr_assert_eq(block[i], 0);
	fixture_end(&f);
}

Test(segment_record, what_has_two_owners_is_the_firsts)
{
	struct fixture f;
	uint32_t a, b;

	shaped(&f);
	a = learn(f.segment, 1);
	b = learn(f.segment, 2);
	segment_block_take(f.segment, a, 0);
	*(uint32_t *)segment_engine(f.segment, b) = *(uint32_t *)segment_engine(f.segment, a);
	segment_close(f.segment, false);
	fixture_reopen(&f);
	cr_expect(f.segment->adopted);
	cr_expect_not_null(segment_block(f.segment, a, 0));
	cr_expect_null(segment_block(f.segment, b, 0));
	fixture_end(&f);
}

Test(segment_record, damaged_records_are_not_adopted)
{
	static const char *const rows[] = {"count", "heap", "kind", "slot", "name"};

	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		struct fixture f;
		struct segment_slot *known;

		shaped(&f);
		learn(f.segment, 1);
		known = &f.segment->known[1];
		switch (row) {
		case 0: f.segment->strings->records = f.segment->known_room; break;
		case 1: f.segment->strings->used = f.segment->strings->bytes + 1; break;
		case 2: known->kind = 77; break;
		case 3: known->slot = f.segment->view.slots; break;
		default: known->name = UINT32_MAX; break;
		}
		segment_close(f.segment, false);
		fixture_reopen(&f);
		cr_expect(!f.segment->adopted, "%s", rows[row]);
		fixture_end(&f);
	}
}
