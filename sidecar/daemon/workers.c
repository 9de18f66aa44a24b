/* SPDX-License-Identifier: MIT
 *
 * Whether a slot has a living owner is what its lock says (shm/alive.h), and nothing else: the
 * words in the registry are the workers' to write. An owner word is a name for the log, and the pid
 * in it a hint: where it names a process of our own PID namespace the end of that one is told by
 * its pidfd, and the lock is asked at once. Where it does not, or was written over, or the process
 * goes on as another image, the locks are asked in turn, WATCH_PROBES a beat.
 *
 * Taking back is done under the slot's lock, so that no other takes the slot meanwhile.
 */
#include "sidecar/daemon/workers.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shm/alive.h"
#include "shm/handle.h"
#include "shm/lease.h"
#include "sidecar/base/log.h"
#include "sidecar/segment/ring_reader.h"

#define WATCH_PROBES 256

struct worker_watch {
	struct workers *list;
	uint64_t owner; /* the name of the worker that is known to be there; 0: nobody */
	bool nameless;	/* locked at the last look, though nobody was known to be there */
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
	uint32_t next;	   /* to be asked for its lock */
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

static void hint_drop(struct workers *list, struct worker_watch *watched)
{
	if (watched->id >= 0)
		loop_unwatch(list->loop, watched->id);
	if (watched->pidfd >= 0)
		close(watched->pidfd);
	watched->pidfd = watched->id = -1;
}

static void slot_forget(struct workers *list, struct worker_watch *watched)
{
	hint_drop(list, watched);
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

static bool slot_lives(const struct workers *list, uint32_t worker)
{
	return alive_held(list->segment->alive, worker);
}

/* Gives back what a worker that is gone held, then frees its slot; unless another has taken the
 * slot a moment ago, who has seen to it. */
static void slot_clear(struct workers *list, uint32_t worker)
{
	struct segment *s = list->segment;
	uint64_t owner = list->slots[worker].owner;
	uint32_t held = 0;

	slot_forget(list, &list->slots[worker]);
	list->last(list->arg, worker);
	if (alive_take(s->alive, worker) != 0)
		return;
	for (uint32_t i = 0; i < s->header.sizes.leases; i++)
		held += lease_reclaim(&s->view, s->leases, &s->header.sizes, worker, i);
	atomic_store_explicit(&s->workers[worker].owner, 0, memory_order_release);
	alive_drop(s->alive, worker);
	/* An MTA that forks for each delivery says it thousands of times a second. A name that was
	 * scribbled into a free slot is no news at all. */
	if (owner || held)
		log_debug("worker-gone", "worker %u (pid %u) ended, %u connections taken back",
			  worker, (uint32_t)(owner >> LAYOUT_PID_SHIFT), held);
}

/* A process of the pid in an owner word has ended: was it that worker? */
static void ended(void *arg, int revents)
{
	struct worker_watch *watched = arg;
	struct workers *list = watched->list;
	uint32_t worker = (uint32_t)(watched - list->slots);

	if (revents < 0)
		watched->id = -1;
	/* Once is enough: if the lock is held all the same the word named another process. */
	hint_drop(list, watched);
	if (!slot_lives(list, worker))
		slot_clear(list, worker);
	workers_scan(list);
}

/* No hint is an error: the locks are asked in turn. */
static void hint_take(struct workers *list, struct worker_watch *watched, uint64_t owner)
{
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)(owner >> LAYOUT_PID_SHIFT), 0);

	if (fd < 0) {
		if ((errno == EMFILE || errno == ENFILE) && !list->blind) {
			log_warning(
				"worker",
				"too many open files to watch every worker by: the end of some is "
				"noticed half a second late; raise LimitNOFILE");
			list->blind = true;
		}
		return;
	}
	watched->pidfd = fd;
	watched->id = loop_watch(list->loop, fd, POLLIN, ended, watched);
	if (watched->id < 0)
		hint_drop(list, watched);
}

static void slot_watch(struct workers *list, uint32_t worker, uint64_t owner)
{
	struct worker_watch *watched = &list->slots[worker];

	slot_forget(list, watched);
	watched->owner = owner;
	watched->nameless = false;
	list->segment->used[worker] = 1;
	hint_take(list, watched, owner);
}

/* Another name stands there than at the last look. */
static void slot_changed(struct workers *list, uint32_t worker, uint64_t owner)
{
	struct worker_watch *watched = &list->slots[worker];
	struct layout_worker *slot = &list->segment->workers[worker];
	/* 0 is what leaving in order leaves, and says so; the owner was read first (acquire). */
	bool left = owner == 0 && atomic_load_explicit(&slot->left, memory_order_relaxed) != 0;

	if (left) {
		list->last(list->arg, worker);
		slot_forget(list, watched);
		return;
	}
	if (!slot_lives(list, worker)) {
		list->segment->used[worker] = 1;
		slot_clear(list, worker);
		return;
	}
	/* Written over: it gets its name back, or another who looks for a slot would ask in vain.
	 */
	if (owner == 0) {
		list->repaired +=
			atomic_compare_exchange_strong(&slot->owner, &owner, watched->owner);
		return;
	}
	if (watched->owner)
		list->last(list->arg, worker);
	slot_watch(list, worker, owner);
}

/* Asks for the lock of a slot. Whoever has one and no name for two looks has been written over:
 * one look may fall between the lock and the name of a worker that is attaching. */
static void slot_probe(struct workers *list, uint32_t worker)
{
	struct worker_watch *watched = &list->slots[worker];
	bool lives = slot_lives(list, worker);
	uint64_t nobody = 0;

	if (watched->owner) {
		if (!lives)
			slot_clear(list, worker);
		return;
	}
	if (lives && watched->nameless)
		list->repaired += atomic_compare_exchange_strong(
			&list->segment->workers[worker].owner, &nobody, 1);
	watched->nameless = lives;
}

static void slots_probe(struct workers *list)
{
	uint32_t workers = list->segment->header.sizes.workers;

	for (uint32_t i = 0; i < WATCH_PROBES && i < workers; i++) {
		slot_probe(list, list->next % workers);
		list->next = (list->next + 1) % workers;
	}
}

static bool slot_scan(struct workers *list, uint32_t worker)
{
	struct segment *s = list->segment;
	struct worker_watch *watched = &list->slots[worker];
	uint64_t owner = atomic_load_explicit(&s->workers[worker].owner, memory_order_acquire);

	if (owner != watched->owner) {
		slot_changed(list, worker, owner);
		return true;
	}
	/* It came and left between two looks; what it wrote is there all the same. */
	if (owner == 0 && ring_reader_waiting(s, worker))
		list->last(list->arg, worker);
	return false;
}

static uint32_t slots_scan(struct workers *list, bool *ret_changed)
{
	list->count = 0;
	for (uint32_t i = 0; i < list->segment->header.sizes.workers; i++) {
		*ret_changed |= slot_scan(list, i);
		if (list->slots[i].owner)
			list->active[list->count++] = i;
	}
	return list->count;
}

void workers_bell_take(int wake)
{
	char bytes[LAYOUT_PAGE];

	while (read(wake, bytes, sizeof(bytes)) < 0 && errno == EINTR)
		;
}

uint32_t workers_scan(struct workers *list)
{
	bool changed = false;

	slots_scan(list, &changed);
	/* Who comes may be who just went on as another image: what that one held is wanted now. */
	if (changed) {
		slots_probe(list);
		slots_scan(list, &changed);
	}
	return list->count;
}

uint32_t watch_beat(struct workers *list)
{
	bool changed = false;

	slots_probe(list);
	return slots_scan(list, &changed);
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
