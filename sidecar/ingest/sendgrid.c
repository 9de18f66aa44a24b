/* SPDX-License-Identifier: MIT
 *
 * SendGrid's event webhook: an array of events a line, as the requests' bodies come; a body that is
 * broken over lines between its events is read as well.
 *
 * delivered, deferred and bounce (blocked as well) are outcomes; the rest is about readers, or was
 * never sent ("dropped", whose reason may look like a reply). What customers put beside ("unique
 * args" repeat our keys) lies deeper and is not looked at.
 */
#include "sidecar/base/json_scan.h"
#include "sidecar/ingest/scan.h"

#define NANO UINT64_C(1000000000)

struct sendgrid_entry {
	struct json_slice event, email, response, reason, status, ip, timestamp, id, pool;
};

static struct ingest_text text_of(struct json_slice slice)
{
	if (slice.kind != JSON_KIND_TEXT || slice.length == 0)
		return (struct ingest_text){0};
	json_slice_unescape(&slice);
	return scan_text(slice.at, slice.at + slice.length);
}

static struct json_slice *member_of(struct sendgrid_entry *entry, const struct json_slice *key)
{
	if (JSON_SLICE_IS(key, "event"))
		return &entry->event;
	if (JSON_SLICE_IS(key, "email"))
		return &entry->email;
	if (JSON_SLICE_IS(key, "response"))
		return &entry->response;
	if (JSON_SLICE_IS(key, "reason"))
		return &entry->reason;
	if (JSON_SLICE_IS(key, "status"))
		return &entry->status;
	if (JSON_SLICE_IS(key, "ip"))
		return &entry->ip;
	if (JSON_SLICE_IS(key, "timestamp"))
		return &entry->timestamp;
	if (JSON_SLICE_IS(key, "sg_event_id"))
		return &entry->id;
	return NULL;
}

/* {"name": "pool", "id": 1} */
static void pool_read(struct json_scan *scan, struct sendgrid_entry *entry)
{
	struct json_slice key, value;

	if (!json_scan_enter_or_skip(scan, '{'))
		return;
	while (json_scan_key(scan, &key)) {
		value = json_scan_value(scan);
		if (JSON_SLICE_IS(&key, "name"))
			entry->pool = value;
	}
}

static bool entry_read(struct json_scan *scan, struct sendgrid_entry *entry)
{
	struct json_slice key, *member;

	if (!json_scan_enter(scan, '{'))
		return false;
	while (json_scan_key(scan, &key)) {
		if (JSON_SLICE_IS(&key, "pool"))
			pool_read(scan, entry);
		else if ((member = member_of(entry, &key)) != NULL &&
			 member->kind == JSON_KIND_NONE)
			*member = json_scan_value(scan);
		else
			json_scan_value(scan);
	}
	return !scan->broken;
}

/* Between events: brackets, commas and blanks. */
static void between_skip(struct json_scan *scan)
{
	while (scan->at < scan->end && memchr("[], \t\r\n", *scan->at, 7) != NULL)
		scan->at++;
}

/* Nothing is told of a line that was cut off. */
static bool whole(struct json_scan scan)
{
	for (between_skip(&scan); scan.at < scan.end; between_skip(&scan))
		if (json_scan_value(&scan).kind != JSON_KIND_OBJECT || scan.broken)
			return false;
	return true;
}

static bool outcome_read(const struct sendgrid_entry *entry, enum ingest_outcome *ret)
{
	if (JSON_SLICE_IS(&entry->event, "delivered"))
		*ret = INGEST_DELIVERED;
	else if (JSON_SLICE_IS(&entry->event, "deferred"))
		*ret = INGEST_DEFERRED;
	else if (JSON_SLICE_IS(&entry->event, "bounce") || JSON_SLICE_IS(&entry->event, "blocked"))
		*ret = INGEST_BOUNCED;
	else
		return false;
	return true;
}

static void entry_take(const struct sendgrid_entry *entry, struct ingest_event *event)
{
	struct ingest_text text = text_of(entry->response), status = text_of(entry->status);
	unsigned enhanced = scan_text_enhanced(&status);
	uint64_t seconds;

	if (text.at == NULL)
		text = text_of(entry->reason);
	if (json_slice_u64(&entry->timestamp, &seconds) && seconds < UINT64_MAX / NANO)
		event->time_ns = seconds * NANO;
	event->domain = scan_text_domain(text_of(entry->email));
	event->source = text_of(entry->ip);
	event->pool = text_of(entry->pool);
	event->id = text_of(entry->id);
	if (scan_event_reply_is(event, scan_text_one_line(text)))
		return;
	/* "5.0.0" is said of all that has no code. */
	scan_event_words_are(event, event->text, (enhanced & 0xFFFFF) != 0 ? enhanced : 0);
	event->attempt = false;
}

enum ingest_result sendgrid_parse(struct ingest_stream *stream, struct ingest_line *line,
				  struct ingest_event *ret)
{
	struct json_scan scan = {line->bytes + line->at, line->bytes + line->length, false};

	if (line->at == 0 && !whole(scan))
		return INGEST_BAD;
	for (between_skip(&scan); scan.at < scan.end; between_skip(&scan)) {
		struct ingest_event event = {.n = 1, .attempt = true, .each = true};
		struct sendgrid_entry entry = {0};

		if (!entry_read(&scan, &entry))
			return INGEST_BAD;
		line->at = (size_t)(scan.at - line->bytes);
		event.index = ++line->index;
		if (!outcome_read(&entry, &event.outcome))
			continue;
		entry_take(&entry, &event);
		*ret = event;
		return INGEST_EVENT;
	}
	return INGEST_OTHER;
}
