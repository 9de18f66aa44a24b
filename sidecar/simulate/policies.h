/* SPDX-License-Identifier: MIT
 *
 * A policy of sending: what paces the mail of every flow in a run of the simulator.
 *
 * All policies meet the same traffic, the same receivers and the same seed. What a policy learns,
 * it learns from replies; only the oracle is given the receivers. A flow is numbered source *
 * receivers + receiver. Times are nanoseconds from the start of the run.
 */
#ifndef SIDECAR_SIMULATE_POLICIES_H
#define SIDECAR_SIMULATE_POLICIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shm/decide.h"
#include "shm/tollgate.h"

struct sim_receiver;
struct simulate_config;
struct scenario;
struct scenario_before;
struct scenario_restart;

/* What everybody starts with; only the gate and the oracle ever go elsewhere. */
#define POLICY_CONNECTIONS    4
#define POLICY_PER_CONNECTION 20
/* The workers of the MTA: no flow can have more connections than this. */
#define POLICY_WORKERS 20

struct sim_env {
	size_t source_count;
	size_t receiver_count;
	const char *const *addresses;	 /* of the sources */
	const char *const *destinations; /* of the receivers */
	const char *const *pools;	 /* of the sources */
	const struct scenario_before *befores;
	size_t before_count;
	struct simulate_config *config;
	const struct scenario_restart *restarts; /* of the sidecar */
	size_t restart_count;
	FILE *trace; /* what the policy makes of each deferral is written there; NULL: nowhere */
	/* NULL, but for a policy that sees what is hidden. */
	struct sim_receiver *const *receivers;
	const struct scenario *scenario;
};

struct policy_reply {
	bool delivered;
	const char *text; /* NULL where delivered, or where no word came */
	enum tg_stage stage;
	enum tg_class traffic;
	uint32_t place;		   /* of the message in its connection, from 1 */
	uint32_t open_connections; /* of the flow, this one not counted */
	uint64_t admitted_ns;
};

/* A slot that was taken ahead of its time. */
struct policy_slot {
	uint64_t at_ns;
	struct decide_taken taken;
};

struct simulate_policy {
	const char *name;
	bool sees_truth;
	/* 0 or -errno; the world outlives the policy. destroy takes NULL too. */
	int (*create)(const struct sim_env *env, void **ret);
	void (*destroy)(void *self);
	/* When a message of the class may go; UINT64_MAX: not before something has been heard. Must
	 * not change what the policy will answer later. */
	uint64_t (*earliest)(void *self, uint32_t flow, enum tg_class traffic, uint64_t now_ns);
	/* A message goes now. */
	void (*admit)(void *self, uint32_t flow, enum tg_class traffic, uint64_t now_ns);
	/* What the receiver answered. */
	void (*reply)(void *self, uint32_t flow, const struct policy_reply *reply, uint64_t now_ns);
	/* When a connection for a message of the class may be opened, `open` being open: now_ns:
	 * now; UINT64_MAX: not before one of them is closed. */
	uint64_t (*connect)(void *self, uint32_t flow, enum tg_class traffic, uint32_t open,
			    uint64_t now_ns);
	/* A connection is opened. NULL: does not care. */
	void (*connected)(void *self, uint32_t flow, enum tg_class traffic, uint64_t now_ns);
	uint32_t (*per_connection)(void *self, uint32_t flow);
	/* Of the flows that may send now the one with the lowest rank does. NULL: the fewest
	 * connections. */
	double (*rank)(void *self, uint32_t flow, uint64_t now_ns);
	/* Takes a slot at or before until_ns. Returns its time; a later one: none was taken, ask
	 * again then. NULL: has no slots; earliest and admit say all. */
	uint64_t (*reserve)(void *self, uint32_t flow, enum tg_class traffic, uint64_t now_ns,
			    uint64_t until_ns, struct policy_slot *ret);
	/* At a slot's time: whether it still holds. One that does not is given back. */
	bool (*redeem)(void *self, uint32_t flow, enum tg_class traffic,
		       const struct policy_slot *slot, uint64_t now_ns);
	/* How many messages of the class could go at once. NULL: one. */
	uint32_t (*room)(void *self, uint32_t flow, enum tg_class traffic, uint64_t now_ns);
	/* Counts the changes of what the flow may. NULL: it never changes but as earliest says. */
	uint32_t (*changes)(void *self, uint32_t flow);
	/* When tick wants to be called; UINT64_MAX: never. NULL: has no timers. */
	uint64_t (*wake)(void *self);
	void (*tick)(void *self, uint64_t now_ns);
	/* The rate that the policy allows at the moment, messages a second, for the plot. NULL: has
	 * none. */
	double (*rate)(void *self, uint32_t flow);
};

extern const struct simulate_policy policy_tollgate;	   /* tollgate; policy_tollgate.c */
extern const struct simulate_policy policy_none;	   /* as fast as workers go */
extern const struct simulate_policy policy_sliding_window; /* ten in any minute */
extern const struct simulate_policy policy_cooldown; /* a reply slows to 1/min for 90 minutes */
extern const struct simulate_policy
	policy_backoff; /* 1/min until an hour has passed, or a success */
extern const struct simulate_policy policy_oracle; /* knows the limits */
/* A schedule of warm-up by the calendar: to be asked for by name; policy_calendar.c. */
extern const struct simulate_policy policy_calendar;

/* Those that are always compared, tollgate first, the oracle last; ends with NULL. */
extern const struct simulate_policy *const policy_list[];

/* The policy of that name, or NULL. */
const struct simulate_policy *policy_find(const char *name);

#endif
