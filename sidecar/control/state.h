/* SPDX-License-Identifier: MIT
 *
 * What the parts of the controller offer each other. Private to sidecar/control/.
 */
#ifndef SIDECAR_CONTROL_STATE_H
#define SIDECAR_CONTROL_STATE_H

#include <math.h>
#include <string.h>

#include "sidecar/control/types.h"

#define GAP_MAX		     7200 /* seconds between two probes */
#define OUTAGE_REPLIES	     5	  /* in a row */
#define OUTAGE_HOLD	     15	  /* seconds, doubling */
#define PER_CONNECTION_START 20	  /* messages */
#define HOUR_SURE	     2	  /* equal hours in a row before the cap is acted upon */

#define RATE_TOP    5000.0f	 /* as fast as this is unlimited */
#define RATE_BOTTOM (1 / 600.0f) /* where the configuration names no lower bound */

enum control_mode {
	MODE_SEARCH,  /* nothing is known: from the start rate upwards */
	MODE_RECOVER, /* back up to the limit estimate, with an empty bucket: the next deferral
			 measures */
	MODE_KNOWN,   /* just below the limit estimate, with a probe past it now and then */
	CONTROL_MODES
};

enum control_flag {
	FLAG_HELD = 1, /* nothing goes before hold_until_ns; then one message, the probe */
	FLAG_LOW_CONFIDENCE = 2, /* the limit estimate was guessed or measured over few messages */
	FLAG_RISE_SUSPECTED = 4, /* a probe took far more than the bucket: has the limit risen? */
	FLAG_VOLUME_SPIKE = 8,	 /* held for volume above the flow's own history */
	FLAG_OUTAGE = 16,   /* held for the receiver's own trouble: says nothing about the rate */
	FLAG_MEASURED = 32, /* mark is set: a rate deferral that began a measurement */
	FLAG_NAMED = 64,    /* the text that began the hold spoke of the hour or the day … */
	FLAG_WINDOW = 2048, /* the hold waits for the end of the receiver's window */
	FLAG_MISSED = 128,  /* the end of the window came, and the probe failed */
	FLAG_SLIDING = 256, /* the hour of this receiver slides */
	FLAG_NOISE = 512,   /* a share of the replies are spurious rate-limit replies */
	FLAG_CONNECTIONS = 1024, /* more connections met trouble */
	FLAG_FRESH = 4096, /* the hour's cap or phase was learned within this hour: count from the
			      next */
	FLAG_MAYBE_NOISE = 8192, /* the hold began by a deferral that may have been spurious */
	FLAG_DAY = 16384,	 /* … of the day */
	FLAG_MISNAMED = 32768,	 /* such a text has come when no window was full */
};

/* The test of refusals whose words name no limit, or that may be spurious. */
enum control_trial {
	TRIAL_NONE,
	TRIAL_SLOWER,  /* the flow has been slowed, and what is refused now decides */
	TRIAL_DEEPEST, /* it has been slowed again, for most was refused all the same */
	TRIAL_CHANCE,  /* it has been slowed below what a limit refuses (noise.c) */
	CONTROL_TRIALS
};

/* What every step works on. */
struct control_step {
	struct flow_control *fc;
	const struct control_bounds *bounds;
	uint64_t now_ns;
	uint32_t now;	      /* the same as a stamp */
	uint64_t admitted_ns; /* of the message that the reply is for */
	bool lost;	      /* that message will not come again */
};

static inline uint32_t stamp_of(uint64_t ns)
{
	return (uint32_t)(ns / 10000000);
}

/* Seconds from then to now; 0 where then lies ahead. */
static inline double since(uint32_t now, uint32_t then)
{
	int32_t passed = (int32_t)(now - then);

	return passed > 0 ? passed / 100.0 : 0;
}

static inline uint64_t seconds_ns(double seconds)
{
	return (uint64_t)(seconds * 1e9);
}

static inline double between(double x, double low, double high)
{
	return x < low ? low : x > high ? high : x;
}

/* A share as a field keeps it. */
static inline uint16_t share_of(double share)
{
	return (uint16_t)lround(between(share, 0, 1) * UINT16_MAX);
}

static inline double share(uint16_t field)
{
	return field / (double)UINT16_MAX;
}

static inline enum reply_class trial_class(const struct flow_control *fc)
{
	return (enum reply_class)(REFUSED_FIRST + fc->trial_of);
}

static inline void flag_set(struct flow_control *fc, uint16_t flag, bool on)
{
	fc->flags = (uint16_t)(on ? fc->flags | flag : fc->flags & ~flag);
}

static inline double rate_low(const struct control_bounds *bounds)
{
	return bounds->rate_min > 0 ? bounds->rate_min : RATE_BOTTOM;
}

static inline double rate_high(const struct control_bounds *bounds)
{
	return bounds->rate_max > 0 ? bounds->rate_max : RATE_TOP;
}

#define ESTIMATE_SHARE 0.97 /* of the limit estimate: where a flow runs between two probes */

/* cut.c */
struct measure {
	double count;
	double seconds;
	double rate;
	bool exact; /* the bucket did not overflow meanwhile */
};

void cut_measure_begin(struct control_step *step);
struct measure cut_measure_end(const struct control_step *step);
double cut_measure_sent(const struct control_step *step, const struct measure *seen);
void cut_to_measured(struct control_step *step, const struct measure *seen);

/* rate.c */
void rate_track_estimate(struct control_step *step, double limit_estimate);
void rate_set_estimate(struct control_step *step, double limit_estimate);
float rate_spacing_min(const struct flow_control *fc);
double rate_spacing_max(const struct flow_control *fc);
bool rate_below_estimate(const struct flow_control *fc);
bool rate_below(const struct flow_control *fc);
void rate_init(struct flow_control *fc, const struct control_bounds *bounds);
void rate_set(struct control_step *step, double rate);
void rate_deferred(struct control_step *step, enum reply_class class, enum reply_limit limit);
void rate_accepted(struct control_step *step);
void rate_used(struct control_step *step, uint32_t delivered);
void rate_restore(struct control_step *step);
void rate_remember(struct control_step *step);
bool rate_fallen(const struct flow_control *fc);
void rate_scale_after_flight(struct control_step *step);
void rate_backoff(struct control_step *step, double held_seconds);
double rate_probe_after(const struct flow_control *fc);
void rate_pressure_add(struct control_step *step);
double rate_pressure_now(const struct flow_control *fc, uint32_t now);

/* hold.c */
void hold_begin(struct control_step *step, double seconds);
void hold_probe_failed(struct control_step *step);
void hold_outage(struct control_step *step, enum reply_class class);
void hold_probe_succeeded(struct control_step *step);

/* window.c */
struct window_cap {
	uint32_t cap;	   /* 0: not known */
	uint32_t reserve;  /* of it, for transactional mail */
	double changes_in; /* seconds */
};

void window_roll(struct control_step *step);
double window_wait(const struct control_step *step); /* seconds to the end of the receiver's hour */
double window_day_left(const struct control_step *step);
void window_count(struct control_step *step, uint32_t messages);
void window_missed(struct control_step *step);
bool window_hit(struct control_step *step, enum reply_limit limit);
bool window_released(struct control_step *step);
double window_rate(const struct flow_control *fc);
struct window_cap window_hour(const struct flow_control *fc, const struct control_bounds *bounds,
			      uint64_t now_ns);
struct window_cap window_day(const struct flow_control *fc, uint64_t now_ns);
void window_seen(struct flow_control *fc, enum tg_class traffic);
uint32_t window_day_phase(const struct flow_control *fc, const struct control_bounds *bounds,
			  uint64_t now_ns);

/* refusals.c */
bool refusals_valid(const struct flow_control *fc);
bool refusals_are_limit(const struct flow_control *fc, enum reply_class class);
double refusals_usual(const struct flow_control *fc, enum reply_class class);
bool refusals_on_trial(const struct flow_control *fc);
bool refusals_suspected(const struct flow_control *fc);
void refusals_add(struct control_step *step, enum reply_class class);
bool refusals_limit_denied(struct control_step *step, enum reply_class class);
void refusals_accepted(struct control_step *step);
void refusals_delivered(struct control_step *step, uint32_t messages);

/* noise.c */
bool noise_known(const struct flow_control *fc);
double noise_share(const struct flow_control *fc);
bool noise_suspected(const struct flow_control *fc);
bool noise_on_trial(const struct flow_control *fc);
bool noise_trial_refused(struct control_step *step);
bool noise_grew(struct flow_control *fc);
void noise_learn(struct flow_control *fc);
void noise_accepted(struct control_step *step, bool ground);
void noise_refused(struct control_step *step);
bool noise_explains(struct flow_control *fc);

/* connection_rate.c */
bool connection_rate_deferred(struct control_step *step, const struct control_observation *seen);
void connection_rate_opened(struct control_step *step, const struct control_observation *seen);
uint64_t connection_rate_interval_ns(const struct flow_control *fc);

/* connections.c */
bool connections_deferred(struct control_step *step, const struct control_observation *seen);
void connections_accepted(struct control_step *step, const struct control_observation *seen);

#endif
