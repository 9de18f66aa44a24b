/* SPDX-License-Identifier: MIT
 *
 * What is wrong with a configuration: a growing list.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/config/config.h"

void config_report_add(struct config_report *report, bool error, const char *file,
		       struct yaml_mark mark, const char *format, ...)
{
	struct config_problem *problem;
	va_list args;

	if (error)
		report->errors++;
	else
		report->warnings++;
	if (report->count == report->room) {
		uint32_t room = report->room ? report->room * 2 : 16;
		struct config_problem *grown = reallocarray(report->problems, room, sizeof(*grown));

		if (!grown)
			return;
		report->problems = grown;
		report->room = room;
	}
	problem = &report->problems[report->count++];
	*problem = (struct config_problem){.file = file, .mark = mark, .error = error};
	va_start(args, format);
	vsnprintf(problem->text, sizeof(problem->text), format, args);
	va_end(args);
}

void config_report_free(struct config_report *report)
{
	free(report->problems);
	*report = (struct config_report){.count = 0};
}

static int problem_order(const void *a, const void *b)
{
	const struct config_problem *x = a;
	const struct config_problem *y = b;
	int order = strcmp(x->file, y->file);

	if (order == 0)
		order = (x->mark.line > y->mark.line) - (x->mark.line < y->mark.line);
	if (order == 0)
		order = (x->mark.column > y->mark.column) - (x->mark.column < y->mark.column);
	return order ? order : strcmp(x->text, y->text);
}

void config_report_sort(struct config_report *report)
{
	if (report->count)
		qsort(report->problems, report->count, sizeof(*report->problems), problem_order);
}

const char *config_problem_text(const struct config_problem *problem, char *text, size_t size)
{
	const char *kind = problem->error ? "error" : "warning";

	if (problem->mark.line)
		snprintf(text, size, "%s:%u:%u: %s: %s", problem->file, problem->mark.line,
			 problem->mark.column, kind, problem->text);
	else
		snprintf(text, size, "%s: %s: %s", problem->file, kind, problem->text);
	return text;
}
