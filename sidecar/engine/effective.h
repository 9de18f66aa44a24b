/* SPDX-License-Identifier: MIT
 *
 * What is in force for a flow: the strictest of the configuration, the controller, rules and the
 * operator, each value with who won.
 *
 * Pure. What rules and the operator ask for is kept per flow as constraints, each until a time;
 * they stand in `control`, so they outlive the sidecar: fixed width, no pointers.
 */
#ifndef SIDECAR_ENGINE_EFFECTIVE_H
#define SIDECAR_ENGINE_EFFECTIVE_H

#include "sidecar/config/limits.h"
#include "sidecar/control/control.h"
#include "sidecar/engine/baseline.h"
#include "sidecar/engine/warmup.h"
#include "sidecar/segment/publish.h"

enum constraint_kind {
	CONSTRAINT_NONE,
	CONSTRAINT_HOLD,	   /* nothing goes before until_ns */
	CONSTRAINT_INTERVAL,	   /* no message sooner than every `value` ns */
	CONSTRAINT_CONNECTIONS,	   /* at most `value` at once */
	CONSTRAINT_PER_CONNECTION, /* at most `value` messages a connection */
	CONSTRAINT_HOUR,	   /* at most `value` messages an hour */
	CONSTRAINT_DAY,
	CONSTRAINT_SHARE, /* rate, hour and day are scaled by effective_constraint_share() */
	CONSTRAINT_KINDS
};

#define CONSTRAINT_NAME 72 /* the longest name of a rule, 64, and its end */
#define CONSTRAINT_WHY	64

struct constraint {
	uint32_t kind;	      /* enum constraint_kind */
	uint32_t by_operator; /* the operator's: `reset` and `release` take it away */
	uint64_t value;
	uint64_t from_ns;
	uint64_t until_ns;	    /* UINT64_MAX: until it is taken away */
	char name[CONSTRAINT_NAME]; /* of the rule, terminated */
	char why[CONSTRAINT_WHY];   /* the operator's reason */
};

#define CONSTRAINTS 8
_Static_assert(CONSTRAINTS > CONSTRAINT_KINDS - 1,
	       "the operator's, one a kind, leave room for rules'");

/* A share's value: millionths, and behind them what its owner keeps there. It comes back by itself
 * in the last CONSTRAINT_SHARE_BACK_NS of its time, an hour at a time: what ends must be no cliff. */
#define CONSTRAINT_SHARE_BITS	 20
#define CONSTRAINT_SHARE_ONE	 1000000u
#define CONSTRAINT_SHARE_BACK_NS (UINT64_C(48) * 3600 * 1000000000)

double effective_constraint_share(const struct constraint *constraint, uint64_t now_ns);

/* Who decided a value, for `explain`. */
enum effective_by {
	BY_CONFIGURATION,
	BY_CONTROL,
	BY_RULE,
	BY_OPERATOR,
	BY_BASELINE,
	BY_WARMUP,
};

struct effective {
	struct publish_limits limits;
	enum effective_by rate_by, hold_by, hour_by, day_by, connections_by, per_connection_by;
	int rate_constraint, hold_constraint, hour_constraint, day_constraint,
		connections_constraint,
		per_connection_constraint; /* index of the constraint that won, or -1 */
	uint64_t next_ns; /* when a constraint ends, or begins to matter; UINT64_MAX: none */
};

/* control NULL: the flow does not adapt. parents: LAYOUT_SOURCE and LAYOUT_DESTINATION where those
 * have limits. */
void effective_merge(const struct flow_limits *configured, const struct control_limits *control,
		     const struct constraint constraints[CONSTRAINTS], uint32_t parents,
		     uint64_t now_ns, struct effective *ret);

/* No minute, hour and day has more than that (sidecar/engine/baseline.h): whatever is stricter stays,
 * and classes keep their reserves as far as they fit. */
void effective_baseline(struct effective *effective, const uint32_t caps[BASELINE_SPANS]);

/* Scales what is in force by the smallest share there is: after all else. */
void effective_share(struct effective *effective, const struct constraint constraints[CONSTRAINTS],
		     uint64_t now_ns);

/* What warm-up allows, where that is less: its hour and day are the configured ones, and an hour's
 * mail is spread evenly over it. */
void effective_warmup(struct effective *effective, const struct flow_limits *configured,
		      const struct warmup_caps *caps);

/* A slot that is no flow has what is configured. */
void effective_plain(const struct flow_limits *configured, struct publish_limits *ret);

/* The bounds that the configuration sets to the controller. */
void effective_bounds(const struct flow_limits *configured, int64_t wall_offset_ns,
		      struct control_bounds *ret);

/* Adds a constraint: the same kind by the same name is replaced; else a free or ended place is
 * taken, else that of the rule's constraint that ends first. Names and reasons are cut. */
void effective_constraint_add(struct constraint constraints[CONSTRAINTS],
			      const struct constraint *constraint, uint64_t now_ns);

/* Takes away what the operator set, of one kind or (CONSTRAINT_NONE) of all. Returns how many. */
unsigned effective_constraint_remove_by_operator(struct constraint constraints[CONSTRAINTS],
						 enum constraint_kind kind);

/* What was found in a file: kinds in range, texts terminated. Unfit ones are emptied. */
void effective_constraints_check(struct constraint constraints[CONSTRAINTS]);

#endif
