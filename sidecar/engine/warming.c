/* SPDX-License-Identifier: MIT
 *
 * The engine and warm-up: which flows warm up, what they are told of, and who hears of it.
 *
 * A flow that the configuration lets warm up begins when it is first known, before anything was
 * sent. What it has come to is kept when the configuration no longer says so, and goes on when it
 * does again.
 */
#include <errno.h>
#include <stdio.h>

#include "shm/window.h"
#include "sidecar/base/log.h"
#include "sidecar/engine/engine.h"
#include "sidecar/engine/state.h"
#include "sidecar/rules/rule_parse.h"

#define ALERT_NAME "warm-up"
#define POOL_MAX   1024

/* ---- what the configuration says ------------------------------------------------------------- */

const struct config_warmup_flow *engine_warmup_line(const struct engine *e, uint32_t slot)
{
	char name[DESTINATION_NAME_MAX + 1];

	if (e->config == NULL || e->config->warmup.flows_count == 0)
		return NULL;
	return config_warmup_of(e->config, segment_address(e->segment, slot),
				engine_destination(e, slot, name, sizeof(name)));
}

static bool plan_of(const struct engine *e, uint32_t slot, struct warmup_plan *ret)
{
	const struct config_warmup_flow *line = engine_warmup_line(e, slot);

	if (line == NULL)
		return false;
	*ret = (struct warmup_plan){
		.steps = line->by->steps,
		.count = line->by->steps_count,
		.volume = config_warmup_volume(line),
		.idle_days = (uint32_t)(e->config->warmup.idle.value / WINDOW_DAY_NS),
	};
	return true;
}

/* The configured hour and day, whatever windows the receiver's are learned to be. Returns when the
 * hour ends. */
static uint64_t clock_of(const struct engine *e, uint32_t slot, uint64_t now_ns,
			 struct warmup_clock *ret)
{
	const struct flow_limits *configured = engine_configured(e, slot);
	const struct layout_calendar *calendar = e->segment->calendar;
	uint64_t flags = (uint64_t)configured->hour_phase_s << LAYOUT_HOUR_PHASE_SHIFT |
			 (uint64_t)configured->day_phase_min << LAYOUT_DAY_PHASE_SHIFT;
	uint32_t day = window_day(calendar, flags, now_ns);
	uint32_t hour = window_hour(calendar, flags, now_ns);
	uint64_t day_end = window_day_end(calendar, flags, day);
	uint64_t hour_end = window_hour_end(calendar, flags, hour);
	uint64_t rest = day_end > hour_end ? day_end - hour_end : 0;

	*ret = (struct warmup_clock){
		.day = day + 1,
		.hour = hour,
		.hours_left = 1 + (uint32_t)((rest + WINDOW_HOUR_NS - 1) / WINDOW_HOUR_NS),
	};
	return day_end < hour_end ? day_end : hour_end;
}

/* ---- who hears of it ------------------------------------------------------------------------- */

static void alert(struct engine *e, const struct alert_command_about *about)
{
	const struct rule rule = {.name = (char *)ALERT_NAME,
				  .action = {.alert = e->config->warmup.alert}};
	struct rule_action plan;
	const char *key, *reason;

	log_warning("alert", "%s: %s to %s: %s", ALERT_NAME, about->source, about->destination,
		    about->reply);
	if (e->alert && rule.action.alert &&
	    rule_parse_plan(&rule.action, &plan, &key, &reason) == 0)
		e->alert(e->alert_arg, &rule, &plan, about);
}

static void events_tell(struct engine *e, uint32_t slot, const struct warmup *w,
			const struct warmup_plan *plan, unsigned events)
{
	static const struct {
		enum warmup_event event;
		const char *what; /* of accepted at most, and of the cap or the volume */
	} rows[] = {
		{WARMUP_BACKS,
		 "steps back after trouble: at most %u were accepted, %u are allowed"},
		{WARMUP_TOO_LITTLE, "too little mail to earn more: at most %u of the %u allowed"},
		{WARMUP_COOLS, "too little mail to stay warm: at most %u a day of %u"},
		{WARMUP_ANEW, "begins anew after a long time without mail: at most %u before, %u"},
	};
	char source[64], destination[DESTINATION_NAME_MAX + 1], text[160];
	const struct alert_command_about about = {
		.rule = ALERT_NAME,
		.source = destination_address_text(segment_address(e->segment, slot), source,
						   sizeof(source)),
		.destination = engine_destination(e, slot, destination, sizeof(destination)),
		.reply = text,
	};

	if (events & WARMUP_IS_WARM)
		log_notice("warm-up", "%s to %s is warm: %u were accepted in a day", source,
			   destination, warmup_peak(w));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t bound =
			rows[i].event == WARMUP_COOLS ? plan->volume : warmup_today(w)->cap;

		if (!(events & rows[i].event))
			continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof(text), rows[i].what, warmup_peak(w), bound);
#pragma GCC diagnostic pop
		alert(e, &about);
	}
}

/* ---- a flow's ---------------------------------------------------------------------------------- */

static struct warmup *state_of(const struct engine *e, uint32_t slot)
{
	return segment_block(e->segment, slot, ENGINE_WARMUP);
}

/* The others of its pool there: whoever begins later, or goes on beside them, takes no more than the
 * growth of all allows. In pools beyond POOL_MAX sources each is on its own. */
static void keep_together(const struct engine *e, uint32_t slot, struct warmup *w,
			  const struct warmup_plan *plan)
{
	const struct config_pool *of = config_pool_of(e->config, segment_address(e->segment, slot));
	struct warmup_together together = {.day = warmup_today(w)->day};
	struct destination_pool pool;

	if (of == NULL ||
	    destination_pool(e->config->table, e->config->table_length, of->name, &pool) != 0 ||
	    pool.count > POOL_MAX)
		return;
	for (uint32_t i = 0; i < pool.count; i++) {
		uint32_t one =
			engine_pool_flow(e, segment_slot(e->segment, slot)->destination, &pool, i);
		const struct warmup *theirs = one == LAYOUT_NONE ? NULL : state_of(e, one);
		struct warmup_plan its;

		if (one == slot)
			warmup_together_add(&together, w, plan);
		else if (theirs && plan_of(e, one, &its))
			warmup_together_add(&together, theirs, &its);
	}
	warmup_together_bound(w, plan, &together);
}

/* Brings it up to this moment. NULL: the flow does not warm up, or there is no room. */
static struct warmup *state_now(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	struct warmup_plan plan;
	struct warmup_clock clock;
	struct warmup *w, fresh;
	unsigned events;
	uint32_t day;

	if (segment_kind(e->segment, slot) != SEGMENT_FLOW || !plan_of(e, slot, &plan))
		return NULL;
	clock_of(e, slot, now_ns, &clock);
	w = state_of(e, slot);
	if (w == NULL) {
		warmup_begin(&fresh, &plan, clock.day);
		fresh.hour = clock.hour;
		keep_together(e, slot, &fresh, &plan);
		engine_mark(e, slot);
		return segment_block_fill(e->segment, slot, ENGINE_WARMUP, &fresh);
	}
	if (clock.day == warmup_today(w)->day && clock.hour == w->hour)
		return w;
	day = warmup_today(w)->day;
	events = warmup_advance(w, &plan, &clock);
	if (warmup_today(w)->day > day)
		keep_together(e, slot, w, &plan);
	engine_mark(e, slot);
	events_tell(e, slot, w, &plan, events);
	return w;
}

void engine_warmup_look(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	state_now(e, slot, now_ns);
}

bool engine_warmup_caps(const struct engine *e, uint32_t slot, uint64_t now_ns,
			struct warmup_caps *ret, uint64_t *ret_next_ns)
{
	const struct warmup *w = state_of(e, slot);
	struct warmup_plan plan;
	struct warmup_clock clock;
	uint64_t next_ns;

	if (w == NULL || !plan_of(e, slot, &plan))
		return false;
	next_ns = clock_of(e, slot, now_ns, &clock);
	*ret_next_ns = next_ns > now_ns ? next_ns : now_ns + 1;
	warmup_caps(w, &plan, &clock, ret);
	return true;
}

void engine_warmup_count(struct engine *e, uint32_t slot, uint32_t delivered, uint32_t deferred,
			 uint32_t bounced, uint64_t now_ns)
{
	struct warmup *w = state_now(e, slot, now_ns);

	if (w)
		warmup_count(w, delivered, deferred, bounced);
}

/* What is about connections says nothing of how much is taken. */
static bool of_volume(const struct classification *c)
{
	return c->limit != REPLY_LIMIT_CONNECTIONS && c->limit != REPLY_LIMIT_PER_CONNECTION &&
	       c->limit != REPLY_LIMIT_CONNECTION_RATE;
}

void engine_warmup_reply(struct engine *e, uint32_t slot, const struct classification *c,
			 uint64_t now_ns)
{
	enum reply_class class = classification_control(c);
	struct warmup *w;
	uint32_t flags;

	if ((class != REPLY_RATE && class != REPLY_REPUTATION && class != REPLY_VOLUME_SPIKE &&
	     class != REPLY_BLOCKLIST) ||
	    !of_volume(c) || (w = state_now(e, slot, now_ns)) == NULL)
		return;
	flags = warmup_today(w)->flags;
	warmup_refused(w, class != REPLY_RATE, now_ns);
	if (warmup_today(w)->flags != flags)
		engine_publish(e, slot, now_ns);
}

void engine_warmup_step_back(struct engine *e, uint32_t slot, uint32_t days, uint64_t now_ns)
{
	struct warmup *w = state_now(e, slot, now_ns);

	if (w == NULL)
		return;
	warmup_trouble(w, days);
	engine_publish(e, slot, now_ns);
}

void engine_warmup_move(struct engine *e, uint32_t from, uint32_t to)
{
	const struct warmup *theirs = state_of(e, from), *own = state_of(e, to);

	if (theirs && (own == NULL || own->records == 0))
		segment_block_fill(e->segment, to, ENGINE_WARMUP, theirs);
}

void engine_warmup_check(struct engine *e, uint32_t slot)
{
	const struct warmup *w = state_of(e, slot);

	if (w && !warmup_valid(w))
		segment_block_drop(e->segment, slot, ENGINE_WARMUP);
}

/* ---- for the api ----------------------------------------------------------------------------- */

int engine_warmup(struct engine *e, uint32_t slot, uint64_t now_ns, struct engine_warmup *ret)
{
	struct warmup_clock clock;

	if (slot >= e->segment->view.slots || segment_kind(e->segment, slot) != SEGMENT_FLOW ||
	    !plan_of(e, slot, &ret->plan) || engine_settled(e, slot) != 0)
		return -ENOENT;
	ret->state = state_now(e, slot, now_ns);
	if (ret->state == NULL)
		return -ENOENT;
	ret->schedule = engine_warmup_line(e, slot)->by->name;
	clock_of(e, slot, now_ns, &clock);
	warmup_caps(ret->state, &ret->plan, &clock, &ret->caps);
	return 0;
}

int engine_warmup_order(struct engine *e, uint32_t slot, enum warmup_order order, uint64_t now_ns)
{
	struct warmup_plan plan;
	struct warmup *w;

	if (slot >= e->segment->view.slots || engine_settled(e, slot) != 0 ||
	    (w = state_now(e, slot, now_ns)) == NULL || !plan_of(e, slot, &plan))
		return -ENOENT;
	if (!warmup_order(w, &plan, order))
		return -EALREADY;
	engine_mark(e, slot);
	engine_publish(e, slot, now_ns);
	return 0;
}
