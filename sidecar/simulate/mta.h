/* SPDX-License-Identifier: MIT
 *
 * The MTA of the simulator, for the files that make it up: mta.c (queues, connections,
 * sending), mta_workers.c (workers that sleep), simulate.c (the clock, replies, retries) and result.c (the outcome).
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
	MTA_EVENT_WORKER,
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
	uint32_t leased; /* rights to a connection that workers hold, where they sleep */
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
	/* Mail of other queues is counted together with its own: the oracle, who knows it, sends
	 * what is most urgent among them. */
	bool shared;
};

/* What a worker that sleeps has taken ahead. */
struct mta_slot {
	bool held;
	uint32_t flow;
	struct policy_slot taken;
};

struct mta_worker {
	uint32_t pool;
	struct mta_connection connection;
	uint32_t lease; /* the flow that it may have a connection of; UINT32_MAX: none */
	struct mta_slot slots[TG_CLASSES];
	uint32_t waits_for; /* the flow that refused it; UINT32_MAX: none … */
	uint32_t changes;   /* … and the count of its limits' changes then */
	uint64_t wake_ns;   /* UINT64_MAX: not by itself */
	uint64_t used_ns;   /* the connection */
	uint64_t connect_again_ns;
	uint64_t asks;
	uint32_t turn; /* the receiver that comes first next time */
};

/* The workers of a pool. */
struct mta_team {
	uint32_t first, count;
	uint32_t dealt[TG_CLASSES]; /* messages, to one after the other */
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
	bool totals;		    /* some source may send only so much in all */
	struct sim_receiver *hosts; /* one a receiver, those that are another name unused */
	struct sim_receiver **receivers;
	struct mta_flow *flows;
	struct mta_queue
		*queues; /* of each pool, or of each worker that sleeps, for each receiver */
	size_t queue_count;
	struct mta_worker *workers; /* none where they do not sleep */
	uint32_t worker_count;
	struct mta_team *teams; /* of each pool */
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

bool mta_queue_empty(const struct mta_queue *queue, enum tg_class class);

/* The next message of a class that is not empty. */
uint32_t mta_queue_take(struct mta *mta, struct mta_queue *queue, enum tg_class class);

/* A message goes now, over a connection that is idle, or closed and is opened for it. */
void mta_attempt(struct mta *mta, uint32_t message, uint32_t flow,
		 struct mta_connection *connection);

/* Sends what may go from the queue now, and asks to be woken when more may. */
void mta_dispatch(struct mta *mta, uint32_t queue);

/* A connection is given up, or is idle from now on; the timer of idle ones has come. */
void mta_close(struct mta *mta, uint32_t flow, struct mta_connection *connection);
void mta_idle(struct mta *mta, uint32_t flow, struct mta_connection *connection);
void mta_idle_timer(struct mta *mta, uint32_t flow);

/* Whether workers sleep in this run: the oracle's are as good as can be. */
bool mta_sleeps(const struct mta *mta);
int mta_workers_make(struct mta *mta); /* 0, or -ENOMEM */
/* A message that arrives goes to the queue of one of its pool's workers. */
void mta_worker_deal(struct mta *mta, uint32_t message);
/* What a worker does next, if it is not waiting for a reply. */
void mta_worker_look(struct mta *mta, uint32_t worker);
/* The reply has come; closes: and with it the end of the connection. */
void mta_worker_replied(struct mta *mta, uint32_t worker, bool closes);
/* Those that wait for limits which have changed look again. */
void mta_workers_rouse(struct mta *mta);

/* Asks the policy when it wants its tick. */
void mta_timer(struct mta *mta);

/* Fills in what is reckoned when the run has ended. 0, or -ENOMEM. */
int simulate_result_of(const struct mta *mta, struct simulate_result *result);

#endif
