/* SPDX-License-Identifier: MIT
 *
 * The logs that are JSON, or partly: KumoMTA, SendGrid, Haraka, and lines of our own.
 */
#include "tests/ingest_case.h"

static struct ingest_stream stream;

/* ---- KumoMTA --------------------------------------------------------------------------------- */

#define KUMO(type, recipient, response)                                                              \
	"{\"type\":\"" type "\",\"recipient\":" recipient                                            \
	",\"queue\":\"c:t@q.example!r.example\","                                                    \
	"\"meta\":{\"type\":\"Delivery\",\"a\":[{\"b\":\"}\"}]},\"response\":" response ","          \
	"\"peer_address\":{\"name\":\"MX.B.C.\",\"addr\":\"192.0.2.1\"},\"egress_source\":\"ip-1\"," \
	"\"source_address\":{\"address\":\"203.0.113.1:25\",\"server\":\"198.51.100.1:1\"},"         \
	"\"event_time\":\"2026-02-25T11:12:42.25Z\",\"timestamp\":1,\"delivery_protocol\":\"ESMTP\"}"
#define RESPONSE(code, enhanced, content)                                          \
	"{\"code\":" code ",\"enhanced_code\":" enhanced ",\"content\":\"" content \
	"\",\"command\":\"RCPT TO:<a>\"}"
#define E471 "{\"class\":4,\"subject\":7,\"detail\":1}"
#define INTERNAL \
	"KumoMTA internal: failed to connect to any candidate hosts: connect to 192.0.2.55:25: "
#define REJECTED INTERNAL "Command rejected Response { code: 421, enhanced_code: "
#define FROM	 " 203.0.113.1 b.c mx.b.c "

Test(kumomta, reads_outcomes_and_leaves_the_rest)
{
	static const struct ingest_case cases[] = {
		{KUMO("Delivery", "\"a@B.c\"", RESPONSE("250", "null", "ok \\\"x\\\" \\u00e9")),
		 "delivered" FROM "250 -|ok \"x\" \xC3\xA9"},
		{KUMO("TransientFailure", "[\"a@b.c\",\"d@b.c\"]",
		      RESPONSE("451", E471, "a\\r\\nb\\n")),
		 "deferred" FROM "451 4.7.1|a b"},
		{KUMO("Bounce", "\"nodomain\"", RESPONSE("550", "null", "no")),
		 "bounced 203.0.113.1 q.example mx.b.c 550 -|no"},
		{KUMO("Expiration", "\"a@b.c\"", RESPONSE("551", "null", "KumoMTA internal: old")),
		 "bounced" FROM "551 -|KumoMTA internal: old"},
		{KUMO("Reception", "\"a@b.c\"", RESPONSE("250", "null", "ok")), "other"},
		{KUMO("Rejection", "\"a@b.c\"", RESPONSE("451", "null", "no")), "other"},
		{KUMO("Delayed", "\"a@b.c\"", RESPONSE("451", "null", "no")), "other"},
		{KUMO("AdminBounce", "\"a@b.c\"", RESPONSE("551", "null", "no")), "other"},
		{KUMO("OOB", "\"a@b.c\"", RESPONSE("550", "null", "no")), "other"},
		{"{\"type\":\"Delivery\",\"delivery_protocol\":\"Maildir\",\"recipient\":\"a@b.c\"}",
		 "other"},
		{" ", "other"},
	};

	INGEST_CHECK(kumomta_parse, &stream, cases);
}

Test(kumomta, finds_the_greeting_that_hides_in_its_own_words)
{
	static const struct {
		const char *content, *heard;
		unsigned code, enhanced;
		bool is;
	} cases[] = {
		{REJECTED "Some(EnhancedStatusCode { class: 4, subject: 7, detail: 0 }), content: "
			  "\\\"[TSS04] a \\\\\\\"b\\\\\\\" c\\\", command: None }",
		 "[TSS04] a \\\"b\\\" c", 421, REPLY_ENHANCED(4, 7, 0), true},
		{REJECTED "None, content: \\\"slow\\\", command: None }", "slow", 421, 0, true},
		{REJECTED
		 "None, content: \\\"Command rejected Response { code: 250, enhanced_code: None, content: "
		 "\\\\\\\"x\\\\\\\"\\\", command: None }",
		 "Command rejected Response { code: 250, enhanced_code: None, content: \\\"x\\\"",
		 421, 0, true},
		{INTERNAL "deadline has elapsed", NULL, 0, 0, false},
		{REJECTED "Some(Enhanced", NULL, 0, 0, false},
		{REJECTED "None, content: ", NULL, 0, 0, false},
		{INTERNAL "Command rejected Response { code: 9", NULL, 0, 0, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char line[4096], heard[4096];
		struct ingest_event event = {0};

		sprintf(line, KUMO("TransientFailure", "\"a@b.c\"", RESPONSE("400", "null", "%s")),
			cases[i].content);
		cr_assert_eq(ingest_one(kumomta_parse, &stream, line, &event), INGEST_EVENT, "%s",
			     line);
		cr_expect_eq(event.code, 400);
		cr_expect_eq(event.heard, cases[i].is, "%s", line);
		if (!cases[i].is)
			continue;
		cr_expect_eq(event.heard_code, cases[i].code);
		cr_expect_eq(event.heard_enhanced, cases[i].enhanced);
		cr_expect_str_eq(ingest_show(event.heard_text, heard), cases[i].heard);
		cr_expect_eq(event.stage, TG_STAGE_GREETING);
	}
}

Test(kumomta, takes_the_phrase_for_its_own_only_where_the_text_begins_with_it)
{
	struct ingest_event event = {0};

	ingest_one(kumomta_parse, &stream,
		   KUMO("TransientFailure", "\"a@b.c\"",
			RESPONSE("421", "null", "x " REJECTED "None, content: ")),
		   &event);
	cr_expect_eq(event.heard_code, 421);
	cr_expect_eq(event.n, 1);
	cr_expect(event.each);
	cr_expect_eq(event.time_ns, UINT64_C(1772017962250000000));
}

/* ---- SendGrid -------------------------------------------------------------------------------- */

#define GRID(event, more)                                                                                                 \
	"{\"email\":\"a@B.c\",\"timestamp\":1772017960,\"unique_args\":{\"event\":\"delivered\",\"response\":\"250 x\"}," \
	"\"event\":\"" event "\"" more "}"

static unsigned grid(const char *body, struct ingest_event *events, enum ingest_result *ret_last)
{
	size_t length = strlen(body);
	struct ingest_line line = {guard_copy(body, length), length, 0, 0};
	unsigned count = 0;

	while ((*ret_last = sendgrid_parse(&stream, &line, &events[count])) == INGEST_EVENT)
		count++;
	return count;
}

Test(sendgrid, reads_each_event_of_a_body)
{
	static const struct {
		const char *body;
		unsigned count, first;
		enum ingest_result last;
	} cases[] = {
		{"[]", 0, 0, INGEST_OTHER},
		{"", 0, 0, INGEST_OTHER},
		{"[" GRID("deferred", "") "]", 1, 1, INGEST_OTHER},
		{GRID("bounce", ""), 1, 1, INGEST_OTHER},
		{"[" GRID("open", "") "," GRID("dropped", ",\"reason\":\"421 x\"") ",\r\n" GRID(
			 "blocked", "") "," GRID("delivered", "") "]",
		 2, 3, INGEST_OTHER},
		{"[" GRID("deferred", "") ",", 1, 1,
		 INGEST_OTHER}, /* broken over lines between its events */
		{GRID("deferred", "") "]", 1, 1, INGEST_OTHER},
		{"[" GRID("deferred", "") ",{\"email\":\"a@", 0, 0, INGEST_BAD},
		{"[" GRID("deferred", "") ",1]", 0, 0, INGEST_BAD},
		{"<html>", 0, 0, INGEST_BAD},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ingest_event events[8] = {0};
		enum ingest_result last;

		cr_expect_eq(grid(cases[i].body, events, &last), cases[i].count, "%s",
			     cases[i].body);
		cr_expect_eq(last, cases[i].last, "%s", cases[i].body);
		if (cases[i].count > 0)
			cr_expect_eq(events[0].index, cases[i].first, "%s", cases[i].body);
	}
}

Test(sendgrid, reads_a_reply_a_reason_and_a_status)
{
	static const struct ingest_case cases[] = {
		{GRID("deferred", ",\"response\":\"451 4.7.1 a\",\"ip\":\"203.0.113.1\""),
		 "deferred 203.0.113.1 b.c - 451 4.7.1|451 4.7.1 a"},
		{GRID("bounce", ",\"reason\":\"550 a\",\"status\":\"5.1.1\""),
		 "bounced - b.c - 550 -|550 a"},
		{GRID("bounce", ",\"reason\":\"unable\",\"status\":\"5.4.4\""),
		 "bounced - b.c - - 5.4.4|unable"},
		{GRID("bounce", ",\"reason\":\"unable\",\"status\":\"5.0.0\""),
		 "bounced - b.c - - -|unable"},
		{GRID("delivered", ",\"response\":\"250 OK\""), "delivered - b.c - 250 -|250 OK"},
	};

	INGEST_CHECK(sendgrid_parse, &stream, cases);
}

/* ---- Haraka ---------------------------------------------------------------------------------- */

#define PLAIN "2026-02-25T11:12:40.420Z [NOTICE] [64C7.1] [outbound] "
#define FMT   "2026-02-25T11:12:40.420Z level=NOTICE uuid=64C7.1 origin=outbound message="
#define SENT \
	"file=1_2 domain=B.c host=mx.b.c ip=192.0.2.1 port=25 mode=SMTP tls=Y auth=N response=\"ok \\\"x\\\"\" delay=3 fails=0 rcpts=1/0/0"

Test(haraka, reads_the_three_formats)
{
	static const struct ingest_case cases[] = {
		{PLAIN " delivered " SENT, "delivered - b.c mx.b.c - -|ok \"x\""},
		{"[NOTICE] [64C7.1] [outbound] delivered " SENT,
		 "delivered - b.c mx.b.c - -|ok \"x\""},
		{"Feb 25 11:12:40 mta1 haraka[12]: [NOTICE] [64C7.1] [outbound]  delivered " SENT,
		 "delivered - b.c mx.b.c - -|ok \"x\""},
		{FMT "\"\" delivered " SENT, "delivered - b.c mx.b.c - -|ok \"x\""},
		{"{\"message\":\"\",\"level\":\"NOTICE\",\"uuid\":\"64C7.1\",\"origin\":\"outbound\",\"delivered file\":\"1\","
		 "\"domain\":\"b.c\",\"host\":\"mx.b.c\",\"ip\":\"192.0.2.1\",\"port\":25,\"mode\":\"SMTP\",\"response\":\"ok\"}",
		 "delivered - b.c mx.b.c - -|ok"},
		{"2026-02-25T11:12:40.420Z {\"level\":\"INFO\",\"origin\":\"outbound\",\"message\":\"bouncing mail: 550 5.1.1 no\"}",
		 "bounced - - - 550 5.1.1|550 5.1.1 no"},
		{FMT "\"Temp failing 1_2 for 64 seconds: Upstream error: 451 4.7.650 a \\\"b\\\"\"",
		 "deferred - - - 451 4.7.650|451 4.7.650 a \"b\""},
	};

	INGEST_CHECK(haraka_parse, &stream, cases);
}

Test(haraka, reads_every_reason)
{
	static const struct ingest_case cases[] = {
		{PLAIN "recipient <\"a> deferred: 421\"@b.c> deferred: 450 4.2.1 x",
		 "deferred - b.c - 450 4.2.1|450 4.2.1 x"},
		{PLAIN "recipient <a@b.c> rejected: 550 x", "bounced - b.c - 550 -|550 x"},
		{PLAIN "Temp failing 1 for 2 seconds: Some recipients temp failed: <a@b.c>",
		 "other"},
		{PLAIN "bouncing mail: Some recipients failed: <a@b.c>", "other"},
		{PLAIN "Temp failing 1 for 2 seconds: Upstream error: 421 a (b)",
		 "deferred - - - 421 -|421 a (b)"},
		{PLAIN "Temp failing 1 for 2 seconds: Upstream error: 421 x seconds: y",
		 "deferred - - - 421 -|421 x seconds: y"},
		{PLAIN "bouncing mail: Too many failures (Upstream error: 421 a (b))",
		 "bounced - - - 421 -|421 a (b)"},
		{PLAIN "Temp failing 1 for 2 seconds: Temporary MX lookup error for b.c",
		 "deferred - b.c - - -|Temporary MX lookup error for b.c"},
		{PLAIN "bouncing mail: Nowhere to deliver mail to for domain: b.c",
		 "bounced - b.c - - -|Nowhere to deliver mail to for domain: b.c"},
		{PLAIN "bouncing mail: 5.7.1 rejected", "bounced - - - - 5.7.1|5.7.1 rejected"},
		{PLAIN
		 "delivered file=1 domain=b.c host=x ip=192.0.2.1 port=24 mode=LMTP response=\"ok\"",
		 "other"},
		{PLAIN
		 "delivered file=1 domain=b.c host=x ip=127.0.0.1 port=25 mode=SMTP response=\"ok\"",
		 "other"},
		{PLAIN "S: 451 4.7.650 x", "other"},
		{"2026-02-25T11:12:40.420Z [NOTICE] [64C7.1] [core] recipient <a@b.c> rejected: 550 x",
		 "other"},
		{"2026-02-25T11:12:40.420Z Starting up Haraka", "other"},
		{"", "other"},
	};

	INGEST_CHECK(haraka_parse, &stream, cases);
}

Test(haraka, says_of_what_was_cut_off_that_it_is_not_understood)
{
	static const struct ingest_case cases[] = {
		{"x", "bad"},
		{PLAIN "delivered file=1 domain=b.c host=mx ip=192.0.2.1 response=\"ok", "bad"},
		{PLAIN "recipient <a@b", "bad"},
		{PLAIN "Temp failing 1_2 for 64 sec", "bad"},
		{FMT "\"Temp failing", "bad"},
		{"{\"origin\":\"outbound\",\"message\":\"bouncing mail: 550 no", "bad"},
		{"2026-02-25T11:12:40.420Z [NOTICE] [64C7", "bad"},
	};

	INGEST_CHECK(haraka_parse, &stream, cases);
}

Test(haraka, lets_no_response_forge_a_field)
{
	static const struct ingest_case cases[] = {
		{PLAIN
		 "delivered file=1 domain=b.c host=mx.b.c ip=192.0.2.1 mode=SMTP response=\"ok\\\" host=evil domain=e.vil\" "
		 "host=evil delay=1",
		 "delivered - b.c mx.b.c - -|ok\" host=evil domain=e.vil"},
	};

	INGEST_CHECK(haraka_parse, &stream, cases);
}

/* ---- our own --------------------------------------------------------------------------------- */

Test(json_log, reads_what_replay_reads_and_more)
{
	static const struct ingest_case cases[] = {
		{"{\"time\": 1772017960.5, \"source\": \"203.0.113.1\", \"destination\": \"Google\", \"reply\": \"421 4.7.28 x\"}",
		 "deferred 203.0.113.1 google - 421 4.7.28|421 4.7.28 x"},
		{"{\"recipient\": \"a@b.c\", \"mx\": \"mx.b.c.\", \"code\": 550}",
		 "bounced - b.c mx.b.c 550 -|-"},
		{"{\"domain\": \"b.c\", \"code\": 250, \"other\": [1, {\"code\": 550}]}",
		 "delivered - b.c - 250 -|-"},
		{"{\"domain\": \"b.c\", \"outcome\": \"deferred\"}", "deferred - b.c - - -|-"},
		{"{\"domain\": \"b.c\", \"code\": 0}", "deferred - b.c - - -|-"},
		{"{\"domain\": \"b.c\", \"reply\": \"451 x\", \"outcome\": \"bounced\"}",
		 "bounced - b.c - 451 -|451 x"},
		{"{\"domain\": \"b.c\"}", "bad"},
		{"{\"domain\": \"b.c\", \"code\": 250, \"time\": \"yesterday\"}", "bad"},
		{"{\"domain\": \"b.c\", \"code\": 250, \"outcome\": \"lost\"}", "bad"},
		{"{\"domain\": \"b.c\", \"code\": 250", "bad"},
		{"{\"domain\": \"b.c\", \"code\": 250} x", "bad"},
		{"[]", "bad"},
		{"", "other"},
	};

	INGEST_CHECK(json_log_parse, &stream, cases);
}
