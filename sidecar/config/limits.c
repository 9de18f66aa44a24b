/* SPDX-License-Identifier: MIT
 *
 * The levels of a limit, and the arithmetic from what is written to what the segment holds.
 */
#include "sidecar/config/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/config/config.h"
#include "sidecar/config/schema.h"

#define LEVELS_MAX 8

/* One place where limits may be written. */
struct level {
	const struct config_limits *limits;
	const char *file;
	char section[96];
};

struct levels {
	struct level level[LEVELS_MAX]; /* from the least specific on */
	unsigned count;
};

/* The value that counts for each key (NULL: none is written), and its level. */
struct chosen {
	const struct config_value *value[LIMIT_KEYS];
	int level[LIMIT_KEYS];
};

__attribute__((format(printf, 4, 5))) static void level_add(struct levels *levels,
							    const struct config_limits *limits,
							    const char *file, const char *format,
							    ...)
{
	struct level *level = &levels->level[levels->count++];
	va_list args;

	level->limits = limits;
	level->file = file;
	va_start(args, format);
	vsnprintf(level->section, sizeof(level->section), format, args);
	va_end(args);
}

/* Keys whose value means nothing without another key of at least the same level. */
static const struct {
	enum config_limit key;
	enum config_limit depends_on;
} dependent[] = {
	{LIMIT_BURST, LIMIT_RATE},
	{LIMIT_FLOOR, LIMIT_RATE},
	{LIMIT_CEILING, LIMIT_RATE},
	{LIMIT_START, LIMIT_RATE},
	{LIMIT_CONNECTION_BURST, LIMIT_CONNECTION_RATE},
};

static void choose(const struct levels *levels, struct chosen *chosen,
		   struct resolved_limits *resolved)
{
	memset(chosen, 0, sizeof(*chosen));
	for (unsigned l = 0; l < levels->count; l++) {
		for (unsigned k = 0; k < LIMIT_KEYS; k++) {
			if (!levels->level[l].limits->key[k].text)
				continue;
			chosen->value[k] = &levels->level[l].limits->key[k];
			chosen->level[k] = (int)l;
		}
	}
	for (unsigned i = 0; i < sizeof(dependent) / sizeof(dependent[0]); i++)
		if (chosen->level[dependent[i].key] < chosen->level[dependent[i].depends_on])
			chosen->value[dependent[i].key] = NULL;
	for (unsigned k = 0; k < LIMIT_KEYS; k++) {
		const struct level *level = &levels->level[chosen->level[k]];

		if (!chosen->value[k])
			continue;
		resolved->origin[k].file = level->file;
		resolved->origin[k].mark = chosen->value[k]->mark;
		resolved->origin[k].level = (uint32_t)chosen->level[k];
		memcpy(resolved->origin[k].section, level->section, sizeof(level->section));
	}
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

static uint64_t interval_of(const struct units_rate *rate)
{
	return rate->count ? (rate->period_ns + rate->count - 1) / rate->count : 0;
}

static struct units_rate rate_of(const struct chosen *chosen, enum config_limit key)
{
	const struct config_value *value = chosen->value[key];

	return value ? (struct units_rate){value->value, value->period_ns}
		     : (struct units_rate){0, 0};
}

static uint64_t number_of(const struct chosen *chosen, enum config_limit key, uint64_t fallback)
{
	return chosen->value[key] ? chosen->value[key]->value : fallback;
}

/* Of a reserve: messages out of a total. */
static uint64_t part_of(const struct chosen *chosen, enum config_limit key, uint64_t total)
{
	const struct config_value *value = chosen->value[key];

	if (!value)
		return 0;
	return value->share ? total * value->value / 1000000 : value->value;
}

enum whole { WHOLE_BURST, WHOLE_HOUR, WHOLE_DAY, WHOLE_CONNECTIONS };

static const enum config_limit reserves[][2] = {
	[WHOLE_BURST] = {LIMIT_RESERVE_TRANSACTIONAL, LIMIT_RESERVE_ENGAGED},
	[WHOLE_HOUR] = {LIMIT_HOUR_TRANSACTIONAL, LIMIT_HOUR_ENGAGED},
	[WHOLE_DAY] = {LIMIT_DAY_TRANSACTIONAL, LIMIT_DAY_ENGAGED},
	[WHOLE_CONNECTIONS] = {LIMIT_CONNECTIONS_TRANSACTIONAL, LIMIT_CONNECTIONS_ENGAGED},
};

/* Splits a total (0: unlimited) by its reserves. What is left for a class is at least 1; reserves
 * that leave less are an error that limits_check tells. */
static void split(const struct chosen *chosen, uint64_t total, enum whole whole,
		  struct resolved_limits *resolved, uint32_t ret[TG_CLASSES])
{
	uint64_t upper = part_of(chosen, reserves[whole][0], total);
	uint64_t middle = part_of(chosen, reserves[whole][1], total);

	resolved->parts[whole][0] = upper;
	resolved->parts[whole][1] = middle;
	ret[TG_TRANSACTIONAL] = ret[TG_ENGAGED] = ret[TG_BULK] = (uint32_t)total;
	if (total == 0)
		return;
	ret[TG_ENGAGED] = (uint32_t)(upper < total ? total - upper : 1);
	ret[TG_BULK] = (uint32_t)(upper + middle < total ? total - upper - middle : 1);
}

static void set_cap(const struct chosen *chosen, enum config_limit cap, enum whole whole,
		    struct resolved_limits *resolved, uint32_t ret[TG_CLASSES])
{
	uint64_t total = number_of(chosen, cap, CONFIG_UNLIMITED);

	split(chosen, total == CONFIG_UNLIMITED ? 0 : total, whole, resolved, ret);
}

static void set_rate(const struct chosen *chosen, struct resolved_limits *resolved)
{
	struct flow_limits *limits = &resolved->limits;
	struct units_rate *rate = &resolved->rate;
	uint64_t burst = number_of(chosen, LIMIT_BURST, 1);

	*rate = rate_of(chosen, LIMIT_RATE);
	if (number_of(chosen, LIMIT_STRICT, 0))
		limits->flags |= FLOW_STRICT;
	if (number_of(chosen, LIMIT_ADAPT, 0))
		limits->flags |= FLOW_ADAPT;
	/* What is unlimited needs a burst as well if the controller may limit it. */
	split(chosen, rate->count || limits->flags & FLOW_ADAPT ? burst : 0, WHOLE_BURST, resolved,
	      limits->burst);
	if (rate->count == 0)
		return;
	limits->interval_ns = interval_of(rate);
	/* The first `burst` of a window come at once, the other N - burst an interval apart: for N
	 * in a window of the whole period, that many intervals and one more must fill it. */
	if (limits->flags & FLOW_STRICT && burst <= rate->count) {
		uint64_t intervals = rate->count - burst + 1;

		limits->interval_ns = (rate->period_ns + intervals - 1) / intervals;
	}
}

static uint64_t bound_of(const struct chosen *chosen, enum config_limit key, uint64_t fallback_ns)
{
	struct units_rate rate = rate_of(chosen, key);

	return chosen->value[key] ? interval_of(&rate) : fallback_ns;
}

static void set_bounds(const struct chosen *chosen, struct flow_limits *limits)
{
	uint64_t slowest =
		limits->interval_ns > UNITS_HOUR_NS ? limits->interval_ns : UNITS_HOUR_NS;

	limits->ceiling_interval_ns = limits->start_interval_ns = limits->floor_interval_ns =
		limits->interval_ns;
	if (!(limits->flags & FLOW_ADAPT))
		return;
	limits->floor_interval_ns = bound_of(chosen, LIMIT_FLOOR, slowest);
	limits->ceiling_interval_ns = bound_of(chosen, LIMIT_CEILING, limits->interval_ns);
	limits->start_interval_ns = bound_of(chosen, LIMIT_START, limits->interval_ns);
}

static void set_connections(const struct chosen *chosen, struct resolved_limits *resolved)
{
	struct flow_limits *limits = &resolved->limits;
	uint64_t max = number_of(chosen, LIMIT_MESSAGES_PER_CONNECTION, CONFIG_UNLIMITED);

	set_cap(chosen, LIMIT_CONNECTIONS, WHOLE_CONNECTIONS, resolved, limits->connections);
	resolved->connection_rate = rate_of(chosen, LIMIT_CONNECTION_RATE);
	limits->connection_interval_ns = interval_of(&resolved->connection_rate);
	if (limits->connection_interval_ns)
		limits->connection_burst = (uint32_t)number_of(chosen, LIMIT_CONNECTION_BURST, 1);
	limits->per_connection = max == CONFIG_UNLIMITED ? 0 : (uint32_t)max;
}

static void set_baseline(const struct chosen *chosen, struct flow_limits *limits)
{
	static const struct {
		enum config_limit key;
		uint32_t fallback;
	} floors[] = {{LIMIT_BASELINE_MINUTE, 20},
		      {LIMIT_BASELINE_HOUR, 500},
		      {LIMIT_BASELINE_DAY, 2000}};

	limits->baseline_factor = (uint32_t)number_of(chosen, LIMIT_BASELINE, 0);
	for (int i = 0; i < 3; i++)
		limits->baseline_floor[i] =
			(uint32_t)number_of(chosen, floors[i].key, floors[i].fallback);
}

static void compute(const struct levels *levels, struct resolved_limits *resolved)
{
	struct flow_limits *limits = &resolved->limits;
	struct chosen chosen;

	memset(resolved, 0, sizeof(*resolved));
	choose(levels, &chosen, resolved);
	set_rate(&chosen, resolved);
	set_bounds(&chosen, limits);
	set_cap(&chosen, LIMIT_HOUR, WHOLE_HOUR, resolved, limits->hour_cap);
	set_cap(&chosen, LIMIT_DAY, WHOLE_DAY, resolved, limits->day_cap);
	limits->hour_phase_s =
		(uint32_t)(number_of(&chosen, LIMIT_HOUR_STARTS, 0) / UNITS_SECOND_NS);
	limits->day_phase_min =
		(uint32_t)(number_of(&chosen, LIMIT_DAY_STARTS, 0) / UNITS_MINUTE_NS);
	set_connections(&chosen, resolved);
	set_baseline(&chosen, limits);
	if (number_of(&chosen, LIMIT_COUNT, CONFIG_COUNT_MESSAGES) == CONFIG_COUNT_RECIPIENTS)
		limits->flags |= FLOW_COUNT_RECIPIENTS;
}

/* ---- levels ---------------------------------------------------------------------------------- */

static void add_destination(struct levels *levels, const struct config *config,
			    const struct config_destination *destination, bool total)
{
	const char *part = total ? "total" : "limits";

	if (destination->base && config->base)
		level_add(levels, total ? &destination->base->total : &destination->base->limits,
			  config->base->file, "destinations.%.70s.%s", destination->name, part);
	level_add(levels, total ? &destination->total : &destination->limits,
		  destination->builtin && config->base ? config->base->file : config->file,
		  "destinations.%.70s.%s", destination->name, part);
}

static void add_overrides(struct levels *levels, const struct config *config,
			  const uint8_t source[16], const char *destination)
{
	const struct config_pool *pool = config_pool_of(config, source);
	const struct config_override *of_pool = NULL;
	const struct config_override *of_source = NULL;

	for (uint32_t i = 0; i < config->overrides_count; i++) {
		const struct config_override *override = &config->overrides[i];

		if (!override->canonical || strcmp(override->canonical, destination) != 0)
			continue;
		if (override->of_pool ? override->of_pool == pool
				      : address_range_has(&override->range, source))
			*(override->of_pool ? &of_pool : &of_source) = override;
	}
	if (of_pool)
		level_add(levels, &of_pool->limits, config->file, "overrides.%.40s.%.40s",
			  of_pool->pool, destination);
	if (of_source)
		level_add(levels, &of_source->limits, config->file, "overrides.%.40s.%.40s",
			  of_source->source, destination);
}

void limits_resolve_flow(const struct config *config, const uint8_t source[16],
			 const char *destination, struct resolved_limits *ret)
{
	const struct config_destination *known = config_destination_named(config, destination);
	struct levels levels = {.count = 0};

	if (config->base)
		level_add(&levels, &config->base->limits, config->base->file, "limits");
	level_add(&levels, &config->limits, config->file, "limits");
	if (known)
		add_destination(&levels, config, known, false);
	if (source)
		add_overrides(&levels, config, source, destination);
	compute(&levels, ret);
}

void limits_resolve_source(const struct config *config, const uint8_t source[16],
			   struct resolved_limits *ret)
{
	const struct config_pool *pool = source ? config_pool_of(config, source) : NULL;
	const struct config_source *known = source ? config_source_of(config, source) : NULL;
	struct levels levels = {.count = 0};

	if (config->base)
		level_add(&levels, &config->base->source_total, config->base->file, "source_total");
	level_add(&levels, &config->source_total, config->file, "source_total");
	if (pool)
		level_add(&levels, &pool->total, config->file, "pools.%.70s.total", pool->name);
	if (known)
		level_add(&levels, &known->total, config->file, "sources.%.70s.total",
			  known->address);
	compute(&levels, ret);
}

void limits_resolve_destination(const struct config *config, const char *destination,
				struct resolved_limits *ret)
{
	const struct config_destination *known = config_destination_named(config, destination);
	struct levels levels = {.count = 0};

	if (known)
		add_destination(&levels, config, known, true);
	compute(&levels, ret);
}

void limits_resolve_stream(const struct config *config, const char *stream,
			   struct resolved_limits *ret)
{
	struct levels levels = {.count = 0};

	if (config->base)
		level_add(&levels, &config->base->stream_limits, config->base->file,
			  "stream_limits");
	level_add(&levels, &config->stream_limits, config->file, "stream_limits");
	for (uint32_t i = 0; i < config->streams_count; i++)
		if (strcmp(config->streams[i].name, stream) == 0)
			level_add(&levels, &config->streams[i].limits, config->file,
				  "streams.%.70s.limits", stream);
	compute(&levels, ret);
}

bool limits_any(const struct resolved_limits *resolved)
{
	const struct flow_limits *limits = &resolved->limits;

	return limits->interval_ns || limits->hour_cap[TG_TRANSACTIONAL] ||
	       limits->day_cap[TG_TRANSACTIONAL];
}

uint64_t limits_window_max(const struct flow_limits *limits, uint64_t window_ns)
{
	if (limits->interval_ns == 0)
		return UINT64_MAX;
	return limits->burst[TG_TRANSACTIONAL] +
	       (window_ns + limits->interval_ns - 1) / limits->interval_ns - 1;
}
