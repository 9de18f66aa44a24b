/* SPDX-License-Identifier: MIT
 *
 * PowerMTA: its accounting file, CSV under a header line that says which columns there are.
 *
 * type d delivered, b bounced, t temporary failure of a recipient, tq of a whole queue (which names
 * no recipient: the domain is the queue's). dsnDiag is "smtp;451 4.7.650 …", or, of what was not
 * sent but bounced with its queue, "x-pmta;bounce-queue;reply:550 …". dsnStatus is made up where
 * the reply had no enhanced code.
 */
#include <strings.h>

#include "sidecar/ingest/csv.h"

enum column {
	TYPE,
	LOGGED,
	RCPT,
	STATUS,
	DIAG,
	MTA,
	DELIVERY,
	SOURCE,
	PEER,
	VMTA,
	POOL,
	QUEUE,
	COLUMNS_NAMED,
	COLUMNS_ALL = COLUMNS_NAMED /* how many there are in all */
};
_Static_assert(COLUMNS_ALL < INGEST_COLUMNS, "room in the stream");

static const char *const names[COLUMNS_NAMED] = {
	[TYPE] = "type",	[LOGGED] = "timeLogged",  [RCPT] = "rcpt",
	[STATUS] = "dsnStatus", [DIAG] = "dsnDiag",	  [MTA] = "dsnMta",
	[DELIVERY] = "dlvType", [SOURCE] = "dlvSourceIp", [PEER] = "dlvDestinationIp",
	[VMTA] = "vmta",	[POOL] = "vmtaPool",	  [QUEUE] = "queue",
};

static bool named(const struct ingest_text *field, const char *name)
{
	return field->length == strlen(name) && strncasecmp(field->at, name, field->length) == 0;
}

static void header_read(struct ingest_stream *stream, struct scan scan)
{
	struct ingest_text field;
	bool last = false;

	memset(stream->columns, 0, sizeof(stream->columns));
	for (int16_t i = 1; !last && i < INT16_MAX && csv_field(&scan, &field, &last); i++) {
		for (int column = 0; column < COLUMNS_NAMED; column++)
			if (named(&field, names[column]))
				stream->columns[column] = i;
		stream->columns[COLUMNS_ALL] = i;
	}
	stream->header = stream->columns[TYPE] != 0;
}

/* The fields that are named, by their columns. False: not a whole record. */
static bool record_read(const struct ingest_stream *stream, struct scan scan,
			struct ingest_text fields[COLUMNS_NAMED])
{
	struct ingest_text field;
	bool last = false;
	int16_t count = 0;

	while (!last && count < INT16_MAX) {
		if (!csv_field(&scan, &field, &last))
			return false;
		count++;
		for (int column = 0; column < COLUMNS_NAMED; column++)
			if (stream->columns[column] == count && field.length > 0)
				fields[column] = field;
	}
	return count >= stream->columns[COLUMNS_ALL];
}

static bool outcome_read(const struct ingest_text *type, enum ingest_outcome *ret)
{
	if (named(type, "d"))
		*ret = INGEST_DELIVERED;
	else if (named(type, "b"))
		*ret = INGEST_BOUNCED;
	else if (named(type, "t") || named(type, "tq"))
		*ret = INGEST_DEFERRED;
	else
		return false;
	return true;
}

/* "mx.example.org (192.0.2.1)". */
static void host_take(struct ingest_text field, struct ingest_event *event)
{
	const char *blank = field.at ? memchr(field.at, ' ', field.length) : NULL;

	if (field.at == NULL)
		return;
	event->mx = scan_text_host(scan_text(field.at, blank ? blank : field.at + field.length));
}

/* "domain/vmta": the names of both where the record has them nowhere else. */
static void queue_take(struct ingest_text field, struct ingest_event *event)
{
	const char *slash = field.at ? memchr(field.at, '/', field.length) : NULL;

	if (field.at == NULL)
		return;
	if (event->domain.at == NULL)
		event->domain = scan_text_host(
			scan_text(field.at, slash ? slash : field.at + field.length));
	if (event->via.at == NULL && slash != NULL)
		event->via = scan_text(slash + 1, field.at + field.length);
}

static void diagnosis_take(struct ingest_text diag, struct ingest_text status,
			   struct ingest_event *event)
{
	struct scan scan;

	diag = scan_text_one_line(diag);
	scan = scan_of(diag);
	if (diag.at != NULL) {
		if (SCAN_SKIP(&scan, "x-pmta;")) {
			char *reply = memmem(scan.at, scan_left(&scan), "reply:", 6);

			event->attempt = false;
			if (reply != NULL)
				scan.at = reply + 6;
		} else {
			SCAN_SKIP(&scan, "smtp;");
		}
		scan_blanks(&scan);
		if (scan_event_reply_is(event, scan_rest(&scan)))
			return;
	}
	scan_event_words_are(event, diag, scan_text_enhanced(&status));
}

static bool no_receiver(const struct ingest_text fields[COLUMNS_NAMED])
{
	return (fields[DELIVERY].at != NULL && !named(&fields[DELIVERY], "smtp")) ||
	       (fields[PEER].at != NULL && scan_text_loopback(&fields[PEER]));
}

enum ingest_result powermta_parse(struct ingest_stream *stream, struct ingest_line *line,
				  struct ingest_event *ret)
{
	struct ingest_event event = {
		.stage = TG_STAGE_MESSAGE, .n = 1, .attempt = true, .each = true};
	struct ingest_text fields[COLUMNS_NAMED] = {0};
	struct scan scan = scan_line(line);

	SCAN_SKIP(&scan, "\xEF\xBB\xBF");
	if (scan_left(&scan) == 0)
		return INGEST_OTHER;
	/* Each file begins with one; so does what was appended to it under another configuration.
	 */
	if (!stream->header || SCAN_STARTS(&scan, "type,") || SCAN_STARTS(&scan, "\"type\",")) {
		header_read(stream, scan);
		return stream->header ? INGEST_OTHER : INGEST_BAD;
	}
	if (!record_read(stream, scan, fields) || fields[TYPE].at == NULL)
		return INGEST_BAD;
	if (!outcome_read(&fields[TYPE], &event.outcome) || no_receiver(fields))
		return INGEST_OTHER;
	if (fields[LOGGED].at != NULL)
		stamp_read(&stream->clock, fields[LOGGED].at, fields[LOGGED].length,
			   &event.time_ns);
	event.source = fields[SOURCE];
	event.peer = fields[PEER];
	event.via = fields[VMTA];
	event.pool = fields[POOL];
	event.domain = scan_text_domain(fields[RCPT]);
	queue_take(fields[QUEUE], &event);
	host_take(fields[MTA], &event);
	diagnosis_take(fields[DIAG], fields[STATUS], &event);
	event.attempt = event.attempt && (event.mx.at != NULL || event.source.at != NULL);
	*ret = event;
	return INGEST_EVENT;
}
