/* SPDX-License-Identifier: MIT
 *
 * Whose connection a line of a log was: answered where all that fit are one's, and none may be
 * missing.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "sidecar/gate/connections.h"

#define SECOND UINT64_C(1000000000)
#define MS     UINT64_C(1000000)

static struct connections *made;

static const uint8_t *address(uint8_t last)
{
	static uint8_t all[256][16];

	memcpy(all[last], "\0\0\0\0\0\0\0\0\0\0\xFF\xFF\xC0\0\x02", 15);
	all[last][15] = last;
	return all[last];
}

static struct connection_seen seen(uint8_t source, uint8_t remote, uint64_t began_ns)
{
	return (struct connection_seen){.source = address(source),
					.remote = address(remote),
					.began_ns = began_ns,
					.due_ns = began_ns + MS,
					.tag = source,
					.slot = source};
}

static void open_at(uint8_t source, uint8_t remote, uint64_t began_ns)
{
	const struct connection_seen one = seen(source, remote, began_ns);

	connections_opened(made, &one);
}

static void end_at(uint8_t source, uint8_t remote, uint64_t began_ns, uint64_t ended_ns,
		   bool established)
{
	const struct connection_seen one = seen(source, remote, began_ns);

	connections_ended(made, &one, ended_ns, established);
}

/* The last byte of the address, or the error. */
static int whose(uint8_t remote, uint64_t replied_ns, uint64_t spent_ns, uint64_t setup_ns,
		 bool fresh, uint64_t stamp_ns)
{
	const struct connection_query query = {.remote = address(remote),
					       .replied_ns = replied_ns,
					       .stamp_ns = stamp_ns,
					       .spent_ns = spent_ns,
					       .setup_ns = setup_ns,
					       .fresh = fresh};
	uint8_t source[16] = {0};
	int error = connections_source(made, &query, source);

	return error ? error : source[15];
}

Test(connections, answers_by_the_times_that_a_line_states)
{
	/* From 1: 100 s to 102 s, a second's setup. From 2: 101.5 s on. From 3, elsewhere. */
	static const struct {
		const char *name;
		uint8_t remote;
		uint64_t replied_ms, spent_ms, setup_ms;
		bool fresh;
		uint64_t stamp_ms;
		int want;
	} rows[] = {
		{"opened for it", 9, 101200, 1200, 1000, true, 1, 1},
		{"the other's", 9, 101900, 400, 300, true, 1, 2},
		{"a line after the end", 9, 102500, 2500, 1000, true, 1, 1},
		{"long after the end", 9, 104000, 4000, 1000, true, 1, -ENOENT},
		{"began at another time", 9, 101000, 500, 300, true, 1, -ENOENT},
		{"stood before; only one did then", 9, 101300, 100, 0, false, 1, 1},
		{"stood before; two did", 9, 101900, 100, 0, false, 1, -ENOTUNIQ},
		{"stood before; the first is long gone", 9, 110000, 100, 0, false, 1, 2},
		{"whole seconds, and both fit", 9, 101000, 1000, 1000, true, 1000, -ENOTUNIQ},
		{"whole seconds, one fits", 9, 101000, 200, 100, true, 1000, 2},
		{"a delay of two digits", 9, 102000, 2100, 1000, true, 1, 1},
		{"another receiver's", 8, 101200, 1200, 1000, true, 1, 3},
		{"a receiver nobody went to", 7, 101200, 1200, 1000, true, 1, -ENOENT},
		{"begun before we listened", 9, 40000, 100, 50, true, 1, -ENODATA},
		{"standing before we listened", 9, 40000, 0, 0, false, 1, -ENODATA},
		{"the clock's begin", 9, 0, 5000, 0, true, 1, -ENODATA},
	};

	cr_assert_eq(connections_create(50 * SECOND, false, &made), 0);
	open_at(1, 9, 100 * SECOND);
	open_at(3, 8, 100 * SECOND);
	open_at(2, 9, 101500 * MS);
	end_at(1, 9, 100 * SECOND, 102 * SECOND, true);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int got = whose(rows[i].remote, rows[i].replied_ms * MS, rows[i].spent_ms * MS,
				rows[i].setup_ms * MS, rows[i].fresh, rows[i].stamp_ms * MS);

		cr_expect_eq(got, rows[i].want, "%s: %d", rows[i].name, got);
	}
	connections_free(made);
}

Test(connections, guesses_nothing_where_some_may_be_missing)
{
	cr_assert_eq(connections_create(0, true, &made), 0);
	open_at(1, 9, 10 * SECOND);
	cr_expect_eq(whose(9, 11 * SECOND, SECOND, SECOND, true, 1), 1, "begun since");
	cr_expect_eq(whose(9, 11 * SECOND, 0, 0, false, 1), -ENODATA, "others may stand");
	cr_expect_eq(whose(9, 301 * SECOND, 0, 0, false, 1), 1, "no longer");
	connections_lost(made, 400 * SECOND);
	open_at(1, 9, 410 * SECOND);
	cr_expect_eq(whose(9, 401 * SECOND, 2 * SECOND, SECOND, true, 1), -ENODATA);
	cr_expect_eq(whose(9, 411 * SECOND, SECOND, SECOND, true, 1), 1);
	cr_expect_eq(whose(9, 411 * SECOND, 0, 0, false, 1), -ENODATA);
	connections_free(made);
}

Test(connections, is_of_bounded_size_and_knows_when_it_has_let_one_go)
{
	cr_assert_eq(connections_create(0, false, &made), 0);
	open_at(1, 9, SECOND);
	for (uint64_t i = 1; i < CONNECTIONS; i++)
		end_at(2, (uint8_t)(i % 3), SECOND + i, SECOND + i, true);
	cr_expect_eq(whose(9, 2 * SECOND, SECOND, SECOND, true, 1), 1, "still there");
	/* One more, long after: the one of 1 is open, and gives way all the same. */
	end_at(2, 8, 100 * SECOND, 100 * SECOND, true);
	cr_expect_eq(whose(9, 2 * SECOND, 0, 0, false, 1), -ENODATA);
	cr_expect_eq(whose(9, 401 * SECOND, 0, 0, false, 1), -ENOENT);
	/* Ended ones of long ago are missed by no line. */
	for (uint64_t i = 0; i < 2 * (uint64_t)CONNECTIONS; i++)
		end_at(2, 8, 1000 * SECOND + i * SECOND, 1000 * SECOND + i * SECOND, true);
	cr_expect_eq(whose(8, 1000 * SECOND + 2 * (uint64_t)CONNECTIONS * SECOND, SECOND, SECOND,
			   true, 1),
		     2);
	connections_free(made);
}

Test(connections, knows_what_failed_and_takes_it_for_no_delivery)
{
	const struct connection_query query = {
		.remote = address(9), .replied_ns = 130 * SECOND, .spent_ns = 30 * SECOND};
	const struct connection_query later = {
		.remote = address(9), .replied_ns = 190 * SECOND, .spent_ns = 30 * SECOND};

	cr_assert_eq(connections_create(0, false, &made), 0);
	end_at(1, 9, 100 * SECOND, 130 * SECOND, false);
	cr_expect(connections_failed(made, &query));
	cr_expect_not(connections_failed(made, &later));
	cr_expect_eq(whose(9, 130 * SECOND, 30 * SECOND, 30 * SECOND, true, 1), -ENOENT);
	connections_free(made);
}
