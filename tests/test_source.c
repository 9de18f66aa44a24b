/* SPDX-License-Identifier: MIT
 *
 * Sources by name: what is one, that bytes and text are one another's, and what a worker, the
 * configuration and tg_pick make of it.
 */
#include <criterion/criterion.h>

#include "shm/address.h"
#include "shm/source.h"
#include "tests/segment_fixture.h"

#define N(list) (sizeof(list) / sizeof((list)[0]))

Test(source, is_an_address_or_a_name)
{
	static const struct {
		const char *text, *again; /* NULL: neither */
	} rows[] = {
		{"192.0.2.1", "192.0.2.1"},
		{"[2001:db8::1]", "2001:db8::1"},
		{"a", "a"},
		{"acme-marketing_2", "acme-marketing_2"},
		{"SendGrid", "sendgrid"},
		{"zzzzzzzzzzzzzzzzzzzzzz", "zzzzzzzzzzzzzzzzzzzzzz"},
		{"a---------------------", "a---------------------"},
		{"fe80", "fe80"},
		{"", NULL},
		{"zzzzzzzzzzzzzzzzzzzzzzz", NULL},
		{"1acme", NULL},
		{"-acme", NULL},
		{"_acme", NULL},
		{"acme.example", NULL},
		{"l92.0.2.1", NULL},
		{"192.0.2", NULL},
		{"acme inc", NULL},
		{"acm\xc3\xa9", NULL},
		{"ff02::1", NULL},
	};

	for (size_t i = 0; i < N(rows); i++) {
		uint8_t bytes[16];
		char text[64];
		int error = source_read(rows[i].text, bytes);

		cr_expect_eq(error, rows[i].again ? 0 : -EINVAL, "%s: %d", rows[i].text, error);
		if (error == 0)
			cr_expect_str_eq(destination_address_text(bytes, text, sizeof(text)),
					 rows[i].again);
	}
}

Test(source, names_sort_as_their_bytes_do)
{
	static const char *const names[] = {"a", "a-", "a0", "aa", "ab", "b", "z9", "zz"};
	uint8_t before[16], after[16];

	cr_assert_eq(source_read(names[0], before), 0);
	for (size_t i = 1; i < N(names); i++) {
		cr_assert_eq(source_read(names[i], after), 0);
		cr_expect_lt(memcmp(before, after, 16), 0, "%s", names[i]);
		memcpy(before, after, 16);
	}
}

/* Whatever a hostile worker calls its source: shown as what reads back as the same bytes. */
Test(source, bytes_that_are_no_name_are_shown_as_an_address)
{
	uint64_t seed = 3;

	for (int i = 0; i < 10000; i++) {
		uint64_t bytes[2] = {random_next(&seed), random_next(&seed)};
		uint8_t again[16];
		char text[64], name[SOURCE_NAME_MAX + 1];

		*(uint8_t *)bytes = SOURCE_NAME_MARK;
		destination_address_text((uint8_t *)bytes, text, sizeof(text));
		if (source_name((uint8_t *)bytes, name))
			cr_assert_eq(source_read(text, again), 0);
		else
			cr_assert_eq(address_from_text(text, again), 0);
		cr_assert_eq(memcmp(bytes, again, 16), 0, "%s", text);
	}
}

/* A table with a pool of one name and one address. */
static void names_publish(struct segment *s)
{
	struct destination_table *table;
	uint8_t source[16];
	size_t length;
	void *blob;

	cr_assert_eq(destination_table_new(&table), 0);
	cr_assert_geq(destination_table_pool(table, "provider-api"), 0);
	cr_assert_eq(source_read("acme-news", source), 0);
	cr_assert_geq(destination_table_source(table, source), 0);
	cr_assert_eq(destination_table_build(table, &blob, &length), 0);
	cr_assert_eq(segment_publish_names(s, blob, length), 0);
	free(blob);
	destination_table_free(table);
}

Test(source, a_worker_may_use_a_name_that_a_pool_lists)
{
	struct tg_source source, picked, untouched;
	struct tg_destination destination;
	struct fixture f;
	struct tg *tg;
	uint64_t at_ns;
	char text[64], cut[5];

	fixture_open(&f);
	names_publish(f.segment);
	tg = fixture_attach(&f);
	memset(&source, 7, sizeof(source));
	untouched = source;
	cr_expect_eq(tg_source(tg, "acme-mews", &source), -ENOENT);
	cr_expect_eq(tg_source(tg, "acme news", &source), -EINVAL);
	cr_expect_eq(memcmp(&source, &untouched, sizeof(source)), 0);
	cr_assert_eq(tg_source(tg, "Acme-News", &source), 0);
	cr_expect_eq(tg_source_text(&source, text, sizeof(text)), 9);
	cr_expect_str_eq(text, "acme-news");
	cr_expect_eq(tg_source_text(&source, cut, sizeof(cut)), 9);
	cr_expect_str_eq(cut, "acme");
	cr_assert_eq(tg_destination(tg, "example.org", &destination), 0);
	cr_assert_eq(tg_pick(tg, "provider-api", &destination, TG_BULK, &picked, &at_ns), 0);
	cr_expect_eq(memcmp(&picked, &source, sizeof(source)), 0);
	cr_assert_eq(tg_source(tg, "192.0.2.9", &source), 0);
	tg_detach(tg);
	fixture_end(&f);
}
