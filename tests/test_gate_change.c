/* SPDX-License-Identifier: MIT
 *
 * Limits of the gate's table that change while the kernel decides: exactly the burst passes, with a
 * decision between any two stores of the loader, with its death at each, and on two processors at
 * once.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <criterion/criterion.h>

#include "ebpf/gate.h"
#include "ebpf/gate_internal.h"
#include "shm/gcra.h"

#if __has_include("ebpf/gate_test.skel.h")

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "ebpf/gate_test.h"
#include "ebpf/gate_test.skel.h"

#define S      UINT64_C(1000000000)
#define FAST   (3600 * S) /* so slow that nothing is refilled while the test runs */
#define SLOW   (10 * FAST)
#define BURST  6
#define STRIDE 512 /* every so many instructions of the loader, and after each store */
#define RACERS 3

static struct gate_test_bpf *skel;
static struct gate_table table;

static int silent(enum libbpf_print_level level, const char *format, va_list list)
{
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * S + (uint64_t)now.tv_nsec;
}

static void *memory(const struct bpf_map *map)
{
	size_t size = (size_t)bpf_map__value_size(map) * bpf_map__max_entries(map);
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	cr_assert_neq(at, MAP_FAILED, "%s", strerror(errno));
	return at;
}

/* 0 where programs cannot be loaded; says so. */
static int gate_table_open(uint32_t slots)
{
	char why[256];

	if (gate_probe(why, sizeof why)) {
		printf("SKIP: BPF programs cannot be loaded here: %s\n", why);
		return 0;
	}
	libbpf_set_print(silent);
	skel = gate_test_bpf__open();
	cr_assert_not_null(skel);
	bpf_map__set_max_entries(skel->maps.flows, slots);
	skel->rodata->gate_buckets_mask = slots / GATE_WAYS - 1;
	cr_assert_eq(gate_test_bpf__load(skel), 0, "the trial programs did not load");
	table.control = memory(skel->maps.control);
	table.flows = memory(skel->maps.flows);
	table.destinations = memory(skel->maps.destinations);
	table.flow_count = bpf_map__max_entries(skel->maps.flows);
	table.destination_count = bpf_map__max_entries(skel->maps.destinations);
	table.mask = table.flow_count / GATE_WAYS - 1;
	table.idle_ns = 3600 * S;
	table.history = calloc(table.flow_count, sizeof *table.history);
	cr_assert_not_null(table.history);
	table.control->cgroup_mode[0] = GATE_DENY;
	table.control->hz = 250;
	return 1;
}

static void table_close(void)
{
	gate_table_free(&table);
	gate_test_bpf__destroy(skel);
}

static struct gate_key key_of(uint32_t n)
{
	return (struct gate_key){.source = {0, 0, htonl(0xffff), n}, .destination_id = 9};
}

/* 1 if a connection passes now. */
static int decide(uint32_t n)
{
	struct gate_test_decision d = {.request = {.now_ns = now_ns(), .key = key_of(n)}};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = &d, .data_size_in = sizeof d,
		    .data_out = &d, .data_size_out = sizeof d);

	cr_assert_eq(bpf_prog_test_run_opts(bpf_program__fd(skel->progs.trial_decide), &opts), 0,
		     "%s", strerror(errno));
	return d.answer == GATE_ANSWER_PASS;
}

static int decide_all(uint32_t n)
{
	int passed = 0;

	while (passed <= 3 * BURST && decide(n))
		passed++;
	return passed;
}

enum where {
	FLOW,	     /* its own limits */
	FLOW_FIRST,  /* the same, and it had the widest before */
	WIDEST,	     /* of every destination that has none */
	DESTINATION, /* had the widest before */
	WHERES
};

static void set(enum where where, uint32_t n, uint64_t interval_ns, uint32_t burst)
{
	struct gate_limits limits = {.rate = {gcra_rate(interval_ns, burst)}};
	struct gate_key key = key_of(n);
	int error;

	if (where == FLOW || where == FLOW_FIRST)
		error = gate_table_flow_set(&table, &key, &limits, now_ns());
	else
		error = gate_table_destination_set(&table, where == WIDEST ? 0 : 9, &limits,
						   now_ns());
	cr_assert_eq(error, 0);
}

/* A flow of which half the burst is used, in a table of its own few slots. */
static void begin(enum where where, uint32_t n, uint64_t interval_ns)
{
	memset(table.flows, 0, table.flow_count * sizeof *table.flows);
	memset(table.destinations, 0, table.destination_count * sizeof *table.destinations);
	set(where == FLOW ? FLOW : WIDEST, n, interval_ns, BURST);
	for (int i = 0; i < BURST / 2; i++)
		cr_assert(decide(n));
}

struct change {
	enum where where;
	uint64_t from_ns, to_ns;
};

/* A loader in a process of its own, stopped before its change. */
static pid_t loader_start(const struct change *change, uint32_t n)
{
	pid_t pid = fork();
	int status;

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(1);
		raise(SIGSTOP);
		set(change->where, n, change->to_ns, BURST);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSTOPPED(status), "the loader's process cannot be traced");
	return pid;
}

/* What a change writes. */
struct words {
	struct gate_flow flow;
	struct gate_destination destination[10];
};

static void words_read(struct words *words, uint32_t slot)
{
	words->flow = table.flows[slot];
	memcpy(words->destination, table.destinations, sizeof words->destination);
}

/* Lets the loader go on by `steps` instructions, or by as many as it takes to the next store. 0: it
 * has ended. */
static int loader_step(pid_t pid, uint32_t slot, int steps)
{
	struct words was, is;
	int status;

	words_read(&was, slot);
	for (int i = 0; i < steps; i++) {
		cr_assert_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			return 0;
		words_read(&is, slot);
		if (memcmp(&was, &is, sizeof is) != 0)
			return 1;
	}
	return 1;
}

/* The loader is stopped at its point-th stop. There it dies, or one connection passes and it goes
 * on. 0: it had ended before. */
static int point_check(const struct change *change, int point, int dies)
{
	uint32_t n = 1;
	struct gate_key key = key_of(n);
	uint32_t slot;
	pid_t pid;
	int alive = 1, passed, status;

	begin(change->where, n, change->from_ns);
	slot = gate_table_find(&table, &key, now_ns());
	pid = loader_start(change, n);
	for (int i = 0; i < point && alive; i++)
		alive = loader_step(pid, slot, STRIDE);
	if (!alive)
		return 0;
	if (dies)
		kill(pid, SIGKILL);
	passed = dies ? decide_all(n) : decide(n);
	cr_expect_eq(passed, dies ? BURST / 2 : 1, "where %d, point %d, dies %d: %d passed",
		     change->where, point, dies, passed);
	if (!dies)
		ptrace(PTRACE_CONT, pid, NULL, NULL);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	if (dies)
		gate_table_housekeep(&table, now_ns());
	passed += decide_all(n);
	/* The next loader sets the same limits. */
	set(change->where, n, change->to_ns, BURST);
	passed += decide_all(n);
	cr_expect_eq(passed, BURST / 2, "where %d, %d h to %d h, point %d, dies %d: %d passed",
		     change->where, (int)(change->from_ns / FAST), (int)(change->to_ns / FAST),
		     point, dies, passed);
	return 1;
}

Test(gate_change, passes_the_burst_wherever_the_loader_is_stopped_or_dies)
{
	static const uint64_t to[][2] = {{FAST, SLOW}, {SLOW, FAST}};
	int points = 0;

	if (!gate_table_open(GATE_WAYS))
		return;
	for (enum where where = FLOW; where < WHERES; where++)
		for (size_t i = 0; i < 2; i++)
			for (int dies = 0; dies < 2; dies++) {
				struct change change = {where, to[i][0], to[i][1]};

				for (int point = 1; point_check(&change, point, dies); point++)
					points++;
			}
	cr_expect_gt(points, 16 * 4, "only %d points", points);
	table_close();
}

/* ---- two processors at once ------------------------------------------------------------------ */

#define RACE_BURST 1000

struct race {
	enum where where;
	int stop;
	int passed;
	int attempts;
};

static void *race_decide(void *arg)
{
	struct race *race = arg;

	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
		if (decide(2))
			__atomic_fetch_add(&race->passed, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&race->attempts, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Changes the price until all of the burst is gone, and some hundred times more. */
static void race_change(struct race *race)
{
	int attempts = 0, since = 0;

	for (uint32_t i = 0; since < 200; i++) {
		set(race->where, 2, i % 2 ? SLOW : FAST, RACE_BURST);
		if (__atomic_load_n(&race->passed, __ATOMIC_RELAXED) >= RACE_BURST)
			since++;
		/* So that some decide at each price. */
		while (__atomic_load_n(&race->attempts, __ATOMIC_RELAXED) <= attempts)
			sched_yield();
		attempts = __atomic_load_n(&race->attempts, __ATOMIC_RELAXED);
	}
}

static void race_run(enum where where)
{
	struct race race = {.where = where};
	pthread_t thread[RACERS];

	memset(table.flows, 0, table.flow_count * sizeof *table.flows);
	memset(table.destinations, 0, table.destination_count * sizeof *table.destinations);
	set(WIDEST, 2, FAST, RACE_BURST);
	for (int i = 0; i < RACERS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, race_decide, &race), 0);
	race_change(&race);
	__atomic_store_n(&race.stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < RACERS; i++)
		pthread_join(thread[i], NULL);
	cr_expect_eq(race.passed, RACE_BURST, "where %d: %d passed", where, race.passed);
}

Test(gate_change, passes_the_burst_while_processors_race)
{
	if (!gate_table_open(16384))
		return;
	race_run(FLOW);
	race_run(WIDEST);
	race_run(DESTINATION);
	table_close();
}

Test(gate_change, counts_a_state_of_no_known_epoch_as_a_burst_used)
{
	struct gate_key key = key_of(3);
	uint32_t slot;

	if (!gate_table_open(GATE_WAYS))
		return;
	begin(WIDEST, 3, FAST);
	slot = gate_table_find(&table, &key, now_ns());
	table.flows[slot].tat[0] += 7 * GCRA_EPOCH_ONE;
	cr_expect_eq(decide_all(3), 0);
	cr_expect_leq(table.flows[slot].tat[0] ^ gcra_epoch(table.flows[slot].tat[0]),
		      now_ns() + BURST * gcra_interval(gcra_rate(FAST, BURST)));
	table_close();
}

#else

Test(gate_change, needs_bpf_at_build_time)
{
	printf("SKIP: built without BPF\n");
}

#endif
