/* SPDX-License-Identifier: MIT
 *
 * flows: a line a flow. Members "source" and "destination" of the request choose among them.
 */
#include <errno.h>

#include "shm/destination.h"
#include "sidecar/api/api.h"

#define FLOWS_A_CALL 16 /* each has up to 60 minutes to be summed up */

int api_flows(void *arg, struct control_call *call)
{
	struct api_context *s = arg;
	char name[DESTINATION_NAME_MAX + 1];
	struct flow_json_filter filter;
	uint32_t slot;
	int status = flow_json_filter_read(s->segment, call->request, name, &filter, call->reason,
					   sizeof(call->reason));

	for (int i = 0; i < FLOWS_A_CALL && status == 0; i++) {
		uint64_t now_ns = loop_now();

		status = api_next_flow(s, call, &filter, &slot);
		if (status)
			break;
		json_put_object(call->answer, NULL);
		flow_json_put(s->segment, slot, now_ns, call->answer);
		flow_json_put_state(s->segment, s->engine, s->generation->config, slot, now_ns,
				    call->answer);
		json_put_end(call->answer);
		json_put_newline(call->answer);
	}
	return status == 0 || status == -EAGAIN ? SERVER_MORE
	       : status == -ENOENT		? SERVER_DONE
						: status;
}
