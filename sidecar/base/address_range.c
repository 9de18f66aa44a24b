/* SPDX-License-Identifier: MIT
 *
 * See address_range.h.
 */
#include "sidecar/base/address_range.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shm/address.h"
#include "shm/destination.h"
#include "shm/source.h"
#include "sidecar/base/units.h"

static int refuse(const char **ret_reason, const char *reason)
{
	*ret_reason = reason;
	return -EINVAL;
}

static bool is_ipv4(const uint8_t address[16])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return memcmp(address, mapped, sizeof(mapped)) == 0;
}

/* Reads the address in text[0..length). */
static int address_read(const char *text, size_t length, uint8_t ret[16])
{
	char bare[64];

	if (length == 0 || length >= sizeof(bare))
		return -EINVAL;
	memcpy(bare, text, length);
	bare[length] = '\0';
	return address_from_text(bare, ret);
}

int address_prefix_read(const char *text, uint8_t ret_address[16], unsigned *ret_bits,
			const char **ret_reason)
{
	size_t length = strcspn(text, "/");
	uint8_t address[16];
	uint64_t bits = 128;
	unsigned offset;

	if (address_read(text, length, address) < 0)
		return refuse(ret_reason,
			      "not an address, such as 192.0.2.1, 192.0.2.0/28 or 2001:db8::1");
	/* The prefix of an address written as IPv4 counts from its first bit. */
	offset = is_ipv4(address) && !memchr(text, ':', length) ? 96 : 0;
	if (text[length] == '/') {
		if (units_count(text + length + 1, &bits, NULL) < 0 || bits > 128 - offset)
			return refuse(ret_reason, "the prefix length is out of range");
		bits += offset;
	}
	for (unsigned bit = (unsigned)bits; bit < 128; bit++)
		if (address[bit / 8] & 0x80 >> bit % 8)
			return refuse(ret_reason,
				      "the address has bits set beyond the prefix length");
	memcpy(ret_address, address, 16);
	*ret_bits = (unsigned)bits;
	return 0;
}

int address_range_read(const char *text, struct address_range *ret, const char **ret_reason)
{
	const char *dash = strchr(text, '-');
	struct address_range range;
	unsigned bits;

	/* A source's name may have a hyphen; no address begins as one does and is none. */
	if (source_read(text, range.first) == 0 && source_is_name(range.first)) {
		memcpy(range.last, range.first, sizeof(range.last));
		*ret = range;
		return 0;
	}
	if (dash) {
		const char *second = dash + 1 + strspn(dash + 1, " ");
		size_t length = (size_t)(dash - text);

		while (length > 0 && text[length - 1] == ' ')
			length--;
		if (address_read(text, length, range.first) < 0 ||
		    address_read(second, strlen(second), range.last) < 0)
			return refuse(ret_reason, "not a range, such as 192.0.2.1-192.0.2.9");
		if (is_ipv4(range.first) != is_ipv4(range.last) ||
		    memcmp(range.first, range.last, 16) > 0)
			return refuse(ret_reason, "the range ends before it begins");
		if (range.last[0] == SOURCE_NAME_MARK)
			return refuse(ret_reason, "addresses that nobody sends from");
		*ret = range;
		return 0;
	}
	if (address_prefix_read(text, range.first, &bits, ret_reason) < 0)
		return -EINVAL;
	if (range.first[0] == SOURCE_NAME_MARK)
		return refuse(ret_reason, "addresses that nobody sends from");
	memcpy(range.last, range.first, 16);
	for (unsigned bit = bits; bit < 128; bit++)
		range.last[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	*ret = range;
	return 0;
}

bool address_range_has(const struct address_range *range, const uint8_t address[16])
{
	return memcmp(range->first, address, 16) <= 0 && memcmp(address, range->last, 16) <= 0;
}
