/* SPDX-License-Identifier: MIT
 *
 * Pools, sources and streams: whose addresses are whose, without overlap.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shm/destination.h"
#include "shm/name.h"
#include "sidecar/config/config.h"
#include "sidecar/config/schema.h"

static void owners_sort(const struct config_loader *loader, struct config_owner *owners,
			uint32_t count, const char *what)
{
	if (count == 0)
		return;
	qsort(owners, count, sizeof(*owners), config_owner_order);
	for (uint32_t i = 1; i < count; i++) {
		const struct config_owner *before = &owners[i - 1];

		if (memcmp(before->range.last, owners[i].range.first, 16) >= 0)
			config_error(loader, owners[i].mark,
				     "overlaps with the %s on line %u; a source belongs to one",
				     what, before->mark.line);
	}
}

static uint64_t range_size(const struct address_range *range)
{
	unsigned __int128 size = 0;

	for (int i = 0; i < 16; i++)
		size = size * 256 + range->last[i] - range->first[i];
	return size >= UINT32_MAX ? UINT32_MAX : (uint64_t)size + 1;
}

static int read_pool(const struct config_loader *loader, uint32_t index, uint64_t *sum)
{
	struct config *config = loader->config;
	struct config_pool *pool = &config->pools[index];
	const char *reason;

	if (config_pool_named(config, pool->name) != pool)
		config_error(loader, config_mark(loader, "pools[%u].name", index),
			     "a pool of this name stands above");
	if (strlen(pool->name) > DESTINATION_NAME_MAX)
		config_error(loader, config_mark(loader, "pools[%u].name", index),
			     "longer than %u bytes", DESTINATION_NAME_MAX);
	pool->ranges = config_allocate(config, pool->sources_count, sizeof(*pool->ranges));
	if (!pool->ranges)
		return -ENOMEM;
	for (uint32_t i = 0; i < pool->sources_count; i++) {
		struct yaml_mark mark = config_mark(loader, "pools[%u].sources[%u]", index, i);

		if (address_range_read(pool->sources[i], &pool->ranges[i], &reason) < 0) {
			config_error(loader, mark, "'%.60s': %s", pool->sources[i], reason);
			continue;
		}
		*sum += range_size(&pool->ranges[i]);
		config->pool_owners[config->pool_owners_count++] =
			(struct config_owner){pool->ranges[i], index, mark};
	}
	return 0;
}

static int read_pools(const struct config_loader *loader)
{
	struct config *config = loader->config;
	uint32_t count = 0;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < config->pools_count; i++)
		count += config->pools[i].sources_count;
	config->pool_owners = config_allocate(config, count + 1, sizeof(*config->pool_owners));
	if (!config->pool_owners)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->pools_count; i++)
		if (read_pool(loader, i, &sum) < 0)
			return -ENOMEM;
	if (sum > CONFIG_POOL_SOURCES_MAX)
		config_error(loader, config_mark(loader, "pools"),
			     "the pools hold more than %u sources together",
			     CONFIG_POOL_SOURCES_MAX);
	owners_sort(loader, config->pool_owners, config->pool_owners_count, "source");
	return 0;
}

static int read_sources(const struct config_loader *loader)
{
	struct config *config = loader->config;
	const char *reason;

	config->source_owners =
		config_allocate(config, config->sources_count + 1, sizeof(*config->source_owners));
	if (!config->source_owners)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->sources_count; i++) {
		struct config_source *source = &config->sources[i];
		struct yaml_mark mark = config_mark(loader, "sources[%u].address", i);

		if (address_range_read(source->address, &source->range, &reason) < 0)
			config_error(loader, mark, "'%.60s': %s", source->address, reason);
		else if (config_source_unlisted(config, &source->range))
			config_error(loader, mark, CONFIG_UNLISTED, source->address);
		config->source_owners[i] = (struct config_owner){source->range, i, mark};
	}
	owners_sort(loader, config->source_owners, config->sources_count, "entry");
	return 0;
}

static void read_streams(const struct config_loader *loader)
{
	const struct config *config = loader->config;

	for (uint32_t i = 0; i < config->streams_count; i++) {
		if (!name_plain(config->streams[i].name, strlen(config->streams[i].name)))
			config_error(loader, config_mark(loader, "streams[%u].name", i),
				     "not a name: 1 to 256 bytes without spaces and control "
				     "characters");
		for (uint32_t j = 0; j < i; j++)
			if (strcmp(config->streams[i].name, config->streams[j].name) == 0)
				config_error(loader, config_mark(loader, "streams[%u].name", i),
					     "a stream of this name stands above");
	}
}

int config_read_pools(const struct config_loader *loader)
{
	if (read_pools(loader) < 0 || read_sources(loader) < 0)
		return -ENOMEM;
	read_streams(loader);
	return 0;
}
