/* SPDX-License-Identifier: MIT
 *
 * See api.h: the table of commands, and what several of them share.
 */
#include "sidecar/api/api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shm/destination.h"
#include "sidecar/api/watch.h"

static const struct {
	const char *name;
	bool changes;
	control_run *run;
} commands[] = {
	{"status", false, api_status},	 {"flows", false, api_flows},
	{"explain", false, api_explain}, {"hold", true, api_hold},
	{"release", true, api_release},	 {"set", true, api_set},
	{"reset", true, api_reset},	 {"reload", true, api_reload},
	{"report", false, api_report},	 {"watch", false, api_watch},
	{"seed", true, api_seed},	 {"snds", true, api_snds},
	{"warmup", false, api_warmup},	 {"warmup_order", true, api_warmup_order},
};

int api_register(struct api_context *context)
{
	int error = watch_create(context, &context->watch);

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]) && !error; i++)
		error = control_socket_handle(context->server, commands[i].name,
					      commands[i].changes, commands[i].run, context);
	return error;
}

void api_end(struct api_context *context)
{
	watch_free(context->watch);
	context->watch = NULL;
}

/* The next known flow from call->cursor on that the filter lets through; moves the cursor behind
 * it. 0; -ENOENT: none left; -EAGAIN: none in this piece. */
static int flow_next(const struct api_context *s, struct control_call *call,
		     const struct flow_json_filter *filter, uint32_t *ret_slot)
{
	for (int looked = 0; looked < API_PIECE; looked++) {
		if (call->cursor >= segment_count(s->segment))
			return -ENOENT;
		*ret_slot = segment_nth(s->segment, (uint32_t)call->cursor++);
		if (flow_json_wanted(s->segment, *ret_slot, filter))
			return 0;
	}
	return -EAGAIN;
}

int api_each_flow(struct api_context *s, struct control_call *call, api_visit *visit, void *arg)
{
	char name[DESTINATION_NAME_MAX + 1];
	struct flow_json_filter filter;
	uint32_t slot;
	int status = flow_json_filter_read(s->segment, call->request, name, &filter, call->reason,
					   sizeof(call->reason));

	for (int i = 0; i < API_FLOWS && status == 0; i++) {
		status = flow_next(s, call, &filter, &slot);
		if (status == 0)
			visit(s, call, slot, arg);
	}
	return status == 0 || status == -EAGAIN ? SERVER_MORE
	       : status == -ENOENT		? SERVER_DONE
						: status;
}

uint32_t api_flow_find(struct segment *segment, const struct flow_json_filter *filter)
{
	struct hash_key key = hash_bytes(HASH_DESTINATION, filter->destination,
					 strlen(filter->destination), segment->header.seed);
	uint32_t slot;

	key = hash_flow(filter->source, key.half, segment->header.seed);
	slot = segment_find(segment, &key, false);
	return slot != LAYOUT_NONE && flow_json_wanted(segment, slot, filter) ? slot : LAYOUT_NONE;
}

/* Whether the configuration names both, or some flow has them: what is misspelt is neither. */
static bool names_known(const struct api_context *s, const struct flow_json_filter *filter,
			const char **ret_unknown)
{
	const struct config *config = s->generation->config;
	bool source =
		config_pool_of(config, filter->source) || config_source_of(config, filter->source);
	bool destination = config_destination_named(config, filter->destination);
	struct flow_json_filter by_source = *filter, by_destination = *filter;
	uint32_t count = segment_count(s->segment);

	by_source.destination = NULL;
	by_destination.by_source = false;
	for (uint32_t i = 0; i < count && !(source && destination); i++) {
		source = source ||
			 flow_json_wanted(s->segment, segment_nth(s->segment, i), &by_source);
		destination =
			destination ||
			flow_json_wanted(s->segment, segment_nth(s->segment, i), &by_destination);
	}
	*ret_unknown = source ? "destination" : "source";
	return source && destination;
}

uint32_t api_flow(struct api_context *s, struct control_call *call, bool claim)
{
	return api_flow_of(s, call, call->request, claim);
}

uint32_t api_flow_of(struct api_context *s, struct control_call *call, const struct json *named,
		     bool claim)
{
	char name[DESTINATION_NAME_MAX + 1];
	struct flow_json_filter filter;
	const char *unknown;
	uint32_t slot;

	if (flow_json_filter_read(s->segment, named, name, &filter, call->reason,
				  sizeof(call->reason)) != 0)
		return LAYOUT_NONE;
	if (!filter.by_source || filter.destination == NULL) {
		snprintf(call->reason, sizeof(call->reason), "name a source and a destination");
		return LAYOUT_NONE;
	}
	slot = api_flow_find(s->segment, &filter);
	if (slot != LAYOUT_NONE)
		return slot;
	if (!claim) {
		snprintf(call->reason, sizeof(call->reason),
			 "no worker has asked for this source at %.128s yet", name);
		return LAYOUT_NONE;
	}
	if (!json_get_bool(call->request, "new", false) && !names_known(s, &filter, &unknown)) {
		snprintf(
			call->reason, sizeof(call->reason),
			"%.64s: neither the configuration nor a worker has named this %s; with --new "
			"it is taken all the same",
			json_get_text(named, unknown, ""), unknown);
		return LAYOUT_NONE;
	}
	slot = engine_claim(s->engine, filter.source, name, loop_now());
	if (slot == LAYOUT_NONE)
		snprintf(call->reason, sizeof(call->reason),
			 "the segment has no room for another flow");
	return slot;
}
