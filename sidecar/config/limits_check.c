/* SPDX-License-Identifier: MIT
 *
 * Limits that contradict each other, shadow each other, or have no effect. Each check looks at one
 * policy, the limits as they come out of all levels, and names the two keys that make the finding.
 */
#include <stdarg.h>
#include <stdio.h>

#include "shm/gcra.h"
#include "sidecar/config/config.h"
#include "sidecar/config/limits.h"
#include "sidecar/config/schema.h"

struct findings {
	struct limits_finding *list;
	unsigned count;
};

__attribute__((format(printf, 5, 6))) static void find(struct findings *findings, bool error,
						       enum config_limit key,
						       enum config_limit other, const char *format,
						       ...)
{
	struct limits_finding *finding = &findings->list[findings->count];
	va_list args;

	if (findings->count == LIMITS_FINDINGS_MAX)
		return;
	findings->count++;
	finding->error = error;
	finding->key = key;
	finding->other = other;
	va_start(args, format);
	vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
}

static bool written(const struct resolved_limits *resolved, enum config_limit key)
{
	return resolved->origin[key].file != NULL;
}

static void check_strict(const struct resolved_limits *resolved, struct findings *findings)
{
	const struct flow_limits *limits = &resolved->limits;
	uint32_t burst = limits->burst[TG_TRANSACTIONAL];

	if (resolved->rate.count == 0)
		return;
	if (limits->flags & FLOW_STRICT && burst > resolved->rate.count)
		find(findings, true, LIMIT_BURST, LIMIT_STRICT,
		     "burst %u is more than the %llu of the rate, which strict never lets pass",
		     burst, (unsigned long long)resolved->rate.count);
	if (burst > GCRA_SPAN_MAX / limits->interval_ns)
		find(findings, true, LIMIT_BURST, LIMIT_RATE,
		     "burst %u at this rate spans more than 73 years", burst);
	if (limits->connection_interval_ns &&
	    limits->connection_burst > GCRA_SPAN_MAX / limits->connection_interval_ns)
		find(findings, true, LIMIT_CONNECTION_BURST, LIMIT_CONNECTION_RATE,
		     "connection_burst %u at this rate spans more than 73 years",
		     limits->connection_burst);
}

/* A reserve must leave something to bulk. split() left 1 where it does not; whether that was meant
 * is told by the parts. */
struct reserve {
	enum config_limit whole, transactional, engaged;
	const uint32_t *classes;
	const uint64_t *parts;
};

static void check_reserve(const struct resolved_limits *resolved, const struct reserve *reserve,
			  struct findings *findings)
{
	uint32_t whole = reserve->classes[TG_TRANSACTIONAL];
	enum config_limit key = written(resolved, reserve->transactional) ? reserve->transactional
									  : reserve->engaged;

	if (whole && reserve->parts[0] + reserve->parts[1] >= whole)
		find(findings, true, key, reserve->whole,
		     "the reserves take %llu of %s %u and leave nothing for bulk",
		     (unsigned long long)(reserve->parts[0] + reserve->parts[1]),
		     config_limit_name(reserve->whole), whole);
	/* A share of what is unlimited is a way to say "if ever": no warning. */
	if (!whole && written(resolved, key) && reserve->parts[0] + reserve->parts[1])
		find(findings, false, key, key, "has no effect: %s is unlimited",
		     config_limit_name(reserve->whole));
}

static void check_reserves(const struct resolved_limits *resolved, struct findings *findings)
{
	const struct flow_limits *limits = &resolved->limits;
	const struct reserve reserves[] = {
		{LIMIT_BURST, LIMIT_RESERVE_TRANSACTIONAL, LIMIT_RESERVE_ENGAGED, limits->burst,
		 resolved->parts[0]},
		{LIMIT_HOUR, LIMIT_HOUR_TRANSACTIONAL, LIMIT_HOUR_ENGAGED, limits->hour_cap,
		 resolved->parts[1]},
		{LIMIT_DAY, LIMIT_DAY_TRANSACTIONAL, LIMIT_DAY_ENGAGED, limits->day_cap,
		 resolved->parts[2]},
		{LIMIT_CONNECTIONS, LIMIT_CONNECTIONS_TRANSACTIONAL, LIMIT_CONNECTIONS_ENGAGED,
		 limits->connections, resolved->parts[3]},
	};

	for (unsigned i = 0; i < sizeof(reserves) / sizeof(reserves[0]); i++)
		check_reserve(resolved, &reserves[i], findings);
}

static void check_bounds(const struct resolved_limits *resolved, struct findings *findings)
{
	static const enum config_limit keys[] = {LIMIT_FLOOR, LIMIT_CEILING, LIMIT_START};
	const struct flow_limits *limits = &resolved->limits;
	uint64_t ceiling = limits->ceiling_interval_ns;

	if (!(limits->flags & FLOW_ADAPT)) {
		for (unsigned i = 0; i < 3; i++)
			if (written(resolved, keys[i]))
				find(findings, false, keys[i], LIMIT_ADAPT,
				     "has no effect: adapt is false");
		return;
	}
	if (limits->floor_interval_ns == 0 && ceiling == 0)
		find(findings, true, LIMIT_FLOOR, LIMIT_ADAPT,
		     "floor is unlimited: there is nothing to adapt");
	else if (limits->floor_interval_ns == 0 || limits->floor_interval_ns < ceiling)
		find(findings, true, LIMIT_FLOOR, LIMIT_CEILING, "floor is above the ceiling");
	if (limits->start_interval_ns < ceiling ||
	    (limits->start_interval_ns > limits->floor_interval_ns && limits->floor_interval_ns))
		find(findings, true, LIMIT_START, LIMIT_CEILING,
		     "start does not lie between floor and ceiling");
	if (limits->interval_ns < ceiling)
		find(findings, true, LIMIT_CEILING, LIMIT_RATE, "ceiling is below the rate");
}

/* The fastest that the rate can ever be: adapt may raise it up to the ceiling. */
static uint64_t window_max(const struct resolved_limits *resolved, uint64_t window_ns)
{
	struct flow_limits fastest = resolved->limits;

	if (fastest.flags & FLOW_ADAPT)
		fastest.interval_ns = fastest.ceiling_interval_ns;
	return limits_window_max(&fastest, window_ns);
}

static void check_caps(const struct resolved_limits *resolved, struct findings *findings)
{
	const struct flow_limits *limits = &resolved->limits;
	uint64_t hour = limits->hour_cap[TG_TRANSACTIONAL];
	uint64_t day = limits->day_cap[TG_TRANSACTIONAL];
	uint64_t max = window_max(resolved, UNITS_HOUR_NS);

	if (hour && max < hour)
		find(findings, false, LIMIT_HOUR, LIMIT_RATE,
		     "hour %llu is never reached: the rate lets at most %llu pass in an hour",
		     (unsigned long long)hour, (unsigned long long)max);
	max = window_max(resolved, 25 * UNITS_HOUR_NS); /* the longest day has 25 hours */
	if (day && max < day)
		find(findings, false, LIMIT_DAY, LIMIT_RATE,
		     "day %llu is never reached: the rate lets at most %llu pass in a day",
		     (unsigned long long)day, (unsigned long long)max);
	if (hour && day && hour > day)
		find(findings, false, LIMIT_HOUR, LIMIT_DAY,
		     "hour %llu is never reached: day %llu is less", (unsigned long long)hour,
		     (unsigned long long)day);
	if (hour && day && hour * 26 < day)
		find(findings, false, LIMIT_DAY, LIMIT_HOUR,
		     "day %llu is never reached: hour %llu lets less pass", (unsigned long long)day,
		     (unsigned long long)hour);
	if (hour && limits->burst[TG_TRANSACTIONAL] > hour)
		find(findings, false, LIMIT_BURST, LIMIT_HOUR, "burst %u is more than hour %llu",
		     limits->burst[TG_TRANSACTIONAL], (unsigned long long)hour);
}

static void check_connections(const struct resolved_limits *resolved, struct findings *findings)
{
	const struct flow_limits *limits = &resolved->limits;

	if (limits->interval_ns && limits->connection_interval_ns && limits->per_connection &&
	    limits->connection_interval_ns / limits->per_connection > limits->interval_ns)
		find(findings, false, LIMIT_RATE, LIMIT_CONNECTION_RATE,
		     "the rate is never reached: connection_rate x messages_per_connection is "
		     "less");
	if (written(resolved, LIMIT_CONNECTION_BURST) && !limits->connection_interval_ns)
		find(findings, false, LIMIT_CONNECTION_BURST, LIMIT_CONNECTION_RATE,
		     "has no effect: connection_rate is unlimited");
	if (written(resolved, LIMIT_BURST) && !limits->interval_ns && !(limits->flags & FLOW_ADAPT))
		find(findings, false, LIMIT_BURST, LIMIT_RATE,
		     "has no effect: the rate is unlimited");
	if (limits->flags & FLOW_STRICT && !limits->interval_ns)
		find(findings, false, LIMIT_STRICT, LIMIT_RATE,
		     "has no effect: the rate is unlimited");
	if (limits->flags & FLOW_STRICT && limits->flags & FLOW_ADAPT &&
	    limits->ceiling_interval_ns < limits->interval_ns)
		find(findings, false, LIMIT_STRICT, LIMIT_CEILING,
		     "strict holds for the rate as written, not for the ceiling it may be raised "
		     "to");
}

static void check_baseline(const struct resolved_limits *resolved, struct findings *findings)
{
	const struct flow_limits *limits = &resolved->limits;

	for (int key = LIMIT_BASELINE_MINUTE; key <= LIMIT_BASELINE_DAY; key++) {
		if (!limits->baseline_factor && written(resolved, (enum config_limit)key))
			find(findings, false, (enum config_limit)key, LIMIT_BASELINE,
			     "has no effect: baseline is off");
	}
	if (limits->baseline_factor && limits->baseline_floor[0] > limits->baseline_floor[1])
		find(findings, true, LIMIT_BASELINE_MINUTE, LIMIT_BASELINE_HOUR,
		     "the floor of a minute is above that of an hour");
	if (limits->baseline_factor && limits->baseline_floor[1] > limits->baseline_floor[2])
		find(findings, true, LIMIT_BASELINE_HOUR, LIMIT_BASELINE_DAY,
		     "the floor of an hour is above that of a day");
}

unsigned limits_check(const struct resolved_limits *resolved,
		      struct limits_finding ret[LIMITS_FINDINGS_MAX])
{
	struct findings findings = {ret, 0};

	check_strict(resolved, &findings);
	check_reserves(resolved, &findings);
	check_bounds(resolved, &findings);
	check_caps(resolved, &findings);
	check_connections(resolved, &findings);
	check_baseline(resolved, &findings);
	return findings.count;
}
