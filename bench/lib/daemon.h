/* SPDX-License-Identifier: MIT
 *
 * A real tollgated for a measurement or a stress program, on a segment of its own. It ends with who
 * started it, and never touches the machine's own store.
 */
#ifndef BENCH_DAEMON_H
#define BENCH_DAEMON_H

#include <sys/types.h>

#include "shm/tollgate.h"

struct daemon {
	pid_t pid; /* 0: none */
	char segment[64];
	char config[80];
};

/* Starts the tollgated of the folder `build` with the file `config`. What it says is appended to the
 * file `log` (NULL: it goes where ours goes). option: one more argument, or NULL. Returns its pid,
 * or -errno. */
pid_t daemon_spawn(const char *build, const char *config, const char *log, const char *option);

/* Waits until its segment can be attached to. -ECHILD: it has ended; its status is still there to be
 * waited for. */
int daemon_attach(const char *segment, pid_t pid, struct tg **ret);

/* Starts that of the build folder that this program stands in with the given configuration (YAML;
 * its segment's path is added), and waits until workers can attach. 0 or -errno; why is printed. */
int daemon_sidecar(struct daemon *daemon, const char *configuration);

/* Ends it, and takes away what it left. */
void daemon_stop(struct daemon *daemon);

#endif
