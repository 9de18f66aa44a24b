/* SPDX-License-Identifier: MIT
 *
 * The sidecar's own way of loading a configuration, and a scratch to classify with.
 */
#include "sidecar/simulate/sim_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/config/generation.h"

struct simulate_config {
	struct generation generation;
	struct classify_scratch *scratch;
};

int simulate_config_load(const char *path, struct simulate_config **ret)
{
	struct simulate_config *self = calloc(1, sizeof *self);
	struct diagnostics report = {0};
	int rc;

	if (!self)
		return -ENOMEM;
	rc = generation_load(path, &self->generation, &report);
	generation_log(&report);
	diagnostics_free(&report);
	if (!rc)
		rc = classify_scratch_create(self->generation.classifier, &self->scratch);
	if (rc)
		simulate_config_free(self);
	else
		*ret = self;
	return rc;
}

void simulate_config_free(struct simulate_config *self)
{
	if (!self)
		return;
	classify_scratch_free(self->scratch);
	generation_free(&self->generation);
	free(self);
}

const struct config *simulate_config_of(const struct simulate_config *self)
{
	return self->generation.config;
}

const struct classifier *simulate_config_classifier(const struct simulate_config *self)
{
	return self->generation.classifier;
}

const struct rule_set *simulate_config_rules(const struct simulate_config *self)
{
	return self->generation.rules;
}

void simulate_classify(struct simulate_config *self, const char *destination, const char *text,
		       struct classification *ret)
{
	struct reply_line line;

	reply_line_parse(text, strlen(text), &line);
	classify(self->generation.classifier, self->scratch, destination, line.code, line.enhanced,
		 line.text, line.len, ret);
}
