/* SPDX-License-Identifier: MIT
 *
 * A log through the engine itself, under the log's own timestamps: what the sidecar would have done
 * had it heard these outcomes, when, and why. Nothing but a scratch segment is touched; no clock is
 * read.
 *
 * The mail in the log was sent without it, so this is no forecast of what would have come (that is
 * what simulate is for): a delivery during a hold is taken for a probe's.
 */
#ifndef SIDECAR_INGEST_REPLAY_H
#define SIDECAR_INGEST_REPLAY_H

#include "sidecar/config/config.h"
#include "sidecar/engine/scratch.h"
#include "sidecar/ingest/intake.h"

struct replay;

/* All must outlive the replay. */
struct replay_setup {
	const struct config *config;
	const struct classifier *classifier;
	const struct rule_set *rules;
	const struct config_mta_log *log; /* what its lines leave open (intake.h) */
};

/* Something that rules or the controller would have done. Good during the call. */
struct replay_action {
	uint64_t time_ns, until_ns; /* since 1970; until_ns UINT64_MAX: for good */
	uint64_t line;
	const char *source, *destination;
	const struct engine_action *engine;
};

struct replay_total {
	const char *destination;
	uint64_t replies, classes[REPLY_CLASSES];
	uint64_t actions[RULE_ACTIONS]; /* how often */
	uint64_t held_ns;		/* holds of all flows together */
	uint64_t while_held;		/* replies to what a hold would have kept back */
	uint64_t first_ns, last_ns;	/* of actions, since 1970; 0: none */
};

/* `act` is called for every action, in the order of the log. -ENOMEM. */
typedef void replay_act(void *context, const struct replay_action *action);
int replay_create(const struct replay_setup *setup, replay_act *act, void *context,
		  struct replay **ret_replay);
void replay_free(struct replay *replay); /* NULL is fine */

/* Takes an outcome; `line` is where it stands. What belongs to no flow is counted. An outcome
 * before the one that came last (MTAs write several at once) is taken at that one's time. 0;
 * -EINVAL: it has no time; -ENOMEM and what else the scratch segment fails by. */
int replay_event(struct replay *replay, const struct ingest_event *event, uint64_t line);

/* By destination, in the order in which they appeared. */
unsigned replay_totals(const struct replay *replay, const struct replay_total **ret_totals);
const struct intake_totals *replay_intake(const struct replay *replay);

/* The segment as the log left it, and its clock's now, for flow_json.h; NULL: no outcome came. */
struct scratch *replay_scratch(struct replay *replay, uint64_t *ret_now_ns);

/* Nanoseconds since 1970 as "2026-02-25T11:12:39.245Z". Returns text. */
const char *replay_time_text(uint64_t ns, char *text, size_t size);

#endif
