/* SPDX-License-Identifier: MIT */
#include "sidecar/ingest/replay_control.h"

#include "shm/destination.h"
#include "shm/source.h"
#include "sidecar/config/limits.h"
#include "sidecar/engine/effective.h"

static const struct rule controller = {.name = (char *)"controller"};

static void begin(struct replay_control *c, const struct config *config, const char *source,
		  const char *destination, uint64_t time_ns)
{
	uint8_t address[16];
	struct resolved_limits resolved;

	limits_resolve_flow(config, source_read(source, address) == 0 ? address : NULL, destination,
			    &resolved);
	c->begun = true;
	c->adapts = resolved.limits.flags & FLOW_ADAPT;
	effective_bounds(&resolved.limits, 0, &c->bounds);
	control_init(&c->state, &c->bounds, time_ns);
	control_limits(&c->state, &c->bounds, time_ns, &c->limits);
}

static uint64_t held_until(const struct control_limits *limits)
{
	uint64_t all = limits->hold_until_ns[TG_TRANSACTIONAL],
		 bulk = limits->hold_until_ns[TG_BULK];

	return bulk > all ? bulk : all;
}

bool replay_control_take(struct replay_control *c, const struct config *config, const char *source,
			 const char *destination, const struct classification *found,
			 uint64_t time_ns, struct rule_effect *ret, enum rule_action_kind *ret_kind)
{
	struct control_observation seen = {.class = classification_control(found),
					   .limit = found->limit,
					   .traffic = TG_BULK,
					   .admitted_ns = time_ns};
	struct control_limits before;
	uint64_t next_ns;

	if (!c->begun)
		begin(c, config, source, destination, time_ns);
	if (!c->adapts)
		return false;
	control_tick(&c->state, &c->bounds, found->class == REPLY_DELIVERED,
		     found->class != REPLY_DELIVERED, time_ns);
	before = c->limits;
	control_observe(&c->state, &c->bounds, &seen, time_ns);
	next_ns = control_limits(&c->state, &c->bounds, time_ns, &c->limits);
	if (held_until(&c->limits) > time_ns && held_until(&c->limits) > held_until(&before)) {
		*ret_kind = RULE_HOLD;
		*ret = (struct rule_effect){&controller, (double)(held_until(&c->limits) - time_ns),
					    held_until(&c->limits)};
		return true;
	}
	if (c->limits.phase == CONTROL_HELD || c->limits.phase == CONTROL_PROBING ||
	    c->limits.interval_ns <= before.interval_ns || before.phase == CONTROL_HELD ||
	    before.phase == CONTROL_PROBING)
		return false;
	*ret_kind = RULE_RATE;
	*ret = (struct rule_effect){&controller, 1e9 / (double)c->limits.interval_ns, next_ns};
	return true;
}
