/* SPDX-License-Identifier: MIT */
#include "sidecar/ingest/replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "shm/destination.h"
#include "sidecar/base/intern.h"
#include "sidecar/base/units.h"

/* In 2096: nanoseconds reach further, the arithmetic on them less. */
#define TIME_MAX_NS (UINT64_C(4000000000) * UNITS_SECOND_NS)

struct replay {
	struct replay_setup setup;
	replay_act *act;
	void *context;
	struct scratch scratch; /* made with the first outcome, whose day the clock begins with */
	int64_t wall_offset_ns;
	uint64_t now_ns; /* of its clock */
	struct intake intake;
	struct intake_memory memory;
	struct intern *destinations;
	struct replay_total *totals; /* by destination */
	unsigned total_room;
	uint64_t *held_until_ns; /* by slot: holds that were told */
	uint64_t line;		 /* of the outcome that is being taken */
	int error;		 /* of what could not be told */
};

const char *replay_time_text(uint64_t ns, char *text, size_t size)
{
	time_t seconds = (time_t)(ns / UNITS_SECOND_NS);
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, size - n, ".%03uZ", (unsigned)(ns % UNITS_SECOND_NS / 1000000));
	return text;
}

static uint64_t wall_of(const struct replay *replay, uint64_t at_ns)
{
	return at_ns == UINT64_MAX ? at_ns : at_ns + (uint64_t)replay->wall_offset_ns;
}

/* ---- what it comes to ------------------------------------------------------------------------ */

static const char *destination_of(const struct replay *replay, uint32_t slot, char *text,
				  size_t size)
{
	const struct segment *segment = replay->scratch.segment;

	return segment_name(segment, segment_slot(segment, slot)->destination, text, size);
}

/* NULL: no memory, which ends the replay. */
static struct replay_total *total_of(struct replay *replay, uint32_t slot)
{
	char name[DESTINATION_NAME_MAX + 1];
	int index =
		intern_add(replay->destinations, destination_of(replay, slot, name, sizeof(name)));
	struct replay_total *total;

	replay->error = index < 0 ? -ENOMEM : replay->error;
	if (index < 0)
		return NULL;
	if ((unsigned)index >= replay->total_room) {
		unsigned room = replay->total_room * 2 + 16;
		struct replay_total *grown =
			reallocarray(replay->totals, room, sizeof(*replay->totals));

		if (grown == NULL) {
			replay->error = -ENOMEM;
			return NULL;
		}
		for (unsigned i = replay->total_room; i < room; i++)
			grown[i] = (struct replay_total){.replies = 0};
		replay->totals = grown;
		replay->total_room = room;
	}
	total = &replay->totals[index];
	total->destination = intern_name(replay->destinations, (unsigned)index);
	return total;
}

static void reply_seen(void *arg, const struct layout_record *reply,
		       const struct classification *classification, uint64_t now_ns)
{
	struct replay_total *total = total_of(arg, reply->slot);

	(void)now_ns;
	if (total)
		total->classes[classification->class]++;
}

static void hold_count(struct replay *replay, struct replay_total *total, uint32_t slot,
		       uint64_t until_ns, uint64_t now_ns)
{
	uint64_t *held_until_ns = &replay->held_until_ns[slot];

	if (until_ns <= *held_until_ns)
		return;
	total->held_ns += until_ns - (*held_until_ns > now_ns ? *held_until_ns : now_ns);
	*held_until_ns = until_ns;
}

static void action_seen(void *arg, const struct engine_action *action, uint64_t now_ns)
{
	struct replay *replay = arg;
	uint32_t slot = action->reply->slot;
	char source[DESTINATION_NAME_MAX + 1];
	struct replay_total *total = total_of(replay, slot);
	struct replay_action told = {
		.time_ns = wall_of(replay, now_ns),
		.until_ns = wall_of(replay, action->effect->until_ns),
		.line = replay->line,
		.source = destination_address_text(segment_address(replay->scratch.segment, slot),
						   source, sizeof(source)),
		.engine = action,
	};

	if (total == NULL)
		return;
	told.destination = total->destination;
	total->actions[action->kind]++;
	total->last_ns = told.time_ns;
	if (total->first_ns == 0)
		total->first_ns = told.time_ns;
	if (action->kind == RULE_HOLD)
		hold_count(replay, total, slot, action->effect->until_ns, now_ns);
	replay->act(replay->context, &told);
}

/* ---- making ---------------------------------------------------------------------------------- */

int replay_create(const struct replay_setup *setup, replay_act *act, void *context,
		  struct replay **ret_replay)
{
	struct replay *replay = calloc(1, sizeof(*replay));

	if (replay == NULL)
		return -ENOMEM;
	replay->setup = *setup;
	replay->act = act;
	replay->context = context;
	if (intern_create(&replay->destinations) != 0) {
		free(replay);
		return -ENOMEM;
	}
	*ret_replay = replay;
	return 0;
}

void replay_free(struct replay *replay)
{
	if (replay == NULL)
		return;
	scratch_close(&replay->scratch);
	intern_free(replay->destinations);
	free(replay->totals);
	free(replay->held_until_ns);
	free(replay);
}

static int begin(struct replay *replay, uint64_t time_ns)
{
	uint64_t day_ns = time_ns - time_ns % UNITS_DAY_NS;
	const struct config *config = replay->setup.config;
	struct scratch_setup setup = {
		.config = config,
		.classifier = replay->setup.classifier,
		.rules = replay->setup.rules,
		.flows = (uint32_t)config->segment.flows.value,
		.wall_offset_ns = (int64_t)day_ns - (int64_t)SCRATCH_EPOCH_NS,
	};
	const struct engine_watcher watcher = {
		.arg = replay, .reply = reply_seen, .action = action_seen};
	int error = scratch_open(&setup, &replay->scratch);

	if (error)
		return error;
	replay->wall_offset_ns = setup.wall_offset_ns;
	replay->now_ns = SCRATCH_EPOCH_NS;
	replay->held_until_ns =
		calloc(replay->scratch.segment->view.slots, sizeof(*replay->held_until_ns));
	if (replay->held_until_ns == NULL)
		return -ENOMEM;
	replay->intake = (struct intake){.engine = replay->scratch.engine,
					 .config = config,
					 .log = replay->setup.log,
					 .memory = &replay->memory};
	error = engine_watch(replay->scratch.engine, &watcher);
	scratch_work(&replay->scratch, replay->now_ns);
	return error;
}

/* ---- an outcome ------------------------------------------------------------------------------ */

/* Up to the time of an outcome, as the loop would have been called. */
static void advance(struct replay *replay, uint64_t to_ns)
{
	uint64_t wake_ns;

	while ((wake_ns = scratch_wake(&replay->scratch)) <= to_ns) {
		if (wake_ns > replay->now_ns)
			replay->now_ns = wake_ns;
		scratch_run(&replay->scratch, replay->now_ns);
	}
	if (to_ns > replay->now_ns)
		replay->now_ns = to_ns;
}

static bool held(const struct replay *replay, uint32_t slot)
{
	const struct segment *segment = replay->scratch.segment;
	uint64_t all = atomic_load_explicit(&segment->limits[slot].hold_until_ns,
					    memory_order_relaxed),
		 lower = atomic_load_explicit(&segment->more[slot].hold_lower_ns,
					      memory_order_relaxed);
	uint64_t flags = atomic_load_explicit(&segment->limits[slot].flags, memory_order_relaxed);

	return all > replay->now_ns || (flags & LAYOUT_HOLD_LOWER && lower > replay->now_ns);
}

static void outcome_take(struct replay *replay, const struct intake_place *place)
{
	struct replay_total *total = total_of(replay, place->flow.slot);

	if (total == NULL)
		return;
	total->replies++;
	total->while_held += held(replay, place->flow.slot);
	if (place->heard.code >= 200 && place->heard.code < 300)
		total->classes[REPLY_DELIVERED]++;
	engine_heard(replay->scratch.engine, place->flow.slot, &place->heard, replay->now_ns);
	replay->scratch.counted = true;
	scratch_work(&replay->scratch, replay->now_ns);
}

int replay_event(struct replay *replay, const struct ingest_event *event, uint64_t line)
{
	struct intake_place place;
	int error = 0;

	if (event->time_ns == 0 || event->time_ns > TIME_MAX_NS)
		return -EINVAL;
	if (replay->scratch.engine == NULL)
		error = begin(replay, event->time_ns);
	if (error)
		return error;
	replay->line = line;
	if (event->time_ns > wall_of(replay, replay->now_ns))
		advance(replay, event->time_ns - (uint64_t)replay->wall_offset_ns);
	if (intake_find(&replay->intake, event, wall_of(replay, replay->now_ns), replay->now_ns,
			&place))
		outcome_take(replay, &place);
	return replay->error;
}

/* ---- the end --------------------------------------------------------------------------------- */

unsigned replay_totals(const struct replay *replay, const struct replay_total **ret_totals)
{
	*ret_totals = replay->totals;
	return intern_count(replay->destinations);
}

const struct intake_totals *replay_intake(const struct replay *replay)
{
	return &replay->intake.totals;
}

struct scratch *replay_scratch(struct replay *replay, uint64_t *ret_now_ns)
{
	*ret_now_ns = replay->now_ns;
	return replay->scratch.engine ? &replay->scratch : NULL;
}
