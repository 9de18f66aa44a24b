/* SPDX-License-Identifier: MIT
 *
 * Ranges of addresses as they are written: a single one, a prefix, from one to another, or the name
 * of a source.
 */
#ifndef SIDECAR_BASE_ADDRESS_RANGE_H
#define SIDECAR_BASE_ADDRESS_RANGE_H

#include <stdbool.h>
#include <stdint.h>

/* Addresses from first to last, both included; 16 bytes in network order, IPv4 mapped. */
struct address_range {
	uint8_t first[16];
	uint8_t last[16];
};

/* Whether an address lies in a range. */
bool address_range_has(const struct address_range *range, const uint8_t address[16]);
/* Reads a prefix: "192.0.2.0/28" or a single address; bits counts of 128. 0, or -EINVAL with the
 * reason. */
int address_prefix_read(const char *text, uint8_t ret_address[16], unsigned *ret_bits,
			const char **ret_reason);
/* Reads "192.0.2.1", "192.0.2.0/28", "192.0.2.1-192.0.2.9", or a source's name (shm/source.h). 0,
 * or -EINVAL with the reason. */
int address_range_read(const char *text, struct address_range *ret, const char **ret_reason);

#endif
