/* SPDX-License-Identifier: MIT
 *
 * The MTA of the simulator, for the files that make it up: mta.c (queues, connections,
 * sending), simulate.c (the clock, replies, retries) and result.c (the outcome).
 */
#ifndef SIDECAR_SIMULATE_MTA_H
#define SIDECAR_SIMULATE_MTA_H

#include "sidecar/simulate/event_queue.h"
#include "sidecar/simulate/traffic.h"
#include "sidecar/simulate/types.h"

/* The draws of chance for each attempt of a message. */
enum mta_luck { MTA_LUCK_NOISE, MTA_LUCK_LATENCY, MTA_LUCK_RETRY, MTA_LUCKS };

enum mta_event_kind {
	MTA_EVENT_REPLY,
	MTA_EVENT_RETRY,
	MTA_EVENT_WAKE,
	MTA_EVENT_IDLE,
	MTA_EVENT_TICK,
	MTA_EVENT_CHANGE,
	MTA_EVENT_SAMPLE,
};

enum mta_connection_state {
	MTA_CONNECTION_CLOSED,
	MTA_CONNECTION_IDLE,
	MTA_CONNECTION_BUSY,
	MTA_CONNECTION_REFUSED, /* by the receiver; the refusal is under way */
};

struct mta_connection {
	enum mta_connection_state state;
	uint32_t used; /* messages, the one under way included */
	uint64_t idle_ns;
};

struct mta_flow {
	struct mta_connection connections[POLICY_WORKERS];
	uint32_t open;	  /* connections that the receiver holds a place for */
	uint32_t refused; /* connections that it does not, the refusal being under way */
	uint64_t connect_again_ns;
	uint64_t idle_timer_ns; /* UINT64_MAX: not set */
	uint32_t queue;
};

struct mta_list {
	uint32_t first;
	uint32_t last; /* undefined where there is no first */
};

struct mta_queue {
	struct mta_list fresh[TG_CLASSES];
	struct mta_list deferred[TG_CLASSES];
	bool deferred_next[TG_CLASSES];
	uint64_t wake_ns;
	uint32_t receiver;
	const uint32_t *sources; /* of the pool */
	size_t source_count;
};

struct mta {
	const struct scenario *scenario;
	const struct simulate_policy *policy;
	struct sim_env env;
	void *self; /* the policy's */
	uint64_t seed;
	uint64_t now_ns;
	int error; /* of an event that could not be added: ends the run */
	struct simulate_events events;
	struct simulate_message *messages;
	size_t message_count;
	size_t arrived;
	struct sim_receiver *receivers;
	struct mta_flow *flows;
	struct mta_queue *queues;
	size_t queue_count;
	uint32_t *pool_sources; /* of all pools, one after the other */
	struct simulate_result *result;
	uint64_t last_delivery_ns;
	uint64_t tick_ns; /* of the policy; UINT64_MAX: not set */
};

/* The n-th attempt of a message has the same draws under every policy. */
uint64_t mta_luck(const struct mta *mta, uint32_t message, enum mta_luck draw);

/* Adds an event, unless it lies beyond the end of the run. */
void mta_event(struct mta *mta, uint64_t at_ns, enum mta_event_kind kind, uint16_t part,
	       uint32_t id);

/* Puts a message at the end of its queue: of the new ones, or of those deferred before. */
void mta_queue_put(struct mta *mta, uint32_t message);

/* Sends what may go from the queue now, and asks to be woken when more may. */
void mta_dispatch(struct mta *mta, uint32_t queue);

/* A connection is given up, or is idle from now on; the timer of idle ones has come. */
void mta_close(struct mta *mta, uint32_t flow, struct mta_connection *connection);
void mta_idle(struct mta *mta, uint32_t flow, struct mta_connection *connection);
void mta_idle_timer(struct mta *mta, uint32_t flow);

/* Asks the policy when it wants its tick. */
void mta_timer(struct mta *mta);

/* Fills in what is reckoned when the run has ended. 0, or -ENOMEM. */
int mta_outcome(const struct mta *mta, struct simulate_result *result);

#endif
