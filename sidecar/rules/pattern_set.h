/* SPDX-License-Identifier: MIT
 *
 * Many regular expressions over one text, in one pass.
 *
 * Vectorscan finds all of them at once; what its syntax cannot express (look-around, back
 * references, possessive groups) it finds roughly, and PCRE2 confirms. Expressions are PCRE's,
 * without regard to case (the text has to be in lower case, see reply_parse.h), unanchored, over
 * bytes; a dot matches every byte. A set is immutable: any thread may scan with it, each with a
 * scratch of its own. Creating allocates and takes up to a second for as many as we ship, unless a
 * set of the same patterns exists in this process: that is used once more, so that a reload that
 * changes no rule compiles nothing. Scanning does neither.
 */
#ifndef SIDECAR_RULES_PATTERN_SET_H
#define SIDECAR_RULES_PATTERN_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pattern_set;
struct pattern_scratch;

/* What is wrong with which of the patterns. */
struct pattern_error {
	unsigned index;
	char reason[160];
};

/* Of the patterns those with use[i] (NULL: all); each keeps its number. 0; -EINVAL with *error
 * filled if a pattern is none; -ENOTSUP (error filled, index 0) if Vectorscan does not run on this
 * processor; -ENOMEM. */
int pattern_set_create(const char *const *patterns, const bool *use, unsigned count,
		       struct pattern_set **ret_set, struct pattern_error *error);
void pattern_set_free(struct pattern_set *set);

/* One a thread, good for each of these sets. -ENOMEM. */
int pattern_scratch_create(struct pattern_set *const *sets, unsigned count,
			   struct pattern_scratch **ret_scratch);
void pattern_scratch_free(struct pattern_scratch *scratch);

/* Words of 64 bits in what pattern_set_scan fills. */
unsigned pattern_set_words(const struct pattern_set *set);

/* Sets bit i of `found` for each pattern i of the set that matches somewhere in the text, and
 * leaves the bits of others as they are: the caller clears them before. 0; -EIO if the matcher
 * failed, which only a scratch in use by another thread can cause. */
int pattern_set_scan(const struct pattern_set *set, struct pattern_scratch *scratch,
		     const char *text, size_t len, uint64_t *found);

/* What is known of a pattern by itself. */
struct pattern_info {
	size_t min_len; /* the shortest text that matches */
	bool never;	/* Vectorscan proves that it matches nothing */
	bool confirmed; /* PCRE2 has to confirm it: slower */
};

/* For tests: as if Vectorscan were one that loses (or keeps) bytes above 127, whatever the
 * processor. Holds for sets that are created from now on. */
void pattern_set_distrust(bool lost);

/* 0; -EINVAL or -ENOTSUP with *error filled (index 0); -ENOMEM. For check and lint: it builds
 * nothing. */
int pattern_inspect(const char *pattern, struct pattern_info *ret_info,
		    struct pattern_error *error);

#endif
