/* SPDX-License-Identifier: MIT
 *
 * Which hosts a table of destinations speaks of (shm/destination.h): to see where they belong in
 * another table. Pure; of a table nothing is trusted, since an earlier sidecar may have made it.
 */
#ifndef SIDECAR_CONFIG_DESTINATION_HOSTS_H
#define SIDECAR_CONFIG_DESTINATION_HOSTS_H

#include <stddef.h>
#include <stdint.h>

#include "shm/destination.h"

/* Every entry of the configuration is asked for by number, from 0 on: of each a host that falls
 * under it, which destination_match takes. 0; -EAGAIN: this number has none, go on; -ENOENT: no
 * more; -EBADMSG: not a table. */
int destination_host(const void *blob, size_t blob_len, uint32_t number,
		     char ret[DESTINATION_NAME_MAX + 1]);

#endif
