/* SPDX-License-Identifier: MIT
 *
 * See options.h.
 */
#include "sidecar/cli/options.h"

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/units.h"

#define OPTIONS_MAX 24
#define USAGE	    2
#define KEY_USAGE   256
#define KEY_FIRST   257 /* of options without a letter */

struct options_reading {
	const struct cli_syntax *syntax;
	void *into;
	int count;
	char **arguments;
};

static const char *program_name(const struct cli_syntax *syntax, char *text, size_t size)
{
	if (syntax->program)
		snprintf(text, size, "%s", syntax->program);
	else
		snprintf(text, size, "%s%s", syntax->command ? "tollgate " : "tollgated",
			 syntax->command ? syntax->command : "");
	return text;
}

static const char *count_read(const char *text, uint64_t max, uint64_t *ret)
{
	const char *reason = NULL;
	uint64_t count;

	if (units_count(text, &count, &reason) < 0)
		return reason;
	if (count == 0 || count > max)
		return "out of range";
	*ret = count;
	return NULL;
}

/* NULL, or what is wrong with the value. */
static const char *option_take(const struct cli_option *option, char *text, void *into)
{
	void *member = (char *)into + option->offset;

	switch (option->kind) {
	case CLI_FLAG: *(bool *)member = true; return NULL;
	case CLI_TEXT: *(const char **)member = text; return NULL;
	case CLI_COUNT: return count_read(text, option->max, member);
	case CLI_READ: return option->read(into, option->name, text);
	}
	return NULL;
}

static int option_key(const struct cli_option *options, int index)
{
	return options[index].letter ? options[index].letter : KEY_FIRST + index;
}

__attribute__((noreturn)) static void version_print(const struct cli_syntax *syntax)
{
	const char *ours = syntax->command ? "tollgate" : "tollgated";

	printf("%s " TG_VERSION "\n", syntax->program ? syntax->program : ours);
	exit(0);
}

static error_t parse(int key, char *text, struct argp_state *state)
{
	struct options_reading *reading = state->input;
	const struct cli_option *options = reading->syntax->options;
	const char *reason;

	switch (key) {
	case 'h': argp_state_help(state, stdout, ARGP_HELP_STD_HELP); return 0;
	case KEY_USAGE:
		argp_state_help(state, stdout, ARGP_HELP_USAGE | ARGP_HELP_EXIT_OK);
		return 0;
	case 'V': version_print(reading->syntax); return 0;
	case ARGP_KEY_ARGS:
		reading->arguments = state->argv + state->next;
		reading->count = state->argc - state->next;
		return 0;
	}
	for (int i = 0; options && options[i].name; i++) {
		if (option_key(options, i) != key)
			continue;
		reason = option_take(&options[i], text, reading->into);
		if (reason)
			argp_failure(state, USAGE, 0, "--%s %s: %s", options[i].name, text, reason);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* Every command's. Last in --help, by the group. */
static const struct argp_option common[] = {
	{"help", 'h', NULL, 0, "print this help", -1},
	{"usage", KEY_USAGE, NULL, 0, "print the usage in short", -1},
	{"version", 'V', NULL, 0, "print the version", -1},
};

#define COMMON (sizeof(common) / sizeof(common[0]))

/* The rows as argp has them. A group each keeps them in the order of the table. */
static void options_convert(const struct cli_option *options, struct argp_option *ret)
{
	int count = 0;

	for (; options && options[count].name && count < OPTIONS_MAX; count++)
		ret[count] = (struct argp_option){
			.name = options[count].name,
			.key = option_key(options, count),
			.arg = options[count].value,
			.doc = options[count].help,
			.group = count + 1,
		};
	memcpy(ret + count, common, sizeof(common));
}

/* argp would add that a value belongs to the short form of an option, too. */
static char *help_filter(int key, const char *text, void *input)
{
	(void)input;
	return key == ARGP_KEY_HELP_DUP_ARGS_NOTE ? NULL : (char *)text;
}

int options_wrong(const struct cli_syntax *syntax, const char *why)
{
	char name[64];

	program_name(syntax, name, sizeof(name));
	fprintf(stderr, "%s: %s\nTry `%s --help' or `%s --usage' for more information.\n", name,
		why, name, name);
	return USAGE;
}

static int count_wrong(const struct cli_syntax *syntax)
{
	char text[160] = "it takes no argument";

	if (syntax->arguments)
		snprintf(text, sizeof(text), "it takes %s", syntax->arguments);
	return options_wrong(syntax, syntax->wanted ? syntax->wanted : text);
}

int options_read(const struct cli_syntax *syntax, int argc, char **argv, void *into,
		 char ***ret_arguments)
{
	struct options_reading reading = {.syntax = syntax, .into = into, .arguments = argv + argc};
	struct argp_option options[OPTIONS_MAX + COMMON + 1] = {0};
	const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = syntax->arguments,
		.doc = syntax->about,
		.help_filter = help_filter,
	};
	char name[64];

	options_convert(syntax->options, options);
	argp_err_exit_status = USAGE;
	argv[0] = (char *)program_name(syntax, name, sizeof(name));
	argp_parse(&argp, argc, argv, ARGP_NO_HELP, NULL, &reading);
	if (reading.count < syntax->min || (syntax->max >= 0 && reading.count > syntax->max))
		exit(count_wrong(syntax));
	*ret_arguments = reading.arguments;
	return reading.count;
}
