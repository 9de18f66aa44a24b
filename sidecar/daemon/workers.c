/* SPDX-License-Identifier: MIT
 *
 * A slot's owner word is a worker's to write, so it is checked: a process that cannot be found, or
 * whose start time is another, is not there. The pidfd is opened first and the start time read
 * after, so a pid that was taken over in between is noticed.
 *
 * A word that no worker can have left there, while the process that was seen there lives, was
 * written over: it is put back, so that the worker keeps its leases, and nobody takes its ring.
 * What somebody forges with care (another process's own word) is taken for that process.
 */
#include "sidecar/daemon/workers.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shm/handle.h"
#include "shm/lease.h"
#include "sidecar/base/log.h"
#include "sidecar/segment/ring_reader.h"

struct worker_watch {
	struct workers *list;
	uint64_t owner; /* 0: the slot is free */
	int pidfd;
	int id; /* in the loop */
};

struct workers {
	struct segment *segment;
	struct loop *loop;
	workers_idle *last;
	void *arg;
	uint32_t *active;
	uint32_t count;
	uint64_t repaired; /* owner words put back */
	bool blind;	   /* a worker could not be watched, which was said */
	struct worker_watch slots[];
};

int workers_create(struct segment *segment, struct loop *loop, workers_idle *last, void *arg,
		   struct workers **ret)
{
	uint32_t workers = segment->header.sizes.workers;
	struct workers *list = calloc(1, sizeof(*list) + workers * sizeof(list->slots[0]));

	if (list)
		list->active = calloc(workers, sizeof(*list->active));
	if (list == NULL || list->active == NULL) {
		free(list);
		return -ENOMEM;
	}
	list->segment = segment;
	list->loop = loop;
	list->last = last;
	list->arg = arg;
	for (uint32_t i = 0; i < workers; i++)
		list->slots[i] = (struct worker_watch){.list = list, .pidfd = -1, .id = -1};
	*ret = list;
	return 0;
}

static void slot_forget(struct workers *list, struct worker_watch *watched)
{
	if (watched->id >= 0)
		loop_unwatch(list->loop, watched->id);
	if (watched->pidfd >= 0)
		close(watched->pidfd);
	watched->pidfd = watched->id = -1;
	watched->owner = 0;
}

void workers_free(struct workers *list)
{
	if (list == NULL)
		return;
	for (uint32_t i = 0; i < list->segment->header.sizes.workers; i++)
		slot_forget(list, &list->slots[i]);
	free(list->active);
	free(list);
}

/* Gives back what a worker that is gone held, then frees its slot, if it is still its. */
static void slot_clear(struct workers *list, uint32_t worker, uint64_t owner)
{
	struct segment *s = list->segment;
	uint32_t held = 0;

	list->last(list->arg, worker);
	for (uint32_t i = 0; i < s->header.sizes.leases; i++)
		held += lease_reclaim(&s->view, s->leases, &s->header.sizes, worker, i);
	atomic_compare_exchange_strong(&s->workers[worker].owner, &owner, 0);
	log_info("worker-gone", "worker %u (pid %llu) ended, %u connections taken back", worker,
		 (unsigned long long)(owner >> LAYOUT_START_BITS), held);
}

static void ended(void *arg, int revents)
{
	struct worker_watch *watched = arg;
	struct workers *list = watched->list;
	uint32_t worker = (uint32_t)(watched - list->slots);
	uint64_t owner = watched->owner;

	/* The watch failed, not the worker: the next look opens it again. */
	if (revents < 0) {
		watched->id = -1;
		slot_forget(list, watched);
		return;
	}
	slot_forget(list, watched);
	/* It may have left in order a moment ago; then the slot is free, or somebody else's. */
	if (atomic_load_explicit(&list->segment->workers[worker].owner, memory_order_acquire) ==
	    owner)
		slot_clear(list, worker, owner);
	workers_scan(list);
}

/* A pidfd; -ESRCH: there is no such process. Any other error tells nothing of it. */
static int process_open(uint64_t owner)
{
	int pid = (int)(owner >> LAYOUT_START_BITS);
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	uint64_t found;

	if (fd < 0)
		return errno == EINVAL ? -ESRCH : -errno;
	found = worker_identity(pid);
	if (found == owner)
		return fd;
	close(fd);
	return found ? -ESRCH : -EAGAIN;
}

/* A new owner. False: there is no such process. */
static bool slot_watch(struct workers *list, uint32_t worker, uint64_t owner)
{
	struct worker_watch *watched = &list->slots[worker];
	int fd = process_open(owner);

	if (fd == -ESRCH)
		return false;
	if (fd < 0) {
		if (!list->blind)
			log_warning("worker", "cannot watch worker %u: %s%s", worker, strerror(-fd),
				    fd == -EMFILE || fd == -ENFILE ? "; raise LimitNOFILE" : "");
		list->blind = true;
		return true;
	}
	watched->owner = owner;
	watched->pidfd = fd;
	watched->id = loop_watch(list->loop, fd, POLLIN, ended, watched);
	list->blind = watched->id < 0;
	if (watched->id < 0)
		slot_forget(list, watched);
	return true;
}

/* Words name processes that have started; one that is still to come is none. */
static bool owner_sound(uint64_t owner)
{
	uint64_t started = owner & ((UINT64_C(1) << LAYOUT_START_BITS) - 1);
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return owner >> LAYOUT_START_BITS != 0 &&
	       started <= (uint64_t)(now.tv_sec + 1) * (uint64_t)sysconf(_SC_CLK_TCK);
}

/* Does something stand there that the worker cannot have left? Then its word is put back; where
 * somebody writes at the same time, at the next look. */
static bool owner_repair(struct workers *list, struct worker_watch *watched,
			 struct layout_worker *slot, uint64_t seen)
{
	struct pollfd process = {.fd = watched->pidfd, .events = POLLIN};
	/* 0 is what leaving in order leaves, and says so; the owner was read first (acquire). */
	bool left = seen == 0 && atomic_load_explicit(&slot->left, memory_order_relaxed) != 0;

	if (watched->owner == 0 || left || (seen != 0 && owner_sound(seen)) ||
	    poll(&process, 1, 0) != 0)
		return false;
	list->repaired += atomic_compare_exchange_strong(&slot->owner, &seen, watched->owner);
	return true;
}

uint32_t workers_scan(struct workers *list)
{
	struct segment *s = list->segment;

	list->count = 0;
	for (uint32_t i = 0; i < s->header.sizes.workers; i++) {
		struct worker_watch *watched = &list->slots[i];
		uint64_t owner = atomic_load_explicit(&s->workers[i].owner, memory_order_acquire);

		if (owner != watched->owner && owner_repair(list, watched, &s->workers[i], owner))
			owner = watched->owner;
		if (owner == watched->owner) {
			if (owner)
				list->active[list->count++] = i;
			/* It came and left between two looks; what it wrote is there all the same.
			 */
			else if (drain_waiting(s, i))
				list->last(list->arg, i);
			continue;
		}
		/* Left in order, or written over; what it held was returned, or is cleared below.
		 */
		if (watched->owner)
			list->last(list->arg, i);
		slot_forget(list, watched);
		if (owner == 0)
			continue;
		if (slot_watch(list, i, owner))
			list->active[list->count++] = i;
		else
			slot_clear(list, i, owner);
	}
	return list->count;
}

uint64_t workers_repaired(const struct workers *list)
{
	return list->repaired;
}

const uint32_t *workers_slots(const struct workers *list, uint32_t *ret_count)
{
	*ret_count = list->count;
	return list->active;
}
