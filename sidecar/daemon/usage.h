/* SPDX-License-Identifier: MIT
 *
 * How much of a cap counts as used after a reboot. Pure.
 *
 * What was written down was true at some instant. Workers may have gone on after it, without a
 * sidecar too, until the machine stopped: no longer than until the next boot, and no faster than the
 * rate in force. So much counts as used. Without a rate that is the rest of the cap.
 */
#ifndef SIDECAR_DAEMON_USAGE_H
#define SIDECAR_DAEMON_USAGE_H

#include <stdint.h>

#define USAGE_NO_CAP UINT32_MAX

struct usage_kept {
	uint64_t word;	      /* number of the period << 32 | count */
	uint64_t interval_ns; /* a message; 0: no rate */
	uint32_t burst, cap;  /* cap USAGE_NO_CAP: none */
};

/* When workers may have gone on: by the wall clock. Equal: not at all. */
struct usage_gap {
	int64_t from_ns, until_ns;
};

/* The count of the period `present`, which began at begun_ns of the wall clock. */
uint32_t usage_restored(const struct usage_kept *kept, const struct usage_gap *gap,
			uint32_t present, int64_t begun_ns);

#endif
