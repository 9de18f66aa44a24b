/* SPDX-License-Identifier: MIT */
#include "sidecar/segment/heartbeat.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shm/clock.h"

/* A baseline long enough that an error of 100 ns at its ends is lost in it, short enough to follow
 * how NTP slews the clock. */
#define BASELINE_NS UINT64_C(16000000000)
#define SPAN_NS	    UINT64_C(2000000000)

const char *heartbeat_clocksource =
	"/sys/devices/system/clocksource/clocksource0/current_clocksource";

static bool counter_is_clock(void)
{
	FILE *file = fopen(heartbeat_clocksource, "re");
	char name[64] = "";
	bool fits;

	if (file == NULL)
		return false;
	fits = fgets(name, sizeof(name), file) &&
	       (strcmp(name, "tsc\n") == 0 || strcmp(name, "arch_sys_counter\n") == 0);
	fclose(file);
	return fits;
}

/* Counter and clock at one instant: of several pairs the one with the shortest way between. */
static void pair_read(uint64_t *counter, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 5; i++) {
		uint64_t before = clock_counter();
		uint64_t now = clock_vdso();
		uint64_t after = clock_counter();

		if (after - before < best) {
			best = after - before;
			*counter = before + (after - before) / 2;
			*ns = now;
		}
	}
}

static void publish(struct heartbeat *h, struct segment *s, uint64_t counter, uint64_t ns)
{
	uint32_t index = atomic_load_explicit(&s->live->scale_index, memory_order_relaxed) + 1;
	struct layout_scale *scale = &s->live->scale[index & 1];
	uint64_t span = h->counter && h->mult
				? (uint64_t)(((unsigned __int128)SPAN_NS << 32) / h->mult)
				: 0;

	/* C2 pairs with C3 in shm/clock.h: the index that took readers away from this copy is there
	 * before the copy changes. */
	atomic_thread_fence(memory_order_release);
	segment_step();
	atomic_store_explicit(&scale->counter_base, counter, memory_order_relaxed);
	atomic_store_explicit(&scale->ns_base, ns, memory_order_relaxed);
	atomic_store_explicit(&scale->mult, h->mult, memory_order_relaxed);
	atomic_store_explicit(&scale->span, span, memory_order_relaxed);
	segment_step();
	/* C0 pairs with C1 in shm/clock.h. */
	atomic_store_explicit(&s->live->scale_index, index, memory_order_release);
	atomic_store_explicit(&s->live->heartbeat_ns, ns, memory_order_release);
}

void heartbeat_begin(struct heartbeat *h, struct segment *s)
{
	struct timespec pause = {.tv_nsec = 10000000};

	*h = (struct heartbeat){.counter = counter_is_clock()};
	atomic_store_explicit(&s->live->sleeping, 0, memory_order_relaxed);
	pair_read(&h->base_counter, &h->base_ns);
	nanosleep(&pause, NULL);
	heartbeat_beat(h, s);
}

/* The counter goes on while a machine sleeps or is paused, the monotonic clock does not: one beat
 * that finds another frequency starts the measurement anew, and only a second one is believed. */
static void mult_measure(struct heartbeat *h, uint64_t counter, uint64_t ns)
{
	uint64_t mult = (uint64_t)(((unsigned __int128)(ns - h->base_ns) << 32) /
				   (counter - h->base_counter));
	uint64_t apart = mult > h->mult ? mult - h->mult : h->mult - mult;

	if (h->mult && !h->jumped && apart > h->mult / 100) {
		h->base_counter = counter;
		h->base_ns = ns;
		h->jumped = true;
		return;
	}
	h->mult = mult;
	h->jumped = false;
}

/* The heartbeat: says that the sidecar lives, and what its clock is. */
void heartbeat_beat(struct heartbeat *h, struct segment *s)
{
	uint64_t counter = 0, ns = 0;

	pair_read(&counter, &ns);
	/* A counter that stands still or runs back is none; nor one that the kernel has given up.
	 */
	if (counter <= h->base_counter || ns <= h->base_ns || !counter_is_clock())
		h->counter = false;
	else
		mult_measure(h, counter, ns);
	publish(h, s, counter, ns);
	if (ns - h->base_ns > BASELINE_NS) {
		/* Half of it goes: the next beat still has a long one. */
		h->base_counter += (counter - h->base_counter) / 2;
		h->base_ns += (ns - h->base_ns) / 2;
	}
}

void heartbeat_on_down(struct segment *s, enum layout_down on_down, uint64_t after_ns)
{
	atomic_store_explicit(&s->live->down_after_ns, after_ns, memory_order_relaxed);
	atomic_store_explicit(&s->live->on_down, on_down, memory_order_release);
}
