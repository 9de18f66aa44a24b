/* SPDX-License-Identifier: MIT
 *
 * Haraka: what its outbound part logs, in each of its three formats.
 *
 *   [STAMP ][LEVEL] [UUID] [outbound] MESSAGE
 *   [STAMP ]level=LEVEL uuid=UUID origin=outbound message="MESSAGE" [KEY=VALUE …]
 *   [STAMP ]{"level": …, "uuid": …, "origin": "outbound", "message": "MESSAGE", …}
 *
 * MESSAGE is "delivered file=… domain=… host=… ip=… response="…"" (the response has lost its code),
 * "recipient <a@b> deferred: REPLY" or "rejected: REPLY", "Temp failing FILE for N seconds: REASON"
 * or "bouncing mail: REASON"; a REASON that is about recipients only repeats their lines. Haraka
 * logs no address of ours, and of a temporary failure not even the domain.
 */
#include "sidecar/base/json_scan.h"
#include "sidecar/ingest/scan.h"

struct haraka_entry {
	struct ingest_text uuid, message;
	struct ingest_text file, domain, host, ip, mode, response; /* of a delivery */
	bool outbound;
};

/* ---- the three formats ----------------------------------------------------------------------- */

static void pair_take(struct haraka_entry *entry, const struct ingest_text *key,
		      struct ingest_text value)
{
	static const struct {
		const char *name;
		size_t offset;
	} pairs[] = {
		{"uuid", offsetof(struct haraka_entry, uuid)},
		{"message", offsetof(struct haraka_entry, message)},
		{"delivered file", offsetof(struct haraka_entry, file)},
		{"domain", offsetof(struct haraka_entry, domain)},
		{"host", offsetof(struct haraka_entry, host)},
		{"ip", offsetof(struct haraka_entry, ip)},
		{"mode", offsetof(struct haraka_entry, mode)},
		{"response", offsetof(struct haraka_entry, response)},
	};

	if (scan_text_is(key, "origin"))
		entry->outbound = scan_text_is(&value, "outbound");
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct ingest_text *field = (struct ingest_text *)((char *)entry + pairs[i].offset);

		/* The first counts: what stands behind it is behind the receiver's text. */
		if (field->at == NULL && scan_text_is(key, pairs[i].name))
			*field = value;
	}
}

/* key=value and key="value", separated by blanks; a key may hold blanks ("delivered file"). */
static bool pairs_read(struct scan *scan, struct haraka_entry *entry)
{
	struct ingest_text key, value;

	for (scan_blanks(scan); scan_left(scan) > 0; scan_blanks(scan)) {
		if (!scan_until(scan, '=', &key))
			return false;
		if (SCAN_SKIP(scan, "\"")) {
			if (!scan_quoted(scan, &value))
				return false;
		} else if (!scan_word(scan, &value)) {
			value = scan_text(scan->at, scan->at);
		}
		pair_take(entry, &key, value);
	}
	return true;
}

/* "[LEVEL] [UUID] [outbound] MESSAGE"; by way of syslog something stands in front. */
static bool brackets_read(struct scan *scan, struct haraka_entry *entry)
{
	struct ingest_text level, origin;

	if (!scan_bracket(scan, &level) || !SCAN_SKIP(scan, " ") ||
	    !scan_bracket(scan, &entry->uuid) || !SCAN_SKIP(scan, " ") ||
	    !scan_bracket(scan, &origin))
		return false;
	entry->outbound = scan_text_is(&origin, "outbound");
	scan_blanks(scan);
	if (entry->outbound && SCAN_STARTS(scan, "delivered file="))
		return pairs_read(scan, entry);
	entry->message = scan_rest(scan);
	return true;
}

static bool object_read(struct scan *whole, struct haraka_entry *entry)
{
	struct json_scan scan = {whole->at, whole->end, false};
	struct json_slice key, value;
	struct ingest_text name, text;

	json_scan_enter(&scan, '{');
	while (json_scan_key(&scan, &key)) {
		value = json_scan_value(&scan);
		if (value.kind != JSON_KIND_TEXT)
			continue;
		json_slice_unescape(&value);
		name = scan_text(key.at, key.at + key.length);
		text = scan_text(value.at, value.at + value.length);
		pair_take(entry, &name, text);
	}
	return json_scan_done(&scan);
}

/* A stamp, and "HOST TAG: " of syslog, may stand in front or not. */
static enum ingest_result entry_read(struct ingest_stream *stream, struct scan *scan,
				     struct haraka_entry *entry, uint64_t *ret_time)
{
	struct ingest_text word;
	size_t n = stamp_read(&stream->clock, scan->at, scan_left(scan), ret_time);

	scan->at += n;
	scan_blanks(scan);
	for (int words = 0; n > 0 && words < 2 && scan_left(scan) > 0 && *scan->at != '[' &&
			    *scan->at != '{' && !SCAN_STARTS(scan, "level=");
	     words++) {
		if (!scan_until(scan, ' ', &word))
			return INGEST_BAD;
		scan_blanks(scan);
	}
	if (SCAN_STARTS(scan, "["))
		return brackets_read(scan, entry) ? INGEST_EVENT : INGEST_BAD;
	if (SCAN_STARTS(scan, "{"))
		return object_read(scan, entry) ? INGEST_EVENT : INGEST_BAD;
	if (SCAN_STARTS(scan, "level="))
		return pairs_read(scan, entry) ? INGEST_EVENT : INGEST_BAD;
	return n > 0 ? INGEST_OTHER : INGEST_BAD;
}

/* ---- the messages ---------------------------------------------------------------------------- */

static enum ingest_result delivered_take(const struct haraka_entry *entry,
					 struct ingest_event *event)
{
	if ((entry->mode.at != NULL && !scan_text_is(&entry->mode, "SMTP")) ||
	    (entry->ip.at != NULL && scan_text_loopback(&entry->ip)))
		return INGEST_OTHER;
	event->outcome = INGEST_DELIVERED;
	event->domain = entry->domain.at ? scan_text_host(entry->domain) : entry->domain;
	event->mx = entry->host.at ? scan_text_host(entry->host) : entry->host;
	event->peer = entry->ip;
	event->attempt = true;
	scan_event_reply_is(event, scan_text_one_line(entry->response));
	return INGEST_EVENT;
}

/* "<a@b> deferred: REPLY", "<a@b> rejected: REPLY", behind "recipient ". */
static enum ingest_result recipient_take(struct scan *scan, struct ingest_event *event)
{
	struct ingest_text address;
	bool good =
		SCAN_SKIP(scan, "<") ? scan_angle(scan, &address) : scan_address(scan, &address);

	if (!good)
		return INGEST_BAD;
	if (SCAN_SKIP(scan, " deferred: "))
		event->outcome = INGEST_DEFERRED;
	else if (SCAN_SKIP(scan, " rejected: "))
		event->outcome = INGEST_BOUNCED;
	else
		return INGEST_OTHER;
	event->domain = scan_text_domain(address);
	event->attempt = event->each = true;
	scan_event_reply_is(event, scan_text_one_line(scan_rest(scan)));
	return INGEST_EVENT;
}

/* The domain where one of Haraka's own sentences names it. */
static struct ingest_text domain_within(struct scan scan)
{
	static const struct {
		const char *before, *after;
	} sentences[] = {
		{"No Such Domain: ", ""},
		{"Temporary MX lookup error for ", ""},
		{"Nowhere to deliver mail to for domain: ", ""},
		{"Domain ", " sends and receives no email"},
	};

	for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++) {
		struct ingest_text domain;
		struct scan rest = scan;

		if (scan_skip(&rest, sentences[i].before, strlen(sentences[i].before)) &&
		    scan_word(&rest, &domain) &&
		    scan_starts(&rest, sentences[i].after, strlen(sentences[i].after)))
			return scan_text_host(domain);
	}
	return (struct ingest_text){0};
}

static enum ingest_result reason_take(struct scan scan, struct ingest_event *event)
{
	struct ingest_text text;

	if (event->outcome == INGEST_BOUNCED && SCAN_SKIP(&scan, "Too many failures (") &&
	    scan.end > scan.at && scan.end[-1] == ')')
		scan.end--;
	if (SCAN_STARTS(&scan, "Some recipients "))
		return INGEST_OTHER;
	event->attempt =
		SCAN_SKIP(&scan, "Upstream error: ") || SCAN_STARTS(&scan, "Tried all MXs");
	event->domain = domain_within(scan);
	text = scan_text_one_line(scan_rest(&scan));
	if (scan_event_reply_is(event, text)) {
		event->attempt = true;
		return INGEST_EVENT;
	}
	scan_event_words_are(event, text, scan_text_enhanced(&text));
	/* A bounce after DATA has lost its code, not its enhanced one. */
	event->heard = event->enhanced != 0;
	event->attempt = event->attempt || event->heard;
	event->heard_text = text;
	return INGEST_EVENT;
}

static enum ingest_result message_take(const struct haraka_entry *entry, struct ingest_event *event)
{
	struct scan scan = scan_of(entry->message);
	char *reason;

	if (SCAN_SKIP(&scan, "recipient "))
		return recipient_take(&scan, event);
	if (SCAN_SKIP(&scan, "bouncing mail: ")) {
		event->outcome = INGEST_BOUNCED;
		return reason_take(scan, event);
	}
	if (!SCAN_SKIP(&scan, "Temp failing "))
		return INGEST_OTHER;
	reason = memmem(scan.at, scan_left(&scan), " seconds: ", 10);
	if (reason == NULL)
		return INGEST_BAD;
	scan.at = reason + 10;
	event->outcome = INGEST_DEFERRED;
	return reason_take(scan, event);
}

enum ingest_result haraka_parse(struct ingest_stream *stream, struct ingest_line *line,
				struct ingest_event *ret)
{
	struct ingest_event event = {.stage = TG_STAGE_MESSAGE, .n = 1};
	struct scan scan = scan_line(line);
	struct haraka_entry entry = {0};
	enum ingest_result result;

	if (scan_left(&scan) == 0)
		return INGEST_OTHER;
	result = entry_read(stream, &scan, &entry, &event.time_ns);
	if (result != INGEST_EVENT)
		return result;
	if (!entry.outbound)
		return INGEST_OTHER;
	event.id = entry.uuid;
	result = entry.file.at != NULL ? delivered_take(&entry, &event)
				       : message_take(&entry, &event);
	if (result == INGEST_EVENT)
		*ret = event;
	return result;
}
