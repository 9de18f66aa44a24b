/* SPDX-License-Identifier: MIT
 *
 * seed: what flows had sent before, as somebody tells it: {"flows": [{"source": ..., "destination":
 * ..., "minute": n, "hour": n, "day": n}, ...]}, the largest minute, hour and day as they are
 * remembered now. A line for each flow that was not taken, and why; the others are taken all the
 * same.
 */
#include <errno.h>
#include <stdio.h>

#include "sidecar/api/api.h"
#include "sidecar/base/log.h"

#define FLOWS_A_CALL 4 /* each may have to be looked for among all that is known */

static bool peak_read(const struct json *flow, const char *key, double *ret)
{
	*ret = json_get_double(flow, key, json_get(flow, key) ? -1 : 0);
	return *ret >= 0 && *ret < UINT32_MAX;
}

/* 0, or the reason is in call. */
static int flow_seed(struct api_context *s, struct control_call *call, const struct json *flow)
{
	double peaks[BASELINE_SPANS];
	uint32_t slot;
	int error;

	if (!peak_read(flow, "minute", &peaks[BASELINE_MINUTE]) ||
	    !peak_read(flow, "hour", &peaks[BASELINE_HOUR]) ||
	    !peak_read(flow, "day", &peaks[BASELINE_DAY])) {
		snprintf(call->reason, sizeof(call->reason),
			 "minute, hour and day must be numbers of messages");
		return -EINVAL;
	}
	slot = api_flow_of(s, call, flow, true);
	if (slot == LAYOUT_NONE)
		return -EINVAL;
	error = engine_seed(s->engine, slot, peaks, loop_now());
	if (error)
		snprintf(call->reason, sizeof(call->reason),
			 "there is no room for what it has sent: raise segment.flows");
	return error;
}

static void put_refused(struct control_call *call, const struct json *flow)
{
	json_put_object(call->answer, NULL);
	json_put_text(call->answer, "source", json_get_text(flow, "source", NULL));
	json_put_text(call->answer, "destination", json_get_text(flow, "destination", NULL));
	json_put_text(call->answer, "error", call->reason);
	json_put_end(call->answer);
	json_put_newline(call->answer);
	*call->reason = '\0';
}

int api_seed(void *arg, struct control_call *call)
{
	const struct json *flows = json_get(call->request, "flows");

	if (json_kind(flows) != JSON_KIND_ARRAY) {
		snprintf(call->reason, sizeof(call->reason), "flows: must be a list of flows");
		return -EINVAL;
	}
	if (call->cursor == 0)
		log_notice("operator", "uid %u: seed: what %zu flows had sent before",
			   (unsigned)call->uid, json_count(flows));
	for (int i = 0; i < FLOWS_A_CALL && call->cursor < json_count(flows); i++) {
		const struct json *flow = json_at(flows, call->cursor++);

		if (flow_seed(arg, call, flow) != 0)
			put_refused(call, flow);
	}
	return call->cursor < json_count(flows) ? SERVER_MORE : SERVER_DONE;
}
