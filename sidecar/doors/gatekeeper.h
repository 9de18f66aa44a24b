/* SPDX-License-Identifier: MIT
 *
 * Asking the gate on behalf of those who cannot: a worker like any other, by libtollgate on our own
 * segment. It attaches when it is first asked, and follows the segment when that is replaced.
 */
#ifndef SIDECAR_DOORS_GATEKEEPER_H
#define SIDECAR_DOORS_GATEKEEPER_H

#include <stdbool.h>
#include <stddef.h>

#include "shm/tollgate.h"

struct gatekeeper;

#define GATEKEEPER_NAME 64 /* bytes of a source's text */

/* segment: the folder, copied; owner: its user. */
int gatekeeper_create(const char *segment, int64_t owner, struct gatekeeper **ret);
void gatekeeper_free(struct gatekeeper *gate); /* NULL is fine */

/* A flow, by texts that are not terminated: a source as tg_source reads it, a destination as
 * tg_destination does. 0; -EINVAL: one of them is none; -ESRCH: no pool lists the source;
 * otherwise why there is no gate to be asked (tg_attach). */
int gatekeeper_flow(struct gatekeeper *gate, const char *source, size_t source_length,
		    const char *destination, size_t destination_length, struct tg_flow *ret);

/* Counts up whenever flows have to be found anew: never 0. */
uint64_t gatekeeper_generation(const struct gatekeeper *gate);

/* As tg_admit; n 0 looks at one and takes nothing. ret_wait_ns: from now; UINT64_MAX: never.
 * TG_RETIRED: the generation has counted up; find the flow and ask again. */
enum tg_reason gatekeeper_admit(struct gatekeeper *gate, const struct tg_flow *flow,
				enum tg_class traffic, uint32_t n, uint64_t *ret_wait_ns);

/* Whether the flow counts recipients. */
bool gatekeeper_counts_recipients(struct gatekeeper *gate, const struct tg_flow *flow);

/* The source of a pool that can send to the destination soonest, as text. Takes nothing. -ENOENT: no such pool; -EINVAL: no such destination; as gatekeeper_flow. */
int gatekeeper_pick(struct gatekeeper *gate, const char *pool, const char *destination,
		    size_t destination_length, enum tg_class traffic, char ret[GATEKEEPER_NAME]);

/* "transactional", "engaged", "bulk". False: no such class. */
bool gatekeeper_class(const char *text, size_t length, enum tg_class *ret);

#endif
