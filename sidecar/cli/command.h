/* SPDX-License-Identifier: MIT
 *
 * The commands of `tollgate`: one file each in this folder, one line each in command.c.
 */
#ifndef SIDECAR_CLI_COMMAND_H
#define SIDECAR_CLI_COMMAND_H

/* Runs the command that argv[1] names; argv[0] is the program. The exit status: 0, 1 on failure, 2
 * on wrong usage. */
int command_run(int argc, char **argv);

/* Each is called with its own name as argv[0], and returns the exit status. */
int cli_check(int argc, char **argv);
int cli_classify(int argc, char **argv);
int cli_connections(int argc, char **argv);
int cli_destination(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_import(int argc, char **argv);
int cli_log(int argc, char **argv);
int cli_parse(int argc, char **argv);
int cli_plan(int argc, char **argv);
int cli_replay(int argc, char **argv);
int cli_rules(int argc, char **argv);
int cli_simulate(int argc, char **argv);
int cli_status(int argc, char **argv);
int cli_flows(int argc, char **argv);
int cli_explain(int argc, char **argv);
int cli_hold(int argc, char **argv);
int cli_release(int argc, char **argv);
int cli_set(int argc, char **argv);
int cli_reset(int argc, char **argv);
int cli_snds(int argc, char **argv);
int cli_seed(int argc, char **argv);
int cli_history(int argc, char **argv);
int cli_reload(int argc, char **argv);
int cli_report(int argc, char **argv);
int cli_warmup(int argc, char **argv);
int cli_watch(int argc, char **argv);

#endif
