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

#include "shm/destination.h"
#include "sidecar/config/destination_table.h"
#include "sidecar/config/public_suffix.h"
#include "sidecar/config/schema.h"

/* ---- which destinations there are ------------------------------------------------------------ */

static int read_destinations(const struct config_loader *loader)
{
	struct config *config = loader->config;
	uint32_t most =
		config->destinations_count + (config->base ? config->base->effective_count : 0);

	config->effective = config_allocate(config, most + 1, sizeof(*config->effective));
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
struct claim {
	const struct config_loader *loader;
	struct destination_table *table;
	const struct config_destination *by;
	int32_t index; /* of by */
	const char *list;
	uint32_t entry; /* in the list */
	const char *text;
};

static bool claim_is_ours(const struct claim *claim)
{
	return !claim->by->builtin || !claim->loader->config->base;
}

static struct yaml_mark claim_place(const struct claim *claim)
{
	if (!claim->list)
		return config_mark(claim->loader, "destinations[%u].name", claim->by->place);
	return config_mark(claim->loader, "destinations[%u].%s[%u]", claim->by->place, claim->list,
			   claim->entry);
}

static void claim_wrong(const struct claim *claim, const char *reason)
{
	config_error(claim->loader, claim_place(claim), "'%.60s': %s", claim->text, reason);
}

/* Takes what a destination_table function returned. Only -ENOMEM comes back. */
static int claim_done(const struct claim *claim, int rc, int32_t owner)
{
	const struct config *config = claim->loader->config;

	if (rc == -ENOMEM)
		return rc;
	if (rc == -EINVAL)
		claim_wrong(claim, "no name can look like that");
	if (rc != -EEXIST)
		return 0;
	if (claim_is_ours(claim))
		config_error(claim->loader, claim_place(claim), "'%.60s' belongs to %s already",
			     claim->text, config->effective[owner]->name);
	else
		config_warning(claim->loader,
			       config_mark(claim->loader, "destinations[%u]",
					   config->effective[owner]->place),
			       "'%.60s' is taken from the built-in destination %s", claim->text,
			       claim->by->name);
	return 0;
}

static int claim_domain(const struct claim *claim)
{
	const char *text = claim->text;
	size_t length = strlen(text);
	uint8_t address[16];
	char label[DESTINATION_NAME_MAX + 1];
	int32_t owner;
	int rc;

	if (text[0] == '.')
		return claim_wrong(claim, "a domain is a whole name; suffixes stand under mx"), 0;
	if (destination_address(text, address) == 0)
		return claim_wrong(claim, "an address; those stand under addresses"), 0;
	if (length > 2 && length < sizeof(label) && strcmp(text + length - 2, ".*") == 0) {
		memcpy(label, text, length - 2);
		label[length - 2] = '\0';
		rc = destination_table_under(claim->table, label, claim->index, &owner);
		return claim_done(claim, rc, owner);
	}
	if (strchr(text, '*'))
		return claim_wrong(claim, "a star may stand only at the end, as in hotmail.*"), 0;
	rc = destination_table_exact(claim->table, text, claim->index, &owner);
	return claim_done(claim, rc, owner);
}

static int claim_suffix(const struct claim *claim)
{
	const char *text = claim->text;
	uint8_t address[16];
	int32_t owner;
	int rc;

	if (strchr(text, '*'))
		return claim_wrong(claim, "a suffix has no star; hotmail.* stands under domains"),
		       0;
	if (destination_address(text, address) == 0)
		return claim_wrong(claim, "an address; those stand under addresses"), 0;
	if (text[0] == '.' && strlen(text) + 1 > DESTINATION_NAME_MAX)
		return claim_wrong(claim, "can match nothing: no name is longer"), 0;
	if (destination_table_public(claim->table, text + (text[0] == '.')))
		return claim_wrong(claim, "a public suffix: it would match what others registered"),
		       0;
	rc = destination_table_suffix(claim->table, text, claim->index, &owner);
	return claim_done(claim, rc, owner);
}

static int claim_address(const struct claim *claim)
{
	uint8_t address[16];
	const char *reason;
	unsigned bits;
	int32_t owner;
	int rc;

	if (config_prefix_read(claim->text, address, &bits, &reason) < 0)
		return claim_wrong(claim, reason), 0;
	rc = destination_table_range(claim->table, address, bits, claim->index, &owner);
	return claim_done(claim, rc, owner);
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
static void warn_covered(const struct claim *claim, const char *name)
{
	uint32_t count;
	char *const *mx = config_mx(claim->by, &count);

	if (!claim_is_ours(claim))
		return;
	for (uint32_t i = 0; i < count; i++)
		if (mx[i] != claim->text && ends_in(name, mx[i]))
			config_warning(claim->loader, claim_place(claim),
				       "'%.60s' does nothing: '%.60s' under mx matches it, too",
				       claim->text, mx[i]);
}

static int claim_lists(struct claim *claim)
{
	static const char *const names[] = {"domains", "mx", "addresses"};
	static int (*const claims[])(const struct claim *) = {claim_domain, claim_suffix,
							      claim_address};
	char *const *lists[3];
	uint32_t counts[3];

	lists[0] = config_domains(claim->by, &counts[0]);
	lists[1] = config_mx(claim->by, &counts[1]);
	lists[2] = config_addresses(claim->by, &counts[2]);
	for (int l = 0; l < 3; l++) {
		claim->list = names[l];
		for (uint32_t i = 0; i < counts[l]; i++) {
			claim->entry = i;
			claim->text = lists[l][i];
			if (claims[l](claim) < 0)
				return -ENOMEM;
			if (l < 2)
				warn_covered(claim, lists[l][i] + (lists[l][i][0] == '.'));
		}
	}
	if (counts[0] + counts[1] + counts[2] == 0 && !strchr(claim->by->name, '.'))
		config_error(
			claim->loader,
			config_mark(claim->loader, "destinations[%u]", claim->by->place),
			"%.60s has neither domains nor mx nor addresses: no mail can belong to it",
			claim->by->name);
	return 0;
}

static int table_fill(const struct config_loader *loader, struct destination_table *table)
{
	const struct config *config = loader->config;
	struct claim claim = {.loader = loader, .table = table};
	int32_t owner;
	int rc;

	for (uint32_t i = 0; i < config->effective_count; i++) {
		claim.by = config->effective[i];
		claim.text = claim.by->name;
		claim.index = destination_table_add(table, claim.text);
		if (claim.index == -EINVAL) /* said before */
			claim.index = destination_table_add(table, "invalid");
		if (claim.index < 0)
			return claim.index;
		rc = destination_table_exact(table, claim.text, claim.index, &owner);
		if (rc != -EINVAL && claim_done(&claim, rc, owner) < 0)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < config->effective_count; i++) {
		claim.by = config->effective[i];
		claim.index = (int32_t)i;
		if (claim_lists(&claim) < 0)
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
			while (config_range_has(&pool->ranges[j], at)) {
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
	const char *path = loader->list ? loader->list : suffix_list_path();
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
