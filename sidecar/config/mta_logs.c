/* SPDX-License-Identifier: MIT
 *
 * The section `logs`: the MTAs' logs that are read, and what they call our addresses.
 */
#include <stdio.h>
#include <string.h>

#include "shm/source.h"
#include "sidecar/config/config.h"
#include "sidecar/config/schema.h"

static void address_read(const struct config_loader *loader, struct yaml_mark mark,
			 const char *text, uint8_t ret[16])
{
	if (source_read(text, ret) != 0)
		config_error(loader, mark, "'%.60s': not an address, such as 192.0.2.1", text);
	else if (source_is_name(ret) && config_pool_of(loader->config, ret) == NULL)
		config_error(loader, mark, CONFIG_UNLISTED, text);
}

void config_read_log_names(const struct config_loader *loader, struct config_mta_log *log,
			   const char *path)
{
	if (log->source)
		address_read(loader, config_mark(loader, "%s.source", path), log->source,
			     log->source_address);
	for (uint32_t i = 0; i < log->sources_count; i++) {
		struct config_log_name *name = &log->sources[i];

		address_read(loader, config_mark(loader, "%s.sources[%u].address", path, i),
			     name->address, name->source);
		for (uint32_t j = 0; j < i; j++)
			if (strcmp(log->sources[j].name, name->name) == 0)
				config_error(loader,
					     config_mark(loader, "%s.sources[%u].name", path, i),
					     "'%.60s': stands above already", name->name);
	}
}

static void check_path(const struct config_loader *loader, const struct config_mta_log *log,
		       uint32_t index)
{
	const char *path = strncmp(log->path, "unix:", 5) == 0 ? log->path + 5 : log->path;
	struct yaml_mark mark = config_mark(loader, "logs[%u].path", index);

	if (*path != '/' && strcmp(log->path, "-") != 0)
		config_error(
			loader, mark,
			"'%.100s': must be an absolute path, unix: and one, or - for standard input",
			log->path);
	for (uint32_t i = 0; i < index; i++)
		if (strcmp(loader->config->logs[i].path, log->path) == 0)
			config_error(loader, mark,
				     "'%.100s': is read already, by the log on line %u", log->path,
				     config_mark(loader, "logs[%u]", i).line);
}

void config_read_logs(const struct config_loader *loader)
{
	struct config *config = loader->config;

	for (uint32_t i = 0; i < config->logs_count; i++) {
		struct config_mta_log *log = &config->logs[i];
		char path[32];

		snprintf(path, sizeof(path), "logs[%u]", i);
		check_path(loader, log, i);
		config_read_log_names(loader, log, path);
	}
}
