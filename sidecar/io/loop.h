/* SPDX-License-Identifier: MIT
 *
 * The sidecar's event loop: one thread, one io_uring, hidden here.
 *
 * Whatever the sidecar waits for is a file descriptor that becomes ready (doorbell, pidfds,
 * signals, sockets, the BPF ring) or a time. Idle it sleeps in the kernel. Callbacks run one after
 * the other and must not block. What could, and why it does not:
 *
 *   the reader of the log hangs         a thread writes it, from a queue; the rest is lost and counted
 *   a command of an alert hangs         it is spawned, its pidfd is watched, its timeout kills it
 *   a client asks without end, or       sockets do not block; an answer is made by pages; who does
 *     does not read its answer            neither for ten seconds is dropped
 *   a worker writes without end         256 records of each ring a round
 *   a member rings without end          a page of the doorbell is read a round
 *   a member locks files                nothing waits for a lock
 *   a large configuration               another thread reads it, and the loop takes what is done
 *   many clients ask at once            64 events a turn, of each client 512 requests at most
 *   DNS does not answer                 c-ares on sockets that do not block, 16 domains at a time
 *   connections come without end        4,096 events of the gate a turn; a full ring drops and counts
 *   many flows                          looked at by parts, those of the gate a tenth at a beat
 *
 * e2e_hindrance and e2e_gate_sidecar try them. Users, groups and resolv.conf are looked up before
 * the loop runs, or in that other thread.
 */
#ifndef SIDECAR_IO_LOOP_H
#define SIDECAR_IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

#define LOOP_REASON 256
#define LOOP_NEVER  UINT64_MAX

/* -EPERM, -ENOSYS: io_uring is refused here; `reason` (LOOP_REASON bytes) names the cure. */
int loop_create(struct loop **ret, char *reason);
void loop_free(struct loop *loop);

/* Runs until loop_stop. 0, or what the kernel said. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Ends it with an error, which loop_run returns. */
void loop_fail(struct loop *loop, int error);

/* Calls back whenever fd is ready for events (poll(2)); revents as poll's, or a negative errno,
 * after which the watch is gone. Level-triggered. Returns an id, or -errno. The caller keeps the
 * fd, and removes the watch before closing it. */
typedef void loop_ready(void *arg, int revents);
int loop_watch(struct loop *loop, int fd, short events, loop_ready *ready, void *arg);
int loop_watch_events(struct loop *loop, int id, short events);
void loop_unwatch(struct loop *loop, int id);

/* A timer: calls back once at_ns (CLOCK_MONOTONIC) has come, and is then unset; set it again from
 * there if need be. Timers are few: the one that is next is found by looking at all. Returns an id,
 * or -ENOMEM. */
typedef void loop_due(void *arg, uint64_t now_ns);
int loop_timer(struct loop *loop, loop_due *due, void *arg);
void loop_timer_set(struct loop *loop, int id, uint64_t at_ns);
void loop_timer_drop(struct loop *loop, int id); /* its id may be given to another */

/* Called before each sleep: may find work or set timers; returns true to look at events without
 * sleeping. */
typedef bool loop_before_sleep(void *arg);
void loop_set_before_sleep(struct loop *loop, loop_before_sleep *before, void *arg);

/* What the kernel's io_uring gives this loop, in words. Returns text. */
const char *loop_features(const struct loop *loop, char *text, size_t size);

uint64_t loop_now(void);

#endif
