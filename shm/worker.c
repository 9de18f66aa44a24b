/* SPDX-License-Identifier: MIT
 *
 * This process's place in the registry of workers: taken at attach, and again after a fork.
 *
 * The owner word names the process by pid and start time, so that the sidecar, which watches it by
 * pidfd, never takes a later process of the same pid for it. A slot whose owner is gone is the
 * sidecar's to clear, since its leases must be given back first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/handle.h"
#include "shm/lease.h"

__thread uint32_t shard_of_thread __attribute__((tls_model("initial-exec"))) = SHARD_UNKNOWN;

uint32_t shard_assign(void)
{
	static _Atomic uint32_t threads;
	uint32_t mine = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) + 1;

	return shard_of_thread = mine < LAYOUT_SHARDS ? mine : LAYOUT_SHARDS;
}

/* Field 22 of /proc/PID/stat; the name in field 2 may hold spaces and parentheses. */
static uint64_t start_time(const char *stat)
{
	const char *at = strrchr(stat, ')');

	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

uint64_t worker_identity(int pid)
{
	char path[32], stat[1024];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	length = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	if (length <= 0)
		return 0;
	stat[length] = '\0';
	return (uint64_t)pid << LAYOUT_START_BITS |
	       (start_time(stat) & ((UINT64_C(1) << LAYOUT_START_BITS) - 1));
}

static struct layout_worker *slot_take(struct tg *tg, uint64_t identity)
{
	uint32_t workers = tg->header.sizes.workers;
	uint32_t first = (uint32_t)getpid() % workers;

	/* After a replacement this process's slot was carried over with its leases. */
	if (tg->previous_slot < workers &&
	    atomic_load(&tg->workers[tg->previous_slot].owner) == identity) {
		tg->process->index = tg->previous_slot;
		return &tg->workers[tg->previous_slot];
	}
	for (uint32_t i = 0; i < workers; i++) {
		uint32_t index = (first + i) % workers;
		struct layout_worker *worker = &tg->workers[index];
		uint64_t nobody = 0;

		if (!atomic_compare_exchange_strong(&worker->owner, &nobody, identity))
			continue;
		atomic_store_explicit(&worker->left, 0, memory_order_relaxed);
		atomic_store_explicit(&worker->attached_ns, clock_vdso(), memory_order_relaxed);
		tg->process->index = index;
		return worker;
	}
	return tg->overflow_worker;
}

struct layout_worker *worker_claim(struct tg *tg)
{
	struct process_state *process = tg->process;
	struct layout_worker *worker;

	pthread_mutex_lock(&process->claim);
	worker = atomic_load_explicit(&process->worker, memory_order_relaxed);
	if (worker == NULL) {
		uint64_t identity = worker_identity(getpid());

		process->index = LAYOUT_NONE;
		/* Without /proc nobody could tell when this process is gone. */
		worker = identity ? slot_take(tg, identity) : tg->overflow_worker;
		atomic_store_explicit(&process->worker, worker, memory_order_release);
		/* So that the sidecar watches it from now on, not from its next look. */
		if (worker != tg->overflow_worker)
			doorbell_ring(tg);
	}
	pthread_mutex_unlock(&process->claim);
	return worker;
}

void worker_release(struct tg *tg)
{
	struct layout_worker *worker =
		atomic_load_explicit(&tg->process->worker, memory_order_relaxed);

	/* A forked child that never called has nothing to give back, and must not take its
	 * parent's. */
	if (worker == NULL || worker == tg->overflow_worker)
		return;
	for (uint32_t i = 0; i < tg->header.sizes.leases; i++)
		lease_reclaim(&tg->view, tg->leases, &tg->header.sizes, tg->process->index, i);
	atomic_store_explicit(&tg->process->worker, NULL, memory_order_relaxed);
	/* Before the owner goes: see sidecar/daemon/workers.c. */
	atomic_store_explicit(&worker->left, 1, memory_order_relaxed);
	/* What is still on the ring is drained all the same: the head only ever grows. */
	atomic_store_explicit(&worker->owner, 0, memory_order_release);
}
