/* SPDX-License-Identifier: MIT
 *
 * Reply to class. The texts of all entries and rules are patterns, numbered texts of entries,
 * exceptions of entries, texts of rules, exceptions of rules. A pass over the reply says which are
 * in it; these, and the entries that ask for codes alone, are looked at in the order of the file.
 *
 * The patterns stand in two halves by the order of the file, the second one in two sets, for 5xx
 * replies and for all others; it is only looked for where the first half decides nothing. One set
 * of all is as right and a third slower (on the corpus mix 1.15 us a scan against 0.7 us), since
 * what Vectorscan takes grows with the number of patterns. An entry in front of all texts (codes of
 * their own, deliveries) needs no pass at all.
 */
#include "sidecar/rules/classify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/intern.h"
#include "sidecar/rules/pattern_set.h"
#include "sidecar/rules/rule_parse.h"

#define CODES	   400 /* 200 to 599 */
#define CODE_WORDS ((CODES + 63) / 64)
#define HALVES	   2
#define CODE_KINDS 2 /* of replies: 5xx, all others */

/* Patterns first to end, of entry or rule. */
struct span {
	unsigned first, end;
};

struct class_entry {
	const struct rule_class *rule;
	bool lowers_cap;
	bool any_code;
	uint64_t codes[CODE_WORDS];
	struct rule_range *enhanced;
	unsigned enhanced_count;
	unsigned *destination; /* indexes of the name table */
	unsigned destination_count;
	struct span not_text;
};

struct classifier {
	const struct rule_file *files[2];
	struct class_entry *entries;
	unsigned entry_count, entry_words;
	unsigned first_text; /* entries below ask for codes alone */
	bool rules_ask_text;
	unsigned rule_count;
	struct span *rule_text, *rule_not_text;
	unsigned text_end;    /* patterns below are texts of entries ... */
	unsigned *text_entry; /* ... of which one */
	uint64_t *by_code; /* [CODES + 1][entry_words]: entries without a text; the last: no code */
	struct intern *destinations;
	unsigned half_end[HALVES]; /* the entries of a half end there */
	struct pattern_set *patterns[HALVES * CODE_KINDS];
};

struct classify_scratch {
	struct pattern_scratch *scratch;
	uint64_t *found;
	uint64_t *candidates;
	char folded[REPLY_FOLDED_MAX];
};

static bool lowers_by_default(enum reply_class class, enum reply_limit limit)
{
	switch (class) {
	case REPLY_RATE: return limit != REPLY_LIMIT_PER_CONNECTION;
	case REPLY_REPUTATION:
	case REPLY_VOLUME_SPIKE:
	case REPLY_BLOCKLIST: return true;
	default: return false;
	}
}

bool rule_class_lowers_cap(const struct rule_class *class)
{
	if (class->lowers_cap != RULE_DEFAULT)
		return class->lowers_cap == RULE_YES;
	return lowers_by_default(class->class, class->limit);
}

enum reply_class classification_control(const struct classification *found)
{
	return !found->lowers_cap && lowers_by_default(found->class, found->limit) ? REPLY_POLICY
										   : found->class;
}

/* ---- create -----------------------------------------------------------------------------------
 */
static const struct rule_file none;

static const struct rule_class *entry_rule(const struct classifier *classifier, unsigned i,
					   int *ret_file, unsigned *ret_index)
{
	unsigned first = classifier->files[0]->classes_count;

	*ret_file = i >= first;
	*ret_index = *ret_file ? i - first : i;
	return &classifier->files[*ret_file]->classes[*ret_index];
}

unsigned classifier_rules(const struct classifier *classifier)
{
	return classifier->rule_count;
}

const struct rule *classifier_rule(const struct classifier *classifier, unsigned index)
{
	unsigned first = classifier->files[0]->rules_count;

	return index < first ? &classifier->files[0]->rules[index]
			     : &classifier->files[1]->rules[index - first];
}

static bool code_has(const struct class_entry *entry, unsigned slot)
{
	return entry->any_code || (slot < CODES && entry->codes[slot / 64] >> slot % 64 & 1);
}

static int entry_compile(struct classifier *classifier, struct class_entry *entry)
{
	const struct rule_match *match = &entry->rule->match;
	struct rule_range range;
	const char *reason;

	entry->lowers_cap = rule_class_lowers_cap(entry->rule);
	entry->any_code = match->code_count == 0;
	for (unsigned i = 0; i < match->code_count; i++) {
		if (rule_parse_code(match->code[i], &range, &reason) != 0)
			return -EINVAL;
		for (unsigned code = range.low; code <= range.high; code++)
			entry->codes[(code - 200) / 64] |= UINT64_C(1) << (code - 200) % 64;
	}
	entry->enhanced = calloc(match->enhanced_count + 1, sizeof(*entry->enhanced));
	entry->destination = calloc(match->destination_count + 1, sizeof(*entry->destination));
	if (entry->enhanced == NULL || entry->destination == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < match->enhanced_count; i++)
		if (rule_parse_enhanced(match->enhanced[i],
					&entry->enhanced[entry->enhanced_count++], &reason) != 0)
			return -EINVAL;
	for (unsigned i = 0; i < match->destination_count; i++) {
		int id = intern_add(classifier->destinations, match->destination[i]);

		if (id < 0)
			return id;
		entry->destination[entry->destination_count++] = (unsigned)id;
	}
	return 0;
}

static int entries_compile(struct classifier *classifier)
{
	unsigned words = classifier->entry_words;
	int file, err = intern_create(&classifier->destinations);
	unsigned index;

	for (unsigned i = 0; err == 0 && i < classifier->entry_count; i++) {
		struct class_entry *entry = &classifier->entries[i];

		entry->rule = entry_rule(classifier, i, &file, &index);
		err = entry_compile(classifier, entry);
		for (unsigned slot = 0;
		     err == 0 && slot <= CODES && entry->rule->match.text_count == 0; slot++)
			if (code_has(entry, slot))
				classifier->by_code[slot * words + i / 64] |= UINT64_C(1) << i % 64;
	}
	return err;
}

/* The patterns of all, being collected. */
struct collection {
	char **patterns;
	unsigned count, room;
};

/* Folded as the replies will be. */
static int collect(struct collection *all, char *const *texts, unsigned count,
		   struct span *ret_span)
{
	*ret_span = (struct span){all->count, all->count + count};
	for (unsigned i = 0; i < count; i++) {
		size_t len = strlen(texts[i]);
		char *folded;

		if (all->count == all->room) {
			char **grown =
				realloc(all->patterns, (all->room * 2 + 64) * sizeof(char *));

			if (grown == NULL)
				return -ENOMEM;
			all->patterns = grown;
			all->room = all->room * 2 + 64;
		}
		folded = malloc(len + 1);
		if (folded == NULL)
			return -ENOMEM;
		folded[reply_line_fold_pattern(texts[i], len, folded)] = '\0';
		all->patterns[all->count++] = folded;
	}
	return 0;
}

static int patterns_collect(struct classifier *classifier, struct collection *all)
{
	struct span span;
	int err = 0;

	for (unsigned i = 0; err == 0 && i < classifier->entry_count; i++) {
		const struct rule_match *match = &classifier->entries[i].rule->match;

		err = collect(all, match->text, match->text_count, &span);
	}
	classifier->text_end = all->count;
	classifier->text_entry = calloc(all->count + 1, sizeof(unsigned));
	if (err != 0 || classifier->text_entry == NULL)
		return -ENOMEM;
	for (unsigned i = 0, at = 0; i < classifier->entry_count; i++)
		for (unsigned k = 0; k < classifier->entries[i].rule->match.text_count; k++)
			classifier->text_entry[at++] = i;
	for (unsigned i = 0; err == 0 && i < classifier->entry_count; i++) {
		const struct rule_match *match = &classifier->entries[i].rule->match;

		err = collect(all, match->not_text, match->not_text_count,
			      &classifier->entries[i].not_text);
	}
	for (unsigned i = 0; err == 0 && i < classifier->rule_count; i++) {
		const struct rule_match *match = &classifier_rule(classifier, i)->match;

		err = collect(all, match->text, match->text_count, &classifier->rule_text[i]);
		if (err == 0)
			err = collect(all, match->not_text, match->not_text_count,
				      &classifier->rule_not_text[i]);
	}
	return err;
}

/* The place in the file of a pattern that is none. */
static void error_place(const struct classifier *classifier, unsigned pattern,
			struct classify_error *error)
{
	unsigned index, at = 0;

	for (unsigned i = 0; i < classifier->entry_count; i++) {
		const struct class_entry *entry = &classifier->entries[i];
		unsigned texts = entry->rule->match.text_count;
		bool text = pattern >= at && pattern < at + texts;

		entry_rule(classifier, i, &error->file, &index);
		if (text || (pattern >= entry->not_text.first && pattern < entry->not_text.end)) {
			snprintf(error->path, sizeof(error->path), "classes[%u].%s[%u]", index,
				 text ? "text" : "not_text",
				 pattern - (text ? at : entry->not_text.first));
			return;
		}
		at += texts;
	}
	for (unsigned i = 0; i < classifier->rule_count; i++) {
		struct span text = classifier->rule_text[i],
			    not_text = classifier->rule_not_text[i];
		bool in = pattern >= text.first && pattern < text.end;

		if (!in && !(pattern >= not_text.first && pattern < not_text.end))
			continue;
		error->file = i >= classifier->files[0]->rules_count;
		index = error->file ? i - classifier->files[0]->rules_count : i;
		snprintf(error->path, sizeof(error->path), "rules[%u].match.%s[%u]", index,
			 in ? "text" : "not_text", pattern - (in ? text.first : not_text.first));
		return;
	}
}

/* Whether a reply of that kind can be of the entry. */
static bool entry_possible(const struct class_entry *entry, bool permanent)
{
	if (entry->any_code)
		return true;
	for (unsigned slot = 0; slot < CODES; slot++)
		if (code_has(entry, slot) && (slot >= 300) == permanent)
			return true;
	return false;
}

/* The first entries that have half of all texts are the first half. */
static void halves_part(struct classifier *classifier)
{
	unsigned entry = 0;

	for (unsigned texts = 0;
	     entry < classifier->entry_count && texts < classifier->text_end / 2; entry++)
		texts += classifier->entries[entry].rule->match.text_count;
	classifier->half_end[0] = entry;
	classifier->half_end[1] = classifier->entry_count;
}

/* Which patterns stand in a set. Those of rules are in the first half, which is always looked for
 * then. */
static void patterns_choose(const struct classifier *classifier, unsigned half, bool permanent,
			    bool *use, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		use[i] = half == 0;
	for (unsigned i = 0, text = 0; i < classifier->entry_count; i++) {
		const struct class_entry *entry = &classifier->entries[i];
		bool in = (i >= classifier->half_end[0]) == (half == 1) &&
			  (half == 0 || entry_possible(entry, permanent));

		for (unsigned k = 0; k < entry->rule->match.text_count; k++)
			use[text++] = in;
		for (unsigned k = entry->not_text.first; k < entry->not_text.end; k++)
			use[k] = in;
	}
}

static int sets_create(struct classifier *classifier, const struct collection *all,
		       struct classify_error *error)
{
	bool *use = calloc(all->count + 1, sizeof(*use));
	struct pattern_error fault;
	int err = use == NULL ? -ENOMEM : 0;

	for (unsigned i = 0; err == 0 && i < HALVES * CODE_KINDS; i++) {
		if (i == 1) { /* the first half differs little by kind: one set serves both */
			classifier->patterns[1] = classifier->patterns[0];
			continue;
		}
		patterns_choose(classifier, i / CODE_KINDS, i % CODE_KINDS, use, all->count);
		err = pattern_set_create((const char *const *)all->patterns, use, all->count,
					 &classifier->patterns[i], &fault);
		if (err == 0)
			continue;
		error_place(classifier, fault.index, error);
		snprintf(error->reason, sizeof(error->reason), "%s", fault.reason);
	}
	free(use);
	return err;
}

static int patterns_compile(struct classifier *classifier, struct classify_error *error)
{
	struct collection all = {0};
	int err = patterns_collect(classifier, &all);
	unsigned entry = 0;

	while (entry < classifier->entry_count &&
	       classifier->entries[entry].rule->match.text_count == 0 &&
	       classifier->entries[entry].rule->match.not_text_count == 0)
		entry++;
	classifier->first_text = entry;
	for (unsigned i = 0; i < classifier->rule_count; i++)
		classifier->rules_ask_text |=
			classifier->rule_text[i].end > classifier->rule_text[i].first ||
			classifier->rule_not_text[i].end > classifier->rule_not_text[i].first;

	halves_part(classifier);
	if (err == 0)
		err = sets_create(classifier, &all, error);
	for (unsigned i = 0; i < all.count; i++)
		free(all.patterns[i]);
	free(all.patterns);
	return err;
}

int classifier_create(const struct rule_file *user, const struct rule_file *builtin,
		      struct classifier **ret_classifier, struct classify_error *error)
{
	struct classifier *classifier = calloc(1, sizeof(*classifier));
	int err = -ENOMEM;

	*error = (struct classify_error){.reason = "no memory"};
	if (classifier == NULL)
		return -ENOMEM;
	classifier->files[0] = user != NULL ? user : &none;
	classifier->files[1] =
		builtin != NULL && classifier->files[0]->builtin != RULE_NO ? builtin : &none;
	classifier->entry_count =
		classifier->files[0]->classes_count + classifier->files[1]->classes_count;
	classifier->entry_words = (classifier->entry_count + 63) / 64;
	classifier->rule_count =
		classifier->files[0]->rules_count + classifier->files[1]->rules_count;
	classifier->entries = calloc(classifier->entry_count + 1, sizeof(*classifier->entries));
	classifier->rule_text = calloc(classifier->rule_count + 1, sizeof(*classifier->rule_text));
	classifier->rule_not_text =
		calloc(classifier->rule_count + 1, sizeof(*classifier->rule_not_text));
	classifier->by_code =
		calloc((CODES + 1) * (size_t)classifier->entry_words + 1, sizeof(uint64_t));
	if (classifier->entries != NULL && classifier->rule_text != NULL &&
	    classifier->rule_not_text != NULL && classifier->by_code != NULL)
		err = entries_compile(classifier);
	if (err == 0)
		err = patterns_compile(classifier, error);
	if (err != 0) {
		classifier_free(classifier);
		return err;
	}
	*ret_classifier = classifier;
	return 0;
}

void classifier_free(struct classifier *classifier)
{
	if (classifier == NULL)
		return;
	for (unsigned i = 0; classifier->entries != NULL && i < classifier->entry_count; i++) {
		free(classifier->entries[i].enhanced);
		free(classifier->entries[i].destination);
	}
	for (unsigned i = 0; i < HALVES * CODE_KINDS; i++)
		if (i != 1) /* the same as the one before */
			pattern_set_free(classifier->patterns[i]);
	intern_free(classifier->destinations);
	free(classifier->entries);
	free(classifier->rule_text);
	free(classifier->rule_not_text);
	free(classifier->text_entry);
	free(classifier->by_code);
	free(classifier);
}

int classify_scratch_create(const struct classifier *classifier,
			    struct classify_scratch **ret_scratch)
{
	struct classify_scratch *scratch = calloc(1, sizeof(*scratch));

	if (scratch == NULL)
		return -ENOMEM;
	scratch->found = calloc(pattern_set_words(classifier->patterns[0]) + 1, sizeof(uint64_t));
	scratch->candidates = calloc(classifier->entry_words + 1, sizeof(uint64_t));
	if (scratch->found == NULL || scratch->candidates == NULL ||
	    pattern_scratch_create(classifier->patterns, HALVES * CODE_KINDS, &scratch->scratch) !=
		    0) {
		classify_scratch_free(scratch);
		return -ENOMEM;
	}
	*ret_scratch = scratch;
	return 0;
}

void classify_scratch_free(struct classify_scratch *scratch)
{
	if (scratch == NULL)
		return;
	pattern_scratch_free(scratch->scratch);
	free(scratch->found);
	free(scratch->candidates);
	free(scratch);
}

/* ---- classify ---------------------------------------------------------------------------------
 */
static bool span_found(const uint64_t *found, struct span span)
{
	for (unsigned i = span.first; i < span.end; i++)
		if (found[i / 64] >> i % 64 & 1)
			return true;
	return false;
}

/* Of a reply, what entries ask for besides its text. */
struct codes {
	int destination; /* its number; -1: none that an entry names */
	unsigned slot;	 /* of the code */
	unsigned enhanced;
};

static bool entry_matches(const struct class_entry *entry, const uint64_t *found,
			  const struct codes *reply)
{
	bool any = entry->enhanced_count == 0;

	if (!code_has(entry, reply->slot))
		return false;
	for (unsigned i = 0; !any && reply->enhanced != 0 && i < entry->enhanced_count; i++)
		any = rule_range_has(&entry->enhanced[i], reply->enhanced);
	if (!any)
		return false;
	any = entry->destination_count == 0;
	for (unsigned i = 0; !any && i < entry->destination_count; i++)
		any = (int)entry->destination[i] == reply->destination;
	return any && !span_found(found, entry->not_text);
}

/* The entries worth looking at: those without a text, and those of whose texts one was found. */
static void candidates_find(const struct classifier *classifier, struct classify_scratch *scratch,
			    unsigned slot)
{
	memcpy(scratch->candidates, &classifier->by_code[slot * classifier->entry_words],
	       classifier->entry_words * sizeof(uint64_t));
	for (unsigned word = 0; word * 64 < classifier->text_end; word++) {
		for (uint64_t left = scratch->found[word]; left != 0; left &= left - 1) {
			unsigned pattern = word * 64 + (unsigned)__builtin_ctzll(left), entry;

			if (pattern >= classifier->text_end)
				return;
			entry = classifier->text_entry[pattern];
			scratch->candidates[entry / 64] |= UINT64_C(1) << entry % 64;
		}
	}
}

/* The first of the candidates that matches, of the entries first to end. */
static const struct class_entry *entry_first(const struct classifier *classifier,
					     const uint64_t *candidates, const uint64_t *found,
					     struct span span, const struct codes *reply)
{
	uint64_t mask = UINT64_MAX << span.first % 64;

	for (unsigned word = span.first / 64; word * 64 < span.end; word++, mask = UINT64_MAX) {
		for (uint64_t left = candidates[word] & mask; left != 0; left &= left - 1) {
			unsigned i = word * 64 + (unsigned)__builtin_ctzll(left);

			if (i < span.end && entry_matches(&classifier->entries[i], found, reply))
				return &classifier->entries[i];
		}
	}
	return NULL;
}

/* The entries below `asked` are known not to match. */
static const struct class_entry *entry_by_text(const struct classifier *classifier,
					       struct classify_scratch *scratch,
					       const struct codes *reply, unsigned asked,
					       size_t folded)
{
	const struct class_entry *entry = NULL;
	bool permanent = reply->slot >= 300 && reply->slot < CODES;
	struct span span = {asked, 0};

	memset(scratch->found, 0, pattern_set_words(classifier->patterns[0]) * sizeof(uint64_t));
	for (unsigned half = 0; half < HALVES && entry == NULL; half++) {
		if (pattern_set_scan(classifier->patterns[half * CODE_KINDS + permanent],
				     scratch->scratch, scratch->folded, folded,
				     scratch->found) != 0)
			return NULL;
		candidates_find(classifier, scratch, reply->slot);
		span.end = classifier->half_end[half];
		entry = entry_first(classifier, scratch->candidates, scratch->found, span, reply);
		span.first = span.end;
	}
	return entry;
}

void classify(const struct classifier *classifier, struct classify_scratch *scratch,
	      const char *destination, const struct reply_line *reply,
	      struct classification *ret_classification)
{
	const struct codes codes = {
		.destination = destination != NULL
				       ? intern_find(classifier->destinations, destination)
				       : -1,
		.slot = reply->code >= 200 && reply->code < 200 + CODES ? reply->code - 200 : CODES,
		.enhanced = reply->enhanced,
	};
	struct span by_code = {0, classifier->rules_ask_text ? 0 : classifier->first_text};
	const struct class_entry *entry;

	*ret_classification = (struct classification){REPLY_OTHER, REPLY_LIMIT_NONE, false, "-"};
	/* What codes in front of every text decide needs no look at the text. */
	entry = entry_first(classifier, &classifier->by_code[codes.slot * classifier->entry_words],
			    scratch->found, by_code, &codes);
	if (entry == NULL)
		entry = entry_by_text(classifier, scratch, &codes, by_code.end,
				      reply_line_fold(reply->code, reply->enhanced, reply->text,
						      reply->len, scratch->folded));
	if (entry != NULL)
		*ret_classification =
			(struct classification){entry->rule->class, entry->rule->limit,
						entry->lowers_cap, entry->rule->name};
}

bool classify_rule_text(const struct classifier *classifier, const struct classify_scratch *scratch,
			unsigned rule)
{
	struct span text = classifier->rule_text[rule];

	return (text.first == text.end || span_found(scratch->found, text)) &&
	       !span_found(scratch->found, classifier->rule_not_text[rule]);
}
