/* SPDX-License-Identifier: MIT
 *
 * What a known flow costs, and what it costs to replace a segment that is full of them.
 *
 *   flow_1m      1,000,000 pairs of 2,000 IPs and 500 domains, announced by a worker as it resolves
 *                them. All send, a tenth of them every two hours; 1 of 20 is refused twice, with a
 *                text. bytes_per_flow is all memory of the segment's files, and all of this process
 *                that is not shared (which holds the sidecar's engine, configuration and rules), by
 *                the flows.
 *   replace_1m   the same segment is replaced by one of the same sizes while another process
 *                decides on flows that were used of late, and resolves each anew when it needs it:
 *                seconds, the median of three, and the longest that one message had to wait for a
 *                verdict that was not "retired", without the time that one of the two waited for a
 *                processor because of other load (/proc/PID/schedstat), the least of three, since
 *                what the machine adds is never negative; worker_wait_wall_ms is with it.
 *                touch_seconds is what as much new memory costs that is only touched, a byte a
 *                page, just before, and touch_wait_ms the longest that the same worker waited
 *                meanwhile: what no replacement can be better than here. In a virtual machine with
 *                shadow page tables the first touch of a page costs 7 to 14 us, elsewhere 0.5.
 *
 * --quick has 100,000 flows; their figures are called by the same names.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/lib/cases.h"
#include "bench/lib/measure.h"
#include "bench/lib/now.h"
#include "shm/handle.h"
#include "sidecar/base/log.h"
#include "sidecar/config/generation.h"
#include "sidecar/engine/engine.h"
#include "sidecar/segment/calendar.h"
#include "sidecar/segment/heartbeat.h"
#include "sidecar/segment/ring_reader.h"

#define SOURCES 2000
#define HOUR_NS (3600 * SECOND_NS)
#define NAMES	(UINT32_C(1) << 20)
#define WAVES	10
#define HOT	1000 /* flows that the worker decides on while the segment is replaced */

#define REPLACEMENTS 3

struct bench {
	struct cases cases;
	char path[64];
	uint32_t flows, destinations;
	struct segment_options options;
	struct segment *segment;
	struct generation generation;
	struct engine *engine;
	struct heartbeat heartbeat;
	struct ring_reader_totals drained;
	struct tg *tg;
	struct tg_source *sources;
	struct tg_destination *names;
	uint64_t ahead_ns; /* of the engine's time */
};

static void failed(const char *what, int error)
{
	fprintf(stderr, "bench/memory: %s: %s\n", what, strerror(-error));
	exit(1);
}

static uint64_t engine_now(const struct bench *b)
{
	return now_monotonic() + b->ahead_ns;
}

static void record_take(void *arg, const struct layout_record *record, uint32_t worker)
{
	struct bench *b = arg;

	engine_record(b->engine, record, engine_now(b));
}

static void drain(struct bench *b)
{
	const struct ring_reader_sink sink = {record_take, b, &b->drained};

	while (ring_reader_drain(b->segment, b->tg->process->index, 4096, engine_now(b), &sink) > 0)
		;
}

/* As the sidecar does once a second, until every slot was looked at. */
static void settle(struct bench *b)
{
	for (uint32_t looked = 0; looked <= segment_count(b->segment); looked += 200000) {
		engine_housekeep(b->engine, engine_now(b));
		while (engine_work(b->engine, engine_now(b)) <= engine_now(b))
			;
	}
}

/* ---- the segment ----------------------------------------------------------------------------- */

static void engine_begin(struct bench *b)
{
	int error = engine_create(b->segment, &b->engine);

	if (error)
		failed("engine", error);
	engine_wall_offset(b->engine, calendar_wall_offset());
	heartbeat_begin(&b->heartbeat, b->segment);
	calendar_publish(b->segment, "UTC");
	error = engine_configure(b->engine, b->generation.config, b->generation.classifier,
				 b->generation.rules, engine_now(b));
	if (error)
		failed("configuration", error);
	while (engine_work(b->engine, engine_now(b)) <= engine_now(b))
		;
	segment_live(b->segment);
}

static void segment_begin(struct bench *b)
{
	char reason[SEGMENT_REASON] = "";
	struct tg_options options = {.size = sizeof(options), .segment = b->path, .owner = -1};
	int error;

	b->options = (struct segment_options){
		.path = b->path,
		.owner = -1,
		.group = -1,
		.reserve_max_ns = 300 * SECOND_NS,
		.sizes = {.flows = b->flows,
			  .workers = 16,
			  .ring_records = 8192,
			  .minutes = 60,
			  .leases = 1024,
			  .names_bytes = NAMES},
	};
	engine_shape(&b->options);
	error = segment_open(&b->options, &b->segment, reason);
	if (error) {
		fprintf(stderr, "bench/memory: %s\n", reason);
		exit(1);
	}
	engine_begin(b);
	error = tg_attach(&options, &b->tg);
	if (error)
		failed("tg_attach", error);
}

static void parents_resolve(struct bench *b)
{
	char text[64];
	int error = 0;

	for (uint32_t i = 0; i < SOURCES && !error; i++) {
		snprintf(text, sizeof(text), "10.0.%u.%u", i >> 8, i & 255);
		error = tg_source(b->tg, text, &b->sources[i]);
		drain(b);
	}
	for (uint32_t i = 0; i < b->destinations && !error; i++) {
		snprintf(text, sizeof(text), "recipients-of-%u.example", i);
		error = tg_destination(b->tg, text, &b->names[i]);
		drain(b);
	}
	if (error)
		failed("names", error);
}

static struct tg_flow flow_of(struct bench *b, uint32_t i)
{
	struct tg_flow flow;
	int error = tg_flow(b->tg, &b->sources[i % SOURCES], &b->names[i / SOURCES], &flow);

	if (error)
		failed("tg_flow", error);
	return flow;
}

static void flow_use(struct bench *b, uint32_t i, const char *text)
{
	struct tg_flow flow = flow_of(b, i);
	struct tg_reply reply = {.n = 1, .traffic = TG_BULK};

	tg_admit(b->tg, &flow, TG_BULK, 1);
	tg_reply_parse(text, strlen(text), &reply);
	tg_report(b->tg, &flow, &reply);
	if (i / WAVES % 256 == 0)
		drain(b);
}

#define DELIVERED "250 2.0.0 OK"
#define REFUSED \
	"421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to user complaints"

static void wave_use(struct bench *b, uint32_t i)
{
	flow_use(b, i, DELIVERED);
	for (int k = 0; k < 2 && i / WAVES % 20 == 0; k++)
		flow_use(b, i, REFUSED);
}

static void segment_fill(struct bench *b)
{
	parents_resolve(b);
	for (uint32_t i = 0; i < b->flows; i++) {
		flow_of(b, i);
		if (i % 256 == 0)
			drain(b);
	}
	drain(b);
	for (uint32_t wave = 0; wave < WAVES; wave++) {
		b->ahead_ns += 2 * HOUR_NS;
		settle(b);
		for (uint32_t i = wave; i < b->flows; i += WAVES)
			wave_use(b, i);
		drain(b);
		settle(b);
	}
}

/* ---- memory ---------------------------------------------------------------------------------- */

static uint64_t files_bytes(const struct bench *b)
{
	uint64_t bytes = 0;
	struct stat st;

	for (int file = 0; file < LAYOUT_FILES; file++)
		if (fstat(b->segment->fds[file], &st) == 0)
			bytes += (uint64_t)st.st_blocks * 512;
	return bytes;
}

/* What this process has in memory for itself alone. */
static uint64_t process_bytes(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	unsigned long long kilobytes = 0;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Anonymous: %llu kB", &kilobytes) == 1)
			break;
	if (file)
		fclose(file);
	return (uint64_t)kilobytes << 10;
}

static void memory_measure(struct bench *b)
{
	uint64_t files = files_bytes(b), process = process_bytes();
	double each = (double)(files + process) / b->flows;

	if (!cases_wanted(&b->cases, "flow_1m"))
		return;
	if (b->cases.json)
		printf("{\"case\": \"flow_1m\", \"bytes_per_flow\": %.1f, \"segment_bytes\": %llu, "
		       "\"sidecar_bytes\": %llu, \"flows\": %u}\n",
		       each, (unsigned long long)files, (unsigned long long)process, b->flows);
	else
		printf("flow_1m %.1f bytes a flow: %.1f MiB of segment, %.1f MiB of sidecar, %u flows\n",
		       each, (double)files / 1048576, (double)process / 1048576, b->flows);
	fflush(stdout);
}

/* ---- replacing ------------------------------------------------------------------------------- */

struct hot {
	const struct hot *first; /* of all */
	struct tg_flow flow;
	uint32_t segment; /* that the flow is of; 0: not resolved yet */
};

struct crowd {
	_Atomic uint32_t ready, stop;
	_Atomic uint64_t longest_ns, longest_wall_ns;
	int sidecar; /* descriptor of its schedstat */
	_Atomic uint64_t verdicts;
};

static void hot_resolve(struct bench *b, struct tg *tg, uint32_t k, struct tg_flow *ret)
{
	uint32_t i = (WAVES - 1 + WAVES * k * 97) % b->flows;
	struct tg_source source;
	struct tg_destination destination;
	char text[64];

	snprintf(text, sizeof(text), "10.0.%u.%u", i % SOURCES >> 8, i % SOURCES & 255);
	if (tg_source(tg, text, &source) != 0)
		_exit(1);
	snprintf(text, sizeof(text), "recipients-of-%u.example", i / SOURCES);
	if (tg_destination(tg, text, &destination) != 0)
		_exit(1);
	if (tg_flow(tg, &source, &destination, ret) != 0)
		_exit(1);
}

/* A message is decided on as a worker does that keeps its flows: one of another segment is
 * resolved anew when it is needed. True: there is a verdict. */
static bool message_decide(struct bench *b, struct tg *tg, struct hot *hot, uint32_t *segment)
{
	if (hot->segment != *segment)
		hot_resolve(b, tg, (uint32_t)(hot - hot->first), &hot->flow);
	hot->segment = *segment;
	if (tg_admit(tg, &hot->flow, TG_BULK, 1).reason != TG_RETIRED)
		return true;
	if (tg_renew(tg) == 0)
		++*segment;
	else
		usleep(100);
	return false;
}

static int schedstat_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		failed(path, -errno);
	return fd;
}

/* How long it was ready to run and did not, ever. */
static uint64_t schedstat_waited(int fd)
{
	char text[80];
	unsigned long long waited = 0;
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);

	text[length > 0 ? length : 0] = '\0';
	return sscanf(text, "%*u %llu", &waited) == 1 ? waited : 0;
}

static void longest_take(_Atomic uint64_t *longest, uint64_t waited)
{
	if (waited > atomic_load(longest))
		atomic_store(longest, waited);
}

/* Takes the longest time that one message waited for its verdict. */
static void worker_run(struct bench *b, struct crowd *crowd)
{
	struct tg_options options = {.size = sizeof(options), .segment = b->path, .owner = -1};
	static struct hot hot[HOT];
	uint32_t segment = 1;
	struct tg *tg;
	int self = schedstat_open("/proc/self/schedstat");

	if (tg_attach(&options, &tg) != 0)
		_exit(1);
	for (uint32_t k = 0; !atomic_load(&crowd->stop); k = (k + 1) % HOT) {
		uint64_t other_ns = schedstat_waited(self) + schedstat_waited(crowd->sidecar);
		uint64_t asked_ns = now_monotonic(), waited_ns;

		hot[k].first = hot;
		while (!message_decide(b, tg, &hot[k], &segment))
			;
		waited_ns = now_monotonic() - asked_ns;
		other_ns = schedstat_waited(self) + schedstat_waited(crowd->sidecar) - other_ns;
		/* The first round resolves what it has never seen. */
		if (atomic_load(&crowd->ready)) {
			longest_take(&crowd->longest_wall_ns, waited_ns);
			longest_take(&crowd->longest_ns,
				     waited_ns > other_ns ? waited_ns - other_ns : 0);
		}
		atomic_fetch_add(&crowd->verdicts, 1);
		if (k == HOT - 1)
			atomic_store(&crowd->ready, 1);
	}
	tg_detach(tg);
	_exit(0);
}

/* How long as much shared memory takes that is only touched. */
static double touch_measure(uint64_t bytes)
{
	uint64_t begun_ns;
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		failed("memory to touch", -errno);
	begun_ns = now_monotonic();
	for (uint64_t at = 0; at < bytes; at += LAYOUT_PAGE)
		*(volatile char *)(memory + at) = 1;
	begun_ns = now_monotonic() - begun_ns;
	munmap(memory, bytes);
	return (double)begun_ns / 1e9;
}

static struct crowd *crowd_begin(struct bench *b, pid_t *ret_worker)
{
	struct crowd *crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char path[64];

	if (crowd == MAP_FAILED)
		failed("shared memory", -errno);
	heartbeat_beat(&b->heartbeat, b->segment);
	snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)getpid());
	crowd->sidecar = schedstat_open(path);
	*ret_worker = fork();
	if (*ret_worker == 0)
		worker_run(b, crowd);
	while (!atomic_load(&crowd->ready))
		usleep(1000);
	return crowd;
}

/* What the worker waited longest since this was last asked, in milliseconds. */
static double longest_ms(_Atomic uint64_t *longest_ns)
{
	usleep(100000);
	return (double)atomic_exchange(longest_ns, 0) / 1e6;
}

/* What one replacement took. */
struct replaced {
	double seconds, cpu_seconds, wait_ms, wall_ms;
};

static struct replaced replace_once(struct bench *b, struct crowd *crowd)
{
	char reason[SEGMENT_REASON] = "";
	struct replaced took;
	uint64_t begun_ns = now_monotonic(), cpu_ns = measure_cpu_ns();
	int error = segment_renew(b->segment, &b->options, NULL, NULL, now_monotonic(), reason);

	took.seconds = (double)(now_monotonic() - begun_ns) / 1e9;
	took.cpu_seconds = (double)(measure_cpu_ns() - cpu_ns) / 1e9;
	if (error) {
		fprintf(stderr, "bench/memory: renewing: %s\n", reason);
		exit(1);
	}
	took.wait_ms = longest_ms(&crowd->longest_ns);
	took.wall_ms = longest_ms(&crowd->longest_wall_ns);
	return took;
}

static int by_seconds(const void *a, const void *b)
{
	double x = ((const struct replaced *)a)->seconds, y = ((const struct replaced *)b)->seconds;

	return (x > y) - (x < y);
}

static int by_wait(const void *a, const void *b)
{
	double x = ((const struct replaced *)a)->wait_ms, y = ((const struct replaced *)b)->wait_ms;

	return (x > y) - (x < y);
}

static void replace_measure(struct bench *b)
{
	struct replaced took[REPLACEMENTS], median, least;
	uint32_t before = segment_count(b->segment);
	double touch_seconds, touch_wait_ms;
	pid_t worker;
	struct crowd *crowd = crowd_begin(b, &worker);
	int status;

	longest_ms(&crowd->longest_ns);
	touch_seconds = touch_measure(files_bytes(b));
	touch_wait_ms = longest_ms(&crowd->longest_ns);
	longest_ms(&crowd->longest_wall_ns);
	for (int i = 0; i < REPLACEMENTS; i++)
		took[i] = replace_once(b, crowd);
	atomic_store(&crowd->stop, 1);
	waitpid(worker, &status, 0);
	if (status) {
		fprintf(stderr, "bench/memory: the worker ended with %x\n", status);
		exit(1);
	}
	qsort(took, REPLACEMENTS, sizeof(*took), by_seconds);
	median = took[REPLACEMENTS / 2];
	qsort(took, REPLACEMENTS, sizeof(*took), by_wait);
	least = took[0];
	printf(b->cases.json
		       ? "{\"case\": \"replace_1m\", \"seconds\": %.3f, \"cpu_seconds\": %.3f, "
			 "\"touch_seconds\": %.3f, \"worker_wait_ms\": %.2f, "
			 "\"worker_wait_wall_ms\": %.2f, \"touch_wait_ms\": %.2f, "
			 "\"known_before\": %u, \"known_after\": %u}\n"
		       : "replace_1m %.3f s (%.3f s of a processor; touching as much memory %.3f s), a "
			 "worker waited %.2f ms (%.2f ms by the wall; %.2f ms while memory was only "
			 "touched); %u known before, %u after\n",
	       median.seconds, median.cpu_seconds, touch_seconds, least.wait_ms, least.wall_ms,
	       touch_wait_ms, before, segment_count(b->segment));
	munmap(crowd, sizeof(*crowd));
}

int main(int argc, char **argv)
{
	struct bench b = {0};
	struct diagnostics report = {0};
	int error;

	cases_read(&b.cases, "memory", argc, argv);
	b.flows = b.cases.quick ? 100000 : 1000000;
	b.destinations = b.flows / SOURCES;
	snprintf(b.path, sizeof(b.path), "/dev/shm/tollgate-bench-%d", (int)getpid());
	b.sources = calloc(SOURCES, sizeof(*b.sources));
	b.names = calloc(b.destinations, sizeof(*b.names));
	if (b.sources == NULL || b.names == NULL)
		failed("names", -ENOMEM);
	error = generation_load(NULL, &b.generation, &report);
	if (error)
		failed("configuration", error);
	log_configure(LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	segment_begin(&b);
	segment_fill(&b);
	memory_measure(&b);
	if (cases_wanted(&b.cases, "replace_1m"))
		replace_measure(&b);
	tg_detach(b.tg);
	engine_free(b.engine);
	segment_close(b.segment, true);
	generation_free(&b.generation);
	free(b.sources);
	free(b.names);
	return 0;
}
