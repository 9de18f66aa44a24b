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
int ctl_check(int argc, char **argv);
int ctl_classify(int argc, char **argv);
int ctl_connections(int argc, char **argv);
int ctl_destination(int argc, char **argv);
int ctl_import(int argc, char **argv);
int ctl_plan(int argc, char **argv);
int ctl_replay(int argc, char **argv);
int ctl_rules(int argc, char **argv);
int ctl_simulate(int argc, char **argv);
int ctl_status(int argc, char **argv);
int ctl_flows(int argc, char **argv);
int ctl_explain(int argc, char **argv);
int ctl_hold(int argc, char **argv);
int ctl_release(int argc, char **argv);
int ctl_set(int argc, char **argv);
int ctl_reset(int argc, char **argv);
int ctl_reload(int argc, char **argv);

#endif
