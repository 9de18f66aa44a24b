/* SPDX-License-Identifier: MIT
 *
 * A machine that was down, for the simulator: what the store keeps of each slot, through the bytes
 * that it keeps, from a segment that is gone into one that was made.
 */
#ifndef SIDECAR_SIMULATE_REBOOT_H
#define SIDECAR_SIMULATE_REBOOT_H

#include "sidecar/engine/scratch.h"

/* Of a flow: what was learned, set, counted and used, and how it warms up; in force after this, but
 * for a limit that sources share (engine_sharing_resume, once all flows are there). 0 or -EBADMSG: its bytes cannot be read, which is our fault. */
int reboot_flow(const struct segment *before, uint32_t from, struct scratch *after, uint32_t to,
		int64_t wall_offset_ns, uint64_t now_ns);

/* Of any slot: what it has used of the hour and the day. */
void reboot_usage(const struct segment *before, uint32_t from, struct scratch *after, uint32_t to);

#endif
