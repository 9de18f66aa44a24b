/* SPDX-License-Identifier: MIT */
#include "sidecar/cli/log_input.h"

#include "sidecar/base/log.h"
#include "sidecar/cli/rules_source.h"

#define SHOWN_MAX 10 /* lines that are none are counted; the first are shown */

void log_input_options(const struct cli_syntax *syntax, struct cli_option *format, int argc,
		       char **argv, struct log_options *ret)
{
	char **logs;

	*ret = (struct log_options){.format = "auto"};
	format->help = log_source_formats();
	options_read(syntax, argc, argv, ret, &logs);
	ret->path = logs[0];
}

static int log_run(struct log_input *input, int (*run)(struct log_input *input, void *arg),
		   void *arg)
{
	const struct log_options *options = input->options;
	int status;

	if (log_source_configured(input->config, options->path, options->format, options->source,
				  &input->log) != 0 ||
	    log_source_begin(options->format, &input->source) != 0)
		return 2;
	input->source.shown = SHOWN_MAX;
	status = run(input, arg);
	log_source_free(&input->source);
	return status;
}

int log_input_run(const struct log_options *options, int (*run)(struct log_input *input, void *arg),
		  void *arg)
{
	struct log_input input = {.options = options};
	struct loaded_rules rules;
	struct rule_set *set = NULL;
	struct config *config;
	int status = 1;

	/* What the engine says is printed from what it does. */
	log_configure(LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	config = options->config != NULL ? rules_source_config(options->config)
					 : rules_source_config_in_force(options->segment);
	if (config == NULL)
		return 1;
	if (rules_source_load_with(options->rules, options->rules == NULL ? &config->rules : NULL,
				   &rules) == 0 &&
	    rule_set_create(rules.classifier, &set) == 0) {
		input.config = config;
		input.classifier = rules.classifier;
		input.rules = set;
		status = log_run(&input, run, arg);
	}
	rule_set_free(set);
	rules_source_free(&rules);
	config_free(config);
	return status;
}
