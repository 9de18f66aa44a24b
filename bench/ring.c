/* SPDX-License-Identifier: MIT
 *
 * ring: what it costs to tell the sidecar, and how soon it acts.
 *
 *   ring [--json] [--quick] [CASE…]
 *
 * Prints a line a case, {"case", "ns", "p50_us", "p99_us"}, each figure the median of 5 runs; a
 * figure that a case does not have is null.
 *
 * one_producer, three_producers: ns an event. tg_report of a deferral with its text, into the hands
 * of a consumer in another process that empties the rings every 200 us, as the sidecar does in the
 * steady state; from the first report to the last record taken. "wakes" counts doorbells rung;
 * "producer_ns" and "consumer_ns" are processor time, which a busy machine disturbs less.
 *
 * wake: from tg_report to the record taken by a real tollgated that slept; the worker goes on
 * computing meanwhile, where it may be on the processor that the kernel wakes the sidecar on.
 *
 * react: from tg_report of a deferral to a worker in another process being refused by what the
 * real tollgated made of it.
 *
 * sidecar_event: ns of the real tollgated's processor time for one deferral, with built-in rules.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/lib/cases.h"
#include "bench/lib/daemon.h"
#include "bench/lib/fixture.h"
#include "bench/lib/measure.h"
#include "bench/lib/now.h"
#include "shm/gcra.h"
#include "shm/handle.h"
#include "sidecar/segment/ring_reader.h"

#define RUNS	     5
#define PRODUCERS    3
#define RING_RECORDS 16384
#define DRAIN_US     200
#define REPLY                                                                                  \
	"451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP " \
	"reputation. For e-mail delivery information, see https://postmaster.live.com (S775)"

/* Every source sends a lot at once, and the first word of trouble holds it. */
#define CONFIGURATION                                                                         \
	"builtin: false\n"                                                                    \
	"limits: {rate: 60000000/min, burst: 4000000}\n"                                      \
	"rules:\n"                                                                            \
	"  - {name: hold-at-once, match: {class: [reputation]}, trigger: immediate, action: " \
	"{hold: 1h}}\n"

struct ring_bench {
	struct cases cases;
	bool failed;
};

struct figures {
	double ns, p50_us, p99_us; /* below 0: none */
	double wakes, producer_ns, consumer_ns;
};

/* What the processes of a measurement share. */
struct ring_shared {
	_Atomic uint32_t ready, go, done, finished;
	_Atomic uint64_t begin_ns[PRODUCERS], refused_ns;
	_Atomic uint64_t producer_cpu_ns;
	_Atomic uint32_t sample;
	_Atomic uint32_t answered;
};

static struct ring_shared *shared_new(void)
{
	struct ring_shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return shared == MAP_FAILED ? NULL : shared;
}

static void figure_print(const char *name, double value, const char *form)
{
	printf(", \"%s\": ", name);
	if (value < 0)
		printf("null");
	else
		printf(form, value);
}

static void figures_print(const struct ring_bench *bench, const char *name, const struct figures *f)
{
	if (bench->cases.json) {
		printf("{\"case\": \"%s\"", name);
		figure_print("ns", f->ns, "%.1f");
		figure_print("p50_us", f->p50_us, "%.1f");
		figure_print("p99_us", f->p99_us, "%.1f");
		if (f->wakes >= 0) {
			figure_print("wakes", f->wakes, "%.0f");
			figure_print("producer_ns", f->producer_ns, "%.1f");
			figure_print("consumer_ns", f->consumer_ns, "%.1f");
		}
		printf("}\n");
	} else if (f->ns >= 0) {
		printf("%-18s %8.1f ns an event", name, f->ns);
		if (f->producer_ns >= 0)
			printf(", processor time %.1f and %.1f", f->producer_ns, f->consumer_ns);
		printf("\n");
	} else {
		printf("%-18s p50 %8.1f us  p99 %8.1f us\n", name, f->p50_us, f->p99_us);
	}
	fflush(stdout);
}

/* ---- producers and a consumer -------------------------------------------------------------------
 */

static struct tg_reply reply_make(void)
{
	struct tg_reply reply = {.place = 1, .traffic = TG_BULK, .n = 1};

	tg_reply_parse(REPLY, strlen(REPLY), &reply);
	return reply;
}

/* A producer that is far ahead of the consumer waits, as real mail would make it: nothing may be
 * lost. */
static void producer_wait(const struct layout_worker *worker)
{
	while (atomic_load(&worker->head) - atomic_load(&worker->tail) > RING_RECORDS / 2)
		usleep(50);
}

static void producer_run(struct bench_fixture *fixture, struct ring_shared *shared, uint32_t i,
			 uint64_t events)
{
	struct tg_reply reply = reply_make();
	struct layout_worker *worker;
	struct tg_flow flow;
	uint64_t cpu;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	measure_pin(i);
	worker = tg_worker(fixture->tg);
	bench_flow(fixture, i * (fixture->source_count + 1), &flow);
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->go))
		usleep(100);
	atomic_store(&shared->begin_ns[i], now_monotonic());
	cpu = measure_cpu_ns();
	for (uint64_t done = 0; done < events; done++) {
		if (done % 4096 == 0)
			producer_wait(worker);
		tg_report(fixture->tg, &flow, &reply);
	}
	atomic_fetch_add(&shared->producer_cpu_ns, measure_cpu_ns() - cpu);
	atomic_fetch_add(&shared->done, 1);
	while (!atomic_load(&shared->finished))
		usleep(100); /* its ring is freed when it ends */
	_exit(0);
}

struct taken {
	uint64_t records, replies;
};

static void on_record(void *arg, const struct layout_record *record, uint32_t worker)
{
	struct taken *taken = arg;

	taken->records++;
	taken->replies += record->kind == LAYOUT_RECORD_REPLY && record->length > 0;
}

/* Empties the rings until `events` replies were taken or all producers are done with less. */
static uint64_t consumer_run(struct bench_fixture *fixture, struct ring_shared *shared,
			     uint32_t producers, uint64_t events)
{
	struct ring_reader_totals totals = {0};
	struct taken taken = {0};
	const struct ring_reader_sink sink = {on_record, &taken, &totals};
	bool last = false;

	while (taken.replies < events) {
		uint64_t before = taken.records, now = now_monotonic();

		for (uint32_t i = 0; i < fixture->segment->header.sizes.workers; i++)
			while (ring_reader_drain(fixture->segment, i, 1024, now, &sink) == 1024)
				;
		if (taken.records == before && last)
			break;
		last = atomic_load(&shared->done) == producers;
		usleep(DRAIN_US);
	}
	return taken.replies;
}

/* Doorbells in the FIFO: the sidecar does not sleep here, so there must be none. */
static uint64_t wakes_count(const struct bench_fixture *fixture)
{
	char path[96], bytes[4096];
	uint64_t count = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/wake", fixture->path);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return 0;
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		count += (uint64_t)n;
	close(fd);
	return count;
}

struct once {
	double ns, producer_ns, consumer_ns;
};

/* ns an event; below 0: a text was lost or a process failed. */
static struct once producers_once(struct bench_fixture *fixture, uint32_t producers,
				  uint64_t events)
{
	struct ring_shared *shared = shared_new();
	uint64_t begin = UINT64_MAX, taken, end, cpu;
	struct once once = {-1, -1, -1};
	pid_t pids[PRODUCERS];

	if (!shared)
		return once;
	for (uint32_t i = 0; i < producers; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			producer_run(fixture, shared, i, events);
	}
	measure_pin(measure_cpus() - 1);
	while (atomic_load(&shared->ready) < producers)
		usleep(100);
	atomic_store(&shared->go, 1);
	cpu = measure_cpu_ns();
	taken = consumer_run(fixture, shared, producers, events * producers);
	end = now_monotonic();
	cpu = measure_cpu_ns() - cpu;
	atomic_store(&shared->finished, 1);
	for (uint32_t i = 0; i < producers; i++) {
		waitpid(pids[i], NULL, 0);
		if (shared->begin_ns[i] < begin)
			begin = shared->begin_ns[i];
	}
	if (taken == events * producers)
		once = (struct once){(double)(end - begin) / (double)taken,
				     (double)shared->producer_cpu_ns / (double)taken,
				     (double)cpu / (double)taken};
	munmap(shared, sizeof(*shared));
	return once;
}

static void producers_measure(struct ring_bench *bench, const char *name, uint32_t producers)
{
	struct bench_limits open = {.rate = gcra_rate(1, UINT32_MAX)};
	uint64_t events = (bench->cases.quick ? 200000 : 1000000) / producers;
	struct figures f = {-1, -1, -1, -1, -1, -1};
	double values[RUNS], producer[RUNS], consumer[RUNS];
	struct bench_fixture fixture;

	if (bench_open_ring(&fixture, 1000, TG_CLOCK_AUTO, RING_RECORDS) < 0 ||
	    bench_fill_all(&fixture, &open) < 0) {
		bench->failed = true;
		return;
	}
	wakes_count(&fixture);
	for (int i = 0; i < RUNS; i++) {
		struct once once = producers_once(&fixture, producers, events);

		values[i] = once.ns;
		producer[i] = once.producer_ns;
		consumer[i] = once.consumer_ns;
		bench->failed |= once.ns < 0;
	}
	f.ns = measure_median(values, RUNS);
	f.producer_ns = measure_median(producer, RUNS);
	f.consumer_ns = measure_median(consumer, RUNS);
	f.wakes = (double)wakes_count(&fixture);
	figures_print(bench, name, &f);
	bench_close(&fixture);
}

/* ---- with a real sidecar ------------------------------------------------------------------------
 */

static int worker_attach(const struct daemon *daemon, struct tg **ret)
{
	struct tg_options options = {
		.size = sizeof(options), .segment = daemon->segment, .owner = -1};

	return tg_attach(&options, ret);
}

static int flow_of(struct tg *tg, uint32_t number, struct tg_flow *ret)
{
	struct tg_destination destination;
	struct tg_source source;
	char address[32];
	int error;

	snprintf(address, sizeof(address), "10.%u.%u.%u", number >> 16 & 255, number >> 8 & 255,
		 number & 255);
	error = tg_source(tg, address, &source);
	if (error == 0)
		error = tg_destination(tg, "hotmail-com.olc.protection.outlook.com", &destination);
	return error ? error : tg_flow(tg, &source, &destination, ret);
}

static bool wait_until(_Atomic uint64_t *word, uint64_t min, uint64_t until_ns)
{
	while (atomic_load_explicit(word, memory_order_acquire) < min)
		if (now_monotonic() > until_ns)
			return false;
	return true;
}

/* One sample: the sidecar has been left alone for a while, then a deferral comes. Nanoseconds, or
 * 0. */
static uint64_t wake_once(struct tg *tg, const struct tg_flow *flow)
{
	struct layout_worker *worker = tg_worker(tg);
	struct tg_reply reply = reply_make();
	uint64_t begin, until = now_monotonic() + SECOND_NS;

	usleep(5000);
	while (!atomic_load(&tg->live->sleeping))
		if (now_monotonic() > until)
			return 0;
	begin = now_monotonic();
	tg_report(tg, flow, &reply);
	if (!wait_until(&worker->tail, atomic_load(&worker->head), begin + SECOND_NS))
		return 0;
	return now_monotonic() - begin;
}

static bool wake_samples(struct daemon *daemon, uint32_t *samples, uint32_t count, uint32_t first)
{
	struct tg_flow flow;
	bool whole = true;
	struct tg *tg;

	if (worker_attach(daemon, &tg) < 0)
		return false;
	if (flow_of(tg, 1, &flow) != 0)
		whole = false;
	for (uint32_t i = 0; i < count && whole; i++) {
		samples[i] = (uint32_t)wake_once(tg, &flow);
		whole = samples[i] > 0;
	}
	tg_detach(tg);
	return whole;
}

/* The worker that is to be refused: asks for the flow of each sample until it is. */
static void watcher_run(struct daemon *daemon, struct ring_shared *shared, uint32_t first,
			uint32_t count)
{
	struct tg_flow flow;
	struct tg *tg;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (worker_attach(daemon, &tg) < 0)
		_exit(1);
	for (uint32_t i = 0; i < count; i++) {
		if (flow_of(tg, first + i, &flow) != 0)
			_exit(1);
		/* Its limits are filled before the sample begins. */
		while (!(atomic_load(&tg->view.limits[flow.slot].rate[TG_TRANSACTIONAL])))
			usleep(100);
		atomic_store(&shared->sample, i + 1);
		while (tg_admit(tg, &flow, TG_BULK, 1).reason == TG_ADMITTED)
			;
		atomic_store(&shared->refused_ns, now_monotonic());
		atomic_store(&shared->answered, i + 1);
	}
	tg_detach(tg);
	_exit(0);
}

static uint64_t react_once(struct tg *tg, struct ring_shared *shared, uint32_t number,
			   uint32_t sample)
{
	uint64_t begin, until = now_monotonic() + 2 * SECOND_NS;
	struct tg_reply reply = reply_make();
	struct tg_flow flow;

	while (atomic_load(&shared->sample) < sample)
		if (now_monotonic() > until)
			return 0;
	if (flow_of(tg, number, &flow) != 0)
		return 0;
	usleep(3000);
	begin = now_monotonic();
	reply.admitted_ns = begin;
	tg_report(tg, &flow, &reply);
	while (atomic_load(&shared->answered) < sample) {
		if (now_monotonic() > until)
			return 0;
		usleep(200);
	}
	return atomic_load(&shared->refused_ns) - begin;
}

static bool react_samples(struct daemon *daemon, uint32_t *samples, uint32_t count, uint32_t first)
{
	struct ring_shared *shared = shared_new();
	bool whole = true;
	struct tg *tg;
	pid_t pid;

	if (!shared)
		return false;
	pid = fork();
	if (pid == 0)
		watcher_run(daemon, shared, first, count);
	if (worker_attach(daemon, &tg) < 0)
		whole = false;
	for (uint32_t i = 0; i < count && whole; i++) {
		samples[i] = (uint32_t)react_once(tg, shared, first + i, i + 1);
		whole = samples[i] > 0;
	}
	if (!whole)
		kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	tg_detach(tg);
	munmap(shared, sizeof(*shared));
	return whole;
}

static void sidecar_measure(struct ring_bench *bench, const char *name,
			    bool (*take)(struct daemon *, uint32_t *, uint32_t, uint32_t))
{
	uint32_t count = bench->cases.quick ? 200 : 1000;
	uint32_t *samples = calloc(count, sizeof(*samples));
	double p50[RUNS], p99[RUNS];
	struct figures f = {-1, -1, -1, -1, -1, -1};
	struct daemon daemon;

	if (!samples || daemon_sidecar(&daemon, CONFIGURATION) < 0) {
		bench->failed = true;
		free(samples);
		return;
	}
	for (int i = 0; i < RUNS; i++) {
		if (!take(&daemon, samples, count, 1 + (uint32_t)i * count)) {
			fprintf(stderr, "ring: %s: no answer from the sidecar\n", name);
			bench->failed = true;
			break;
		}
		p50[i] = (double)measure_percentile(samples, count, 0.5) / 1e3;
		p99[i] = (double)measure_percentile(samples, count, 0.99) / 1e3;
	}
	if (!bench->failed) {
		f.p50_us = measure_median(p50, RUNS);
		f.p99_us = measure_median(p99, RUNS);
		figures_print(bench, name, &f);
	}
	daemon_stop(&daemon);
	free(samples);
}

/* Nanoseconds that a process has run. */
static uint64_t process_ns(pid_t pid)
{
	unsigned long long ns = 0;
	char path[48];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%llu", &ns) != 1)
		ns = 0;
	fclose(file);
	return ns;
}

/* Deferrals of a thousand flows, fifty each millisecond. */
static double events_once(const struct daemon *daemon, struct tg *tg, const struct tg_flow *flows,
			  uint32_t events)
{
	struct layout_worker *worker = tg_worker(tg);
	struct tg_reply reply = reply_make();
	uint64_t begin = process_ns(daemon->pid), lost = atomic_load(&worker->lost);

	for (uint32_t i = 0; i < events; i++) {
		tg_report(tg, &flows[i % 1000], &reply);
		if (i % 50 == 49)
			usleep(1000);
	}
	if (!wait_until(&worker->tail, atomic_load(&worker->head), now_monotonic() + 5 * SECOND_NS))
		return -1;
	if (atomic_load(&worker->lost) != lost || begin == 0)
		return -1;
	return (double)(process_ns(daemon->pid) - begin) / events;
}

static void events_measure(struct ring_bench *bench)
{
	struct figures f = {-1, -1, -1, -1, -1, -1};
	struct tg_flow flows[1000];
	struct daemon daemon;
	double values[RUNS];
	struct tg *tg = NULL;

	if (daemon_sidecar(&daemon, "") < 0 || worker_attach(&daemon, &tg) < 0) {
		bench->failed = true;
		return;
	}
	for (uint32_t i = 0; i < 1000; i++)
		if (flow_of(tg, i, &flows[i]) != 0)
			bench->failed = true;
	for (int i = 0; i < RUNS && !bench->failed; i++) {
		values[i] = events_once(&daemon, tg, flows, bench->cases.quick ? 20000 : 100000);
		bench->failed |= values[i] < 0;
	}
	if (!bench->failed) {
		f.ns = measure_median(values, RUNS);
		figures_print(bench, "sidecar_event", &f);
	}
	tg_detach(tg);
	daemon_stop(&daemon);
}

int main(int argc, char **argv)
{
	struct ring_bench bench = {0};

	cases_read(&bench.cases, "ring", argc, argv);
	if (cases_wanted(&bench.cases, "one_producer"))
		producers_measure(&bench, "one_producer", 1);
	if (cases_wanted(&bench.cases, "three_producers"))
		producers_measure(&bench, "three_producers", PRODUCERS);
	if (cases_wanted(&bench.cases, "wake"))
		sidecar_measure(&bench, "wake", wake_samples);
	if (cases_wanted(&bench.cases, "react"))
		sidecar_measure(&bench, "react", react_samples);
	if (cases_wanted(&bench.cases, "sidecar_event"))
		events_measure(&bench);
	return bench.failed;
}
