/* SPDX-License-Identifier: MIT
 *
 * From a configuration to numbers: what one flow, one source, one destination or one stream may do,
 * and from which line of which file each number comes.
 *
 * Pure: reads the configuration, writes its output, nothing else. Any thread may call.
 *
 * Each key of a limits mapping is decided by itself: the most specific level that writes it wins.
 * The levels of a flow, from the least specific on: the defaults below, the built-in file's
 * `limits`, this file's `limits`, the destination's `limits` in the built-in file, the same in this
 * file, the override of the source's pool, the override of the source. One rule ties keys together:
 * `burst`, `floor`, `ceiling` and `start` belong to a rate, and what a less specific level than the
 * rate's own says of them does not count (a cap of 10/min must not inherit the ceiling of what it
 * replaces); the same goes for `connection_burst` and `connection_rate`.
 */
#ifndef SIDECAR_CONFIG_LIMITS_H
#define SIDECAR_CONFIG_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/tollgate.h"
#include "sidecar/base/units.h"
#include "sidecar/config/config.h"

enum flow_limits_flag {
	FLOW_COUNT_RECIPIENTS = 1, /* n counts recipients, not messages */
	FLOW_ADAPT = 2,		   /* the controller moves the rate between floor and ceiling */
	FLOW_STRICT = 4,	   /* never more than N in any window of the rate's period */
};

/* Indexes of arrays are enum tg_class: bulk never has more than engaged, engaged never more than
 * transactional, which has all of it; what a higher class has more is its reserve. */
struct flow_limits {
	uint64_t interval_ns;		 /* a message each, rounded up; 0: unlimited */
	uint64_t connection_interval_ns; /* a connection each; 0: unlimited */
	uint64_t floor_interval_ns;	 /* with FLOW_ADAPT: never slower than this (0: never below
					    unlimited) */
	uint64_t ceiling_interval_ns;	 /* never faster; 0: unlimited */
	uint64_t
		start_interval_ns; /* where a flow of which nothing is known starts; 0: unlimited */
	uint32_t burst[TG_CLASSES]; /* messages at once; at least 1 where a rate holds or adapt may
				       bring one, else 0 */
	uint32_t hour_cap[TG_CLASSES];	  /* messages; 0: none */
	uint32_t day_cap[TG_CLASSES];	  /* 0: none */
	uint32_t connections[TG_CLASSES]; /* at once; 0: any number */
	uint32_t connection_burst;	  /* connections at once of connection_interval_ns */
	uint32_t per_connection;	  /* messages; 0: any number */
	uint32_t hour_phase_s;		  /* the hour's window begins that long after the clock's */
	uint32_t day_phase_min;		  /* the day's, after midnight */
	/* By enum baseline_span (sidecar/engine/baseline.h). */
	uint32_t baseline_floor[3];
	uint32_t baseline_factor; /* thousandths; 0: off */
	uint32_t flags;		  /* enum flow_limits_flag */
};

/* Where a value of a limit comes from. */
struct limits_origin {
	const char *file;      /* NULL: a default that no file writes */
	char section[96];      /* "destinations.google.limits" */
	struct yaml_mark mark; /* of the value */
	uint32_t level;	       /* the greater, the more specific; 0 where file is NULL */
};

struct resolved_limits {
	struct flow_limits limits;
	struct units_rate rate; /* as written; count 0: unlimited */
	struct units_rate connection_rate;
	/* Reserves in messages or connections: of transactional and engaged; of burst, hour, day,
	 * connections. */
	uint64_t parts[4][2];
	struct limits_origin origin[LIMIT_KEYS];
};

/* Of a flow: any source address (NULL: a source in no pool), and the name of a destination as the
 * matcher gives it. */
void limits_resolve_flow(const struct config *config, const uint8_t source[16],
			 const char *destination, struct resolved_limits *ret);

/* Of a source over all destinations, a destination over all sources, a stream. */
void limits_resolve_source(const struct config *config, const uint8_t source[16],
			   struct resolved_limits *ret);
void limits_resolve_destination(const struct config *config, const char *destination,
				struct resolved_limits *ret);
void limits_resolve_stream(const struct config *config, const char *stream,
			   struct resolved_limits *ret);

/* Whether anything is limited at all. */
bool limits_any(const struct resolved_limits *resolved);

/* "destinations.google.limits.rate, tollgate.yaml line 12", or "default". Returns text. */
const char *limits_origin_text(const struct resolved_limits *resolved, enum config_limit limit,
			       char *text, size_t size);

/* The limit's value as a person would write it: "10/min", "20 (engaged 18, bulk 14)", "unlimited";
 * "-" where it has no meaning for this policy. Returns text. */
const char *limits_value_text(const struct resolved_limits *resolved, enum config_limit limit,
			      char *text, size_t size);

/* What each class may use: "20", or "20 (engaged 18, bulk 14)" where there are reserves;
 * "unlimited" where the first is 0. Returns text. */
const char *limits_classes_text(const uint32_t value[TG_CLASSES], char *text, size_t size);

/* How many messages any half-open window of that length can at most hold by the rate (UINT64_MAX:
 * no bound): burst + ceil(window / interval) - 1. */
uint64_t limits_window_max(const struct flow_limits *limits, uint64_t window_ns);

/* ---- what a policy must fulfil --------------------------------------------------------------- */

/* One thing that is wrong with the numbers of a policy, and the two keys that make it so. */
struct limits_finding {
	bool error; /* else a warning */
	enum config_limit key;
	enum config_limit other;
	char text[200];
};

#define LIMITS_FINDINGS_MAX 16

/* Writes what is wrong: limits that contradict each other (errors), and those that shadow another
 * or have no effect (warnings). Returns how many; each kind is found at most once. */
unsigned limits_check(const struct resolved_limits *resolved,
		      struct limits_finding ret[LIMITS_FINDINGS_MAX]);

#endif
