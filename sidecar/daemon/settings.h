/* SPDX-License-Identifier: MIT
 *
 * A configuration, put in force: at the start, and each time that it was read anew.
 */
#ifndef SIDECAR_DAEMON_SETTINGS_H
#define SIDECAR_DAEMON_SETTINGS_H

#include <stdbool.h>

struct config;
struct sidecar;

/* How and what the log tells. */
void settings_log(const struct config *config);

/* Publishes to workers what holds for all of them: the calendar, and what to do when we are gone. */
void settings_publish(struct sidecar *sidecar);

/* Tells the parts that stand beside the engine. */
void settings_parts(struct sidecar *sidecar, const struct config *config);

/* Keeps what can only change at a start. 0, or -ENOMEM. */
int settings_keep(struct sidecar *sidecar);
void settings_forget(struct sidecar *sidecar);

/* Whether a configuration says otherwise than what is kept. */
bool settings_need_restart(const struct sidecar *sidecar, const struct config *config);

#endif
