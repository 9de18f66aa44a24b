/* SPDX-License-Identifier: MIT
 *
 * KumoMTA: its JSON log, one object a line.
 *
 * Outcomes are Delivery, Bounce, TransientFailure and Expiration by SMTP; what is about arrivals,
 * reports and queues is not. A greeting that refuses us is logged as KumoMTA's own failure with the
 * reply inside, as Rust prints it: "KumoMTA internal: failed to connect to any candidate hosts: …
 * Command rejected Response { code: 421, enhanced_code: Some(EnhancedStatusCode { class: 4,
 * subject: 7, detail: 0 }), content: "[TSS04] …", command: None }". What stands in front of the
 * first such is KumoMTA's, so it is found there and nowhere else; other "KumoMTA internal:" texts
 * are no replies.
 */
#include "sidecar/base/json_scan.h"
#include "sidecar/ingest/scan.h"

#define INTERNAL "KumoMTA internal: "
#define REJECTED "Command rejected Response { code: "
#define NANO	 UINT64_C(1000000000)

struct kumomta_record {
	struct json_slice type, recipient, queue, protocol;
	struct json_slice code, content, command, peer_name, peer_address, source;
	struct json_slice egress_source, egress_pool, site, event_time, timestamp, id;
	unsigned enhanced;
};

static struct ingest_text text_of(struct json_slice slice)
{
	if (slice.kind != JSON_KIND_TEXT || slice.length == 0)
		return (struct ingest_text){0};
	json_slice_unescape(&slice);
	return scan_text(slice.at, slice.at + slice.length);
}

/* ---- the record ------------------------------------------------------------------------------ */

static void enhanced_read(struct json_scan *scan, struct kumomta_record *record)
{
	uint64_t class = 0, subject = 0, detail = 0;
	struct json_slice key, value;

	if (!json_scan_enter(scan, '{')) {
		json_scan_value(scan);
		return;
	}
	while (json_scan_key(scan, &key)) {
		value = json_scan_value(scan);
		if (JSON_SLICE_IS(&key, "class"))
			json_slice_u64(&value, &class);
		else if (JSON_SLICE_IS(&key, "subject"))
			json_slice_u64(&value, &subject);
		else if (JSON_SLICE_IS(&key, "detail"))
			json_slice_u64(&value, &detail);
	}
	if ((class == 2 || class == 4 || class == 5) && subject < 1000 && detail < 1000)
		record->enhanced = REPLY_ENHANCED(class, subject, detail);
}

static void response_read(struct json_scan *scan, struct kumomta_record *record)
{
	struct json_slice key;

	if (!json_scan_enter(scan, '{')) {
		json_scan_value(scan);
		return;
	}
	while (json_scan_key(scan, &key)) {
		if (JSON_SLICE_IS(&key, "code"))
			record->code = json_scan_value(scan);
		else if (JSON_SLICE_IS(&key, "content"))
			record->content = json_scan_value(scan);
		else if (JSON_SLICE_IS(&key, "command"))
			record->command = json_scan_value(scan);
		else if (JSON_SLICE_IS(&key, "enhanced_code"))
			enhanced_read(scan, record);
		else
			json_scan_value(scan);
	}
}

/* {"name": "mx.", "addr": "192.0.2.1"}, {"address": "192.0.2.1:25"} */
static void address_read(struct json_scan *scan, struct json_slice *name,
			 struct json_slice *address)
{
	struct json_slice key, value;

	if (!json_scan_enter(scan, '{')) {
		json_scan_value(scan);
		return;
	}
	while (json_scan_key(scan, &key)) {
		value = json_scan_value(scan);
		if (name != NULL && JSON_SLICE_IS(&key, "name"))
			*name = value;
		else if (JSON_SLICE_IS(&key, "addr") || JSON_SLICE_IS(&key, "address"))
			*address = value;
	}
}

/* By its length first: of forty keys in a record most are none of these. */
static struct json_slice *member_of(struct kumomta_record *record, const struct json_slice *key)
{
#define MEMBER(name, field)    \
	case sizeof(name) - 1: \
		return memcmp(key->at, name, sizeof(name) - 1) == 0 ? &record->field : NULL
#define MEMBERS(one, one_field, other, other_field)                                            \
	case sizeof(one) - 1:                                                                  \
		return memcmp(key->at, one, sizeof(one) - 1) == 0	? &record->one_field   \
		       : memcmp(key->at, other, sizeof(other) - 1) == 0 ? &record->other_field \
									: NULL
	switch (key->length) {
		MEMBER("id", id);
		MEMBERS("type", type, "site", site);
		MEMBER("queue", queue);
		MEMBERS("recipient", recipient, "timestamp", timestamp);
		MEMBER("event_time", event_time);
		MEMBER("egress_pool", egress_pool);
		MEMBER("egress_source", egress_source);
		MEMBER("delivery_protocol", protocol);
	default: return NULL;
	}
#undef MEMBER
#undef MEMBERS
}

static bool record_read(struct json_scan *scan, struct kumomta_record *record)
{
	struct json_slice key, *member;

	if (!json_scan_enter(scan, '{'))
		return false;
	while (json_scan_key(scan, &key)) {
		if (JSON_SLICE_IS(&key, "response"))
			response_read(scan, record);
		else if (JSON_SLICE_IS(&key, "peer_address"))
			address_read(scan, &record->peer_name, &record->peer_address);
		else if (JSON_SLICE_IS(&key, "source_address"))
			address_read(scan, NULL, &record->source);
		else if ((member = member_of(record, &key)) != NULL)
			*member = json_scan_value(scan);
		else
			json_scan_value(scan);
	}
	return json_scan_done(scan);
}

/* ---- the event ------------------------------------------------------------------------------- */

static bool outcome_read(const struct kumomta_record *record, enum ingest_outcome *ret)
{
	if (record->protocol.kind == JSON_KIND_TEXT && !JSON_SLICE_IS(&record->protocol, "ESMTP") &&
	    !JSON_SLICE_IS(&record->protocol, "SMTP"))
		return false;
	if (JSON_SLICE_IS(&record->type, "Delivery"))
		*ret = INGEST_DELIVERED;
	else if (JSON_SLICE_IS(&record->type, "TransientFailure"))
		*ret = INGEST_DEFERRED;
	else if (JSON_SLICE_IS(&record->type, "Bounce") ||
		 JSON_SLICE_IS(&record->type, "Expiration"))
		*ret = INGEST_BOUNCED;
	else
		return false;
	return true;
}

/* The first recipient, and how many: one, or a list. */
static struct ingest_text recipient_of(struct json_slice recipient, uint32_t *ret_n)
{
	struct json_slice first = {.kind = JSON_KIND_NONE};
	struct json_scan scan = {.broken = false};
	uint32_t count = 0;

	if (recipient.kind != JSON_KIND_ARRAY)
		return text_of(recipient);
	scan.at = recipient.at + 1;
	scan.end = recipient.at + recipient.length;
	for (; json_scan_next(&scan); count++) {
		struct json_slice value = json_scan_value(&scan);

		if (count == 0)
			first = value;
	}
	*ret_n = count > 0 ? count : 1;
	return text_of(first);
}

/* "campaign:tenant@domain!routing": the domain. */
static struct ingest_text queue_domain(struct ingest_text queue)
{
	const char *at, *stop;

	if (queue.at == NULL)
		return queue;
	at = memrchr(queue.at, '@', queue.length);
	at = at != NULL ? at + 1 : queue.at;
	stop = memchr(at, '!', (size_t)(queue.at + queue.length - at));
	return scan_text_host(scan_text(at, stop ? stop : queue.at + queue.length));
}

/* "192.0.2.1:25", "[2001:db8::1]:25", "192.0.2.1". */
static struct ingest_text address_of(struct ingest_text text)
{
	struct scan scan = scan_of(text);
	struct ingest_text inner;
	const char *colon;

	if (text.at == NULL || scan_bracket(&scan, &inner))
		return text.at == NULL ? text : inner;
	colon = memrchr(text.at, ':', text.length);
	if (colon != NULL && colon == memchr(text.at, ':', text.length))
		return scan_text(text.at, colon);
	return text;
}

static uint8_t stage_of(const struct ingest_text *command)
{
	if (command->length >= 4 &&
	    (memcmp(command->at, "EHLO", 4) == 0 || memcmp(command->at, "HELO", 4) == 0 ||
	     memcmp(command->at, "STAR", 4) == 0 || memcmp(command->at, "AUTH", 4) == 0))
		return TG_STAGE_GREETING;
	return TG_STAGE_MESSAGE;
}

/* "class: 4, subject: 7, detail: 0 })": as Rust prints the struct. */
static unsigned debug_enhanced(struct scan *scan)
{
	unsigned class, subject, detail;

	if (!SCAN_SKIP(scan, "Some(EnhancedStatusCode { class: ") || !scan_number(scan, &class) ||
	    !SCAN_SKIP(scan, ", subject: ") || !scan_number(scan, &subject) ||
	    !SCAN_SKIP(scan, ", detail: ") || !scan_number(scan, &detail) ||
	    !SCAN_SKIP(scan, " })"))
		return 0;
	if ((class != 2 && class != 4 && class != 5) || subject > 999 || detail > 999)
		return 0;
	return REPLY_ENHANCED(class, subject, detail);
}

/* A greeting that refused us, within KumoMTA's words. */
static void greeting_take(struct ingest_text text, struct ingest_event *event)
{
	struct scan scan = scan_of(text);
	char *found = memmem(scan.at, text.length, REJECTED, sizeof(REJECTED) - 1);
	struct ingest_text content;
	unsigned code, enhanced;

	event->stage = TG_STAGE_CONNECT;
	if (found == NULL)
		return;
	scan.at = found + sizeof(REJECTED) - 1;
	if (!scan_number(&scan, &code) || code < 200 || code > 599 ||
	    !SCAN_SKIP(&scan, ", enhanced_code: "))
		return;
	enhanced = debug_enhanced(&scan);
	if (enhanced == 0 && !SCAN_SKIP(&scan, "None"))
		return;
	if (!SCAN_SKIP(&scan, ", content: \""))
		return;
	/* The text stays as it is logged; the reply is read up to the quote that ends it. */
	content = scan_text(scan.at, scan.end);
	for (const char *at = scan.at; at < scan.end; at++) {
		if (*at == '"') {
			content = scan_text(scan.at, at);
			break;
		}
		at += *at == '\\';
	}
	event->heard = true;
	event->attempt = true;
	event->stage = TG_STAGE_GREETING;
	event->heard_code = code;
	event->heard_enhanced = enhanced;
	event->heard_text = content;
}

static void response_take(const struct kumomta_record *record, struct ingest_event *event)
{
	struct ingest_text command = text_of(record->command);
	uint64_t code = 0;

	event->text = scan_text_one_line(text_of(record->content));
	json_slice_u64(&record->code, &code);
	event->code = code <= 999 ? (unsigned)code : 0;
	event->enhanced = record->enhanced;
	event->attempt = event->peer.at != NULL;
	event->stage = stage_of(&command);
	event->each = command.length >= 4 && memcmp(command.at, "RCPT", 4) == 0;
	if (event->text.length >= sizeof(INTERNAL) - 1 &&
	    memcmp(event->text.at, INTERNAL, sizeof(INTERNAL) - 1) == 0) {
		greeting_take(event->text, event);
		return;
	}
	event->heard = event->code >= 200 && event->code <= 599;
	if (!event->heard)
		return;
	event->heard_code = event->code;
	event->heard_enhanced = event->enhanced;
	event->heard_text = event->text;
}

static uint64_t time_of(struct ingest_stream *stream, const struct kumomta_record *record)
{
	struct ingest_text stamp = text_of(record->event_time);
	uint64_t ns = 0, seconds;

	if (stamp.at != NULL && stamp_read(&stream->clock, stamp.at, stamp.length, &ns) > 0)
		return ns;
	if (json_slice_u64(&record->timestamp, &seconds) && seconds < UINT64_MAX / NANO)
		return seconds * NANO;
	return 0;
}

enum ingest_result kumomta_parse(struct ingest_stream *stream, struct ingest_line *line,
				 struct ingest_event *ret)
{
	struct ingest_event event = {.n = 1};
	struct scan whole = scan_line(line);
	struct json_scan scan = {whole.at, whole.end, false};
	struct kumomta_record record = {0};

	if (scan_left(&whole) == 0)
		return INGEST_OTHER;
	if (!record_read(&scan, &record) || record.type.kind != JSON_KIND_TEXT)
		return INGEST_BAD;
	if (!outcome_read(&record, &event.outcome))
		return INGEST_OTHER;
	event.time_ns = time_of(stream, &record);
	event.domain = scan_text_domain(recipient_of(record.recipient, &event.n));
	if (event.domain.at == NULL)
		event.domain = queue_domain(text_of(record.queue));
	event.mx = scan_text_host(text_of(record.peer_name));
	event.peer = address_of(text_of(record.peer_address));
	event.source = address_of(text_of(record.source));
	event.via = text_of(record.egress_source);
	event.pool = text_of(record.egress_pool);
	event.site = text_of(record.site);
	event.id = text_of(record.id);
	if (scan_text_loopback(&event.peer))
		return INGEST_OTHER;
	response_take(&record, &event);
	*ret = event;
	return INGEST_EVENT;
}
