/* SPDX-License-Identifier: MIT
 *
 * Who is alive: a lock for each worker slot, on one byte of the file `alive` in the segment's
 * folder. Who holds a slot's lock owns the slot; all else that stands of it in shared memory is
 * hearsay.
 *
 * The lock belongs to an open file description (fcntl(2), F_OFD_SETLK), and what keeps that open in
 * a worker is a mapping of the file, not a descriptor. So it is there exactly as long as the
 * process's memory is: exit and exec drop it, whatever kills the process; a fork does not inherit
 * it (MADV_DONTFORK); a daemon that closes all its descriptors keeps it; a second attachment of the
 * same process has one of its own, where a POSIX record lock would go with the first close(2). It
 * needs no pid, so it holds across PID namespaces, and nobody can take it from a living process.
 *
 * What a member of the group can do is to lock slots that are free: those are lost to others for as
 * long.
 */
#ifndef TG_ALIVE_H
#define TG_ALIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ALIVE_NAME "alive"

/* The file in a folder, each time with locks of its own. A descriptor, or -errno. */
int alive_open(int folder);

/* Takes the lock of a slot; it never waits. 0; -EAGAIN: somebody has it. */
int alive_take(int fd, uint32_t worker);
void alive_drop(int fd, uint32_t worker);

/* Whether anybody else has it. Where the kernel does not say: yes. */
bool alive_held(int fd, uint32_t worker);

/* Has this process's memory keep what fd holds, without fd and not beyond a fork. NULL: it cannot.
 * Between alive_open and the close of fd no other thread may fork: see alive_fork_forbid. */
void *alive_keep(int fd);
void alive_let_go(void *kept);

/* A fork in between would leave the child with the lock: fork(3) waits. */
void alive_fork_forbid(void);
void alive_fork_allow(void);

#endif
