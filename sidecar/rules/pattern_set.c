/* SPDX-License-Identifier: MIT
 *
 * Many regular expressions in one pass, by Vectorscan. The one user of <hs.h>.
 *
 * Each pattern is one of three: exact (Vectorscan alone), rough (Vectorscan's prefilter, then
 * PCRE2) and foreign (Vectorscan cannot even approximate it: PCRE2 runs on every text).
 *
 * BUGS: Vectorscan 5.4.9 loses matches of some patterns when certain others stand in the same set;
 * those that we met have optional words or a gap before alternatives. What we ship is checked
 * against PCRE2 (tests/test_pattern_set.c); what a user adds is not. Where char has no sign, as on
 * aarch64, it loses bytes above 127 (VectorCamp/vectorscan#135), though only in a set as large as
 * ours, so that trying a few at start does not show it: there patterns with such bytes are foreign.
 */
#include "sidecar/rules/pattern_set.h"

#include <errno.h>
#include <hs/hs.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/hash_table.h"
#include "sidecar/rules/pattern_pcre.h"

/* Not HS_FLAG_SINGLEMATCH: for Vectorscan to remember what was found costs more than to hear it
 * twice. */
#define NO_PLATFORM "Vectorscan needs SSE 4.2 or NEON"

#define FLAGS (HS_FLAG_DOTALL | HS_FLAG_ALLOWEMPTY)

enum pattern_kind { EXACT, ROUGH, FOREIGN, ABSENT };

struct pattern_set {
	UT_hash_handle hh;
	unsigned uses;
	char *key; /* what it was made of */
	size_t key_length;
	unsigned count, words, foreign_count;
	enum pattern_kind *kind;
	struct pattern_pcre **confirm; /* NULL where exact */
	unsigned *foreign;
	hs_database_t *database; /* NULL if all are foreign */
};

struct pattern_scratch {
	hs_scratch_t *hs;
	struct pattern_match_data *pcre;
};

/* Texts are lower case, so that a pattern without a capital needs no look at case: a scan takes 4 %
 * less (on the corpus mix and the rules we ship). */
static unsigned pattern_flags(const char *pattern)
{
	for (; *pattern != '\0'; pattern++)
		if (*pattern >= 'A' && *pattern <= 'Z')
			return FLAGS | HS_FLAG_CASELESS;
	return FLAGS;
}

static bool bytes_lost = CHAR_MIN == 0;

void pattern_set_distrust(bool lost)
{
	bytes_lost = lost;
}

/* As they are, or by their number. */
static bool pattern_has_bytes(const char *pattern)
{
	for (; *pattern != '\0'; pattern++)
		if ((unsigned char)*pattern >= 0x80 || (pattern[0] == '\\' && pattern[1] == 'x'))
			return true;
	return false;
}

static bool pattern_trusted(const char *pattern)
{
	return !bytes_lost || !pattern_has_bytes(pattern);
}

static int confirm_add(struct pattern_set *set, unsigned i, const char *pattern,
		       enum pattern_kind kind, struct pattern_error *error)
{
	set->kind[i] = kind;
	if (set->confirm[i] != NULL)
		return 0;
	error->index = i;
	return pattern_pcre_create(pattern, &set->confirm[i], error->reason, sizeof(error->reason));
}

/* Compiles what is not foreign. A pattern that is refused goes one step down
 * (exact, rough, foreign) and it is tried again, which costs little: Vectorscan reads all of them
 * before it builds anything. */
static int database_compile(struct pattern_set *set, const char *const *patterns,
			    struct pattern_error *error)
{
	const char **expression = calloc(set->count, sizeof(*expression));
	unsigned *flags = calloc(set->count, sizeof(*flags)), *id = calloc(set->count, sizeof(*id));
	int err = expression && flags && id ? -EAGAIN : -ENOMEM;

	while (err == -EAGAIN) {
		hs_compile_error_t *fault = NULL;
		unsigned n = 0, bad;
		hs_error_t hs;

		for (unsigned i = 0; i < set->count; i++) {
			if (set->kind[i] >= FOREIGN)
				continue;
			expression[n] = patterns[i], id[n] = i;
			flags[n++] = pattern_flags(patterns[i]) |
				     (set->kind[i] == ROUGH ? HS_FLAG_PREFILTER : 0);
		}
		if (n == 0) {
			err = 0;
			break;
		}
		hs = hs_compile_multi(expression, flags, id, n, HS_MODE_BLOCK, NULL, &set->database,
				      &fault);
		if (hs == HS_SUCCESS) {
			err = 0;
			break;
		}
		bad = fault != NULL && fault->expression >= 0 ? id[fault->expression] : set->count;
		snprintf(error->reason, sizeof(error->reason), "%s",
			 fault ? fault->message : "no memory");
		hs_free_compile_error(fault);
		if (bad == set->count)
			err = hs == HS_NOMEM ? -ENOMEM : -EINVAL;
		else if (confirm_add(set, bad, patterns[bad], set->kind[bad] + 1, error) != 0)
			err = -EINVAL;
	}
	free(expression);
	free(flags);
	free(id);
	return err;
}

/* ---- sets that exist ------------------------------------------------------------------------- */

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pattern_set *shared; /* under the lock, and so are their uses */

/* Of each pattern that is used its number and its text. NULL: no memory. */
static char *key_make(const char *const *patterns, const bool *use, unsigned count,
		      size_t *ret_length)
{
	size_t length = 0;
	char *key = NULL;
	FILE *to = open_memstream(&key, &length);
	bool whole;

	if (to == NULL)
		return NULL;
	fprintf(to, "%d %u", bytes_lost, count);
	for (unsigned i = 0; i < count; i++)
		if (use == NULL || use[i])
			fprintf(to, "%c%u %s", '\0', i, patterns[i]);
	whole = !ferror(to);
	if (fclose(to) != 0 || !whole) {
		free(key);
		return NULL;
	}
	*ret_length = length;
	return key;
}

static void set_free(struct pattern_set *set)
{
	for (unsigned i = 0; set->confirm != NULL && i < set->count; i++)
		pattern_pcre_free(set->confirm[i]);
	hs_free_database(set->database);
	free(set->kind);
	free(set->confirm);
	free(set->foreign);
	free(set->key);
	free(set);
}

/* A set with the key, used once more; NULL: none exists. */
static struct pattern_set *set_take(const char *key, size_t length)
{
	struct pattern_set *found;

	pthread_mutex_lock(&shared_lock);
	HASH_FIND(hh, shared, key, length, found);
	if (found)
		found->uses++;
	pthread_mutex_unlock(&shared_lock);
	return found;
}

/* Shares a set from now on. Where another thread made the same meanwhile, both go on by themselves;
 * so does one there is no memory to share. */
static void set_offer(struct pattern_set *set)
{
	struct pattern_set *found;

	pthread_mutex_lock(&shared_lock);
	HASH_FIND(hh, shared, set->key, set->key_length, found);
	if (found == NULL)
		HASH_ADD_KEYPTR(hh, shared, set->key, set->key_length, set);
	pthread_mutex_unlock(&shared_lock);
}

/* ---- making ---------------------------------------------------------------------------------- */

static int set_fill(struct pattern_set *set, const char *const *patterns, const bool *use,
		    struct pattern_error *error)
{
	int err = 0;

	set->words = (set->count + 63) / 64;
	set->kind = calloc(set->count + 1, sizeof(*set->kind));
	set->confirm = calloc(set->count + 1, sizeof(struct pattern_pcre *));
	set->foreign = calloc(set->count + 1, sizeof(*set->foreign));
	if (set->kind == NULL || set->confirm == NULL || set->foreign == NULL)
		return -ENOMEM;
	if (hs_valid_platform() != HS_SUCCESS) {
		snprintf(error->reason, sizeof(error->reason), NO_PLATFORM);
		return -ENOTSUP;
	}
	for (unsigned i = 0; err == 0 && i < set->count; i++) {
		set->kind[i] = use == NULL || use[i] ? EXACT : ABSENT;
		if (set->kind[i] == EXACT && !pattern_trusted(patterns[i]))
			err = confirm_add(set, i, patterns[i], FOREIGN, error);
	}
	if (err == 0)
		err = database_compile(set, patterns, error);
	for (unsigned i = 0; err == 0 && i < set->count; i++)
		if (set->kind[i] == FOREIGN)
			set->foreign[set->foreign_count++] = i;
	return err;
}

int pattern_set_create(const char *const *patterns, const bool *use, unsigned count,
		       struct pattern_set **ret_set, struct pattern_error *error)
{
	size_t length = 0;
	char *key = key_make(patterns, use, count, &length);
	struct pattern_set *set = key ? set_take(key, length) : NULL;
	int err;

	*error = (struct pattern_error){.reason = "no memory"};
	if (set) {
		free(key);
		*ret_set = set;
		return 0;
	}
	set = key ? calloc(1, sizeof(*set)) : NULL;
	if (set == NULL) {
		free(key);
		return -ENOMEM;
	}
	*set = (struct pattern_set){.uses = 1, .key = key, .key_length = length, .count = count};
	err = set_fill(set, patterns, use, error);
	if (err) {
		set_free(set);
		return err;
	}
	set_offer(set);
	*ret_set = set;
	return 0;
}

void pattern_set_free(struct pattern_set *set)
{
	bool last;

	if (set == NULL)
		return;
	pthread_mutex_lock(&shared_lock);
	last = --set->uses == 0;
	if (last && !hash_table_lacks(set))
		HASH_DEL(shared, set);
	pthread_mutex_unlock(&shared_lock);
	if (last)
		set_free(set);
}

int pattern_scratch_create(struct pattern_set *const *sets, unsigned count,
			   struct pattern_scratch **ret_scratch)
{
	struct pattern_scratch *scratch = calloc(1, sizeof(*scratch));
	bool good;

	if (scratch == NULL)
		return -ENOMEM;
	scratch->pcre = pattern_pcre_data_create();
	good = scratch->pcre != NULL;
	for (unsigned i = 0; good && i < count; i++)
		good = sets[i]->database == NULL ||
		       hs_alloc_scratch(sets[i]->database, &scratch->hs) == HS_SUCCESS;
	if (!good) {
		pattern_scratch_free(scratch);
		return -ENOMEM;
	}
	*ret_scratch = scratch;
	return 0;
}

void pattern_scratch_free(struct pattern_scratch *scratch)
{
	if (scratch == NULL)
		return;
	hs_free_scratch(scratch->hs);
	pattern_pcre_data_free(scratch->pcre);
	free(scratch);
}

unsigned pattern_set_words(const struct pattern_set *set)
{
	return set->words;
}

static int found_bit(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
		     void *context)
{
	uint64_t *found = context;

	found[id / 64] |= UINT64_C(1) << id % 64;
	return 0;
}

int pattern_set_scan(const struct pattern_set *set, struct pattern_scratch *scratch,
		     const char *text, size_t len, uint64_t *found)
{
	if (set->database != NULL && hs_scan(set->database, text, (unsigned)len, 0, scratch->hs,
					     found_bit, found) != HS_SUCCESS)
		return -EIO;
	for (unsigned i = 0; i < set->foreign_count; i++)
		found[set->foreign[i] / 64] |= UINT64_C(1) << set->foreign[i] % 64;
	for (unsigned word = 0; word < set->words; word++) {
		for (uint64_t left = found[word]; left != 0; left &= left - 1) {
			unsigned id = word * 64 + (unsigned)__builtin_ctzll(left);

			if (set->confirm[id] != NULL &&
			    !pattern_pcre_match(set->confirm[id], scratch->pcre, text, len))
				found[word] &= ~(left & -left);
		}
	}
	return 0;
}

/* Vectorscan only reads the pattern, and builds nothing, which would take a thousand times as long.
 */
static bool pattern_read(const char *pattern, bool rough, struct pattern_info *info)
{
	hs_expr_info_t *found = NULL;
	hs_compile_error_t *fault = NULL;

	if (hs_expression_info(pattern, pattern_flags(pattern) | (rough ? HS_FLAG_PREFILTER : 0),
			       &found, &fault) == HS_SUCCESS) {
		info->min_len = found->min_width;
		info->never = found->min_width == UINT32_MAX;
		free(found);
		return true;
	}
	info->never |= fault != NULL && strstr(fault->message, "never match") != NULL;
	hs_free_compile_error(fault);
	return false;
}

int pattern_inspect(const char *pattern, struct pattern_info *ret_info, struct pattern_error *error)
{
	struct pattern_info info = {0};
	struct pattern_pcre *confirm;
	bool read;

	*error = (struct pattern_error){.reason = ""};
	if (hs_valid_platform() != HS_SUCCESS) {
		snprintf(error->reason, sizeof(error->reason), NO_PLATFORM);
		return -ENOTSUP;
	}
	read = pattern_read(pattern, false, &info);
	if (!read || !pattern_trusted(pattern)) {
		int err = pattern_pcre_create(pattern, &confirm, error->reason,
					      sizeof(error->reason));

		if (err != 0)
			return err;
		if (!read && !pattern_read(pattern, true, &info))
			info.min_len = pattern_pcre_min_len(confirm);
		info.confirmed = true;
		pattern_pcre_free(confirm);
	}
	*ret_info = info;
	return 0;
}
