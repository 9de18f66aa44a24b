/* SPDX-License-Identifier: MIT
 *
 * Builds the block of bytes that shm/destination.h describes.
 *
 * One name can be claimed once in each way (exact, suffix, under): a second claim by another
 * destination is -EEXIST with *ret_owner set, so that the configuration can say who has it; a
 * second claim by the same destination is no error. Names are normalised here; -EINVAL: not a name.
 * Every function may return -ENOMEM. Not for concurrent use.
 */
#ifndef SIDECAR_CONFIG_DESTINATION_TABLE_H
#define SIDECAR_CONFIG_DESTINATION_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct destination_table;

int destination_table_new(struct destination_table **ret);
void destination_table_free(struct destination_table *table);

/* Adds a destination; its own name is not claimed by that. Returns its index, which counts from 0.
 */
int destination_table_add(struct destination_table *table, const char *name);

int destination_table_exact(struct destination_table *table, const char *name, int32_t index,
			    int32_t *ret_owner);
/* "x.net": that name and all below it; ".x.net": only what is below it. */
int destination_table_suffix(struct destination_table *table, const char *suffix, int32_t index,
			     int32_t *ret_owner);
/* "hotmail" of "hotmail.*". */
int destination_table_under(struct destination_table *table, const char *label, int32_t index,
			    int32_t *ret_owner);
/* A range of addresses: the first `bits` of 16 bytes (96 + n for IPv4). */
int destination_table_range(struct destination_table *table, const uint8_t address[16],
			    unsigned bits, int32_t index, int32_t *ret_owner);

/* Adds a pool, and a source to the pool added last. */
int destination_table_pool(struct destination_table *table, const char *name);
int destination_table_source(struct destination_table *table, const uint8_t address[16]);

/* Adds the Public Suffix List. A table without it guesses (DESTINATION_NO_LIST). What
 * public_suffix_read() returns. */
int destination_table_list(struct destination_table *table, const char *path);

/* Whether the list (added before) has a rule for that very name: anybody may register below it. */
bool destination_table_public(const struct destination_table *table, const char *name);

/* Makes the block; the caller frees *ret with free(). The table can still be added to. */
int destination_table_build(struct destination_table *table, void **ret, size_t *ret_length);

#endif
