/* SPDX-License-Identifier: MIT
 *
 * Loading a configuration: by schema, then its values, its names, its limits, each step going on
 * after errors so that one run tells them all.
 */
#include "sidecar/config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/destination.h"
#include "shm/tollgate.h"
#include "sidecar/config/schema.h"
#include "sidecar/data/embedded.h"

#define ZONES "/usr/share/zoneinfo"

static void *from_malloc(void *context, void *old, size_t size)
{
	(void)context;
	if (size)
		return realloc(old, size);
	free(old);
	return NULL;
}

void *config_allocate(struct config *config, size_t count, size_t size)
{
	void *memory = NULL;
	size_t bytes;

	if (!__builtin_mul_overflow(count, size, &bytes))
		memory = config->memory.resize(config->memory.context, NULL, bytes);
	if (memory)
		memset(memory, 0, bytes);
	return memory;
}

void config_release(struct config *config, void *memory)
{
	if (memory)
		config->memory.resize(config->memory.context, memory, 0);
}

void config_free(struct config *config)
{
	struct yaml_memory memory;

	if (!config)
		return;
	memory = config->memory;
	for (uint32_t i = 0; i < config->pools_count; i++)
		config_release(config, config->pools[i].ranges);
	for (uint32_t i = 0; i < config->overrides_count; i++)
		config_release(config, config->overrides[i].canonical);
	for (uint32_t i = 0; i < config->ebpf.rules_count; i++)
		config_release(config, config->ebpf.rules[i].canonical);
	config_release(config, config->ebpf.ports);
	config_release(config, config->effective);
	config_release(config, config->pool_owners);
	config_release(config, config->source_owners);
	config_release(config, config->table);
	config_release(config, config->file);
	config_free(config->base);
	yaml_unload(&config_schema, &memory, config);
}

/* ---- what the system must know --------------------------------------------------------------- */

static void check_zone(const struct config_loader *loader)
{
	const char *zone = loader->config->time_zone;
	struct yaml_mark mark = config_mark(loader, "time_zone");
	char path[256];
	struct stat st;

	if (!zone)
		return;
	snprintf(path, sizeof(path), "%s/%s", ZONES, zone);
	if (zone[0] == '/' || strstr(zone, "..") || strlen(zone) > 100)
		config_error(loader, mark,
			     "'%.60s': not the name of a time zone, such as Europe/Madrid", zone);
	else if (strcmp(zone, "UTC") != 0 && (stat(path, &st) < 0 || !S_ISREG(st.st_mode)))
		config_error(loader, mark, "'%.60s': this system knows no such time zone (in %s)",
			     zone, ZONES);
}

/* Users and groups may be made later, on another machine even: a warning, but for whoever starts
 * here. */
static void warn_here(const struct config_loader *loader, const char *key, const char *what,
		      const char *name)
{
	struct diagnostics *report = loader->report;
	uint32_t before = report->count;

	config_warning(loader, config_mark(loader, "%s", key),
		       "'%.60s': this system knows no such %s", name, what);
	if (report->count > before)
		report->problems[before].here = true;
}

static void check_user(const struct config_loader *loader, const char *key, const char *name)
{
	if (name && !getpwnam(name))
		warn_here(loader, key, "user", name);
}

static void check_system(const struct config_loader *loader)
{
	const struct config_segment *segment = &loader->config->segment;

	check_zone(loader);
	check_user(loader, "user", loader->config->user);
	check_user(loader, "segment.owner", segment->owner);
	if (segment->group && !getgrnam(segment->group))
		warn_here(loader, "segment.group", "group", segment->group);
	if (segment->path[0] != '/')
		config_error(loader, config_mark(loader, "segment.path"),
			     "must be an absolute path, such as /dev/shm/tollgate");
}

/* ---- loading --------------------------------------------------------------------------------- */

static int load(const char *text, size_t len, const char *name, const struct yaml_memory *memory,
		const char *list, bool is_builtin, struct config **ret, struct diagnostics *report);

static int load_base(const struct config_loader *loader)
{
	struct config *config = loader->config;

	if (config->is_builtin || !config->builtin.value)
		return 0;
	return load(builtin_config, builtin_config_size(), "builtin.yaml", &config->memory,
		    loader->list, true, &config->base, loader->report);
}

static char *copy_text(struct config *config, const char *text)
{
	char *copy = config_allocate(config, 1, strlen(text) + 1);

	if (copy)
		strcpy(copy, text);
	return copy;
}

/* All that comes after the schema. Only -ENOMEM and errors of the built-in file come back. */
static int check(const struct config_loader *loader)
{
	struct config *config = loader->config;
	int rc;

	config->file = copy_text(config, loader->file);
	if (!config->segment.path)
		config->segment.path = copy_text(config, TG_SEGMENT_DEFAULT);
	if (!config->file || !config->segment.path)
		return -ENOMEM;
	config_read_values(loader);
	rc = load_base(loader);
	if (rc == 0)
		rc = config_read_pools(loader);
	if (rc == 0)
		rc = config_read_names(loader);
	if (rc == 0)
		rc = config_read_overrides(loader);
	if (rc < 0)
		return rc;
	config_read_logs(loader);
	check_system(loader);
	config_check_limits(loader);
	return config_check_rules(loader);
}

static int load(const char *text, size_t len, const char *name, const struct yaml_memory *memory,
		const char *list, bool is_builtin, struct config **ret, struct diagnostics *report)
{
	static const struct yaml_memory plain = {from_malloc, NULL};
	struct config_loader loader = {.file = name, .report = report, .list = list};
	uint32_t errors = report->errors;
	struct yaml_error error = {0};
	void *loaded;
	int rc;

	if (!memory)
		memory = &plain;
	rc = yaml_load_marked(text, len, name, &config_schema, memory, &loaded, &loader.marks,
			      &error);
	if (rc < 0) {
		diagnostics_add(report, true, name, error.mark, "%s", error.reason);
		return rc;
	}
	loader.config = loaded;
	loader.config->memory = *memory;
	loader.config->is_builtin = is_builtin;
	rc = check(&loader);
	yaml_marks_free(loader.marks);
	if (rc == -ENOMEM)
		diagnostics_add(report, true, name, (struct yaml_mark){0, 0}, "out of memory");
	if (rc == 0 && report->errors > errors)
		rc = -EINVAL;
	if (rc < 0)
		config_free(loader.config);
	else
		*ret = loader.config;
	return rc;
}

int config_load(const char *text, size_t len, const char *name, const struct yaml_memory *memory,
		const char *list, struct config **ret, struct diagnostics *report)
{
	return load(text, len, name, memory, list, false, ret, report);
}

int config_builtin(const struct yaml_memory *memory, struct config **ret,
		   struct diagnostics *report)
{
	return load(builtin_config, builtin_config_size(), "builtin.yaml", memory, NULL, true, ret,
		    report);
}

/* The whole file, at most one byte more than a text may have. */
static int read_whole(const char *path, char **ret, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t room = 1 << 16;
	size_t used = 0;
	char *text = fd < 0 ? NULL : malloc(room);
	ssize_t got = 0;
	int rc = fd < 0 ? -errno : text ? 0 : -ENOMEM;

	while (rc == 0 && used <= YAML_TEXT_MAX) {
		if (used == room) {
			char *grown = realloc(text, room * 2);

			if (!grown) {
				rc = -ENOMEM;
				break;
			}
			text = grown;
			room *= 2;
		}
		got = read(fd, text + used, room - used);
		if (got < 0 && errno != EINTR)
			rc = -errno;
		if (got == 0)
			break;
		used += got > 0 ? (size_t)got : 0;
	}
	if (fd >= 0)
		close(fd);
	if (rc < 0) {
		free(text);
		return rc;
	}
	*ret = text;
	*ret_len = used;
	return 0;
}

int config_read(const char *path, const struct yaml_memory *memory, struct config **ret,
		struct diagnostics *report)
{
	char *text;
	size_t len;
	int rc = read_whole(path, &text, &len);

	if (rc < 0) {
		diagnostics_add(report, true, path, (struct yaml_mark){0, 0}, "%s", strerror(-rc));
		return rc;
	}
	rc = config_load(text, len, path, memory, NULL, ret, report);
	free(text);
	return rc;
}

/* ---- owners of addresses -----------------------------------------------------------------------
 */

int config_owner_order(const void *a, const void *b)
{
	const struct config_owner *x = a;
	const struct config_owner *y = b;
	int order = memcmp(x->range.first, y->range.first, 16);

	return order ? order : memcmp(x->range.last, y->range.last, 16);
}

/* The owner whose range has the address; they are sorted and do not overlap. */
static const struct config_owner *owner_of(const struct config_owner *owners, uint32_t count,
					   const uint8_t address[16])
{
	uint32_t low = 0;
	uint32_t high = count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (address_range_has(&owners[middle].range, address))
			return &owners[middle];
		if (memcmp(owners[middle].range.first, address, 16) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const struct config_pool *config_pool_of(const struct config *config, const uint8_t address[16])
{
	const struct config_owner *owner =
		owner_of(config->pool_owners, config->pool_owners_count, address);

	return owner ? &config->pools[owner->index] : NULL;
}

const struct config_source *config_source_of(const struct config *config, const uint8_t address[16])
{
	const struct config_owner *owner =
		owner_of(config->source_owners, config->sources_count, address);

	return owner ? &config->sources[owner->index] : NULL;
}

/* ---- looking up ------------------------------------------------------------------------------ */

const struct config_pool *config_pool_named(const struct config *config, const char *name)
{
	for (uint32_t i = 0; i < config->pools_count; i++)
		if (strcmp(config->pools[i].name, name) == 0)
			return &config->pools[i];
	return NULL;
}

const struct config_destination *config_destination_named(const struct config *config,
							  const char *name)
{
	const struct config_destination *found;
	struct destination_match match;

	if (destination_match(config->table, config->table_length, name, &match) < 0 ||
	    match.index == DESTINATION_NONE)
		return NULL;
	found = config->effective[match.index];
	return strcmp(found->name, name) == 0 ? found : NULL;
}

char *const *config_domains(const struct config_destination *destination, uint32_t *ret_count)
{
	if (!destination->domains && destination->base)
		destination = destination->base;
	*ret_count = destination->domains_count;
	return destination->domains;
}

char *const *config_mx(const struct config_destination *destination, uint32_t *ret_count)
{
	if (!destination->mx && destination->base)
		destination = destination->base;
	*ret_count = destination->mx_count;
	return destination->mx;
}

char *const *config_addresses(const struct config_destination *destination, uint32_t *ret_count)
{
	if (!destination->addresses && destination->base)
		destination = destination->base;
	*ret_count = destination->addresses_count;
	return destination->addresses;
}
