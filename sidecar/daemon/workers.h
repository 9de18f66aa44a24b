/* SPDX-License-Identifier: MIT
 *
 * The workers that are attached: who they are, who of them lives, and the taking back of what one
 * that is gone held.
 */
#ifndef SIDECAR_DAEMON_WORKERS_H
#define SIDECAR_DAEMON_WORKERS_H

#include "sidecar/io/loop.h"
#include "sidecar/segment/segment.h"

struct workers;

/* last: what stands on a slot's ring is to be drained now: its owner is gone, or was never seen. */
typedef void workers_idle(void *arg, uint32_t worker);

int workers_create(struct segment *segment, struct loop *loop, workers_idle *last, void *arg,
		   struct workers **ret);
void workers_free(struct workers *list);

/* Takes a page of bytes out of the doorbell, and no more: who rings without end fills it faster than
 * it can be emptied. */
void workers_bell_take(int wake);

/* Looks through the registry: new owners are watched, those that left are forgotten, the rings of
 * those that left before they were seen drained. Returns how many workers there are. */
uint32_t workers_scan(struct workers *list);

/* The same, and asks the locks of slots in turn, so that the end of every worker is noticed: to be
 * called at each heartbeat. */
uint32_t workers_beat(struct workers *list);

/* How many owner words of living workers were written over and put back. */
uint64_t workers_repaired(const struct workers *list);

/* The slots in use, as of the last scan. */
const uint32_t *workers_slots(const struct workers *list, uint32_t *ret_count);

#endif
