/* SPDX-License-Identifier: MIT
 *
 * What was used of one slot's limits, used of another's too.
 */
#ifndef SIDECAR_SEGMENT_USAGE_H
#define SIDECAR_SEGMENT_USAGE_H

#include "sidecar/segment/segment.h"

/* Adds to what `to` has used what `from` has: messages of its rate, at the price of `to` and up to a
 * full bucket, and the counts of this hour and day. `from` keeps its own, since a worker may go on
 * with it for a while. Both have limits of their own in force. */
void usage_add(struct segment *segment, uint32_t from, uint32_t to, uint64_t now_ns);

#endif
