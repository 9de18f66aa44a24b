/* SPDX-License-Identifier: MIT
 *
 * Workers for stress programs: the same work by threads, and again by processes.
 *
 * Under ThreadSanitizer threads alone, since it does not see across processes. All start at once.
 * Work gets its number and an argument in shared memory (fixture_shared).
 */
#ifndef TESTS_STRESS_WORKERS_H
#define TESTS_STRESS_WORKERS_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

#include "tests/segment_fixture.h"

#define STRESS_WORKERS_MAX 32

struct stress_workers {
	_Atomic uint32_t ready;
	_Atomic uint32_t go;
	uint32_t count;
	void (*work)(uint32_t index, void *arg);
	void *arg;
};

struct stress_member {
	struct stress_workers *workers;
	uint32_t index;
};

static inline void stress_begin(struct stress_workers *workers)
{
	atomic_fetch_add(&workers->ready, 1);
	while (!atomic_load(&workers->go))
		sched_yield();
}

static inline void *stress_thread(void *arg)
{
	struct stress_member *member = arg;

	stress_begin(member->workers);
	member->workers->work(member->index, member->workers->arg);
	return NULL;
}

static inline void stress_release(struct stress_workers *workers)
{
	while (atomic_load(&workers->ready) < workers->count)
		sched_yield();
	atomic_store(&workers->go, 1);
}

static inline void stress_threads(struct stress_workers *workers)
{
	struct stress_member members[STRESS_WORKERS_MAX];
	pthread_t threads[STRESS_WORKERS_MAX];

	for (uint32_t i = 0; i < workers->count; i++) {
		members[i] = (struct stress_member){workers, i};
		must(pthread_create(&threads[i], NULL, stress_thread, &members[i]) == 0);
	}
	stress_release(workers);
	for (uint32_t i = 0; i < workers->count; i++)
		pthread_join(threads[i], NULL);
}

/* A child that ends with this process, however that ends. */
static inline pid_t stress_fork(void)
{
	pid_t parent = getpid(), pid = fork();

	must(pid >= 0);
	if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent))
		_exit(125);
	return pid;
}

static inline void stress_processes(struct stress_workers *workers)
{
	pid_t pids[STRESS_WORKERS_MAX];
	int status;

	for (uint32_t i = 0; i < workers->count; i++) {
		pids[i] = stress_fork();
		if (pids[i] == 0) {
			stress_begin(workers);
			workers->work(i, workers->arg);
			_exit(0);
		}
	}
	stress_release(workers);
	for (uint32_t i = 0; i < workers->count; i++) {
		waitpid(pids[i], &status, 0);
		must(status == 0);
	}
}

static inline void stress_run(bool processes, uint32_t count, void (*work)(uint32_t, void *),
			      void *arg)
{
	struct stress_workers *workers = fixture_shared(sizeof(*workers));

	workers->count = count;
	workers->work = work;
	workers->arg = arg;
	if (processes)
		stress_processes(workers);
	else
		stress_threads(workers);
	munmap(workers, sizeof(*workers));
}

/* Once with threads, once with processes where that can be. */
static inline int stress_modes(void)
{
#ifdef TG_SAN_tsan
	return 1;
#else
	return 2;
#endif
}

static inline bool stress_soak(void)
{
	return getenv("TG_SOAK") != NULL;
}

static inline uint32_t stress_times(uint32_t usual, uint32_t soak)
{
	return stress_soak() ? soak : usual;
}

static inline void stress_nap(uint64_t ns)
{
	struct timespec pause = {.tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND)};

	nanosleep(&pause, NULL);
}

/* Looks until the condition holds: looks, not seconds, since a busy machine gives fewer turns to
 * all. */
#define STRESS_LOOKS 30000
#define stress_until(condition, ...)                                        \
	do {                                                                \
		uint32_t looks = 0;                                         \
                                                                            \
		while (!(condition)) {                                      \
			stress_expect(++looks < STRESS_LOOKS, __VA_ARGS__); \
			stress_nap(SECOND / 500);                           \
		}                                                           \
	} while (0)

/* A failed expectation ends the program. */
#define stress_expect(condition, ...)                                                   \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
			fprintf(stderr, __VA_ARGS__);                                   \
			fputc('\n', stderr);                                            \
			fflush(stdout);                                                 \
			_exit(1);                                                       \
		}                                                                       \
	} while (0)

#endif
