/* SPDX-License-Identifier: MIT
 *
 * An alert's command: started without a shell, watched by its pidfd, ended at its deadline.
 *
 * Nothing here waits. The owner starts a run, has its loop watch `pidfd` for readability and the
 * deadline by a timer, and calls rule_alert_finish when the one is readable, or rule_alert_kill
 * when the other has come (and then waits for the pidfd as before).
 */
#ifndef SIDECAR_ALERT_COMMAND_H
#define SIDECAR_ALERT_COMMAND_H

#include <stdint.h>
#include <sys/types.h>

#include "sidecar/rules/rule_file.h"

struct rule_alert_run {
	pid_t pid;
	int pidfd;
	uint64_t deadline_ns;
};

/* What the command finds in its environment, as TOLLGATE_RULE, TOLLGATE_SOURCE,
 * TOLLGATE_DESTINATION, TOLLGATE_CLASS and TOLLGATE_REPLY. A receiver's text is passed in no other
 * way. NULL: empty. */
struct rule_alert_about {
	const char *rule, *source, *destination, *class, *reply;
};

/* Starts the command in a session of its own, its input and output /dev/null.
 * 0; -ENOENT if there is no command; -errno of posix_spawnp or pidfd_open. */
int rule_alert_start(const struct rule_alert *alert, const struct rule_alert_about *about,
		     uint64_t timeout_ns, uint64_t now_ns, struct rule_alert_run *ret_run);

/* Takes the exit status, closes the pidfd. The status as of waitpid in *ret_status; -EAGAIN while
 * it still runs. */
int rule_alert_finish(struct rule_alert_run *run, int *ret_status);

/* Kills it and what it started. */
void rule_alert_kill(const struct rule_alert_run *run);

#endif
