/* SPDX-License-Identifier: MIT
 *
 * What control came to for each flow, as the shaping.toml that KumoMTA lays over its own files.
 *
 * A destination that the configuration describes by MX hosts is a provider, "tollgate NAME", that
 * matches those; any other is, for each of its queues, the domain that stands for it, with mx_rollup.
 * Limits are entries of maps that merge with the administrator's own, named after the flow: so they
 * are one bucket over all queues of the flow, and the stricter of both holds. A changed limit is a
 * fresh bucket there, so bursts are as small as the pace allows. Caps of an hour or a day are spread
 * evenly over it. KumoMTA knows no classes, so what is kept for some is given to all.
 *
 * Pure but for the engine that is asked.
 */
#ifndef SIDECAR_HTTP_KUMOMTA_SHAPING_H
#define SIDECAR_HTTP_KUMOMTA_SHAPING_H

#include "sidecar/http/kumomta_flows.h"

/* The file; *ret is malloc'd. -ENOMEM. */
int kumomta_shaping_make(struct kumomta_flows *flows, struct engine *engine,
			 const struct config *config, uint64_t now_ns, char **ret,
			 size_t *ret_length);

/* "60/min,max_burst=1" of an interval. Returns text. */
const char *kumomta_throttle_text(uint64_t interval_ns, uint32_t burst, char *text, size_t size);

#endif
