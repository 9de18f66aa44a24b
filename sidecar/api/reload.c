/* SPDX-License-Identifier: MIT
 *
 * reload: as SIGHUP, with an answer. The configuration is checked whole before anything changes.
 */
#include <stdio.h>

#include "sidecar/api/api.h"

int api_reload(void *arg, struct server_call *call)
{
	struct api_context *s = arg;
	char reason[API_REASON] = "";
	int error = s->reload(s->daemon, reason);

	if (error) {
		snprintf(call->reason, sizeof(call->reason), "%.*s", SERVER_REASON - 1, reason);
		return error;
	}
	json_put_object(call->answer, NULL);
	json_put_text(call->answer, "config",
		      s->config_path ? s->config_path : "the built-in configuration");
	report_count(call->answer, "generation",
		     atomic_load_explicit(&s->segment->live->generation, memory_order_relaxed));
	json_put_end(call->answer);
	json_put_newline(call->answer);
	return SERVER_DONE;
}
