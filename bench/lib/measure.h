/* SPDX-License-Identifier: MIT
 *
 * Measuring nanoseconds on a noisy machine: floors, repeats that alternate, medians, percentiles.
 *
 * A case and its floor are run in turn, a few milliseconds each, so that what disturbs one disturbs
 * the other; the median of the repeats is the figure. One process is measured by its CPU time,
 * several by the wall clock from the first start to the last end.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Runs something count times. */
typedef void measure_fn(void *context, uint64_t count);

/* CPU time of this thread. */
uint64_t measure_cpu_ns(void);

/* The median; sorts. 0 of none. */
double measure_median(double *values, size_t count);

/* The value below which the share lies; sorts. */
uint64_t measure_percentile(uint32_t *values, size_t count, double share);

struct measure_pair {
	measure_fn *run;
	void *context;
	double ns; /* out: median, one execution */
};

/* Runs all pairs in turn, repeats times, count executions each. */
void measure_alternate(struct measure_pair *pairs, size_t pair_count, uint64_t count,
		       unsigned repeats);

/* 99.9th percentile of single executions in nanoseconds, the counter's own cost taken off. */
double measure_p999(measure_fn *run, void *context, size_t samples);

/* Ticks of the processor's counter a nanosecond. */
double measure_ticks_per_ns(void);

/* Starts `workers` processes that run (context, count) at the same moment, the i-th with
 * context[i]. Returns the wall time for all of them, in ns, an execution (all workers' taken
 * together); 0 where a process could not be started. p999 (may be NULL): of single executions while
 * the others run. */
double measure_together(measure_fn *run, void *const *contexts, unsigned workers, uint64_t count,
			double *ret_p999);

/* Keeps this process on one CPU. */
void measure_pin(unsigned cpu);
unsigned measure_cpus(void);

/* ---- floors -------------------------------------------------------------------------------------
 */

/* An uncontended lock cmpxchg on one hot line, and the read of a clock. context: a u64 in a line of
 * its own. */
measure_fn floor_counter; /* the processor's counter */
measure_fn floor_vdso;	  /* clock_gettime */
measure_fn floor_cas;	  /* no clock */

/* Random lines of 64 bytes. */
struct floor_lines {
	char *base;	       /* measure_lines */
	const uint32_t *order; /* indexes of lines */
	uint32_t mask;	       /* of order */
	uint32_t at;
};

measure_fn floor_random;  /* load and compare-and-swap, one by one */
measure_fn floor_batched; /* sixteen fetched, then sixteen loads and compare-and-swaps */

/* count lines of shared memory, as a segment's is. NULL: no memory. */
void *measure_lines(size_t count);

/* A sequence of 2^bits indexes below count, uniform or by Zipf's law with exponent 0.99 (the ranks
 * are scattered, so that popular ones are no neighbours). NULL: no memory. */
uint32_t *measure_order(unsigned bits, uint32_t count, bool zipf, uint64_t seed);

#endif
