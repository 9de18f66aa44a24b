/* SPDX-License-Identifier: MIT
 *
 * The sidecar's sign of life: the scale of the processor's counter, and the heartbeat.
 */
#ifndef SIDECAR_SEGMENT_HEARTBEAT_H
#define SIDECAR_SEGMENT_HEARTBEAT_H

#include "sidecar/segment/segment.h"

#define HEARTBEAT_INTERVAL_NS UINT64_C(500000000)

struct heartbeat {
	bool counter; /* the kernel itself keeps time by the counter that workers can read */
	uint64_t base_counter, base_ns; /* where the frequency is measured from */
	uint64_t mult;
	bool jumped; /* the last beat found another frequency, and measures anew */
};

/* The file that names the clock by which the kernel keeps time; tests have one of their own. */
extern const char *heartbeat_clocksource;

/* Measures for 10 ms and publishes. sleeping is cleared. */
void heartbeat_begin(struct heartbeat *heartbeat, struct segment *segment);

/* To be called every HEARTBEAT_INTERVAL_NS. */
void heartbeat_beat(struct heartbeat *heartbeat, struct segment *segment);

/* What workers do when the heartbeat is older than after_ns (enum layout_down). */
void heartbeat_on_down(struct segment *segment, enum layout_down on_down, uint64_t after_ns);

#endif
