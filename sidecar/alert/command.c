/* SPDX-License-Identifier: MIT */
#include "sidecar/alert/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NAMES = 8 };

/* PATH and HOME go on, these names are set; nothing else of the sidecar's environment. */
struct environment {
	char *vector[NAMES + 3];
	char *owned[NAMES];
};

static void environment_free(struct environment *env)
{
	for (int i = 0; i < NAMES; i++)
		free(env->owned[i]);
}

static int environment_make(const struct alert_command_about *about, struct environment *env)
{
	const char *const names[NAMES] = {"RULE",  "SOURCE", "DESTINATION", "CLASS",
					  "REPLY", "EVENT",  "HELD",	    "UNTIL"};
	const char *const values[NAMES] = {about->rule,	 about->source, about->destination,
					   about->class, about->reply,	about->event,
					   about->held,	 about->until};
	int n = 0;

	*env = (struct environment){{NULL}, {NULL}};
	for (int i = 0; i < NAMES; i++) {
		if (asprintf(&env->owned[i], "TOLLGATE_%s=%s", names[i],
			     values[i] ? values[i] : "") < 0) {
			env->owned[i] = NULL;
			environment_free(env);
			return -ENOMEM;
		}
		env->vector[n++] = env->owned[i];
	}
	for (char **at = environ; at != NULL && *at != NULL; at++)
		if (n < NAMES + 2 &&
		    (strncmp(*at, "PATH=", 5) == 0 || strncmp(*at, "HOME=", 5) == 0))
			env->vector[n++] = *at;
	return 0;
}

static int spawn(char *const *arguments, char *const *env, pid_t *ret_pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int err = posix_spawn_file_actions_init(&files);

	if (err != 0)
		return -err;
	err = posix_spawnattr_init(&attributes);
	if (err != 0) {
		posix_spawn_file_actions_destroy(&files);
		return -err;
	}
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSIGDEF);
	for (int fd = 0; fd < 3 && err == 0; fd++)
		err = posix_spawn_file_actions_addopen(&files, fd, "/dev/null",
						       fd == 0 ? O_RDONLY : O_WRONLY, 0);
	if (err == 0)
		err = posix_spawnp(ret_pid, arguments[0], &files, &attributes, arguments, env);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return -err;
}

int alert_command_start(const struct rule_alert *alert, const struct alert_command_about *about,
			uint64_t timeout_ns, uint64_t now_ns, struct alert_command_run *ret_run)
{
	struct alert_command_run run = {.deadline_ns = now_ns + timeout_ns};
	struct environment env;
	char **arguments;
	int err;

	if (alert->command_count == 0)
		return -ENOENT;
	arguments = calloc(alert->command_count + 1, sizeof(char *));
	if (arguments == NULL)
		return -ENOMEM;
	memcpy(arguments, alert->command, alert->command_count * sizeof(char *));
	err = environment_make(about, &env);
	if (err == 0) {
		err = spawn(arguments, env.vector, &run.pid);
		environment_free(&env);
	}
	free(arguments);
	if (err != 0)
		return err;
	run.pidfd = (int)syscall(SYS_pidfd_open, run.pid, 0);
	if (run.pidfd < 0) {
		err = -errno;
		kill(-run.pid, SIGKILL);
		waitpid(run.pid, NULL, 0);
		return err;
	}
	*ret_run = run;
	return 0;
}

int alert_command_finish(struct alert_command_run *run, int *ret_status)
{
	int status;
	pid_t pid = waitpid(run->pid, &status, WNOHANG);

	if (pid == 0)
		return -EAGAIN;
	if (pid < 0)
		return -errno;
	close(run->pidfd);
	run->pidfd = -1;
	*ret_status = status;
	return 0;
}

void alert_command_kill(const struct alert_command_run *run)
{
	kill(-run->pid, SIGKILL);
}
