/* SPDX-License-Identifier: MIT
 *
 * Measuring nanoseconds on a noisy machine: see measure.h.
 */
#include "bench/lib/measure.h"

#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/lib/now.h"
#include "shm/clock.h"
#include "sidecar/base/random.h"

#define SAMPLES_TOGETHER 20000

uint64_t measure_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static int by_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int by_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

double measure_median(double *values, size_t count)
{
	if (count == 0)
		return 0;
	qsort(values, count, sizeof(*values), by_double);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

uint64_t measure_percentile(uint32_t *values, size_t count, double share)
{
	size_t at = (size_t)((double)count * share);

	if (count == 0)
		return 0;
	qsort(values, count, sizeof(*values), by_u32);
	return values[at < count ? at : count - 1];
}

void measure_alternate(struct measure_pair *pairs, size_t pair_count, uint64_t count,
		       unsigned repeats)
{
	double *values = calloc(pair_count * repeats, sizeof(*values));

	if (!values)
		abort();
	for (size_t i = 0; i < pair_count; i++)
		pairs[i].run(pairs[i].context, count / 8 + 1); /* warm */
	for (unsigned r = 0; r < repeats; r++)
		for (size_t i = 0; i < pair_count; i++) {
			uint64_t begin = measure_cpu_ns();

			pairs[i].run(pairs[i].context, count);
			values[i * repeats + r] =
				(double)(measure_cpu_ns() - begin) / (double)count;
		}
	for (size_t i = 0; i < pair_count; i++)
		pairs[i].ns = measure_median(values + i * repeats, repeats);
	free(values);
}

double measure_ticks_per_ns(void)
{
	static double ticks;
	uint64_t begin, counter, now;

	if (ticks > 0)
		return ticks;
	begin = now_monotonic();
	counter = clock_counter();
	do
		now = now_monotonic();
	while (now - begin < 20000000);
	ticks = (double)(clock_counter() - counter) / (double)(now - begin);
	return ticks;
}

static void nothing(void *context, uint64_t count)
{
}

static void samples_take(measure_fn *run, void *context, uint32_t *samples, size_t count)
{
	measure_fn *volatile call = run; /* not inlined for nothing() either */

	for (size_t i = 0; i < count; i++) {
		uint64_t begin = clock_counter();

		call(context, 1);
		uint64_t ticks = clock_counter() - begin;
		samples[i] = ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks;
	}
}

static double samples_p999(measure_fn *run, void *context, uint32_t *samples, size_t count)
{
	double overhead, ticks;

	samples_take(nothing, NULL, samples, count / 4 + 1);
	overhead = (double)measure_percentile(samples, count / 4 + 1, 0.5);
	samples_take(run, context, samples, count);
	ticks = (double)measure_percentile(samples, count, 0.999) - overhead;
	return ticks > 0 ? ticks / measure_ticks_per_ns() : 0;
}

double measure_p999(measure_fn *run, void *context, size_t samples)
{
	uint32_t *values = calloc(samples, sizeof(*values));
	double p999;

	if (!values)
		return 0;
	p999 = samples_p999(run, context, values, samples);
	free(values);
	return p999;
}

/* ---- several processes --------------------------------------------------------------------------
 */

void measure_pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % measure_cpus(), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

unsigned measure_cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (unsigned)n : 1;
}

#define TOGETHER_MAX 64

struct together {
	_Atomic uint32_t ready, go, done;
	struct {
		uint64_t begin_ns, end_ns;
		double p999;
		char pad[40];
	} worker[TOGETHER_MAX];
};

struct together_work {
	measure_fn *run;
	void *const *contexts; /* one a worker */
	uint64_t count;
	unsigned workers;
	bool sample;
};

static void together_worker(struct together *shared, unsigned i, const struct together_work *work)
{
	measure_fn *run = work->run;
	void *context = work->contexts[i];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	measure_pin(i);
	measure_ticks_per_ns();
	run(context, work->count / 8 + 1);
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->go))
		if (work->workers > measure_cpus())
			sched_yield();
	shared->worker[i].begin_ns = now_monotonic();
	run(context, work->count);
	shared->worker[i].end_ns = now_monotonic();
	if (work->sample) {
		/* All go on until the last has its samples, or the rest would be measured alone. */
		shared->worker[i].p999 = measure_p999(run, context, SAMPLES_TOGETHER);
		atomic_fetch_add(&shared->done, 1);
		while (atomic_load(&shared->done) < work->workers)
			run(context, 64);
	}
	_exit(0);
}

static double together_result(const struct together *shared, unsigned workers, uint64_t count,
			      double *ret_p999)
{
	uint64_t begin = UINT64_MAX, end = 0;

	for (unsigned i = 0; i < workers; i++) {
		if (shared->worker[i].end_ns == 0)
			return 0;
		if (shared->worker[i].begin_ns < begin)
			begin = shared->worker[i].begin_ns;
		if (shared->worker[i].end_ns > end)
			end = shared->worker[i].end_ns;
		if (ret_p999 && shared->worker[i].p999 > *ret_p999)
			*ret_p999 = shared->worker[i].p999;
	}
	return (double)(end - begin) / ((double)count * workers);
}

double measure_together(measure_fn *run, void *const *contexts, unsigned workers, uint64_t count,
			double *ret_p999)
{
	struct together *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct together_work work = {run, contexts, count, workers, ret_p999 != NULL};
	unsigned started = 0;
	double result;
	pid_t pids[TOGETHER_MAX];

	if (shared == MAP_FAILED || workers > TOGETHER_MAX)
		return 0;
	if (ret_p999)
		*ret_p999 = 0;
	for (; started < workers; started++) {
		pids[started] = fork();
		if (pids[started] < 0)
			break;
		if (pids[started] == 0)
			together_worker(shared, started, &work);
	}
	while (started == workers && atomic_load(&shared->ready) < workers)
		usleep(200);
	atomic_store(&shared->go, 1);
	for (unsigned i = 0; i < started; i++) {
		if (started < workers)
			kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	result = together_result(shared, workers, count, ret_p999);
	munmap(shared, sizeof(*shared));
	return result;
}

/* ---- floors -------------------------------------------------------------------------------------
 */

static inline void swap(_Atomic uint64_t *word, uint64_t next)
{
	uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(word, &seen, seen + next,
						      memory_order_relaxed, memory_order_relaxed))
		;
}

void floor_counter(void *context, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		swap(context, clock_counter());
}

void floor_vdso(void *context, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		swap(context, clock_vdso());
}

void floor_cas(void *context, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		swap(context, 1);
}

static _Atomic uint64_t *line_next(struct floor_lines *lines)
{
	uint32_t at = lines->order[lines->at++ & lines->mask];

	return (_Atomic uint64_t *)(lines->base + (uint64_t)at * 64);
}

void floor_random(void *context, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		swap(line_next(context), 1);
}

void floor_batched(void *context, uint64_t count)
{
	_Atomic uint64_t *batch[16];

	for (uint64_t i = 0; i < count; i += 16) {
		for (int j = 0; j < 16; j++) {
			batch[j] = line_next(context);
			__builtin_prefetch((const void *)batch[j], 1);
		}
		for (int j = 0; j < 16; j++)
			swap(batch[j], 1);
	}
}

void *measure_lines(size_t count)
{
	void *base =
		mmap(NULL, count * 64, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED)
		return NULL;
	memset(base, 1, count * 64);
	return base;
}

/* The rank by Zipf's law, drawn by rejection (W. Hörmann and G. Derflinger, "Rejection-inversion to
 * generate variates from monotone discrete distributions", 1996). */
static uint32_t zipf_draw(uint64_t *state, uint32_t count, double exponent)
{
	double e = 1 - exponent;
	double low = (pow(1.5, e) - 1) / e - 1, high = (pow(count + 0.5, e) - 1) / e;

	for (;;) {
		double u = high + random_share(random_next(state)) * (low - high);
		double x = pow(1 + e * u, 1 / e);
		double k = floor(x + 0.5);

		k = k < 1 ? 1 : k > count ? count : k;
		if (u >= (pow(k + 0.5, e) - 1) / e - pow(k, -exponent))
			return (uint32_t)k - 1;
	}
}

uint32_t *measure_order(unsigned bits, uint32_t count, bool zipf, uint64_t seed)
{
	uint32_t *order = malloc(sizeof(*order) << bits);

	for (uint64_t i = 0; order && i < UINT64_C(1) << bits; i++) {
		uint64_t rank = zipf ? zipf_draw(&seed, count, 0.99) : random_next(&seed) % count;

		/* A prime that divides no usual count: a permutation. */
		order[i] = (uint32_t)(rank * UINT64_C(2654435761) % count);
	}
	return order;
}
