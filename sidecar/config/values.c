/* SPDX-License-Identifier: MIT
 *
 * From texts to numbers: every scalar of a file by the tables of schema.c. A value that is
 * not written gets its default; one that cannot be read is an error at its place, and the reading
 * goes on, so that a report holds all of them.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sidecar/base/units.h"
#include "sidecar/config/schema.h"

static int refuse(char *reason, size_t size, const char *why)
{
	snprintf(reason, size, "%s", why);
	return -EINVAL;
}

static int read_switch(const char *text, struct config_value *value, char *reason, size_t size)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(text, words[i]) != 0)
			continue;
		value->value = i & 1;
		return 0;
	}
	return refuse(reason, size, "must be true or false");
}

static int read_word(const struct config_word *words, const char *text, struct config_value *value,
		     char *reason, size_t size)
{
	size_t used;

	for (const struct config_word *word = words; word->text; word++) {
		if (strcmp(text, word->text) != 0)
			continue;
		value->value = word->value;
		return 0;
	}
	used = (size_t)snprintf(reason, size, "must be one of");
	for (const struct config_word *word = words; word->text && used < size; word++)
		used += (size_t)snprintf(reason + used, size - used, " %s", word->text);
	return -EINVAL;
}

static int in_bounds(const struct config_key *key, const struct config_value *value, char *reason,
		     size_t size)
{
	char min[64];
	char max[64];

	if (key->max == 0 || value->share || value->value == CONFIG_UNLIMITED ||
	    (value->value >= key->min && value->value <= key->max))
		return 0;
	if (key->kind == CONFIG_DURATION) {
		units_duration_text(key->min, min, sizeof(min));
		/* A bound such as 59m 59s 999ms is told as what it lies below. */
		if (key->max % 1000 == 999) {
			units_duration_text(key->max + 1, max, sizeof(max));
			snprintf(reason, size, "must be from %s to less than %s", min, max);
			return -EINVAL;
		}
		units_duration_text(key->max, max, sizeof(max));
	} else {
		units_count_text(key->min, min, sizeof(min));
		units_count_text(key->max, max, sizeof(max));
	}
	snprintf(reason, size, "must be from %s to %s", min, max);
	return -EINVAL;
}

int config_value_read(const struct config_key *key, const char *text, struct config_value *value,
		      char *reason, size_t size)
{
	struct units_rate rate = {0, 0};
	const char *why = "";
	uint32_t share = 0;
	int rc = 0;

	switch (key->kind) {
	case CONFIG_RATE:
		rc = units_rate(text, &rate, &why);
		value->value = rate.count;
		value->period_ns = rate.period_ns;
		break;
	case CONFIG_CAP:
		if (strcmp(text, "unlimited") == 0) {
			value->value = CONFIG_UNLIMITED;
			return 0;
		}
		rc = units_count(text, &value->value, &why);
		break;
	case CONFIG_NUMBER: rc = units_count(text, &value->value, &why); break;
	case CONFIG_RESERVE:
		if (strchr(text, '%')) {
			rc = units_share(text, &share, &why);
			value->value = share;
			value->share = 1;
		} else {
			rc = units_count(text, &value->value, &why);
		}
		break;
	case CONFIG_DURATION: rc = units_duration(text, &value->value, &why); break;
	case CONFIG_SWITCH: return read_switch(text, value, reason, size);
	case CONFIG_ENUM: return read_word(key->words, text, value, reason, size);
	}
	return rc < 0 ? refuse(reason, size, why) : in_bounds(key, value, reason, size);
}

/* ---- problems at places ---------------------------------------------------------------------- */

struct yaml_mark config_mark(const struct config_loader *loader, const char *format, ...)
{
	struct yaml_mark mark = {0, 0};
	char path[256];
	va_list args;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	yaml_marks_find(loader->marks, path, &mark);
	return mark;
}

void config_error(const struct config_loader *loader, struct yaml_mark mark, const char *format,
		  ...)
{
	char text[sizeof(((struct diagnostic *)NULL)->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	diagnostics_add(loader->report, true, loader->file, mark, "%s", text);
}

void config_warning(const struct config_loader *loader, struct yaml_mark mark, const char *format,
		    ...)
{
	char text[sizeof(((struct diagnostic *)NULL)->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	diagnostics_add(loader->report, false, loader->file, mark, "%s", text);
}

/* ---- all values ------------------------------------------------------------------------------ */

/* The values of one section, which stands at `path` in the file ("" for the top). */
static void read_section(const struct config_loader *loader, const struct config_key *keys,
			 void *section, const char *path)
{
	char reason[160];

	for (const struct config_key *key = keys; key->name; key++) {
		struct config_value *value =
			(struct config_value *)(void *)((char *)section + key->offset);

		if (!value->text) {
			if (key->default_text)
				config_value_read(key, key->default_text, value, reason,
						  sizeof(reason));
			continue;
		}
		value->mark = config_mark(loader, "%s%s%s", path, *path ? "." : "", key->name);
		if (config_value_read(key, value->text, value, reason, sizeof(reason)) < 0)
			config_error(loader, value->mark, "%s: '%.40s': %s", key->name, value->text,
				     reason);
	}
}

/* The segment holds phases in these units. */
static void check_grain(const struct config_loader *loader, const struct config_value *value,
			uint64_t grain_ns, const char *name, const char *grain)
{
	if (value->value % grain_ns)
		config_error(loader, value->mark, "%s: '%.40s': must be whole %s", name,
			     value->text, grain);
}

static void read_limits(const struct config_loader *loader, struct config_limits *limits,
			const char *section, unsigned i, const char *part)
{
	char path[64];

	if (part)
		snprintf(path, sizeof(path), "%s[%u].%s", section, i, part);
	else
		snprintf(path, sizeof(path), "%s", section);
	read_section(loader, config_limit_keys, limits, path);
	check_grain(loader, &limits->key[LIMIT_HOUR_STARTS], UNITS_SECOND_NS, "hour_starts",
		    "seconds");
	check_grain(loader, &limits->key[LIMIT_DAY_STARTS], UNITS_MINUTE_NS, "day_starts",
		    "minutes");
}

/* Connections are counted by flow alone: of a total nobody would keep them. */
static void read_total(const struct config_loader *loader, struct config_limits *limits,
		       const char *section, unsigned i, const char *part)
{
	read_limits(loader, limits, section, i, part);
	for (int key = LIMIT_TOTAL_KEYS; key < LIMIT_KEYS; key++)
		if (limits->key[key].text)
			config_error(loader, limits->key[key].mark,
				     "%s: is limited for each flow alone, not for all of them "
				     "together: write it under limits",
				     config_limit_name((enum config_limit)key));
}

static void read_lists(const struct config_loader *loader)
{
	struct config *config = loader->config;

	for (unsigned i = 0; i < config->pools_count; i++)
		read_total(loader, &config->pools[i].total, "pools", i, "total");
	for (unsigned i = 0; i < config->sources_count; i++)
		read_total(loader, &config->sources[i].total, "sources", i, "total");
	for (unsigned i = 0; i < config->streams_count; i++)
		read_total(loader, &config->streams[i].limits, "streams", i, "limits");
	for (unsigned i = 0; i < config->destinations_count; i++) {
		read_limits(loader, &config->destinations[i].limits, "destinations", i, "limits");
		read_total(loader, &config->destinations[i].total, "destinations", i, "total");
	}
	for (unsigned i = 0; i < config->overrides_count; i++)
		read_limits(loader, &config->overrides[i].limits, "overrides", i, "limits");
}

void config_read_values(const struct config_loader *loader)
{
	struct config *config = loader->config;
	uint64_t ring;

	read_section(loader, config_top_keys, config, "");
	read_section(loader, config_segment_keys, &config->segment, "segment");
	read_section(loader, config_ebpf_keys, &config->ebpf, "ebpf");
	read_limits(loader, &config->limits, "limits", 0, NULL);
	read_total(loader, &config->source_total, "source_total", 0, NULL);
	read_total(loader, &config->stream_limits, "stream_limits", 0, NULL);
	read_lists(loader);
	for (unsigned i = 0; i < config->ebpf.rules_count; i++) {
		char path[64];

		snprintf(path, sizeof(path), "ebpf.rules[%u]", i);
		read_section(loader, config_gate_keys, &config->ebpf.rules[i], path);
	}
	ring = config->segment.ring.value;
	if (ring & (ring - 1))
		config_error(loader, config->segment.ring.mark,
			     "ring: must be a power of two, such as 1024");
}
