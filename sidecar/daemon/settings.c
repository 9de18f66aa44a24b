/* SPDX-License-Identifier: MIT
 *
 * See settings.h.
 */
#include "sidecar/daemon/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/log.h"
#include "sidecar/daemon/types.h"
#include "sidecar/segment/calendar.h"

void settings_log(const struct config *config)
{
	static const enum log_level levels[] = {[CONFIG_LOG_ERROR] = LOG_LEVEL_ERROR,
						[CONFIG_LOG_WARNING] = LOG_LEVEL_WARNING,
						[CONFIG_LOG_NOTICE] = LOG_LEVEL_NOTICE,
						[CONFIG_LOG_INFO] = LOG_LEVEL_INFO,
						[CONFIG_LOG_DEBUG] = LOG_LEVEL_DEBUG};

	log_configure(config->log.format.text == NULL		    ? LOG_FORMAT_GIVEN
		      : config->log.format.value == CONFIG_LOG_JSON ? LOG_FORMAT_JSON
								    : LOG_FORMAT_TEXT,
		      levels[config->log.level.value]);
}

void settings_publish(struct sidecar *s)
{
	static const enum layout_down actions[] = {[CONFIG_DOWN_KEEP] = LAYOUT_DOWN_KEEP,
						   [CONFIG_DOWN_FAIL_OPEN] = LAYOUT_DOWN_FAIL_OPEN,
						   [CONFIG_DOWN_FAIL_CLOSED] =
							   LAYOUT_DOWN_FAIL_CLOSED};
	const struct config *config = s->generation.config;

	heartbeat_on_down(s->segment, actions[config->on_sidecar_down.value],
			  config->sidecar_timeout.value);
	calendar_publish(s->segment, config->time_zone);
}

void settings_parts(struct sidecar *s, const struct config *config)
{
	gate_bridge_configure(s->gate, config);
	logs_configure(s->logs, config);
	door_configure(s->door, config);
	doors_configure(s->doors, config);
	hooks_configure(s->hooks, config);
}

/* ---- what only a start can change ------------------------------------------------------------- */

/* Its texts outlive the generation that it comes from. */
int settings_keep(struct sidecar *s)
{
	const struct config_segment *from = &s->generation.config->segment;

	s->started = *from;
	s->started.path = strdup(from->path);
	s->started.owner = from->owner ? strdup(from->owner) : NULL;
	s->started.group = from->group ? strdup(from->group) : NULL;
	return s->started.path && !s->started.owner == !from->owner &&
			       !s->started.group == !from->group
		       ? 0
		       : -ENOMEM;
}

void settings_forget(struct sidecar *s)
{
	free(s->started.path);
	free(s->started.owner);
	free(s->started.group);
}

static bool text_differs(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) != 0 : a != b;
}

bool settings_need_restart(const struct sidecar *s, const struct config *config)
{
	const struct config_segment *a = &s->started, *b = &config->segment;

	return a->flows.value != b->flows.value || a->workers.value != b->workers.value ||
	       a->ring.value != b->ring.value || a->minutes.value != b->minutes.value ||
	       a->leases.value != b->leases.value ||
	       a->max_reservation.value != b->max_reservation.value ||
	       text_differs(a->path, b->path) || text_differs(a->owner, b->owner) ||
	       text_differs(a->group, b->group);
}
