/* SPDX-License-Identifier: MIT
 *
 * tg_wait in real processes, with a real sidecar: woken when a hold is released, bounded when the
 * sidecar is killed, told when the segment is replaced, and bounded by its deadline while another
 * worker scribbles over all that it may write. What they sleep on no worker can write.
 */
#include <sys/syscall.h>

#include "tests/stress_scribble.h"
#include "tests/stress_sidecar.h"

#define WAITERS 6
#define ROUNDS	5
#define WOKEN_NS \
	(SECOND / 10) /* polling once a second would take five times that, at the median \
		       */
#define T (SECOND / 1000)

struct waiter {
	_Atomic uint64_t gone_ns;
	_Atomic uint32_t reason;
	_Atomic uint32_t retired;
};

struct wait_shared {
	struct stress_sidecar sidecar;
	struct waiter waiters[WAITERS];
	_Atomic uint32_t stop;
	_Atomic uint64_t calls, admitted, latest_ns;
};

static pid_t pids[WAITERS];

static void tollgate(const struct wait_shared *shared, const char *words)
{
	const char *build = getenv("TG_BUILD");
	char command[512];

	snprintf(command, sizeof(command), "TOLLGATE_SEGMENT=%s %s/tollgate %s >>%s 2>&1",
		 shared->sidecar.segment, build ? build : "build", words, shared->sidecar.log);
	stress_expect(system(command) == 0, "tollgate %s failed", words);
}

static bool beats(const struct wait_shared *shared)
{
	struct tg *tg = sidecar_attach(&shared->sidecar);
	uint64_t heart = atomic_load(&tg->live->heartbeat_ns);
	bool beat = false;

	for (int i = 0; i < 50 && !beat; i++) {
		stress_nap(SECOND / 100);
		beat = atomic_load(&tg->live->heartbeat_ns) != heart;
	}
	tg_detach(tg);
	return beat;
}

/* The sidecar that was started last has the segment in hand, which may be another than before. */
static void sidecar_ready(const struct wait_shared *shared)
{
	stress_until(beats(shared), "no heartbeat");
}

/* Waits until it may go, through replaced segments. */
static void wait_process(struct wait_shared *shared, uint32_t i, uint64_t for_ns)
{
	struct tg *tg = sidecar_attach(&shared->sidecar);
	uint64_t deadline_ns = tg_now(tg) + for_ns;
	struct tg_verdict verdict;
	struct tg_flow flow;

	must(sidecar_flow(tg, "192.0.2.1", &flow));
	while ((verdict = tg_wait(tg, &flow, TG_BULK, 1, deadline_ns)).reason == TG_RETIRED) {
		atomic_fetch_add(&shared->waiters[i].retired, 1);
		stress_until(tg_renew(tg) == 0, "it was not replaced");
		must(sidecar_flow(tg, "192.0.2.1", &flow));
	}
	atomic_store(&shared->waiters[i].reason, verdict.reason);
	atomic_store(&shared->waiters[i].gone_ns, tg_now(tg));
	_exit(0);
}

static bool asleep(pid_t pid)
{
	char path[64];
	long number = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	file = fopen(path, "r");
	must(file != NULL);
	if (fscanf(file, "%ld", &number) != 1)
		number = -1;
	fclose(file);
	return number == SYS_futex;
}

static void waiters_start(struct wait_shared *shared, uint64_t for_ns)
{
	memset(shared->waiters, 0, sizeof(shared->waiters));
	for (uint32_t i = 0; i < WAITERS; i++) {
		pids[i] = stress_fork();
		if (pids[i] == 0)
			wait_process(shared, i, for_ns);
	}
	for (uint32_t i = 0; i < WAITERS; i++)
		stress_until(asleep(pids[i]), "waiter %u does not sleep", i);
}

static void waiters_end(struct wait_shared *shared, uint32_t reason)
{
	int status;

	for (uint32_t i = 0; i < WAITERS; i++) {
		must(waitpid(pids[i], &status, 0) == pids[i]);
		stress_expect(status == 0, "waiter %u ended with %x", i, status);
		stress_expect(atomic_load(&shared->waiters[i].reason) == reason,
			      "waiter %u came back with %s", i,
			      tg_reason_name(atomic_load(&shared->waiters[i].reason)));
	}
}

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* From the moment that the count of changes has moved: what the command takes does not count. */
static void woken(struct wait_shared *shared)
{
	struct tg *tg = sidecar_attach(&shared->sidecar);
	uint64_t took_ns[ROUNDS * WAITERS];
	struct tg_flow flow;

	must(sidecar_flow(tg, "192.0.2.1", &flow));
	stress_until(atomic_load(&tg->view.limits[flow.slot].rate[0]), "the flow was not filled");
	for (int round = 0; round < ROUNDS; round++) {
		pid_t release;
		uint64_t changed_ns;

		tollgate(shared, "hold 192.0.2.1 example.org --for 1h");
		waiters_start(shared, 600 * SECOND);
		release = stress_fork();
		if (release == 0) {
			tollgate(shared, "release 192.0.2.1 example.org");
			_exit(0);
		}
		while (atomic_load(&tg->view.limits[flow.slot].hold_until_ns) != 0)
			sched_yield();
		changed_ns = tg_now(tg);
		waiters_end(shared, TG_ADMITTED);
		must(waitpid(release, NULL, 0) == release);
		for (int i = 0; i < WAITERS; i++) {
			uint64_t gone_ns = atomic_load(&shared->waiters[i].gone_ns);

			took_ns[round * WAITERS + i] =
				gone_ns > changed_ns ? gone_ns - changed_ns : 0;
		}
	}
	qsort(took_ns, ROUNDS * WAITERS, sizeof(took_ns[0]), by_size);
	printf("  woken after %.1f ms at the median, %.1f at most\n",
	       (double)took_ns[ROUNDS * WAITERS / 2] / 1e6,
	       (double)took_ns[ROUNDS * WAITERS - 1] / 1e6);
	stress_expect(took_ns[ROUNDS * WAITERS / 2] < WOKEN_NS, "it polls: %.1f ms",
		      (double)took_ns[ROUNDS * WAITERS / 2] / 1e6);
	tg_detach(tg);
}

/* Killed while they wait: those with a deadline come back at it; those without are woken by the
 * next sidecar, which adopts what they sleep on. */
static void killed(struct wait_shared *shared)
{
	tollgate(shared, "hold 192.0.2.1 example.org --for 1h");
	waiters_start(shared, 3 * SECOND);
	sidecar_end(&shared->sidecar, SIGKILL);
	waiters_end(shared, TG_REFUSED_HOLD);
	sidecar_start(&shared->sidecar);
	sidecar_ready(shared);
	waiters_start(shared, 600 * SECOND);
	sidecar_end(&shared->sidecar, SIGKILL);
	sidecar_start(&shared->sidecar);
	sidecar_ready(shared);
	tollgate(shared, "release 192.0.2.1 example.org");
	waiters_end(shared, TG_ADMITTED);
}

/* Replaced by one of another size while they wait, and released in that. */
static void replaced(struct wait_shared *shared)
{
	uint32_t retired = 0;

	tollgate(shared, "hold 192.0.2.1 example.org --for 1h");
	waiters_start(shared, 600 * SECOND);
	must(sidecar_end(&shared->sidecar, SIGTERM) == 0);
	sidecar_configure_sizes(&shared->sidecar, "flows: 700, ring: 256",
				"{rate: 1000/s, adapt: false}\n");
	sidecar_start(&shared->sidecar);
	sidecar_ready(shared);
	for (uint32_t i = 0; i < WAITERS; i++)
		stress_until(atomic_load(&shared->waiters[i].retired) > 0,
			     "waiter %u does not know that its segment was replaced", i);
	tollgate(shared, "release 192.0.2.1 example.org");
	waiters_end(shared, TG_ADMITTED);
	for (uint32_t i = 0; i < WAITERS; i++)
		retired += atomic_load(&shared->waiters[i].retired);
	stress_expect(retired == WAITERS, "%u times retired", retired);
}

/* Nobody wakes them, and the hold lasts an hour: the segment itself says what holds by now. */
static void failed_open(struct wait_shared *shared)
{
	must(sidecar_end(&shared->sidecar, SIGTERM) == 0);
	sidecar_configure_sizes(
		&shared->sidecar, "flows: 700, ring: 256",
		"{rate: 1000/s, adapt: false}\non_sidecar_down: fail-open\nsidecar_timeout: 2s\n");
	sidecar_start(&shared->sidecar);
	sidecar_ready(shared);
	tollgate(shared, "hold 192.0.2.1 example.org --for 1h");
	waiters_start(shared, 600 * SECOND);
	sidecar_end(&shared->sidecar, SIGKILL);
	waiters_end(shared, TG_ADMITTED);
	sidecar_start(&shared->sidecar);
	sidecar_ready(shared);
	tollgate(shared, "release 192.0.2.1 example.org");
}

/* One flow is left alone; the other, and all words of other workers, are not. */
static void wait_beside(struct wait_shared *shared, uint32_t i)
{
	struct tg *tg = sidecar_attach(&shared->sidecar);
	struct tg_flow flow;

	must(sidecar_flow(tg, i % 2 ? "192.0.2.2" : "192.0.2.1", &flow));
	while (!atomic_load(&shared->stop)) {
		uint64_t deadline_ns = tg_now(tg) + SECOND / 20;
		struct tg_verdict verdict = tg_wait(tg, &flow, TG_BULK, 1, deadline_ns);
		uint64_t now_ns = tg_now(tg), latest_ns = atomic_load(&shared->latest_ns);

		stress_expect(verdict.reason < TG_REASONS, "a reason of %u", verdict.reason);
		while (now_ns > deadline_ns && now_ns - deadline_ns > latest_ns &&
		       !atomic_compare_exchange_weak(&shared->latest_ns, &latest_ns,
						     now_ns - deadline_ns))
			;
		atomic_fetch_add(&shared->calls, 1);
		if (i % 2 == 0 && verdict.reason == TG_ADMITTED)
			atomic_fetch_add(&shared->admitted, 1);
	}
	_exit(0);
}

static void scribble_process(struct wait_shared *shared, uint32_t spared)
{
	struct tg *tg = sidecar_attach(&shared->sidecar);
	uint64_t seed = 5, end_ns = clock_vdso() + stress_times(3, 60) * SECOND;

	while (clock_vdso() < end_ns) {
		scribble(tg, spared, tg->process->index, &seed, 20000);
		stress_nap(SECOND / 1000);
	}
	_exit(0);
}

static void hostile(struct wait_shared *shared)
{
	struct tg *tg = sidecar_attach(&shared->sidecar);
	uint64_t begin_ns = tg_now(tg), end_ns;
	struct tg_flow calm;
	pid_t scribbler;

	must(sidecar_flow(tg, "192.0.2.1", &calm));
	for (uint32_t i = 0; i < WAITERS; i++) {
		pids[i] = stress_fork();
		if (pids[i] == 0)
			wait_beside(shared, i);
	}
	scribbler = stress_fork();
	if (scribbler == 0)
		scribble_process(shared, calm.slot);
	must(waitpid(scribbler, NULL, 0) == scribbler);
	atomic_store(&shared->stop, 1);
	waiters_end(shared, 0);
	end_ns = tg_now(tg);
	printf("  %lu calls beside a scribbler, %lu admitted, %.1f ms late at most\n",
	       atomic_load(&shared->calls), atomic_load(&shared->admitted),
	       (double)atomic_load(&shared->latest_ns) / 1e6);
	stress_expect(atomic_load(&shared->calls) >= 2 * WAITERS, "they hang");
	stress_expect(atomic_load(&shared->admitted) <= (end_ns - begin_ns) / T + 1,
		      "%lu went, more than the rate", atomic_load(&shared->admitted));
	tg_detach(tg);
}

static void the_word_is_not_for_workers(struct wait_shared *shared)
{
	int status;
	pid_t child = stress_fork();

	if (child == 0) {
		struct tg *tg = sidecar_attach(&shared->sidecar);
		struct tg_flow flow;

		must(sidecar_flow(tg, "192.0.2.1", &flow));
		signal(SIGSEGV, SIG_DFL);
		atomic_store((_Atomic uint32_t *)&tg->view.more[flow.slot].changes, 0);
		_exit(0);
	}
	must(waitpid(child, &status, 0) == child);
	stress_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV,
		      "a worker wrote the word that others sleep on: %x", status);
}

int main(void)
{
	struct wait_shared *shared = fixture_shared(sizeof(*shared));

	if (stress_modes() == 1) {
		printf("SKIP: ThreadSanitizer does not see across processes\n");
		return 77;
	}
	sidecar_configure(&shared->sidecar, "{rate: 1000/s, adapt: false}");
	sidecar_start(&shared->sidecar);
	woken(shared);
	killed(shared);
	replaced(shared);
	failed_open(shared);
	the_word_is_not_for_workers(shared);
	hostile(shared);
	must(sidecar_end(&shared->sidecar, SIGTERM) == 0);
	sidecar_clear(&shared->sidecar);
	return 0;
}
