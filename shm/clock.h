/* SPDX-License-Identifier: MIT
 *
 * Monotonic nanoseconds, cheaply: the processor's counter, scaled as the sidecar publishes.
 *
 * The vDSO costs three times as much, because it waits for loads under way. An unserialised counter
 * can seem to run backwards by up to 0.5 us between processors; whoever computes with time
 * saturates. The scale has two copies and an index; while the sidecar writes one, readers use the
 * other, so nobody waits. A copy that is older than its span (2 s), or marked by a span of 0, is
 * not used.
 */
#ifndef TG_CLOCK_H
#define TG_CLOCK_H

#include <time.h>

#include "shm/layout.h"

#if defined(__x86_64__)
#include <x86intrin.h>
static inline uint64_t clock_counter(void)
{
	return __rdtsc();
}
#elif defined(__aarch64__)
static inline uint64_t clock_counter(void)
{
	uint64_t value;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
	return value;
}
#else
static inline uint64_t clock_counter(void)
{
	return 0;
}
#endif

static inline uint64_t clock_vdso(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* The time by the scale, or 0: use the vDSO, and look at what else the sidecar has to say. */
static inline uint64_t clock_scaled(const struct layout_live *live)
{
	/* C1 pairs with C0 in sidecar/segment/heartbeat.c: a copy is whole before the index names
	 * it. */
	uint32_t index = atomic_load_explicit(&live->scale_index, memory_order_acquire);
	const struct layout_scale *scale = &live->scale[index & 1];
	uint64_t base = atomic_load_explicit(&scale->counter_base, memory_order_relaxed);
	uint64_t ns_base = atomic_load_explicit(&scale->ns_base, memory_order_relaxed);
	uint64_t mult = atomic_load_explicit(&scale->mult, memory_order_relaxed);
	uint64_t span = atomic_load_explicit(&scale->span, memory_order_relaxed);
	uint64_t passed = clock_counter() - base;

	/* C3 pairs with C2 in sidecar/segment/heartbeat.c. Only a reader that slept through two
	 * publications (a second apart) can have read a copy that was being written: the index
	 * tells. The fence keeps the loads above before the second look. */
	atomic_thread_fence(memory_order_acquire);
	if (__builtin_expect(passed >= span || atomic_load_explicit(&live->scale_index,
								    memory_order_relaxed) != index,
			     0))
		return 0;
	return ns_base + (uint64_t)((unsigned __int128)passed * mult >> 32);
}

#endif
