/* SPDX-License-Identifier: MIT
 *
 * Which bytes can be the name of a stream or a destination: one rule for workers, which refuse
 * another at once, for the sidecar, which believes no worker, and for the configuration.
 */
#ifndef SHM_NAME_H
#define SHM_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "shm/layout.h"

/* 1 to LAYOUT_TEXT bytes, no space and no control character; UTF-8 is fine. */
static inline bool name_plain(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
			return false;
	return length > 0 && length <= LAYOUT_TEXT;
}

#endif
