/* SPDX-License-Identifier: MIT
 *
 * peers: what others take for a decision on this machine.
 *
 *   peers [--json] [--quick] [CASE…]
 *
 * Prints a line a case, {"case", "ns", "per_second", "admitted_share"}: redis_sorted_set_1,
 * redis_sorted_set_50, redis_gcra_1, redis_gcra_50 (Redis from Debian over a Unix socket, one
 * client, 1 or 50 decisions deep, random ones of 10,000 keys, 10 a minute each), door_1, door_50 (the
 * same by CL.THROTTLE at tollgated's door, and the same client), mutex (a bucket
 * under a process-shared mutex with clock_gettime: the in-process way without a library). ns is
 * wall time, the median of the runs. A peer that is not installed is skipped, with the reason.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/lib/cases.h"
#include "bench/lib/daemon.h"
#include "bench/lib/measure.h"
#include "bench/lib/now.h"
#include "bench/lib/redis.h"

#define RUNS  5
#define FLOWS 10000

struct peers_bench {
	struct cases cases;
	bool failed;
};

static void result_print(const struct peers_bench *bench, const char *name, double ns, double share)
{
	if (bench->cases.json)
		printf("{\"case\": \"%s\", \"ns\": %.1f, \"per_second\": %.0f, "
		       "\"admitted_share\": %.4f}\n",
		       name, ns, 1e9 / ns, share);
	else
		printf("%-22s %10.1f ns %12.0f a second\n", name, ns, 1e9 / ns);
	fflush(stdout);
}

/* ---- Redis --------------------------------------------------------------------------------------
 */

static int redis_once(struct redis_client *client, uint32_t depth, uint32_t rounds, double *ret_ns,
		      uint64_t *ret_admitted)
{
	uint64_t begin = now_monotonic();

	for (uint32_t i = 0; i < rounds; i++) {
		int error = redis_decide(client, depth, FLOWS, ret_admitted);

		if (error < 0)
			return error;
	}
	*ret_ns = (double)(now_monotonic() - begin) / ((double)rounds * depth);
	return 0;
}

static void redis_measure(struct peers_bench *bench, const struct redis_server *server,
			  const char *name, enum redis_limiter limiter, uint32_t depth)
{
	uint32_t rounds = (bench->cases.quick ? 5000 : 30000) / depth * (depth > 1 ? 4 : 1);
	struct redis_client *client;
	double values[RUNS];
	uint64_t admitted = 0;
	int error = redis_connect(server, limiter, &client);

	if (error == 0)
		error = redis_once(client, depth, rounds / 10 + 1, &values[0], &admitted);
	admitted = 0;
	for (int i = 0; i < RUNS && error == 0; i++)
		error = redis_once(client, depth, rounds, &values[i], &admitted);
	if (error < 0) {
		fprintf(stderr, "peers: %s: %s\n", name, strerror(-error));
		bench->failed = true;
		return;
	}
	result_print(bench, name, measure_median(values, RUNS),
		     (double)admitted / ((double)rounds * depth * RUNS));
	redis_close(client);
}

static void redis_all(struct peers_bench *bench)
{
	static const struct {
		const char *name;
		enum redis_limiter limiter;
		uint32_t depth;
	} cases[] = {
		{"redis_sorted_set_1", REDIS_SORTED_SET, 1},
		{"redis_sorted_set_50", REDIS_SORTED_SET, 50},
		{"redis_gcra_1", REDIS_GCRA, 1},
		{"redis_gcra_50", REDIS_GCRA, 50},
	};
	struct redis_server server = {0};
	int error = 1;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!cases_wanted(&bench->cases, cases[i].name))
			continue;
		if (error > 0)
			error = redis_start(&server);
		if (error == -ENOENT) {
			fprintf(stderr, "SKIP: %s: package redis-tools is not installed\n",
				cases[i].name);
			continue;
		}
		if (error < 0) {
			fprintf(stderr, "peers: %s: Redis did not start: %s\n", cases[i].name,
				strerror(-error));
			bench->failed = true;
			continue;
		}
		redis_measure(bench, &server, cases[i].name, cases[i].limiter, cases[i].depth);
	}
	redis_stop(&server);
}

/* ---- the door of a tollgated ---------------------------------------------------------------- */

static void door_measure(struct peers_bench *bench, const char *name, uint32_t depth)
{
	struct redis_server door = {0};
	struct daemon daemon;
	char configuration[256];

	if (!cases_wanted(&bench->cases, name))
		return;
	snprintf(door.socket, sizeof(door.socket), "/tmp/tollgate-door-%d", (int)getpid());
	snprintf(configuration, sizeof(configuration), "redis: {listen: ['unix:%s']}\n",
		 door.socket);
	if (daemon_sidecar(&daemon, configuration) < 0) {
		bench->failed = true;
		return;
	}
	redis_measure(bench, &door, name, REDIS_CELL, depth);
	daemon_stop(&daemon);
	unlink(door.socket);
}

/* ---- a mutex ------------------------------------------------------------------------------------
 */

struct bucket {
	pthread_mutex_t mutex;
	double tokens;
	uint64_t at_ns;
	uint64_t admitted;
};

static void run_mutex(void *context, uint64_t count)
{
	struct bucket *bucket = context;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t now = now_monotonic();

		pthread_mutex_lock(&bucket->mutex);
		bucket->tokens += (double)(now - bucket->at_ns) * 1e-3;
		bucket->tokens = bucket->tokens > 1e6 ? 1e6 : bucket->tokens;
		bucket->at_ns = now;
		if (bucket->tokens >= 1) {
			bucket->tokens -= 1;
			bucket->admitted++;
		}
		pthread_mutex_unlock(&bucket->mutex);
	}
}

static void mutex_measure(struct peers_bench *bench)
{
	struct bucket *bucket = mmap(NULL, sizeof(*bucket), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct measure_pair pair = {run_mutex, bucket, 0};
	pthread_mutexattr_t attributes;

	if (bucket == MAP_FAILED) {
		bench->failed = true;
		return;
	}
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&bucket->mutex, &attributes);
	bucket->at_ns = now_monotonic();
	measure_alternate(&pair, 1, bench->cases.quick ? 200000 : 1000000, RUNS);
	result_print(bench, "mutex", pair.ns, 1);
	munmap(bucket, sizeof(*bucket));
}

int main(int argc, char **argv)
{
	struct peers_bench bench = {0};

	cases_read(&bench.cases, "peers", argc, argv);
	redis_all(&bench);
	door_measure(&bench, "door_1", 1);
	door_measure(&bench, "door_50", 50);
	if (cases_wanted(&bench.cases, "mutex"))
		mutex_measure(&bench);
	return bench.failed;
}
