/* SPDX-License-Identifier: MIT
 *
 * What a new configuration means for a flow's life.
 */
#include "sidecar/control/control.h"
#include "sidecar/control/state.h"

bool control_rebound(struct control_state *state, const struct control_bounds *bounds)
{
	struct flow_control *fc = &state->flow;
	float rate = (float)between(fc->rate, rate_low(bounds), rate_high(bounds));
	struct flow_control fresh = {0};

	rate_init(&fresh, bounds);
	if (fc->mode == MODE_SEARCH && !(fc->flags & FLAG_HELD) && rate < fresh.rate)
		rate = fresh.rate;
	if (rate == fc->rate)
		return false;
	fc->rate = rate;
	return true;
}
