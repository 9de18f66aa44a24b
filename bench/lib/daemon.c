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

#include "shm/tollgate.h"

#define TRIES 3000 /* of 10 ms */

/* BUILD/bench/ring is this program; BUILD/tollgated is wanted. */
static int program_path(char *path, size_t size)
{
	char self[512];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return -errno;
	self[n] = '\0';
	n = snprintf(path, size, "%s/tollgated", dirname(dirname(self)));
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

static int attach_wait(struct daemon *daemon)
{
	struct tg_options options = {
		.size = sizeof(options), .segment = daemon->segment, .owner = -1};
	struct tg *tg;

	for (int i = 0; i < TRIES; i++) {
		if (tg_attach(&options, &tg) == 0) {
			tg_detach(tg);
			return 0;
		}
		if (waitpid(daemon->pid, NULL, WNOHANG) == daemon->pid) {
			daemon->pid = 0;
			return -ECHILD;
		}
		usleep(10000);
	}
	return -ETIMEDOUT;
}

int daemon_sidecar(struct daemon *daemon, const char *configuration)
{
	char program[600];
	int error;

	memset(daemon, 0, sizeof(*daemon));
	error = program_path(program, sizeof(program));
	if (error == 0)
		error = config_write(daemon, configuration);
	if (error == 0) {
		daemon->pid = fork();
		if (daemon->pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			execl(program, "tollgated", "-c", daemon->config, "--remove", (char *)NULL);
			_exit(127);
		}
		error = daemon->pid < 0 ? -errno : attach_wait(daemon);
	}
	if (error < 0) {
		fprintf(stderr, "bench: %s: %s\n", program, strerror(-error));
		daemon_stop(daemon);
	}
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
