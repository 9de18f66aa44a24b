/* SPDX-License-Identifier: MIT
 *
 * Loading a configuration: by schema, then its values, its names, its limits, each step going on
 * after errors so that one run tells them all.
 */
#include "sidecar/config/config.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shm/destination.h"
#include "shm/source.h"
#include "shm/tollgate.h"
#include "sidecar/config/schema.h"
#include "sidecar/config/state_folder.h"
#include "sidecar/data/embedded.h"

#define ZONES "/usr/share/zoneinfo"

void *config_allocate(struct config *config, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		return NULL;
	return yaml_allocate(&config->memory, config, bytes);
}

void config_free(struct config *config)
{
	struct yaml_memory memory;

	if (!config)
		return;
	memory = config->memory;
	config_free(config->base);
	yaml_unload(&memory, config);
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

static void check_state(const struct config_loader *loader)
{
	const char *state = loader->config->state;

	if (state && strcmp(state, STATE_FOLDER_NONE) != 0 &&
	    (state[0] != '/' || strlen(state) > 200))
		config_error(loader, config_mark(loader, "state"),
			     "'%.60s': neither the absolute path of a folder nor none", state);
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

static int64_t check_group(const struct config_loader *loader, const char *key, const char *name)
{
	const struct group *group = name ? getgrnam(name) : NULL;

	if (name && !group)
		warn_here(loader, key, "group", name);
	return group ? (int64_t)group->gr_gid : -1;
}

/* Looked up here, and not by the loop, which must not wait for a directory service. */
static void check_listen(const struct config_loader *loader, const char *key,
			 struct config_listen *at, int64_t segment_gid)
{
	at->gid = at->group ? check_group(loader, key, at->group) : segment_gid;
}

static void check_system(const struct config_loader *loader)
{
	struct config *config = loader->config;
	const struct config_segment *segment = &config->segment;
	int64_t gid;

	check_state(loader);
	check_zone(loader);
	check_user(loader, "user", config->user);
	check_user(loader, "segment.owner", segment->owner);
	gid = check_group(loader, "segment.group", segment->group);
	check_listen(loader, "redis.group", &config->redis.at, gid);
	check_listen(loader, "postfix_policy.group", &config->policy.at, gid);
	check_listen(loader, "postfix_maps.group", &config->maps.at, gid);
	if (segment->path[0] != '/')
		config_error(loader, config_mark(loader, "segment.path"),
			     "must be an absolute path, such as /dev/shm/tollgate");
}

/* ---- loading --------------------------------------------------------------------------------- */

static int load(const struct config_text *text, const struct yaml_memory *memory, bool is_builtin,
		struct config **ret, struct diagnostics *report);

static struct config_text builtin_text(const char *suffixes)
{
	return (struct config_text){builtin_config, builtin_config_size(), "builtin.yaml",
				    suffixes};
}

static int load_base(const struct config_loader *loader)
{
	struct config *config = loader->config;
	const struct config_text text = builtin_text(loader->list);

	if (config->is_builtin || !config->builtin.value)
		return 0;
	return load(&text, &config->memory, true, &config->base, loader->report);
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
	if (!config->file)
		return -ENOMEM;
	rc = load_base(loader);
	if (rc == 0)
		rc = config_read_pools(loader);
	if (rc == 0)
		rc = config_read_names(loader);
	if (rc == 0)
		rc = config_find_mta(loader);
	if (rc == 0)
		rc = config_read_overrides(loader);
	if (rc == 0)
		rc = config_read_warmup(loader);
	if (rc < 0)
		return rc;
	config_read_logs(loader);
	config_read_http(loader);
	config_read_listeners(loader);
	config_read_snds(loader);
	check_system(loader);
	config_check_limits(loader);
	return config_check_rules(loader);
}

/* What the load of the rows finds wrong. */
static void add_problem(void *context, struct yaml_mark mark, const char *reason)
{
	config_error(context, mark, "%s", reason);
}

static int load(const struct config_text *text, const struct yaml_memory *memory, bool is_builtin,
		struct config **ret, struct diagnostics *report)
{
	const char *name = text->name;
	struct config_loader loader = {.file = name, .report = report, .list = text->suffixes};
	const struct yaml_problems problems = {add_problem, &loader};
	const struct yaml_source source = {text->text, text->length, name, memory, &problems};
	uint32_t errors = report->errors;
	struct yaml_error error = {0};
	void *loaded;
	int rc;

	rc = yaml_load(&source, &config_keys, &loaded, &loader.marks, &error);
	if (rc < 0) {
		diagnostics_add(report, true, name, error.mark, "%s", error.reason);
		return rc;
	}
	loader.config = loaded;
	if (memory)
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

int config_load(const struct config_text *text, const struct yaml_memory *memory,
		struct config **ret, struct diagnostics *report)
{
	return load(text, memory, false, ret, report);
}

int config_builtin(const struct yaml_memory *memory, struct config **ret,
		   struct diagnostics *report)
{
	const struct config_text text = builtin_text(NULL);

	return load(&text, memory, true, ret, report);
}

int config_read(const char *path, const struct yaml_memory *memory, struct config **ret,
		struct diagnostics *report)
{
	char *text;
	size_t len;
	int rc = yaml_read(path, &text, &len);

	if (rc < 0) {
		diagnostics_add(report, true, path, (struct yaml_mark){0, 0}, "%s", strerror(-rc));
		return rc;
	}
	rc = config_load(&(struct config_text){text, len, path, NULL}, memory, ret, report);
	free(text);
	return rc;
}

void config_keys_print(FILE *out)
{
	yaml_keys_print(&config_keys, "", out);
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

bool config_source_unlisted(const struct config *config, const struct address_range *range)
{
	return source_is_name(range->first) && !config_pool_of(config, range->first);
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
