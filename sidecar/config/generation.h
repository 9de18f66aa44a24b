/* SPDX-License-Identifier: MIT
 *
 * One configuration in force, with all that was made from it: comes and goes as a whole.
 */
#ifndef SIDECAR_CONFIG_GENERATION_H
#define SIDECAR_CONFIG_GENERATION_H

#include "sidecar/base/alloc.h"
#include "sidecar/config/config.h"
#include "sidecar/rules/classify.h"
#include "sidecar/rules/rule_engine.h"

struct generation {
	struct alloc_arena *arena; /* the configuration's memory */
	struct config *config;
	struct rule_file *builtin; /* the rules that are compiled in */
	struct classifier *classifier;
	struct rule_set *rules;
};

/* Loads a configuration (path NULL: the built-in one) and makes the rest from it. What is wrong
 * with it, and what is worth a warning, is added to the report, whose texts live as long as path
 * and the generation. */
int generation_load(const char *path, struct generation *ret, struct diagnostics *report);

/* Writes a report to the log. */
void generation_log(const struct diagnostics *report);

/* The same in a thread of its own: compiling patterns takes up to a second, in which mail goes on.
 * `done` becomes readable when it has ended; then generation_job_end gives the result and the
 * report, and frees the job (called earlier it waits). path must live until then. */
struct generation_job;
int generation_job_begin(const char *path, struct generation_job **ret, int *ret_done);
int generation_job_end(struct generation_job *job, struct generation *ret,
		       struct diagnostics *ret_report);

/* Of a zeroed one too. */
void generation_free(struct generation *generation);

#endif
