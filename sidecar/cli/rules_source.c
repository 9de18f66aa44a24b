/* SPDX-License-Identifier: MIT */
#include "sidecar/cli/rules_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/cli/request.h"

static int complain(const struct yaml_error *error, int err)
{
	if (error->mark.line != 0)
		fprintf(stderr, "%s:%u:%u: %s\n", error->name, error->mark.line, error->mark.column,
			error->reason);
	else
		fprintf(stderr, "%s: %s\n", error->name, error->reason);
	return err;
}

int rules_source_load(const char *path, struct loaded_rules *ret_rules)
{
	return rules_source_load_with(path, NULL, ret_rules);
}

int rules_source_load_with(const char *path, const struct rule_file *front,
			   struct loaded_rules *ret_rules)
{
	struct loaded_rules *rules = ret_rules;
	struct classify_error fault;
	struct yaml_error error = {0};
	int err;

	*rules = (struct loaded_rules){.user_name = path};
	err = rule_file_builtin(&rules->builtin, &rules->builtin_marks, &error);
	if (err == 0 && path != NULL)
		err = rule_file_read(path, &rules->user, &rules->user_marks, &error);
	if (err != 0)
		return complain(&error, err);
	err = classifier_create(rules->user != NULL ? rules->user : front, rules->builtin,
				&rules->classifier, &fault);
	if (err != 0) {
		const struct yaml_marks *marks = fault.file == 0 && rules->user != NULL
							 ? rules->user_marks
							 : rules->builtin_marks;

		error = (struct yaml_error){
			.name = marks == rules->user_marks ? path : "the built-in rules"};
		yaml_marks_find(marks, fault.path, &error.mark);
		snprintf(error.reason, sizeof(error.reason), "%s: %s", fault.path, fault.reason);
		return complain(&error, err);
	}
	err = classify_scratch_create(rules->classifier, &rules->scratch);
	if (err != 0)
		fprintf(stderr, "tollgate: %s\n", strerror(-err));
	return err;
}

void rules_source_free(struct loaded_rules *rules)
{
	classify_scratch_free(rules->scratch);
	classifier_free(rules->classifier);
	yaml_marks_free(rules->user_marks);
	yaml_marks_free(rules->builtin_marks);
	rule_file_free(rules->user);
	rule_file_free(rules->builtin);
	*rules = (struct loaded_rules){0};
}

struct config *rules_source_config(const char *path)
{
	struct diagnostics report = {.count = 0};
	struct config *config = NULL;
	char text[1024];

	if (path != NULL)
		config_read(path, NULL, &config, &report);
	else
		config_builtin(NULL, &config, &report);
	for (uint32_t i = 0; i < report.count; i++)
		if (report.problems[i].error)
			fprintf(stderr, "%s\n",
				diagnostic_text(&report.problems[i], text, sizeof(text)));
	diagnostics_free(&report);
	return config;
}

/* Its answer's second line says where its configuration is. */
static int path_take(void *arg, const struct json *json, const char *text, size_t length)
{
	char **path = arg;
	const char *found = json_get_text(json, "config", NULL);

	(void)text;
	(void)length;
	if (found != NULL && *path == NULL)
		*path = strdup(found);
	return 0;
}

struct config *rules_source_config_in_force(const char *segment)
{
	struct client_request request = {.command = "status", .segment = client_segment(segment)};
	struct json_writer query = {0};
	char *path = NULL, reason[CLIENT_REASON] = "";
	struct config *config;
	bool lives;

	request_begin(&request, &query);
	lives = request_run(&request, &query, path_take, &path, true, reason) == 0;
	json_writer_free(&query);
	if (!lives && access(CONFIG_PATH_DEFAULT, F_OK) == 0)
		path = strdup(CONFIG_PATH_DEFAULT);
	fprintf(stderr, "configuration: %s%s\n", path != NULL ? path : "the built-in one",
		lives ? ", in force" : ", since no tollgated runs");
	config = rules_source_config(path);
	free(path);
	return config;
}
