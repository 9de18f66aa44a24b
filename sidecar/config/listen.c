/* SPDX-License-Identifier: MIT
 *
 * The sections of the doors: where each listens, and whom it speaks for.
 */
#include <errno.h>
#include <string.h>

#include "shm/source.h"
#include "sidecar/config/config.h"
#include "sidecar/config/schema.h"
#include "sidecar/serve/endpoint.h"

/* A door, for what is checked of them all. */
struct listen_section {
	const char *section;
	const struct config_listen *at;
	bool guarded; /* it may be opened to other hosts */
	const char *needs;
};

#define DOORS 3

static void check_address(const struct config_loader *loader, const struct listen_section *door,
			  uint32_t index)
{
	struct yaml_mark mark = config_mark(loader, "%s.listen[%u]", door->section, index);
	const char *text = door->at->listen[index];
	struct endpoint endpoint;
	int error = endpoint_read(text, &endpoint);

	if (error == -ENAMETOOLONG)
		config_error(loader, mark,
			     "'%.60s…': longer than a socket's path may be, %zu characters", text,
			     ENDPOINT_PATH_MAX);
	else if (error)
		config_error(loader, mark,
			     "'%.100s': must be unix: and an absolute path, or an address and a "
			     "port, such as 127.0.0.1:6380 or [::1]:6380",
			     text);
	else if (!endpoint.loopback && !door->at->remote.value)
		config_error(loader, mark,
			     "'%.100s': other hosts reach it, and whoever asks is believed: listen "
			     "on 127.0.0.1, or say remote: true",
			     text);
	else if (!endpoint.loopback && !door->guarded)
		config_error(loader, mark, "'%.100s': other hosts reach it, so %s", text,
			     door->needs);
}

/* An address belongs to one door. */
static void check_twice(const struct config_loader *loader, const struct listen_section *doors,
			uint32_t door, uint32_t index)
{
	const char *text = doors[door].at->listen[index];

	for (uint32_t d = 0; d <= door; d++)
		for (uint32_t i = 0; i < doors[d].at->listen_count; i++) {
			if (d == door && i >= index)
				return;
			if (strcmp(doors[d].at->listen[i], text) == 0)
				config_error(loader,
					     config_mark(loader, "%s.listen[%u]",
							 doors[door].section, index),
					     "'%.100s': is listened on already, by %s", text,
					     doors[d].section);
		}
}

static void check_pool(const struct config_loader *loader, const char *path, const char *pool)
{
	if (pool && config_pool_named(loader->config, pool) == NULL)
		config_error(loader, config_mark(loader, "%s", path), "'%.60s': no such pool",
			     pool);
}

static void check_policy(const struct config_loader *loader)
{
	const struct config_policy *policy = &loader->config->policy;
	uint8_t source[16];

	check_pool(loader, "postfix_policy.pool", policy->pool);
	if (policy->at.listen_count && !policy->pool == !policy->source)
		config_error(loader, config_mark(loader, "postfix_policy"),
			     "needs pool or source, and not both: whose limits are asked");
	if (policy->source == NULL)
		return;
	if (source_read(policy->source, source) != 0 ||
	    (source_is_name(source) && !config_pool_of(loader->config, source)))
		config_error(loader, config_mark(loader, "postfix_policy.source"), CONFIG_UNLISTED,
			     policy->source);
}

static void check_maps(const struct config_loader *loader)
{
	struct config_maps *maps = &loader->config->maps;

	check_pool(loader, "postfix_maps.pool", maps->pool);
	config_read_log_names(loader, &maps->names, "postfix_maps");
	for (uint32_t i = 0; i < maps->names.sources_count; i++)
		if (strcmp(maps->names.sources[i].name, "transport") == 0)
			config_error(loader,
				     config_mark(loader, "postfix_maps.sources[%u].name", i),
				     "'transport': is the map that chooses, not a source");
}

void config_read_listeners(const struct config_loader *loader)
{
	const struct config *config = loader->config;
	const struct listen_section doors[DOORS] = {
		{"redis", &config->redis.at, config->redis.password != NULL, "it needs a password"},
		{"postfix_policy", &config->policy.at, true, NULL},
		{"postfix_maps", &config->maps.at, true, NULL},
	};

	for (uint32_t d = 0; d < DOORS; d++)
		for (uint32_t i = 0; i < doors[d].at->listen_count; i++) {
			check_address(loader, &doors[d], i);
			check_twice(loader, doors, d, i);
		}
	check_policy(loader);
	check_maps(loader);
}
