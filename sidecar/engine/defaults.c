/* SPDX-License-Identifier: MIT
 *
 * Limits of what has none of its own yet: of flows, sources, destinations and streams until the
 * engine has reached them.
 */
#include "sidecar/base/log.h"
#include "sidecar/engine/engine.h"
#include "sidecar/engine/state.h"

static void default_publish(struct engine *e, uint32_t index,
			    const struct resolved_limits *resolved)
{
	struct publish_limits limits;

	effective_plain(&resolved->limits, &limits);
	publish_default(e->segment, index, &limits);
}

/* As a flow begins: one that adapts has what its controller gives it at first, so that a new one
 * takes no burst that it has to be forbidden a moment later. Who is still under these limits tells
 * all replies, since its announcement may have been lost: the first reply that arrives makes it
 * known. */
static void default_limits(const struct engine *e, const struct resolved_limits *resolved,
			   uint32_t parents, uint64_t now_ns, struct publish_limits *ret)
{
	bool adapts = resolved->limits.flags & FLOW_ADAPT;
	struct control_bounds bounds;
	struct control_limits limits;
	struct control_state fresh;
	struct effective effective;

	effective_bounds(&resolved->limits, e->wall_offset_ns, &bounds);
	control_init(&fresh, &bounds, now_ns);
	control_limits(&fresh, &bounds, now_ns, &limits);
	effective_merge(&resolved->limits, adapts ? &limits : NULL, NULL, parents, now_ns,
			&effective);
	engine_history_begin(&resolved->limits, &effective);
	effective.limits.flags |= LAYOUT_REPORT_DELIVERED;
	*ret = effective.limits;
}

/* Which records of defaults destinations have, whether or not they are configured now. */
static void records_used(const struct engine *e, bool used[LAYOUT_DEFAULTS])
{
	for (uint32_t i = 0; i < segment_count(e->segment); i++) {
		uint32_t slot = segment_nth(e->segment, i);

		if (segment_kind(e->segment, slot) == SEGMENT_DESTINATION)
			used[publish_default_index(e->segment, slot)] = true;
	}
}

static uint32_t record_free(const bool used[LAYOUT_DEFAULTS])
{
	uint32_t index = LAYOUT_DEFAULT_FIRST;

	while (index < LAYOUT_DEFAULTS && used[index])
		index++;
	return index;
}

/* A destination keeps its record from one configuration to the next, whatever its place there: the
 * prices of a record are one sequence, and its flows' states are charged by it. */
static void destinations_defaults(struct engine *e, uint32_t parents, uint64_t now_ns)
{
	bool used[LAYOUT_DEFAULTS] = {0}, configured[LAYOUT_DEFAULTS] = {0};
	struct resolved_limits resolved;
	struct publish_limits limits;
	uint32_t none = 0;

	records_used(e, used);
	for (uint32_t i = 0; i < e->config->effective_count; i++) {
		const char *name = e->config->effective[i]->name;
		uint32_t slot = segment_destination(e->segment, name), index;

		if (slot == LAYOUT_NONE)
			continue;
		limits_resolve_flow(e->config, NULL, name, &resolved);
		default_limits(e, &resolved, parents | engine_parents_of(e, NULL, name), now_ns,
			       &limits);
		index = publish_default_index(e->segment, slot);
		if (index != LAYOUT_DEFAULT_FLOW)
			publish_default(e->segment, index, &limits);
		else if ((index = record_free(used)) < LAYOUT_DEFAULTS)
			publish_default_own(e->segment, slot, index, &limits);
		else
			none++;
		if (index < LAYOUT_DEFAULTS)
			used[index] = configured[index] = true;
	}
	if (none)
		log_warning("directory",
			    "%u destinations have the general limits until their flows are known: "
			    "more than %u have been configured since the segment was made",
			    none, LAYOUT_DEFAULTS - LAYOUT_DEFAULT_FIRST);
	/* One that is no longer configured has the general limits. */
	limits_resolve_flow(e->config, NULL, "", &resolved);
	default_limits(e, &resolved, parents, now_ns, &limits);
	for (uint32_t i = LAYOUT_DEFAULT_FIRST; i < LAYOUT_DEFAULTS; i++)
		if (used[i] && !configured[i])
			publish_default(e->segment, i, &limits);
}

bool engine_begins_by_default(const struct engine *e, uint32_t slot)
{
	const struct segment_slot *known = segment_slot(e->segment, slot);
	char name[DESTINATION_NAME_MAX + 1];

	if (known->kind != SEGMENT_FLOW || known->destination >= e->segment->view.slots ||
	    e->config->overrides_count || e->config->warmup.flows_count)
		return false;
	return publish_default_index(e->segment, known->destination) != LAYOUT_DEFAULT_FLOW ||
	       config_destination_named(e->config, segment_name(e->segment, known->destination,
								name, sizeof(name))) == NULL;
}

/* Until a slot is filled these hold; parents that only some sources have are asked for all. */
void engine_defaults_publish(struct engine *e, uint64_t now_ns)
{
	struct resolved_limits resolved;
	struct publish_limits limits;
	uint32_t parents;

	limits_resolve_source(e->config, NULL, &resolved);
	parents = limits_any(&resolved) || e->config->sources_count || e->config->pools_count
			  ? LAYOUT_SOURCE
			  : 0;
	default_publish(e, LAYOUT_DEFAULT_SOURCE, &resolved);
	limits_resolve_destination(e->config, "", &resolved);
	default_publish(e, LAYOUT_DEFAULT_DESTINATION, &resolved);
	limits_resolve_stream(e->config, "", &resolved);
	default_publish(e, LAYOUT_DEFAULT_STREAM, &resolved);
	/* First, as they follow the general ones that hold until now. */
	destinations_defaults(e, parents, now_ns);
	limits_resolve_flow(e->config, NULL, "", &resolved);
	default_limits(e, &resolved, parents, now_ns, &limits);
	publish_default(e->segment, LAYOUT_DEFAULT_FLOW, &limits);
}
