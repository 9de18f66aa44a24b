/* SPDX-License-Identifier: MIT
 *
 * Numbers for names, addresses for numbers. See the header.
 */
#include "sidecar/gate/addresses.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/address.h"
#include "shm/destination.h"
#include "sidecar/base/log.h"

uint32_t gate_addresses_id(struct gate_addresses *names, const char *name)
{
	char **more;

	for (uint32_t i = 0; i < names->count; i++)
		if (strcmp(names->names[i], name) == 0)
			return i + 1;
	if (names->count == EBPF_NAMES_MAX)
		return 0;
	more = realloc(names->names, (names->count + 1) * sizeof(*more));
	if (more == NULL)
		return 0;
	names->names = more;
	more[names->count] = strdup(name);
	return more[names->count] ? ++names->count : 0;
}

const char *gate_addresses_text(const struct gate_addresses *names, uint32_t id)
{
	return id && id <= names->count ? names->names[id - 1] : NULL;
}

static struct ebpf_address *address_of(const struct gate_addresses *names,
				       const uint8_t address[16], uint32_t bits)
{
	for (uint32_t i = 0; i < names->address_count; i++) {
		struct ebpf_address *at = &names->addresses[i];

		if (at->bits == bits && memcmp(at->address, address, 16) == 0)
			return at;
	}
	return NULL;
}

static struct ebpf_address *address_new(struct gate_addresses *names)
{
	struct ebpf_address *more;

	if (names->address_count == names->address_room) {
		uint32_t room = names->address_room ? names->address_room * 2 : 64;

		more = realloc(names->addresses, room * sizeof(*more));
		if (more == NULL)
			return NULL;
		names->addresses = more;
		names->address_room = room;
	}
	return &names->addresses[names->address_count++];
}

int gate_addresses_add(struct gate_addresses *names, const uint8_t address[16], uint32_t bits,
		       uint32_t id, enum ebpf_origin origin, uint64_t until_ns)
{
	struct ebpf_address *at = address_of(names, address, bits);
	int error;

	if (at && at->origin == EBPF_CONFIGURED && origin != EBPF_CONFIGURED && at->until_ns)
		return 0;
	if (at == NULL || at->id != id) {
		error = gate_destination_add(names->gate, address, bits, id);
		if (error) {
			names->full += error == -ENOSPC;
			return error;
		}
	}
	if (at == NULL && (at = address_new(names)) == NULL)
		return -ENOMEM;
	memcpy(at->address, address, 16);
	at->bits = bits;
	at->id = id;
	at->origin = origin;
	at->until_ns = until_ns;
	return 0;
}

void gate_addresses_expire(struct gate_addresses *names, uint64_t now_ns)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < names->address_count; i++) {
		struct ebpf_address *at = &names->addresses[i];

		if (at->until_ns > now_ns)
			names->addresses[kept++] = *at;
		else
			gate_destination_remove(names->gate, at->address, at->bits);
	}
	names->address_count = kept;
}

/* "192.0.2.0/24", "2001:db8::1" */
static int prefix_read(const char *text, uint8_t address[16], uint32_t *ret_bits)
{
	char copy[64];
	char *slash;
	int error;

	snprintf(copy, sizeof(copy), "%s", text);
	slash = strchr(copy, '/');
	if (slash)
		*slash = '\0';
	error = address_from_text(copy, address);
	if (error)
		return error;
	*ret_bits = 128;
	if (slash)
		*ret_bits = (uint32_t)atoi(slash + 1) + (strchr(copy, ':') ? 0 : 96);
	return *ret_bits <= 128 ? 0 : -EINVAL;
}

static void destination_configure(struct gate_addresses *names,
				  const struct config_destination *destination)
{
	uint32_t id, bits, count;
	char *const *addresses;
	uint8_t address[16];

	id = gate_addresses_id(names, destination->name);
	addresses = config_addresses(destination, &count);
	for (uint32_t i = 0; id && i < count; i++)
		if (prefix_read(addresses[i], address, &bits) == 0 &&
		    gate_addresses_add(names, address, bits, id, EBPF_CONFIGURED, UINT64_MAX) != 0)
			log_warning("gate", "%s: no room for %s", destination->name, addresses[i]);
}

void gate_addresses_configure(struct gate_addresses *names, const struct config *config)
{
	/* Those that the new configuration does not name again are forgotten at the end. */
	for (uint32_t i = 0; i < names->address_count; i++)
		if (names->addresses[i].origin == EBPF_CONFIGURED)
			names->addresses[i].until_ns = 0;
	for (uint32_t i = 0; i < config->effective_count; i++)
		destination_configure(names, config->effective[i]);
	gate_addresses_expire(names, 0);
}

void gate_addresses_free(struct gate_addresses *names)
{
	for (uint32_t i = 0; i < names->count; i++)
		free(names->names[i]);
	free(names->names);
	free(names->addresses);
	memset(names, 0, sizeof(*names));
}
