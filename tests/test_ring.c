/* SPDX-License-Identifier: MIT
 *
 * Reports: counted always, told to the sidecar where it matters, never more than the ring holds.
 */
#include <criterion/criterion.h>
#include <poll.h>

#include "tests/guard.h"
#include "tests/segment_fixture.h"

struct ring_fixture {
	struct fixture f;
	struct tg *tg;
	struct tg_flow flow;
	struct layout_worker *worker;
	struct layout_record *records;
};

static void ring_open(struct ring_fixture *fixture, const struct publish_limits *limits)
{
	fixture_open(&fixture->f);
	fixture->flow = fixture_flow(fixture->f.segment, "192.0.2.1", "example.org", limits, 0);
	fixture->tg = fixture_attach(&fixture->f);
	fixture->worker = tg_worker(fixture->tg);
	fixture->records = &fixture->f.segment->records[(uint64_t)fixture->tg->process->index * 64];
}

static void ring_close(struct ring_fixture *fixture)
{
	tg_detach(fixture->tg);
	fixture_end(&fixture->f);
}

static bool rung(const struct fixture *f)
{
	char path[96], bytes[65536];
	int fd;
	bool found;

	snprintf(path, sizeof(path), "%s/wake", f->path);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	cr_assert(fd >= 0);
	found = read(fd, bytes, sizeof(bytes)) > 0;
	close(fd);
	return found;
}

Test(ring, a_plain_delivery_is_counted_and_not_told)
{
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	struct tg_reply reply = {.code = 250, .text = "250 ok", .length = 6};
	struct ring_fixture fixture;

	ring_open(&fixture, &limits);
	tg_report(fixture.tg, &fixture.flow, &reply);
	cr_expect_eq(atomic_load(&fixture.worker->head), 0);
	cr_expect_eq(
		atomic_load(&fixture.f.segment->view.counters_more[fixture.flow.slot].delivered),
		1);
	limits.flags = LAYOUT_REPORT_DELIVERED;
	publish_slot(fixture.f.segment, fixture.flow.slot, &limits, 0);
	tg_report(fixture.tg, &fixture.flow, &reply);
	cr_expect_eq(atomic_load(&fixture.worker->head), 1, "where the limits ask for it, it is");
	cr_expect_eq(fixture.records[0].code, 250);
	ring_close(&fixture);
}

Test(ring, a_record_holds_all_of_the_report)
{
	static const char text[] =
		"451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited";
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	struct tg_reply reply;
	const struct layout_record *record;
	struct tg_lease lease;
	struct ring_fixture fixture;

	ring_open(&fixture, &limits);
	cr_assert_eq(tg_reply_parse(text, sizeof(text) - 1, &reply), 0);
	reply.stage = TG_STAGE_GREETING;
	reply.place = 7;
	reply.traffic = TG_ENGAGED;
	reply.n = 3;
	reply.admitted_ns = 123456;
	cr_assert_eq(tg_connect(fixture.tg, &fixture.flow, TG_BULK, &lease).reason, TG_ADMITTED);
	tg_report(fixture.tg, &fixture.flow, &reply);
	record = &fixture.records[0];
	cr_expect_eq(atomic_load(&fixture.worker->head), 1);
	cr_expect(record->kind == LAYOUT_RECORD_REPLY && record->slot == fixture.flow.slot &&
		  record->source == fixture.flow.source);
	cr_expect(record->code == 451 && record->enhanced[0] == 4 && record->enhanced[1] == 7 &&
		  record->enhanced[2] == 650);
	cr_expect(record->stage == TG_STAGE_GREETING && record->place == 7 &&
		  record->traffic == TG_ENGAGED && record->n == 3);
	cr_expect(record->admitted_ns == 123456 && record->replied_ns != 0 && record->open == 1 &&
		  record->sequence == 0);
	cr_expect(record->length == sizeof(text) - 1 &&
		  record->length_original == sizeof(text) - 1);
	cr_expect_arr_eq(record->text, text, sizeof(text) - 1);
	cr_expect_eq(
		atomic_load(&fixture.f.segment->view.counters_more[fixture.flow.slot].deferred), 3);
	ring_close(&fixture);
}

Test(ring, a_line_is_reported_in_one_call)
{
	static const char text[] = "421-4.7.0 slow\r\n421 4.7.0 down";
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	const struct layout_record *record;
	struct ring_fixture fixture;

	ring_open(&fixture, &limits);
	record = fixture.records;
	cr_assert_eq(tg_report_line(fixture.tg, &fixture.flow, text, sizeof(text) - 1,
				    TG_TRANSACTIONAL, TG_STAGE_GREETING, 2, 99),
		     0);
	cr_expect(record->code == 421 && record->enhanced[1] == 7 && record->n == 2 &&
		  record->traffic == TG_TRANSACTIONAL && record->stage == TG_STAGE_GREETING &&
		  record->admitted_ns == 99 && record->length == sizeof(text) - 1);
	/* No reply at all. */
	cr_assert_eq(
		tg_report_line(fixture.tg, &fixture.flow, NULL, 0, TG_BULK, TG_STAGE_CONNECT, 0, 0),
		0);
	cr_expect(record[1].code == 0 && record[1].n == 1 && record[1].length == 0 &&
		  record[1].traffic == TG_BULK && record[1].stage == TG_STAGE_CONNECT);
	/* What cannot be reported is not. */
	cr_expect_eq(tg_report_line(fixture.tg, &fixture.flow, "hello", 5, TG_BULK,
				    TG_STAGE_MESSAGE, 1, 0),
		     -EINVAL);
	cr_expect_eq(tg_report_line(fixture.tg, &fixture.flow, text, sizeof(text) - 1, TG_CLASSES,
				    TG_STAGE_MESSAGE, 1, 0),
		     -EINVAL);
	cr_expect_eq(tg_report_line(fixture.tg, &fixture.flow, text, sizeof(text) - 1, TG_BULK,
				    TG_STAGES, 1, 0),
		     -EINVAL);
	cr_expect_eq(atomic_load(&fixture.worker->head), 2);
	ring_close(&fixture);
}

Test(ring, totals_are_by_outcome)
{
	static const struct {
		uint16_t code;
		int outcome; /* 0 delivered, 1 deferred, 2 bounced */
	} rows[] = {{250, 0}, {200, 0}, {299, 0}, {451, 1}, {421, 1},
		    {0, 1},   {354, 1}, {550, 2}, {599, 2}, {600, 1}};
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	uint64_t sums[3] = {0};
	struct ring_fixture fixture;

	ring_open(&fixture, &limits);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tg_reply reply = {.code = rows[i].code, .n = (uint32_t)i + 1};

		tg_report(fixture.tg, &fixture.flow, &reply);
		sums[rows[i].outcome] += i + 1;
	}
	struct layout_counters_more *totals =
		&fixture.f.segment->view.counters_more[fixture.flow.slot];

	cr_expect(atomic_load(&totals->delivered) == sums[0] &&
		  atomic_load(&totals->deferred) == sums[1] &&
		  atomic_load(&totals->bounced) == sums[2]);
	ring_close(&fixture);
}

Test(ring, a_full_ring_loses_texts_and_says_how_many)
{
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	struct tg_reply reply = {.code = 451};
	struct ring_fixture fixture;

	ring_open(&fixture, &limits);
	for (int i = 0; i < 100; i++) {
		reply.place = (uint16_t)i;
		tg_report(fixture.tg, &fixture.flow, &reply);
	}
	cr_expect_eq(atomic_load(&fixture.worker->head), 64);
	cr_expect_eq(atomic_load(&fixture.worker->lost), 36);
	cr_expect_eq(
		atomic_load(&fixture.f.segment->view.counters_more[fixture.flow.slot].deferred),
		100);
	for (uint16_t i = 0; i < 64; i++)
		cr_expect(fixture.records[i].place == i && fixture.records[i].sequence == i,
			  "what was there is not overwritten");
	/* Some room, and the ring goes round. */
	atomic_store(&fixture.worker->tail, 10);
	for (int i = 0; i < 20; i++)
		tg_report(fixture.tg, &fixture.flow, &reply);
	cr_expect_eq(atomic_load(&fixture.worker->head), 74);
	cr_expect_eq(fixture.records[9].sequence, 73);
	cr_expect_eq(fixture.records[10].sequence, 10);
	ring_close(&fixture);
}

Test(ring, positions_wrap_at_64_bits)
{
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	struct tg_reply reply = {.code = 451};
	struct ring_fixture fixture;

	ring_open(&fixture, &limits);
	atomic_store(&fixture.worker->head, UINT64_MAX - 9);
	atomic_store(&fixture.worker->tail, UINT64_MAX - 9);
	for (int i = 0; i < 100; i++)
		tg_report(fixture.tg, &fixture.flow, &reply);
	cr_expect_eq(atomic_load(&fixture.worker->head), UINT64_MAX - 9 + 64);
	cr_expect_eq(atomic_load(&fixture.worker->lost), 36);
	ring_close(&fixture);
}

Test(ring, texts_are_cut_at_the_bound_and_read_no_further)
{
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	static const size_t lengths[] = {0, 1, 255, 256, 257, 512, 65535, 65536, 100000};
	struct ring_fixture fixture;

	ring_open(&fixture, &limits);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		char *text = malloc(lengths[i] + 1), *guarded;
		struct tg_reply reply = {.code = 451, .length = lengths[i]};
		size_t kept = lengths[i] < 256 ? lengths[i] : 256;

		memset(text, 'x', lengths[i] + 1);
		guarded = guard_copy(text, lengths[i]);
		reply.text = guarded;
		tg_report(fixture.tg, &fixture.flow, &reply);
		cr_expect_eq(fixture.records[i].length, kept);
		cr_expect_eq(fixture.records[i].length_original,
			     lengths[i] < 65535 ? lengths[i] : 65535);
		cr_expect(kept == 0 || (fixture.records[i].text[0] == 'x' &&
					fixture.records[i].text[kept - 1] == 'x'));
		guard_free(guarded, lengths[i]);
		free(text);
	}
	struct tg_reply reply = {.code = 451, .length = 77};

	tg_report(fixture.tg, &fixture.flow, &reply);
	cr_expect_eq(fixture.records[9].length, 0, "no text, whatever its length");
	ring_close(&fixture);
}

Test(ring, the_bell_is_rung_only_for_a_sidecar_that_sleeps)
{
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	struct tg_reply reply = {.code = 451};
	struct ring_fixture fixture;

	ring_open(&fixture, &limits);
	rung(&fixture.f);
	tg_report(fixture.tg, &fixture.flow, &reply);
	cr_expect(!rung(&fixture.f));
	atomic_store(&fixture.f.segment->live->sleeping, 1);
	tg_report(fixture.tg, &fixture.flow, &reply);
	cr_expect(rung(&fixture.f));
	reply.code = 250;
	tg_report(fixture.tg, &fixture.flow, &reply);
	cr_expect(!rung(&fixture.f), "nothing was put on the ring");
	/* A bell that nobody hears does not block. */
	reply.code = 451;
	for (int i = 0; i < 100000; i++)
		ring_doorbell(fixture.tg);
	tg_report(fixture.tg, &fixture.flow, &reply);
	ring_close(&fixture);
}

Test(ring, a_report_on_no_flow_is_ignored)
{
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	struct tg_reply reply = {.code = 451};
	struct tg_flow none = {LAYOUT_NONE, LAYOUT_NONE, LAYOUT_NONE, LAYOUT_NONE};
	struct ring_fixture fixture;

	ring_open(&fixture, &limits);
	tg_report(fixture.tg, &none, &reply);
	cr_expect_eq(atomic_load(&fixture.worker->head), 0);
	ring_close(&fixture);
}

Test(ring, a_new_flow_is_announced_until_it_is_filled)
{
	struct publish_limits limits = fixture_rate(SECOND, 1, 1, 1);
	struct tg_destination destination;
	struct tg_source source;
	struct tg_flow flow;
	struct ring_fixture fixture;
	uint64_t head;

	ring_open(&fixture, &limits);
	cr_assert_eq(tg_source(fixture.tg, "2001:db8::1", &source), 0);
	cr_assert_eq(tg_destination(fixture.tg, "mx.provider.test", &destination), 0);
	cr_assert_eq(tg_flow(fixture.tg, &source, &destination, &flow), 0);
	cr_expect_eq(atomic_load(&fixture.worker->head), 3);
	cr_expect(fixture.records[0].kind == LAYOUT_RECORD_SOURCE &&
		  fixture.records[0].length == 16);
	cr_expect(fixture.records[1].kind == LAYOUT_RECORD_DESTINATION &&
		  fixture.records[1].length == 8 &&
		  memcmp(fixture.records[1].text, "provider", 8) == 0);
	cr_expect(fixture.records[2].kind == LAYOUT_RECORD_FLOW &&
		  fixture.records[2].destination == destination.slot);
	tg_flow(fixture.tg, &source, &destination, &flow);
	cr_expect_eq(atomic_load(&fixture.worker->head), 4, "the ring may have been full");
	for (uint32_t i = 0; i < 3; i++)
		cr_expect_eq(segment_learn(fixture.f.segment, &fixture.records[i]), 0, "record %u",
			     i);
	cr_expect_eq(segment_learn(fixture.f.segment, &fixture.records[3]), -EALREADY);
	publish_slot(fixture.f.segment, flow.slot, &limits, 0);
	head = atomic_load(&fixture.worker->head);
	tg_flow(fixture.tg, &source, &destination, &flow);
	cr_expect_eq(atomic_load(&fixture.worker->head), head);
	ring_close(&fixture);
}

/* Whatever the sidecar took of the ring until now is learned. Returns how many names. */
static uint32_t names_learn(struct ring_fixture *fixture)
{
	uint64_t tail = atomic_load(&fixture->worker->tail);
	uint32_t learned = 0;

	for (; tail < atomic_load(&fixture->worker->head); tail++) {
		const struct layout_record *record = &fixture->records[tail & 63];

		if (record->kind == LAYOUT_RECORD_REPLY || record->kind == LAYOUT_RECORD_FLOW)
			continue;
		cr_expect_eq(segment_learn(fixture->f.segment, record), 0, "told twice");
		learned++;
	}
	atomic_store(&fixture->worker->tail, tail);
	return learned;
}

Test(ring, names_that_found_it_full_are_told_once_there_is_room)
{
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	struct tg_reply deferred = {.code = 451}, delivered = {.code = 250};
	struct tg_destination destinations[100];
	struct tg_source source;
	struct ring_fixture fixture;
	struct tg_flow stream;
	uint32_t told = 0;
	char name[64];

	ring_open(&fixture, &limits);
	for (int i = 0; i < 64; i++)
		tg_report(fixture.tg, &fixture.flow, &deferred);
	/* For each message, as a worker does: each is kept once. */
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 100; i++) {
			snprintf(name, sizeof(name), "recipients-%d.test", i);
			cr_assert_eq(tg_destination(fixture.tg, name, &destinations[i]), 0);
		}
		cr_assert_eq(tg_source(fixture.tg, "2001:db8::9", &source), 0);
		cr_assert_eq(tg_stream(fixture.tg, &fixture.flow, "tenant", &stream), 0);
	}
	cr_expect_eq(names_learn(&fixture), 0);
	cr_expect_eq(segment_kind(fixture.f.segment, stream.stream), SEGMENT_UNKNOWN);
	/* Whatever is reported, or resolved, brings some of them, never more than there is room. */
	for (int i = 0; i < 100 && told < 102; i++) {
		tg_report(fixture.tg, &fixture.flow, &delivered);
		if (i % 5 == 4)
			told += names_learn(&fixture);
	}
	cr_expect_eq(told, 102, "%u", told);
	for (int i = 0; i < 100; i++)
		cr_expect_eq(segment_kind(fixture.f.segment, destinations[i].slot),
			     SEGMENT_DESTINATION);
	cr_expect_eq(segment_kind(fixture.f.segment, stream.stream), SEGMENT_STREAM);
	cr_expect_eq(segment_kind(fixture.f.segment, source.slot), SEGMENT_SOURCE);
	tg_report(fixture.tg, &fixture.flow, &delivered);
	cr_expect_eq(names_learn(&fixture), 0, "that was all");
	ring_close(&fixture);
}

Test(reply, is_parsed_as_it_was_received)
{
	static const struct {
		const char *line;
		int error;
		uint16_t code, enhanced[3];
	} rows[] = {
		{"250 2.0.0 ok", 0, 250, {2, 0, 0}},
		{"451 4.7.650 The mail server", 0, 451, {4, 7, 650}},
		{"421-4.7.28 first\r\n421 4.7.28 last", 0, 421, {4, 7, 28}},
		{"421 RP-001 no enhanced code", 0, 421, {0, 0, 0}},
		{"550", 0, 550, {0, 0, 0}},
		{"550\r\n", 0, 550, {0, 0, 0}},
		{"451 4.7.6500 too long", 0, 451, {0, 0, 0}},
		{"451 3.7.1 no such class", 0, 451, {0, 0, 0}},
		{"451 4.7", 0, 451, {0, 0, 0}},
		{"451 4.", 0, 451, {0, 0, 0}},
		{"451 4.7.", 0, 451, {0, 0, 0}},
		{"451-", 0, 451, {0, 0, 0}},
		{"45", -EINVAL, 0, {0, 0, 0}},
		{"", -EINVAL, 0, {0, 0, 0}},
		{"4511 x", -EINVAL, 0, {0, 0, 0}},
		{"123 x", -EINVAL, 0, {0, 0, 0}},
		{"600 x", -EINVAL, 0, {0, 0, 0}},
		{"abc", -EINVAL, 0, {0, 0, 0}},
		{" 250 x", -EINVAL, 0, {0, 0, 0}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tg_reply reply;
		size_t length = strlen(rows[i].line);
		char *guarded = guard_copy(rows[i].line, length);

		memset(&reply, 0xfe, sizeof(reply));
		cr_expect_eq(tg_reply_parse(guarded, length, &reply), rows[i].error, "%s",
			     rows[i].line);
		if (rows[i].error) {
			cr_expect(reply.code == 0xfefe && reply.n == 0xfefefefe, "%s",
				  rows[i].line);
			continue;
		}
		cr_expect_eq(reply.code, rows[i].code, "%s", rows[i].line);
		cr_expect_arr_eq(reply.enhanced, rows[i].enhanced, sizeof(reply.enhanced), "%s",
				 rows[i].line);
		cr_expect(reply.text == guarded && reply.length == length);
		/* Whatever stood there before. */
		cr_expect(reply.n == 1 && reply.traffic == TG_BULK &&
			  reply.stage == TG_STAGE_MESSAGE && reply.place == 0 &&
			  reply.admitted_ns == 0);
	}
}
