/* SPDX-License-Identifier: MIT
 *
 * Who is who: pools and their sources, overrides, and which names belong to which destination.
 * Entries that overlap or can never match are found here. The table of names that workers read
 * (shm/destination.h) is built on the way, since building it is what finds two claims of one name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/destination.h"
#include "sidecar/config_schema.h"
#include "sidecar/destination_table.h"
#include "sidecar/suffix_list.h"

/* ---- pools and sources ----------------------------------------------------------------------- */

static int owners_sort(const struct config_checking *checking, struct config_owner *owners,
		       uint32_t count, const char *what)
{
	if (count == 0)
		return 0;
	qsort(owners, count, sizeof(*owners), config_owner_order);
	for (uint32_t i = 1; i < count; i++) {
		const struct config_owner *before = &owners[i - 1];

		if (memcmp(before->range.last, owners[i].range.first, 16) >= 0)
			config_error(checking, owners[i].mark,
				     "overlaps with the %s on line %u; a source belongs to one",
				     what, before->mark.line);
	}
	return 0;
}

static uint64_t range_size(const struct config_range *range)
{
	unsigned __int128 size = 0;

	for (int i = 0; i < 16; i++)
		size = size * 256 + range->last[i] - range->first[i];
	return size >= UINT32_MAX ? UINT32_MAX : (uint64_t)size + 1;
}

static int read_pool(const struct config_checking *checking, uint32_t index, uint64_t *sum)
{
	struct config *config = checking->config;
	struct config_pool *pool = &config->pools[index];
	const char *reason;

	if (config_pool_named(config, pool->name) != pool)
		config_error(checking, config_place(checking, "pools[%u].name", index),
			     "a pool of this name stands above");
	if (strlen(pool->name) > DESTINATION_NAME_MAX)
		config_error(checking, config_place(checking, "pools[%u].name", index),
			     "longer than %u bytes", DESTINATION_NAME_MAX);
	pool->ranges = config_allocate(config, pool->sources_count, sizeof(*pool->ranges));
	if (!pool->ranges)
		return -ENOMEM;
	for (uint32_t i = 0; i < pool->sources_count; i++) {
		struct yaml_mark mark = config_place(checking, "pools[%u].sources[%u]", index, i);

		if (config_range_read(pool->sources[i], &pool->ranges[i], &reason) < 0) {
			config_error(checking, mark, "'%.60s': %s", pool->sources[i], reason);
			continue;
		}
		*sum += range_size(&pool->ranges[i]);
		config->pool_owners[config->pool_owners_count++] =
			(struct config_owner){pool->ranges[i], index, mark};
	}
	return 0;
}

static int read_pools(const struct config_checking *checking)
{
	struct config *config = checking->config;
	uint32_t count = 0;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < config->pools_count; i++)
		count += config->pools[i].sources_count;
	config->pool_owners = config_allocate(config, count + 1, sizeof(*config->pool_owners));
	if (!config->pool_owners)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->pools_count; i++)
		if (read_pool(checking, i, &sum) < 0)
			return -ENOMEM;
	if (sum > CONFIG_POOL_SOURCES_MAX)
		config_error(checking, config_place(checking, "pools"),
			     "the pools hold more than %u sources together",
			     CONFIG_POOL_SOURCES_MAX);
	return owners_sort(checking, config->pool_owners, config->pool_owners_count, "source");
}

static int read_sources(const struct config_checking *checking)
{
	struct config *config = checking->config;
	const char *reason;

	config->source_owners =
		config_allocate(config, config->sources_count + 1, sizeof(*config->source_owners));
	if (!config->source_owners)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->sources_count; i++) {
		struct config_source *source = &config->sources[i];
		struct yaml_mark mark = config_place(checking, "sources[%u].address", i);

		if (config_range_read(source->address, &source->range, &reason) < 0)
			config_error(checking, mark, "'%.60s': %s", source->address, reason);
		config->source_owners[i] = (struct config_owner){source->range, i, mark};
	}
	return owners_sort(checking, config->source_owners, config->sources_count, "entry");
}

static void read_streams(const struct config_checking *checking)
{
	const struct config *config = checking->config;

	for (uint32_t i = 0; i < config->streams_count; i++)
		for (uint32_t j = 0; j < i; j++)
			if (strcmp(config->streams[i].name, config->streams[j].name) == 0)
				config_error(checking,
					     config_place(checking, "streams[%u].name", i),
					     "a stream of this name stands above");
}

/* ---- which destinations there are ------------------------------------------------------------ */

static int read_destinations(const struct config_checking *checking)
{
	struct config *config = checking->config;
	uint32_t most =
		config->destinations_count + (config->base ? config->base->effective_count : 0);

	config->effective = config_allocate(config, most + 1, sizeof(*config->effective));
	if (!config->effective)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->destinations_count; i++) {
		struct config_destination *destination = &config->destinations[i];
		char name[DESTINATION_NAME_MAX + 1];

		if (destination_normalise(destination->name, name) < 0)
			config_error(checking, config_place(checking, "destinations[%u].name", i),
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
		config_error(checking, config_place(checking, "destinations"),
			     "more than %u destinations", CONFIG_DESTINATIONS_MAX);
	return 0;
}

/* ---- what belongs to them -------------------------------------------------------------------- */

/* One claim while it is made. */
struct claim {
	const struct config_checking *checking;
	struct destination_table *table;
	const struct config_destination *by;
	int32_t index; /* of by */
	const char *list;
	uint32_t entry; /* in the list */
	const char *text;
};

static bool claim_is_ours(const struct claim *claim)
{
	return !claim->by->builtin || !claim->checking->config->base;
}

static struct yaml_mark claim_place(const struct claim *claim)
{
	if (!claim->list)
		return config_place(claim->checking, "destinations[%u].name", claim->by->place);
	return config_place(claim->checking, "destinations[%u].%s[%u]", claim->by->place,
			    claim->list, claim->entry);
}

static void claim_wrong(const struct claim *claim, const char *reason)
{
	config_error(claim->checking, claim_place(claim), "'%.60s': %s", claim->text, reason);
}

/* Takes what a destination_table function returned. Only -ENOMEM comes back. */
static int claim_done(const struct claim *claim, int rc, int32_t owner)
{
	const struct config *config = claim->checking->config;

	if (rc == -ENOMEM)
		return rc;
	if (rc == -EINVAL)
		claim_wrong(claim, "no name can look like that");
	if (rc != -EEXIST)
		return 0;
	if (claim_is_ours(claim))
		config_error(claim->checking, claim_place(claim), "'%.60s' belongs to %s already",
			     claim->text, config->effective[owner]->name);
	else
		config_warning(claim->checking,
			       config_place(claim->checking, "destinations[%u]",
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
			config_warning(claim->checking, claim_place(claim),
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
			claim->checking,
			config_place(claim->checking, "destinations[%u]", claim->by->place),
			"%.60s has neither domains nor mx nor addresses: no mail can belong to it",
			claim->by->name);
	return 0;
}

static int table_fill(const struct config_checking *checking, struct destination_table *table)
{
	const struct config *config = checking->config;
	struct claim claim = {.checking = checking, .table = table};
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

static int table_publish(const struct config_checking *checking, struct destination_table *table)
{
	struct config *config = checking->config;
	size_t length;
	void *block;
	int rc;

	/* Wrong pools may be too large to be listed; nobody will ask for them. */
	if (checking->report->errors == 0 && table_add_pools(config, table) < 0)
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

static int read_table(const struct config_checking *checking)
{
	const char *path = checking->list ? checking->list : suffix_list_path();
	struct destination_table *table;
	int rc;

	if (destination_table_new(&table) < 0)
		return -ENOMEM;
	rc = destination_table_list(table, path);
	if (rc < 0 && rc != -ENOMEM && !checking->config->is_builtin)
		config_warning(checking, (struct yaml_mark){0, 0},
			       "the Public Suffix List cannot be read at %.80s (%s): domains are "
			       "told apart "
			       "by their last labels; install the package publicsuffix",
			       path, strerror(-rc));
	if (rc != -ENOMEM)
		rc = table_fill(checking, table);
	if (rc == 0)
		rc = table_publish(checking, table);
	destination_table_free(table);
	return rc;
}

/* ---- overrides and the kernel's rules -------------------------------------------------------- */

/* What the matcher makes of the name of a destination in some section; what is wrong is said. */
static bool name_match(const struct config_checking *checking, const char *name,
		       struct yaml_mark mark, struct destination_match *ret)
{
	const struct config *config = checking->config;
	char normal[DESTINATION_NAME_MAX + 1];
	bool same;

	if (destination_match(config->table, config->table_length, name, ret) < 0) {
		config_error(checking, mark, "'%.60s': neither a destination nor a domain", name);
		return false;
	}
	if (ret->index == DESTINATION_NONE && ret->by == DESTINATION_DEFAULT && !ret->is_address) {
		config_error(checking, mark, "'%.60s': no such destination", name);
		return false;
	}
	if (ret->is_address)
		same = ret->index == DESTINATION_NONE;
	else
		same = destination_normalise(name, normal) > 0 && strcmp(normal, ret->name) == 0;
	if (!same)
		config_error(checking, mark, "'%.60s' belongs to the destination %.80s: write that",
			     name, ret->name);
	return same;
}

void config_check_destination(const struct config_checking *checking, const char *name,
			      struct yaml_mark mark)
{
	struct destination_match match;

	name_match(checking, name, mark, &match);
}

/* The canonical name, or NULL (said, or no memory). */
static char *canonical(const struct config_checking *checking, const char *name,
		       struct yaml_mark mark, int *ret_error)
{
	struct destination_match match;
	char *copy;

	if (!name_match(checking, name, mark, &match))
		return NULL;
	copy = config_allocate(checking->config, 1, match.length + 1);
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
	return config_range_has(&a->range, b->range.first) ||
	       config_range_has(&b->range, a->range.first);
}

static int read_override(const struct config_checking *checking, uint32_t index)
{
	struct config *config = checking->config;
	struct config_override *override = &config->overrides[index];
	struct yaml_mark mark = config_place(checking, "overrides[%u]", index);
	const char *reason;
	int error = 0;

	if (!override->pool == !override->source)
		config_error(checking, mark, "an override names either a pool or a source");
	if (override->pool) {
		override->of_pool = config_pool_named(config, override->pool);
		if (!override->of_pool)
			config_error(checking, config_place(checking, "overrides[%u].pool", index),
				     "'%.60s': no such pool", override->pool);
	} else if (override->source &&
		   config_range_read(override->source, &override->range, &reason) < 0) {
		config_error(checking, config_place(checking, "overrides[%u].source", index),
			     "'%.60s': %s", override->source, reason);
	}
	override->canonical =
		canonical(checking, override->destination,
			  config_place(checking, "overrides[%u].destination", index), &error);
	for (uint32_t i = 0; i < index && error == 0; i++)
		if (overrides_meet(override, &config->overrides[i]))
			config_error(checking, mark, "an override of the same on line %u",
				     config_place(checking, "overrides[%u]", i).line);
	return error;
}

static int read_gate_rule(const struct config_checking *checking, uint32_t index)
{
	struct config_ebpf *ebpf = &checking->config->ebpf;
	struct config_gate_rule *rule = &ebpf->rules[index];
	struct yaml_mark mark = config_place(checking, "ebpf.rules[%u]", index);
	bool known = !rule->cgroup;
	int error = 0;

	for (uint32_t i = 0; i < ebpf->cgroups_count && !known; i++)
		known = strcmp(ebpf->cgroups[i], rule->cgroup) == 0;
	if (!known)
		config_error(checking, mark, "'%.100s' is not one of the cgroups above",
			     rule->cgroup);
	if (!rule->cgroup && !rule->destination)
		config_error(checking, mark, "a rule names a destination, a cgroup, or both");
	if (!rule->mode.text && !rule->second.text && !rule->minute.text && !rule->hour.text &&
	    !rule->connections.text)
		config_error(checking, mark, "the rule does nothing: it has no mode and no limit");
	if (rule->destination)
		rule->canonical = canonical(checking, rule->destination, mark, &error);
	return error;
}

static int read_ebpf(const struct config_checking *checking)
{
	struct config *config = checking->config;
	struct config_ebpf *ebpf = &config->ebpf;
	static const uint16_t smtp[] = {25, 465, 587};
	uint32_t count = ebpf->ports_text_count;

	ebpf->ports = config_allocate(config, count + 3, sizeof(*ebpf->ports));
	if (!ebpf->ports)
		return -ENOMEM;
	if (count == 0 && !ebpf->ports_text) {
		memcpy(ebpf->ports, smtp, sizeof(smtp));
		ebpf->ports_count = 3;
	}
	for (uint32_t i = 0; i < count; i++) {
		static const struct config_key key = {"ports", CONFIG_NUMBER, 0,   NULL,
						      1,       65535,	      NULL};
		struct config_value value = {.text = NULL};
		char reason[160];

		if (config_value_read(&key, ebpf->ports_text[i], &value, reason, sizeof(reason)) <
		    0)
			config_error(checking, config_place(checking, "ebpf.ports[%u]", i),
				     "'%.40s': %s", ebpf->ports_text[i], reason);
		ebpf->ports[ebpf->ports_count++] = (uint16_t)value.value;
	}
	if (ebpf->cgroups_count > 16)
		config_error(checking, config_place(checking, "ebpf.cgroups"),
			     "more than 16 cgroups");
	for (uint32_t i = 0; i < ebpf->cgroups_count; i++)
		if (ebpf->cgroups[i][0] != '/')
			config_error(
				checking, config_place(checking, "ebpf.cgroups[%u]", i),
				"must be an absolute path, such as /sys/fs/cgroup/system.slice/x");
	for (uint32_t i = 0; i < ebpf->rules_count; i++)
		if (read_gate_rule(checking, i) < 0)
			return -ENOMEM;
	return 0;
}

int config_read_names(const struct config_checking *checking)
{
	if (read_pools(checking) < 0 || read_sources(checking) < 0 ||
	    read_destinations(checking) < 0 || read_table(checking) < 0)
		return -ENOMEM;
	read_streams(checking);
	for (uint32_t i = 0; i < checking->config->overrides_count; i++)
		if (read_override(checking, i) < 0)
			return -ENOMEM;
	return read_ebpf(checking);
}
