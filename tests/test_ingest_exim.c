/* SPDX-License-Identifier: MIT
 *
 * Exim's main log: log_selector decides what is in a line, so fields are told by their names.
 */
#include "tests/ingest_case.h"

#define HEAD  "2026-02-25 10:52:06.424 [10163] 1vqAGI-000000zFO0Q-w9KS "
#define ROUTE "R=dnslookup T=remote_smtp "
#define HOST  "H=mx.example.org [198.51.100.7]:25 "
#define LOCAL "I=[203.0.113.11]:43565"
#define SMTP  "SMTP error from remote mail server after "
#define MXIS  "203.0.113.11 b.c mx.example.org "

static struct ingest_stream stream;

Test(exim, reads_stamps_pids_and_both_forms_of_ids)
{
	static const char *const heads[] = {
		"2026-02-25 10:52:06 1vqAGI-000zFO-KS ",
		"2026-02-25 10:52:06.424 1vqAGI-000zFO-KS ",
		"2026-02-25 10:52:06 +0100 1vqAGI-000zFO-KS ",
		"2026-02-25 10:52:06.424 +0100 [771] 1vqAGI-000000zFO0Q-w9KS ",
		"2026-02-25 10:52:06 [771] 1vqAGI-000000zFO0Q-w9KS ",
		"Feb 25 10:52:06 mta1 exim[771]: 2026-02-25 10:52:06 1vqAGI-000zFO-KS ",
		"Feb 25 10:52:06 mta1 exim[771]: 1vqAGI-000zFO-KS ",
		"<22>Feb 25 10:52:06 exim[771]: 1vqAGI-000zFO-KS ",
		"2026-02-25T10:52:06.424+00:00 mta1 exim[771]: [771] 1vqAGI-000zFO-KS ",
	};

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		char line[1024], told[2048];
		struct ingest_event event = {0};
		enum ingest_result result;

		sprintf(line, "%s=> a@b.c " ROUTE HOST LOCAL " C=\"250 2.0.0 ok\" DT=1.5s",
			heads[i]);
		result = ingest_one(exim_parse, &stream, line, &event);
		cr_expect_str_eq(ingest_tell(result, &event, told),
				 "delivered " MXIS "250 2.0.0|250 2.0.0 ok", "%s gives %s", line,
				 told);
		cr_expect_eq(event.spent_ns, UINT64_C(1500000000));
		cr_expect_gt(event.time_ns, UINT64_C(1770000000000000000), "%s", line);
	}
}

Test(exim, reads_every_flag_and_whatever_fields_there_are)
{
	static const struct ingest_case cases[] = {
		{HEAD "=> a@B.C F=<s@x> P=<s@x> " ROUTE "S=123 " HOST LOCAL
		      " X=TLS1.3:A:256 CV=yes DN=\"/C=x: y\" "
		      "L K C=\"250 a \\\"b\\\": c\" QT=6s DT=1m2s",
		 "delivered " MXIS "250 -|250 a \"b\": c"},
		{HEAD "-> a@b.c <o@d.e> " ROUTE HOST LOCAL " C=\"250 ok\"",
		 "delivered " MXIS "250 -|250 ok"},
		{HEAD ">> a@b.c (p@d.e) <o@d.e> " ROUTE HOST LOCAL " C=\"250 ok\"",
		 "delivered " MXIS "250 -|250 ok"},
		{HEAD "=> a@b.c " ROUTE HOST, "delivered - b.c mx.example.org - -|-"},
		{HEAD "=> a@b.c " ROUTE
		      "H=mx.example.org [2001:db8::1] I=[2001:db8::2] C=\"250-a\\n250 b\"",
		 "delivered 2001:db8::2 b.c mx.example.org 250 -|250-a 250 b"},
		{HEAD "=> \"a b: c\"@b.c <x@y> " ROUTE HOST LOCAL "* C=\"250 ok\"",
		 "delivered " MXIS "250 -|250 ok"},
		{HEAD "== a@b.c " ROUTE "defer (-45) " HOST LOCAL ": " SMTP
		      "MAIL FROM:<s@x> SIZE=1: 451 4.7.1 a: b",
		 "deferred " MXIS "451 4.7.1|451 4.7.1 a: b"},
		{HEAD "== a@b.c " ROUTE "defer (-45) DT=2s " HOST LOCAL " X=a CV=yes: " SMTP
		      "pipelined end of data: 421-a\\n421 b",
		 "deferred " MXIS "421 -|421-a 421 b"},
		{HEAD "== a@b.c " ROUTE "defer (0) " HOST LOCAL ": " SMTP
		      "initial connection: 421 no",
		 "deferred " MXIS "421 -|421 no"},
		{HEAD "** a@b.c <o@b.c> " ROUTE HOST LOCAL " X=a DN=\"x\" : " SMTP
		      "RCPT TO:<a@b.c>: 550 5.1.1 no",
		 "bounced " MXIS "550 5.1.1|550 5.1.1 no"},
		{HEAD "** a@b.c R=r: Unrouteable address",
		 "bounced - b.c - - -|Unrouteable address"},
		{HEAD "** a@b.c: Unrouteable address", "bounced - b.c - - -|Unrouteable address"},
		{HEAD "== a@b.c " ROUTE "defer (111): Connection refused",
		 "deferred - b.c - - -|Connection refused"},
		{HEAD "== a@b.c " ROUTE "defer (110): Connection timed out " HOST "DT=5m",
		 "deferred - b.c mx.example.org - -|Connection timed out"},
		{HEAD "== a@b.c " ROUTE "defer (-53): retry time not reached for any host",
		 "deferred - b.c - - -|retry time not reached for any host"},
		{HEAD "== a@b.c " ROUTE "defer (-44): " SMTP
		      "RCPT TO:<a@b.c>: host Mx.Example.Org [198.51.100.7]: 450 x",
		 "deferred - b.c mx.example.org 450 -|450 x"},
		{HEAD "** a@b.c " ROUTE HOST LOCAL ": " SMTP "end of data: no code",
		 "bounced " MXIS "- -|" SMTP "end of data: no code"},
	};

	INGEST_CHECK(exim_parse, &stream, cases);
}

Test(exim, leaves_out_what_is_no_delivery_to_a_receiver)
{
	static const struct ingest_case cases[] = {
		{"", "other"},
		{HEAD "<= s@x H=a [192.0.2.1] P=esmtp S=1", "other"},
		{HEAD "Completed QT=3s", "other"},
		{HEAD "*> a@b.c " ROUTE HOST LOCAL " C=\"250 ok\"", "other"},
		{HEAD "=> a <a@b.c> R=local_user T=local_delivery", "other"},
		{HEAD "=> a@b.c R=l T=lmtp C=\"250 ok\"", "other"},
		{HEAD "=> :blackhole: <a@b.c> R=r", "other"},
		{HEAD "== |/bin/x <a@b.c> R=r T=pipe defer (0): x", "other"},
		{HEAD "== /dev/full <a@b.c> R=r T=file defer (28): No space", "other"},
		{HEAD "=> a@b.c " ROUTE "H=localhost [127.0.0.1]:10024 C=\"250 ok\"", "other"},
		{HEAD "H=mx [192.0.2.1]: " SMTP "RCPT TO:<a@b>: 451 x", "other"},
		{"2026-02-25 10:52:06 exim 4.99 daemon started: pid=1", "other"},
		{"2026-02-25 10:52:06 [1] SMTP connection from [192.0.2.1]", "other"},
	};

	INGEST_CHECK(exim_parse, &stream, cases);
}

Test(exim, says_of_what_was_cut_off_or_garbled_that_it_is_not_understood)
{
	static const struct ingest_case cases[] = {
		{"x", "bad"},
		{"2026-02-25 10:52", "bad"},
		{HEAD "=> \"a@b.c " ROUTE HOST, "bad"},
		{HEAD "=> a@b.c " ROUTE "H=mx [198.51.100.7", "bad"},
		{HEAD "=> a@b.c " ROUTE HOST LOCAL " C=\"250 ok", "bad"},
		{HEAD "== a@b.c " ROUTE "defer (-4", "bad"},
		{HEAD "== a@b.c <o@", "bad"},
	};

	INGEST_CHECK(exim_parse, &stream, cases);
}

Test(exim, lets_no_reply_and_no_address_forge_an_outcome)
{
	static const struct ingest_case cases[] = {
		{HEAD
		 "== a@b.c " ROUTE "defer (-45) " HOST LOCAL ": " SMTP
		 "MAIL FROM:<s@x>: 451 x H=evil [192.0.2.9]:25 I=[192.0.2.8]:1 C=\"250 ok\": " SMTP
		 "x: 250 y",
		 "deferred " MXIS
		 "451 -|451 x H=evil [192.0.2.9]:25 I=[192.0.2.8]:1 C=\"250 ok\": " SMTP
		 "x: 250 y"},
		{HEAD "== \"x: 250 fake\"@b.c " ROUTE "defer (-44) " HOST LOCAL ": " SMTP
		      "RCPT TO:<\"x: 250 fake\"@b.c>: 452 no",
		 "deferred " MXIS "452 -|452 no"},
		{HEAD "=> a@b.c " ROUTE HOST LOCAL
		      " C=\"250 ok\\\" H=evil [192.0.2.9]:25 I=[192.0.2.8]:1 C=\\\"421 no\"",
		 "delivered " MXIS
		 "250 -|250 ok\" H=evil [192.0.2.9]:25 I=[192.0.2.8]:1 C=\"421 no"},
		{HEAD "== a@b.c " ROUTE "defer (-45) " HOST LOCAL ": " SMTP
		      "end of data: 451 host evil [192.0.2.9]: 250 ok",
		 "deferred " MXIS "451 -|451 host evil [192.0.2.9]: 250 ok"},
	};

	INGEST_CHECK(exim_parse, &stream, cases);
}
