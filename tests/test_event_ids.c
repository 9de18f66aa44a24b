/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/ingest/event_ids.h"

static bool first(struct event_ids *ids, const char *prefix, unsigned number)
{
	char text[64];
	const struct ingest_text id = {
		text, (size_t)snprintf(text, sizeof(text), "%s%u", prefix, number)};

	return event_ids_first(ids, &id);
}

Test(event_ids, tell_a_second_time_from_a_first)
{
	struct event_ids *ids = calloc(1, sizeof(*ids));

	cr_assert_not_null(ids);
	for (unsigned i = 0; i < 10000; i++)
		cr_expect(first(ids, "9noD8R0Q8c-MsIwmfgDFeV", i));
	for (unsigned i = 0; i < 10000; i++)
		cr_expect_not(first(ids, "9noD8R0Q8c-MsIwmfgDFeV", i));
	cr_expect(first(ids, "another", 1), "of another prefix");
	free(ids);
}

Test(event_ids, forget_the_oldest_and_keep_the_rest)
{
	struct event_ids *ids = calloc(1, sizeof(*ids));
	unsigned known = 0;

	cr_assert_not_null(ids);
	for (unsigned i = 0; i < 4 * EVENT_IDS; i++)
		first(ids, "x", i);
	/* Buckets fill unevenly: of the latest quarter nearly all is known, of the first nothing. */
	for (unsigned i = 4 * EVENT_IDS - EVENT_IDS / 4; i < 4 * EVENT_IDS; i++)
		known += !first(ids, "x", i);
	cr_expect_gt(known, EVENT_IDS / 4 * 99 / 100, "%u", known);
	cr_expect(first(ids, "x", 0));
	free(ids);
}

Test(event_ids, take_one_without_an_id_as_new)
{
	struct event_ids *ids = calloc(1, sizeof(*ids));
	const struct ingest_text none = {0}, empty = {"", 0};

	cr_assert_not_null(ids);
	for (int i = 0; i < 2; i++) {
		cr_expect(event_ids_first(ids, &none));
		cr_expect(event_ids_first(ids, &empty));
	}
	free(ids);
}
