/* SPDX-License-Identifier: MIT
 *
 * What the controller remembers of a flow. Its fields are for sidecar/control/ alone; others keep it
 * and hand it on.
 *
 * Rates are messages a second, durations seconds. A stamp is the monotonic clock in hundredths of a
 * second, modulo 2^32 (497 days): only differences mean anything. The struct lies in a file that
 * outlives the sidecar, so its layout is fixed, and control_valid bounds every field that could do
 * harm. Each flow that sent of late has one, so a field is as narrow as its range lets it be.
 */
#ifndef SIDECAR_CONTROL_FLOW_H
#define SIDECAR_CONTROL_FLOW_H

#include <stdint.h>

#include "sidecar/rules/reply.h"

#define REFUSED_FIRST	REPLY_GREYLIST /* of the classes whose words name no limit */
#define REFUSED_CLASSES (REPLY_CLASSES - REFUSED_FIRST)

struct flow_control {
	uint64_t hold_until_ns; /* end of the last hold; what was admitted before it is of that
				   flight */
	uint64_t due_ns;	/* when the next message was due: the schedule, replayed */
	float rate;		/* allowed now */
	float limit_estimate;	/* of the receiver: a rate at which it refuses; while searching: at
				   which mail went of late */
	float limit_estimate_prev;    /* as it was before the last hold */
	float probe_spacing_messages; /* messages between two probes, at the least */
	float idle;		      /* allowance not used since mark */
	float excess;	    /* messages past the limit estimate that the last probe took */
	float excess_known; /* that probes usually take: the receiver's bucket */
	float pressure;	    /* deferrals of late, leaking: what a penalty would count */
	float noise;	    /* deferrals on safe ground, among noise_of messages there */
	float noise_from;   /* the estimate when the first of them came; 0: there was none */
	uint32_t mark;	    /* when the bucket was last known to be empty */
	uint32_t raised;    /* last change upwards */
	uint32_t pressure_at;
	/* Of a hold, while FLAG_HELD is set, and else of a climb past the estimate: they take
	 * turns. */
	union {
		uint32_t hold_since;  /* with all its repeats */
		uint32_t probe_since; /* when the climb began */
	};
	uint32_t connections_at; /* last change of connections, or trouble with them */
	uint32_t day_start;	 /* of the receiver's day, once its cap is known */
	uint32_t count;		 /* accepted since mark */
	union {
		uint32_t hold_hour_count;  /* hour_count when the hold began */
		uint32_t probe_from_count; /* count when the climb began; 0: no climb */
	};
	uint32_t hour_count;
	uint32_t day_count;
	uint32_t hour_cap; /* believed; acted upon from HOUR_SURE on */
	uint32_t day_cap;
	uint16_t hold_seconds;	 /* from the trouble, or the last probe, to the next probe */
	uint16_t connections;	 /* at once */
	uint16_t per_connection; /* messages */
	uint16_t last_place;	 /* in its connection of the last message that was deferred */
	uint16_t phase;		 /* seconds after the clock's hour at which the receiver's begins */
	uint16_t phase_gap;	 /* seconds by which it may begin earlier than that */
	uint16_t noise_of;	 /* both are halved now and then */
	uint16_t refused_of;	 /* messages since the share of spurious replies was measured */
	uint16_t sprt_score; /* that the deferrals of late are not spurious, in 1/SPRT_UNIT … */
	uint16_t sprt_steep; /* … but of a limit that is far exceeded */
	uint16_t transactional; /* share of the mail of late, in 1/65536 */
	uint16_t flags;
	uint8_t probe_failures; /* of probes in this hold, the trouble that began it included */
	uint8_t idle_share;	/* share of the allowance that is not used, in sixty-fourths */
	uint8_t reserve;	/* messages that transactional mail may run ahead, in sixteenths */
	uint8_t refused;	/* passed over as spurious, of the last refused_of messages */
	uint8_t hour_index;	/* the hour that hour_count counts, modulo 256 */
	uint8_t mode : 2;
	uint8_t backoff_level : 2; /* how much further probes are spaced than usual */
	uint8_t hour_seen : 2;	   /* hours that have agreed on the cap */
	uint8_t day_seen : 1;
	uint8_t hour_test : 3; /* windows since the cap was last overrun to see whether it grew; the
				  highest: it did */
	uint8_t day_test : 2;
	uint8_t strikes : 2;	  /* troubles where there should be none */
	uint8_t places : 2;	  /* deferrals at last_place */
	uint8_t sprt_pending : 4; /* deferrals passed over, and not yet found to be spurious */
	uint8_t denied : 2; /* refusals in a limit's words, where a limit refuses nothing; 0 to 3 */

	uint32_t place_at; /* when per_connection was last changed */
	float limit_best;  /* the estimate from which the flow has fallen; 0: from none */
	uint32_t fell_at;  /* when it was last near that */

	/* Refusals in words that name no limit (refusals.c). */
	float admission_seconds; /* between two attempts of late */
	float rate_before;	 /* the trial: what to go back to */
	float taken_before;	 /* a second */
	float estimate_before;	 /* of the limit; 0: none */
	uint32_t admitted_last;
	uint32_t refused_since; /* refused_row */
	uint32_t trial_after;	/* no trial before */
	/* Shares: 0 to 1 in 1/65535. */
	uint16_t refused_recent;  /* of the last few attempts */
	uint16_t trial_share;	  /* refused before the trial, at the least */
	uint16_t trial_share_now; /* … of the last few */
	int16_t trial_score;	  /* for a limit: -32 to 32 nats in 1/1000 */
	uint16_t limit_words;	  /* a bit a class whose words were found to be a limit's */
	/* Of the classes from REFUSED_FIRST on: words of the others name a limit, or none. */
	uint8_t refused_by[REFUSED_CLASSES];  /* of the last `attempts`; 0 to 128 */
	uint8_t usual_share[REFUSED_CLASSES]; /* 0 to 1 in 1/255 */
	uint8_t refused_lately; /* of the last few, of what is not about the message; in 1/255 */
	uint8_t attempts;	/* 0 to 128 */
	uint8_t refused_row;	/* in a row, 255: that many or more */
	uint8_t trial_of;	/* its class, less REFUSED_FIRST */
	uint8_t trial_accepted; /* 255: that many or more, as the next */
	uint8_t trial_refused;
	uint8_t flight_refused; /* of the flight that met trouble; 255: that many or more */
	uint8_t noise_apart; /* accepted before the last that may be spurious; 255: that many or more */
	uint8_t trial : 2;
	uint8_t trial_pauses : 3;	/* trials that found spurious replies */
	uint8_t place_guessed : 1;	/* per_connection is what no text has named */
	uint8_t refused_fully : 1;	/* everything was refused, not long ago */
	uint8_t connection_guessed : 1; /* connection_rate was not measured */
	uint16_t connection_rate;	/* new ones an hour; 0: as many as there is need of */
	uint16_t connections_opened;	/* since connections_at */
};
_Static_assert(sizeof(struct flow_control) <= 216, "a third of a flow's memory");

#endif
