/* SPDX-License-Identifier: MIT
 *
 * One flow's control: open, slowed, held, probing, recovering, open.
 *
 * A pure function of (state, observation, now): no clock is read, nothing is allocated, nothing
 * outside the state is written. The sidecar and the simulator run the same code. Times are
 * nanoseconds of the segment's monotonic clock. The state is kept in a file that outlives the
 * sidecar: fixed-width, no pointers; whoever adopts it calls control_valid first.
 */
#ifndef SIDECAR_CONTROL_CONTROL_H
#define SIDECAR_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/tollgate.h"
#include "sidecar/control/flow.h"
#include "sidecar/rules/reply.h"

enum control_phase {
	CONTROL_OPEN,	    /* as configured, or at what the receiver was found to take */
	CONTROL_SLOWED,	    /* below what is configured, because of what the receiver answered */
	CONTROL_HELD,	    /* nothing goes until a time */
	CONTROL_PROBING,    /* one message is out, its reply decides */
	CONTROL_RECOVERING, /* climbing back */
};

/* "open", "slowed", …; "invalid" for a number that is none. */
const char *control_phase_name(enum control_phase phase);

struct control_state {
	struct flow_control flow; /* its fields are for sidecar/control/ alone */
};

/* What the configuration says of the flow: the bounds that hold always. */
struct control_bounds {
	double rate_max;   /* messages a second; 0: unlimited */
	double rate_min;   /* never slower than this while not held */
	double rate_start; /* where a flow of which nothing is known starts; 0: at rate_max. Where
			      that is unlimited, nothing is paced until trouble comes. */
	uint32_t burst[TG_CLASSES]; /* of the configured rate, by class of traffic */
	uint32_t hour_cap;	    /* 0: none */
	uint32_t day_cap;	    /* 0: none */
	uint32_t connections;	    /* most at once; 0: unlimited */
	uint32_t per_connection;    /* messages a connection; 0: unlimited */
	int64_t wall_offset_ns; /* wall clock - monotonic clock: receivers' windows begin on full
				   hours */
};

/* One reply. */
struct control_observation {
	enum reply_class class;
	enum reply_limit limit; /* which limit the text says was hit */
	enum tg_class traffic;
	enum tg_stage stage;	   /* connect, greeting, message */
	uint32_t place;		   /* of the message in its connection, from 1; 0 not known */
	uint32_t open_connections; /* of the flow, when the reply came, this one not counted */
	uint64_t admitted_ns;	   /* when the gate let it go; 0 not known */
	bool permanent;		   /* 5xx: the message will not come again */
};

/* What the flow may do from now on. Every value lies within the bounds. */
struct control_limits {
	uint64_t interval_ns; /* a message each; 0: unlimited */
	uint32_t burst[TG_CLASSES];
	uint64_t hold_until_ns[TG_CLASSES]; /* 0: not held. While held and probing, interval and
					       burst let one message go at the end of the hold, and
					       no second until its reply has been seen. */
	uint32_t hour_cap, day_cap;	    /* 0: none */
	uint32_t hour_reserve, day_reserve; /* of caps that were learned, for transactional mail */
	uint32_t hour_phase_s; /* the hour's window begins that long after the clock's hour */
	uint32_t day_phase_min;
	uint32_t connections, per_connection;
	bool report_delivered; /* plain deliveries are wanted too, one by one */
	enum control_phase phase;
};

void control_init(struct control_state *state, const struct control_bounds *bounds,
		  uint64_t now_ns);

/* Counts to a new state what another has counted of the receiver's hour and day under way. */
void control_join(struct control_state *state, const struct control_state *other);

/* Sets a state to about a rate just after a refusal, with what it has counted: the next refusal measures. The receiver
 * should take a little less than `limit`, messages a second, or nothing is measured for long. */
void control_adopt(struct control_state *state, const struct control_bounds *bounds, double limit,
		   uint64_t now_ns);

/* The receiver's limit as it is estimated, messages a second; 0: not yet. Whether the flow is where
 * nothing should be refused, and whether it is there and not about to try more. */
double control_estimate(const struct control_state *state);
double control_rate(const struct control_state *state); /* allowed now, a second */
bool control_on_ground(const struct control_state *state);
bool control_steady(const struct control_state *state);

/* Whether it is held for a limit of the receiver's, and not for a window or trouble of its own. */
bool control_limited(const struct control_state *state);

/* The part of a reply that is about the flow's connections, where another state has its rate. True:
 * it was about nothing else. */
bool control_connections(struct control_state *state, const struct control_state *rate_of,
			 const struct control_bounds *bounds,
			 const struct control_observation *seen, uint64_t now_ns);

/* Whether bytes found in a file can be a state: every field in its range. */
bool control_valid(const struct control_state *state);

/* Whether nothing was learned that control_init would not bring back: no trouble yet, no rate but
 * the one it began with, no share of chance, no cap. For a flow that has been quiet for more than
 * the receiver's hour. */
bool control_plain(const struct control_state *state, const struct control_bounds *bounds,
		   uint64_t now_ns);

/* The configuration may have changed: the rate is brought within the bounds, and a flow of which
 * nothing is known yet is not below where it would start now. True if the state changed. */
bool control_rebound(struct control_state *state, const struct control_bounds *bounds);

/* Ends a hold by hand, as if a probe had succeeded. */
void control_release(struct control_state *state, const struct control_bounds *bounds,
		     uint64_t now_ns);

/* Takes one reply in. True if the limits changed. */
bool control_observe(struct control_state *state, const struct control_bounds *bounds,
		     const struct control_observation *seen, uint64_t now_ns);

/* Time passes: called when the time that control_limits returned has come, and about once a second
 * while mail flows, with how many messages were delivered and deferred since the last call (replies
 * that were observed one by one included). True if the limits changed. */
bool control_tick(struct control_state *state, const struct control_bounds *bounds,
		  uint32_t delivered, uint32_t deferred, uint64_t now_ns);

/* The limits as they stand. Returns when they will change by themselves (the next raise, the end of
 * a hold), UINT64_MAX: not until something is observed. */
uint64_t control_limits(const struct control_state *state, const struct control_bounds *bounds,
			uint64_t now_ns, struct control_limits *ret_limits);

/* What the state is, in words, for `explain`: phase, remembered rates, hold, strikes, and when what
 * will change. Returns the length of the whole text; it is cut at size and terminated. */
int control_describe(const struct control_state *state, const struct control_bounds *bounds,
		     uint64_t now_ns, char *text, unsigned size);

#endif
