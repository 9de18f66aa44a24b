/* SPDX-License-Identifier: MIT
 *
 * What the sidecar hears of replies by itself ends where a worker's tg_report does.
 *
 * A reply of long ago is kept from the controller, which takes what is added to the totals since it
 * last looked for what has just happened: what it last saw is moved along.
 */
#include <string.h>

#include "shm/decide.h"
#include "sidecar/engine/engine.h"
#include "sidecar/engine/state.h"
#include "sidecar/engine/twice.h"

_Static_assert(TWICE_WAYS == ENGINE_HEARINGS, "a way for each who hears");

#define HEARD_TEXT 160 /* of a reply: a log may cut what is longer */

static void heard_count(struct engine *e, uint32_t slot, const struct engine_heard *heard)
{
	struct engine_flow *flow = engine_flow_of(e, slot);

	ring_count_reply(&e->segment->view, slot, heard->code, heard->n);
	if (heard->code >= 200 && heard->code < 300)
		flow->delivered += heard->n;
	else if (heard->code >= 500 && heard->code < 600)
		flow->bounced += heard->n;
	else
		flow->deferred += heard->n;
}

/* What begins a reply's text, without the blanks and line ends that each has another way of. */
static uint64_t text_key(uint64_t key, const char *text, size_t length)
{
	char solid[HEARD_TEXT];
	size_t n = 0;

	for (size_t i = 0; i < length && n < sizeof(solid); i++)
		if ((unsigned char)text[i] > ' ')
			solid[n++] = text[i];
	return twice_mix_bytes(key, solid, n);
}

/* Of a reply the code and what begins its text; of a connection that failed nothing but that: each
 * has words of his own for it. By host where that is known: to the log's flow and to the gate's a
 * host may belong under two names. */
static uint64_t heard_key(const struct segment_slot *known, uint32_t slot,
			  const struct engine_heard *heard)
{
	bool connect = heard->stage == TG_STAGE_CONNECT;
	uint64_t key = twice_mix(twice_mix(known->source, connect), heard->code);

	if (heard->peer_known)
		key = twice_mix_bytes(key, heard->peer, sizeof(heard->peer));
	else
		key = twice_mix(key, slot);
	return connect ? key : text_key(key, heard->text, heard->length);
}

/* What is new about it. The gate hears of connections, so what it hears first judges, and the
 * message is counted when somebody else tells of that. */
static int heard_first(struct engine *e, const struct segment_slot *known, uint32_t slot,
		       const struct engine_heard *heard)
{
	uint64_t key = heard_key(known, slot, heard);
	int first = 0;

	if (heard->by != ENGINE_BY_GATE &&
	    twice_first(e->twice, twice_mix(key, ENGINE_HEARD_COUNTED), heard->by,
			heard->replied_ns))
		first |= ENGINE_HEARD_COUNTED;
	if (!heard->counts_alone && twice_first(e->twice, twice_mix(key, ENGINE_HEARD_JUDGED),
						heard->by, heard->replied_ns))
		first |= ENGINE_HEARD_JUDGED;
	return first;
}

static void heard_judge(struct engine *e, uint32_t slot, const struct engine_heard *heard,
			uint64_t now_ns)
{
	const struct segment_slot *known = segment_slot(e->segment, slot);
	const struct tg_flow flow = {slot, known->source, known->destination, LAYOUT_NONE};
	struct layout_record record = {.kind = LAYOUT_RECORD_REPLY, .traffic = TG_BULK};

	if (heard->code >= 200 && heard->code < 300 &&
	    !(decide_flags(&e->segment->view, &flow) & LAYOUT_REPORT_DELIVERED))
		return;
	record.slot = slot;
	record.source = flow.source;
	record.destination = flow.destination;
	record.replied_ns = heard->replied_ns;
	record.admitted_ns = heard->admitted_ns;
	record.n = heard->n;
	record.code = (uint16_t)heard->code;
	record.enhanced[0] = (uint16_t)(heard->enhanced >> 20);
	record.enhanced[1] = heard->enhanced >> 10 & 0x3FF;
	record.enhanced[2] = heard->enhanced & 0x3FF;
	record.stage = heard->stage;
	record.length_original =
		(uint16_t)(heard->length < UINT16_MAX ? heard->length : UINT16_MAX);
	record.length = (uint16_t)(heard->length < LAYOUT_TEXT ? heard->length : LAYOUT_TEXT);
	if (record.length)
		memcpy(record.text, heard->text, record.length);
	engine_record(e, &record, now_ns);
}

uint32_t engine_heard_count(const struct engine *e, uint32_t slot)
{
	return e->heard[segment_record(e->segment, slot)];
}

int engine_heard(struct engine *e, uint32_t slot, const struct engine_heard *heard, uint64_t now_ns)
{
	int first = heard_first(e, segment_slot(e->segment, slot), slot, heard);

	if (first & ENGINE_HEARD_COUNTED)
		e->heard[segment_record(e->segment, slot)] += heard->n;
	if (first == ENGINE_HEARD_COUNTED)
		heard_count(e, slot, heard);
	else if (first & ENGINE_HEARD_COUNTED)
		ring_count_reply(&e->segment->view, slot, heard->code, heard->n);
	if (first & ENGINE_HEARD_JUDGED)
		heard_judge(e, slot, heard, now_ns);
	return first;
}
