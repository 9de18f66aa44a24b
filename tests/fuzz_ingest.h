/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a log of one format: split into lines in pieces, parsed, and looked at. A program a
 * format sets FUZZ_FORMAT and includes this.
 */
#ifndef TESTS_FUZZ_INGEST_H
#define TESTS_FUZZ_INGEST_H

#include <stdlib.h>
#include <string.h>

#include "sidecar/ingest/format.h"
#include "sidecar/ingest/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_text(const struct ingest_line *line, const struct ingest_text *text)
{
	if (text->at == NULL && text->length == 0)
		return;
	if (text->at < line->bytes || text->at + text->length > line->bytes + line->length)
		abort();
}

static inline void fuzz_event(const struct ingest_line *line, const struct ingest_event *event)
{
	const struct ingest_text *texts[] = {&event->source, &event->via, &event->pool,
					     &event->domain, &event->mx,  &event->peer,
					     &event->text,   &event->id,  &event->heard_text};
	struct ingest_text quoted;
	struct reply_line reply;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		fuzz_text(line, texts[i]);
	if ((unsigned)event->outcome >= INGEST_OUTCOMES || event->code > 999 || event->n == 0 ||
	    event->stage >= TG_STAGES || event->heard_code > 599)
		abort();
	if (ingest_event_reply(event, &reply) && reply.code > 599)
		abort();
	quoted = ingest_event_quoted(event);
	fuzz_text(line, &quoted);
}

/* How many events there are, read in pieces of `piece` bytes. */
static inline uint64_t fuzz_log(const struct ingest_format *format, const uint8_t *data,
				size_t size, size_t piece, uint64_t *ret_lines)
{
	struct ingest_stream stream = {.clock.now_ns = UINT64_C(1772020000000000000)};
	struct lines lines = {.csv = format->csv};
	struct ingest_event event;
	struct ingest_line line;
	uint64_t events = 0;
	size_t at = 0;

	do {
		size_t room, n = size - at < piece ? size - at : piece;
		char *into = lines_room(&lines, &room);

		if (into == NULL)
			abort();
		n = n < room ? n : room;
		memcpy(into, data + at, n);
		lines_filled(&lines, n);
		at += n;
		while (lines_next(&lines, at == size, &line)) {
			size_t before = 0;

			while (format->parse(&stream, &line, &event) == INGEST_EVENT) {
				events++;
				fuzz_event(&line, &event);
				if (line.at <= before) /* no more of this line */
					break;
				before = line.at;
			}
		}
	} while (at < size);
	if (lines.position + lines.end - lines.start != size)
		abort();
	*ret_lines = lines.next;
	lines_free(&lines);
	return events;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ingest_format *format = ingest_format_named(FUZZ_FORMAT);
	uint64_t lines, other;

	/* Whatever the pieces, nothing is lost and nothing comes twice. */
	if (fuzz_log(format, data, size, 65536, &lines) !=
		    fuzz_log(format, data, size, 7, &other) ||
	    lines != other)
		abort();
	return 0;
}

#endif
