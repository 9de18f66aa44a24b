/* SPDX-License-Identifier: MIT
 *
 * A crew of workers for stress programs: the same work by threads, and again by processes.
 *
 * Under ThreadSanitizer threads alone, since it does not see across processes. All start at once.
 * Work gets its number and an argument in shared memory (fixture_shared).
 */
#ifndef TESTS_STRESS_CREW_H
#define TESTS_STRESS_CREW_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

#include "tests/segment_fixture.h"

#define CREW_MAX 32

struct crew {
	_Atomic uint32_t ready;
	_Atomic uint32_t go;
	uint32_t count;
	void (*work)(uint32_t index, void *arg);
	void *arg;
};

struct crew_member {
	struct crew *crew;
	uint32_t index;
};

static inline void crew_begin(struct crew *crew)
{
	atomic_fetch_add(&crew->ready, 1);
	while (!atomic_load(&crew->go))
		sched_yield();
}

static inline void *crew_thread(void *arg)
{
	struct crew_member *member = arg;

	crew_begin(member->crew);
	member->crew->work(member->index, member->crew->arg);
	return NULL;
}

static inline void crew_release(struct crew *crew)
{
	while (atomic_load(&crew->ready) < crew->count)
		sched_yield();
	atomic_store(&crew->go, 1);
}

static inline void crew_threads(struct crew *crew)
{
	struct crew_member members[CREW_MAX];
	pthread_t threads[CREW_MAX];

	for (uint32_t i = 0; i < crew->count; i++) {
		members[i] = (struct crew_member){crew, i};
		fixture_need(pthread_create(&threads[i], NULL, crew_thread, &members[i]) == 0);
	}
	crew_release(crew);
	for (uint32_t i = 0; i < crew->count; i++)
		pthread_join(threads[i], NULL);
}

/* A child that ends with this process, however that ends. */
static inline pid_t crew_fork(void)
{
	pid_t parent = getpid(), pid = fork();

	fixture_need(pid >= 0);
	if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent))
		_exit(125);
	return pid;
}

static inline void crew_processes(struct crew *crew)
{
	pid_t pids[CREW_MAX];
	int status;

	for (uint32_t i = 0; i < crew->count; i++) {
		pids[i] = crew_fork();
		if (pids[i] == 0) {
			crew_begin(crew);
			crew->work(i, crew->arg);
			_exit(0);
		}
	}
	crew_release(crew);
	for (uint32_t i = 0; i < crew->count; i++) {
		waitpid(pids[i], &status, 0);
		fixture_need(status == 0);
	}
}

static inline void crew_run(bool processes, uint32_t count, void (*work)(uint32_t, void *),
			    void *arg)
{
	struct crew *crew = fixture_shared(sizeof(*crew));

	crew->count = count;
	crew->work = work;
	crew->arg = arg;
	if (processes)
		crew_processes(crew);
	else
		crew_threads(crew);
	munmap(crew, sizeof(*crew));
}

/* Once with threads, once with processes where that can be. */
static inline int crew_modes(void)
{
#ifdef TG_SAN_tsan
	return 1;
#else
	return 2;
#endif
}

static inline bool crew_soak(void)
{
	return getenv("TG_SOAK") != NULL;
}

static inline uint32_t crew_times(uint32_t usual, uint32_t soak)
{
	return crew_soak() ? soak : usual;
}

static inline void crew_nap(uint64_t ns)
{
	struct timespec pause = {.tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND)};

	nanosleep(&pause, NULL);
}

/* A failed expectation ends the program. */
#define crew_expect(condition, ...)                                                     \
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
