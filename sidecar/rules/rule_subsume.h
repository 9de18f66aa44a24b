/* SPDX-License-Identifier: MIT
 *
 * Whether one entry of a rule file leaves nothing to another.
 */
#ifndef SIDECAR_RULES_RULE_SUBSUME_H
#define SIDECAR_RULES_RULE_SUBSUME_H

#include <stdbool.h>

#include "sidecar/rules/rule_file.h"

/* Whether every reply that `narrow` matches, `wide` matches too. False where it cannot be told. */
bool rule_match_covers(const struct rule_match *wide, const struct rule_match *narrow);

/* Whether a fires whenever b does, and each of its actions is at least as strict: b never wins. */
bool rule_subsumes(const struct rule *a, const struct rule *b);

#endif
