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
	{"status", cli_status, "how the sidecar, its segment and its workers are"},
	{"flows", cli_flows, "what each flow may do, and what it did"},
	{"watch", cli_watch, "events as they come: outcomes, limits, holds"},
	{"explain", cli_explain, "why a flow is as fast as it is, and when that changes"},
	{"hold", cli_hold, "stop a flow for a time"},
	{"release", cli_release, "end the holds of a flow"},
	{"set", cli_set, "cap a flow by hand"},
	{"reset", cli_reset, "forget what was learned of a flow, and what was set"},
	{"seed", cli_seed, "tell what flows had sent before the gate was there"},
	{"reload", cli_reload, "read the configuration anew"},
	{"report", cli_report, "tell the sidecar what a receiver answered, from a script"},
	{"warmup", cli_warmup, "how far new sources are with each destination"},
	{"check", cli_check, "is this configuration good, and what limits does it come to?"},
	{"classify", cli_classify, "what a reply means: class, limit, and the rule that says so"},
	{"connections", cli_connections,
	 "what the gate in the kernel has seen and done, flow by flow"},
	{"destination", cli_destination, "which destination a name or address belongs to, and why"},
	{"doctor", cli_doctor, "what is missing on this machine, and its cure"},
	{"history", cli_history, "what each flow sent by day, from a log, for seed"},
	{"import", cli_import, "another program's limits and rules as a configuration"},
	{"log", cli_log, "what changed of limits, when, and why"},
	{"parse", cli_parse, "what is in an MTA's log: an outcome a line"},
	{"plan", cli_plan, "the memory, rings and cores that an installation takes"},
	{"replay", cli_replay, "what the rules would have done over a log"},
	{"rules", cli_rules, "print the built-in rules, or check a rule file"},
	{"snds", cli_snds, "what Microsoft's SNDS says of our addresses"},
	{"simulate", cli_simulate, "how policies fare against models of receivers"},
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
