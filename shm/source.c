/* SPDX-License-Identifier: MIT
 *
 * See source.h.
 */
#include "shm/source.h"

#include <errno.h>
#include <string.h>

#include "shm/address.h"

static const char digits[] = "\0_-0123456789abcdefghijklmnopqrstuvwxyz";

#define BASE 39
_Static_assert(sizeof(digits) == BASE + 1, "a digit for each character, and the end");

static int digit_of(char c)
{
	const char *at;

	if (c >= 'A' && c <= 'Z')
		c = (char)(c - 'A' + 'a');
	at = c ? memchr(digits + 1, c, BASE - 1) : NULL;
	return at ? (int)(at - digits) : -1;
}

static bool letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int name_read(const char *text, uint8_t ret[16])
{
	size_t length = strnlen(text, SOURCE_NAME_MAX + 1);
	unsigned __int128 number = 0;

	if (length > SOURCE_NAME_MAX || !letter(text[0]))
		return -EINVAL;
	for (size_t i = 0; i < SOURCE_NAME_MAX; i++) {
		int digit = i < length ? digit_of(text[i]) : 0;

		if (digit < 0)
			return -EINVAL;
		number = number * BASE + (unsigned)digit;
	}
	for (int i = 15; i > 0; i--, number >>= 8)
		ret[i] = (uint8_t)number;
	ret[0] = SOURCE_NAME_MARK;
	return 0;
}

int source_read(const char *text, uint8_t ret[16])
{
	uint8_t address[16];

	if (address_from_text(text, address) != 0)
		return name_read(text, ret);
	if (address[0] == SOURCE_NAME_MARK)
		return -EINVAL;
	memcpy(ret, address, sizeof(address));
	return 0;
}

bool source_name(const uint8_t source[16], char ret[SOURCE_NAME_MAX + 1])
{
	char name[SOURCE_NAME_MAX + 1] = "";
	uint8_t again[16];
	unsigned __int128 number = 0;

	if (!source_is_name(source))
		return false;
	for (int i = 1; i < 16; i++)
		number = number << 8 | source[i];
	for (int i = SOURCE_NAME_MAX - 1; i >= 0; i--, number /= BASE)
		name[i] = digits[number % BASE];
	/* Whatever a worker wrote: only what reads as the same bytes is a name. */
	if (name_read(name, again) != 0 || memcmp(again, source, sizeof(again)) != 0)
		return false;
	memcpy(ret, name, sizeof(name));
	return true;
}
