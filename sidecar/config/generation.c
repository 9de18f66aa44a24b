/* SPDX-License-Identifier: MIT */
#include "sidecar/config/generation.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sidecar/base/log.h"

void generation_free(struct generation *g)
{
	rule_set_free(g->rules);
	classifier_free(g->classifier);
	rule_file_free(g->builtin);
	config_free(g->config);
	alloc_arena_destroy(g->arena);
	*g = (struct generation){0};
}

static int rules_source_load(struct generation *g, const char *path, struct diagnostics *report)
{
	struct classify_error where = {0};
	struct yaml_error error = {0};
	int failed = rule_file_builtin(&g->builtin, NULL, &error);

	if (failed)
		diagnostics_add(report, true, "built-in rules", error.mark, "%s", error.reason);
	else if ((failed = classifier_create(&g->config->rules, g->builtin, &g->classifier,
					     &where)) != 0)
		diagnostics_add(report, true, where.file || !path ? "built-in rules" : path,
				(struct yaml_mark){0}, "%s: %s", where.path, where.reason);
	if (!failed)
		failed = rule_set_create(g->classifier, &g->rules);
	return failed;
}

int generation_load(const char *path, struct generation *ret, struct diagnostics *report)
{
	struct generation g = {0};
	int error = alloc_arena_create(&g.arena);

	if (!error) {
		struct yaml_memory memory = {alloc_arena_resize, g.arena};

		error = path ? config_read(path, &memory, &g.config, report)
			     : config_builtin(&memory, &g.config, report);
	}
	if (!error)
		error = rules_source_load(&g, path, report);
	if (error) {
		generation_free(&g);
		return error;
	}
	*ret = g;
	return 0;
}

void generation_log(const struct diagnostics *report)
{
	for (uint32_t i = 0; i < report->count; i++) {
		char text[512];

		log_event(report->problems[i].error ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
			  "configuration", "%s",
			  diagnostic_text(&report->problems[i], text, sizeof(text)));
	}
}

struct generation_job {
	pthread_t thread;
	const char *path;
	int done;
	int error;
	struct generation loaded;
	struct diagnostics report;
};

static void *job_run(void *arg)
{
	struct generation_job *job = arg;
	uint64_t one = 1;

	job->error = generation_load(job->path, &job->loaded, &job->report);
	/* An eventfd takes eight bytes at once, or is full, which it cannot be. */
	while (write(job->done, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	return NULL;
}

int generation_job_begin(const char *path, struct generation_job **ret, int *ret_done)
{
	struct generation_job *job = calloc(1, sizeof(*job));
	int error;

	if (job == NULL)
		return -ENOMEM;
	job->path = path;
	job->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = job->done < 0 ? errno : pthread_create(&job->thread, NULL, job_run, job);
	if (error) {
		if (job->done >= 0)
			close(job->done);
		free(job);
		return -error;
	}
	*ret = job;
	*ret_done = job->done;
	return 0;
}

int generation_job_end(struct generation_job *job, struct generation *ret,
		       struct diagnostics *ret_report)
{
	int error;

	pthread_join(job->thread, NULL);
	error = job->error;
	if (!error)
		*ret = job->loaded;
	*ret_report = job->report;
	close(job->done);
	free(job);
	return error;
}
