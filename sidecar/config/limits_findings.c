/* SPDX-License-Identifier: MIT
 *
 * The limits of a file as they come out: each policy that the file makes is computed and checked,
 * and what is found is told at the line that makes it so. What only the built-in file is to blame
 * for is not the user's business and kept quiet.
 */
#include <stdio.h>
#include <string.h>

#include "sidecar/config/config.h"
#include "sidecar/config/limits.h"
#include "sidecar/config/schema.h"

/* The key of a finding that stands in the file being checked, or -1. */
static int key_here(const struct config_loader *loader, const struct resolved_limits *resolved,
		    const struct limits_finding *finding)
{
	const enum config_limit keys[] = {finding->key, finding->other};

	for (int i = 0; i < 2; i++)
		if (resolved->origin[keys[i]].file == loader->config->file)
			return (int)keys[i];
	return -1;
}

static bool told_before(const struct diagnostics *report, struct yaml_mark mark, const char *text)
{
	for (uint32_t i = 0; i < report->count; i++) {
		const struct diagnostic *problem = &report->problems[i];

		if (problem->mark.line == mark.line && problem->mark.column == mark.column &&
		    strcmp(problem->text, text) == 0)
			return true;
	}
	return false;
}

static void report_finding(const struct config_loader *loader,
			   const struct resolved_limits *resolved,
			   const struct limits_finding *finding)
{
	int key = key_here(loader, resolved, finding);
	enum config_limit second;
	struct yaml_mark mark = {0, 0};
	char origin[200];
	char text[sizeof(((struct diagnostic *)NULL)->text)];

	/* That a key of the built-in file has no effect here is nothing to be warned of, nor that a
	 * more specific one narrows a general one. */
	if (!finding->error &&
	    (key != (int)finding->key ||
	     resolved->origin[finding->key].level < resolved->origin[finding->other].level))
		return;
	if (key >= 0)
		mark = resolved->origin[key].mark;
	second = key == (int)finding->key ? finding->other : finding->key;
	if (second != (enum config_limit)key && resolved->origin[second].file)
		snprintf(text, sizeof(text), "%s: %s (%s)", config_limit_name(finding->key),
			 finding->text,
			 limits_origin_text(resolved, second, origin, sizeof(origin)));
	else
		snprintf(text, sizeof(text), "%s: %s", config_limit_name(finding->key),
			 finding->text);
	if (told_before(loader->report, mark, text))
		return;
	if (finding->error)
		config_error(loader, mark, "%s", text);
	else
		config_warning(loader, mark, "%s", text);
}

static void check_policy(const struct config_loader *loader, const struct resolved_limits *resolved)
{
	struct limits_finding findings[LIMITS_FINDINGS_MAX];
	unsigned count = limits_check(resolved, findings);

	for (unsigned i = 0; i < count; i++)
		report_finding(loader, resolved, &findings[i]);
}

/* ---- a total that is less than what one of its parts may do ---------------------------------- */

static bool less(uint64_t whole, uint64_t part)
{
	return whole && (part == 0 || whole < part);
}

static void check_shadow(const struct config_loader *loader, const struct resolved_limits *flow,
			 const struct resolved_limits *total, const char *what)
{
	const struct flow_limits *f = &flow->limits;
	const struct flow_limits *t = &total->limits;
	const struct {
		enum config_limit key;
		bool shadowed;
	} rows[] = {
		{LIMIT_RATE, f->interval_ns && t->interval_ns > f->interval_ns},
		{LIMIT_HOUR, f->hour_cap[0] && less(t->hour_cap[0], f->hour_cap[0])},
		{LIMIT_DAY, f->day_cap[0] && less(t->day_cap[0], f->day_cap[0])},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct limits_origin *origin = &flow->origin[rows[i].key];
		char text[200];

		if (!rows[i].shadowed || origin->file != loader->config->file)
			continue;
		snprintf(text, sizeof(text), "%s: is never reached: %s lets less pass",
			 config_limit_name(rows[i].key), what);
		if (!told_before(loader->report, origin->mark, text))
			config_warning(loader, origin->mark, "%s", text);
	}
}

static void check_destination(const struct config_loader *loader, const char *name)
{
	struct resolved_limits flow;
	struct resolved_limits total;

	limits_resolve_flow(loader->config, NULL, name, &flow);
	limits_resolve_destination(loader->config, name, &total);
	check_policy(loader, &flow);
	check_policy(loader, &total);
	check_shadow(loader, &flow, &total, "the total of the destination");
}

static void check_sources(const struct config_loader *loader)
{
	const struct config *config = loader->config;
	struct resolved_limits total;

	limits_resolve_source(config, NULL, &total);
	check_policy(loader, &total);
	for (uint32_t i = 0; i < config->pools_count; i++) {
		if (config->pools[i].sources_count == 0)
			continue;
		limits_resolve_source(config, config->pools[i].ranges[0].first, &total);
		check_policy(loader, &total);
	}
	for (uint32_t i = 0; i < config->sources_count; i++) {
		limits_resolve_source(config, config->sources[i].range.first, &total);
		check_policy(loader, &total);
	}
}

static void check_overrides(const struct config_loader *loader)
{
	const struct config *config = loader->config;
	struct resolved_limits flow;
	struct resolved_limits total;

	for (uint32_t i = 0; i < config->overrides_count; i++) {
		const struct config_override *override = &config->overrides[i];
		const uint8_t *source = override->of_pool ? override->of_pool->ranges[0].first
							  : override->range.first;

		limits_resolve_flow(config, source, override->canonical, &flow);
		check_policy(loader, &flow);
		limits_resolve_destination(config, override->canonical, &total);
		check_shadow(loader, &flow, &total, "the total of the destination");
		limits_resolve_source(config, source, &total);
		check_shadow(loader, &flow, &total, "the total of the source");
	}
}

/* Values that could not be read are told already; what follows from them would only confuse. */
void config_check_limits(const struct config_loader *loader)
{
	const struct config *config = loader->config;
	struct resolved_limits resolved;

	if (loader->report->errors)
		return;
	limits_resolve_flow(config, NULL, "", &resolved);
	check_policy(loader, &resolved);
	for (uint32_t i = 0; i < config->effective_count; i++)
		check_destination(loader, config->effective[i]->name);
	check_sources(loader);
	limits_resolve_stream(config, "", &resolved);
	check_policy(loader, &resolved);
	for (uint32_t i = 0; i < config->streams_count; i++) {
		limits_resolve_stream(config, config->streams[i].name, &resolved);
		check_policy(loader, &resolved);
	}
	check_overrides(loader);
}
