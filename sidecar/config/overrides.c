/* SPDX-License-Identifier: MIT
 *
 * What refers to pools, sources and destinations by name: overrides, and the rules of the kernel's
 * gate.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shm/destination.h"
#include "sidecar/config/config.h"
#include "sidecar/config/schema.h"

/* The canonical name, or NULL (said, or no memory). */
static char *canonical(const struct config_loader *loader, const char *name, struct yaml_mark mark,
		       int *ret_error)
{
	struct destination_match match;
	char *copy;

	if (!config_match(loader, name, mark, &match))
		return NULL;
	copy = config_allocate(loader->config, 1, match.length + 1);
	if (copy)
		memcpy(copy, match.name, match.length + 1);
	else
		*ret_error = -ENOMEM;
	return copy;
}

static bool overrides_meet(const struct config_override *a, const struct config_override *b)
{
	if (!a->canonical || !b->canonical || strcmp(a->canonical, b->canonical) != 0)
		return false;
	if (a->of_pool || b->of_pool)
		return a->of_pool == b->of_pool;
	return address_range_has(&a->range, b->range.first) ||
	       address_range_has(&b->range, a->range.first);
}

static int read_override(const struct config_loader *loader, uint32_t index)
{
	struct config *config = loader->config;
	struct config_override *override = &config->overrides[index];
	struct yaml_mark mark = config_mark(loader, "overrides[%u]", index);
	const char *reason;
	int error = 0;

	if (!override->pool == !override->source)
		config_error(loader, mark, "an override names either a pool or a source");
	if (override->pool) {
		override->of_pool = config_pool_named(config, override->pool);
		if (!override->of_pool)
			config_error(loader, config_mark(loader, "overrides[%u].pool", index),
				     "'%.60s': no such pool", override->pool);
	} else if (override->source &&
		   address_range_read(override->source, &override->range, &reason) < 0) {
		config_error(loader, config_mark(loader, "overrides[%u].source", index),
			     "'%.60s': %s", override->source, reason);
	} else if (override->source && config_source_unlisted(config, &override->range)) {
		config_error(loader, config_mark(loader, "overrides[%u].source", index),
			     CONFIG_UNLISTED, override->source);
	}
	override->canonical =
		canonical(loader, override->destination,
			  config_mark(loader, "overrides[%u].destination", index), &error);
	for (uint32_t i = 0; i < index && error == 0; i++)
		if (overrides_meet(override, &config->overrides[i]))
			config_error(loader, mark, "an override of the same on line %u",
				     config_mark(loader, "overrides[%u]", i).line);
	return error;
}

static int read_gate_rule(const struct config_loader *loader, uint32_t index)
{
	struct config_ebpf *ebpf = &loader->config->ebpf;
	struct config_gate_rule *rule = &ebpf->rules[index];
	struct yaml_mark mark = config_mark(loader, "ebpf.rules[%u]", index);
	bool known = !rule->cgroup;
	int error = 0;

	for (uint32_t i = 0; i < ebpf->cgroups_count && !known; i++)
		known = strcmp(ebpf->cgroups[i], rule->cgroup) == 0;
	if (!known)
		config_error(loader, mark, "'%.100s' is not one of the cgroups above",
			     rule->cgroup);
	if (!rule->cgroup && !rule->destination)
		config_error(loader, mark, "a rule names a destination, a cgroup, or both");
	if (!rule->mode.text && !rule->second.text && !rule->minute.text && !rule->hour.text &&
	    !rule->connections.text)
		config_error(loader, mark, "the rule does nothing: it has no mode and no limit");
	if (rule->destination)
		rule->canonical = canonical(loader, rule->destination, mark, &error);
	return error;
}

static int read_ebpf(const struct config_loader *loader)
{
	static const uint16_t smtp[] = {25, 465, 587};
	struct config_ebpf *ebpf = &loader->config->ebpf;

	if (!ebpf->ports) {
		ebpf->ports = smtp;
		ebpf->ports_count = YAML_COUNT(smtp);
	}
	if (ebpf->cgroups_count > 16)
		config_error(loader, config_mark(loader, "ebpf.cgroups"), "more than 16 cgroups");
	for (uint32_t i = 0; i < ebpf->cgroups_count; i++)
		if (ebpf->cgroups[i][0] != '/')
			config_error(
				loader, config_mark(loader, "ebpf.cgroups[%u]", i),
				"must be an absolute path, such as /sys/fs/cgroup/system.slice/x");
	for (uint32_t i = 0; i < ebpf->rules_count; i++)
		if (read_gate_rule(loader, i) < 0)
			return -ENOMEM;
	return 0;
}

int config_read_overrides(const struct config_loader *loader)
{
	for (uint32_t i = 0; i < loader->config->overrides_count; i++)
		if (read_override(loader, i) < 0)
			return -ENOMEM;
	return read_ebpf(loader);
}
