/* SPDX-License-Identifier: MIT
 *
 * An alert's command: started without a shell, watched by its pidfd, ended at its deadline.
 *
 * Nothing here waits. The owner starts a run, has its loop watch `pidfd` for readability and the
 * deadline by a timer, and calls alert_command_finish when the one is readable, or
 * alert_command_kill when the other has come (and then waits for the pidfd as before).
 */
#ifndef SIDECAR_ALERT_COMMAND_H
#define SIDECAR_ALERT_COMMAND_H

#include <stdint.h>
#include <sys/types.h>

#include "sidecar/rules/rule_file.h"

struct alert_command_run {
	pid_t pid;
	int pidfd;
	uint64_t deadline_ns;
};

/* What the command finds in its environment, as TOLLGATE_RULE, TOLLGATE_SOURCE,
 * TOLLGATE_DESTINATION, TOLLGATE_CLASS, TOLLGATE_REPLY, TOLLGATE_EVENT, TOLLGATE_HELD and
 * TOLLGATE_UNTIL. A receiver's text is passed in no other way. NULL: empty. */
struct alert_command_about {
	const char *rule, *source, *destination, *class, *reply;
	const char *event, *held, *until; /* of a hook: see tollgate.yaml(5) */
};

/* Starts the command in a session of its own, its input and output /dev/null.
 * 0; -ENOENT if there is no command; -errno of posix_spawnp or pidfd_open. */
int alert_command_start(const struct rule_alert *alert, const struct alert_command_about *about,
			uint64_t timeout_ns, uint64_t now_ns, struct alert_command_run *ret_run);

/* Takes the exit status, closes the pidfd. The status as of waitpid in *ret_status; -EAGAIN while
 * it still runs. */
int alert_command_finish(struct alert_command_run *run, int *ret_status);

/* Kills it and what it started. */
void alert_command_kill(const struct alert_command_run *run);

#endif
