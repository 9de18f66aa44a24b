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

#include <stddef.h>
#include <stdint.h>

#include "ebpf/gate_abi.h"

struct gate;

struct gate_cgroup {
	const char *path; /* of a cgroup v2 folder; it may come and go */
	uint32_t mode;	  /* enum gate_mode, not GATE_INHERIT */
};

struct gate_options {
	const struct gate_cgroup *cgroups;
	size_t cgroup_count; /* 1 … GATE_CGROUPS; none within another */
	const uint16_t *ports;
	size_t port_count;
	uint32_t flows;	       /* room in the table, rounded up to a power of two; 0: 16384 */
	uint32_t destinations; /* ids 1 … destinations - 1; 0: 4096 */
	uint32_t prefixes;     /* 0: 65536 */
	uint64_t max_wait_ns;  /* pace; 0: 12 s */
	uint64_t stale_ns;     /* without gate_tick for so long the gate acts by itself; 0: never */
	uint64_t idle_ns;      /* a flow unused for so long is forgotten; 0: an hour */
	uint64_t token;	       /* by which workers mark sockets as pre-admitted; 0: none can */
	int replies;	       /* tell what receivers answer in plain text, if it is 4xx or 5xx */
	uint32_t stale_policy; /* enum gate_stale */
	int refuse_errno; /* of a refused connect(): one that gate_errno_allowed allows; 0: EPERM */
	const char
		*pin; /* folder in a bpffs where links and maps outlive the process; NULL: none */
	void (*event)(void *arg, const struct gate_event *event, const struct gate_key *key);
	void *arg; /* event is called by gate_consume; key is that of the event's flow; an event of
		    * kind GATE_EVENT_REPLY is the first member of a struct gate_reply */
};

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

struct gate_count {
	uint32_t slot; /* below gate_status.flows_max: the same for as long as tag is */
	uint64_t tag;
	struct gate_key key;
	struct gate_limits limits; /* those in force */
	uint64_t attempts;	   /* connect() to a gated port */
	uint64_t open, adopted, preadmitted_open;
	uint64_t count[GATE_COUNTERS];
	uint64_t last_second, last_minute, last_hour; /* attempts */
	uint64_t first_ns, seen_ns;
};

/* Calls back for each flow. */
void gate_counts(const struct gate *gate, void (*each)(void *arg, const struct gate_count *count),
		 void *arg);

/* The same of one slot, as an event names it. -ENOENT: it holds no flow. */
int gate_count_of(const struct gate *gate, uint32_t slot, struct gate_count *ret);

struct gate_status {
	uint64_t total[GATE_TOTALS];
	uint64_t flows, flows_max;
	uint64_t restarts; /* attachments after the first: the cgroup had come back */
	uint32_t attached; /* cgroups gated now */
	uint32_t cgroups;
	uint32_t hz;
	uint32_t taken_over;	 /* links and maps of the process before were taken over */
	int64_t clock_offset_ns; /* the kernel's clock less the caller's */
};

void gate_status(const struct gate *gate, struct gate_status *ret);

/* How many connections passed of which no event tells, so far. */
uint64_t gate_unseen(const struct gate *gate);

#endif
