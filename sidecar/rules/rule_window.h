/* SPDX-License-Identifier: MIT
 *
 * What a rule remembers of one flow: a window of its own over time.
 *
 * Fixed size, no pointers, time as an argument (nanoseconds of one clock, which may go backwards:
 * then nothing is forgotten and nothing fires early). A count up to RULE_WINDOW_EXACT is exact:
 * "3/hr" are three within any hour. Larger counts and ratios are kept in RULE_WINDOW_SLOTS parts of
 * the period; what is older than the period is never counted, of its oldest part a share may be
 * missing.
 */
#ifndef SIDECAR_RULES_RULE_WINDOW_H
#define SIDECAR_RULES_RULE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "sidecar/rules/rule_parse.h"

#define RULE_WINDOW_EXACT 32u
#define RULE_WINDOW_SLOTS 16u

struct rule_window {
	uint64_t last_ns; /* of the newest entry */
	uint64_t mark;	  /* COUNT: entries so far; else the newest slot, or day */
	union {
		uint32_t at_ms[RULE_WINDOW_EXACT];
		struct {
			uint32_t attempts[RULE_WINDOW_SLOTS], hits[RULE_WINDOW_SLOTS];
		};
	};
};
_Static_assert(sizeof(struct rule_window) == 144, "one for each rule and flow");

/* Counts attempts, of which `hits` are replies that the rule matches. True if that fires the
 * trigger; the window then starts anew, so that a rule fires once for each time its condition is
 * met. Only a hit can fire. An empty window is all zeros. */
bool rule_window_add(struct rule_window *window, const struct rule_trigger *trigger,
		     uint32_t attempts, uint32_t hits, uint64_t now_ns);

/* What is in the window now, for people: attempts (0 for COUNT) and hits. */
void rule_window_sum(const struct rule_window *window, const struct rule_trigger *trigger,
		     uint64_t now_ns, uint32_t *ret_attempts, uint32_t *ret_hits);

#endif
