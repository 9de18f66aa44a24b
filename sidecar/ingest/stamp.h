/* SPDX-License-Identifier: MIT
 *
 * The stamps that logs begin with, to nanoseconds since 1970.
 *
 *   Feb 25 11:12:43[.123]                       syslog: no year, local time
 *   Feb 25 2026 11:12:43                        the same with a year
 *   2026-02-25T11:12:43[.123](Z|+01:00|+0100)   RFC 3339, journald; a blank or nothing before zones
 *   2026-02-25 11:12:43[.123] [+0100|UTC]       Exim, PowerMTA; without a zone local time
 *   Wed 2026-02-25 11:12:43 UTC                 journald's short-full
 *   1772017963[.123456]                         seconds since 1970
 *
 * What is missing is worked out from the time at which the log is read: a stamp without a year is
 * the latest that is not in the future. No clock is read here.
 */
#ifndef SIDECAR_INGEST_STAMP_H
#define SIDECAR_INGEST_STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A zeroed one is ready. */
struct stamp_clock {
	uint64_t
		now_ns; /* since 1970, when the log is read; 0: not known, years count up to 2096 */
	/* The last hour of local time that was looked up, since that takes long. */
	int64_t local_hour;
	int64_t offset; /* seconds east of UTC in that hour */
	bool known;
	/* The year that a stamp without one was last given, and its month. */
	int year, month;
};

/* Reads a stamp at the start of the text. Returns its length, without the blank behind it; 0: none
 * is there. */
size_t stamp_read(struct stamp_clock *clock, const char *text, size_t length, uint64_t *ret_ns);

#endif
