/* SPDX-License-Identifier: MIT
 *
 * What is made of an event: its stamp, its reply, our address in it; and which format a log has.
 */
#include <stdlib.h>
#include <time.h>

#include "sidecar/base/json_scan.h"
#include "sidecar/ingest/format.h"
#include "tests/ingest_case.h"

Test(stamp, reads_each_form)
{
	static const struct {
		const char *text;
		size_t length;
		uint64_t ns;
	} cases[] = {
		{"2026-02-25T11:12:43Z x", 20, UINT64_C(1772017963000000000)},
		{"2026-02-25T11:12:43.25+01:00 x", 28, UINT64_C(1772014363250000000)},
		{"2026-02-25T11:12:43,5-0130 x", 26, UINT64_C(1772023363500000000)},
		{"2026-02-25 11:12:43 +0100 x", 25, UINT64_C(1772014363000000000)},
		{"2026-02-25 11:12:43+0000,x", 24, UINT64_C(1772017963000000000)},
		{"2026-02-25 11:12:43 x", 19, UINT64_C(1772017963000000000)},
		{"2026-02-25 11:12:43 UTC x", 23, UINT64_C(1772017963000000000)},
		{"Wed 2026-02-25 11:12:43 UTC x", 27, UINT64_C(1772017963000000000)},
		{"Feb 25 11:12:43 x", 15, UINT64_C(1772017963000000000)},
		{"Feb  5 11:12:43 x", 15, UINT64_C(1770289963000000000)},
		{"Dec 31 23:59:59 x", 15, UINT64_C(1767225599000000000)}, /* of last year */
		{"Feb 25 2024 11:12:43 x", 20, UINT64_C(1708859563000000000)},
		{"1772017963.5 x", 12, UINT64_C(1772017963500000000)},
		{"2024-02-29 00:00:00Z", 20, UINT64_C(1709164800000000000)},
		{"1970-01-01T00:00:00Z", 20, 0},
		{"2026-13-25T11:12:43Z", 0, 0},
		{"2026-02-25T24:12:43Z", 0, 0},
		{"2026-02-25", 0, 0},
		{"Foo 25 11:12:43 x", 0, 0},
		{"99999-99999", 0, 0},
		{"", 0, 0},
	};

	setenv("TZ", "UTC", 1);
	tzset();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stamp_clock clock = {.now_ns = INGEST_NOW};
		uint64_t ns = 0;
		size_t length = strlen(cases[i].text);

		cr_expect_eq(stamp_read(&clock, guard_copy(cases[i].text, length), length, &ns),
			     cases[i].length, "%s", cases[i].text);
		cr_expect_eq(ns, cases[i].ns, "%s: %lu", cases[i].text, (unsigned long)ns);
	}
}

Test(stamp, takes_local_time_where_no_zone_is_said)
{
	struct stamp_clock clock = {.now_ns = INGEST_NOW};
	uint64_t ns;

	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	cr_expect_eq(stamp_read(&clock, "2026-02-25 11:12:43", 19, &ns), 19);
	cr_expect_eq(ns, UINT64_C(1772014363000000000));
	cr_expect_eq(stamp_read(&clock, "2025-07-01 12:00:00", 19, &ns), 19);
	cr_expect_eq(ns, UINT64_C(1751364000000000000));
}

Test(event, finds_our_address_in_a_reply_and_takes_nothing_else_for_it)
{
	static const struct {
		const char *reply, *quoted;
	} cases[] = {
		{"451 The mail server [203.0.113.11] has been", "203.0.113.11"},
		{"421 Messages from 203.0.113.11 deferred - 4.16.55.1; see x", "203.0.113.11"},
		{"421 [2001:db8:25::11       4] unusual", "2001:db8:25::11"},
		{"421 [203.0.113.11      15] unusual", "203.0.113.11"},
		{"421 your IP Netblock 203.0.113.0/24. x", "-"},
		{"421 4.7.0 from 203.0.113.11.", "203.0.113.11"},
		{"450 <mx.example.org[192.0.2.2]>: rejected", "-"},
		{"550 Blocked - see https://x/?ip=203.0.113.11", "203.0.113.11"},
		{"550 [203.0.113.11]:43922 is listed, see http://x?ip=203.0.113.11",
		 "203.0.113.11"},
		{"550 http://x/query/ip/203.0.113.12 y", "203.0.113.12"},
		{"554 - <203.0.113.25> - x", "203.0.113.25"},
		{"451 (203.0.113.11), please", "203.0.113.11"},
		{"421 203.0.113.11 and 203.0.113.12", "-"},
		{"421 5.1.2.3 and 4.1.1.1", "-"},
		{"421 1.2.3.4.5 x 256.1.1.1 1.2.3", "-"},
		{"421 a1.2.3.4 1.2.3.4b 1.2.3.4.example.org", "-"},
		{"421 192.0.2.1 is us, said the host", "-"}, /* the peer's own */
		{"421 12:30:45 a::b:zz x", "-"},
		{"421", "-"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t length = strlen(cases[i].reply);
		struct ingest_event event = {
			.heard = true,
			.heard_text = {guard_copy(cases[i].reply, length), length},
			.peer = {"192.0.2.1", 9}};
		char quoted[256];

		cr_expect_str_eq(ingest_show(ingest_event_quoted(&event), quoted), cases[i].quoted,
				 "%s gives %s", cases[i].reply, quoted);
	}
}

Test(format, is_told_by_the_outcomes_that_it_finds)
{
	static const struct {
		const char *log, *format;
	} cases[] = {
		{"Feb 25 11:12:43 mta1 postfix/smtp[2]: 4q: to=<a@b.c>, relay=x[192.0.2.1]:25, delay=1, dsn=2.0.0, status=sent (250 ok)\n",
		 "postfix"},
		{"x\n2026-02-25 10:52:06 1vqAGI-000zFO-KS => a@b.c H=x [192.0.2.1] C=\"250 ok\"\n",
		 "exim"},
		{"type,rcpt,dsnDiag\nd,a@b.c,smtp;250 ok\n", "powermta"},
		{"{\"type\":\"Delivery\",\"recipient\":\"a@b.c\",\"response\":{\"code\":250,\"content\":\"ok\"}}\n",
		 "kumomta"},
		{"[NOTICE] [1] [outbound] bouncing mail: 550 no\n", "haraka"},
		{"[{\"event\":\"deferred\",\"email\":\"a@b.c\"}]\n", "sendgrid"},
		{"{\"source\":\"192.0.2.1\",\"destination\":\"x\",\"reply\":\"421 x\"}\n", "json"},
		{"nothing that is known\n", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char scratch[1024];
		const struct ingest_format *format = ingest_format_guess(
			cases[i].log, strlen(cases[i].log), INGEST_NOW, scratch);

		cr_expect_str_eq(format ? format->name : "-",
				 cases[i].format ? cases[i].format : "-", "%s", cases[i].log);
	}
}

/* ---- picking members out of JSON ------------------------------------------------------------- */

Test(json_scan, tells_what_is_whole_from_what_is_not)
{
	static const struct {
		const char *text;
		bool whole;
	} cases[] = {
		{"{}", true},
		{" { \"a\" : 1 , \"b\" : [ ] } ", true},
		{"{\"a\":\"\\\\\",\"b\":\"\\\"\"}", true},
		{"{\"a\":{\"b\":[{\"c\":\"]}\"}]},\"d\":null,\"e\":-1.5e3,\"f\":true}", true},
		{"{\"a\":1", false},
		{"{\"a\":}", false},
		{"{\"a\"1}", false},
		{"{\"a\":1 \"b\":2}", false},
		{"{\"a\":1,}", false},
		{"{,\"a\":1}", false},
		{"{\"a\":\"}", false},
		{"{\"a\":\"\\\"}", false},
		{"{\"a\":[}]}", false},
		{"{\"a\":tru}", false},
		{"{} x", false},
		{"[]", false},
		{"", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t length = strlen(cases[i].text);
		char *copy = guard_copy(cases[i].text, length);
		struct json_scan scan = {copy, copy + length, false};
		struct json_slice key;
		bool whole = json_scan_enter(&scan, '{');

		while (whole && json_scan_key(&scan, &key))
			json_scan_value(&scan);
		whole = whole && json_scan_done(&scan);
		cr_expect_eq(whole, cases[i].whole, "%s", cases[i].text);
	}
}

Test(json_scan, undoes_escapes_in_place)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{"plain", "plain"},
		{"a\\\"b\\\\c\\/d\\n\\t", "a\"b\\c/d\n\t"},
		{"\\u00e9\\u20AC\\ud83d\\ude00", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
		{"\\ud83d x \\u0000", "\xEF\xBF\xBD x \xEF\xBF\xBD"},
		{"\\u12 \\q \\", "\\u12 \\q \\"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t length = strlen(cases[i].from);
		struct json_slice slice = {JSON_KIND_TEXT, guard_copy(cases[i].from, length),
					   length};
		char told[64];

		json_slice_unescape(&slice);
		sprintf(told, "%.*s", (int)slice.length, slice.at);
		cr_expect_str_eq(told, cases[i].to, "%s", cases[i].from);
	}
}
