/* SPDX-License-Identifier: MIT
 *
 * A writer of snapshots is killed at any instant: what is found then is a snapshot as a whole, the
 * last that was written or the one after.
 *
 * Each snapshot has its number in every flow, in a change, and in the time as of which it is. 20
 * kills; 200 with TG_SOAK.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sidecar/store/store.h"
#include "tests/segment_fixture.h"

#define FLOWS 300
#define NAMES "a b c"

static char folder[64];

static void pause_us(unsigned us)
{
	struct timespec time = {us / 1000000, us % 1000000 * 1000};

	clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static void snapshot_put(struct store *store, uint64_t number)
{
	struct store_batch *batch = store_batch_begin();
	struct db_alive alive = {.at_ns = (int64_t)number, .boot = "boot"};
	char what[32];
	struct db_change change = {.at_ns = (int64_t)number, .name = "d", .what = what};

	snprintf(what, sizeof(what), "%llu", (unsigned long long)number);
	for (uint32_t i = 0; i < FLOWS; i++) {
		struct db_flow flow = {.kind = 1,
				       .name = "d",
				       .name_length = 1,
				       .seen_s = (int64_t)number,
				       .delivered = number,
				       .life = &number,
				       .life_length = sizeof(number)};

		memcpy(flow.source, &i, sizeof(i));
		must(store_batch_flow(batch, &flow));
	}
	must(store_batch_change(batch, &change));
	while (!store_ready(store))
		pause_us(20);
	store_put(store, batch, &alive, 1);
}

/* Writes until it is killed; tells which number it has handed over. */
static void writer(int told)
{
	struct store *store;
	struct db_alive alive = {.at_ns = 0};
	char reason[DB_REASON];

	must(store_open(folder, NAMES, &store, reason) == 0);
	db_alive(store_db(store), &alive);
	must(store_run(store) == 0);
	for (uint64_t number = (uint64_t)alive.at_ns + 1;; number++) {
		must(write(told, &number, sizeof(number)) == sizeof(number));
		snapshot_put(store, number);
	}
}

struct seen {
	uint64_t number;
	uint32_t flows, others, changes;
	uint64_t daily;
};

static int flow_seen(void *arg, const struct db_flow *flow)
{
	struct seen *seen = arg;

	seen->flows++;
	seen->others += flow->delivered != seen->number ||
			flow->life_length != sizeof(seen->number) ||
			memcmp(flow->life, &seen->number, sizeof(seen->number)) != 0;
	return 0;
}

static int change_seen(void *arg, const struct db_change *change)
{
	struct seen *seen = arg;

	seen->changes++;
	seen->others += strtoull(change->what, NULL, 10) != seen->changes;
	return 0;
}

static int daily_seen(void *arg, const struct db_daily *daily)
{
	((struct seen *)arg)->daily += daily->delivered;
	return 0;
}

/* handed: the last number that was on its way. */
static void check(uint64_t handed, uint64_t written)
{
	char path[96], reason[DB_REASON];
	struct db_alive alive = {.at_ns = 0};
	struct seen seen = {.number = 0};
	struct db *db;
	int error;

	snprintf(path, sizeof(path), "%s/" DB_FILE, folder);
	error = db_open(path, true, &db, reason);
	if (error == 0)
		error = db_alive(db, &alive);
	if (error == -ENOENT && written == 0) {
		db_close(db);
		return;
	}
	must(error == 0);
	seen.number = (uint64_t)alive.at_ns;
	must(db_flows(db, flow_seen, &seen) == 0);
	must(db_changes(db, 0, NULL, NULL, change_seen, &seen) == 0);
	must(db_daily(db, 0, daily_seen, &seen) == 0);
	db_close(db);
	/* Of the last two handed over the former was written. */
	must(seen.number <= handed && seen.number + 2 >= handed && seen.number >= written);
	must(seen.flows == FLOWS && seen.others == 0);
	must(seen.changes == seen.number);
	must(seen.daily == seen.number * FLOWS);
}

static uint64_t kill_once(unsigned after_us, uint64_t written)
{
	uint64_t number, handed = written;
	int told[2];
	pid_t child;

	must(pipe(told) == 0);
	child = fork();
	must(child >= 0);
	if (child == 0) {
		close(told[0]);
		writer(told[1]);
		_exit(1);
	}
	close(told[1]);
	/* It has begun. */
	must(read(told[0], &handed, sizeof(handed)) == sizeof(handed));
	pause_us(after_us);
	kill(child, SIGKILL);
	must(waitpid(child, NULL, 0) == child);
	while (read(told[0], &number, sizeof(number)) == sizeof(number))
		handed = number;
	close(told[0]);
	check(handed, written);
	return handed;
}

int main(void)
{
	unsigned kills = getenv("TG_SOAK") ? 200 : 20;
	uint64_t seed = 1, last = 0;

	strcpy(folder, "/tmp/tg-store-XXXXXX");
	must(mkdtemp(folder) != NULL);
	fixture_guard(folder);
	for (unsigned i = 0; i < kills; i++) {
		uint64_t handed = kill_once((unsigned)random_below(&seed, 60000), last);

		must(handed > 0);
		last = handed > 2 ? handed - 2 : 0;
	}
	printf("%u kills, %llu snapshots\n", kills, (unsigned long long)last);
	fixture_clear(folder);
	return 0;
}
