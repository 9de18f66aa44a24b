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

#include "sidecar/control/types.h"

/* "open", "slowed", …; "invalid" for a number that is none. */
const char *control_phase_name(enum control_phase phase);

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

/* Whether it is held for a limit of the receiver's rate, and not for a window, for more than the
 * receiver is used to from this address, or for trouble of its own. */
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
		     const struct control_observation *seen, uint64_t now_ns,
		     struct control_change *ret_change);

/* Time passes: called when the time that control_limits returned has come, and about once a second
 * while mail flows, with how many messages were delivered since the last call (replies that were
 * observed one by one included). True if the limits changed. */
bool control_tick(struct control_state *state, const struct control_bounds *bounds,
		  uint32_t delivered, uint64_t now_ns, struct control_change *ret_change);

/* The limits as they stand. Returns when they will change by themselves (the next raise, the end of
 * a hold), UINT64_MAX: not until something is observed. */
uint64_t control_limits(const struct control_state *state, const struct control_bounds *bounds,
			uint64_t now_ns, struct control_limits *ret_limits);

/* What the state is, in words, for `explain`: phase, remembered rates, hold, strikes, and when what
 * will change. Returns the length of the whole text; it is cut at size and terminated. */
int control_describe(const struct control_state *state, const struct control_bounds *bounds,
		     uint64_t now_ns, char *text, unsigned size);

#endif
