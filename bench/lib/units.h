/* SPDX-License-Identifier: MIT
 *
 * Text to numbers with units, as the options of the bench programs take them, and the clock they
 * read.
 *
 * 0 or -EINVAL; the output is untouched on failure. Nothing here allocates.
 */
#ifndef BENCH_UNITS_H
#define BENCH_UNITS_H

#include <stdint.h>
#include <time.h>

#define UNITS_SECOND UINT64_C(1000000000)

/* CLOCK_MONOTONIC, nanoseconds. */
static inline uint64_t units_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * UNITS_SECOND + (uint64_t)t.tv_nsec;
}

/* "500ms", "10s", "10m", "2h", "1d", "90" (seconds) to nanoseconds. */
int units_duration(const char *text, uint64_t *ret_ns);

/* "60/min", "1,000/hr", "5/s", "40000/day" to messages a second; "unlimited" to 0. */
int units_rate(const char *text, double *ret_per_second);

/* A whole number within [least, most]; "," and "_" between digits are allowed. */
int units_number(const char *text, uint64_t least, uint64_t most, uint64_t *ret);

#endif
