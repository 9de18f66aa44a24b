/* SPDX-License-Identifier: MIT
 *
 * Exim: the lines of its main log that tell how a delivery went.
 *
 *   DATE TIME[.ms] [±ZONE] [[PID]] MSGID FLAG ADDRESS [<PARENT>] R=… T=… [H=HOST [IP]:PORT]
 *   [I=[IP]:PORT] [X=…] [CV=…] [DN="…"] [C="250 …"] [QT=…] [DT=…]: TEXT
 *
 * FLAG is "=>", "->" (a further recipient), ">>" (cut-through), "**" (failed) or "==" (deferred,
 * with "defer (errno)[: strerror]" before H=). Which fields there are is log_selector's business,
 * so they are told by their names. TEXT begins at the first word that ends in a colon; there stands
 * "SMTP error from remote mail server after COMMAND: [host NAME [IP]: ]REPLY", the lines of a reply
 * separated by the two characters "\n". Lines without a flag tell of hosts on the way to an outcome.
 */
#include "sidecar/ingest/scan.h"

struct delivery {
	struct ingest_text address, confirmation, message, strerror;
	bool has_host;
};

/* ---- the head -------------------------------------------------------------------------------- */

/* 6-6-2 letters and digits, from 4.97 on 6-11-4. */
static size_t message_id_length(const struct scan *scan)
{
	static const uint8_t parts[2][3] = {{6, 6, 2}, {6, 11, 4}};

	for (int form = 0; form < 2; form++) {
		const char *at = scan->at;
		bool good = true;

		for (int i = 0; good && i < 3; i++) {
			for (int n = 0; good && n < parts[form][i]; n++, at++)
				good = at < scan->end &&
				       ((*at >= '0' && *at <= '9') ||
					((*at | 0x20) >= 'a' && (*at | 0x20) <= 'z'));
			good = good && at < scan->end && *at++ == (i < 2 ? '-' : ' ');
		}
		if (good)
			return (size_t)(at - scan->at - 1);
	}
	return 0;
}

static void pid_skip(struct scan *scan)
{
	struct ingest_text part;

	scan_blanks(scan);
	if (SCAN_STARTS(scan, "[") && scan_until(scan, ' ', &part))
		scan_blanks(scan);
}

/* Behind the stamp: the message's id. By way of syslog there is "HOST exim[PID]: " in front, and
 * perhaps the stamp once more. */
static bool id_scan(struct ingest_stream *stream, struct scan *scan, uint64_t *time_ns,
		    struct ingest_text *ret)
{
	struct ingest_text word = {0};
	size_t n, length;

	pid_skip(scan);
	n = message_id_length(scan);
	for (int words = 0; n == 0 && words < 2; words++) {
		if (!scan_until(scan, ' ', &word))
			return false;
		if (word.length == 0 || word.at[word.length - 1] != ':')
			continue;
		length = stamp_read(&stream->clock, scan->at, scan_left(scan), time_ns);
		scan->at += length;
		pid_skip(scan);
		n = message_id_length(scan);
		break;
	}
	*ret = scan_text(scan->at, scan->at + n);
	scan->at += n;
	return n > 0 && SCAN_SKIP(scan, " ");
}

static enum ingest_result flag_scan(struct scan *scan, enum ingest_outcome *ret)
{
	if (SCAN_SKIP(scan, "=> ") || SCAN_SKIP(scan, "-> ") || SCAN_SKIP(scan, ">> "))
		*ret = INGEST_DELIVERED;
	else if (SCAN_SKIP(scan, "** "))
		*ret = INGEST_BOUNCED;
	else if (SCAN_SKIP(scan, "== "))
		*ret = INGEST_DEFERRED;
	else
		return INGEST_OTHER;
	return INGEST_EVENT;
}

/* ---- the fields ------------------------------------------------------------------------------ */

/* ": TEXT", or ":" at the end. */
static bool message_scan(struct scan *scan, struct delivery *d)
{
	if (!SCAN_STARTS(scan, ": ") && !(scan_left(scan) == 1 && *scan->at == ':'))
		return false;
	scan->at++;
	scan_blanks(scan);
	d->message = scan_rest(scan);
	return true;
}

/* "[address]", ":port" and "*" behind it. */
static bool endpoint_scan(struct scan *scan, struct ingest_text *ret)
{
	struct ingest_text address;
	unsigned port;

	if (!scan_bracket(scan, &address))
		return false;
	if (scan_left(scan) > 1 && *scan->at == ':' && scan->at[1] != ' ') {
		scan->at++;
		scan_number(scan, &port);
	}
	SCAN_SKIP(scan, "*");
	if (ret->at == NULL)
		*ret = address;
	return true;
}

/* "name [address]:port" behind "H=". */
static bool host_scan(struct scan *scan, struct ingest_event *event, struct delivery *d)
{
	char *bracket = memchr(scan->at, '[', scan_left(scan));
	char *name_end = bracket;

	if (bracket == NULL)
		return false;
	while (name_end > scan->at && name_end[-1] == ' ')
		name_end--;
	if (memchr(scan->at, ' ', (size_t)(name_end - scan->at)) != NULL)
		return false;
	if (!d->has_host)
		event->mx = scan_text_host(scan_text(scan->at, name_end));
	d->has_host = true;
	scan->at = bracket;
	return endpoint_scan(scan, &event->peer);
}

/* "defer (110): Connection timed out": up to the field that follows, or the text. */
static bool defer_scan(struct scan *scan, struct delivery *d)
{
	struct ingest_text errno_text;
	char *from, *at;

	if (!scan_until(scan, ')', &errno_text))
		return false;
	if (errno_text.length == 0 || *errno_text.at == '-' || *errno_text.at == '0' ||
	    !SCAN_SKIP(scan, ": "))
		return true;
	from = at = scan->at;
	while (at < scan->end &&
	       !(scan->end - at > 3 && *at == ' ' &&
		 (memcmp(at, " H=", 3) == 0 || memcmp(at, " I=", 3) == 0 ||
		  memcmp(at, " DT", 3) == 0)) &&
	       !(scan->end - at > 1 && at[0] == ':' && at[1] == ' '))
		at++;
	d->strerror = scan_text(from, at);
	scan->at = at;
	return true;
}

/* "5m00s", "1.872s", "1h2m3s". */
static uint64_t duration_scan(struct scan *scan)
{
	uint64_t total = 0, part;

	while (scan_seconds(scan, &part)) {
		if (SCAN_SKIP(scan, "d"))
			part *= 86400;
		else if (SCAN_SKIP(scan, "h"))
			part *= 3600;
		else if (SCAN_SKIP(scan, "m"))
			part *= 60;
		else if (!SCAN_SKIP(scan, "s"))
			break;
		total += part;
	}
	return total;
}

/* A field that is told by its name. False: it cannot be read. */
static bool field_scan(struct scan *scan, struct ingest_event *event, struct delivery *d)
{
	struct ingest_text word;
	char *equals;

	if (SCAN_SKIP(scan, "H="))
		return host_scan(scan, event, d);
	if (SCAN_SKIP(scan, "I="))
		return endpoint_scan(scan, &event->source);
	if (SCAN_SKIP(scan, "defer ("))
		return defer_scan(scan, d);
	if (SCAN_SKIP(scan, "C=\""))
		return scan_quoted(scan, &d->confirmation);
	if (SCAN_SKIP(scan, "DT="))
		event->spent_ns = duration_scan(scan);
	if (SCAN_SKIP(scan, "<") || SCAN_SKIP(scan, "F=<") || SCAN_SKIP(scan, "P=<"))
		return scan_angle(scan, &word);
	if (SCAN_SKIP(scan, "("))
		return scan_until(scan, ')', &word);
	if (!scan_word(scan, &word))
		return scan_left(scan) == 0 || *scan->at == ' ';
	equals = memchr(word.at, '=', word.length);
	if (equals != NULL && equals + 1 < word.at + word.length && equals[1] == '"') { /* DN="…" */
		scan->at = equals + 2;
		return scan_quoted(scan, &word);
	}
	if (word.at[word.length - 1] == ':') { /* the colon is the text's */
		scan->at--;
		word.length--;
	}
	if (word.length > 2 && memcmp(word.at, "T=", 2) == 0)
		event->pool = scan_text(word.at + 2, word.at + word.length);
	return true;
}

static bool fields_scan(struct scan *scan, struct ingest_event *event, struct delivery *d)
{
	if (!scan_address(scan, &d->address))
		return false;
	if (d->address.at[d->address.length - 1] == ':') {
		d->address.length--;
		scan->at--;
	}
	while (scan_left(scan) > 0 && d->message.at == NULL) {
		scan_blanks(scan);
		if (!message_scan(scan, d) && !field_scan(scan, event, d))
			return false;
	}
	return true;
}

/* ---- the text -------------------------------------------------------------------------------- */

static bool error_skip(struct scan *scan)
{
	return SCAN_SKIP(scan, "SMTP error from remote mail server after ") ||
	       SCAN_SKIP(scan, "SMTP error from remote mailer after ") ||
	       SCAN_SKIP(scan, "LMTP error from remote mail server after ");
}

/* "pipelined RCPT TO:<a@b>: ": our own command, whose address may hold what a reply looks like. */
static bool command_scan(struct scan *scan, struct ingest_event *event)
{
	struct ingest_text part;
	char *colon;

	SCAN_SKIP(scan, "pipelined ");
	event->each = SCAN_STARTS(scan, "RCPT");
	if (SCAN_STARTS(scan, "initial") || SCAN_STARTS(scan, "EHLO") ||
	    SCAN_STARTS(scan, "HELO") || SCAN_STARTS(scan, "STARTTLS") || SCAN_STARTS(scan, "AUTH"))
		event->stage = TG_STAGE_GREETING;
	if ((SCAN_SKIP(scan, "RCPT TO:<") || SCAN_SKIP(scan, "MAIL FROM:<")) &&
	    !scan_angle(scan, &part))
		return false;
	colon = memmem(scan->at, scan_left(scan), ": ", 2);
	if (colon == NULL)
		return false;
	scan->at = colon + 2;
	return true;
}

/* "host NAME [IP]: " in front of the reply, as before Exim 4.84. */
static void host_within(struct scan *scan, struct ingest_event *event, struct delivery *d)
{
	struct scan inner = *scan;
	struct ingest_event named = {0};
	struct delivery host = {0};

	if (!SCAN_SKIP(&inner, "host ") || !host_scan(&inner, &named, &host) ||
	    !SCAN_SKIP(&inner, ": "))
		return;
	*scan = inner;
	if (d->has_host)
		return;
	d->has_host = true;
	event->mx = named.mx;
	event->peer = named.peer;
}

static void message_take(struct ingest_event *event, struct delivery *d)
{
	struct ingest_text text = scan_text_one_line_escaped(d->message);
	struct scan scan = scan_of(text);

	if (text.at != NULL && error_skip(&scan) && command_scan(&scan, event)) {
		host_within(&scan, event, d);
		if (scan_event_reply_is(event, scan_rest(&scan)))
			return;
	}
	scan_event_words_are(event, text.at != NULL ? text : d->strerror, 0);
	event->each = false;
	if (d->strerror.at != NULL && event->source.at == NULL)
		event->stage = TG_STAGE_CONNECT;
}

enum ingest_result exim_parse(struct ingest_stream *stream, struct ingest_line *line,
			      struct ingest_event *ret)
{
	struct ingest_event event = {.stage = TG_STAGE_MESSAGE, .n = 1};
	struct scan scan = scan_line(line);
	struct delivery d = {0};
	struct ingest_text part;
	size_t n;

	if (scan_left(&scan) == 0)
		return INGEST_OTHER;
	if (SCAN_SKIP(&scan, "<") && (!scan_until(&scan, '>', &part) || part.length > 3))
		return INGEST_BAD;
	n = stamp_read(&stream->clock, scan.at, scan_left(&scan), &event.time_ns);
	scan.at += n;
	if (n == 0 || !SCAN_SKIP(&scan, " "))
		return INGEST_BAD;
	if (!id_scan(stream, &scan, &event.time_ns, &event.id) ||
	    flag_scan(&scan, &event.outcome) != INGEST_EVENT)
		return INGEST_OTHER;
	if (!fields_scan(&scan, &event, &d))
		return INGEST_BAD;
	event.domain = scan_text_domain(d.address);
	if (event.outcome == INGEST_DELIVERED)
		scan_event_reply_is(&event, scan_text_one_line_escaped(d.confirmation));
	else
		message_take(&event, &d);
	if (scan_text_loopback(&event.peer) || (event.outcome == INGEST_DELIVERED && !d.has_host) ||
	    event.domain.at == NULL || *d.address.at == '|' || *d.address.at == '/')
		return INGEST_OTHER;
	event.attempt = d.has_host;
	*ret = event;
	return INGEST_EVENT;
}
