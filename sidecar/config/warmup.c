/* SPDX-License-Identifier: MIT
 *
 * Schedules become a step a day once they are read; what is written of each day comes first, then
 * the factor goes on until the end.
 */
#include "sidecar/config/warmup.h"

#include <errno.h>
#include <string.h>

#include "shm/destination.h"
#include "sidecar/config/config.h"
#include "sidecar/config/schema.h"
#include "sidecar/rules/rule_parse.h"

#define HOURS_A_DAY 24
#define MILLION	    1000000
/* Where a factor has no end. */
#define END_DEFAULT 10000000u

/* ---- schedules ------------------------------------------------------------------------------- */

static uint32_t written_count(const struct config_schedule *s)
{
	return s->days_count > s->hours_count ? s->days_count : s->hours_count;
}

static struct yaml_mark step_mark(const struct config_schedule *s, uint32_t i)
{
	if (i >= written_count(s))
		return s->factor.mark;
	return s->days_count ? s->days[i].mark : s->hours[i].mark;
}

static bool schedule_sound(const struct config_loader *loader, uint32_t index)
{
	const struct config_schedule *s = &loader->config->warmup.schedules[index];
	struct yaml_mark mark = config_mark(loader, "warmup.schedules[%u]", index);
	uint32_t errors = loader->report->errors;

	if (written_count(s) == 0)
		config_error(loader, mark, "a schedule has days, hours, or both");
	else if (s->days_count && s->hours_count && s->days_count != s->hours_count)
		config_error(loader, mark, "%u days, but hours of %u of them", s->days_count,
			     s->hours_count);
	if (s->factor.text && s->factor.value <= MILLION)
		config_error(loader, s->factor.mark, "factor: '%.40s': must be above 1",
			     s->factor.text);
	if (s->end.text && !s->factor.text)
		config_warning(loader, s->end.mark, "end: has no effect: there is no factor");
	for (uint32_t i = 0; i < index; i++)
		if (strcmp(loader->config->warmup.schedules[i].name, s->name) == 0)
			config_error(loader, mark, "a schedule of this name stands above");
	return loader->report->errors == errors;
}

static void steps_write(struct config_schedule *s)
{
	for (uint32_t i = 0; i < written_count(s); i++)
		s->steps[s->steps_count++] = (struct schedule_step){
			.day = (uint32_t)(s->days_count ? s->days[i].value
							: HOURS_A_DAY * s->hours[i].value),
			.hour = s->hours_count ? (uint32_t)s->hours[i].value : 0,
		};
}

static uint32_t grown(uint64_t from, uint64_t factor, uint64_t end)
{
	uint64_t to = from * factor / MILLION;

	to = to > from ? to : from + 1;
	return (uint32_t)(to < end ? to : end);
}

/* `end` counts what the schedule is written in. */
static void steps_grow(const struct config_loader *loader, struct config_schedule *s)
{
	uint64_t end = s->end.text ? s->end.value : END_DEFAULT;
	const struct schedule_step last = s->steps[s->steps_count - 1];
	struct schedule_step step = last;
	uint32_t hours_alone = s->days_count == 0;

	while (s->steps_count < SCHEDULE_STEPS_MAX && (hours_alone ? step.hour : step.day) < end) {
		if (hours_alone) {
			step.hour = grown(step.hour, s->factor.value, end);
			step.day = HOURS_A_DAY * step.hour;
		} else {
			step.day = grown(step.day, s->factor.value, end);
			step.hour = (uint32_t)((uint64_t)last.hour * step.day / last.day);
		}
		s->steps[s->steps_count++] = step;
	}
	if ((hours_alone ? step.hour : step.day) < end)
		config_error(loader, s->factor.mark,
			     "factor: %.40s does not come to %llu within %u days", s->factor.text,
			     (unsigned long long)end, SCHEDULE_STEPS_MAX);
}

/* What is written is told step by step, a factor once. An hour may grow faster than its day. */
static void steps_check(const struct config_loader *loader, const struct config_schedule *s)
{
	for (uint32_t i = 1; i < s->steps_count; i++) {
		const struct schedule_step *before = &s->steps[i - 1], *now = &s->steps[i];

		if (now->day < before->day || now->hour < before->hour) {
			config_error(loader, step_mark(s, i), "day %u has less than day %u", i + 1,
				     i);
			return;
		}
		if (now->day > SCHEDULE_STEEP * before->day)
			config_warning(
				loader, step_mark(s, i),
				"from %u to %u from one day to the next is more than %.1f times: "
				"receivers take that for an attack",
				before->day, now->day, SCHEDULE_STEEP);
		if (i >= written_count(s))
			return;
	}
}

static int read_schedule(const struct config_loader *loader, uint32_t index)
{
	struct config_schedule *s = &loader->config->warmup.schedules[index];

	if (!schedule_sound(loader, index))
		return 0;
	s->steps = config_allocate(loader->config, SCHEDULE_STEPS_MAX, sizeof(*s->steps));
	if (!s->steps)
		return -ENOMEM;
	steps_write(s);
	if (s->factor.text)
		steps_grow(loader, s);
	steps_check(loader, s);
	return 0;
}

const struct config_schedule *config_schedule_named(const struct config *config, const char *name)
{
	for (; config; config = config->base)
		for (uint32_t i = 0; i < config->warmup.schedules_count; i++)
			if (strcmp(config->warmup.schedules[i].name, name) == 0)
				return &config->warmup.schedules[i];
	return NULL;
}

/* ---- whose they are -------------------------------------------------------------------------- */

/* Whether nobody could say which of the two counts. */
static bool flows_meet(const struct config_warmup_flow *a, const struct config_warmup_flow *b)
{
	if (!a->canonical != !b->canonical ||
	    (a->canonical && strcmp(a->canonical, b->canonical) != 0))
		return false;
	if (a->of_pool || b->of_pool)
		return a->of_pool == b->of_pool;
	return address_range_has(&a->range, b->range.first) ||
	       address_range_has(&b->range, a->range.first);
}

static void read_whose(const struct config_loader *loader, struct config_warmup_flow *flow,
		       const char *path)
{
	const struct config *config = loader->config;
	const char *reason;

	if (!flow->pool == !flow->source)
		config_error(loader, config_mark(loader, "%s", path),
			     "what warms up is either a pool or a source");
	if (flow->pool) {
		flow->of_pool = config_pool_named(config, flow->pool);
		if (!flow->of_pool)
			config_error(loader, config_mark(loader, "%s.pool", path),
				     "'%.60s': no such pool", flow->pool);
	} else if (flow->source && address_range_read(flow->source, &flow->range, &reason) < 0) {
		config_error(loader, config_mark(loader, "%s.source", path), "'%.60s': %s",
			     flow->source, reason);
	} else if (flow->source && config_source_unlisted(config, &flow->range)) {
		config_error(loader, config_mark(loader, "%s.source", path), CONFIG_UNLISTED,
			     flow->source);
	}
}

static int read_where(const struct config_loader *loader, struct config_warmup_flow *flow,
		      const char *path)
{
	struct destination_match match;

	if (!flow->destination ||
	    !config_match(loader, flow->destination, config_mark(loader, "%s.destination", path),
			  &match))
		return 0;
	flow->canonical = config_allocate(loader->config, 1, match.length + 1);
	if (!flow->canonical)
		return -ENOMEM;
	memcpy(flow->canonical, match.name, match.length + 1);
	return 0;
}

static int read_flow(const struct config_loader *loader, uint32_t index)
{
	struct config *config = loader->config;
	struct config_warmup_flow *flow = &config->warmup.flows[index];
	char path[48];

	snprintf(path, sizeof(path), "warmup.flows[%u]", index);
	read_whose(loader, flow, path);
	if (read_where(loader, flow, path) < 0)
		return -ENOMEM;
	flow->by = config_schedule_named(config, flow->schedule);
	if (!flow->by)
		config_error(loader, config_mark(loader, "%s.schedule", path),
			     "'%.60s': no such schedule", flow->schedule);
	for (uint32_t i = 0; i < index && flow->by; i++)
		if (flows_meet(flow, &config->warmup.flows[i]))
			config_error(loader, config_mark(loader, "%s", path),
				     "a warm-up of the same on line %u",
				     config_mark(loader, "warmup.flows[%u]", i).line);
	return 0;
}

static void read_alert(const struct config_loader *loader)
{
	const struct rule_action_text action = {.alert = loader->config->warmup.alert};
	struct rule_action plan;
	const char *key, *reason;

	if (action.alert && rule_parse_plan(&action, &plan, &key, &reason) != 0)
		config_error(loader, config_mark(loader, "warmup.%s", key), "%s", reason);
}

int config_read_warmup(const struct config_loader *loader)
{
	struct config_warmup *warmup = &loader->config->warmup;
	uint32_t errors = loader->report->errors;

	for (uint32_t i = 0; i < warmup->schedules_count; i++)
		if (read_schedule(loader, i) < 0)
			return -ENOMEM;
	read_alert(loader);
	for (uint32_t i = 0; i < warmup->flows_count && loader->report->errors == errors; i++)
		if (read_flow(loader, i) < 0)
			return -ENOMEM;
	return 0;
}

/* ---- which holds ----------------------------------------------------------------------------- */

/* How specific a line is for a flow; 0: it is not about it. */
static unsigned flow_rank(const struct config *config, const struct config_warmup_flow *flow,
			  const struct config_pool *pool, const uint8_t source[16],
			  const char *destination)
{
	if (flow->of_pool ? flow->of_pool != pool : !address_range_has(&flow->range, source))
		return 0;
	if (flow->canonical && strcmp(flow->canonical, destination) != 0)
		return 0;
	if (!flow->canonical && !config_destination_named(config, destination))
		return 0;
	return 1 + 2 * (flow->of_pool == NULL) + (flow->canonical != NULL);
}

const struct config_warmup_flow *config_warmup_of(const struct config *config,
						  const uint8_t source[16], const char *destination)
{
	const struct config_warmup *warmup = &config->warmup;
	const struct config_warmup_flow *found = NULL;
	const struct config_pool *pool =
		warmup->flows_count ? config_pool_of(config, source) : NULL;
	unsigned best = 0;

	for (uint32_t i = 0; i < warmup->flows_count; i++) {
		unsigned rank = flow_rank(config, &warmup->flows[i], pool, source, destination);

		if (rank > best) {
			best = rank;
			found = &warmup->flows[i];
		}
	}
	return found;
}

uint32_t config_warmup_volume(const struct config_warmup_flow *flow)
{
	if (flow->volume.text)
		return (uint32_t)flow->volume.value;
	return flow->by->steps[flow->by->steps_count - 1].day;
}
