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

static void heard_old(struct engine *e, uint32_t slot, const struct engine_heard *heard)
{
	struct engine_flow *flow = engine_flow_of(e, slot);

	reply_count(&e->segment->view, slot, heard->code, heard->n);
	if (heard->code >= 200 && heard->code < 300)
		flow->delivered += heard->n;
	else if (heard->code >= 500 && heard->code < 600)
		flow->bounced += heard->n;
	else
		flow->deferred += heard->n;
}

void engine_heard(struct engine *e, uint32_t slot, const struct engine_heard *heard,
		  uint64_t now_ns)
{
	const struct segment_slot *known = segment_slot(e->segment, slot);
	const struct tg_flow flow = {slot, known->source, known->destination, LAYOUT_NONE};
	struct layout_record record = {.kind = LAYOUT_RECORD_REPLY, .traffic = TG_BULK};

	if (heard->old) {
		heard_old(e, slot, heard);
		return;
	}
	reply_count(&e->segment->view, slot, heard->code, heard->n);
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
