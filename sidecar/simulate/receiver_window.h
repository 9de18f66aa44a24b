/* SPDX-License-Identifier: MIT
 *
 * What happened in a receiver's hour, day or other period, by its own clock.
 *
 * A window is fixed, or slides in steps of a sixtieth. The clock is the caller's and never runs
 * backwards.
 */
#ifndef SIDECAR_SIMULATE_RECEIVER_WINDOW_H
#define SIDECAR_SIMULATE_RECEIVER_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define RECEIVER_SLOTS 60

struct receiver_window {
	uint64_t period; /* number of the window, or of its newest slot where it slides */
	uint32_t count;
	uint32_t slots[RECEIVER_SLOTS]; /* where it slides */
};

/* Forgets what lies behind the window as it stands at that time. */
void receiver_window_advance(struct receiver_window *window, uint64_t length_ns, bool sliding,
			     uint64_t clock_ns);

void receiver_window_count(struct receiver_window *window);

/* How long it is until a window can next have more room. */
uint64_t receiver_window_left(uint64_t length_ns, bool sliding, uint64_t clock_ns);

#endif
