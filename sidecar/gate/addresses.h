/* SPDX-License-Identifier: MIT
 *
 * The gate's destinations: numbers for names, and the addresses that belong to them.
 *
 * A name keeps its number for as long as the sidecar lives. Addresses come from the configuration,
 * from DNS (with the time that they hold), and stand in the kernel's prefix table.
 */
#ifndef SIDECAR_GATE_ADDRESSES_H
#define SIDECAR_GATE_ADDRESSES_H

#include <stdint.h>

#include "ebpf/gate.h"
#include "sidecar/config/config.h"

#define EBPF_NAMES_MAX 4095

enum ebpf_origin { EBPF_CONFIGURED, EBPF_RESOLVED, EBPF_LEARNED };

struct ebpf_address {
	uint8_t address[16];
	uint32_t bits;
	uint32_t id;
	uint32_t origin;   /* enum ebpf_origin */
	uint64_t until_ns; /* of a resolved one */
};

struct gate_addresses {
	struct gate *gate;
	char **names; /* of id i + 1 */
	uint32_t count;
	struct ebpf_address *addresses;
	uint32_t address_count, address_room;
	uint64_t full; /* addresses that found no room */
};

/* The number of a name, 0 where there is no room for another. */
uint32_t gate_addresses_id(struct gate_addresses *names, const char *name);

/* NULL: no such number. */
const char *gate_addresses_text(const struct gate_addresses *names, uint32_t id);

/* The configured addresses, in place of those of an earlier configuration. */
void gate_addresses_configure(struct gate_addresses *names, const struct config *config);

/* An address of a destination, until_ns UINT64_MAX: for good. What the configuration says of an
 * address wins. -ENOSPC, -ENOMEM. */
int gate_addresses_add(struct gate_addresses *names, const uint8_t address[16], uint32_t bits,
		       uint32_t id, enum ebpf_origin origin, uint64_t until_ns);

/* Forgets what no longer holds. */
void gate_addresses_expire(struct gate_addresses *names, uint64_t now_ns);

void gate_addresses_free(struct gate_addresses *names);

#endif
