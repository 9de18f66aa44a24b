/* SPDX-License-Identifier: MIT
 *
 * What stands in a rule file and can never match or never act.
 *
 * A file that is wrong is refused by rule_file_check; this is about one that is right and dead: an
 * expression that no reply can match, codes that contradict each other, a name that no destination
 * has, an entry behind one that always comes first, a hold that outlasts the mail;
 * and an expression that a reply can make backtrack without end. It may miss what
 * only a proof would find; what it says is so.
 */
#ifndef SIDECAR_RULES_RULE_LINT_H
#define SIDECAR_RULES_RULE_LINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/rules/rule_file.h"

#define RULE_QUEUE_LIFETIME_NS (UINT64_C(72) * 3600 * 1000000000)

struct rule_lint {
	uint64_t
		queue_lifetime_ns; /* how long the MTA keeps a message; 0: RULE_QUEUE_LIFETIME_NS */
	/* The names there are; NULL: not known, and not looked at. */
	const char *const *destinations, *const *sources, *const *pools;
	unsigned destination_count, source_count, pool_count;
	bool any_destination; /* a rule may name others too: domains that no one configured */
	/* The rules that apply as well (the built-in ones), for "a destination that no rule can
	 * reach". */
	const struct rule_file *others;
};

struct rule_warning {
	struct yaml_mark mark; /* 0: about no line */
	char path[80];	       /* "rules[3].match.text[0]" */
	char reason[200];
};

/* The number of warnings, in *ret_warnings, which the caller frees (NULL if there are none);
 * -ENOMEM. */
int rule_file_lint(const struct rule_file *file, const struct yaml_marks *marks,
		   const struct rule_lint *lint, struct rule_warning **ret_warnings);

#endif
