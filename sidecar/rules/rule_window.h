/* SPDX-License-Identifier: MIT
 *
 * What a rule remembers of one flow: a window of its own over time.
 *
 * No pointers, no more words than its trigger needs, time as an argument (nanoseconds of one clock, which may go backwards:
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
	uint32_t words[]; /* as many as the trigger needs: exact times in milliseconds, or attempts
			     and hits by turns, of each slot */
};

/* How many words a trigger's window has: RULE_WINDOW_WORDS at most. */
#define RULE_WINDOW_WORDS (2 * RULE_WINDOW_SLOTS)
uint32_t rule_window_words(const struct rule_trigger *trigger);

/* Two triggers of the same shape can use each other's windows; one of another must begin anew. */
uint32_t rule_window_shape(const struct rule_trigger *trigger);

/* Counts attempts, of which `hits` are replies that the rule matches. True if that fires the
 * trigger; the window then starts anew, so that a rule fires once for each time its condition is
 * met. Only a hit can fire. An empty window is all zeros. */
bool rule_window_add(struct rule_window *window, const struct rule_trigger *trigger,
		     uint32_t attempts, uint32_t hits, uint64_t now_ns);

/* What is in the window now, for people: attempts (0 for COUNT) and hits. */
void rule_window_sum(const struct rule_window *window, const struct rule_trigger *trigger,
		     uint64_t now_ns, uint32_t *ret_attempts, uint32_t *ret_hits);

#endif
