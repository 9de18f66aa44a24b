/* SPDX-License-Identifier: MIT
 *
 * Names as small numbers: 0, 1, 2 in the order in which they were added. Without regard to case.
 *
 * Adding allocates and is for one thread; finding does neither, and any number of threads may.
 */
#ifndef SIDECAR_BASE_INTERN_H
#define SIDECAR_BASE_INTERN_H

struct intern;

int intern_create(struct intern **ret_table); /* -ENOMEM */
void intern_free(struct intern *table);

/* The number of the name, new or not; -ENOMEM. The name is copied. */
int intern_add(struct intern *table, const char *name);

/* Its number, or -1. */
int intern_find(const struct intern *table, const char *name);

unsigned intern_count(const struct intern *table);
const char *intern_name(const struct intern *table, unsigned number);

#endif
