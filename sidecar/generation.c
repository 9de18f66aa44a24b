/* SPDX-License-Identifier: MIT */
#include "sidecar/generation.h"

#include "sidecar/log.h"

void generation_free(struct generation *g)
{
	rule_set_free(g->rules);
	classifier_free(g->classifier);
	rule_file_free(g->builtin);
	config_free(g->config);
	alloc_arena_destroy(g->arena);
	*g = (struct generation){0};
}

static void problems_log(const struct config_report *report)
{
	for (uint32_t i = 0; i < report->count; i++) {
		char text[512];

		log_event(report->problems[i].error ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "configuration", "%s",
			  config_problem_text(&report->problems[i], text, sizeof(text)));
	}
}

static int rules_load(struct generation *g)
{
	struct classify_error where = {0};
	struct yaml_error error = {0};
	int failed = rule_file_builtin(&g->builtin, NULL, &error);

	if (failed)
		log_error("rules", "%s:%u:%u: %s", error.name, error.mark.line, error.mark.column, error.reason);
	else if ((failed = classifier_create(&g->config->rules, g->builtin, &g->classifier, &where)) != 0)
		log_error("rules", "%s: %s: %s", where.file ? "built in" : g->config->file, where.path, where.reason);
	if (!failed)
		failed = rule_set_create(g->classifier, &g->rules);
	return failed;
}

int generation_load(const char *path, struct generation *ret)
{
	struct generation g = {0};
	struct config_report report = {0};
	int error = alloc_arena_create(&g.arena);

	if (!error) {
		struct yaml_memory memory = {alloc_arena_resize, g.arena};

		error = path ? config_read(path, &memory, &g.config, &report) :
			       config_builtin(&memory, &g.config, &report);
	}
	problems_log(&report);
	config_report_free(&report);
	if (!error)
		error = rules_load(&g);
	if (error) {
		generation_free(&g);
		return error;
	}
	*ret = g;
	return 0;
}
