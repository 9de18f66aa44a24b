/* SPDX-License-Identifier: MIT
 *
 * The policy calendar: a schedule of warm-up followed by the calendar, as people do it by hand.
 *
 * Each flow has of the schedule that the configuration gives it (warmup.flows) what the n-th day
 * of the run has, whatever came of the days before, and goes on at the last day's when it is
 * through. What replies say is ignored. A flow without a schedule is not paced.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/config/warmup.h"
#include "sidecar/simulate/policies.h"
#include "sidecar/simulate/sim_config.h"

struct calendar_flow {
	const struct config_schedule *schedule; /* NULL: none */
	uint64_t day, hour;			/* of the last message */
	uint32_t in_day, in_hour;
};

static const struct config_schedule *schedule_of(const struct sim_env *env, const char *source,
						 const char *destination)
{
	uint8_t address[16] = {[10] = 0xff, [11] = 0xff};
	const struct config_warmup_flow *line;

	if (inet_pton(AF_INET, source, address + 12) != 1)
		inet_pton(AF_INET6, source, address);
	line = config_warmup_of(simulate_config_of(env->config), address, destination);
	return line ? line->by : NULL;
}

static int calendar_create(const struct sim_env *env, void **ret)
{
	size_t count = env->source_count * env->receiver_count;
	struct calendar_flow *flows = calloc(count, sizeof *flows);

	for (size_t i = 0; flows && env->config && i < count; i++)
		flows[i].schedule = schedule_of(env, env->addresses[i / env->receiver_count],
						env->destinations[i % env->receiver_count]);
	*ret = flows;
	return flows ? 0 : -ENOMEM;
}

static uint64_t calendar_earliest(void *self, uint32_t index, enum tg_class traffic,
				  uint64_t now_ns)
{
	const struct calendar_flow *flow = (const struct calendar_flow *)self + index;
	const struct config_schedule *s = flow->schedule;
	uint64_t day = now_ns / UNITS_DAY_NS, hour = now_ns / UNITS_HOUR_NS;
	const struct schedule_step *step;

	if (!s)
		return now_ns;
	step = &s->steps[day < s->steps_count ? day : s->steps_count - 1];
	if (flow->day == day && flow->in_day >= step->day)
		return (day + 1) * UNITS_DAY_NS;
	if (step->hour && flow->hour == hour && flow->in_hour >= step->hour)
		return (hour + 1) * UNITS_HOUR_NS;
	return now_ns;
}

static void calendar_admit(void *self, uint32_t index, enum tg_class traffic, uint64_t now_ns)
{
	struct calendar_flow *flow = (struct calendar_flow *)self + index;
	uint64_t day = now_ns / UNITS_DAY_NS, hour = now_ns / UNITS_HOUR_NS;

	flow->in_day = flow->day == day ? flow->in_day + 1 : 1;
	flow->in_hour = flow->hour == hour ? flow->in_hour + 1 : 1;
	flow->day = day;
	flow->hour = hour;
}

static void calendar_reply(void *self, uint32_t flow, const struct policy_reply *reply,
			   uint64_t now_ns)
{
}

static uint64_t calendar_connect(void *self, uint32_t flow, enum tg_class traffic, uint32_t open,
				 uint64_t now_ns)
{
	return open < POLICY_CONNECTIONS ? now_ns : UINT64_MAX;
}

static uint32_t calendar_per_connection(void *self, uint32_t flow)
{
	return POLICY_PER_CONNECTION;
}

const struct simulate_policy policy_calendar = {
	.name = "calendar",
	.create = calendar_create,
	.destroy = free,
	.earliest = calendar_earliest,
	.admit = calendar_admit,
	.reply = calendar_reply,
	.connect = calendar_connect,
	.per_connection = calendar_per_connection,
};
