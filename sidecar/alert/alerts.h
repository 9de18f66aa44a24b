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

/* How many run at once; what exceeds it is logged and not started. */
#define ALERTS_MAX 16

int alerts_create(struct loop *loop, struct alerts **ret);

/* Kills what still runs. NULL is fine. */
void alerts_free(struct alerts *alerts);

/* Starts the command of a rule's alert, if it has one: an engine_alert. */
void alerts_start(void *alerts, const struct rule *rule, const struct rule_action *plan,
		  const struct alert_command_about *about);

#endif
