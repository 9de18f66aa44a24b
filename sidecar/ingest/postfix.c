/* SPDX-License-Identifier: MIT
 *
 * Postfix: what smtp(8), and error(8) in its place, log for each recipient.
 *
 *   STAMP HOST SYSLOG_NAME/smtp[PID]: QUEUEID: to=<a>[, orig_to=<b>], relay=HOST[IP]:25[,
 * conn_use=N],
 *   delay=D, delays=A/B/C/D[, tls=T], dsn=4.7.650, status=deferred (host HOST[IP] said: 451 4.7.650
 * …
 *   (in reply to MAIL FROM command))
 *
 * by way of syslog (RFC 3164, RFC 5424), postlogd or journald. Lines without "to=" tell of a host
 * that was tried on the way to an outcome; local, virtual, pipe and lmtp deliveries reach no
 * receiver, nor does a filter at 127.0.0.1. Postfix logs no source address: syslog_name is what
 * tells our addresses apart.
 */
#include "sidecar/ingest/scan.h"

/* "mta1 postfix/smtp[29963]: ", "mta1 postfix/smtp 29963 - - " (RFC 5424): the tag, the program
 * being what stands behind its last slash. */
static bool tag_scan(struct scan *scan, bool rfc5424, struct ingest_text *ret)
{
	struct ingest_text word;

	if (rfc5424) { /* HOST TAG PROCID MSGID - */
		if (!scan_until(scan, ' ', &word) || !scan_until(scan, ' ', ret) ||
		    !scan_until(scan, ' ', &word) || !scan_until(scan, ' ', &word))
			return false;
		if (!SCAN_SKIP(scan, "- ") &&
		    !(SCAN_STARTS(scan, "[") && scan_until(scan, ']', &word)))
			return false;
		scan_blanks(scan);
		SCAN_SKIP(scan, "\xEF\xBB\xBF");
		return true;
	}
	for (int words = 0; words < 3; words++) {
		scan_blanks(scan);
		if (!scan_until(scan, ' ', &word))
			return false;
		if (word.length > 1 && word.at[word.length - 1] == ':') {
			const char *pid = memchr(word.at, '[', word.length);

			word.length -= 1;
			*ret = pid != NULL ? scan_text(word.at, pid) : word;
			return true;
		}
	}
	return false;
}

/* smtp: an outcome of a delivery; error and retry: of what was not tried. */
static bool program_delivers(struct ingest_text *tag, bool *ret_tried)
{
	const char *slash = memrchr(tag->at, '/', tag->length);
	struct ingest_text program;

	if (slash == NULL)
		return false;
	program = scan_text(slash + 1, tag->at + tag->length);
	tag->length = (size_t)(slash - tag->at);
	*ret_tried = scan_text_is(&program, "smtp");
	return *ret_tried || scan_text_is(&program, "error") || scan_text_is(&program, "retry");
}

static bool letter_or_digit(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* "4qPWc9wHbGzPNd: to=<": hexadecimal, or the long form; "warning: to=<" is none. */
static bool queue_id_scan(struct scan *scan, struct ingest_text *ret)
{
	char *at = scan->at;

	while (at < scan->end && letter_or_digit(*at))
		at++;
	if (at == scan->at || (*scan->at >= 'a' && *scan->at <= 'z') || scan->end - at < 6 ||
	    memcmp(at, ": to=<", 6) != 0)
		return false;
	*ret = scan_text(scan->at, at);
	scan->at = at + 6;
	return true;
}

/* "host[address]:25", "none", "host[private/socket]". */
static void relay_take(struct ingest_text value, struct ingest_event *event)
{
	const char *bracket = memchr(value.at, '[', value.length);
	const char *stop =
		bracket ? memchr(bracket, ']', (size_t)(value.at + value.length - bracket)) : NULL;

	if (stop == NULL)
		return;
	event->mx = scan_text_host(scan_text(value.at, bracket));
	event->peer = scan_text(bracket + 1, stop);
}

/* "a/b/c/d": before the queue manager, in it, connecting, sending. */
static void delays_take(struct ingest_text value, struct ingest_event *event)
{
	struct scan scan = scan_of(value);
	uint64_t part[4] = {0};

	for (int i = 0; i < 4; i++)
		if (!scan_seconds(&scan, &part[i]) || (i < 3 && !SCAN_SKIP(&scan, "/")))
			return;
	event->spent_ns = part[2] + part[3];
	event->setup_ns = part[2];
}

/* From ", relay=" to the "(" of the reason: "name=value", separated by ", ". */
static bool fields_scan(struct scan *scan, struct ingest_event *event,
			struct ingest_text *ret_status, unsigned *ret_dsn)
{
	struct ingest_text name, value;

	while (SCAN_SKIP(scan, ", ")) {
		if (SCAN_SKIP(scan, "status="))
			return scan_until(scan, '(', ret_status) && ret_status->length > 1;
		if (SCAN_SKIP(scan, "orig_to=<")) {
			if (!scan_angle(scan, &value))
				return false;
			continue;
		}
		if (!scan_until(scan, '=', &name) || !scan_until(scan, ',', &value))
			return false;
		scan->at--;
		if (scan_text_is(&name, "relay"))
			relay_take(value, event);
		else if (scan_text_is(&name, "delays"))
			delays_take(value, event);
		else if (scan_text_is(&name, "conn_use"))
			event->fresh = false;
		else if (scan_text_is(&name, "dsn"))
			*ret_dsn = scan_text_enhanced(&value);
	}
	return false;
}

/* 0: no outcome (an address was verified). */
static enum ingest_result status_read(struct ingest_text status, enum ingest_outcome *ret)
{
	if (status.at[status.length - 1] == ' ')
		status.length--;
	if (scan_text_is(&status, "sent"))
		*ret = INGEST_DELIVERED;
	else if (scan_text_is(&status, "deferred") || scan_text_is(&status, "SOFTBOUNCE"))
		*ret = INGEST_DEFERRED;
	else if (scan_text_is(&status, "bounced"))
		*ret = INGEST_BOUNCED;
	else
		return INGEST_OTHER;
	return INGEST_EVENT;
}

/* ---- the reason ------------------------------------------------------------------------------ */

static uint8_t stage_of(struct ingest_text command)
{
	static const char *const greeting[] = {"EHLO", "HELO",	  "LHLO",      "STARTTLS",
					       "AUTH", "initial", "performing"};

	for (size_t i = 0; i < sizeof(greeting) / sizeof(greeting[0]); i++)
		if (command.length >= strlen(greeting[i]) &&
		    memcmp(command.at, greeting[i], strlen(greeting[i])) == 0)
			return TG_STAGE_GREETING;
	return TG_STAGE_MESSAGE;
}

/* Takes "(in reply to RCPT TO command)" off the end: it is the last such, whatever the reply says.
 */
static struct ingest_text reply_to_off(struct ingest_text text, struct ingest_event *event)
{
	static const char words[] = " (in reply to ";
	const size_t length = sizeof(words) - 1;
	const char *at = text.at + text.length;

	if (text.length < length || at[-1] != ')')
		return text;
	while ((at = memrchr(text.at, '(', (size_t)(at - text.at))) != NULL)
		if (at > text.at && (size_t)(text.at + text.length - (at - 1)) > length &&
		    memcmp(at - 1, words, length) == 0)
			break;
	if (at == NULL)
		return text;
	struct ingest_text command = scan_text(at - 1 + length, text.at + text.length - 1);

	event->stage = stage_of(command);
	event->each = command.length >= 4 && memcmp(command.at, "RCPT", 4) == 0;
	return scan_text(text.at, at - 1);
}

/* Behind "host NAME[IP]" or "server NAME[IP]", where there is one: " said: ", " refused to talk to
 * me: ". The reply, in *ret. */
static bool said_scan(struct scan scan, struct ingest_event *event, struct ingest_text *ret)
{
	struct ingest_text part;
	unsigned port;

	if (SCAN_SKIP(&scan, "SASL authentication failed") &&
	    (SCAN_SKIP(&scan, "; server ") || SCAN_SKIP(&scan, ": server ")))
		event->stage = TG_STAGE_GREETING;
	else if (!SCAN_SKIP(&scan, "host "))
		return false;
	if (!scan_until(&scan, '[', &part) || !scan_until(&scan, ']', &part))
		return false;
	if (SCAN_SKIP(&scan, ":"))
		scan_number(&scan, &port);
	if (SCAN_SKIP(&scan, " refused to talk to me: "))
		event->stage = TG_STAGE_GREETING;
	else if (!SCAN_SKIP(&scan, " said: "))
		return false;
	*ret = scan_rest(&scan);
	return true;
}

/* "lost connection with HOST[IP] while …", "connect to HOST[IP]:25: Connection timed out". */
static void trouble_stage(const struct ingest_text *text, struct ingest_event *event)
{
	struct scan scan = scan_of(*text);
	struct ingest_text part;

	if (SCAN_SKIP(&scan, "connect to ")) {
		event->stage = TG_STAGE_CONNECT;
		event->attempt = true;
		if (scan_until(&scan, '[', &part) && scan_until(&scan, ']', &part))
			event->peer = part;
		return;
	}
	if ((SCAN_SKIP(&scan, "lost connection with ") || SCAN_SKIP(&scan, "conversation with ")) &&
	    scan_until(&scan, ']', &part)) {
		SCAN_SKIP(&scan, " timed out");
		if (SCAN_SKIP(&scan, " while ") && (SCAN_STARTS(&scan, "receiving the initial") ||
						    SCAN_STARTS(&scan, "performing")))
			event->stage = TG_STAGE_GREETING;
	}
}

static void reason_take(struct scan scan, struct ingest_event *event, unsigned dsn)
{
	struct ingest_text whole, reply;
	bool old;

	whole = scan_rest(&scan);
	old = SCAN_SKIP(&scan, "delivery temporarily suspended: ");
	if (old)
		event->attempt = false;
	if (event->outcome == INGEST_DELIVERED) {
		scan_event_reply_is(event, whole);
		return;
	}
	if (!said_scan(scan, event, &reply)) {
		scan_event_words_are(event, whole, dsn);
		trouble_stage(&whole, event);
		return;
	}
	reply = reply_to_off(reply, event);
	if (!scan_event_reply_is(event, reply))
		scan_event_words_are(event, whole, dsn);
	else if (old)
		event->text = whole;
}

/* The stamp, and the tag behind it. *ret_time 0: there is no stamp. */
static bool head_scan(struct ingest_stream *stream, struct scan *scan, uint64_t *ret_time,
		      struct ingest_text *ret_tag)
{
	struct ingest_text part;
	bool rfc5424 = false;
	size_t n;

	if (SCAN_SKIP(scan, "<")) {
		if (!scan_until(scan, '>', &part) || part.length > 3)
			return false;
		rfc5424 = SCAN_SKIP(scan, "1 ");
	}
	n = stamp_read(&stream->clock, scan->at, scan_left(scan), ret_time);
	scan->at += n;
	if (n == 0 || !SCAN_SKIP(scan, " ")) {
		*ret_time = 0;
		return false;
	}
	return tag_scan(scan, rfc5424, ret_tag);
}

enum ingest_result postfix_parse(struct ingest_stream *stream, struct ingest_line *line,
				 struct ingest_event *ret)
{
	struct ingest_event event = {.stage = TG_STAGE_MESSAGE, .n = 1, .fresh = true};
	struct scan scan = scan_line(line);
	struct ingest_text to, status, part;
	enum ingest_result result;
	unsigned dsn = 0;

	if (scan_left(&scan) == 0)
		return INGEST_OTHER;
	if (!head_scan(stream, &scan, &event.time_ns, &event.via))
		return event.time_ns ? INGEST_OTHER : INGEST_BAD;
	if (!program_delivers(&event.via, &event.attempt))
		return INGEST_OTHER;
	if (SCAN_SKIP(&scan, "[ID ") && scan_until(&scan, ']', &part)) /* Solaris */
		scan_blanks(&scan);
	if (!queue_id_scan(&scan, &event.id))
		return INGEST_OTHER;
	if (!scan_angle(&scan, &to) || !fields_scan(&scan, &event, &status, &dsn))
		return INGEST_BAD;
	result = status_read(status, &event.outcome);
	if (result != INGEST_EVENT || scan_text_loopback(&event.peer))
		return INGEST_OTHER;
	if (event.peer.length > 0 && memchr(event.peer.at, '/', event.peer.length) != NULL)
		return INGEST_OTHER; /* a socket of this host */
	event.domain = scan_text_domain(to);
	event.attempt = event.attempt && event.peer.at != NULL;
	if (scan.end > scan.at && scan.end[-1] == ')')
		scan.end--; /* else it was cut off on its way */
	reason_take(scan, &event, dsn);
	*ret = event;
	return INGEST_EVENT;
}

/* Where Postfix itself names the host: "host NAME[IP] said", "connect to NAME[IP]:25". */
static void host_take(struct scan scan, struct ingest_event *event)
{
	struct ingest_text name, address;

	SCAN_SKIP(&scan, "delivery temporarily suspended: ");
	if (!SCAN_SKIP(&scan, "host ") && !SCAN_SKIP(&scan, "connect to ") &&
	    !SCAN_SKIP(&scan, "lost connection with ") && !SCAN_SKIP(&scan, "conversation with "))
		return;
	if (!scan_until(&scan, '[', &name) || !scan_until(&scan, ']', &address))
		return;
	event->mx = scan_text_host(name);
	event->peer = address;
}

enum ingest_result postfix_status_parse(struct ingest_line *line, struct ingest_event *ret)
{
	struct ingest_event event = {.stage = TG_STAGE_MESSAGE, .n = 1};
	struct scan scan = scan_line(line);
	struct ingest_text status;

	if (!scan_until(&scan, ' ', &status) || scan_text_enhanced(&status) == 0)
		return INGEST_BAD;
	switch (status.at[0]) {
	case '2': event.outcome = INGEST_DELIVERED; break;
	case '4': event.outcome = INGEST_DEFERRED; break;
	case '5': event.outcome = INGEST_BOUNCED; break;
	default: return INGEST_BAD;
	}
	if (event.outcome != INGEST_DELIVERED)
		host_take(scan, &event);
	if (scan_text_loopback(&event.peer))
		return INGEST_OTHER;
	event.attempt = event.outcome == INGEST_DELIVERED || event.peer.at != NULL;
	reason_take(scan, &event, scan_text_enhanced(&status));
	*ret = event;
	return INGEST_EVENT;
}
