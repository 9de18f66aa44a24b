/* SPDX-License-Identifier: MIT
 *
 * tollgated as a whole: what main.c starts.
 */
#ifndef SIDECAR_DAEMON_DAEMON_H
#define SIDECAR_DAEMON_DAEMON_H

#include <stdbool.h>

struct sidecar;

#define SIDECAR_REASON 512
/* How long the log's last lines may take. */
#define SIDECAR_LAST_WORDS_NS UINT64_C(1000000000)

/* Makes all of it: loop, segment, engine; publishes; opens the segment to workers. config_path NULL: the
 * built-in configuration. remove: the segment is taken away at the end. */
int sidecar_create(const char *config_path, bool remove, struct sidecar **ret, char *reason);
void sidecar_free(struct sidecar *sidecar);

/* Runs until SIGTERM or SIGINT. */
int sidecar_run(struct sidecar *sidecar);

#endif
