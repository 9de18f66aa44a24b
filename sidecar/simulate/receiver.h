/* SPDX-License-Identifier: MIT
 *
 * The model of a receiver: limits per source address or shared by several, windows, penalties, history, greylisting,
 * noise and outages, as a scenario hides them.
 *
 * It decides about what is really attempted, at the moment of arrival, and answers in text; nobody
 * but the oracle may look at anything else. Writer: the simulator. A refused connection holds no
 * place; an attempt that is refused uses nothing up but, where there is a penalty, the receiver's
 * patience.
 */
#ifndef SIDECAR_SIMULATE_RECEIVER_H
#define SIDECAR_SIMULATE_RECEIVER_H

#include "sidecar/simulate/receiver_allowance.h"
#include "sidecar/simulate/receiver_window.h"
#include "sidecar/simulate/scenario.h"

enum receiver_cause {
	RECEIVER_ACCEPTED,
	RECEIVER_NOISE,
	RECEIVER_GREYLIST,
	RECEIVER_OUTAGE,
	RECEIVER_LISTED,    /* in a block that began by itself */
	RECEIVER_AVOIDABLE, /* from here on the sender could have known better */
	RECEIVER_RATE = RECEIVER_AVOIDABLE,
	RECEIVER_CONNECTIONS,
	RECEIVER_PER_CONNECTION,
	RECEIVER_HOUR,
	RECEIVER_DAY,
	RECEIVER_MINUTE,
	RECEIVER_CONNECTION_RATE,
	RECEIVER_HISTORY,
	RECEIVER_BLOCKED,
	RECEIVER_CAUSES
};

/* What a receiver keeps of those that it counts together. */
struct receiver_account {
	double tokens;
	uint64_t tokens_ns; /* as of when */
	double connection_tokens;
	uint64_t connection_tokens_ns;
	double load; /* messages that arrived, those of long ago counting less */
	struct receiver_window minute;
	struct receiver_window hour;
	struct receiver_window day;
	uint64_t growth_day; /* number of the day that growth counts … */
	uint32_t used;	     /* … what was let through in it … */
	double grown;	     /* … and how many times larger the limits are by now; 0: not yet */
	struct receiver_window accepted; /* in the hour, as history goes by it */
	uint64_t history_hour;		 /* number of the hour that history counts */
	uint32_t history;		 /* accepted in it */
	uint32_t peak;			 /* most accepted in an hour that has ended */
	uint64_t *violations;		 /* when the last replies over a limit were given: a ring */
	uint32_t strike_at;
	struct receiver_allowance allowance;
	struct receiver_window strikes; /* where the penalty is by part */
	uint64_t blocked_until_ns;
	const char *blocked_reply;
	uint32_t blocks;       /* in a row */
	uint32_t blocked_days; /* on which one began */
	uint64_t blocked_day;  /* the last of these */
	uint64_t blocked_ns;
	uint64_t blocked_late_ns; /* of blocks that began after the first hour */
};

/* Of each address by itself. */
struct receiver_source {
	uint32_t open; /* connections */
	struct receiver_account *account;
};

struct sim_receiver {
	const struct scenario_receiver *truth;
	struct scenario_accept accept; /* as it stands now */
	uint64_t duration_ns;
	size_t source_count;
	uint64_t *block_ends_ns; /* of truth's blocks, as prolonged */
	struct receiver_source *sources;
	struct receiver_account *accounts; /* one for each source, not all of them in use */
};

/* What the receiver may know of a message. */
struct receiver_message {
	uint32_t place;		/* in its connection, from 1 */
	uint64_t first_seen_ns; /* 0: never; what greylisting goes by */
	uint64_t draw;	   /* uniform: the same for every policy, so that all meet the same noise */
	uint64_t content;  /* likewise, the same at each attempt */
	uint32_t customer; /* the first entry of traffic of whose it is, or SCENARIO_NOBODY */
};

/* The receiver of that index. The scenario outlives it. 0, or -ENOMEM. */
int receiver_init(struct sim_receiver *receiver, const struct scenario *scenario, uint32_t index);
void receiver_free(struct sim_receiver *receiver);

/* A connection arrives: RECEIVER_ACCEPTED holds a place until receiver_close. *ret_text is set to
 * the answer where it is refused. */
enum receiver_cause receiver_connect(struct sim_receiver *receiver, size_t source, uint64_t now_ns,
				     const char **ret_text);
void receiver_close(struct sim_receiver *receiver, size_t source);

/* A message arrives. */
enum receiver_cause receiver_take(struct sim_receiver *receiver, size_t source,
				  const struct receiver_message *message, uint64_t now_ns,
				  const char **ret_text);

/* How long an answer of that cause and text takes, before chance has its part: the load is counted
 * that the message brought. */
uint64_t receiver_latency(const struct sim_receiver *receiver, size_t source,
			  enum receiver_cause cause, const char *text);

/* When the rate of connections lets the next one in; now_ns: at once. */
uint64_t receiver_connect_earliest(struct sim_receiver *receiver, size_t source, uint64_t now_ns);

/* The limits become those of the change. */
void receiver_change(struct sim_receiver *receiver, const struct scenario_change *change,
		     uint64_t now_ns);

/* For the oracle and the plot alone: when the next message would be accepted (now_ns: now), but for
 * connections, noise and greylisting. */
uint64_t receiver_earliest(struct sim_receiver *receiver, size_t source, uint64_t now_ns);

#endif
