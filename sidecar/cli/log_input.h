/* SPDX-License-Identifier: MIT
 *
 * What the commands have in common that make a log's events a flow's: the configuration, its rules,
 * and the log as the configuration means it.
 */
#ifndef SIDECAR_CLI_LOG_INPUT_H
#define SIDECAR_CLI_LOG_INPUT_H

#include "sidecar/cli/log_source.h"
#include "sidecar/cli/options.h"
#include "sidecar/rules/classify.h"
#include "sidecar/rules/rule_types.h"

struct log_options {
	const char *format, *source, *config, *rules, *segment, *path;
	bool json;
};

/* Rows of a command's options; the help of --format is set by log_input_options. */
#define LOG_INPUT_FORMAT                                                                          \
	{                                                                                         \
		"format", 'f', "F", NULL, CLI_TEXT, offsetof(struct log_options, format), 0, NULL \
	}
#define LOG_INPUT_SOURCE                                                                        \
	{                                                                                       \
		"source", 0, "SOURCE",                                                          \
			"our address, or a source's name, where a line does not say", CLI_TEXT, \
			offsetof(struct log_options, source), 0, NULL                           \
	}

/* Reads a command's line, whose first option is LOG_INPUT_FORMAT. */
void log_input_options(const struct cli_syntax *syntax, struct cli_option *format, int argc,
		       char **argv, struct log_options *ret);

struct log_input {
	const struct log_options *options;
	const struct config *config;
	const struct classifier *classifier;
	const struct rule_set *rules;
	struct config_mta_log log; /* what the configuration says of it */
	struct log_source source;  /* to be read */
};

/* Loads all of it, calls run, and returns what that returns; 1 or 2 where something is wrong with
 * what was given, which was printed. */
int log_input_run(const struct log_options *options, int (*run)(struct log_input *input, void *arg),
		  void *arg);

#endif
