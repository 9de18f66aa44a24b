/* SPDX-License-Identifier: MIT
 *
 * Small files, read whole; and where the kernel mounted cgroup v2.
 */
#ifndef SIDECAR_BASE_FILE_H
#define SIDECAR_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* The first `max` bytes of a file at most, with a NUL behind them that *ret_length does not count;
 * the caller frees them. What opening or reading fails with; -ENOMEM. */
int file_read(const char *path, size_t max, char **ret, size_t *ret_length);

/* The beginning of a file such as those of /proc, as a text in `to`; "" on failure. The same errors. */
int file_read_into(const char *path, char *to, size_t size);

/* Where cgroup v2 is mounted. False: it is not. */
bool file_cgroup_root(char *to, size_t size);

#endif
