/* SPDX-License-Identifier: MIT
 *
 * IP addresses as 16 bytes in network order, IPv4 mapped into IPv6.
 */
#ifndef SHM_ADDRESS_H
#define SHM_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

/* An address in text, with or without brackets, to 16 bytes (IPv4 mapped). 0 or -EINVAL. */
int address_from_text(const char *text, uint8_t ret[16]);

/* Is it IPv4? The last four bytes then are the address. */
bool address_is_v4(const uint8_t address[16]);

#endif
