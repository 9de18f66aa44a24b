/* SPDX-License-Identifier: MIT
 *
 * What a line of an MTA's log says: one outcome of one delivery.
 *
 * A parser takes a line and fills an event; one file a format, one table of them (format.h). It is
 * pure: no clock, no allocation, no state but the stream's. Escapes are undone in place, so the
 * line is rewritten while it is read, and an event's texts lie within it: they live as long as it.
 *
 * A reply is a stranger's text within our line. So each field is taken from where the MTA puts it,
 * from the left, quotes honoured; nothing is searched for in the reply.
 */
#ifndef SIDECAR_INGEST_EVENT_H
#define SIDECAR_INGEST_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/tollgate.h"
#include "sidecar/ingest/stamp.h"
#include "sidecar/rules/reply_parse.h"

struct ingest_text {
	const char *at; /* not terminated; NULL: the line does not say */
	size_t length;
};

enum ingest_outcome {
	INGEST_DELIVERED,
	INGEST_DEFERRED, /* it stays in the queue */
	INGEST_BOUNCED,
	INGEST_OUTCOMES
};

struct ingest_event {
	uint64_t time_ns;  /* since 1970; 0: the line has no stamp */
	uint64_t spent_ns; /* from the start of the connection to time_ns, as far as it is stated */
	uint64_t setup_ns; /* of these, until the connection stood */
	bool fresh;	   /* it was opened for this attempt; false: nothing is said of that */
	enum ingest_outcome outcome;

	struct ingest_text source; /* our address */
	struct ingest_text via;	   /* what the MTA calls it: syslog_name, egress source, vmta */
	struct ingest_text pool;   /* pool or transport, another name of it */
	struct ingest_text site;   /* the MTA's queue that it went by: KumoMTA's ready queue */
	struct ingest_text domain; /* of the recipient, in lower case */
	struct ingest_text mx;	   /* host, in lower case, without a dot at the end */
	struct ingest_text peer;   /* its address */

	unsigned code, enhanced; /* as logged; 0: not there. enhanced as REPLY_ENHANCED */
	struct ingest_text text; /* as logged */

	/* What the receiver said, which some MTAs wrap into words of their own. */
	bool heard;
	unsigned heard_code;	 /* 0: in front of heard_text */
	unsigned heard_enhanced; /* 0: in heard_text, or none */
	struct ingest_text heard_text;

	uint8_t by;    /* enum engine_hearing: who told; a parser of logs leaves it 0 */
	bool attempt;  /* something was tried; false: a decision of the MTA, or an old reply */
	uint8_t stage; /* enum tg_stage of what was tried */
	uint32_t n;    /* recipients */

	/* Lines of the same transaction repeat one reply for each recipient. */
	bool each;	       /* the reply was to this recipient alone */
	struct ingest_text id; /* of the message in the MTA's queue, or of the event */
	unsigned index;	       /* of the event in its line, from 1; 0: the line has but one */
};

enum ingest_result {
	INGEST_EVENT,
	INGEST_OTHER, /* understood, and no outcome: another program, an arrival, an empty line */
	INGEST_BAD,   /* not understood */
};

/* What a parser keeps from line to line. A zeroed one is ready. */
#define INGEST_COLUMNS 16
struct ingest_stream {
	struct stamp_clock clock;
	int16_t columns[INGEST_COLUMNS]; /* of a CSV: which field is which, + 1; 0: not there */
	bool header;			 /* it has been read */
};

/* A line without its line feed; `bytes` is rewritten. `at` and `index` belong to the parser: both 0
 * at first, and where a line has several events it is called until it returns other than
 * INGEST_EVENT. */
struct ingest_line {
	char *bytes;
	size_t length;
	size_t at;
	unsigned index;
};

enum ingest_result postfix_parse(struct ingest_stream *stream, struct ingest_line *line,
				 struct ingest_event *ret);
/* What Postfix's smtp_delivery_status_filter is asked, "4.7.650 host NAME[IP] said: …": an outcome
 * before it is logged. Of a delivery it says no host. */
enum ingest_result postfix_status_parse(struct ingest_line *line, struct ingest_event *ret);
enum ingest_result exim_parse(struct ingest_stream *stream, struct ingest_line *line,
			      struct ingest_event *ret);
enum ingest_result powermta_parse(struct ingest_stream *stream, struct ingest_line *line,
				  struct ingest_event *ret);
enum ingest_result kumomta_parse(struct ingest_stream *stream, struct ingest_line *line,
				 struct ingest_event *ret);
enum ingest_result haraka_parse(struct ingest_stream *stream, struct ingest_line *line,
				struct ingest_event *ret);
enum ingest_result sendgrid_parse(struct ingest_stream *stream, struct ingest_line *line,
				  struct ingest_event *ret);
enum ingest_result json_log_parse(struct ingest_stream *stream, struct ingest_line *line,
				  struct ingest_event *ret);

/* "delivered", "deferred", "bounced". */
const char *ingest_outcome_name(enum ingest_outcome outcome);

/* The receiver's reply, as classes are made of it. False: there was none (heard is false). */
bool ingest_event_reply(const struct ingest_event *event, struct reply_line *ret);

/* Our own address as the reply quotes it: one address, bare or in brackets, that is no code
 * ("4.16.55.1"), no network ("203.0.113.0/24"), no other host's. NULL at: none, or several. */
struct ingest_text ingest_event_quoted(const struct ingest_event *event);

#endif
