/* SPDX-License-Identifier: MIT
 *
 * JSON lines of our own, for whatever has no format here: one object a line.
 *
 *   time         seconds since 1970, or RFC 3339
 *   source       our address, or a name of it that the configuration maps ("via" as well)
 *   destination  a destination's name, an MX host or a domain; or "domain" and "mx" apart
 *   recipient    an address, in place of its domain
 *   reply        what the receiver answered: "451 4.7.650 …"
 *   code         in place of a code in the reply, or without a reply; 0: no connection came about
 *   outcome      delivered, deferred, bounced; else the code says so
 *   n            recipients, if not 1
 *
 * Other keys are ignored. An object without a reply, a code and an outcome tells nothing.
 */
#include "sidecar/base/json_scan.h"
#include "sidecar/ingest/scan.h"

#define NANO UINT64_C(1000000000)

struct json_log_entry {
	struct json_slice time, source, via, pool, destination, domain, mx, recipient, reply, code,
		outcome, n, id;
};

static struct ingest_text text_of(struct json_slice slice)
{
	if (slice.kind != JSON_KIND_TEXT || slice.length == 0)
		return (struct ingest_text){0};
	json_slice_unescape(&slice);
	return scan_text(slice.at, slice.at + slice.length);
}

static struct json_slice *member_of(struct json_log_entry *entry, const struct json_slice *key)
{
	static const struct {
		const char *name;
		size_t offset;
	} members[] = {
		{"time", offsetof(struct json_log_entry, time)},
		{"source", offsetof(struct json_log_entry, source)},
		{"via", offsetof(struct json_log_entry, via)},
		{"pool", offsetof(struct json_log_entry, pool)},
		{"destination", offsetof(struct json_log_entry, destination)},
		{"domain", offsetof(struct json_log_entry, domain)},
		{"mx", offsetof(struct json_log_entry, mx)},
		{"recipient", offsetof(struct json_log_entry, recipient)},
		{"reply", offsetof(struct json_log_entry, reply)},
		{"code", offsetof(struct json_log_entry, code)},
		{"outcome", offsetof(struct json_log_entry, outcome)},
		{"n", offsetof(struct json_log_entry, n)},
		{"id", offsetof(struct json_log_entry, id)},
	};

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (json_slice_is(key, members[i].name, strlen(members[i].name)))
			return (struct json_slice *)((char *)entry + members[i].offset);
	return NULL;
}

static bool entry_read(struct json_scan *scan, struct json_log_entry *entry)
{
	struct json_slice key, *member;

	if (!json_scan_enter(scan, '{'))
		return false;
	while (json_scan_key(scan, &key)) {
		member = member_of(entry, &key);
		if (member != NULL)
			*member = json_scan_value(scan);
		else
			json_scan_value(scan);
	}
	return json_scan_done(scan);
}

/* False: there is a time, and it is none. */
static bool time_read(struct ingest_stream *stream, struct json_slice time, uint64_t *ret)
{
	struct ingest_text text;

	if (time.kind == JSON_KIND_NONE || time.kind == JSON_KIND_NULL)
		return true;
	text = time.kind == JSON_KIND_TEXT ? text_of(time)
					   : scan_text(time.at, time.at + time.length);
	return text.at != NULL &&
	       stamp_read(&stream->clock, text.at, text.length, ret) == text.length;
}

/* As it says, or by the code. False: it says something that is none. */
static bool outcome_read(struct json_slice outcome, unsigned code, enum ingest_outcome *ret)
{
	if (outcome.kind == JSON_KIND_TEXT) {
		for (int i = 0; i < INGEST_OUTCOMES; i++) {
			const char *name = ingest_outcome_name((enum ingest_outcome)i);

			*ret = (enum ingest_outcome)i;
			if (json_slice_is(&outcome, name, strlen(name)))
				return true;
		}
		return false;
	}
	*ret = code >= 200 && code < 300 ? INGEST_DELIVERED
	       : code >= 500		 ? INGEST_BOUNCED
					 : INGEST_DEFERRED;
	return true;
}

static void names_take(const struct json_log_entry *entry, struct ingest_event *event)
{
	struct ingest_text destination = text_of(entry->destination);

	event->source = text_of(entry->source);
	event->via = text_of(entry->via);
	event->pool = text_of(entry->pool);
	event->id = text_of(entry->id);
	event->mx = scan_text_host(text_of(entry->mx));
	event->domain = scan_text_host(text_of(entry->domain));
	if (event->domain.at == NULL)
		event->domain = scan_text_domain(text_of(entry->recipient));
	if (event->domain.at == NULL)
		event->domain = scan_text_host(destination);
}

enum ingest_result json_log_parse(struct ingest_stream *stream, struct ingest_line *line,
				  struct ingest_event *ret)
{
	struct ingest_event event = {
		.stage = TG_STAGE_MESSAGE, .n = 1, .attempt = true, .each = true};
	struct scan whole = scan_line(line);
	struct json_scan scan = {whole.at, whole.end, false};
	struct json_log_entry entry = {0};
	uint64_t code = 0, n = 1;
	bool coded;

	if (scan_left(&whole) == 0)
		return INGEST_OTHER;
	if (!entry_read(&scan, &entry) || !time_read(stream, entry.time, &event.time_ns))
		return INGEST_BAD;
	coded = json_slice_u64(&entry.code, &code);
	if (!coded && entry.reply.kind != JSON_KIND_TEXT && entry.outcome.kind != JSON_KIND_TEXT)
		return INGEST_BAD;
	names_take(&entry, &event);
	if (!scan_event_reply_is(&event, scan_text_one_line(text_of(entry.reply))) && code >= 200 &&
	    code < 600) {
		event.code = event.heard_code = (unsigned)code;
		event.heard = true;
		event.heard_text = event.text;
		event.enhanced = event.heard_enhanced = scan_text_enhanced(&event.text);
	}
	if (!event.heard)
		event.stage = TG_STAGE_CONNECT;
	json_slice_u64(&entry.n, &n);
	event.n = n > 0 && n <= UINT32_MAX ? (uint32_t)n : 1;
	if (!outcome_read(entry.outcome, event.code, &event.outcome))
		return INGEST_BAD;
	*ret = event;
	return INGEST_EVENT;
}
