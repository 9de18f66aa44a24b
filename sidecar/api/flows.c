/* SPDX-License-Identifier: MIT
 *
 * flows: a line a flow. Members "source" and "destination" of the request choose among them.
 */
#include "sidecar/api/api.h"

static void put_flow(struct api_context *s, struct control_call *call, uint32_t slot, void *arg)
{
	uint64_t now_ns = loop_now();

	json_put_object(call->answer, NULL);
	flow_json_put(s->segment, slot, now_ns, call->answer);
	flow_json_put_state(s->segment, s->engine, s->generation->config, slot, now_ns,
			    call->answer);
	json_put_end(call->answer);
	json_put_newline(call->answer);
}

int api_flows(void *arg, struct control_call *call)
{
	return api_each_flow(arg, call, put_flow, NULL);
}
