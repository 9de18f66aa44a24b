/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "sidecar/publish.h"
#include "sidecar/segment.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <string.h>

Test(smoke, admits_exactly_the_burst)
{
	char path[] = "/dev/shm/tg-test-XXXXXX", reason[SEGMENT_REASON];
	struct segment_options o = {.path = path, .owner = -1, .group = -1, .engine_bytes = 64, .reserve_longest_ns = 60000000000ull,
		.sizes = {.flows = 1000, .workers = 8, .ring_records = 64, .minutes = 60, .leases = 16, .names_bytes = 65536}};
	struct segment *s;
	struct publish_limits l;
	struct tg *tg;
	struct tg_options to = {sizeof(to), path, -1, TG_CLOCK_AUTO, 0};
	struct tg_flow f;
	struct tg_source src; 
	int n = 0;

	cr_assert(mkdtemp(path) != NULL);
	cr_assert_eq(segment_open(&o, &s, reason), 0, "%s", reason);
	publish_unlimited(&l);
	l.interval_ns = 1000000000000ull; l.burst[0] = 10; l.burst[1] = 8; l.burst[2] = 5;
	uint8_t a[16] = {0,0,0,0,0,0,0,0,0,0,0xff,0xff,192,0,2,1};
	uint32_t slot = segment_flow(s, a, "example");
	cr_assert(slot != LAYOUT_NONE);
	publish_slot(s, slot, &l, 0);
	segment_live(s);
	cr_assert_eq(tg_attach(&to, &tg), 0);
	cr_assert_eq(tg_source(tg, "192.0.2.1", &src), 0);
	f = (struct tg_flow){slot, src.slot, 0, LAYOUT_NONE};
	for (int i = 0; i < 100; i++) n += tg_admit(tg, &f, TG_BULK, 1).reason == TG_ADMITTED;
	cr_expect_eq(n, 5);
	for (int i = 0; i < 100; i++) n += tg_admit(tg, &f, TG_TRANSACTIONAL, 1).reason == TG_ADMITTED;
	cr_expect_eq(n, 10);
	struct tg_lease lease;
	cr_expect_eq(tg_connect(tg, &f, TG_BULK, &lease).reason, TG_ADMITTED);
	cr_expect_eq(tg_disconnect(tg, &lease), 0);
	cr_expect_eq(tg_disconnect(tg, &lease), -22);
	tg_detach(tg);
	segment_close(s, false);
	cr_assert_eq(segment_open(&o, &s, reason), 0, "%s", reason);
	cr_expect(s->adopted);
	segment_close(s, true);
	cr_expect(access(path, F_OK) != 0);
}
