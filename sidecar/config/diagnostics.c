/* SPDX-License-Identifier: MIT
 *
 * What is wrong with a configuration: a growing list.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/config/config.h"

void diagnostics_add(struct diagnostics *report, bool error, const char *file,
		     struct yaml_mark mark, const char *format, ...)
{
	struct diagnostic *problem;
	va_list args;

	if (error)
		report->errors++;
	else
		report->warnings++;
	if (report->count == report->room) {
		uint32_t room = report->room ? report->room * 2 : 16;
		struct diagnostic *grown = reallocarray(report->problems, room, sizeof(*grown));

		if (!grown)
			return;
		report->problems = grown;
		report->room = room;
	}
	problem = &report->problems[report->count++];
	*problem = (struct diagnostic){.file = file, .mark = mark, .error = error};
	va_start(args, format);
	vsnprintf(problem->text, sizeof(problem->text), format, args);
	va_end(args);
}

void diagnostics_free(struct diagnostics *report)
{
	free(report->problems);
	*report = (struct diagnostics){.count = 0};
}

static int problem_order(const void *a, const void *b)
{
	const struct diagnostic *x = a;
	const struct diagnostic *y = b;
	int order = strcmp(x->file, y->file);

	if (order == 0)
		order = (x->mark.line > y->mark.line) - (x->mark.line < y->mark.line);
	if (order == 0)
		order = (x->mark.column > y->mark.column) - (x->mark.column < y->mark.column);
	return order ? order : strcmp(x->text, y->text);
}

void diagnostics_sort(struct diagnostics *report)
{
	if (report->count)
		qsort(report->problems, report->count, sizeof(*report->problems), problem_order);
}

const char *diagnostic_text(const struct diagnostic *problem, char *text, size_t size)
{
	const char *kind = problem->error ? "error" : "warning";

	if (problem->mark.line)
		snprintf(text, size, "%s:%u:%u: %s: %s", problem->file, problem->mark.line,
			 problem->mark.column, kind, problem->text);
	else
		snprintf(text, size, "%s: %s: %s", problem->file, kind, problem->text);
	return text;
}
