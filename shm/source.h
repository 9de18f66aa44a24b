/* SPDX-License-Identifier: MIT
 *
 * A source: the address that mail is sent from, or a name, for those who send through a provider's
 * API and have a pool or a subuser there instead of an address.
 *
 * Either is 16 bytes, so that keys, records and ranges know no difference. A name stands in what
 * IPv6 keeps for multicast (ff00::/8), from which nobody can send: 0xff, then its characters as a
 * number of 22 digits to the base of 39, first character first; digit 0 is behind the end. The
 * bytes of names sort as the names do, each name has one form, and what is none is shown as an
 * address.
 *
 * A name is 1 to 22 letters, digits, hyphens and underscores, and begins with a letter; case does
 * not matter. So a mistyped address or a host's name is none.
 */
#ifndef SHM_SOURCE_H
#define SHM_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOURCE_NAME_MAX	 22
#define SOURCE_NAME_MARK 0xff

/* An address in text (as address_from_text reads it), or a name. 0, or -EINVAL: neither, or an
 * address that nobody sends from (multicast). */
int source_read(const char *text, uint8_t ret[16]);

/* Are these bytes a name? */
static inline bool source_is_name(const uint8_t source[16])
{
	return source[0] == SOURCE_NAME_MARK;
}

/* The name that the bytes are; false: they are none, and ret is untouched. */
bool source_name(const uint8_t source[16], char ret[SOURCE_NAME_MAX + 1]);

#endif
