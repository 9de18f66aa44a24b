/* SPDX-License-Identifier: MIT
 *
 * The table of commands.
 */
#include "sidecar/cli/command.h"

#include <stdio.h>
#include <string.h>

#include "sidecar/base/terminal.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"status", cli_status, "the state of the sidecar, its segment and its workers"},
	{"flows", cli_flows, "the limits of each flow, and what it sent"},
	{"watch", cli_watch, "events as they come: outcomes, limits, holds"},
	{"explain", cli_explain, "the limits of a flow, who decided them, and what changes when"},
	{"hold", cli_hold, "stop a flow for a time"},
	{"release", cli_release, "end the holds of a flow"},
	{"set", cli_set, "cap a flow by hand"},
	{"reset", cli_reset, "forget what was learned of a flow, and what was set"},
	{"seed", cli_seed, "tell what flows sent before tollgate was installed"},
	{"reload", cli_reload, "read the configuration again"},
	{"report", cli_report, "tell the sidecar what a receiver answered, from a script"},
	{"warmup", cli_warmup, "how far new sources are with each destination"},
	{"check", cli_check, "check a configuration, and print the limits that follow from it"},
	{"classify", cli_classify, "what a reply means: class, limit, and the rule that says so"},
	{"connections", cli_connections,
	 "the connections of each flow that the gate in the kernel saw"},
	{"destination", cli_destination, "which destination a name or address belongs to, and why"},
	{"doctor", cli_doctor, "what this machine lacks, and how to put it right"},
	{"history", cli_history, "what each flow sent by day, from a log, for seed"},
	{"import", cli_import, "another program's limits and rules as a configuration"},
	{"log", cli_log, "the changes of limits: when, what and why"},
	{"parse", cli_parse, "the outcomes in an MTA's log, one a line"},
	{"plan", cli_plan, "the memory, ring sizes and cores that an installation needs"},
	{"replay", cli_replay, "what the rules would have done over a log"},
	{"rules", cli_rules, "print the built-in rules, or check a rule file"},
	{"snds", cli_snds, "what Microsoft's SNDS says of our addresses"},
	{"simulate", cli_simulate, "compare policies against models of receivers"},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int usage(FILE *out, int status)
{
	fputs("usage: tollgate COMMAND [ARGUMENT...]\n\n", out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].help);
	return status;
}

int command_run(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	int error = terminal_guard();

	if (error) {
		fprintf(stderr, "tollgate: %s\n", strerror(-error));
		return 1;
	}
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return usage(stdout, 0);
	if (strcmp(name, "--version") == 0) {
		puts("tollgate " TG_VERSION);
		return 0;
	}
	if (*name != '\0')
		fprintf(stderr, "tollgate: no command \"%s\"\n\n", name);
	return usage(stderr, 2);
}
