/* SPDX-License-Identifier: MIT
 *
 * What a new configuration means for a flow's life.
 */
#include "sidecar/control/state.h"

bool control_rebound(struct control_state *state, const struct control_bounds *bounds)
{
	struct life *life = (struct life *)state;
	float rate = (float)between(life->rate, rate_low(bounds), rate_high(bounds));
	struct life fresh = {0};

	rate_init(&fresh, bounds);
	if (life->mode == MODE_SEARCH && !(life->flags & FLAG_HELD) && rate < fresh.rate)
		rate = fresh.rate;
	if (rate == life->rate)
		return false;
	life->rate = rate;
	return true;
}
