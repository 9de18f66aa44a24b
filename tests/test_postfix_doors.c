/* SPDX-License-Identifier: MIT
 *
 * What Postfix asks at its two doors, and what strangers may send there: bytes in, bytes out.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/config/generation.h"
#include "sidecar/doors/maps_door.h"
#include "sidecar/doors/policy_door.h"
#include "sidecar/ingest/event.h"
#include "tests/guard.h"

#define SECOND UINT64_C(1000000000)

static struct postfix_world {
	char path[64], file[96];
	struct segment *segment;
	struct engine *engine;
	struct generation generation;
	struct gatekeeper *gate;
	struct policy_door *policy;
	struct maps_door *maps;
} world;

static char state[128] __attribute__((aligned(16)));
static struct listener_answer answer;

static const char configuration[] =
	"limits: {rate: 1/h, burst: %d, adapt: false}\n"
	"pools: [{name: all, sources: [192.0.2.1, 192.0.2.2]}]\n"
	"postfix_policy: {listen: ['127.0.0.1:1'], source: 192.0.2.1}\n"
	"postfix_maps:\n"
	"  listen: ['127.0.0.1:2']\n"
	"  pool: all\n"
	"  sources: [{name: smtp-one, address: 192.0.2.1}, {name: smtp-two, address: 192.0.2.2}]\n";

static void segment_begin(void)
{
	char reason[SEGMENT_REASON];
	struct segment_options options = {
		.path = world.path,
		.owner = -1,
		.group = -1,
		.reserve_max_ns = 60 * SECOND,
		.sizes = {.flows = 1000,
			  .workers = 4,
			  .ring_records = 16,
			  .minutes = 10,
			  .leases = 8,
			  .names_bytes = 1 << 20},
	};

	engine_shape(&options);
	cr_assert_eq(segment_open(&options, &world.segment, reason), 0, "%s", reason);
	segment_live(world.segment);
}

static void begin_with(int burst)
{
	struct diagnostics report = {0};
	FILE *file;

	memset(state, 0, sizeof(state));
	cr_assert_leq(policy_protocol.state_size, sizeof(state));
	snprintf(world.path, sizeof(world.path), "/dev/shm/tollgate-doors-%d", (int)getpid());
	snprintf(world.file, sizeof(world.file), "%s.yaml", world.path);
	file = fopen(world.file, "w");
	cr_assert(file != NULL);
	fprintf(file, configuration, burst);
	fclose(file);
	segment_begin();
	cr_assert_eq(generation_load(world.file, &world.generation, &report), 0);
	diagnostics_free(&report);
	cr_assert_eq(engine_create(world.segment, &world.engine), 0);
	engine_wall_offset(world.engine, 0);
	cr_assert_eq(engine_configure(world.engine, world.generation.config,
				      world.generation.classifier, world.generation.rules,
				      loop_now()),
		     0);
	while (engine_work(world.engine, loop_now()) <= loop_now())
		;
	cr_assert_eq(gatekeeper_create(world.path, -1, &world.gate), 0);
	cr_assert_eq(policy_door_create(world.gate, &world.policy), 0);
	cr_assert_eq(maps_door_create(world.gate, world.engine, &(struct intake_gate){0}, &world.maps), 0);
	policy_door_configure(world.policy, &world.generation.config->policy);
	maps_door_configure(world.maps, world.generation.config);
}

static void begin(void)
{
	begin_with(2);
}

static void begin_open(void)
{
	begin_with(100);
}

static void end(void)
{
	policy_door_free(world.policy);
	maps_door_free(world.maps);
	gatekeeper_free(world.gate);
	engine_free(world.engine);
	generation_free(&world.generation);
	segment_close(world.segment, true);
	unlink(world.file);
	listener_answer_free(&answer);
}

TestSuite(postfix_doors, .init = begin, .fini = end);
TestSuite(postfix_doors_open, .init = begin_open, .fini = end);

/* The bytes end where nobody may read. */
static ssize_t give(const struct listener_protocol *protocol, void *door, const char *bytes,
		    size_t length)
{
	char *copy = guard_copy(bytes, length);
	uint64_t requests = 0;
	ssize_t taken;

	answer.length = 0;
	taken = protocol->take(door, state, copy, length, &answer, &requests);
	guard_free(copy, length);
	listener_answer_add(&answer, "", 1);
	return taken;
}

/* ---- the policy service ---------------------------------------------------------------------- */

static const char *policy(const char *recipient, const char *instance)
{
	char text[512];
	int length =
		snprintf(text, sizeof(text),
			 "request=smtpd_access_policy\nprotocol_state=RCPT\nsender=a@x.example\n"
			 "recipient=%s\ninstance=%s\n\n",
			 recipient, instance);

	cr_expect_eq(give(&policy_protocol, world.policy, text, (size_t)length), length);
	return answer.text;
}

Test(postfix_doors, policy_lets_what_the_gate_admits_pass_and_says_when_to_come_again)
{
	cr_expect_str_eq(policy("a@gmail.com", "1"), "action=DUNNO\n\n");
	cr_expect_str_eq(policy("b@gmail.com", "2"), "action=DUNNO\n\n");
	cr_expect_eq(
		strncmp(policy("c@gmail.com", "3"),
			"action=DEFER_IF_PERMIT 4.7.1 Mail to that destination is paced (rate): "
			"try again in 3",
			85),
		0, "%s", answer.text);
	cr_expect_str_eq(policy("c@elsewhere.example", "3"), "action=DUNNO\n\n",
			 "another destination");
}

Test(postfix_doors, policy_charges_a_message_once_whatever_its_recipients)
{
	for (int i = 0; i < 10; i++)
		cr_expect_str_eq(policy("a@gmail.com", "4f.1"), "action=DUNNO\n\n");
	cr_expect_str_eq(policy("a@gmail.com", "4f.2"), "action=DUNNO\n\n");
	cr_expect_eq(strncmp(policy("a@gmail.com", "4f.3"), "action=DEFER", 12), 0);
}

#define ASK  "request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=a@gmail.com\n\n"
#define PASS "action=DUNNO\n\n"

Test(postfix_doors_open, policy_bears_whatever_comes)
{
	static const struct {
		const char *bytes, *answer;
		ssize_t taken;
	} cases[] = {
		{"", "", 0},
		{"\n", PASS, 1}, /* an empty request */
		{"\r\n", PASS, 2},
		{ASK, PASS, sizeof(ASK) - 1},
		{ASK "requ", PASS, sizeof(ASK) - 1},
		{"request=smtpd_access_policy\n", "", 0},
		{"request=smtpd_access_policy\r\nprotocol_state=RCPT\r\nrecipient=a@gmail.com\r\n\r\n",
		 PASS, 75},
		{"request=other\nprotocol_state=RCPT\nrecipient=a@gmail.com\n\n", PASS, 57},
		{"request=smtpd_access_policy\nprotocol_state=DATA\n\n", PASS, 49},
		{"request=smtpd_access_policy\nprotocol_state=RCPT\n\n", PASS, 49},
		{"request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=\n\n", PASS, 60},
		{"request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=nobody\n\n", PASS,
		 66},
		{"request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=a@\n\n", PASS, 62},
		{"request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=a@..\n\n", PASS, 64},
		{"request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=\"a@b\"@gmail.com\n\n",
		 PASS, 75},
		{"GET / HTTP/1.1\r\n", "", LISTENER_BAD},
		{"=value\n\n", "", LISTENER_BAD},
		{ASK "nonsense\n", PASS, LISTENER_BAD},
		{"*1\r\n$4\r\nPING\r\n", "", LISTENER_BAD},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ssize_t taken = give(&policy_protocol, world.policy, cases[i].bytes,
				     strlen(cases[i].bytes));

		cr_expect_eq(taken, cases[i].taken, "case %zu: %zd", i, taken);
		cr_expect_str_eq(answer.text, cases[i].answer, "case %zu: %s", i, answer.text);
	}
}

/* ---- the maps -------------------------------------------------------------------------------- */

static const char *lookup(const char *map, const char *key)
{
	char text[1024], line[1100];
	int length = snprintf(text, sizeof(text), "%s %s", map, key);

	length = snprintf(line, sizeof(line), "%d:%s,", length, text);
	cr_expect_eq(give(&maps_protocol, world.maps, line, (size_t)length), length, "%s", line);
	return answer.text;
}

static uint32_t deferred(unsigned last)
{
	uint8_t address[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, (uint8_t)last};
	uint32_t slot = engine_claim(world.engine, address, "google", loop_now());

	return (uint32_t)world.segment->view.counters_more[slot].deferred;
}

Test(postfix_doors, maps_hear_outcomes_and_change_none)
{
	static const struct {
		const char *map, *key;
		unsigned one, two; /* deferred of each source by then */
	} cases[] = {
		{"smtp-one",
		 "4.7.28 host gmail-smtp-in.l.google.com[198.51.100.1] said: 421 4.7.28 slow "
		 "(in reply to MAIL FROM command)",
		 1, 0},
		{"smtp-one",
		 "4.7.28 host gmail-smtp-in.l.google.com[198.51.100.1] said: 421 4.7.28 slow "
		 "(in reply to MAIL FROM command)",
		 2, 0},
		{"192.0.2.2",
		 "4.4.1 connect to gmail-smtp-in.l.google.com[198.51.100.1]:25: Connection "
		 "timed out",
		 2, 1},
		{"smtp-two",
		 "4.7.0 host gmail-smtp-in.l.google.com[198.51.100.1] refused to talk to me: "
		 "421 4.7.0 no",
		 2, 2},
		{"smtp-two",
		 "4.4.2 lost connection with gmail-smtp-in.l.google.com[198.51.100.1] while "
		 "receiving the initial server greeting",
		 2, 3},
		/* Nothing was tried; nobody's source; no host; not an outcome. */
		{"smtp-two",
		 "4.4.1 delivery temporarily suspended: connect to "
		 "gmail-smtp-in.l.google.com[198.51.100.1]:25: Connection timed out",
		 2, 3},
		{"smtp-three",
		 "4.7.28 host gmail-smtp-in.l.google.com[198.51.100.1] said: 421 slow", 2, 3},
		{"smtp-one", "2.0.0 250 2.0.0 OK", 2, 3},
		{"smtp-one", "4.3.0 mail transport unavailable", 2, 3},
		{"smtp-one", "4.7.0 host filter.example[127.0.0.1] said: 451 no", 2, 3},
		{"smtp-one", "nonsense", 2, 3},
		{"smtp-one", "", 2, 3},
		{"smtp-one", "9.9.9 host gmail-smtp-in.l.google.com[198.51.100.1] said: 421 x", 2,
		 3},
		/* A host in a reply is the receiver's text. */
		{"smtp-one",
		 "4.7.1 host elsewhere.example[198.51.100.9] said: 451 4.7.1 host "
		 "gmail-smtp-in.l.google.com[198.51.100.1] said: 421 no",
		 2, 3},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_expect_str_eq(lookup(cases[i].map, cases[i].key), "9:NOTFOUND ,", "case %zu", i);
		cr_expect_eq(deferred(1), cases[i].one, "case %zu: %u", i, deferred(1));
		cr_expect_eq(deferred(2), cases[i].two, "case %zu: %u", i, deferred(2));
	}
}

Test(postfix_doors, maps_choose_a_transport_by_what_can_send)
{
	unsigned one = 0, two = 0;

	for (int i = 0; i < 200; i++) {
		const char *said = lookup("transport", "somebody@gmail.com");

		one += strcmp(said, "12:OK smtp-one:,") == 0;
		two += strcmp(said, "12:OK smtp-two:,") == 0;
	}
	cr_expect(one > 20 && two > 20 && one + two == 200, "%u, %u", one, two);
	/* One of them has nothing left. */
	policy("a@gmail.com", "1");
	policy("a@gmail.com", "2");
	for (int i = 0; i < 50; i++)
		cr_expect_str_eq(lookup("transport", "somebody@gmail.com"), "12:OK smtp-two:,");
	cr_expect_str_eq(lookup("transport", "*"), "9:NOTFOUND ,");
	cr_expect_str_eq(lookup("transport", "somebody"), "9:NOTFOUND ,");
	cr_expect_str_eq(lookup("transport", "somebody@"), "9:NOTFOUND ,");
	cr_expect_str_eq(lookup("transport", "somebody@.."), "9:NOTFOUND ,");
}

Test(postfix_doors_open, maps_bear_whatever_comes)
{
	static const struct {
		const char *bytes, *answer;
		ssize_t taken;
	} cases[] = {
		{"", "", 0},
		{"5", "", 0},
		{"5:", "", 0},
		{"5:a b c", "", 0},
		{"5:a b c,", "9:NOTFOUND ,", 8},
		{"5:a b c,5:a b c,", "9:NOTFOUND ,9:NOTFOUND ,", 16},
		{"5:a b c,5:a", "9:NOTFOUND ,", 8},
		{"3:a b,", "9:NOTFOUND ,", 6},
		{"2:a ,", "9:NOTFOUND ,", 5},
		{"5:a b cx", "", LISTENER_BAD},
		{"5:a b c\n", "", LISTENER_BAD},
		{"0:,", "", LISTENER_BAD},
		{"1:a,", "", LISTENER_BAD},
		{"3: bc,", "", LISTENER_BAD},
		{"3:abc,", "", LISTENER_BAD},
		{":a b,", "", LISTENER_BAD},
		{"-1:a b,", "", LISTENER_BAD},
		{"03:a b,", "", LISTENER_BAD},
		{"x", "", LISTENER_BAD},
		{"99999:", "", LISTENER_BAD},
		{"99999999999999999999:", "", LISTENER_BAD},
		{"GET / HTTP/1.1\r\n", "", LISTENER_BAD},
		{"5:a b c,x", "9:NOTFOUND ,", LISTENER_BAD},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ssize_t taken =
			give(&maps_protocol, world.maps, cases[i].bytes, strlen(cases[i].bytes));

		cr_expect_eq(taken, cases[i].taken, "case %zu: %zd", i, taken);
		cr_expect_str_eq(answer.text, cases[i].answer, "case %zu: %s", i, answer.text);
	}
}
