/* SPDX-License-Identifier: MIT */
#include "sidecar/simulate_classifier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct simulate_classifier {
	struct rule_file *rules;
	struct classifier *classifier;
	struct classify_scratch *scratch;
};

int simulate_classifier_create(struct simulate_classifier **ret)
{
	struct simulate_classifier *self = calloc(1, sizeof *self);
	struct classify_error fault;
	struct yaml_marks *marks = NULL;
	struct yaml_error error;
	int rc;

	if (!self)
		return -ENOMEM;
	rc = rule_file_builtin(&self->rules, &marks, &error);
	yaml_marks_free(marks);
	if (!rc)
		rc = classifier_create(NULL, self->rules, &self->classifier, &fault);
	if (!rc)
		rc = classify_scratch_create(self->classifier, &self->scratch);
	if (rc)
		simulate_classifier_free(self);
	else
		*ret = self;
	return rc;
}

void simulate_classifier_free(struct simulate_classifier *self)
{
	if (!self)
		return;
	classify_scratch_free(self->scratch);
	classifier_free(self->classifier);
	rule_file_free(self->rules);
	free(self);
}

void simulate_classify(struct simulate_classifier *self, const char *destination, const char *text,
		       struct classification *ret)
{
	struct reply_line line;

	reply_line_parse(text, strlen(text), &line);
	classify(self->classifier, self->scratch, destination, line.code, line.enhanced, line.text,
		 line.len, ret);
}
