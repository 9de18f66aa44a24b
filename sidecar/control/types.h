/* SPDX-License-Identifier: MIT
 *
 * What goes into a flow's control and what comes out of it.
 */
#ifndef SIDECAR_CONTROL_TYPES_H
#define SIDECAR_CONTROL_TYPES_H

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
	uint64_t connection_interval_ns; /* a new one each; 0: at any time */
	bool report_delivered;		 /* plain deliveries are wanted too, one by one */
	enum control_phase phase;
};

/* What a step made of the limits. */
struct control_change {
	struct control_limits before, after;
	uint64_t next_ns; /* when they will change by themselves, as of control_limits */
};

#endif
