/* SPDX-License-Identifier: MIT
 *
 * See address.h.
 */
#include "shm/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool address_is_v4(const uint8_t address[16])
{
	return memcmp(address, mapped, sizeof(mapped)) == 0;
}

int address_from_text(const char *text, uint8_t ret[16])
{
	char bare[INET6_ADDRSTRLEN];
	uint8_t address[16];
	size_t length = strnlen(text, INET6_ADDRSTRLEN + 8);

	if (length > 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
		if (length > 5 && strncasecmp(text, "IPv6:", 5) == 0) {
			text += 5;
			length -= 5;
		}
	}
	if (length == 0 || length >= sizeof(bare))
		return -EINVAL;
	memcpy(bare, text, length);
	bare[length] = '\0';
	if (strchr(bare, ':')) {
		if (inet_pton(AF_INET6, bare, address) != 1)
			return -EINVAL;
	} else {
		/* The common case is a name: do not parse what cannot be an address. */
		if (bare[0] < '0' || bare[0] > '9' || inet_pton(AF_INET, bare, address + 12) != 1)
			return -EINVAL;
		memcpy(address, mapped, sizeof(mapped));
	}
	memcpy(ret, address, 16);
	return 0;
}
