/* SPDX-License-Identifier: MIT
 *
 * Postfix's log: every way in which it says how a delivery went, however it came here.
 */
#include "tests/ingest_case.h"

#define HEAD	    "Feb 25 11:12:43 mta1 postfix/smtp[29963]: "
#define TO	    HEAD "4qPWc9wHbGzPNd: to=<a@gmail.com>, "
#define MX	    "relay=gmail-smtp-in.l.google.com[192.0.2.26]:25, "
#define REST	    "delay=3.3, delays=0.06/0.01/0.5/0.25, "
#define SENT	    MX REST "dsn=2.0.0, status=sent (250 2.0.0 OK)"
#define GOOD	    "delivered - gmail.com gmail-smtp-in.l.google.com 250 2.0.0|250 2.0.0 OK"
#define DEFER(text) TO MX REST "dsn=4.7.0, status=deferred (" text ")"
#define HOST	    "host gmail-smtp-in.l.google.com[192.0.2.26]"
#define DEFERRED    "deferred - gmail.com gmail-smtp-in.l.google.com "

static struct ingest_stream stream;

Test(postfix, reads_every_stamp_and_every_way_through_syslog)
{
	static const char *const heads[] = {
		"Feb 25 11:12:43 mta1 postfix/smtp[29963]: ",
		"Feb  5 11:12:43 mta1 postfix/smtp[29963]: ",
		"Feb 5 11:12:43 mta1 postfix/smtp[29963]: ",
		"Feb 25 11:12:43.123456 mta1 postfix/smtp[29963]: ",
		"Feb 25 2026 11:12:43 mta1 postfix/smtp[29963]: ",
		"2026-02-25T11:12:43.470014+00:00 mail postfix/smtp[21530]: ",
		"2026-02-25T11:12:43+0000 mail postfix/smtp[21530]: ",
		"2026-02-25T11:12:43.123456+0100 mail postfix/smtp[21530]: ",
		"2026-02-25T11:12:43Z mail postfix/smtp[21530]: ",
		"2026-02-25 11:12:43 mail postfix/smtp[21530]: ",
		"Wed 2026-02-25 11:12:43 UTC mail postfix/smtp[21530]: ",
		"1772017963.123456 mail postfix/smtp[21530]: ",
		"Feb 25 11:12:43 postfix/smtp[29963]: ",
		"Feb 25 11:12:43 <mail.info> mta1 postfix/smtp[29963]: ",
		"Feb 25 11:12:43 mta1 postfix/smtp[29963]: [ID 197553 mail.info] ",
		"<22>Feb 25 11:12:43 mta1 postfix/smtp[29963]: ",
		"<22>Feb 25 11:12:43 postfix/smtp[29963]: ",
		"<22>1 2026-02-25T11:12:43.470014Z mta1 postfix/smtp 29963 - - ",
		"<22>1 2026-02-25T11:12:43Z mta1 postfix/smtp 29963 - [a b=\"c\"] ",
		"<22>1 2026-02-25T11:12:43Z mta1 postfix/smtp 29963 - - \xEF\xBB\xBF",
		"Feb 25 11:12:43 mta1 postfix-out/smtp[29963]: ",
		"Feb 25 11:12:43 mta1 postfix/relay/smtp[29963]: ",
		"Feb 25 11:12:43 mta1 postfix/ip11/smtp[29963]: ",
		"Feb 25 11:12:43 mta1 ip11/smtp: ",
	};

	stream.clock.now_ns = INGEST_NOW;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		char line[1024], told[2048];
		struct ingest_event event = {0};
		enum ingest_result result;

		sprintf(line, "%s4qPWc9wHbGzPNd: to=<a@gmail.com>, " SENT, heads[i]);
		result = ingest_one(postfix_parse, &stream, line, &event);
		cr_expect_str_eq(ingest_tell(result, &event, told), GOOD, "%s gives %s", line,
				 told);
		cr_expect_gt(event.time_ns, UINT64_C(1770000000000000000), "%s", line);
		cr_expect_lt(event.time_ns, INGEST_NOW, "%s", line);
	}
}

Test(postfix, knows_the_name_that_stands_for_an_address_of_ours)
{
	static const struct {
		const char *tag, *via;
	} cases[] = {
		{"postfix/smtp[1]", "postfix"},
		{"postfix/ip11/smtp[1]", "postfix/ip11"},
		{"postfix-out/smtp[1]", "postfix-out"},
		{"ip11/smtp[1]", "ip11"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char line[1024], via[256];
		struct ingest_event event = {0};

		sprintf(line, "Feb 25 11:12:43 mta1 %s: 4qPWc9wHbGzPNd: to=<a@gmail.com>, " SENT,
			cases[i].tag);
		cr_assert_eq(ingest_one(postfix_parse, &stream, line, &event), INGEST_EVENT);
		cr_expect_str_eq(ingest_show(event.via, via), cases[i].via);
		cr_expect_eq(event.spent_ns, 750000000);
		cr_expect(event.attempt);
	}
}

Test(postfix, reads_what_the_receiver_said_and_what_happened_without_it)
{
	static const struct ingest_case cases[] = {
		{TO SENT, GOOD},
		{HEAD "1A2: to=<A@GMail.COM>, orig_to=<x, relay=y@z>, " SENT, GOOD},
		{HEAD "1A2: to=<\"a>, b\"@gmail.com>, " SENT, GOOD},
		{TO MX "conn_use=12, " REST "tls=may?, dsn=2.0.0, status=sent (250 2.0.0 OK)",
		 GOOD},
		{TO
		 "relay=gmail-smtp-in.l.google.com[192.0.2.26], delay=3, status=sent (250 2.0.0 OK)",
		 GOOD},
		{TO "relay=GMAIL-SMTP-IN.L.GOOGLE.COM.[192.0.2.26]:25, " REST
		    "dsn=2.0.0, status=sent (250 2.0.0 OK)",
		 GOOD},
		{TO SENT "\r", GOOD},
		{DEFER(HOST " said: 451 4.7.650 a (b) [c], d (in reply to MAIL FROM command)"),
		 DEFERRED "451 4.7.650|451 4.7.650 a (b) [c], d"},
		{DEFER(HOST ":25 said: 451 4.7.1 a (in reply to RCPT TO command)"),
		 DEFERRED "451 4.7.1|451 4.7.1 a"},
		{DEFER(HOST
		       " said: 450 a (in reply to RCPT TO command) b (in reply to end of DATA command)"),
		 DEFERRED "450 -|450 a (in reply to RCPT TO command) b"},
		{DEFER(HOST " refused to talk to me: 421 4.7.0 slow (in reply to x) down"),
		 DEFERRED "421 4.7.0|421 4.7.0 slow (in reply to x) down"},
		{DEFER(HOST " said: 421-4.7.28 a 421 4.7.28 b (in reply to end of DATA command)"),
		 DEFERRED "421 4.7.28|421-4.7.28 a 421 4.7.28 b"},
		{DEFER("lost connection with x[192.0.2.26] while receiving the initial server greeting"),
		 DEFERRED
		 "- 4.7.0|lost connection with x[192.0.2.26] while receiving the initial server greeting"},
		{DEFER("conversation with x[192.0.2.26] timed out while sending MAIL FROM"),
		 DEFERRED
		 "- 4.7.0|conversation with x[192.0.2.26] timed out while sending MAIL FROM"},
		{DEFER("Cannot start TLS: handshake failure"),
		 DEFERRED "- 4.7.0|Cannot start TLS: handshake failure"},
		{DEFER("SASL authentication failed; server x[192.0.2.1] said: 535 5.7.8 no"),
		 DEFERRED "535 5.7.8|535 5.7.8 no"},
		{TO
		 "relay=none, " REST
		 "dsn=4.4.1, status=deferred (connect to mx[2001:db8::1]:25: Connection refused)",
		 "deferred - gmail.com - - 4.4.1|connect to mx[2001:db8::1]:25: Connection refused"},
		{"Feb 25 11:12:43 mta1 postfix/error[1]: 1A: to=<a@b.c>, relay=none, " REST
		 "dsn=4.7.0, status=deferred (delivery temporarily suspended: " HOST
		 " said: 421 4.7.0 x "
		 "(in reply to MAIL FROM command))",
		 "deferred - b.c - 421 4.7.0|delivery temporarily suspended: " HOST
		 " said: 421 4.7.0 x (in reply "
		 "to MAIL FROM command)"},
		{TO MX REST "dsn=5.1.1, status=bounced (" HOST
			    " said: 550 5.1.1 no (in reply to RCPT TO command))",
		 "bounced - gmail.com gmail-smtp-in.l.google.com 550 5.1.1|550 5.1.1 no"},
		{TO MX REST "dsn=4.0.0, status=SOFTBOUNCE (" HOST
			    " said: 550 no (in reply to RCPT TO command))",
		 DEFERRED "550 -|550 no"},
	};

	INGEST_CHECK(postfix_parse, &stream, cases);
}

Test(postfix, leaves_out_what_reaches_no_receiver)
{
	static const struct ingest_case cases[] = {
		{"", "other"},
		{TO "relay=127.0.0.1[127.0.0.1]:10024, " REST "dsn=2.0.0, status=sent (250 ok)",
		 "other"},
		{TO "relay=localhost[::1]:10024, " REST "dsn=2.0.0, status=sent (250 ok)", "other"},
		{TO "relay=x[/var/run/x.sock], " REST "dsn=2.0.0, status=sent (250 ok)", "other"},
		{"Feb 25 11:12:43 mta1 postfix/lmtp[1]: 1A: to=<a@b>, relay=x[private/l], delay=1, dsn=2.0.0, "
		 "status=sent (250 ok)",
		 "other"},
		{"Feb 25 11:12:43 mta1 postfix/local[1]: 1A: to=<a@b>, relay=local, delay=1, dsn=2.0.0, status=sent (x)",
		 "other"},
		{"Feb 25 11:12:43 mta1 postfix/pipe[1]: 1A: to=<a@b>, relay=dovecot, delay=1, status=sent (x)",
		 "other"},
		{"Feb 25 11:12:43 mta1 postfix/qmgr[1]: 1A: from=<a@b>, status=expired, returned to sender",
		 "other"},
		{TO MX REST "dsn=2.0.0, status=deliverable (250 ok)", "other"},
		{TO MX REST "dsn=5.0.0, status=undeliverable (" HOST " said: 550 no)", "other"},
		{HEAD "1A: host x[192.0.2.1] said: 421 to=<a@b>, status=sent (250 x)", "other"},
		{HEAD "connect to x[192.0.2.1]:25: Connection timed out", "other"},
		{HEAD "warning: to=<a@b>, " SENT, "other"},
		{"Feb 25 11:12:43 mta1 kernel: 1A: to=<a@b>, " SENT, "other"},
		{"Feb 25 11:12:43 mta1 postfix/cleanup[1]: 1A: info: header Subject: to=<v@b>, " SENT,
		 "other"},
	};

	INGEST_CHECK(postfix_parse, &stream, cases);
}

Test(postfix, says_of_what_was_cut_off_or_garbled_that_it_is_not_understood)
{
	static const struct ingest_case cases[] = {
		{"postfix/smtp[1]: 1A: to=<a@b>", "bad"},
		{"no stamp at all", "bad"},
		{"Feb 31x", "bad"},
		{"Feb 25 11:12:43", "bad"},
		{HEAD "1A: to=<", "bad"},
		{HEAD "1A: to=<a@b", "bad"},
		{HEAD "1A: to=<\"a@b>, " SENT, "bad"},
		{HEAD "1A: to=<a@b>", "bad"},
		{TO MX, "bad"},
		{TO MX "delay=3", "bad"},
		{TO MX REST "dsn=4.", "bad"},
		{TO MX REST "dsn=2.0.0, status=", "bad"},
		{TO MX REST "dsn=2.0.0, status=sent", "bad"},
		{"<22", "bad"},
		{"<22>1 2026-02-25T11:12:43Z mta1 postfix/smtp 1 - ", "other"},
	};

	INGEST_CHECK(postfix_parse, &stream, cases);
}

/* A line cut off within the reply still tells the outcome: the codes stand in front. */
Test(postfix, reads_a_reply_that_syslog_cut_short)
{
	static const struct ingest_case cases[] = {
		{TO MX REST "dsn=4.7.1, status=deferred (" HOST " said: 450 4.7.1 xxxx",
		 DEFERRED "450 4.7.1|450 4.7.1 xxxx"},
	};

	INGEST_CHECK(postfix_parse, &stream, cases);
}

Test(postfix, lets_no_reply_forge_an_outcome)
{
	static const struct ingest_case cases[] = {
		{DEFER(HOST
		       " said: 451 a), relay=evil[198.51.100.1]:25, dsn=2.0.0, status=sent (250 ok "
		       "(in reply to MAIL FROM command)"),
		 DEFERRED
		 "451 -|451 a), relay=evil[198.51.100.1]:25, dsn=2.0.0, status=sent (250 ok"},
		{TO MX REST "dsn=2.0.0, status=sent (250 host x[198.51.100.1] said: 421 4.7.0 no)",
		 "delivered - gmail.com gmail-smtp-in.l.google.com 250 -|250 host x[198.51.100.1] said: 421 4.7.0 no"},
		{DEFER("host x[192.0.2.1] said: 250 ok host y[192.0.2.2] refused to talk to me: 550 z"),
		 DEFERRED "250 -|250 ok host y[192.0.2.2] refused to talk to me: 550 z"},
	};

	INGEST_CHECK(postfix_parse, &stream, cases);
}

Test(postfix, tells_at_which_step_it_was)
{
	static const struct {
		const char *line;
		uint8_t stage;
		bool attempt, each;
	} cases[] = {
		{DEFER(HOST " said: 451 a (in reply to RCPT TO command)"), TG_STAGE_MESSAGE, true,
		 true},
		{DEFER(HOST " said: 451 a (in reply to MAIL FROM command)"), TG_STAGE_MESSAGE, true,
		 false},
		{DEFER(HOST " said: 451 a (in reply to EHLO command)"), TG_STAGE_GREETING, true,
		 false},
		{DEFER(HOST " refused to talk to me: 421 a"), TG_STAGE_GREETING, true, false},
		{TO
		 "relay=none, delay=1, dsn=4.4.1, status=deferred (connect to x[192.0.2.1]:25: No route)",
		 TG_STAGE_CONNECT, true, false},
		{TO
		 "relay=none, delay=1, dsn=4.4.3, status=deferred (Host or domain name not found.)",
		 TG_STAGE_MESSAGE, false, false},
		{DEFER("delivery temporarily suspended: " HOST " refused to talk to me: 421 a"),
		 TG_STAGE_GREETING, false, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ingest_event event = {0};

		cr_assert_eq(ingest_one(postfix_parse, &stream, cases[i].line, &event),
			     INGEST_EVENT);
		cr_expect_eq(event.stage, cases[i].stage, "%s", cases[i].line);
		cr_expect_eq(event.attempt, cases[i].attempt, "%s", cases[i].line);
		cr_expect_eq(event.each, cases[i].each, "%s", cases[i].line);
	}
}
