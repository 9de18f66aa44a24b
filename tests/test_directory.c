/* SPDX-License-Identifier: MIT
 *
 * Keys and their slots: found or claimed without a lock, also where a claimer died half-way.
 */
#include <criterion/criterion.h>

#include "shm/hash.h"
#include "tests/segment_fixture.h"

static const uint64_t seed_words[4] = {0x0123456789abcdef, 0xfedcba9876543210, 0x5555aaaa5555aaaa,
				       0x1};

static struct hash_key key_draw(uint64_t *seed)
{
	return (struct hash_key){{random_next(seed), random_next(seed)}};
}

Test(hash, no_half_of_a_key_is_zero_and_keys_differ)
{
	static struct hash_key keys[20000];

	for (uint32_t i = 0; i < 20000; i++) {
		char name[32];
		int length = snprintf(name, sizeof(name), "mx%u.example", i);

		keys[i] = hash_bytes(HASH_DESTINATION, name, (size_t)length, seed_words);
		cr_assert(keys[i].half[0] != 0 && keys[i].half[1] != 0);
	}
	for (uint32_t i = 1; i < 20000; i++)
		cr_assert(keys[i].half[0] != keys[i - 1].half[0] &&
			  keys[i].half[1] != keys[i - 1].half[1]);
}

Test(hash, kind_length_and_seed_are_part_of_the_key)
{
	static const uint64_t other[4] = {1, 2, 3, 4};
	struct hash_key a = hash_bytes(HASH_SOURCE, "abc", 3, seed_words);
	struct hash_key b = hash_bytes(HASH_DESTINATION, "abc", 3, seed_words);
	struct hash_key c = hash_bytes(HASH_SOURCE, "abc\0", 4, seed_words);
	struct hash_key d = hash_bytes(HASH_SOURCE, "abc", 3, other);

	cr_expect(memcmp(&a, &b, sizeof(a)) != 0);
	cr_expect(memcmp(&a, &c, sizeof(a)) != 0);
	cr_expect(memcmp(&a, &d, sizeof(a)) != 0);
}

Test(hash, slots_are_spread_evenly)
{
	uint32_t buckets[64] = {0};

	for (uint32_t i = 0; i < 64000; i++) {
		uint8_t address[16] = {[10] = 0xff,
				       [11] = 0xff,
				       [12] = 10,
				       [13] = (uint8_t)(i >> 16),
				       [14] = (uint8_t)(i >> 8),
				       [15] = (uint8_t)i};
		struct hash_key key = hash_bytes(HASH_SOURCE, address, 16, seed_words);

		buckets[hash_slot(&key, 64)]++;
	}
	for (int i = 0; i < 64; i++)
		cr_expect(buckets[i] > 800 && buckets[i] < 1200, "bucket %d has %u", i, buckets[i]);
}

Test(hash, a_key_never_begins_past_the_end)
{
	struct hash_key key = {{UINT64_MAX, UINT64_MAX}};

	cr_expect_eq(hash_slot(&key, 1), 0);
	cr_expect_eq(hash_slot(&key, 17), 16);
	cr_expect_eq(hash_slot(&key, UINT32_MAX - 1), UINT32_MAX - 2);
}

Test(directory, finds_what_was_claimed_and_nothing_else)
{
	struct segment *s = fixture_memory(1000);
	struct hash_key keys[571];
	uint32_t slots[571];
	uint64_t seed = 1;

	for (int i = 0; i < 571; i++) {
		keys[i] = key_draw(&seed);
		cr_assert_eq(directory_find(&s->view, &keys[i], false), LAYOUT_NONE);
		slots[i] = directory_find(&s->view, &keys[i], true);
		cr_assert(slots[i] < 1000);
		for (int j = 0; j < i; j++)
			cr_assert(slots[j] != slots[i]);
	}
	for (int i = 0; i < 571; i++) {
		cr_assert_eq(directory_find(&s->view, &keys[i], false), slots[i]);
		cr_assert_eq(directory_find(&s->view, &keys[i], true), slots[i]);
	}
}

Test(directory, goes_round_the_end)
{
	struct segment *s = fixture_memory(20);
	uint32_t seen = 0;

	for (uint64_t i = 0; i < 20; i++) {
		struct hash_key key = {{UINT64_MAX - i, 77}};
		uint32_t slot = directory_find(&s->view, &key, true);

		cr_assert_eq(slot, i == 0 ? 19 : i - 1);
		seen |= 1U << slot;
	}
	cr_expect_eq(seen, (1U << 20) - 1);
}

Test(directory, full_is_said_and_the_known_are_still_found)
{
	struct segment *s = fixture_memory(20);
	struct hash_key keys[20], more;
	uint64_t seed = 9;

	for (int i = 0; i < 20; i++) {
		keys[i] = key_draw(&seed);
		cr_assert_neq(directory_find(&s->view, &keys[i], true), LAYOUT_NONE);
	}
	more = key_draw(&seed);
	cr_expect_eq(directory_find(&s->view, &more, true), LAYOUT_NONE);
	cr_expect_eq(directory_find(&s->view, &more, false), LAYOUT_NONE);
	for (int i = 0; i < 20; i++)
		cr_expect_neq(directory_find(&s->view, &keys[i], false), LAYOUT_NONE);
}

Test(directory, the_same_key_completes_what_a_dead_claimer_left)
{
	struct segment *s = fixture_memory(100);
	struct hash_key key = {{UINT64_C(1) << 63, 42}};

	atomic_store(&s->view.counters[50].key[0], key.half[0]);
	cr_expect_eq(directory_find(&s->view, &key, false), LAYOUT_NONE);
	cr_expect_eq(directory_find(&s->view, &key, true), 50);
	cr_expect_eq(atomic_load(&s->view.counters[50].key[1]), 42);
}

Test(directory, another_key_goes_past_what_a_dead_claimer_left)
{
	struct segment *s = fixture_memory(100);
	struct hash_key key = {{(UINT64_C(1) << 63) + 1, 42}};

	atomic_store(&s->view.counters[50].key[0], UINT64_C(1) << 63);
	cr_expect_eq(directory_find(&s->view, &key, true), 51);
	cr_expect_eq(atomic_load(&s->view.counters[50].key[1]), 0);
}

Test(directory, two_keys_that_share_their_first_half_have_slots_of_their_own)
{
	struct segment *s = fixture_memory(100);
	struct hash_key a = {{UINT64_C(1) << 63, 42}}, b = {{UINT64_C(1) << 63, 43}};

	cr_expect_eq(directory_find(&s->view, &a, true), 50);
	cr_expect_eq(directory_find(&s->view, &b, true), 51);
	cr_expect_eq(directory_find(&s->view, &a, false), 50);
}

/* ---- names ----------------------------------------------------------------------------------- */

Test(directory, a_pair_has_one_flow_for_every_process)
{
	struct fixture f;
	struct tg *a, *b;
	struct tg_source source[2];
	struct tg_destination destination[2];
	struct tg_flow flow[2];

	fixture_open(&f);
	a = fixture_attach(&f);
	b = fixture_attach(&f);
	cr_assert_eq(tg_source(a, "192.0.2.1", &source[0]), 0);
	cr_assert_eq(tg_source(b, "::ffff:192.0.2.1", &source[1]), 0);
	cr_assert_eq(tg_destination(a, "mx.Example.org.", &destination[0]), 0);
	cr_assert_eq(tg_destination(b, "MX.EXAMPLE.ORG", &destination[1]), 0);
	cr_assert_eq(tg_flow(a, &source[0], &destination[0], &flow[0]), 0);
	cr_assert_eq(tg_flow(b, &source[1], &destination[1], &flow[1]), 0);
	cr_expect_eq(flow[0].slot, flow[1].slot);
	cr_expect_eq(flow[0].source, flow[1].source);
	cr_expect_eq(flow[0].destination, flow[1].destination);
	cr_expect_neq(flow[0].slot, flow[0].source);
	cr_assert_eq(tg_stream(a, &flow[0], "tenant-7", &flow[1]), 0);
	cr_expect_neq(flow[1].stream, LAYOUT_NONE);
	tg_detach(a);
	tg_detach(b);
	fixture_end(&f);
}

Test(directory, what_is_no_name_is_refused_and_changes_nothing)
{
	static const char *const sources[] = {NULL,	   "",	    "mx.example.org",
					      "300.1.1.1", "1.2.3", ":::"};
	static const char *const destinations[] = {NULL, "", ".", "a..b"};
	static const char *const streams[] = {NULL, "", "Acme Inc", "a\tb", "a\n", "\x7f"};
	char longest[LAYOUT_TEXT + 2];
	struct tg_flow flow = {1, 2, 3, LAYOUT_NONE}, with = {.stream = 77};
	struct fixture f;
	struct tg *tg;

	fixture_open(&f);
	tg = fixture_attach(&f);
	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		cr_expect_eq(tg_stream(tg, &flow, streams[i], &with), -EINVAL, "%zu", i);
		cr_expect_eq(with.stream, 77);
	}
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	cr_expect_eq(tg_stream(tg, &flow, longest, &with), -EINVAL);
	cr_expect_eq(tg_stream(tg, &flow, longest + 1, &with), 0);
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		struct tg_source source = {.slot = 77};

		cr_expect_eq(tg_source(tg, sources[i], &source), -EINVAL, "%zu", i);
		cr_expect_eq(source.slot, 77);
	}
	for (size_t i = 0; i < sizeof(destinations) / sizeof(destinations[0]); i++) {
		struct tg_destination destination = {.slot = 77};

		cr_expect_eq(tg_destination(tg, destinations[i], &destination), -EINVAL, "%zu", i);
		cr_expect_eq(destination.slot, 77);
	}
	tg_detach(tg);
	fixture_end(&f);
}

Test(directory, a_full_directory_gives_a_flow_that_is_refused)
{
	struct fixture f;
	struct tg *tg;
	struct tg_source source;
	struct tg_destination destination;
	struct tg_flow flow, with;
	int error = 0, made = 0;

	fixture_begin(&f);
	f.options.sizes.flows = 1;
	fixture_reopen(&f);
	fixture_names(f.segment, 1);
	segment_live(f.segment);
	tg = fixture_attach(&f);
	cr_assert_eq(tg_destination(tg, "example.org", &destination), 0);
	while (!error && made < 100) {
		char address[32];

		snprintf(address, sizeof(address), "192.0.2.%d", ++made);
		error = tg_source(tg, address, &source);
		if (!error)
			error = tg_flow(tg, &source, &destination, &flow);
	}
	cr_expect_eq(error, -ENOSPC);
	error = tg_flow(tg, &source, &destination, &flow);
	cr_expect_eq(error, -ENOSPC);
	struct tg_verdict verdict = tg_admit(tg, &flow, TG_BULK, 1);

	cr_expect_eq(verdict.reason, TG_REFUSED_DIRECTORY);
	cr_expect(verdict.flags & TG_ESTIMATE);
	struct tg_request request = {&source, &destination, TG_BULK, 1};

	tg_admit_batch(tg, &request, &verdict, 1);
	cr_expect_eq(verdict.reason, TG_REFUSED_DIRECTORY);
	cr_expect_eq(tg_stream(tg, &flow, "tenant", &with), -ENOSPC);
	tg_detach(tg);
	fixture_end(&f);
}
