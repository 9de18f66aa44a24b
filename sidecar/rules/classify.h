/* SPDX-License-Identifier: MIT
 *
 * What a reply means: its class, the limit that it names, and whether it should lower the sending
 * IP's cap, told by the first entry of `classes` that matches (the user's before ours).
 *
 * A classifier is made from rule files and immutable: any thread may classify with it, each with a
 * scratch of its own. Classifying neither allocates nor blocks, about a microsecond for a usual
 * reply. It finds the patterns of all rules in the same pass, and leaves them in the scratch for
 * rule_engine.c.
 */
#ifndef SIDECAR_RULES_CLASSIFY_H
#define SIDECAR_RULES_CLASSIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/rules/reply.h"
#include "sidecar/rules/reply_parse.h"
#include "sidecar/rules/rule_file.h"

struct classifier;
struct classify_scratch;

struct classification {
	enum reply_class class;
	enum reply_limit limit; /* which one, where the class is rate */
	bool lowers_cap;  /* whether it says that this IP sends too much, or is not trusted, here */
	const char *rule; /* the entry's name, of the rule file; "-" if none matched */
};

/* Where a regular expression is none: which file (0 user's, 1 ours), and the path of the value in
 * it. */
struct classify_error {
	int file;
	char path[64];
	char reason[160];
};

/* The user's file (NULL: none) in front of ours (NULL: none; left out too where the user's says
 * `builtin_rules: no`). Both must outlive the classifier. 0; -EINVAL with *error filled; -ENOTSUP
 * on a processor without SSE 4.2 or NEON, *error filled; -ENOMEM. */
int classifier_create(const struct rule_file *user, const struct rule_file *builtin,
		      struct classifier **ret_classifier, struct classify_error *error);
void classifier_free(struct classifier *classifier);

/* One a thread, for this classifier alone. -ENOMEM. */
int classify_scratch_create(const struct classifier *classifier,
			    struct classify_scratch **ret_scratch);
void classify_scratch_free(struct classify_scratch *scratch);

/* `destination` is a name of the configuration, NULL if not known. The reply's text may have any
 * length and bytes; what is beyond REPLY_TEXT_MAX is not read. */
void classify(const struct classifier *classifier, struct classify_scratch *scratch,
	      const char *destination, const struct reply_line *reply,
	      struct classification *ret_classification);

/* The rules of both files, in the order in which they are tried: the user's, then ours. */
unsigned classifier_rules(const struct classifier *classifier);
const struct rule *classifier_rule(const struct classifier *classifier, unsigned index);

/* Whether the reply last classified with this scratch has the text that a rule asks for. */
bool classify_rule_text(const struct classifier *classifier, const struct classify_scratch *scratch,
			unsigned rule);

/* The lowers_cap of an entry: as it says, else by its class and limit. */
bool rule_class_lowers_cap(const struct rule_class *class);

/* What a flow's controller is told of the reply: its class, but `policy` where the entry says
 * `lowers_cap: no` of a class that would lower it. That is about the sender's domain or account,
 * and the limits of the IP let the message pass. */
enum reply_class classification_control(const struct classification *found);

#endif
