/* SPDX-License-Identifier: MIT
 *
 * Names as small numbers: 0, 1, 2 in the order in which they were added. Without regard to case.
 *
 * Adding allocates and is for one thread; finding does neither, and any number of threads may.
 */
#ifndef SIDECAR_BASE_INTERN_H
#define SIDECAR_BASE_INTERN_H

struct name_table;

int name_table_create(struct name_table **ret_table); /* -ENOMEM */
void name_table_free(struct name_table *table);

/* The number of the name, new or not; -ENOMEM. The name is copied. */
int name_table_add(struct name_table *table, const char *name);

/* Its number, or -1. */
int name_table_find(const struct name_table *table, const char *name);

unsigned name_table_count(const struct name_table *table);
const char *name_table_name(const struct name_table *table, unsigned number);

#endif
