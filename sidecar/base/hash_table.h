/* SPDX-License-Identifier: MIT
 *
 * uthash, as all hash tables of this process's own memory use it. An element that could not be added
 * for want of memory has no table: hash_table_lacks. Without this uthash would end the process.
 */
#ifndef SIDECAR_BASE_HASH_TABLE_H
#define SIDECAR_BASE_HASH_TABLE_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* After HASH_ADD…: whether the element, whose handle is `hh`, was not added. */
#define hash_table_lacks(element) ((element)->hh.tbl == NULL)

#endif
