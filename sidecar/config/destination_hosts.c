/* SPDX-License-Identifier: MIT
 *
 * See destination_hosts.h. An entry names up to three kinds of hosts (itself, those below it, those
 * of "name.*"); a range of addresses is known by its first.
 */
#include "sidecar/config/destination_hosts.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define KINDS 3 /* of an entry: exact, suffix, under */

static bool section_fits(const struct destination_header *header,
			 const struct destination_section *section, uint64_t size)
{
	return section->offset + section->count * size <= header->length;
}

static bool header_read(const void *blob, size_t blob_len, struct destination_header *ret)
{
	if (blob_len < sizeof(*ret))
		return false;
	memcpy(ret, blob, sizeof(*ret));
	return ret->magic == DESTINATION_MAGIC && ret->version == DESTINATION_VERSION &&
	       ret->length <= blob_len &&
	       section_fits(ret, &ret->entries, sizeof(struct destination_entry)) &&
	       section_fits(ret, &ret->ranges, sizeof(struct destination_range)) &&
	       section_fits(ret, &ret->text, 1);
}

static int entry_host(const char *blob, const struct destination_header *header, uint32_t number,
		      char ret[DESTINATION_NAME_MAX + 1])
{
	const char *form = number % KINDS == 2 ? "%.*s.com" : "%.*s";
	struct destination_entry entry;
	int32_t destination;
	int length;

	memcpy(&entry, blob + header->entries.offset + number / KINDS * sizeof(entry),
	       sizeof(entry));
	destination = number % KINDS == 0   ? entry.exact
		      : number % KINDS == 1 ? entry.suffix
					    : entry.under;
	if (destination == DESTINATION_NONE || entry.length > DESTINATION_NAME_MAX ||
	    (uint64_t)entry.text + entry.length > header->text.count)
		return -EAGAIN;
	if (number % KINDS == 1 && !(entry.rules & DESTINATION_SELF))
		form = "x.%.*s";
	length = snprintf(ret, DESTINATION_NAME_MAX + 1, form, (int)entry.length,
			  blob + header->text.offset + entry.text);
	return length <= DESTINATION_NAME_MAX ? 0 : -EAGAIN;
}

int destination_host(const void *blob, size_t blob_len, uint32_t number,
		     char ret[DESTINATION_NAME_MAX + 1])
{
	struct destination_header header;
	struct destination_range range;
	uint64_t entries;

	if (!header_read(blob, blob_len, &header))
		return -EBADMSG;
	entries = (uint64_t)header.entries.count * KINDS;
	if (number < entries)
		return entry_host(blob, &header, number, ret);
	if (number - entries >= header.ranges.count)
		return -ENOENT;
	memcpy(&range,
	       (const char *)blob + header.ranges.offset + (number - entries) * sizeof(range),
	       sizeof(range));
	if (range.destination == DESTINATION_NONE)
		return -EAGAIN;
	destination_address_text(range.start, ret, DESTINATION_NAME_MAX + 1);
	return 0;
}
