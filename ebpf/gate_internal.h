/* SPDX-License-Identifier: MIT
 *
 * The parts of the loader among themselves; nobody else includes this.
 *
 *   gate.c         the life of a gate: open, tick, consume, close
 *   gate_objects.c  libbpf: programs, maps, links, pins, the ring; the only file that knows it
 *   gate_table.c   the flow table and the limits in mapped memory
 *   gate_cgroup.c  folders of cgroups: lock, watch, those that exist
 *   gate_adopt.c   connections that were open before (sock_diag)
 *   gate_probe.c   what the kernel and the process can do
 *   gate_caps.c    capabilities
 */
#ifndef TG_GATE_INTERNAL_H
#define TG_GATE_INTERNAL_H

#include "ebpf/gate_types.h"

#define NS_PER_S     1000000000ull
#define GATE_SECONDS 60
#define GATE_MINUTES 60
#define GATE_ADOPTED 4096 /* connections from before that are followed, at most */

/* Attempts of one flow, a ring of the last seconds and one of the last minutes. */
struct gate_history {
	uint64_t tag;
	uint64_t last;
	uint32_t second[GATE_SECONDS];
	uint32_t minute[GATE_MINUTES];
};

struct gate_table {
	struct gate_control *control;
	uint64_t *totals;
	struct gate_flow *flows;
	struct gate_destination *destinations;
	uint64_t *ports;
	uint32_t flow_count;
	uint32_t destination_count;
	uint32_t mask; /* of buckets */
	int64_t clock_offset_ns;
	uint64_t idle_ns;
	struct gate_history **history; /* by slot, made when first used */
	uint64_t second;	       /* counts up; its place in the rings */
};

struct gate_folder {
	char *path;
	uint64_t id; /* of the cgroup: the inode of its folder; 0: it is not there */
	int fd;
	int watch; /* of its parent */
};

struct gate_adopted {
	uint64_t cookie;
	uint32_t slot;
	uint32_t seen;
};

struct gate_objects; /* gate_objects.c */

struct gate {
	struct gate_table table;
	struct gate_objects *kernel;
	struct gate_folder folder[GATE_CGROUPS];
	size_t folder_count;
	int notify; /* inotify */
	uint64_t second_ns;
	uint64_t restarts;
	uint32_t taken_over;
	uint32_t strictest; /* mode that the attached programs are enough for: 0, GATE_DENY,
			       GATE_PACE */
	struct gate_adopted *adopted;
	size_t adopted_count;
	uint32_t look; /* counts the looks at open connections */
	void (*event)(void *arg, const struct gate_event *event, const struct gate_key *key);
	void *arg;
};

/* ---- gate_objects.c */

/* Loads the programs once per cgroup over one set of maps (those pinned, if they fit) and maps the
 * memory into table. */
int gate_objects_load(const struct gate_options *options, struct gate_table *table,
		      struct gate_objects **ret, char *why, size_t size);
void gate_objects_free(struct gate_objects *kernel, int unpin);
/* Attaches the programs of cgroup i to the folder, or takes over its pinned links. 1: taken over.
 */
int gate_objects_attach(struct gate_objects *kernel, size_t i, int cgroup_fd, uint64_t cgroup_id);
/* connect() is hooked when something may be refused first, every packet when something is to be
 * paced: in all cgroups, those that come later too. */
int gate_objects_attach_late(struct gate_objects *kernel, int egress);
/* Its cgroup is gone: the programs stay for the sockets that are still closing. */
void gate_objects_retire(struct gate_objects *kernel, size_t i, uint64_t now_ns);
void gate_objects_housekeep(struct gate_objects *kernel, uint64_t now_ns);
/* Were all of these cgroups' links left by a process before? */
int gate_objects_has_pins(const struct gate_objects *kernel, uint64_t cgroup_id);
void gate_objects_forget_pins(struct gate_objects *kernel, const uint64_t *keep, size_t count);
int gate_objects_maps_reused(const struct gate_objects *kernel);
int gate_objects_ring_fd(const struct gate_objects *kernel);
int gate_objects_consume(struct gate_objects *kernel,
			 void (*each)(void *arg, const struct gate_event *event), void *arg);
int gate_objects_prefix_set(struct gate_objects *kernel, const uint32_t address[4], uint32_t bits,
			    uint32_t destination);
int gate_objects_prefix_remove(struct gate_objects *kernel, const uint32_t address[4],
			       uint32_t bits);
/* The destination id of an address, 0 if none. */
uint32_t gate_objects_prefix_find(const struct gate_objects *kernel, const uint32_t address[4]);
/* Runs gate_clock: the totals then hold the kernel's time and jiffies. */
int gate_objects_clock(struct gate_objects *kernel);

/* ---- gate_table.c */

void gate_table_configure(struct gate_table *table, const struct gate_options *options, uint32_t hz,
			  uint32_t syn_linear);
/* The slot of a key, claimed if it is new; GATE_NO_SLOT if there is no room. */
uint32_t gate_table_find(struct gate_table *table, const struct gate_key *key,
			 uint64_t now_kernel_ns);
void gate_table_housekeep(struct gate_table *table, uint64_t now_kernel_ns);
void gate_table_free(struct gate_table *table);
int gate_table_flow_set(struct gate_table *table, const struct gate_key *key,
			const struct gate_limits *limits, uint64_t now_kernel_ns);
int gate_table_destination_set(struct gate_table *table, uint32_t destination,
			       const struct gate_limits *limits, uint64_t now_kernel_ns);

/* ---- gate_cgroup.c */

int gate_cgroup_init(struct gate_folder *folder, const char *path, char *why, size_t size);
/* Opens and locks the folder if it is there. 1: there and new. 0: nothing new. -EBUSY: locked. */
int gate_cgroup_open(struct gate_folder *folder);
/* 1 if the folder that was open is gone (or another stands in its place). */
int gate_cgroup_gone(const struct gate_folder *folder);
void gate_cgroup_close(struct gate_folder *folder);
void gate_cgroup_free(struct gate_folder *folder);
int gate_cgroup_watch(struct gate_folder *folder, int notify);
/* Is a cgroup id that of the folder or of one below it? */
int gate_cgroup_holds(const struct gate_folder *folder, uint64_t id);

/* ---- gate_adopt.c */

/* Notes the connections to gated ports that sockets of folder have open now. */
int gate_adopt_begin(struct gate *gate, const struct gate_folder *folder);
/* Drops those that have closed since. */
void gate_adopt_refresh(struct gate *gate);

#endif
