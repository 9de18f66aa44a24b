/* SPDX-License-Identifier: MIT
 *
 * Which flows of the segment the gate paces, and which of these have limits that it has not been
 * told: by slot of the segment, for bridge.c.
 */
#ifndef SIDECAR_GATE_GATED_H
#define SIDECAR_GATE_GATED_H

#include <stdbool.h>
#include <stdint.h>

struct gated;

/* slots: of the segment. What is never written takes no memory. NULL: there is none. */
struct gated *gated_create(uint32_t slots);
void gated_free(struct gated *gated); /* NULL is fine: nothing is gated then */

/* The gate has the flow of a slot, in a slot of its own table. */
void gated_see(struct gated *gated, uint32_t slot, uint32_t kernel_slot, uint64_t now_ns);

/* It had it within the last seconds. */
bool gated_has(const struct gated *gated, uint32_t slot, uint64_t now_ns);

/* The limits of a slot have changed. True: it is gated, and is to be told (gated_next). */
bool gated_change(struct gated *gated, uint32_t slot, uint64_t now_ns);

/* The next whose limits have changed, as a slot of the gate's table; each once. False: no more. */
bool gated_next(struct gated *gated, uint32_t *ret_kernel_slot);

#endif
