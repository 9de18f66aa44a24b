/* SPDX-License-Identifier: MIT
 *
 * From messages to connections. See the header.
 */
#include "sidecar/gate/limits.h"

#include <string.h>

#include "shm/gcra.h"

#define SECOND_NS UINT64_C(1000000000)
#define MINUTE_NS (60 * SECOND_NS)
#define HOUR_NS	  (60 * MINUTE_NS)
/* No room for another connection: asked again when the next look is over. */
#define NO_ROOM_NS (2 * SECOND_NS)
/* Between two probes: longer than it takes to hear what came of one. */
#define PROBE_NS (3 * SECOND_NS)

static uint64_t min(uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return a ? a : b;
	return a < b ? a : b;
}

void gate_limits_rule(const struct config_ebpf *config, const char *destination,
		      struct ebpf_rule *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (uint32_t i = 0; i < config->rules_count; i++) {
		const struct config_gate_rule *rule = &config->rules[i];

		if (rule->canonical && strcmp(rule->canonical, destination) != 0)
			continue;
		ret->second = min(ret->second, rule->second.text ? rule->second.value : 0);
		ret->minute = min(ret->minute, rule->minute.text ? rule->minute.value : 0);
		ret->hour = min(ret->hour, rule->hour.text ? rule->hour.value : 0);
		ret->connections = (uint32_t)min(
			ret->connections, rule->connections.text ? rule->connections.value : 0);
		for (uint32_t c = 0;
		     rule->mode.text && c < config->cgroups_count && c < GATE_CGROUPS; c++)
			if (!rule->cgroup || strcmp(rule->cgroup, config->cgroups[c]) == 0)
				ret->modes = (ret->modes & ~(3u << 2 * c)) |
					     ((uint32_t)rule->mode.value + GATE_OBSERVE) << 2 * c;
	}
}

uint64_t gate_limits_strict_rate(uint64_t count, uint64_t period_ns)
{
	uint64_t burst = 1 + count / 10;

	if (count == 0)
		return 0;
	/* Any window of the period holds at most burst + ceil(period / interval) - 1. */
	return gcra_rate((period_ns + count - burst) / (count - burst + 1), (uint32_t)burst);
}

/* The kernel's share of a rate of connections. */
static uint64_t share_of(uint64_t interval, uint64_t burst, const struct ebpf_use *use)
{
	if (interval == 0)
		return 0;
	interval = (uint64_t)((unsigned __int128)interval * EBPF_MILLI / use->share_milli);
	burst = burst * use->share_milli / EBPF_MILLI;
	return gcra_rate(interval, burst ? (uint32_t)burst : 1);
}

/* The message rate in connections. Which class a connection carries nobody knows: the reserves stay
 * with the workers. */
static uint64_t message_rate(const struct publish_limits *limits, const struct ebpf_use *use)
{
	return share_of((uint64_t)((unsigned __int128)limits->interval_ns * use->messages_milli /
				   EBPF_MILLI),
			(uint64_t)limits->burst[TG_BULK] * EBPF_MILLI / use->messages_milli, use);
}

static uint64_t slower(uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return a ? a : b;
	return gcra_interval(a) > gcra_interval(b) ? a : b;
}

static uint64_t shared(uint64_t count, const struct ebpf_use *use)
{
	uint64_t part = (uint64_t)((unsigned __int128)count * use->share_milli / EBPF_MILLI);

	return count && part == 0 ? 1 : part;
}

/* The controller's rate is what follows from a probe that nobody answers. A connection that waited
 * for that would be refused, and the mail server would leave the destination alone for minutes: so
 * one is let go after the other, and what came of it changes the limits long before the next. */
static void probe_one(struct gate_limits *limits)
{
	if (gcra_interval(limits->rate[0]) > PROBE_NS)
		limits->rate[0] = gcra_rate(PROBE_NS, 1);
	limits->connections = 1;
}

void gate_limits_of(const struct publish_limits *limits, const struct ebpf_rule *rule,
		    const struct ebpf_use *use, uint64_t now_ns, struct gate_limits *ret)
{
	uint64_t hour = limits->hour_cap[TG_BULK], hold = limits->hold_until_ns;
	uint64_t connections = min(rule->connections, limits->connections[TG_BULK]);

	memset(ret, 0, sizeof(*ret));
	hour = limits->hour_cap[TG_BULK] == PUBLISH_NO_CAP
		       ? 0
		       : (hour * EBPF_MILLI + use->messages_milli - 1) / use->messages_milli;
	/* Three rates can hold at once. */
	ret->rate[0] = slower(message_rate(limits, use),
			      gate_limits_strict_rate(shared(rule->second, use), SECOND_NS));
	ret->rate[1] =
		slower(share_of(limits->connection_interval_ns, limits->connection_burst, use),
		       gate_limits_strict_rate(shared(rule->minute, use), MINUTE_NS));
	ret->rate[2] = gate_limits_strict_rate(shared(min(rule->hour, hour), use), HOUR_NS);
	/* A hold of the lower classes holds connections, which may carry them. */
	if (limits->hold_lower_ns > hold)
		hold = limits->hold_lower_ns;
	if (connections && connections <= use->worker_open) {
		ret->connections = 1;
		if (now_ns + NO_ROOM_NS > hold)
			hold = now_ns + NO_ROOM_NS;
	} else if (connections) {
		ret->connections = (uint32_t)(connections - use->worker_open);
	}
	ret->hold_until_ns = hold > now_ns ? hold : 0;
	ret->modes = rule->modes;
	if (use->probing)
		probe_one(ret);
}

uint32_t gate_limits_share(uint64_t kernel_messages, uint64_t worker_messages)
{
	uint64_t share;

	if (worker_messages == 0)
		return EBPF_MILLI;
	if (kernel_messages == 0)
		return EBPF_MILLI / 10;
	share = (uint64_t)((unsigned __int128)EBPF_MILLI * kernel_messages /
			   (kernel_messages + worker_messages));
	if (share < EBPF_MILLI / 10)
		return EBPF_MILLI / 10;
	return share > EBPF_MILLI * 9 / 10 ? EBPF_MILLI * 9 / 10 : (uint32_t)share;
}
