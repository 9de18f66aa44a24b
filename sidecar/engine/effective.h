/* SPDX-License-Identifier: MIT
 *
 * What is in force for a flow: the strictest of the configuration, the controller, rules and the
 * operator, each value with who won.
 *
 * Pure. What rules and the operator ask for is kept per flow as effects, each until a time; they
 * stand in `control`, so they outlive the sidecar: fixed width, no pointers.
 */
#ifndef SIDECAR_ENGINE_EFFECTIVE_H
#define SIDECAR_ENGINE_EFFECTIVE_H

#include "sidecar/config/limits.h"
#include "sidecar/control/control.h"
#include "sidecar/segment/publish.h"

enum effect_kind {
	EFFECT_NONE,
	EFFECT_HOLD,	       /* nothing goes before until_ns */
	EFFECT_INTERVAL,       /* no message sooner than every `value` ns */
	EFFECT_CONNECTIONS,    /* at most `value` at once */
	EFFECT_PER_CONNECTION, /* at most `value` messages a connection */
	EFFECT_HOUR,	       /* at most `value` messages an hour */
	EFFECT_DAY,
	EFFECT_KINDS
};

#define EFFECT_NAME 72 /* the longest name of a rule, 64, and its end */
#define EFFECT_WHY  64

struct effect {
	uint32_t kind;	  /* enum effect_kind */
	uint32_t by_hand; /* the operator's: `reset` and `release` take it away */
	uint64_t value;
	uint64_t from_ns;
	uint64_t until_ns;	/* UINT64_MAX: until it is taken away */
	char name[EFFECT_NAME]; /* of the rule, terminated */
	char why[EFFECT_WHY];	/* the operator's reason */
};

#define EFFECTS 8
_Static_assert(EFFECTS > EFFECT_KINDS - 1, "the operator's, one a kind, leave room for rules'");

/* Who decided a value, for `explain`. */
enum effective_by { BY_CONFIGURATION, BY_CONTROL, BY_RULE, BY_HAND };

struct effective {
	struct publish_limits limits;
	enum effective_by rate_by, hold_by, hour_by, day_by, connections_by, per_connection_by;
	int rate_effect, hold_effect, hour_effect, day_effect, connections_effect,
		per_connection_effect; /* index of the effect that won, or -1 */
	uint64_t next_ns; /* when an effect ends, or begins to matter; UINT64_MAX: none */
};

/* control NULL: the flow does not adapt. parents: LAYOUT_SOURCE and LAYOUT_DESTINATION where those
 * have limits. */
void effective_merge(const struct flow_limits *configured, const struct control_limits *control,
		     const struct effect effects[EFFECTS], uint32_t parents, uint64_t now_ns,
		     struct effective *ret);

/* A slot that is no flow has what is configured. */
void effective_plain(const struct flow_limits *configured, struct publish_limits *ret);

/* The bounds that the configuration sets to the controller. */
void effective_bounds(const struct flow_limits *configured, int64_t wall_offset_ns,
		      struct control_bounds *ret);

/* Adds an effect: the same kind by the same name is replaced; else a free or ended place is taken,
 * else that of the rule's effect that ends first. Names and reasons are cut. */
void effect_add(struct effect effects[EFFECTS], const struct effect *effect, uint64_t now_ns);

/* Takes away what the operator set, of one kind or (EFFECT_NONE) of all. Returns how many. */
unsigned effect_drop_by_hand(struct effect effects[EFFECTS], enum effect_kind kind);

/* What was found in a file: kinds in range, texts terminated. Unfit ones are emptied. */
void effects_check(struct effect effects[EFFECTS]);

#endif
