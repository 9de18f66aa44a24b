/* SPDX-License-Identifier: MIT
 *
 * The workers that are attached: each is watched by a pidfd, and what it leaves behind is taken
 * back.
 */
#ifndef SIDECAR_DAEMON_WORKERS_H
#define SIDECAR_DAEMON_WORKERS_H

#include "sidecar/io/loop.h"
#include "sidecar/segment/segment.h"

struct watch_list;

/* last: what stands on a slot's ring is to be drained now: its owner is gone, or was never seen. */
typedef void watch_last(void *arg, uint32_t worker);

int watch_create(struct segment *segment, struct loop *loop, watch_last *last, void *arg,
		 struct watch_list **ret);
void watch_free(struct watch_list *list);

/* Looks through the registry: new owners are watched, dead ones cleared at once, the rings of those
 * that left before they were seen drained. Returns how many workers there are. */
uint32_t watch_scan(struct watch_list *list);

/* How many owner words of living workers were written over and put back. */
uint64_t workers_repaired(const struct watch_list *list);

/* The slots in use, as of the last scan. */
const uint32_t *watch_workers(const struct watch_list *list, uint32_t *ret_count);

#endif
