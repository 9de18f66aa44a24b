/* SPDX-License-Identifier: MIT */
#include "sidecar/simulate/receiver_window.h"

static uint64_t step_of(uint64_t length_ns, bool sliding)
{
	return sliding ? length_ns / RECEIVER_SLOTS : length_ns;
}

void receiver_window_advance(struct receiver_window *window, uint64_t length_ns, bool sliding,
			     uint64_t clock_ns)
{
	uint64_t period = clock_ns / step_of(length_ns, sliding);

	if (!sliding || period - window->period >= RECEIVER_SLOTS) {
		if (period != window->period)
			*window = (struct receiver_window){.period = period};
		return;
	}
	while (window->period < period) {
		uint32_t *slot = &window->slots[++window->period % RECEIVER_SLOTS];

		window->count -= *slot;
		*slot = 0;
	}
}

void receiver_window_count(struct receiver_window *window)
{
	window->count++;
	window->slots[window->period % RECEIVER_SLOTS]++;
}

uint64_t receiver_window_left(uint64_t length_ns, bool sliding, uint64_t clock_ns)
{
	uint64_t step = step_of(length_ns, sliding);

	return step - clock_ns % step;
}
