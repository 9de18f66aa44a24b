/* SPDX-License-Identifier: MIT
 *
 * A program started for a measurement and ended after it: a real tollgated on a segment of its own.
 */
#ifndef BENCH_DAEMON_H
#define BENCH_DAEMON_H

#include <sys/types.h>

struct daemon {
	pid_t pid; /* 0: none */
	char segment[64];
	char config[80];
};

/* Starts `tollgated` (from the build folder that this program stands in) with the given
 * configuration (YAML; its segment's path is added), and waits until workers can attach. 0 or
 * -errno; why is printed. */
int daemon_sidecar(struct daemon *daemon, const char *configuration);

/* Ends it, and takes away what it left. */
void daemon_stop(struct daemon *daemon);

#endif
