/* SPDX-License-Identifier: MIT
 *
 * A policy in words: each value as it would be written, and where it comes from.
 */
#include <stdio.h>
#include <string.h>

#include "sidecar/config/config.h"
#include "sidecar/config/limits.h"
#include "sidecar/config/schema.h"

const char *limits_origin_text(const struct resolved_limits *resolved, enum config_limit limit,
			       char *text, size_t size)
{
	const struct limits_origin *origin = &resolved->origin[limit];

	if (!origin->file)
		snprintf(text, size, "default");
	else
		snprintf(text, size, "%s.%s, %s line %u", origin->section, config_limit_name(limit),
			 origin->file, origin->mark.line);
	return text;
}

const char *limits_classes_text(const uint32_t value[TG_CLASSES], char *text, size_t size)
{
	char all[32];
	char engaged[32];
	char bulk[32];

	units_count_text(value[TG_TRANSACTIONAL], all, sizeof(all));
	units_count_text(value[TG_ENGAGED], engaged, sizeof(engaged));
	units_count_text(value[TG_BULK], bulk, sizeof(bulk));
	if (value[TG_TRANSACTIONAL] == 0)
		snprintf(text, size, "unlimited");
	else if (value[TG_BULK] == value[TG_TRANSACTIONAL])
		snprintf(text, size, "%s", all);
	else
		snprintf(text, size, "%s (engaged %s, bulk %s)", all, engaged, bulk);
	return text;
}

/* A rate given by its interval: exact where a whole number fits a usual period. */
static void put_interval(uint64_t interval_ns, char *text, size_t size)
{
	static const uint64_t periods[] = {UNITS_MINUTE_NS, UNITS_HOUR_NS, UNITS_DAY_NS,
					   UNITS_SECOND_NS};
	struct units_rate rate = {0, 0};

	for (unsigned i = 0; i < 4 && interval_ns && rate.count == 0; i++) {
		uint64_t count = periods[i] / interval_ns;

		/* An interval is rounded up, so the count is what rounds up to it again. */
		for (uint64_t c = count; c && c <= count + 1; c++)
			if ((periods[i] + c - 1) / c == interval_ns)
				rate = (struct units_rate){c, periods[i]};
	}
	if (interval_ns && rate.count == 0)
		rate = (struct units_rate){1, interval_ns};
	units_rate_text(&rate, text, size);
}

static void put_number(uint64_t value, char *text, size_t size)
{
	if (value == 0)
		snprintf(text, size, "unlimited");
	else
		units_count_text(value, text, size);
}

static void put_rate(const struct resolved_limits *resolved, char *text, size_t size)
{
	const struct flow_limits *limits = &resolved->limits;
	char rate[96];
	char interval[96];

	units_rate_text(&resolved->rate, rate, sizeof(rate));
	if (resolved->rate.count == 0 || !(limits->flags & FLOW_STRICT))
		snprintf(text, size, "%s", rate);
	else
		snprintf(text, size, "%s, strict: one each %s", rate,
			 units_duration_text(limits->interval_ns, interval, sizeof(interval)));
}

const char *limits_value_text(const struct resolved_limits *resolved, enum config_limit limit,
			      char *text, size_t size)
{
	const struct flow_limits *limits = &resolved->limits;

	snprintf(text, size, "-");
	switch (limit) {
	case LIMIT_RATE: put_rate(resolved, text, size); break;
	case LIMIT_BURST:
		if (limits->burst[TG_TRANSACTIONAL])
			limits_classes_text(limits->burst, text, size);
		break;
	case LIMIT_STRICT:
		snprintf(text, size, "%s", limits->flags & FLOW_STRICT ? "true" : "false");
		break;
	case LIMIT_HOUR: limits_classes_text(limits->hour_cap, text, size); break;
	case LIMIT_DAY: limits_classes_text(limits->day_cap, text, size); break;
	case LIMIT_HOUR_STARTS:
		units_duration_text(limits->hour_phase_s * UNITS_SECOND_NS, text, size);
		break;
	case LIMIT_DAY_STARTS:
		units_duration_text(limits->day_phase_min * UNITS_MINUTE_NS, text, size);
		break;
	case LIMIT_CONNECTIONS: limits_classes_text(limits->connections, text, size); break;
	case LIMIT_CONNECTION_RATE: units_rate_text(&resolved->connection_rate, text, size); break;
	case LIMIT_CONNECTION_BURST:
		if (limits->connection_interval_ns)
			put_number(limits->connection_burst, text, size);
		break;
	case LIMIT_MESSAGES_PER_CONNECTION: put_number(limits->per_connection, text, size); break;
	case LIMIT_COUNT:
		snprintf(text, size, "%s",
			 limits->flags & FLOW_COUNT_RECIPIENTS ? "recipients" : "messages");
		break;
	case LIMIT_ADAPT:
		snprintf(text, size, "%s", limits->flags & FLOW_ADAPT ? "true" : "false");
		break;
	case LIMIT_FLOOR:
		if (limits->flags & FLOW_ADAPT)
			put_interval(limits->floor_interval_ns, text, size);
		break;
	case LIMIT_CEILING:
		if (limits->flags & FLOW_ADAPT)
			put_interval(limits->ceiling_interval_ns, text, size);
		break;
	case LIMIT_START:
		if (limits->flags & FLOW_ADAPT)
			put_interval(limits->start_interval_ns, text, size);
		break;
	case LIMIT_BASELINE:
		if (limits->baseline_factor)
			snprintf(text, size, "%g times", limits->baseline_factor / 1000.0);
		break;
	case LIMIT_BASELINE_MINUTE:
	case LIMIT_BASELINE_HOUR:
	case LIMIT_BASELINE_DAY:
		if (limits->baseline_factor)
			units_count_text(limits->baseline_floor[limit - LIMIT_BASELINE_MINUTE],
					 text, size);
		break;
	default: break; /* a reserve: told with what it is a part of */
	}
	return text;
}
