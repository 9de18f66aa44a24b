/* SPDX-License-Identifier: MIT
 *
 * The loop over liburing: single-shot polls, armed anew after each callback, and a wait with a
 * timeout.
 *
 * Uses what Debian 12's own kernel (6.1) has. Cheaper task running is asked for and done without
 * where the kernel is older.
 */
#include "sidecar/io/loop.h"

#include <errno.h>
#include <liburing.h>
#include <linux/sched.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ENTRIES	 256
#define NS_PER_S UINT64_C(1000000000)
#define SLICE_NS UINT64_C(100000) /* the shortest that the kernel grants */

#define EVENTS_A_TURN 64 /* then timers and rings have theirs again */

struct loop_watch {
	loop_ready *ready; /* NULL: free */
	void *arg;
	int fd; /* of a free one: the next that is free, or -1 */
	short events;
	uint32_t generation; /* an event of an earlier owner of this place is told by it */
	bool armed;
};

struct timer {
	loop_due *due;
	void *arg;
	uint64_t at_ns;
};

struct loop {
	struct io_uring ring;
	struct loop_watch *watches;
	int watch_count;
	int watch_free; /* the first that is free, -1: none */
	struct timer *timers;
	int timer_count, timer_room;
	loop_before_sleep *before;
	void *before_arg;
	bool stop;
	int error;  /* what loop_run returns */
	bool rearm; /* some watch is not armed */
};

uint64_t loop_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int ring_init(struct io_uring *ring)
{
	static const unsigned wishes[] = {
#ifdef IORING_SETUP_DEFER_TASKRUN
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
#endif
#ifdef IORING_SETUP_COOP_TASKRUN
		IORING_SETUP_COOP_TASKRUN,
#endif
		0,
	};
	int error = 0;

	for (unsigned i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		error = io_uring_queue_init(ENTRIES, ring, wishes[i]);
		if (error != -EINVAL)
			break;
	}
	return error;
}

int loop_create(struct loop **ret, char *reason)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int error;

	if (loop == NULL)
		return -ENOMEM;
	error = ring_init(&loop->ring);
	if (error) {
		snprintf(
			reason, LOOP_REASON,
			error == -EPERM || error == -ENOSYS
				? "io_uring is refused here (%s): allow it by sysctl kernel.io_uring_disabled=0, "
				  "and in a container by a seccomp profile with io_uring_setup, io_uring_enter and "
				  "io_uring_register"
				: "io_uring: %s",
			strerror(-error));
		free(loop);
		return error;
	}
	if (!(loop->ring.features & IORING_FEAT_EXT_ARG)) {
		snprintf(
			reason, LOOP_REASON,
			"io_uring of this kernel cannot wait with a timeout: 5.11 or later is needed");
		io_uring_queue_exit(&loop->ring);
		free(loop);
		return -ENOSYS;
	}
	loop->watch_free = -1;
	*ret = loop;
	return 0;
}

const char *loop_features(const struct loop *loop, char *text, size_t size)
{
	unsigned watched = 0;

	for (int i = 0; i < loop->watch_count; i++)
		watched += loop->watches[i].ready != NULL;
	snprintf(text, size, "%u entries, %s; %u descriptors watched, %d timers",
		 loop->ring.sq.ring_entries,
#ifdef IORING_SETUP_DEFER_TASKRUN
		 loop->ring.flags & IORING_SETUP_DEFER_TASKRUN ? "deferred task running" :
#endif
#ifdef IORING_SETUP_COOP_TASKRUN
		 loop->ring.flags & IORING_SETUP_COOP_TASKRUN ? "cooperative task running"
							      :
#endif
							      "no task running options",
		 watched, loop->timer_count);
	return text;
}

void loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	io_uring_queue_exit(&loop->ring);
	free(loop->watches);
	free(loop->timers);
	free(loop);
}

static struct io_uring_sqe *entry(struct loop *loop)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);

	if (sqe == NULL && io_uring_submit(&loop->ring) >= 0)
		sqe = io_uring_get_sqe(&loop->ring);
	return sqe;
}

static uint64_t token(const struct loop *loop, int id)
{
	return (uint64_t)loop->watches[id].generation << 32 | (uint32_t)(id + 1);
}

static void watch_arm(struct loop *loop, int id)
{
	struct loop_watch *watch = &loop->watches[id];
	struct io_uring_sqe *sqe = entry(loop);

	if (sqe == NULL) {
		loop->rearm = true;
		return;
	}
	io_uring_prep_poll_add(sqe, watch->fd, (unsigned)watch->events);
	io_uring_sqe_set_data64(sqe, token(loop, id));
	watch->armed = true;
}

static void watch_disarm(struct loop *loop, int id)
{
	struct io_uring_sqe *sqe = loop->watches[id].armed ? entry(loop) : NULL;

	if (sqe == NULL)
		return;
	io_uring_prep_poll_remove(sqe, token(loop, id));
	io_uring_sqe_set_data64(sqe, 0);
	loop->watches[id].armed = false;
}

static void watch_release(struct loop *loop, int id)
{
	loop->watches[id].generation++;
	loop->watches[id].ready = NULL;
	loop->watches[id].fd = loop->watch_free;
	loop->watch_free = id;
}

static int watches_grow(struct loop *loop)
{
	int before = loop->watch_count, count = before ? before * 2 : 16;
	struct loop_watch *more = realloc(loop->watches, (size_t)count * sizeof(*more));

	if (more == NULL)
		return -ENOMEM;
	memset(more + before, 0, (size_t)(count - before) * sizeof(*more));
	loop->watches = more;
	loop->watch_count = count;
	for (int id = count - 1; id >= before; id--)
		watch_release(loop, id);
	return 0;
}

int loop_watch(struct loop *loop, int fd, short events, loop_ready *ready, void *arg)
{
	int id, error = loop->watch_free < 0 ? watches_grow(loop) : 0;

	if (error)
		return error;
	id = loop->watch_free;
	loop->watch_free = loop->watches[id].fd;
	loop->watches[id].generation++;
	loop->watches[id].ready = ready;
	loop->watches[id].arg = arg;
	loop->watches[id].fd = fd;
	loop->watches[id].events = events;
	loop->watches[id].armed = false;
	watch_arm(loop, id);
	return id;
}

int loop_watch_events(struct loop *loop, int id, short events)
{
	if (id < 0 || id >= loop->watch_count || loop->watches[id].ready == NULL)
		return -EINVAL;
	if (loop->watches[id].events == events)
		return 0;
	watch_disarm(loop, id);
	loop->watches[id].generation++;
	loop->watches[id].events = events;
	watch_arm(loop, id);
	return 0;
}

void loop_unwatch(struct loop *loop, int id)
{
	if (id < 0 || id >= loop->watch_count || loop->watches[id].ready == NULL)
		return;
	watch_disarm(loop, id);
	watch_release(loop, id);
	/* The poll refers to the file until the kernel has seen the removal. */
	io_uring_submit(&loop->ring);
}

int loop_timer(struct loop *loop, loop_due *due, void *arg)
{
	for (int id = 0; id < loop->timer_count; id++)
		if (loop->timers[id].due == NULL) {
			loop->timers[id] = (struct timer){due, arg, LOOP_NEVER};
			return id;
		}
	if (loop->timer_count == loop->timer_room) {
		int room = loop->timer_room ? loop->timer_room * 2 : 16;
		struct timer *more = realloc(loop->timers, (size_t)room * sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		loop->timers = more;
		loop->timer_room = room;
	}
	loop->timers[loop->timer_count] = (struct timer){due, arg, LOOP_NEVER};
	return loop->timer_count++;
}

void loop_timer_set(struct loop *loop, int id, uint64_t at_ns)
{
	loop->timers[id].at_ns = at_ns;
}

void loop_timer_drop(struct loop *loop, int id)
{
	loop->timers[id] = (struct timer){.at_ns = LOOP_NEVER};
}

void loop_set_before_sleep(struct loop *loop, loop_before_sleep *before, void *arg)
{
	loop->before = before;
	loop->before_arg = arg;
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
}

void loop_fail(struct loop *loop, int error)
{
	loop->stop = true;
	loop->error = error;
}

/* Calls what is due. */
static void timers_run(struct loop *loop)
{
	for (int i = 0; i < loop->timer_count; i++) {
		uint64_t now_ns = loop_now();

		if (loop->timers[i].at_ns <= now_ns) {
			loop->timers[i].at_ns = LOOP_NEVER;
			loop->timers[i].due(loop->timers[i].arg, now_ns);
		}
	}
}

static uint64_t timers_next(const struct loop *loop)
{
	uint64_t next_ns = LOOP_NEVER;

	for (int i = 0; i < loop->timer_count; i++)
		next_ns = loop->timers[i].at_ns < next_ns ? loop->timers[i].at_ns : next_ns;
	return next_ns;
}

static void event_take(struct loop *loop, const struct io_uring_cqe *cqe)
{
	uint64_t data = cqe->user_data;
	int id = (int)(uint32_t)data - 1;
	struct loop_watch *watch;

	if (id < 0 || id >= loop->watch_count)
		return;
	watch = &loop->watches[id];
	if (watch->ready == NULL || watch->generation != (uint32_t)(data >> 32))
		return;
	watch->armed = false;
	if (cqe->res < 0) {
		loop_ready *ready = watch->ready;
		void *arg = watch->arg;

		watch_release(loop, id);
		ready(arg, cqe->res);
		return;
	}
	watch->ready(watch->arg, cqe->res);
	/* The callback may have removed this watch, or moved the table. */
	watch = &loop->watches[id];
	if (watch->ready && watch->generation == (uint32_t)(data >> 32) && !watch->armed)
		watch_arm(loop, id);
}

/* What is left stays in the kernel's queue, and the next wait returns at once: ten thousand
 * descriptors that are ready together keep nothing else from its turn. */
static void events_take(struct loop *loop)
{
	struct io_uring_cqe *cqes[EVENTS_A_TURN], copies[EVENTS_A_TURN];
	unsigned count = io_uring_peek_batch_cqe(&loop->ring, cqes, EVENTS_A_TURN);

	for (unsigned i = 0; i < count; i++)
		copies[i] = *cqes[i];
	io_uring_cq_advance(&loop->ring, count);
	for (unsigned i = 0; i < count; i++)
		event_take(loop, &copies[i]);
}

static void rearm(struct loop *loop)
{
	if (!loop->rearm)
		return;
	loop->rearm = false;
	for (int id = 0; id < loop->watch_count; id++)
		if (loop->watches[id].ready && !loop->watches[id].armed)
			watch_arm(loop, id);
}

static int wait(struct loop *loop, uint64_t until_ns)
{
	uint64_t now_ns = loop_now();
	uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	struct __kernel_timespec left = {.tv_sec = (long long)(left_ns / NS_PER_S),
					 .tv_nsec = (long long)(left_ns % NS_PER_S)};
	struct io_uring_cqe *cqe;
	int error;

	if (until_ns == LOOP_NEVER)
		error = io_uring_submit_and_wait(&loop->ring, 1);
	else
		error = io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &left, NULL);
	return error >= 0 || error == -ETIME || error == -EINTR || error == -EAGAIN ||
			       error == -EBUSY
		       ? 0
		       : error;
}

/* What sched_setattr(2) takes: the kernel's header of it and the C library's <sched.h> exclude each
 * other. */
struct slice {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

/* Asks for short slices. Since 6.6 the kernel lets who runs finish its slice before a thread that
 * was woken on the same processor (some milliseconds, while a worker computes); since 6.12 a thread
 * whose own slice is shorter need not wait for that. Earlier kernels pay no heed: there who slept
 * goes first anyway. Threads and children that are begun later have the usual slice again. */
static void slice_shorten(void)
{
	struct slice slice = {.size = sizeof(slice)};

	if (syscall(SYS_sched_getattr, 0, &slice, sizeof(slice), 0) != 0 ||
	    slice.policy != SCHED_NORMAL)
		return;
	slice.flags |= SCHED_FLAG_RESET_ON_FORK;
	slice.runtime_ns = SLICE_NS;
	syscall(SYS_sched_setattr, 0, &slice, 0);
}

int loop_run(struct loop *loop)
{
	int error = 0;

	slice_shorten();
	loop->stop = false;
	loop->error = 0;
	while (!loop->stop && !error) {
		bool busy;

		timers_run(loop);
		busy = loop->before && loop->before(loop->before_arg);
		rearm(loop);
		if (loop->stop)
			break;
		error = wait(loop, busy ? 0 : timers_next(loop));
		events_take(loop);
	}
	return error ? error : loop->error;
}
