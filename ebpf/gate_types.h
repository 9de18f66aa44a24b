/* SPDX-License-Identifier: MIT
 *
 * What the gate is told and what it counts.
 */
#ifndef TG_GATE_TYPES_H
#define TG_GATE_TYPES_H

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

#endif
