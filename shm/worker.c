/* SPDX-License-Identifier: MIT
 *
 * This process's place in the registry of workers: taken at attach, and again after a fork.
 *
 * Who holds the lock of a slot owns it (shm/alive.h). The owner word is a name for the log and a
 * hint for the search, nothing more. What a dead owner left is cleared by whoever takes the lock
 * next, the sidecar or another worker: the leases must be given back first.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shm/alive.h"
#include "shm/handle.h"
#include "shm/lease.h"

__thread uint32_t shard_of_thread __attribute__((tls_model("initial-exec"))) = SHARD_UNKNOWN;

uint32_t worker_shard(void)
{
	static _Atomic uint32_t threads;
	uint32_t mine = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) + 1;

	return shard_of_thread = mine < LAYOUT_SHARDS ? mine : LAYOUT_SHARDS;
}

/* A name that differs each time a slot is taken. */
static uint64_t owner_word(void)
{
	return (uint64_t)getpid() << LAYOUT_PID_SHIFT | (uint32_t)clock_vdso();
}

static void leases_return(struct tg *tg, uint32_t index)
{
	for (uint32_t i = 0; i < tg->header.sizes.leases; i++)
		lease_reclaim(&tg->view, tg->leases, &tg->header.sizes, index, i);
}

/* The slot is locked: it is ours. */
static struct layout_worker *slot_begin(struct tg *tg, uint32_t index)
{
	struct layout_worker *worker = &tg->workers[index];

	atomic_store_explicit(&worker->left, 0, memory_order_relaxed);
	atomic_store_explicit(&worker->attached_ns, clock_vdso(), memory_order_relaxed);
	/* Release: whoever sees the name finds the slot as its owner before left it. */
	atomic_store_explicit(&worker->owner, owner_word(), memory_order_release);
	tg->process->index = index;
	return worker;
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* since Linux 5.14 */
#endif

/* Has memory stand behind a page by a system call that adds nothing to a word of it: what would be
 * SIGBUS is its error. For kernels and containers without MADV_POPULATE_WRITE. */
static int page_take(void *page)
{
	int op = FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0);

	return syscall(SYS_futex, page, FUTEX_WAKE_OP_PRIVATE, 0, 0, page, op) < 0 ? -errno : 0;
}

/* Has memory stand behind a range, whole pages of it: or it is an error here, instead of a signal
 * where it is touched. */
static int range_take(void *from, size_t bytes)
{
	uintptr_t first = (uintptr_t)from & ~(uintptr_t)(LAYOUT_PAGE - 1);
	uintptr_t end = ((uintptr_t)from + bytes + LAYOUT_PAGE - 1) & ~(uintptr_t)(LAYOUT_PAGE - 1);
	int error = madvise((void *)first, end - first, MADV_POPULATE_WRITE) != 0 ? -errno : 0;

	if (error && error != -EFAULT)
		error = 0;
	else
		first = end;
	for (; first < end && !error; first += LAYOUT_PAGE)
		error = page_take((void *)first);
	/* What a file system without room makes of a write. */
	return error == -EFAULT ? -ENOSPC : error;
}

static int memory_take(struct tg *tg, uint32_t index)
{
	const struct layout_sizes *sizes = &tg->header.sizes;
	int error = range_take((void *)&tg->leases[(uint64_t)index * sizes->leases],
			       sizes->leases * sizeof(*tg->leases));

	return error ? error
		     : range_take(&tg->records[(uint64_t)index * sizes->ring_records],
				  sizes->ring_records * sizeof(*tg->records));
}

/* First the slots that say they are free, then any whose lock can be had: a name is hearsay. */
static struct layout_worker *slot_take(struct tg *tg, int alive)
{
	uint32_t workers = tg->header.sizes.workers;
	uint32_t first = (uint32_t)getpid() % workers;

	for (uint32_t i = 0; i < 2 * workers; i++) {
		uint32_t index = (first + i) % workers;

		/* Relaxed: a hint. */
		if (i < workers &&
		    atomic_load_explicit(&tg->workers[index].owner, memory_order_relaxed) != 0)
			continue;
		if (alive_take(alive, index) != 0)
			continue;
		tg->process->refused = memory_take(tg, index);
		if (tg->process->refused)
			return tg->overflow_worker;
		leases_return(tg, index);
		return slot_begin(tg, index);
	}
	tg->process->refused = -EUSERS;
	return tg->overflow_worker;
}

static bool alive_ours(const struct tg *tg, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_dev == tg->alive_device && st.st_ino == tg->alive_file;
}

/* The file of the locks, as it was when attached. The folder's descriptor serves a process that
 * changed its root, the path one that closed all its descriptors. */
static int locks_open(const struct tg *tg)
{
	int fd = alive_open(tg->folder), folder;

	if (fd >= 0 && alive_ours(tg, fd))
		return fd;
	if (fd >= 0)
		close(fd);
	folder = open(tg->segment, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return -errno;
	fd = alive_open(folder);
	close(folder);
	if (fd < 0 || alive_ours(tg, fd))
		return fd;
	close(fd);
	return -ESTALE;
}

static struct layout_worker *slot_lock(struct tg *tg)
{
	struct process_state *process = tg->process;
	struct layout_worker *worker = tg->overflow_worker;
	int fd;

	process->refused = 0;

	/* After a replacement: the lock is the same one, and what it held was carried over. */
	if (process->alive)
		process->refused = memory_take(tg, tg->previous_slot);
	if (process->alive && process->refused == 0)
		return slot_begin(tg, tg->previous_slot);
	if (process->refused)
		return tg->overflow_worker;
	alive_fork_forbid();
	fd = locks_open(tg);
	process->refused = fd < 0 ? fd : 0;
	if (fd >= 0)
		process->alive = alive_keep(fd);
	if (process->alive)
		worker = slot_take(tg, fd);
	else if (fd >= 0)
		process->refused = -ENOMEM;
	if (fd >= 0)
		close(fd);
	alive_fork_allow();
	if (worker == tg->overflow_worker) {
		alive_let_go(process->alive);
		process->alive = NULL;
	}
	return worker;
}

struct layout_worker *worker_claim(struct tg *tg)
{
	struct process_state *process = tg->process;
	struct layout_worker *worker;

	pthread_mutex_lock(&process->claim);
	worker = atomic_load_explicit(&process->worker, memory_order_relaxed);
	if (worker == NULL) {
		process->index = LAYOUT_NONE;
		worker = slot_lock(tg);
		atomic_store_explicit(&process->worker, worker, memory_order_release);
		/* So that the sidecar watches it from now on, not from its next look. */
		if (worker != tg->overflow_worker)
			ring_doorbell(tg);
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
	leases_return(tg, tg->process->index);
	atomic_store_explicit(&tg->process->worker, NULL, memory_order_relaxed);
	/* Before the owner goes: see sidecar/daemon/workers.c. */
	atomic_store_explicit(&worker->left, 1, memory_order_relaxed);
	/* What is still on the ring is drained all the same: the head only ever grows. */
	atomic_store_explicit(&worker->owner, 0, memory_order_release);
	/* Last: from here on the slot is another's. */
	alive_let_go(tg->process->alive);
	tg->process->alive = NULL;
}
