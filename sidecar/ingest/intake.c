/* SPDX-License-Identifier: MIT */
#include "sidecar/ingest/intake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/address.h"
#include "shm/destination.h"
#include "shm/source.h"

#define ADDRESS_MAX 64
#define SECOND_NS   UINT64_C(1000000000)

/* ---- our address ----------------------------------------------------------------------------- */

static bool address_of(const struct ingest_text *text, uint8_t ret[16])
{
	char copy[ADDRESS_MAX];

	if (text->at == NULL || text->length >= sizeof(copy))
		return false;
	memcpy(copy, text->at, text->length);
	copy[text->length] = '\0';
	return address_from_text(copy, ret) == 0;
}

/* An address, or a name that a pool lists. */
static bool source_of(const struct config *config, const struct ingest_text *text, uint8_t ret[16])
{
	char copy[ADDRESS_MAX];

	if (text->at == NULL || text->length >= sizeof(copy))
		return false;
	memcpy(copy, text->at, text->length);
	copy[text->length] = '\0';
	return source_read(copy, ret) == 0 &&
	       (!source_is_name(ret) || config_pool_of(config, ret) != NULL);
}

static const struct config_log_name *name_find(const struct config_mta_log *log,
					       const struct ingest_text *name)
{
	if (name->at == NULL)
		return NULL;
	for (uint32_t i = 0; i < log->sources_count; i++)
		if (strlen(log->sources[i].name) == name->length &&
		    memcmp(log->sources[i].name, name->at, name->length) == 0)
			return &log->sources[i];
	return NULL;
}

static bool address_known(const struct config *config, const struct config_mta_log *log,
			  const uint8_t address[16])
{
	for (uint32_t i = 0; i < log->sources_count; i++)
		if (memcmp(log->sources[i].source, address, 16) == 0)
			return true;
	return config_pool_of(config, address) != NULL || config_source_of(config, address) != NULL;
}

/* By the line itself. */
static bool source_stated(const struct intake *intake, const struct ingest_event *event,
			  uint8_t ret[16])
{
	const struct ingest_text *names[] = {&event->source, &event->via, &event->pool};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct config_log_name *name = name_find(intake->log, names[i]);

		if (name != NULL) {
			memcpy(ret, name->source, 16);
			return true;
		}
		if (i == 0 && source_of(intake->config, &event->source, ret))
			return true;
	}
	return false;
}

/* Where nothing better is known. */
static bool source_assumed(const struct intake *intake, const struct ingest_event *event,
			   uint8_t ret[16])
{
	const struct config_mta_log *log = intake->log;
	struct ingest_text quoted;

	if (log->source != NULL) {
		memcpy(ret, log->source_address, 16);
		return true;
	}
	quoted = ingest_event_quoted(event);
	return address_of(&quoted, ret) && address_known(intake->config, log, ret);
}

/* When the line says that it was; *ret_age: how long ago. */
static void time_of(const struct ingest_event *event, uint64_t wall_ns, uint64_t now_ns,
		    struct intake_time *ret, uint64_t *ret_age)
{
	uint64_t time_ns = event->time_ns && event->time_ns < wall_ns ? event->time_ns : wall_ns;
	uint64_t age_ns = wall_ns - time_ns;

	*ret_age = age_ns;
	*ret = (struct intake_time){.replied_ns = age_ns < now_ns ? now_ns - age_ns : 0,
				    .stamp_ns =
					    time_ns % SECOND_NS == 0 ? SECOND_NS : SECOND_NS / 1000,
				    .spent_ns = event->spent_ns,
				    .setup_ns = event->setup_ns,
				    .fresh = event->fresh};
}

static bool gate_kept(const struct intake_gate *gate, const struct ingest_event *event,
		      const struct intake_time *time, uint32_t slot)
{
	uint8_t peer[16];

	return gate->kept != NULL && event->stage == TG_STAGE_CONNECT &&
	       address_of(&event->peer, peer) && gate->kept(gate->arg, slot, peer, time);
}

static int gate_ask(const struct intake_gate *gate, const struct ingest_event *event,
		    const struct intake_time *time, uint8_t ret[16])
{
	uint8_t peer[16];

	if (gate->source == NULL || event->time_ns == 0 || !address_of(&event->peer, peer))
		return -ENOENT;
	return gate->source(gate->arg, peer, time, event->stage == TG_STAGE_CONNECT, ret);
}

/* ---- told before ----------------------------------------------------------------------------- */

static uint64_t hash_text(uint64_t hash, const struct ingest_text *text)
{
	for (size_t i = 0; i < text->length; i++)
		hash = (hash ^ (uint8_t)text->at[i]) * UINT64_C(0x100000001B3);
	return hash * UINT64_C(0x9E3779B97F4A7C15) ^ hash >> 29;
}

/* A reply to a whole transaction stands in the log once for each of its recipients; an event of a
 * webhook (it has an index) may be delivered twice, and its id is its own. */
static bool repeated(struct intake_memory *memory, const struct ingest_event *event,
		     uint64_t time_ns)
{
	bool once = event->index > 0;
	uint64_t hash = UINT64_C(0xCBF29CE484222325), place, before;

	if (memory == NULL || event->id.at == NULL || (event->each && !once))
		return false;
	hash = hash_text(hash, &event->id);
	if (!once)
		hash = hash_text(hash_text(hash, &event->peer), &event->text);
	hash |= 1;
	place = hash >> 40 & (INTAKE_SEEN - 1);
	before = memory->seen[place].time_ns;
	if (memory->seen[place].hash == hash &&
	    (once || (time_ns >= before ? time_ns - before : before - time_ns) <= INTAKE_REPEAT_NS))
		return true;
	memory->seen[place].hash = hash;
	memory->seen[place].time_ns = time_ns;
	return false;
}

/* ---- an outcome ------------------------------------------------------------------------------ */

/* By the host that was asked, else by the recipient's domain. */
static bool destination_of(const struct config *config, const struct ingest_event *event,
			   struct destination_match *ret)
{
	const struct ingest_text *names[] = {&event->mx, &event->domain};
	char text[DESTINATION_NAME_MAX + 1];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i]->at == NULL || names[i]->length >= sizeof(text))
			continue;
		memcpy(text, names[i]->at, names[i]->length);
		text[names[i]->length] = '\0';
		if (destination_match(config->table, config->table_length, text, ret) == 0)
			return true;
	}
	return false;
}

static void heard_fill(const struct ingest_event *event, const struct intake_time *time,
		       uint64_t age_ns, struct engine_heard *ret)
{
	struct reply_line reply;

	*ret = (struct engine_heard){.stage = event->stage, .n = event->n, .by = event->by};
	ret->peer_known = address_of(&event->peer, ret->peer);
	ret->counts_alone = age_ns > INTAKE_OLD_NS;
	ret->replied_ns = time->replied_ns;
	if (event->spent_ns > 0 && event->spent_ns < ret->replied_ns)
		ret->admitted_ns = ret->replied_ns - event->spent_ns;
	if (ingest_event_reply(event, &reply)) {
		ret->code = reply.code;
		ret->enhanced = reply.enhanced;
		/* As received, codes in front, as a worker gives it. */
		ret->text = event->heard ? event->heard_text.at : event->text.at;
		ret->length = event->heard ? event->heard_text.length : event->text.length;
	} else {
		ret->text = event->text.at;
		ret->length = event->text.length;
	}
	/* A reply whose code the log has lost, after the message itself: it failed. */
	if (ret->code == 0 && event->heard)
		ret->code = event->outcome == INGEST_BOUNCED ? 550 : 450;
}

bool intake_find(struct intake *intake, const struct ingest_event *event, uint64_t wall_ns,
		 uint64_t now_ns, struct intake_place *ret)
{
	struct intake_totals *totals = &intake->totals;
	struct destination_match to;
	struct intake_time time;
	uint64_t age_ns;
	bool stated;
	int asked;

	totals->events++;
	if (!event->attempt) {
		totals->no_attempt++;
		return false;
	}
	if (repeated(intake->memory, event, event->time_ns ? event->time_ns : wall_ns)) {
		totals->repeated++;
		return false;
	}
	time_of(event, wall_ns, now_ns, &time, &age_ns);
	stated = source_stated(intake, event, ret->flow.source);
	asked = stated ? -ENOENT : gate_ask(&intake->gate, event, &time, ret->flow.source);
	/* A failure that the gate has told; where the source is known, the message counts as well. */
	if (asked == -EALREADY) {
		totals->repeated++;
		return false;
	}
	if (!stated && asked != 0 && !source_assumed(intake, event, ret->flow.source)) {
		totals->no_source++;
		totals->ambiguous += asked == -ENOTUNIQ;
		return false;
	}
	if (!destination_of(intake->config, event, &to)) {
		totals->no_destination++;
		return false;
	}
	ret->flow.slot = engine_claim(intake->engine, ret->flow.source, to.name, now_ns);
	if (ret->flow.slot == UINT32_MAX) {
		totals->no_room++;
		return false;
	}
	snprintf(ret->flow.destination, sizeof(ret->flow.destination), "%s", to.name);
	if (gate_kept(&intake->gate, event, &time, ret->flow.slot)) {
		totals->kept_by_gate++;
		return false;
	}
	heard_fill(event, &time, age_ns, &ret->heard);
	if (ret->heard.admitted_ns && intake->gate.gated &&
	    intake->gate.gated(intake->gate.arg, ret->flow.slot))
		ret->heard.admitted_ns += event->setup_ns;
	totals->heard++;
	totals->by_gate += !stated && asked == 0;
	totals->old += ret->heard.counts_alone;
	return true;
}

bool intake_take(struct intake *intake, const struct ingest_event *event, uint64_t wall_ns,
		 uint64_t now_ns, struct intake_place *ret)
{
	if (!intake_find(intake, event, wall_ns, now_ns, ret))
		return false;
	intake->totals.elsewhere +=
		engine_heard(intake->engine, ret->flow.slot, &ret->heard, now_ns) == 0;
	return true;
}

void intake_totals_put(const struct intake_totals *totals, struct json_writer *writer)
{
	json_put_u64(writer, "events", totals->events);
	json_put_u64(writer, "heard", totals->heard);
	json_put_u64(writer, "by_gate", totals->by_gate);
	json_put_u64(writer, "old", totals->old);
	json_put_u64(writer, "elsewhere", totals->elsewhere);
	json_put_u64(writer, "no_attempt", totals->no_attempt);
	json_put_u64(writer, "repeated", totals->repeated);
	json_put_u64(writer, "kept_by_gate", totals->kept_by_gate);
	json_put_u64(writer, "no_source", totals->no_source);
	json_put_u64(writer, "ambiguous", totals->ambiguous);
	json_put_u64(writer, "no_destination", totals->no_destination);
	json_put_u64(writer, "no_room", totals->no_room);
}
