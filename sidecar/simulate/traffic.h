/* SPDX-License-Identifier: MIT
 *
 * The mail of a scenario: every message with the time at which it enters the MTA's queue.
 */
#ifndef SIDECAR_SIMULATE_TRAFFIC_H
#define SIDECAR_SIMULATE_TRAFFIC_H

#include "sidecar/simulate/scenario.h"

#define SIMULATE_NO_MESSAGE UINT32_MAX

struct simulate_message {
	uint64_t arrival_ns;
	uint64_t first_seen_ns; /* by a receiver that greylists; 0: never */
	uint64_t sent_ns;	/* the attempt under way */
	const char *text;	/* what it was answered */
	uint32_t next;		/* in its queue */
	uint32_t flow;		/* the attempt's */
	uint32_t queue;
	uint8_t class;	    /* enum tg_class */
	uint8_t cause;	    /* enum receiver_cause */
	uint8_t connection; /* the attempt's */
	uint8_t stage;	    /* enum tg_stage */
	uint8_t traffic;    /* its entry in the scenario */
	uint8_t attempts;   /* stops counting at UINT8_MAX */
	bool finished;
};

/* What chance gives: the same for the same seed, thing and draw, whatever has been drawn before. */
uint64_t simulate_luck(uint64_t seed, uint64_t thing, uint64_t draw);

/* The same as a number in [0, 1). */
double simulate_draw(uint64_t draw);

/* The messages that arrive within the run, in the order of time. A queue is numbered pool *
 * receivers + receiver. 0, or -ENOMEM; the caller frees *ret. */
int simulate_traffic(const struct scenario *scenario, uint64_t seed, struct simulate_message **ret,
		     size_t *ret_count);

#endif
