/* SPDX-License-Identifier: MIT
 *
 * What counts as used after a reboot.
 */
#include <criterion/criterion.h>

#include "sidecar/daemon/usage.h"

#define S		    INT64_C(1000000000)
#define N(table)	    (sizeof(table) / sizeof((table)[0]))
#define WORD(period, count) ((uint64_t)(period) << 32 | (count))

Test(usage, counts_what_may_have_been_sent_meanwhile)
{
	static const struct {
		const char *what;
		struct usage_kept kept;
		struct usage_gap gap;
		uint32_t present;
		int64_t begun_ns;
		uint32_t least, most;
	} rows[] = {
		{"in order", {WORD(7, 30), S, 5, 100}, {50 * S, 50 * S}, 7, 0, 30, 30},
		{"ten seconds at one a second",
		 {WORD(7, 30), S, 5, 1000},
		 {50 * S, 60 * S},
		 7,
		 0,
		 45,
		 60},
		{"no more than the cap", {WORD(7, 30), S, 5, 40}, {50 * S, 6000 * S}, 7, 0, 40, 40},
		{"without a rate all of it",
		 {WORD(7, 30), 0, 0, 1000},
		 {50 * S, 51 * S},
		 7,
		 0,
		 1000,
		 1000},
		{"without a rate, in order",
		 {WORD(7, 30), 0, 0, 1000},
		 {50 * S, 50 * S},
		 7,
		 0,
		 30,
		 30},
		{"no cap, no bound",
		 {WORD(7, 30), S, 5, USAGE_NO_CAP},
		 {50 * S, 60 * S},
		 7,
		 0,
		 30,
		 30},
		{"another day began before it ended",
		 {WORD(7, 90), S, 5, 100},
		 {50 * S, 60 * S},
		 8,
		 55 * S,
		 10,
		 17},
		{"another day began after it ended",
		 {WORD(7, 90), S, 5, 100},
		 {50 * S, 60 * S},
		 8,
		 70 * S,
		 0,
		 0},
		{"more was used than the cap is now",
		 {WORD(7, 90), S, 5, 50},
		 {50 * S, 60 * S},
		 7,
		 0,
		 90,
		 90},
		{"the clock was set back a day",
		 {WORD(8, 90), S, 5, 100},
		 {90000 * S, 3600 * S},
		 7,
		 0,
		 90,
		 90},
		{"never used", {0, S, 5, 100}, {50 * S, 50 * S}, 7, 0, 0, 0},
		{"never used, then unseen", {0, S, 5, 100}, {50 * S, 60 * S}, 7, 0, 15, 27},
		{"nothing overflows",
		 {WORD(7, UINT32_MAX - 2), 1, 0, UINT32_MAX - 1},
		 {0, INT64_MAX},
		 7,
		 0,
		 UINT32_MAX - 1,
		 UINT32_MAX - 1},
	};

	for (size_t i = 0; i < N(rows); i++) {
		uint32_t count = usage_restored(&rows[i].kept, &rows[i].gap, rows[i].present,
						rows[i].begun_ns);

		cr_expect(count >= rows[i].least && count <= rows[i].most, "%s: %u", rows[i].what,
			  count);
	}
}
