/* SPDX-License-Identifier: MIT
 *
 * A log through classes, rules and (with a configuration) the controller, under its own timestamps:
 * what would have been done, when, and why. Nothing is touched; no clock is read.
 *
 * The log is one JSON object a line (tollgate-rules(5)):
 *   time         seconds since 1970, or RFC 3339 ("2026-02-25T11:12:39.245Z", "... +01:00")
 *   source       the sending IP
 *   destination  its name in the configuration, or an MX host, or a domain
 *   pool         optional; else the configuration's pool of the source
 *   reply        what the receiver answered: "451 4.7.650 ..."
 *   code         in place of a code in the reply, or without a reply
 * Other keys are ignored.
 */
#ifndef SIDECAR_INGEST_REPLAY_H
#define SIDECAR_INGEST_REPLAY_H

#include "sidecar/config/config.h"
#include "sidecar/rules/classify.h"
#include "sidecar/rules/rule_engine.h"

struct replay;

/* Something that the rules, or the controller (a rule of that name), would have done. Pointers are
 * good during the call. */
struct replay_action {
	uint64_t time_ns; /* since 1970 */
	uint64_t line;
	const char *source, *destination;
	enum rule_action_kind kind;
	const struct rule_effect *effect;
	const struct classification *classification;
	const char *reply;
	size_t reply_len;
};

struct replay_total {
	const char *destination;
	uint64_t replies, classes[REPLY_CLASSES];
	uint64_t actions[RULE_ACTIONS]; /* how often */
	uint64_t held_ns;		/* holds of all flows together */
	uint64_t while_held;		/* replies to what a hold would have kept back */
	uint64_t first_ns, last_ns;	/* of actions; 0: none */
};

/* The classifier's rules. `act` is called for every action, in the order of the log. -ENOMEM. */
int replay_create(const struct classifier *classifier, const struct config *config,
		  void (*act)(void *context, const struct replay_action *action), void *context,
		  struct replay **ret_replay);
void replay_free(struct replay *replay);

/* Takes a line. 0; -EINVAL with *ret_reason (good until the next call) for a line that is none;
 * -ENOMEM. */
int replay_line(struct replay *replay, const char *line, size_t len, const char **ret_reason);

/* By destination, in the order in which they appeared. */
unsigned replay_totals(const struct replay *replay, const struct replay_total **ret_totals);

/* "2026-02-25T11:12:39.245Z" to nanoseconds since 1970; -EINVAL. And back, in UTC. */
int replay_time(const char *text, uint64_t *ret_ns);
const char *replay_time_text(uint64_t ns, char *text, size_t size);

#endif
