/* SPDX-License-Identifier: MIT
 *
 * Where hours and days begin in the configured time zone, published in monotonic time.
 */
#ifndef SIDECAR_SEGMENT_CALENDAR_H
#define SIDECAR_SEGMENT_CALENDAR_H

#include "sidecar/segment/segment.h"

/* Publishes the calendar for the coming days. zone NULL: the system's. Words that have not moved are
 * not touched; a step of the wall clock of less than 10 ms is no move. Sets TZ of this process. */
void calendar_publish(struct segment *segment, const char *zone);

/* Wall clock - monotonic clock. */
int64_t calendar_wall_offset(void);

#endif
