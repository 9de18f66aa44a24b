/* SPDX-License-Identifier: MIT
 *
 * One regular expression, in full PCRE syntax: confirms what Vectorscan finds only roughly. The one
 * user of PCRE2.
 */
#ifndef SIDECAR_RULES_PATTERN_PCRE_H
#define SIDECAR_RULES_PATTERN_PCRE_H

#include <stdbool.h>
#include <stddef.h>

struct pattern_pcre;

/* -EINVAL with the reason, -ENOMEM. */
int pattern_pcre_create(const char *pattern, struct pattern_pcre **ret_confirm, char *reason,
			size_t reason_size);
void pattern_pcre_free(struct pattern_pcre *confirm);

/* Room for matching, one a thread; NULL if there is no memory. */
struct pattern_match_data *pattern_pcre_data_create(void);
void pattern_pcre_data_free(struct pattern_match_data *data);

/* Whether it matches somewhere. An expression that backtracks beyond PATTERN_STEPS_MAX is taken as
 * not matching, so that no text can hold up the sidecar. */
#define PATTERN_STEPS_MAX 100000
bool pattern_pcre_match(const struct pattern_pcre *confirm, struct pattern_match_data *data,
			const char *text, size_t len);

/* Whether matching this text, or finding that it does not match, takes more than PATTERN_STEPS_MAX:
 * for lint. */
bool pattern_pcre_exhausts(const struct pattern_pcre *confirm, struct pattern_match_data *data,
			   const char *text, size_t len);

/* The one character that every match must contain as its last fixed one, or -1: for lint. */
int pattern_pcre_last(const struct pattern_pcre *confirm);

/* The length of the shortest text that matches, a lower bound: for lint. */
size_t pattern_pcre_min_len(const struct pattern_pcre *confirm);

#endif
