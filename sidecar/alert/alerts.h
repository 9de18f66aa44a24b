/* SPDX-License-Identifier: MIT
 *
 * The commands of alerts under way: started, watched on the loop, ended at their deadline.
 */
#ifndef SIDECAR_ALERT_ALERTS_H
#define SIDECAR_ALERT_ALERTS_H

#include "sidecar/alert/command.h"
#include "sidecar/io/loop.h"
#include "sidecar/rules/rule_engine.h"

struct alerts;

/* How many run at once. */
#define ALERTS_MAX 16

int alerts_create(struct loop *loop, struct alerts **ret);

/* Kills what still runs. NULL is fine. */
void alerts_free(struct alerts *alerts);

/* Starts a command, which ends by itself or is killed after timeout_ns; what: its name in the log.
 * Returns its place, from 0 to ALERTS_MAX - 1, until its end; -EAGAIN: all places are taken; another
 * -errno was logged. */
int alerts_run(struct alerts *alerts, const char *what, const struct rule_alert *command,
	       uint64_t timeout_ns, const struct alert_command_about *about);

/* Called at each end, once its place is free. */
typedef void alerts_ended(void *arg, int place);
void alerts_on_end(struct alerts *alerts, alerts_ended *tell, void *arg);

/* Starts the command of a rule's alert, if it has one and a place is free (else that is logged): an
 * engine_alert. */
void alerts_start(void *alerts, const struct rule *rule, const struct rule_action *plan,
		  const struct alert_command_about *about);

#endif
