/* SPDX-License-Identifier: MIT
 *
 * Which destinations there are, and which names belong to them. Entries that two claim or that can
 * never match are found here. The table of names that workers read (shm/destination.h) is built on
 * the way, since building it is what finds two claims of one name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/address.h"
#include "shm/destination.h"
#include "sidecar/config/config.h"
#include "sidecar/config/destination_table.h"
#include "sidecar/config/public_suffix.h"
#include "sidecar/config/schema.h"

/* ---- which destinations there are ------------------------------------------------------------ */

static int read_destinations(const struct config_loader *loader)
{
	struct config *config = loader->config;
	uint32_t max =
		config->destinations_count + (config->base ? config->base->effective_count : 0);

	config->effective = config_allocate(config, max + 1, sizeof(*config->effective));
	if (!config->effective)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->destinations_count; i++) {
		struct config_destination *destination = &config->destinations[i];
		char name[DESTINATION_NAME_MAX + 1];

		if (destination_normalise(destination->name, name) < 0)
			config_error(loader, config_mark(loader, "destinations[%u].name", i),
				     "a name is made of letters, digits, - _ and . up to %u bytes",
				     DESTINATION_NAME_MAX);
		else
			strcpy(destination->name, name); /* never longer */
		destination->place = i;
		destination->builtin = config->is_builtin;
		if (config->base)
			destination->base =
				config_destination_named(config->base, destination->name);
		config->effective[config->effective_count++] = destination;
	}
	for (uint32_t i = 0; config->base && i < config->base->effective_count; i++) {
		const struct config_destination *theirs = config->base->effective[i];
		bool named = false;

		for (uint32_t j = 0; j < config->destinations_count; j++)
			named = named || config->destinations[j].base == theirs;
		if (!named)
			config->effective[config->effective_count++] = theirs;
	}
	if (config->effective_count > CONFIG_DESTINATIONS_MAX)
		config_error(loader, config_mark(loader, "destinations"),
			     "more than %u destinations", CONFIG_DESTINATIONS_MAX);
	return 0;
}

/* ---- what belongs to them -------------------------------------------------------------------- */

/* One claim while it is made. */
struct name_binding {
	const struct config_loader *loader;
	struct destination_table *table;
	const struct config_destination *by;
	int32_t index; /* of by */
	const char *list;
	uint32_t entry; /* in the list */
	const char *text;
};

static bool binding_is_ours(const struct name_binding *binding)
{
	return !binding->by->builtin || !binding->loader->config->base;
}

static struct yaml_mark binding_mark(const struct name_binding *binding)
{
	if (!binding->list)
		return config_mark(binding->loader, "destinations[%u].name", binding->by->place);
	return config_mark(binding->loader, "destinations[%u].%s[%u]", binding->by->place,
			   binding->list, binding->entry);
}

static void binding_error(const struct name_binding *binding, const char *reason)
{
	config_error(binding->loader, binding_mark(binding), "'%.60s': %s", binding->text, reason);
}

/* Takes what a destination_table function returned. Only -ENOMEM comes back. */
static int binding_done(const struct name_binding *binding, int rc, int32_t owner)
{
	const struct config *config = binding->loader->config;

	if (rc == -ENOMEM)
		return rc;
	if (rc == -EINVAL)
		binding_error(binding, "no name can look like that");
	if (rc != -EEXIST)
		return 0;
	if (binding_is_ours(binding))
		config_error(binding->loader, binding_mark(binding),
			     "'%.60s' belongs to %s already", binding->text,
			     config->effective[owner]->name);
	else
		config_warning(binding->loader,
			       config_mark(binding->loader, "destinations[%u]",
					   config->effective[owner]->place),
			       "'%.60s' is taken from the built-in destination %s", binding->text,
			       binding->by->name);
	return 0;
}

static int bind_domain(const struct name_binding *binding)
{
	const char *text = binding->text;
	size_t length = strlen(text);
	uint8_t address[16];
	char label[DESTINATION_NAME_MAX + 1];
	int32_t owner;
	int rc;

	if (text[0] == '.')
		return binding_error(binding, "a domain is a whole name; suffixes stand under mx"),
		       0;
	if (address_from_text(text, address) == 0)
		return binding_error(binding, "an address; those stand under addresses"), 0;
	if (length > 2 && length < sizeof(label) && strcmp(text + length - 2, ".*") == 0) {
		memcpy(label, text, length - 2);
		label[length - 2] = '\0';
		rc = destination_table_under(binding->table, label, binding->index, &owner);
		return binding_done(binding, rc, owner);
	}
	if (strchr(text, '*'))
		return binding_error(binding, "a star may stand only at the end, as in hotmail.*"),
		       0;
	rc = destination_table_exact(binding->table, text, binding->index, &owner);
	return binding_done(binding, rc, owner);
}

static int bind_suffix(const struct name_binding *binding)
{
	const char *text = binding->text;
	uint8_t address[16];
	int32_t owner;
	int rc;

	if (strchr(text, '*'))
		return binding_error(binding,
				     "a suffix has no star; hotmail.* stands under domains"),
		       0;
	if (address_from_text(text, address) == 0)
		return binding_error(binding, "an address; those stand under addresses"), 0;
	if (text[0] == '.' && strlen(text) + 1 > DESTINATION_NAME_MAX)
		return binding_error(binding, "can match nothing: no name is longer"), 0;
	if (destination_table_public(binding->table, text + (text[0] == '.')))
		return binding_error(binding,
				     "a public suffix: it would match what others registered"),
		       0;
	rc = destination_table_suffix(binding->table, text, binding->index, &owner);
	return binding_done(binding, rc, owner);
}

static int bind_address(const struct name_binding *binding)
{
	uint8_t address[16];
	const char *reason;
	unsigned bits;
	int32_t owner;
	int rc;

	if (address_prefix_read(binding->text, address, &bits, &reason) < 0)
		return binding_error(binding, reason), 0;
	rc = destination_table_range(binding->table, address, bits, binding->index, &owner);
	return binding_done(binding, rc, owner);
}

/* Whether a name ends in a suffix, on a label boundary. */
static bool ends_in(const char *name, const char *suffix)
{
	size_t dot = suffix[0] == '.';
	size_t length = strlen(name);
	size_t tail = strlen(suffix) - dot;

	if (length < tail || strcasecmp(name + length - tail, suffix + dot) != 0)
		return false;
	return length == tail ? dot == 0 : name[length - tail - 1] == '.';
}

/* An entry that another one of the same destination covers does nothing. */
static void warn_covered(const struct name_binding *binding, const char *name)
{
	uint32_t count;
	char *const *mx = config_mx(binding->by, &count);

	if (!binding_is_ours(binding))
		return;
	for (uint32_t i = 0; i < count; i++)
		if (mx[i] != binding->text && ends_in(name, mx[i]))
			config_warning(binding->loader, binding_mark(binding),
				       "'%.60s' does nothing: '%.60s' under mx matches it, too",
				       binding->text, mx[i]);
}

static int bind_lists(struct name_binding *binding)
{
	static const char *const names[] = {"domains", "mx", "addresses"};
	static int (*const claims[])(const struct name_binding *) = {bind_domain, bind_suffix,
								     bind_address};
	char *const *lists[3];
	uint32_t counts[3];

	lists[0] = config_domains(binding->by, &counts[0]);
	lists[1] = config_mx(binding->by, &counts[1]);
	lists[2] = config_addresses(binding->by, &counts[2]);
	for (int l = 0; l < 3; l++) {
		binding->list = names[l];
		for (uint32_t i = 0; i < counts[l]; i++) {
			binding->entry = i;
			binding->text = lists[l][i];
			if (claims[l](binding) < 0)
				return -ENOMEM;
			if (l < 2)
				warn_covered(binding, lists[l][i] + (lists[l][i][0] == '.'));
		}
	}
	if (counts[0] + counts[1] + counts[2] == 0 && !strchr(binding->by->name, '.'))
		config_error(
			binding->loader,
			config_mark(binding->loader, "destinations[%u]", binding->by->place),
			"%.60s has neither domains nor mx nor addresses: no mail can belong to it",
			binding->by->name);
	return 0;
}

static int table_fill(const struct config_loader *loader, struct destination_table *table)
{
	const struct config *config = loader->config;
	struct name_binding binding = {.loader = loader, .table = table};
	int32_t owner;
	int rc;

	for (uint32_t i = 0; i < config->effective_count; i++) {
		binding.by = config->effective[i];
		binding.text = binding.by->name;
		binding.index = destination_table_add(table, binding.text);
		if (binding.index == -EINVAL) /* said before */
			binding.index = destination_table_add(table, "invalid");
		if (binding.index < 0)
			return binding.index;
		rc = destination_table_exact(table, binding.text, binding.index, &owner);
		if (rc != -EINVAL && binding_done(&binding, rc, owner) < 0)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < config->effective_count; i++) {
		binding.by = config->effective[i];
		binding.index = (int32_t)i;
		if (bind_lists(&binding) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int table_add_pools(const struct config *config, struct destination_table *table)
{
	for (uint32_t i = 0; i < config->pools_count; i++) {
		const struct config_pool *pool = &config->pools[i];

		if (destination_table_pool(table, pool->name) < 0)
			return -ENOMEM;
		for (uint32_t j = 0; j < pool->sources_count; j++) {
			uint8_t at[16];

			memcpy(at, pool->ranges[j].first, 16);
			while (address_range_has(&pool->ranges[j], at)) {
				if (destination_table_source(table, at) < 0)
					return -ENOMEM;
				for (int b = 15; b >= 0 && ++at[b] == 0; b--)
					;
				if (memcmp(at, (uint8_t[16]){0}, 16) == 0)
					break;
			}
		}
	}
	return 0;
}

static int table_publish(const struct config_loader *loader, struct destination_table *table)
{
	struct config *config = loader->config;
	size_t length;
	void *block;
	int rc;

	/* Wrong pools may be too large to be listed; nobody will ask for them. */
	if (loader->report->errors == 0 && table_add_pools(config, table) < 0)
		return -ENOMEM;
	rc = destination_table_build(table, &block, &length);
	if (rc < 0)
		return rc;
	config->table = config_allocate(config, 1, length);
	if (config->table) {
		memcpy(config->table, block, length);
		config->table_length = length;
	}
	free(block);
	return config->table ? 0 : -ENOMEM;
}

static int read_table(const struct config_loader *loader)
{
	const char *path = loader->list ? loader->list : public_suffix_path();
	struct destination_table *table;
	int rc;

	if (destination_table_new(&table) < 0)
		return -ENOMEM;
	rc = destination_table_list(table, path);
	if (rc < 0 && rc != -ENOMEM && !loader->config->is_builtin)
		config_warning(loader, (struct yaml_mark){0, 0},
			       "the Public Suffix List cannot be read at %.80s (%s): domains are "
			       "told apart "
			       "by their last labels; install the package publicsuffix",
			       path, strerror(-rc));
	if (rc != -ENOMEM)
		rc = table_fill(loader, table);
	if (rc == 0)
		rc = table_publish(loader, table);
	destination_table_free(table);
	return rc;
}

/* What the matcher makes of the name of a destination in some section; what is wrong is said. */
bool config_match(const struct config_loader *loader, const char *name, struct yaml_mark mark,
		  struct destination_match *ret)
{
	const struct config *config = loader->config;
	char normal[DESTINATION_NAME_MAX + 1];
	bool same;

	if (destination_match(config->table, config->table_length, name, ret) < 0) {
		config_error(loader, mark, "'%.60s': neither a destination nor a domain", name);
		return false;
	}
	if (ret->index == DESTINATION_NONE && ret->by == DESTINATION_DEFAULT && !ret->is_address) {
		config_error(loader, mark, "'%.60s': no such destination", name);
		return false;
	}
	if (ret->is_address)
		same = ret->index == DESTINATION_NONE;
	else
		same = destination_normalise(name, normal) > 0 && strcmp(normal, ret->name) == 0;
	if (!same)
		config_error(loader, mark, "'%.60s' belongs to the destination %.80s: write that",
			     name, ret->name);
	return same;
}

int config_read_names(const struct config_loader *loader)
{
	int rc = read_destinations(loader);

	return rc < 0 ? rc : read_table(loader);
}
