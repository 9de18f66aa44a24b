/* SPDX-License-Identifier: MIT
 *
 * report: a reply that a script heard, as a worker would report it.
 *
 * Whoever may attach to the segment may report, so the group may ask this too.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shm/destination.h"
#include "shm/tollgate.h"
#include "sidecar/api/api.h"

static int refuse(struct control_call *call, const char *why)
{
	snprintf(call->reason, sizeof(call->reason), "%s", why);
	return -EINVAL;
}

static bool source_unlisted(const struct api_context *s, const uint8_t source[16])
{
	struct address_range only;

	memcpy(only.first, source, sizeof(only.first));
	memcpy(only.last, source, sizeof(only.last));
	return config_source_unlisted(s->generation->config, &only);
}

int api_report(void *arg, struct control_call *call)
{
	struct api_context *s = arg;
	const char *reply = json_get_text(call->request, "reply", "");
	uint64_t n = json_get_u64(call->request, "n", 1), now_ns = loop_now();
	char name[DESTINATION_NAME_MAX + 1];
	struct flow_json_filter filter;
	struct tg_reply line = {0};
	uint32_t slot;
	int error = flow_json_filter_read(s->segment, call->request, name, &filter, call->reason,
					  sizeof(call->reason));

	if (error)
		return error;
	if (!filter.by_source || filter.destination == NULL)
		return refuse(call, "a source and a destination must be named");
	if (source_unlisted(s, filter.source))
		return refuse(call, "not an address, and no pool lists a source of this name");
	if (n == 0 || n > UINT32_MAX)
		return refuse(call, "n: must be above 0");
	if (*reply != '\0' && tg_reply_parse(reply, strlen(reply), &line) != 0)
		return refuse(call,
			      "the reply has no code: \"451 4.7.650 text\" is one, \"\" says that "
			      "no connection came about");
	slot = engine_claim(s->engine, filter.source, filter.destination, now_ns);
	if (slot == LAYOUT_NONE)
		return refuse(call, "no room for another flow: raise segment.flows");
	engine_heard(s->engine, slot,
		     &(struct engine_heard){
			     .code = line.code,
			     .enhanced = (unsigned)line.enhanced[0] << 20 |
					 (unsigned)line.enhanced[1] << 10 | line.enhanced[2],
			     .stage = line.code ? TG_STAGE_MESSAGE : TG_STAGE_CONNECT,
			     .n = (uint32_t)n,
			     .replied_ns = now_ns,
			     .text = reply,
			     .length = strlen(reply),
		     },
		     now_ns);
	json_put_object(call->answer, NULL);
	json_put_text(call->answer, "destination", filter.destination);
	json_put_u64(call->answer, "code", line.code);
	json_put_end(call->answer);
	json_put_newline(call->answer);
	return SERVER_DONE;
}
