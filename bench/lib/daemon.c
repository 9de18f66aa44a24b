/* SPDX-License-Identifier: MIT
 *
 * A real tollgated for a measurement: see daemon.h.
 */
#include "bench/lib/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES  30000
#define TRY_US 2000

pid_t daemon_spawn(const char *build, const char *config, const char *log, const char *option)
{
	pid_t parent = getpid(), pid;
	char program[600];
	int fd;

	if ((size_t)snprintf(program, sizeof(program), "%s/tollgated", build) >= sizeof(program))
		return -ENAMETOOLONG;
	pid = fork();
	if (pid != 0)
		return pid < 0 ? -errno : pid;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(125);
	fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
	if (log && (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0))
		_exit(126);
	/* The machine's own store is not for measurements and tests; a `state` in the
	 * configuration stands above this. */
	setenv("STATE_DIRECTORY", "/nonexistent", 1);
	execl(program, "tollgated", "-c", config, option, (char *)NULL);
	_exit(127);
}

int daemon_attach(const char *segment, pid_t pid, struct tg **ret)
{
	struct tg_options options = {.size = sizeof(options), .segment = segment, .owner = -1};

	for (int i = 0; i < TRIES; i++) {
		siginfo_t ended = {.si_pid = 0};

		if (tg_attach(&options, ret) == 0)
			return 0;
		if (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		    ended.si_pid == pid)
			return -ECHILD;
		usleep(TRY_US);
	}
	return -ETIMEDOUT;
}

/* BUILD/bench/ring is this program; BUILD is wanted. */
static int build_folder(char *path, size_t size)
{
	char self[512];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return -errno;
	self[n] = '\0';
	n = snprintf(path, size, "%s", dirname(dirname(self)));
	return n > 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

static int config_write(struct daemon *daemon, const char *configuration)
{
	FILE *file;
	int fd;

	strcpy(daemon->config, "/tmp/tollgate-bench.XXXXXX");
	fd = mkostemp(daemon->config, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(daemon->segment, sizeof(daemon->segment), "/dev/shm/tollgate-bench-%d-%s",
		 (int)getpid(), daemon->config + strlen("/tmp/tollgate-bench."));
	file = fdopen(fd, "w");
	if (!file)
		return -errno;
	fprintf(file, "segment: {path: %s, flows: 20000, ring: 4096}\nlog: {level: error}\n%s",
		daemon->segment, configuration);
	return fclose(file) == 0 ? 0 : -errno;
}

int daemon_sidecar(struct daemon *daemon, const char *configuration)
{
	char build[512];
	struct tg *tg;
	int error;

	memset(daemon, 0, sizeof(*daemon));
	error = build_folder(build, sizeof(build));
	if (error == 0)
		error = config_write(daemon, configuration);
	if (error == 0) {
		daemon->pid = daemon_spawn(build, daemon->config, NULL, "--remove");
		error = daemon->pid < 0 ? daemon->pid
					: daemon_attach(daemon->segment, daemon->pid, &tg);
	}
	if (error == 0) {
		tg_detach(tg);
		return 0;
	}
	fprintf(stderr, "bench: %s/tollgated: %s\n", build, strerror(-error));
	daemon_stop(daemon);
	return error;
}

void daemon_stop(struct daemon *daemon)
{
	if (daemon->pid > 0) {
		kill(daemon->pid, SIGTERM);
		waitpid(daemon->pid, NULL, 0);
	}
	daemon->pid = 0;
	if (daemon->config[0])
		unlink(daemon->config);
	if (daemon->segment[0])
		rmdir(daemon->segment);
}
