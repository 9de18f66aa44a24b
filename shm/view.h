/* SPDX-License-Identifier: MIT
 *
 * A segment's arrays as a process has them mapped.
 */
#ifndef TG_VIEW_H
#define TG_VIEW_H

#include <stdint.h>

#include "shm/layout.h"

/* Where the arrays of a segment stand in this process. */
struct view {
	const struct layout_limits *limits;
	const struct layout_limits_more *more;
	const struct layout_default_limits *defaults;
	const struct layout_calendar *calendar;
	struct layout_counters *counters;
	struct layout_counters_more *counters_more;
	uint32_t slots;
	uint64_t reserve_max_ns;
};

#endif
