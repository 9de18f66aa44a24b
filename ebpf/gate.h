/* SPDX-License-Identifier: MIT
 *
 * The eBPF gate for user space: load, attach, set limits, read counts.
 *
 * One thread uses a gate; nothing here blocks but gate_open and gate_close. Times are nanoseconds
 * of the caller's CLOCK_MONOTONIC. Addresses are 16 bytes in network order, IPv4 mapped. Functions
 * return 0 or -errno unless they say otherwise. Where the gate was built without BPF, gate_stub.c
 * stands in: probing and opening fail with -EOPNOTSUPP, all else does nothing.
 */
#ifndef TG_GATE_H
#define TG_GATE_H

#include "ebpf/gate_types.h"

/* What is missing for the gate, as one line in why ("" when nothing is), found by trial. 0, or
 * -errno of the first thing that is missing. */
int gate_probe(char *why, size_t size);

/* Errors that MTAs take for a passing trouble. Others break programs: EINPROGRESS would be a
 * success that never comes. */
int gate_errno_allowed(int error);

/* Loads and attaches. On failure *ret is untouched and why says in one line what went wrong.
 * -EBUSY: another process gates one of the cgroups. */
int gate_open(const struct gate_options *options, struct gate **ret, char *why, size_t size);

/* Takes away the links and maps that a process before left in a pin folder: without a process they
 * would go on by on_timeout for ever, beside what is attached next. 1: taken away; 0: nothing was
 * there, or nothing that this process may see; -EBUSY: their process lives. */
int gate_pins_remove(const char *pin, uint64_t now_ns);

/* Ends. With a pin folder the gate goes on in the kernel, for the next process, unless unpin is
 * set. */
void gate_close(struct gate *gate, int unpin);

/* Drops every capability of the process but those that the gate needs for what may still come. */
int gate_capabilities_drop(const struct gate *gate);

/* The same for a process with other work to do: drops those that loading took and whoever has them
 * could take the machine over with. */
int gate_capabilities_trim(void);

/* Descriptors to poll for reading: events, and cgroups that come and go. Returns how many (2). */
int gate_fds(const struct gate *gate, int fds[2]);

/* Takes what has come in: after a poll, and every 100 ms. Returns the number of events. */
int gate_consume(struct gate *gate);

/* The heartbeat and, once a second, housekeeping. To be called every 100 ms. */
void gate_tick(struct gate *gate, uint64_t now_ns);

/* Limits of one flow, of a destination for all flows that have none of their own (id 0: of every
 * destination that has none), the mode of a cgroup. hold_until_ns is in the caller's clock. What
 * was used of a rate before stays used. -ENOSPC: no room. -EINVAL: no such destination. */
int gate_flow_set(struct gate *gate, const uint8_t source[16], uint32_t destination,
		  const struct gate_limits *limits, uint64_t now_ns);
int gate_flow_set_key(struct gate *gate, const struct gate_key *key,
		      const struct gate_limits *limits, uint64_t now_ns);
int gate_destination_set(struct gate *gate, uint32_t destination, const struct gate_limits *limits,
			 uint64_t now_ns);
int gate_cgroup_mode(struct gate *gate, size_t cgroup, uint32_t mode);

/* The addresses of a destination. bits counts from the start of the 16 bytes (an IPv4 prefix: 96 +
 * n). -ENOSPC: the table is full, which refuses nothing: the address stays a destination of its
 * own. */
int gate_destination_add(struct gate *gate, const uint8_t address[16], uint32_t bits,
			 uint32_t destination);
int gate_destination_remove(struct gate *gate, const uint8_t address[16], uint32_t bits);

/* Calls back for each flow. */
void gate_counts(const struct gate *gate, void (*each)(void *arg, const struct gate_count *count),
		 void *arg);

/* The same of one slot, as an event names it. -ENOENT: it holds no flow. */
int gate_count_of(const struct gate *gate, uint32_t slot, struct gate_count *ret);

void gate_status(const struct gate *gate, struct gate_status *ret);

/* How many connections passed of which no event tells, so far. */
uint64_t gate_unseen(const struct gate *gate);

#endif
