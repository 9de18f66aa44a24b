/* SPDX-License-Identifier: MIT */
#include "sidecar/alert/alerts.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "sidecar/base/log.h"

struct running {
	struct alerts *alerts;
	struct alert_command_run run;
	int watch; /* -1: this place is free */
	bool killed;
	char what[256]; /* in the log: "the command of rule x" */
};

struct alerts {
	struct loop *loop;
	int timer;
	alerts_ended *ended;
	void *ended_arg;
	struct running running[ALERTS_MAX];
};

static void deadline_set(struct alerts *alerts)
{
	uint64_t next_ns = LOOP_NEVER;

	for (int i = 0; i < ALERTS_MAX; i++) {
		const struct running *at = &alerts->running[i];

		if (at->watch >= 0 && !at->killed && at->run.deadline_ns < next_ns)
			next_ns = at->run.deadline_ns;
	}
	loop_timer_set(alerts->loop, alerts->timer, next_ns);
}

static void deadline(void *arg, uint64_t now_ns)
{
	struct alerts *alerts = arg;

	for (int i = 0; i < ALERTS_MAX; i++) {
		struct running *at = &alerts->running[i];

		if (at->watch < 0 || at->killed || at->run.deadline_ns > now_ns)
			continue;
		log_warning("alert", "%s took too long and is killed", at->what);
		alert_command_kill(&at->run);
		at->killed = true;
	}
	deadline_set(alerts);
}

static void ended(void *arg, int revents)
{
	struct running *at = arg;
	int status = 0;

	if (revents >= 0)
		loop_unwatch(at->alerts->loop, at->watch);
	at->watch = -1;
	if (alert_command_finish(&at->run, &status) == 0 && !at->killed && status != 0)
		log_warning("alert", "%s ended with %s %d", at->what,
			    WIFSIGNALED(status) ? "signal" : "status",
			    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	deadline_set(at->alerts);
	if (at->alerts->ended)
		at->alerts->ended(at->alerts->ended_arg, (int)(at - at->alerts->running));
}

/* Kills and waits: a killed process ends at once. */
static void run_end(struct alert_command_run *run)
{
	struct pollfd end = {.fd = run->pidfd, .events = POLLIN};
	int status;

	alert_command_kill(run);
	while (poll(&end, 1, 1000) < 0 && errno == EINTR)
		;
	alert_command_finish(run, &status);
}

int alerts_create(struct loop *loop, struct alerts **ret)
{
	struct alerts *alerts = calloc(1, sizeof(*alerts));

	if (alerts == NULL)
		return -ENOMEM;
	alerts->loop = loop;
	for (int i = 0; i < ALERTS_MAX; i++) {
		alerts->running[i].alerts = alerts;
		alerts->running[i].watch = -1;
	}
	alerts->timer = loop_timer(loop, deadline, alerts);
	if (alerts->timer < 0) {
		free(alerts);
		return -ENOSPC;
	}
	*ret = alerts;
	return 0;
}

void alerts_free(struct alerts *alerts)
{
	if (alerts == NULL)
		return;
	for (int i = 0; i < ALERTS_MAX; i++) {
		struct running *at = &alerts->running[i];

		if (at->watch < 0)
			continue;
		loop_unwatch(alerts->loop, at->watch);
		run_end(&at->run);
	}
	free(alerts);
}

static struct running *place(struct alerts *alerts)
{
	for (int i = 0; i < ALERTS_MAX; i++)
		if (alerts->running[i].watch < 0)
			return &alerts->running[i];
	return NULL;
}

void alerts_on_end(struct alerts *alerts, alerts_ended *tell, void *arg)
{
	alerts->ended = tell;
	alerts->ended_arg = arg;
}

int alerts_run(struct alerts *alerts, const char *what, const struct rule_alert *command,
	       uint64_t timeout_ns, const struct alert_command_about *about)
{
	struct running *at = place(alerts);
	int error;

	if (at == NULL)
		return -EAGAIN;
	error = alert_command_start(command, about, timeout_ns, loop_now(), &at->run);
	if (error) {
		log_error("alert", "cannot start %s: %s", what, strerror(-error));
		return error;
	}
	snprintf(at->what, sizeof(at->what), "%s", what);
	at->killed = false;
	at->watch = loop_watch(alerts->loop, at->run.pidfd, POLLIN, ended, at);
	if (at->watch < 0) {
		/* Nobody would take its end: better none than one left behind. */
		run_end(&at->run);
		at->watch = -1;
		log_error("alert", "%s was ended: no room in the loop", what);
		return -ENOSPC;
	}
	deadline_set(alerts);
	return (int)(at - alerts->running);
}

void alerts_start(void *arg, const struct rule *rule, const struct rule_action *plan,
		  const struct alert_command_about *about)
{
	const struct rule_alert *command = rule->action.alert;
	char what[128];

	if (command == NULL || command->command_count == 0)
		return;
	snprintf(what, sizeof(what), "the command of rule %s", rule->name);
	if (alerts_run(arg, what, command, plan->alert_timeout_ns, about) == -EAGAIN)
		log_warning("alert", "%d commands are running: that of rule %s is not started",
			    ALERTS_MAX, rule->name);
}
