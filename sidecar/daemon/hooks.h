/* SPDX-License-Identifier: MIT
 *
 * What the operator has started when a flow is held and when that ends: for MTAs that are told by
 * their own commands.
 *
 * Argument vectors of the configuration, never a shell; what happened stands in the environment.
 * HOOKS_AT_ONCE run at once, HOOKS_MAX wait; what is beyond is counted and told. Of one flow one runs
 * after the other, in the order of the events. Their ends are logged where they fail. All from the
 * loop's thread; nothing here waits.
 */
#ifndef SIDECAR_DAEMON_HOOKS_H
#define SIDECAR_DAEMON_HOOKS_H

#include "sidecar/alert/alerts.h"
#include "sidecar/base/json.h"
#include "sidecar/engine/engine.h"

#define HOOKS_AT_ONCE ALERTS_MAX
#define HOOKS_MAX     1024

struct hooks;

int hooks_create(struct loop *loop, struct segment *segment, struct engine *engine,
		 struct hooks **ret);
void hooks_free(struct hooks *hooks); /* NULL is fine; kills what runs */

/* From now on; lives until the next call. What waits and has no command any more is dropped. */
void hooks_configure(struct hooks *hooks, const struct config *config);

/* {"hold", "release", "running", "waiting", "started", "failed", "lost"} */
void hooks_put(const struct hooks *hooks, struct json_writer *out, const char *key);

#endif
