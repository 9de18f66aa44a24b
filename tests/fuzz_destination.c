/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a table of destinations, and as a name. The first byte says which: a table that was
 * built here and then changed at the places that the input names, or the input itself as the table.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shm/address.h"
#include "shm/destination.h"
#include "sidecar/config/destination_table.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *good;
static size_t good_length;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct destination_table *table;
	uint8_t address[16];
	int32_t owner;

	if (destination_table_new(&table) < 0 || destination_table_add(table, "google") < 0 ||
	    destination_table_suffix(table, ".google.com", 0, &owner) < 0 ||
	    destination_table_under(table, "hotmail", 0, &owner) < 0 ||
	    destination_table_exact(table, "gmail.com", 0, &owner) < 0 ||
	    address_from_text("192.0.2.0", address) < 0 ||
	    destination_table_range(table, address, 120, 0, &owner) < 0 ||
	    destination_table_pool(table, "p") < 0 ||
	    destination_table_source(table, address) < 0 ||
	    destination_table_build(table, &good, &good_length) < 0)
		abort();
	destination_table_free(table);
	return 0;
}

static void ask(const void *table, size_t length, const char *name)
{
	struct destination_match match;
	struct destination_pool pool;
	uint8_t address[16];

	if (destination_match(table, length, name, &match) == 0 &&
	    (match.length > DESTINATION_NAME_MAX || match.name[match.length] != '\0'))
		abort();
	destination_match(table, length, "aspmx.l.google.com", &match);
	destination_match(table, length, "hotmail.com", &match);
	destination_match(table, length, "192.0.2.9", &match);
	if (destination_pool(table, length, "p", &pool) == 0)
		destination_pool_source(table, length, &pool, pool.count - 1, address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *table;
	char *name;
	size_t length;

	if (size < 2)
		return 0;
	length = data[0] & 1 ? size - 1 : good_length;
	table = malloc(length);
	if (data[0] & 1) {
		memcpy(table, data + 1, length);
	} else {
		memcpy(table, good, length);
		for (size_t i = 1; i + 2 < size && data[i]; i += 3)
			table[(data[i] << 8 | data[i + 1]) % length] = (char)data[i + 2];
	}
	name = malloc(size);
	memcpy(name, data + 1, size - 1);
	name[size - 1] = '\0';
	ask(table, length, name);
	ask(good, good_length, name);
	free(name);
	free(table);
	return 0;
}
