/* SPDX-License-Identifier: MIT
 *
 * A log in pieces, as lines: whole ones, each once, in order.
 *
 * The caller reads into lines_room, says how much came, and takes lines until there is none. A line
 * that is not whole yet waits for its rest. One longer than LINES_MAX is left out and counted: that
 * is all the memory there is to a log, however long.
 */
#ifndef SIDECAR_INGEST_LINES_H
#define SIDECAR_INGEST_LINES_H

#include "sidecar/ingest/event.h"

#define LINES_MAX (2u << 20)

struct lines {
	char *bytes;
	size_t room, start, end; /* what is between start and end has not been given yet */
	bool csv;		 /* a record may go on over several lines */
	bool skipping;		 /* the rest of a line that is too long */
	uint64_t number;	 /* of the line that was given last; of a record's first */
	uint64_t next;		 /* of the line that comes next - 1 */
	uint64_t position;	 /* in the log: behind what was given */
	uint64_t too_long;
};

/* A zeroed struct is empty. NULL is fine. */
void lines_free(struct lines *lines);

/* What was not given yet is forgotten: another file begins. */
void lines_restart(struct lines *lines, uint64_t position);

/* Where to read into, and how much at most; at least a page. NULL: no memory. */
char *lines_room(struct lines *lines, size_t *ret_room);
void lines_filled(struct lines *lines, size_t length);

/* Both, by one read of a descriptor that may block. 0 or -errno; *ret_end: it is at its end. */
int lines_read(struct lines *lines, int fd, bool *ret_end);

/* The next line. `last`: nothing follows, so what is there is a line without its line feed as well.
 */
bool lines_next(struct lines *lines, bool last, struct ingest_line *ret);

#endif
