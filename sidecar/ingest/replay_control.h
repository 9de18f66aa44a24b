/* SPDX-License-Identifier: MIT
 *
 * The controller in a replay: what it would have made of a flow's replies.
 *
 * The log was written without it, so this is no forecast of what would have come (that is what
 * simulate is for): replies during a hold are told from a probe's by their time alone.
 */
#ifndef SIDECAR_INGEST_REPLAY_CONTROL_H
#define SIDECAR_INGEST_REPLAY_CONTROL_H

#include "sidecar/config/config.h"
#include "sidecar/control/control.h"
#include "sidecar/rules/classify.h"
#include "sidecar/rules/rule_engine.h"

struct replay_control {
	bool begun;
	bool adapts;
	struct control_state state;
	struct control_bounds bounds;
	struct control_limits limits;
};

/* Takes a reply in. Fills ret with the hold, or the lower rate, that follows from it, under the
 * name "controller". True: there is something to tell. */
bool replay_control_take(struct replay_control *control, const struct config *config,
			 const char *source, const char *destination,
			 const struct classification *found, uint64_t time_ns,
			 struct rule_effect *ret, enum rule_action_kind *ret_kind);

#endif
